"""The pretend token endpoint: secrets, assertions, device codes, and its AADSTS codes (S1, S2, T5)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest

from core.entra.tokens import claims_of
from core.sandbox.directory import registrations
from core.sandbox.directory.store import Tenant
from core.sandbox.http import Request, Response
from core.sandbox.service import handle
from core.sandbox.token_service.assertion import ASSERTION_TYPE
from core.sandbox.token_service.endpoint import DEVICE_GRANT
from core.sandbox.token_service.tokens import AZURE_CLI
from tests.sandbox.client import Client, expired, key_pair, x5t

GONE = "00000000-0000-4000-8000-000000000000"
CLI = {"client_id": AZURE_CLI}


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def trusted(client: Client) -> Client:
    """A client whose certificate is on the app."""
    client.add_key(key_pair())
    return client


def code(response: Response, status: int, error: str) -> int:
    """The AADSTS number of a refusal, whose whole shape is checked (P11)."""
    body = response.json()
    assert (response.status, body["error"]) == (status, error), body
    assert {"error_description", "error_codes", "timestamp", "trace_id", "correlation_id", "error_uri"} <= set(body)
    (number,) = body["error_codes"]
    assert body["error_description"].startswith(f"AADSTS{number}: ")
    assert f"Trace ID: {body['trace_id']}" in body["error_description"]
    assert "access_token" not in body
    return int(number)


def test_S1_a_live_secret_is_accepted(client: Client) -> None:
    response = client.sign_in(client_secret=client.secret)
    assert response.status == 200
    claims = claims_of(response.json()["access_token"])
    assert (
        claims.items()
        >= {
            "aud": client.tenant.graph,
            "appid": client.app_id,
            "tid": client.tenant.id,
            "oid": client.principal["id"],
            "sub": client.principal["id"],
            "idtyp": "app",
            "appidacr": "1",
        }.items()
    )
    assert "Application.ReadWrite.All" in claims["roles"]
    assert claims["exp"] - claims["iat"] == response.json()["expires_in"]


def test_S1_a_secret_of_the_service_principal_is_accepted_too(client: Client) -> None:
    entry, secret = registrations.new_password(client.tenant, "on the principal")
    client.change("servicePrincipal", passwordCredentials=[entry])
    client.change("application", passwordCredentials=[])
    assert client.sign_in(client_secret=secret.reveal()).status == 200
    assert code(client.sign_in(client_secret=client.secret), 401, "invalid_client") == 7000215


@pytest.mark.parametrize("spoil", [lambda s: s[:-1], lambda s: s + "x", str.swapcase, lambda s: "x"])
def test_S2_a_wrong_secret_is_7000215(client: Client, spoil: Callable[[str], str]) -> None:
    response = client.sign_in(client_secret=spoil(client.secret))
    assert code(response, 401, "invalid_client") == 7000215
    assert client.secret not in response.body.decode()


def test_S2_a_deleted_secret_is_7000215_and_an_expired_one_7000222(client: Client) -> None:
    client.clock.waited = timedelta(days=731).total_seconds()
    assert code(client.sign_in(client_secret=client.secret), 401, "invalid_client") == 7000222
    client.change("application", passwordCredentials=[])
    assert code(client.sign_in(client_secret=client.secret), 401, "invalid_client") == 7000215


@pytest.mark.parametrize(
    ("form", "status", "error", "number"),
    [
        ({"client_id": GONE, "client_secret": "x"}, 400, "unauthorized_client", 700016),
        ({}, 401, "invalid_client", 7000216),
        ({"client_assertion": "x", "client_secret": "x"}, 400, "invalid_request", 9002324),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 401, "invalid_client", 7000218),
        ({"client_secret": "x", "scope": "https://evil.example/.default"}, 400, "invalid_resource", 500011),
        ({"client_secret": "x", "scope": "openid"}, 400, "invalid_scope", 70011),
        ({"client_secret": "x", "scope": ""}, 400, "invalid_request", 90014),
        ({"client_secret": "x", "scope": "User.Read"}, 400, "invalid_scope", 1002012),
        ({"client_secret": "x", "scope": ".default"}, 400, "invalid_scope", 700023),
        ({"client_secret": "x", "scope": "https://localhost:0/.default a/.default"}, 400, "invalid_scope", 700022),
        ({"grant_type": "magic"}, 400, "unsupported_grant_type", 70003),
        ({"grant_type": "password"}, 400, "invalid_request", 900144),
        ({"grant_type": ""}, 400, "invalid_request", 900144),
        ({"client_id": ""}, 400, "invalid_request", 900144),
        ({**CLI, "grant_type": "refresh_token", "refresh_token": "made up"}, 400, "invalid_grant", 70000),
        ({"grant_type": "refresh_token"}, 400, "invalid_request", 900144),
        ({**CLI, "grant_type": DEVICE_GRANT, "device_code": "made up"}, 400, "bad_verification_code", 70018),
        ({"client_assertion": "x"}, 400, "invalid_request", 900144),
        ({"client_assertion": "x", "client_assertion_type": ASSERTION_TYPE}, 401, "invalid_client", 50027),
    ],
)
def test_S2_refusals_have_their_codes(
    client: Client, form: dict[str, str], status: int, error: str, number: int
) -> None:
    assert code(client.sign_in(**form), status, error) == number


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def escaped(text: str) -> str:
    """Every character by its number: what a client may do, and what a server must undo."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


