"""A person's tokens: browser, refresh tokens, consent, claims; by hand and by MSAL (S1, S2, S4; entra-protocol D)."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import pytest

from core.entra.tokens import claims_of
from core.sandbox.directory.store import ARM_RESOURCE, GRAPH_APP_ID, State
from core.sandbox.fake_machine.azfolder import InProcess
from core.sandbox.graph import consents
from core.sandbox.http import Request, Response
from core.sandbox.service import handle
from core.sandbox.token_service import people, tokens
from core.sandbox.token_service.assertion import ASSERTION_TYPE
from core.sandbox.token_service.tokens import AZURE_CLI
from tests.sandbox.client import key_pair
from tests.sandbox.test_refusals import Stand

VERIFIER = "a" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
HERE = "http://localhost:8400"


@pytest.fixture
def stand() -> Stand:
    return Stand()


def number(response: Response) -> int:
    (found,) = response.json()["error_codes"]
    return int(found)


def browser(stand: Stand, choice: str = "yes", **query: str) -> Response:
    return stand.browser(choice, **{"code_challenge": CHALLENGE, "state": "st", "redirect_uri": HERE, **query})


def returned(response: Response) -> dict[str, str]:
    """What the browser brings back to the client."""
    assert response.status == 302, response.body
    assert response.headers["Location"].startswith(f"{HERE}?")
    return {name: value for name, (value,) in parse_qs(urlsplit(response.headers["Location"]).query).items()}


def redeem(stand: Stand, code: str, **form: str) -> Response:
    given = {"client_id": AZURE_CLI, "code": code, "redirect_uri": HERE, "code_verifier": VERIFIER, **form}
    return stand.client.sign_in(grant_type="authorization_code", **given)


# tokens


def test_S1_an_app_token_says_no_more_than_a_real_one(stand: Stand) -> None:
    body = stand.secret().json()
    assert body.keys() == {"token_type", "expires_in", "ext_expires_in", "access_token"}
    assert all(type(body[name]) is int for name in ("expires_in", "ext_expires_in"))
    claims = claims_of(body["access_token"])
    tenant = stand.client.tenant
    assert (claims["ver"], claims["iss"]) == ("1.0", f"{tenant.authority}/{tenant.id}/")
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", claims["uti"])
    assert isinstance(claims["xms_tcdt"], int)
    assert claims["app_displayname"] == stand.client.app["displayName"]
    assert not {"scp", "upn", "wids", "azp"} & claims.keys()
    stand.client.change("servicePrincipal", id=stand.client.principal["id"])
    for grant in list(tenant.all_latest("appRoleAssignment")):
        tenant.commit("appRoleAssignment", grant["id"], None)
    assert "roles" not in claims_of(stand.secret().json()["access_token"]), "none is left"


@pytest.mark.parametrize("name", ["graph", "id", "slash"])
def test_S1_the_audience_is_the_resource_as_it_was_asked_for(stand: Stand, name: str) -> None:
    audience = {"graph": stand.client.tenant.graph, "id": GRAPH_APP_ID, "slash": f"{stand.client.tenant.graph}/"}[name]
    token = stand.secret(scope=f"{audience}/.default").json()["access_token"]
    claims = claims_of(token)
    assert claims["aud"] == audience
    assert claims["roles"], "of Microsoft Graph, whatever it is called"
    assert stand.client.call("GET", "/applications", token=token).status == 200


def test_S1_a_persons_token_and_id_token(stand: Stand) -> None:
    body, tenant = stand.tokens(), stand.client.tenant
    access, identity = claims_of(body["access_token"]), claims_of(body["id_token"])
    assert (access["ver"], access["idtyp"], access["oid"]) == ("1.0", "user", stand.user["id"])
    assert identity["iss"] == f"{tenant.authority}/{tenant.id}/v2.0"
    assert (identity["aud"], identity["ver"], identity["oid"]) == (AZURE_CLI, "2.0", stand.user["id"])
    assert identity["preferred_username"] == stand.user["userPrincipalName"]
    assert access["sub"] == identity["sub"] != access["oid"], "each client knows a person by another name"
    assert tokens.pairwise(stand.user["id"], "other") != access["sub"]
    assert "roles" not in access
    assert f"{tenant.graph}/.default" in body["scope"].split()
    assert f"{tenant.graph}/User.Read.All" in body["scope"].split()
    assert stand.client.refused("GET", "/me", token=body["id_token"])[0] == 401, "an id token opens nothing"


@pytest.mark.parametrize(("form", "given"), [({}, False), ({"client_info": "0"}, False), ({"client_info": "1"}, True)])
def test_S1_client_info_comes_only_when_asked_for(stand: Stand, form: dict[str, str], given: bool) -> None:
    refresh = {"grant_type": "refresh_token", "client_id": AZURE_CLI, "refresh_token": stand.tokens()["refresh_token"]}
    body = stand.client.sign_in(**refresh, **form).json()
    assert ("client_info" in body) is given
    if given:
        known = json.loads(base64.urlsafe_b64decode(f"{body['client_info']}=="))
        assert known == {"uid": stand.user["id"], "utid": stand.client.tenant.id}


CP1 = '{"access_token": {"xms_cc": {"values": ["CP1"]}}}'


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (CP1, ["CP1"]),
        ("", None),
        ("{}", None),
        ('{"access_token": null, "id_token": {"email": null}}', None),
        ('{"access_token": {"xms_cc": null, "nbf": {"essential": true, "value": "1"}}}', None),
        ('{"access_token": {"xms_cc": {"values": "CP1"}}}', None),
    ],
)
def test_S1_a_token_tells_what_its_client_is_capable_of(stand: Stand, claims: str, expected: list[str] | None) -> None:
    refresh = {"grant_type": "refresh_token", "client_id": AZURE_CLI, "refresh_token": stand.tokens()["refresh_token"]}
    code = returned(browser(stand, claims=claims))["code"]
    answers = [stand.secret(claims=claims), stand.client.sign_in(**refresh, claims=claims), redeem(stand, code)]
    for response in answers:
        assert claims_of(response.json()["access_token"]).get("xms_cc") == expected


@pytest.mark.parametrize("claims", ["x", "[]", '{"access_token": []', '{"access_token": [1]}', "[" * 10_000])
def test_S2_claims_that_cannot_be_read_are_9002313(stand: Stand, claims: str) -> None:
    assert number(stand.secret(claims=claims)) == 9002313
    assert returned(browser(stand, claims=claims))["error"] == "invalid_request"


def test_S1_tokens_name_the_request_that_they_were_issued_for(stand: Stand) -> None:
    """In the header, and in the token by `uti`, which sign-in logs are searched for."""
    body = urlencode(
        {
            "grant_type": "client_credentials",
            "client_id": stand.client.app_id,
            "client_secret": stand.client.secret,
            "scope": f"{stand.client.tenant.graph}/.default",
        }
    )
    path = f"{stand.client.tenant.id}/oauth2/v2.0/token"
    good, bad = (stand.raw(path, text, **{"client-request-id": "mine"}) for text in (body, body + "x"))
    assert (good.status, bad.status) == (200, 400)
    uti = claims_of(good.json()["access_token"])["uti"]
    assert UUID(good.headers["x-ms-request-id"]).bytes == base64.urlsafe_b64decode(f"{uti}==")
    assert bad.headers["x-ms-request-id"] == bad.json()["trace_id"]
    assert good.headers["client-request-id"] == bad.headers["client-request-id"] == "mine"
    assert "client-request-id" not in stand.secret().headers


def test_S1_refresh_and_id_tokens_come_only_when_asked_for(stand: Stand) -> None:
    token = stand.tokens()["refresh_token"]
    form = {"grant_type": "refresh_token", "client_id": AZURE_CLI, "refresh_token": token}
    body = stand.client.sign_in(**form, scope=f"{ARM_RESOURCE}/.default").json()
    assert claims_of(body["access_token"])["aud"] == ARM_RESOURCE
    assert claims_of(body["access_token"])["scp"] == "user_impersonation"
    assert "id_token" not in body
    flow = stand.raw(
        f"{stand.client.tenant.id}/oauth2/v2.0/devicecode",
        urlencode({"client_id": AZURE_CLI, "scope": f"{stand.client.tenant.graph}/.default"}),
    ).json()
    stand.typed(flow["user_code"])
    assert not {"refresh_token", "id_token"} & stand.poll(flow["device_code"]).json().keys()


# refresh tokens


def test_S1_a_refresh_token_is_followed_by_a_new_one_and_stays_valid(stand: Stand) -> None:
    first = stand.tokens()["refresh_token"]
    second = stand.refresh(first).json()["refresh_token"]
    assert second != first
    assert stand.refresh(first).status == stand.refresh(second).status == 200
    stand.client.clock.waited += 80 * 86400
    third = stand.refresh(second).json()["refresh_token"]
    stand.client.clock.waited += 80 * 86400
    assert number(stand.refresh(first)) == 700082, "idle for 160 days"
    assert stand.refresh(third).status == 200


def test_S1_a_refresh_without_a_scope_keeps_the_one_it_had(stand: Stand) -> None:
    token = stand.tokens()["refresh_token"]
    form = {"grant_type": "refresh_token", "client_id": AZURE_CLI, "refresh_token": token, "scope": ""}
    body = stand.client.sign_in(**form).json()
    assert claims_of(body["access_token"])["aud"] == stand.client.tenant.graph
    assert "id_token" in body


def test_S2_a_refresh_token_is_its_clients_own(stand: Stand) -> None:
    token = stand.tokens()["refresh_token"]
    response = stand.client.sign_in(grant_type="refresh_token", client_secret=stand.client.secret, refresh_token=token)
    assert (number(response), response.json()["suberror"]) == (70000, "client_mismatch")
    assert number(stand.refresh(stand.tokens()["access_token"])) == 70000
    assert number(stand.refresh(Stand().tokens()["refresh_token"][:-1] + "x")) == 70000


def test_S2_revoked_sign_ins_give_no_more_tokens_and_a_new_one_does(stand: Stand) -> None:
    assert number(stand.revoked_session()) == 50173
    assert stand.refresh(stand.tokens()["refresh_token"]).status == 200


def test_S2_a_person_who_is_gone_or_marked_gets_nothing(stand: Stand) -> None:
    token = stand.tokens()["refresh_token"]
    stand.client.tenant.commit("user", stand.user["id"], stand.user | {"_refused": 50076})
    assert number(stand.refresh(token)) == 50076
    stand.client.tenant.commit("user", stand.user["id"], None)
    assert number(stand.refresh(token)) == 50034


@pytest.mark.parametrize(("platform", "lives"), [("spa", False), ("publicClient", True)])
def test_S1_the_refresh_tokens_of_a_browser_app_end_a_day_after_the_sign_in(
    stand: Stand, platform: str, lives: bool
) -> None:
    token = stand.in_an_app(platform)["refresh_token"]
    half = people.BROWSER_LIFE / 2
    renewed = stand.waited(half, lambda: stand.refresh_in_app(token)).json()["refresh_token"]
    later = stand.waited(half + 1, lambda: stand.refresh_in_app(renewed))
    assert (later.status == 200) is lives
    assert lives or number(later) == 700084


# consent


def graph_of(stand: Stand) -> State:
    found = stand.client.tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
    assert found is not None
    return found


def test_S2_an_app_of_the_tenant_needs_consent(stand: Stand) -> None:
    assert number(stand.native()) == 65001
    grant = {"id": "g", "clientId": stand.client.principal["id"], "resourceId": graph_of(stand)["id"]}
    grant |= {"consentType": "Principal", "principalId": stand.user["id"], "scope": "User.Read Mail.Read"}
    stand.client.tenant.commit(consents.KIND, "g", grant)
    claims = claims_of(stand.native().json()["access_token"])
    assert (claims["scp"], claims["appid"]) == ("Mail.Read User.Read", stand.client.app_id)


@pytest.mark.parametrize(("may", "expected"), [(True, 65001), (False, 90094)])
def test_S3_who_may_consent(stand: Stand, may: bool, expected: int) -> None:
    assert number(stand.switched(users_may_consent=may).native()) == expected


def test_S2_an_app_that_takes_only_assigned_people(stand: Stand) -> None:
    assert number(stand.native(appRoleAssignmentRequired=True)) == 50105
    grant = {"id": "a", "principalId": stand.user["id"], "resourceId": stand.client.principal["id"], "appRoleId": "0"}
    stand.client.tenant.commit("appRoleAssignment", "a", grant)
    assert number(stand.native(appRoleAssignmentRequired=True)) == 65001


# the browser


def test_S1_a_browser_signs_the_azure_cli_in(stand: Stand) -> None:
    page = browser(stand, "", scope=f"{stand.client.tenant.graph}/.default openid offline_access", nonce="n")
    text = unescape(page.body.decode())
    assert (page.status, page.headers["X-Frame-Options"]) == (200, "DENY")
    assert f"Continue as {stand.user['displayName']}" in text
    assert "Microsoft Azure CLI" in text
    (action,) = re.findall(r'action="([^"]+)"', page.body.decode())
    url = f"{stand.client.tenant.authority}{unescape(action)}"
    back = returned(handle(stand.client.tenant, Request.to("POST", url, {}, b"choice=yes")))
    assert back.keys() == {"code", "state"}
    assert back["state"] == "st"
    body = redeem(stand, back["code"]).json()
    assert claims_of(body["access_token"])["oid"] == stand.user["id"]
    assert claims_of(body["id_token"])["nonce"] == "n"
    assert stand.refresh(body["refresh_token"]).status == 200
    assert number(redeem(stand, back["code"])) == 70000, "once"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"code_verifier": "b" * 50}, 501481),
        ({"code_verifier": ""}, 501481),
        ({"redirect_uri": "http://localhost:1"}, 500112),
        ({"redirect_uri": ""}, 500112),
    ],
)
def test_S2_a_code_is_worth_nothing_to_others(stand: Stand, form: dict[str, str], expected: int) -> None:
    code = returned(browser(stand))["code"]
    assert number(redeem(stand, code, **form)) == expected
    assert number(redeem(stand, code)) == 70000, "and used up"


@pytest.mark.parametrize(
    ("query", "verifier", "expected"),
    [
        ({"code_challenge": "", "code_challenge_method": ""}, "", 0),
        ({"code_challenge": ""}, "", 0),
        ({"code_challenge": ""}, VERIFIER, 501481),
        ({"code_challenge": VERIFIER, "code_challenge_method": "plain"}, VERIFIER, 0),
        ({"code_challenge": VERIFIER, "code_challenge_method": "plain"}, "b" * 50, 501481),
        ({}, VERIFIER, 0),
        ({}, CHALLENGE, 501481),
    ],
)
def test_S2_a_verifier_is_needed_where_there_was_a_challenge(
    stand: Stand, query: dict[str, str], verifier: str, expected: int
) -> None:
    response = redeem(stand, returned(browser(stand, **query))["code"], code_verifier=verifier)
    assert response.json().get("error_codes", [0]) == [expected]


def test_S2_a_single_page_application_needs_a_challenge(stand: Stand) -> None:
    assert number(stand.native()) == 65001
    mine = {"client_id": stand.client.app_id}
    stand.client.change("application", publicClient={"redirectUris": []}, spa={"redirectUris": [HERE]})
    bare = returned(browser(stand, **mine, code_challenge=""))["code"]
    assert number(redeem(stand, bare, **mine, code_verifier="")) == 9002325
    assert number(redeem(stand, returned(browser(stand, **mine))["code"], **mine)) == 65001, "it is that far"


def test_S1_ids_may_be_written_in_capitals(stand: Stand) -> None:
    """By the browser, for a device code, and by an app with a certificate, whose assertion carries them too."""
    loud = AZURE_CLI.upper()
    assert loud != AZURE_CLI
    code = returned(browser(stand, client_id=loud))["code"]
    assert redeem(stand, code).status == 200
    flow = stand.flow(loud)
    stand.typed(flow["user_code"])
    assert stand.poll(flow["device_code"]).status == 200
    app = stand.client.app_id.upper()
    assert app != stand.client.app_id
    stand.client.add_key(key_pair())
    loud_app = {"client_id": app, "client_assertion": stand.client.assertion(key_pair(), iss=app, sub=app)}
    response = stand.client.sign_in(client_assertion_type=ASSERTION_TYPE, **loud_app)
    assert claims_of(response.json()["access_token"])["appid"] == stand.client.app_id
    assert stand.secret(scope=f"{app}/.default").status == 200, "and as a resource"


def test_S2_another_client_cannot_redeem_a_code(stand: Stand) -> None:
    code = returned(browser(stand))["code"]
    stand.client.change("application", isFallbackPublicClient=True)
    assert number(redeem(stand, code, client_id=stand.client.app_id)) == 70000
    assert redeem(stand, code).status == 200


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        "http://evil.example/",
        "http://localhost.evil.example/",
        "http://localhost@evil.example/",
        "http://evil.example#@localhost/",
        "https://localhost:1/",
        "http://127.0.0.1:1/#x",
        "javascript:alert(1)",
        "http://localhost:99999/",
        "//localhost/",
        "x",
        "http://localhost/\r\nX-Evil:1",
        "http://localhost/\nX-Evil:1",
        "http://local\thost/",
        "http://localhost:1/\x7f",
        "http://localhost/\u2028",
    ],
)
@pytest.mark.parametrize("choice", ["", "yes"])
def test_S2_a_code_goes_to_loopback_alone(stand: Stand, address: str, choice: str) -> None:
    response = browser(stand, choice, redirect_uri=address)
    assert response.status == 400
    assert "Location" not in response.headers
    assert "AADSTS50011" in response.body.decode()
    assert not [held for held in stand.client.tenant.issued.values() if held.kind == "code"]


@pytest.mark.parametrize(
    "address", ["http://localhost", "http://localhost:1/", "http://127.0.0.1:65535/x", "http://[::1]:1"]
)
def test_S1_any_port_of_loopback_will_do(stand: Stand, address: str) -> None:
    response = browser(stand, redirect_uri=address)
    assert (response.status, response.headers["Location"].partition("?")[0]) == (302, address)


def test_S2_an_app_gets_codes_at_addresses_that_it_has_registered(stand: Stand) -> None:
    mine = {"client_id": stand.client.app_id}
    assert browser(stand, **mine).status == 400
    stand.client.change("application", publicClient={"redirectUris": ["http://localhost"]})
    assert browser(stand, **mine).status == 302
    assert browser(stand, **mine, redirect_uri=f"{HERE}/other").status == 400


@pytest.mark.parametrize(
    ("query", "error", "expected"),
    [
        ({"code_challenge": "x" * 42}, "invalid_request", 50147),
        ({"code_challenge": "+" * 43}, "invalid_request", 50147),
        ({"code_challenge_method": "S512"}, "invalid_request", 90023),
        ({"scope": ""}, "invalid_request", 90014),
        ({"login_hint": "nobody@contoso.onmicrosoft.com"}, "invalid_grant", 50034),
        ({"prompt": "none"}, "login_required", 50058),
    ],
)
def test_S2_what_a_client_asks_wrongly_it_is_told(
    stand: Stand, query: dict[str, str], error: str, expected: int
) -> None:
    back = returned(browser(stand, **query))
    assert (back["error"], back["state"]) == (error, "st")
    assert back["error_description"].startswith(f"AADSTS{expected}: ")


@pytest.mark.parametrize("query", [{"response_type": "token"}, {"response_mode": "fragment"}, {"client_id": "x"}])
def test_S2_what_it_cannot_be_told_stays_on_the_page(stand: Stand, query: dict[str, str]) -> None:
    assert browser(stand, **query).status == 400


def test_P10_a_page_shows_names_and_runs_none(stand: Stand) -> None:
    name = "<script>alert(1)</script>\"'"
    stand.client.tenant.commit("user", stand.user["id"], stand.user | {"displayName": name})
    for text in (
        browser(stand, "", state=name, login_hint=stand.user["userPrincipalName"]).body.decode(),
        browser(stand, state=name, response_mode="form_post").body.decode(),
        browser(stand, redirect_uri=name).body.decode(),
        handle(stand.client.tenant, Request.to("GET", f"{stand.client.tenant.authority}/devicelogin")).body.decode(),
    ):
        assert "alert(1)" in unescape(text)
        assert "<script>alert" not in text


# the page for device codes


def test_S1_a_device_code_can_be_typed_and_approved_by_hand(stand: Stand) -> None:
    stand.switched(pending_polls=10**9)
    code = stand.flow()
    page = handle(stand.client.tenant, Request.to("GET", code["verification_uri"]))
    assert (page.status, stand.user["displayName"] in page.body.decode()) == (200, True)
    assert number(stand.poll(code["device_code"])) == 70016
    assert stand.typed(code["user_code"].lower()).status == 200
    assert claims_of(stand.poll(code["device_code"]).json()["access_token"])["oid"] == stand.user["id"]


def test_S2_a_device_code_is_another_clients_or_typed_wrongly(stand: Stand) -> None:
    code = stand.flow()
    stand.client.change("application", isFallbackPublicClient=True)
    assert number(stand.poll(code["device_code"], stand.client.app_id)) == 70018
    for typed, expected in (("WRONG", 70018), ("", 90119)):
        response = stand.typed(typed)
        assert response.status == 400
        assert f"AADSTS{expected}: " in response.body.decode()
    stand.client.clock.waited += 901
    assert "AADSTS70019: " in stand.typed(code["user_code"]).body.decode()


def test_S2_an_unknown_client_gets_no_device_code(stand: Stand) -> None:
    assert stand.flow("x")["error_codes"] == [700016]


def test_S2_a_password_gets_nobody_in(stand: Stand) -> None:
    for user in stand.client.tenant.all_latest("user"):
        assert stand.password(user["userPrincipalName"]).status == 400


# by a client that nobody here wrote


def test_S4_msal_signs_in_by_browser_and_renews_without_asking(stand: Stand) -> None:
    import msal

    stand.client.tenant.port = 8443  # nothing listens there
    authority = f"{stand.client.tenant.authority}/{stand.client.tenant.id}"
    web: Any = InProcess(stand.client.tenant)
    client = msal.PublicClientApplication(AZURE_CLI, authority=authority, instance_discovery=False, http_client=web)
    scopes = [f"{stand.client.tenant.graph}/.default"]
    flow = client.initiate_auth_code_flow(scopes, redirect_uri=HERE, response_mode="form_post")
    page = handle(stand.client.tenant, Request.to("POST", flow["auth_uri"], {}, b"choice=yes"))
    fields = re.findall(r'name="(\w+)" value="([^"]*)"', page.body.decode())
    assert f'action="{HERE}"' in page.body.decode()
    result = client.acquire_token_by_auth_code_flow(flow, {name: unescape(value) for name, value in fields})
    assert "access_token" in result, result
    account = client.get_accounts()[0]
    assert account["username"] == stand.user["userPrincipalName"]
    silent = client.acquire_token_silent(scopes, account)
    assert silent["access_token"] == result["access_token"], "from its cache"
    again = client.acquire_token_silent(scopes, account, force_refresh=True)
    assert again["access_token"] != result["access_token"]
    stand.client.clock.waited += 5
    people.revoke(stand.client.tenant, stand.user["id"])
    refused = client.acquire_token_silent_with_error(scopes, account, force_refresh=True)
    assert (refused["error"], refused["suberror"], refused["error_codes"]) == ("invalid_grant", "bad_token", [50173])