@pytest.mark.parametrize("encode", [quote_plus, escaped])
@pytest.mark.parametrize("twice", [False, True])
def test_S1_name_and_secret_may_stand_in_the_header(client: Client, encode: Callable[[str], str], twice: bool) -> None:
    """RFC 6749 section 2.3.1; the body may name the same client once more."""
    header = basic(f"{encode(client.app_id)}:{encode(client.secret)}")
    response = client.sign_in(authorization=header, client_id=client.app_id if twice else "")
    assert response.status == 200, response.body
    assert claims_of(response.json()["access_token"])["appidacr"] == "1"


@pytest.mark.parametrize(
    ("header", "form", "status", "error", "number"),
    [
        ("{id}:{secret}", {"client_secret": "x"}, 400, "invalid_request", 9002324),
        ("{id}:{secret}", {"client_assertion": "x"}, 400, "invalid_request", 9002324),
        ("{id}:{secret}", {"client_id": GONE}, 400, "invalid_request", 9002313),
        ("{id}:{secret}x", {}, 401, "invalid_client", 7000215),
        ("{id}:", {}, 401, "invalid_client", 7000216),
        ("{id}", {}, 400, "invalid_request", 9002313),
        (":{secret}", {}, 400, "invalid_request", 9002313),
        ("{id}:%00", {}, 400, "invalid_request", 9002313),
    ],
)
def test_S2_a_header_that_proves_nothing_is_refused(
    client: Client, header: str, form: dict[str, str], status: int, error: str, number: int
) -> None:
    given = basic(header.format(id=client.app_id, secret=client.secret))
    assert code(client.sign_in(authorization=given, **{"client_id": "", **form}), status, error) == number


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic /w==", "Basic é"])
def test_S2_a_header_that_cannot_be_read_is_9002313(client: Client, header: str) -> None:
    response = client.sign_in(authorization=header, client_secret="")
    assert code(response, 400, "invalid_request") == 9002313


def test_S2_an_unknown_tenant_is_90002(client: Client) -> None:
    assert code(client.sign_in(tenant=GONE, client_secret=client.secret), 400, "invalid_request") == 90002
    for version in ("/v2.0", ""):
        url = f"{client.tenant.authority}/{GONE}{version}/.well-known/openid-configuration"
        assert code(handle(client.tenant, Request.to("GET", url)), 400, "invalid_tenant") == 90002


def test_S2_an_app_without_principal_is_7000229_and_a_disabled_one_7000112(client: Client) -> None:
    client.change("servicePrincipal", accountEnabled=False)
    assert code(client.sign_in(client_secret=client.secret), 400, "unauthorized_client") == 7000112
    client.tenant.commit("servicePrincipal", client.principal["id"], None)
    assert code(client.sign_in(client_secret=client.secret), 401, "invalid_client") == 7000229


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"alg": "PS256", "header": x5t(key_pair(), sha256=True)},
        {"alg": "RS256", "header": x5t(key_pair(), sha256=True)},
        {"alg": "PS256", "header": x5t(key_pair(), sha256=True) | x5t(key_pair())},
        {"header": x5t(key_pair(), padded=True)},
        {"iat": None, "nbf": None},
    ],
    ids=lambda options: ",".join([options.get("alg", ""), *options.get("header", {})]),
)
def test_T5_good_assertions_are_accepted(trusted: Client, options: dict[str, Any]) -> None:
    response = trusted.sign_in_with(key_pair(), **options)
    assert response.status == 200, response.body
    assert claims_of(response.json()["access_token"])["appidacr"] == "2"


def test_S1_a_certificate_of_the_service_principal_is_accepted_too(client: Client) -> None:
    client.add_key(key_pair(), "servicePrincipal")
    assert client.sign_in_with(key_pair()).status == 200


@pytest.mark.parametrize("end", ["v2.0", "oauth2/v2.0/token"])
@pytest.mark.parametrize("name", ["id", "domain"])
def test_T5_the_audience_may_be_the_issuer_or_the_endpoint(trusted: Client, name: str, end: str) -> None:
    audience = f"{trusted.tenant.authority}/{getattr(trusted.tenant, name)}/{end}"
    assert trusted.sign_in_with(key_pair(), aud=audience).status == 200


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ({"header": {}}, 700027),
        ({"header": x5t(key_pair(1))}, 700027),
        ({"header": {"x5t": ""}}, 700027),
        ({"signed_by": key_pair(1)}, 700027),
        ({"aud": "https://login.microsoftonline.com/x/v2.0"}, 50027),
        ({"aud": None}, 50027),
        ({"iss": GONE}, 50048),
        ({"sub": GONE}, 50048),
        ({"iss": None}, 50048),
        ({"jti": None}, 50027),
        ({"exp": None}, 700024),
        ({"exp": 1}, 700024),
        ({"exp": "soon"}, 700024),
        ({"nbf": 32503680000}, 700024),
    ],
)
def test_S2_bad_assertions_have_their_codes(trusted: Client, options: dict[str, Any], number: int) -> None:
    assert code(trusted.sign_in_with(key_pair(), **options), 401, "invalid_client") == number


def test_S2_an_assertion_is_accepted_within_the_skew_and_not_after_it(trusted: Client) -> None:
    now = int(trusted.tenant.now().timestamp())
    skew = int(trusted.tenant.switches.skew)
    assert trusted.sign_in_with(key_pair(), exp=now - skew + 60).status == 200
    assert trusted.sign_in_with(key_pair(), nbf=now + skew - 60).status == 200
    assert code(trusted.sign_in_with(key_pair(), exp=now - skew - 60), 401, "invalid_client") == 700024
    assert code(trusted.sign_in_with(key_pair(), nbf=now + skew + 60), 401, "invalid_client") == 700024


def test_S2_an_unknown_an_expired_and_a_removed_certificate_are_700027(client: Client) -> None:
    unknown = client.sign_in_with(key_pair())
    assert code(unknown, 401, "invalid_client") == 700027
    assert "The key was not found" in unknown.json()["error_description"]
    client.add_key(key_pair(), endDateTime=expired(key_pair()))
    old = client.sign_in_with(key_pair())
    assert code(old, 401, "invalid_client") == 700027
    assert "expired" in old.json()["error_description"]


def test_S2_an_unsigned_assertion_is_refused(trusted: Client) -> None:
    good = trusted.assertion(key_pair())
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", **x5t(key_pair())}).encode()).decode().rstrip("=")
    for forged in (f"{head}.{good.split('.')[1]}.", good[:-8] + "AAAAAAAA", good.rpartition(".")[0] + "."):
        response = trusted.sign_in(client_assertion_type=ASSERTION_TYPE, client_assertion=forged)
        assert code(response, 401, "invalid_client") in (700027, 50027)


def device(client: Client, **form: str) -> Response:
    given = {"client_id": AZURE_CLI, "scope": f"{client.tenant.graph}/.default offline_access", **form}
    url = f"{client.tenant.authority}/organizations/oauth2/v2.0/devicecode"
    return handle(client.tenant, Request.to("POST", url, {}, urlencode(given).encode()))


def poll(client: Client, device_code: str) -> Response:
    return client.sign_in(grant_type=DEVICE_GRANT, client_id=AZURE_CLI, device_code=device_code)


def test_S1_a_device_code_is_pending_then_a_token_then_used_up(client: Client) -> None:
    flow = device(client).json()
    assert flow["user_code"] in flow["message"]
    assert flow["verification_uri"] in flow["message"]
    assert code(poll(client, flow["device_code"]), 400, "authorization_pending") == 70016
    tokens = poll(client, flow["device_code"]).json()
    claims = claims_of(tokens["access_token"])
    assert (claims["oid"], claims["idtyp"], claims["tid"]) == (client.tenant.signed_in_user, "user", client.tenant.id)
    assert "Directory.AccessAsUser.All" in claims["scp"].split(), "as every Azure CLI token"
    assert code(poll(client, flow["device_code"]), 400, "bad_verification_code") == 70018
    assert client.get("/me", tokens["access_token"])["id"] == client.tenant.signed_in_user
    again = client.sign_in(grant_type="refresh_token", client_id=AZURE_CLI, refresh_token=tokens["refresh_token"])
    assert again.status == 200
    assert claims_of(again.json()["access_token"])["oid"] == client.tenant.signed_in_user
    assert client.refused("GET", "/me", token=tokens["refresh_token"])[0] == 401, "a refresh token opens nothing"


def test_S1_a_device_code_expires(client: Client) -> None:
    flow = device(client).json()
    client.clock.waited += flow["expires_in"] + 1
    assert code(poll(client, flow["device_code"]), 400, "expired_token") == 70019


def test_S1_discovery_names_this_authority(client: Client) -> None:
    tenant: Tenant = client.tenant
    base = f"{tenant.authority}/{tenant.id}"
    metadata = handle(tenant, Request.to("GET", f"{base}/v2.0/.well-known/openid-configuration")).json()
    assert metadata["token_endpoint"] == f"{base}/oauth2/v2.0/token"
    assert metadata["device_authorization_endpoint"] == f"{base}/oauth2/v2.0/devicecode"
    asked = f"{tenant.authority}/common/discovery/instance?api-version=1.1&authorization_endpoint="
    assert handle(tenant, Request.to("GET", f"{asked}{base}/oauth2/v2.0/authorize")).status == 200
    assert handle(tenant, Request.to("GET", f"{asked}https://evil.example/x")).status == 400


@pytest.mark.parametrize("name", ["id", "common"])
def test_S1_discovery_names_only_what_is_served(client: Client, name: str) -> None:
    """A client that goes by the documents meets no path, response type or mode that is refused."""
    tenant = client.tenant
    base = f"{tenant.authority}/{tenant.id if name == 'id' else name}"
    v2, v1 = (
        handle(tenant, Request.to("GET", f"{base}{version}/.well-known/openid-configuration")).json()
        for version in ("/v2.0", "")
    )
    for document in (v1, v2):
        addresses = [value for key, value in document.items() if key.endswith(("_endpoint", "_uri"))]
        assert addresses
        for address in addresses:
            assert {handle(tenant, Request.to(method, address)).status for method in ("GET", "POST")} != {404}
        assert document["msgraph_host"] == tenant.graph.removeprefix("https://")
        assert document["tenant_region_scope"] == ("NA" if name == "id" else None)
    assert "token_endpoint" not in v1, "which no v1 endpoint gives"
    token = claims_of(client.sign_in(client_secret=client.secret).json()["access_token"])
    assert v1["issuer"].replace("{tenantid}", tenant.id) == token["iss"]
    asked = {"client_id": AZURE_CLI, "redirect_uri": "http://localhost", "scope": f"{tenant.graph}/.default"}
    asked |= {"code_challenge": "x" * 43, "code_challenge_method": "S256"}
    for kind in v2["response_types_supported"]:
        for mode in v2["response_modes_supported"]:
            query = urlencode(asked | {"response_type": kind, "response_mode": mode})
            assert handle(tenant, Request.to("GET", f"{v2['authorization_endpoint']}?{query}")).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "{id}/oauth2/token"),
        ("POST", "common/oauth2/devicecode"),
        ("GET", "{id}/oauth2/v2.0/logout"),
        ("GET", "no/such/path"),
    ],
)
def test_S2_what_nobody_serves_is_told_in_the_words_of_this_service(client: Client, method: str, path: str) -> None:
    url = f"{client.tenant.authority}/{path.format(id=client.tenant.id)}"
    assert code(handle(client.tenant, Request.to(method, url)), 404, "invalid_request") == 9002313


def test_S1_tokens_are_signed_with_the_published_key(client: Client) -> None:
    import jwt
    from cryptography import x509

    token = client.sign_in(client_secret=client.secret).json()["access_token"]
    url = f"{client.tenant.authority}/{client.tenant.id}/discovery/v2.0/keys"
    (jwk,) = handle(client.tenant, Request.to("GET", url)).json()["keys"]
    header = jwt.get_unverified_header(token)
    assert header["kid"] == header["x5t"] == jwk["kid"] == jwk["x5t"]
    der = base64.b64decode(jwk["x5c"][0])
    digest = hashlib.sha1(der).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == jwk["kid"], "another key has another name"
    certificate = x509.load_der_x509_certificate(der)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.public_key() == jwt.PyJWK(jwk).key
    assert certificate.not_valid_before_utc < client.tenant.now() < certificate.not_valid_after_utc
    options: Any = {"verify_aud": False}
    assert jwt.decode(token, jwt.PyJWK(jwk).key, algorithms=["RS256"], options=options)["tid"] == client.tenant.id


def test_S2_a_secret_counts_only_from_its_start(client: Client) -> None:
    now = client.tenant.now()
    start, end = (client.tenant.stamp(now + timedelta(hours=hours)) for hours in (1, 2))
    entry, secret = registrations.new_password(client.tenant, "tomorrow's", start, end)
    client.change("application", passwordCredentials=[entry])
    assert code(client.sign_in(client_secret=secret.reveal()), 401, "invalid_client") == 7000215
    client.clock.waited += 3601
    assert client.sign_in(client_secret=secret.reveal()).status == 200


def test_S2_a_key_counts_only_from_its_start(client: Client) -> None:
    """Whatever its certificate says: the entry on the app has times of its own."""
    client.add_key(key_pair(), startDateTime=client.tenant.stamp(client.tenant.now() + timedelta(hours=1)))
    assert code(client.sign_in_with(key_pair()), 401, "invalid_client") == 700027
    client.clock.waited += 3601
    assert client.sign_in_with(key_pair()).status == 200


def test_S2_a_key_that_signs_does_not_prove_who_somebody_is(client: Client) -> None:
    client.add_key(key_pair(), usage="Sign")
    assert code(client.sign_in_with(key_pair()), 401, "invalid_client") == 700027
    client.add_key(key_pair())
    assert client.sign_in_with(key_pair()).status == 200


@pytest.mark.parametrize("directory", ["common", "organizations", "own"])
def test_S1_the_issuer_of_no_tenant_in_particular_has_a_placeholder(client: Client, directory: str) -> None:
    name = client.tenant.id if directory == "own" else directory
    url = f"{client.tenant.authority}/{name}/v2.0/.well-known/openid-configuration"
    issuer = handle(client.tenant, Request.to("GET", url)).json()["issuer"]
    assert issuer == f"{client.tenant.authority}/{name if directory == 'own' else '{tenantid}'}/v2.0"
