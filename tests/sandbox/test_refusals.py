"""Every AADSTS code of the product's table, met at the pretend sign-in service, in the real shape (S2, P11)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from core.entra import certificates, credentials
from core.errors import SignInError, TokenError, codes
from core.sandbox.directory import registrations
from core.sandbox.directory.store import GRAPH_APP_ID, State
from core.sandbox.graph import consents
from core.sandbox.http import Request, Response
from core.sandbox.service import handle
from core.sandbox.token_service import people
from core.sandbox.token_service.assertion import ASSERTION_TYPE
from core.sandbox.token_service.endpoint import DEVICE_GRANT, ON_BEHALF, RETRY_AFTER
from core.sandbox.token_service.refusals import table
from core.sandbox.token_service.tokens import AZURE_CLI
from tests.sandbox.agents import SCOPE, Chain
from tests.sandbox.client import Client, key_pair

GONE = "00000000-0000-4000-8000-000000000000"
DAY = 86400.0

#: HTTP status and OAuth error, from the sources where they name them (entra-protocol D.1).
EXPECTED = {
    (
        401,
        "invalid_client",
    ): """7000215 7000222 7000216 7000218 700025 700027 7000274 50012 700024 7000214 7000277 1000502
        50027 50048 5002730 5002738 7000229 70021 700211 700212 7002121 700213 70025 700222 700226 700227 700229""",
    (400, "unauthorized_client"): "700016 7000112 70001 82001 82002",
    (400, "invalid_request"): """90002 90019 50059 50194 9001023 90124 90130 90038 900432 900382 90013 90014 900144
        9002313 9002324 90023 901002 50003 90119""",
    (400, "invalid_resource"): "500011 50001 650057",
    (400, "invalid_scope"): "70011 700022 700023 1002012",
    (400, "unsupported_grant_type"): "70003",
    (400, "invalid_client"): "650052 650056",
    (400, "access_denied"): "65004",
    (400, "login_required"): "50058",
    (400, "interaction_required"): "16000",
    (400, "authorization_pending"): "70016",
    (400, "authorization_declined"): "90120",
    (400, "bad_verification_code"): "70018",
    (400, "expired_token"): "70019",
    (429, "temporarily_unavailable"): "90055",
    (503, "temporarily_unavailable"): "90033 90006 90024 50033",
    (504, "temporarily_unavailable"): "90012",
}
KNOWN = {int(row.name.removeprefix("AADSTS")) for row in codes.table().values() if row.service == "AADSTS"}


def expected(number: int) -> tuple[int, str]:
    """Status and error; whatever stands nowhere above is an `invalid_grant`."""
    return next((key for key, text in EXPECTED.items() if str(number) in text.split()), (400, "invalid_grant"))


@dataclass
class Stand:
    """A tenant to be refused by, one way per code."""

    client: Client = field(default_factory=Client)

    # by the app

    def secret(self, **form: str) -> Response:
        return self.client.sign_in(**{"client_secret": self.client.secret, **form})

    def cert(self, **options: Any) -> Response:
        self.client.add_key(key_pair())
        return self.client.sign_in_with(key_pair(), **options)

    def badly_signed(self, number: int) -> Response:
        self.client.tenant.switches.bad_signature = number
        return self.cert(signed_by=key_pair(1))

    def revoked(self, number: int) -> Response:
        key = self.client.add_key(key_pair())
        self.client.change("application", _revoked={key["keyId"]: number})
        return self.client.sign_in_with(key_pair())

    def early(self) -> Response:
        early = certificates.make("early", self.client.tenant.now() + timedelta(days=1))
        entry = credentials.entry_of(early, self.client.tenant.new_id(), "early")
        self.client.change("application", keyCredentials=registrations.keys_of(self.client.tenant, [entry]))
        return self.client.sign_in_with(early)

    def federated(self, **claims: Any) -> Response:
        trusted = {"issuer": "https://ci.example", "subject": "repo:x", "audiences": [SCOPE.rpartition("/")[0]]}
        self.client.change("application", _federated=[trusted])
        good = {"iss": trusted["issuer"], "sub": trusted["subject"], "aud": trusted["audiences"][0]}
        return self.client.sign_in_with(key_pair(), **good | claims)

    def vouched(self, token: str) -> Response:
        return self.client.sign_in(client_assertion_type=ASSERTION_TYPE, client_assertion=token)

    def without_principal(self) -> Response:
        self.client.tenant.commit("servicePrincipal", self.client.principal["id"], None)
        return self.secret()

    def changed(self, kind: str, **values: Any) -> Response:
        self.client.change(kind, **values)
        return self.secret()

    def graph(self, **values: Any) -> Response:
        graph = self.client.tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
        assert graph is not None
        self.client.tenant.commit("servicePrincipal", graph["id"], graph | values)
        return self.secret()

    def raw(self, path: str, body: str, **headers: str) -> Response:
        url = f"{self.client.tenant.authority}/{path}"
        return handle(self.client.tenant, Request.to("POST", url, headers, body.encode()))

    def switched(self, **switches: Any) -> Stand:
        for name, value in switches.items():
            assert hasattr(self.client.tenant.switches, name)
            setattr(self.client.tenant.switches, name, value)
        return self

    def looping(self) -> Response:
        self.switched(loop_limit=2)
        assert [self.secret().status for _ in range(2)] == [200, 200]
        return self.secret()

    # by a person

    @property
    def user(self) -> State:
        found = self.client.tenant.latest("user", self.client.tenant.signed_in_user)
        assert found is not None
        return found

    def person(self, **values: Any) -> Response:
        """A refresh, after the person has changed."""
        given = self.tokens()
        self.client.tenant.commit("user", self.user["id"], self.user | values)
        return self.refresh(given["refresh_token"])

    def tokens(self) -> dict[str, Any]:
        code = self.flow()["device_code"]
        self.client.tenant.device_codes[code].approved_by = self.user["id"]
        return self.poll(code).json()

    def flow(self, client_id: str = AZURE_CLI) -> dict[str, Any]:
        scope = f"{self.client.tenant.graph}/.default openid offline_access"
        body = urlencode({"client_id": client_id, "scope": scope})
        return self.raw(f"{self.client.tenant.id}/oauth2/v2.0/devicecode", body).json()

    def poll(self, code: str, client_id: str = AZURE_CLI) -> Response:
        return self.client.sign_in(grant_type=DEVICE_GRANT, client_id=client_id, device_code=code)

    def late_poll(self) -> Response:
        code = self.flow()["device_code"]
        return self.waited(901, lambda: self.poll(code))

    def typed(self, code: str, choice: str = "yes") -> Response:
        return self.raw("devicelogin", urlencode({"otc": code, "choice": choice}))

    def typed_twice(self) -> Response:
        code = self.flow()
        assert self.typed(code["user_code"], "no").status == 200
        shown = self.typed(code["user_code"])
        assert "AADSTS90120" in shown.body.decode()
        return self.poll(code["device_code"])

    def waited(self, seconds: float, then: Callable[[], Response]) -> Response:
        self.client.clock.waited += seconds
        return then()

    def refresh(self, token: str) -> Response:
        return self.client.sign_in(grant_type="refresh_token", client_id=AZURE_CLI, refresh_token=token)

    def later(self, seconds: float, **values: Any) -> Response:
        token = self.tokens()["refresh_token"]
        self.client.tenant.commit("user", self.user["id"], self.user | values)
        return self.waited(seconds, lambda: self.refresh(token))

    def revoked_session(self) -> Response:
        token = self.tokens()["refresh_token"]
        self.client.clock.waited += 5
        people.revoke(self.client.tenant, self.user["id"])
        return self.refresh(token)

    def in_an_app(self, platform: str) -> dict[str, Any]:
        """The tokens of a person who signs in to an app of the tenant with a browser.

        :param platform: `publicClient` or `spa`.
        """
        declared = [{"resourceAppId": GRAPH_APP_ID, "resourceAccess": []}]
        addresses = {platform: {"redirectUris": ["http://localhost"]}}
        self.client.change("application", isFallbackPublicClient=True, requiredResourceAccess=declared, **addresses)
        tenant = self.client.tenant
        graph = tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
        assert graph is not None
        grant = consents.new_grant(self.client.principal["id"], graph["id"], "User.Read")
        tenant.commit(consents.KIND, grant["id"], grant)
        verifier = "v" * 43
        digest = hashlib.sha256(verifier.encode()).digest()
        response = self.browser(
            "yes",
            client_id=self.client.app_id,
            scope=f"{tenant.graph}/.default offline_access",
            code_challenge=base64.urlsafe_b64encode(digest).decode().rstrip("="),
        )
        (code,) = parse_qs(urlsplit(response.headers["Location"]).query)["code"]
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
        return self.client.sign_in(**form, redirect_uri="http://localhost:8400").json()

    def refresh_in_app(self, token: str) -> Response:
        return self.client.sign_in(grant_type="refresh_token", refresh_token=token)

    def from_a_browser_app(self) -> Response:
        token = self.in_an_app("spa")["refresh_token"]
        return self.waited(2 * DAY, lambda: self.refresh_in_app(token))

    def password(self, user: str, tenant: str | None = None) -> Response:
        form = {"grant_type": "password", "client_id": AZURE_CLI, "username": user, "password": "x"}
        return self.client.sign_in(tenant, **form)

    def native(self, declared: list[State] | None = None, **principal: Any) -> Response:
        """A person signs in to an app of the tenant, which is a native one."""
        listed = [{"resourceAppId": GRAPH_APP_ID, "resourceAccess": []}] if declared is None else declared
        self.client.change("application", isFallbackPublicClient=True, requiredResourceAccess=listed)
        self.client.change("servicePrincipal", **principal)
        code = self.flow(self.client.app_id)["device_code"]
        self.client.tenant.device_codes[code].approved_by = self.user["id"]
        return self.poll(code, self.client.app_id)

    def browser(self, choice: str = "", **query: str) -> Response:
        given = {
            "client_id": AZURE_CLI,
            "redirect_uri": "http://localhost:8400",
            "response_type": "code",
            "scope": f"{self.client.tenant.graph}/.default",
            "code_challenge": "x" * 43,
            "code_challenge_method": "S256",
            **query,
        }
        url = f"{self.client.tenant.authority}/{self.client.tenant.id}/oauth2/v2.0/authorize?{urlencode(given)}"
        body = urlencode({"choice": choice}).encode()
        return handle(self.client.tenant, Request.to("POST" if choice else "GET", url, {}, body))

    def late_code(self) -> Response:
        where = parse_qs(urlsplit(self.browser("yes").headers["Location"]).query)
        self.client.clock.waited += people.CODE_LIFE + 1
        form = {"grant_type": "authorization_code", "client_id": AZURE_CLI, "code": where["code"][0]}
        return self.client.sign_in(**form)

    # by an agent

    @property
    def chain(self) -> Chain:
        return Chain(self.client)

    def stranger(self) -> Response:
        chain = self.chain
        return chain.as_blueprint(fmi_path=chain.child(GONE)["id"])

    def t2(self, make: Callable[[Chain], str]) -> Response:
        chain = self.chain
        return chain.hop3(make(chain))

    def t1(self, make: Callable[[Chain], str]) -> Response:
        chain = self.chain
        return chain.as_agent(make(chain))

    def late_t2(self) -> Response:
        chain = self.chain
        t2 = chain.hop2()
        self.client.clock.waited += 3700
        return chain.hop3(t2)

    def without_consent(self) -> Response:
        chain = self.chain
        self.client.tenant.commit(consents.KIND, chain.grant["id"], None)
        return chain.hop3()


#: What makes the service refuse by itself, or one of its switches.
CAUSES: dict[int, Callable[[Stand], Response]] = {
    7000215: lambda s: s.secret(client_secret="wrong"),
    7000222: lambda s: s.waited(731 * DAY, s.secret),
    7000216: lambda s: s.client.sign_in(),
    7000218: lambda s: s.client.sign_in(grant_type="refresh_token", refresh_token="x"),
    9002324: lambda s: s.secret(client_assertion="x"),
    700025: lambda s: s.secret(client_id=AZURE_CLI),
    700027: lambda s: s.client.sign_in_with(key_pair()),
    7000274: lambda s: s.badly_signed(7000274),
    50012: lambda s: s.badly_signed(50012),
    700024: lambda s: s.cert(exp=1),
    7000214: lambda s: s.revoked(7000214),
    7000277: lambda s: s.revoked(7000277),
    1000502: lambda s: s.early(),
    50027: lambda s: s.vouched("x"),
    50048: lambda s: s.cert(sub=GONE),
    50013: lambda s: s.federated(),
    500133: lambda s: s.late_t2(),
    700016: lambda s: s.secret(client_id=GONE),
    7000229: lambda s: s.without_principal(),
    7000112: lambda s: s.changed("servicePrincipal", accountEnabled=False),
    90002: lambda s: s.client.sign_in(GONE),
    90019: lambda s: s.raw("oauth2/v2.0/token", ""),
    50059: lambda s: s.client.sign_in("organizations", client_secret=s.client.secret),
    50194: lambda s: s.client.sign_in("common", client_secret=s.client.secret),
    9001023: lambda s: s.password("dana@contoso.onmicrosoft.com", "common"),
    500011: lambda s: s.secret(scope="https://evil.example/.default"),
    50001: lambda s: s.graph(accountEnabled=False),
    70011: lambda s: s.secret(scope="openid"),
    700022: lambda s: s.secret(scope=f"{SCOPE} {s.client.tenant.graph}/.default"),
    700023: lambda s: s.secret(scope=".default"),
    1002012: lambda s: s.secret(scope=f"{s.client.tenant.graph}/User.Read"),
    90013: lambda s: s.secret(client_id="a\nb"),
    90014: lambda s: s.secret(scope=""),
    900144: lambda s: s.secret(grant_type=""),
    9002313: lambda s: s.raw(f"{s.client.tenant.id}/oauth2/v2.0/token", "grant_type=a&grant_type=b"),
    90023: lambda s: s.client.sign_in(client_assertion="x", client_assertion_type="other"),
    901002: lambda s: s.secret(resource=s.client.tenant.graph),
    7000114: lambda s: s.secret(grant_type=ON_BEHALF, assertion=s.secret().json()["access_token"]),
    70003: lambda s: s.secret(grant_type="magic"),
    70021: lambda s: s.stranger(),
    700211: lambda s: s.t1(lambda chain: chain.hop1(path="")),
    700212: lambda s: s.t2(lambda chain: s.secret().json()["access_token"]),
    700213: lambda s: s.t1(lambda chain: chain.hop1(path=chain.child(chain.blueprint["appId"])["id"])),
    70025: lambda s: s.client.sign_in_with(key_pair(), iss="https://ci.example"),
    700222: lambda s: s.vouched(s.secret().json()["access_token"]),
    700229: lambda s: s.t2(lambda chain: s.tokens()["access_token"]),
    82001: lambda s: s.chain.as_blueprint(scope=f"{s.client.tenant.graph}/.default"),
    82002: lambda s: s.chain.as_blueprint(grant_type="password", username="x", password="x"),
    65001: lambda s: s.without_consent(),
    65004: lambda s: s.browser("no"),
    650056: lambda s: s.native([]),
    650057: lambda s: s.native([{"resourceAppId": GONE, "resourceAccess": []}]),
    90094: lambda s: s.switched(users_may_consent=False).native(),
    90055: lambda s: s.switched(login_refuses=90055).secret(),
    50196: lambda s: s.looping(),
    50058: lambda s: s.browser(prompt="none"),
    50173: lambda s: s.revoked_session(),
    70000: lambda s: s.refresh("x"),
    70008: lambda s: s.late_code(),
    700082: lambda s: s.later(91 * DAY),
    700084: lambda s: s.from_a_browser_app(),
    70043: lambda s: s.later(2 * DAY, _sign_in_frequency=DAY),
    50126: lambda s: s.password(s.user["userPrincipalName"]),
    50056: lambda s: s.password(s.chain.user["userPrincipalName"]),
    50034: lambda s: s.password("nobody@contoso.onmicrosoft.com"),
    50014: lambda s: s.person(externalUserState="PendingAcceptance"),
    50057: lambda s: s.person(accountEnabled=False),
    70016: lambda s: s.poll(s.flow()["device_code"]),
    70018: lambda s: s.poll("x"),
    70019: lambda s: s.late_poll(),
    90119: lambda s: s.typed(""),
    90120: lambda s: s.typed_twice(),
    50105: lambda s: s.native(appRoleAssignmentRequired=True),
    500021: lambda s: s.raw(f"{s.client.tenant.id}/oauth2/v2.0/token", "", **{"Restrict-Access-To-Tenants": "other"}),
}
#: What the sandbox has no cause for: why, and what a scenario puts it on.
PUT: dict[str, tuple[str, Callable[[Stand, int], Response]]] = {
    # devices, risk, policies and second factors do not exist here: whoever meets them is marked
    "50020 50053 50055 50064 50072 50074 50076 50078 50079 50089 50097 50131 50132 50133 50144 50158 51004 16000 53000 "
    "53001 53002 53011 530003 530032 530034 530035 500022 500212 500213 90093 90095": (
        "on a person",
        lambda s, number: s.person(_refused=number),
    ),
    # older numbers for what has a newer one, policies for workload identities, partners
    "70001 53003 90099 90130": (
        "on a service principal",
        lambda s, number: s.changed("servicePrincipal", _refused=number),
    ),
    # the resource's own business
    "50003 650052 90124": ("on a resource", lambda s, number: s.graph(_refused=number)),
    # the service's state, other clouds, and numbers that no source tells apart
    "90006 90012 90024 90033 50033 90038 900382 900432 900384 7002121 700226 700227 5002730 5002738": (
        "on the service",
        lambda s, number: s.switched(login_refuses=number).secret(),
    ),
}
ALL = {**CAUSES}
for text, (_, put) in PUT.items():
    for each in text.split():
        assert int(each) not in ALL
        ALL[int(each)] = lambda s, put=put, number=int(each): put(s, number)  # type: ignore[misc]


def test_P11_no_code_of_the_table_is_out_of_reach() -> None:
    assert set(ALL) == set(KNOWN)
    assert not KNOWN - set(table())


def description(response: Response) -> tuple[str, str]:
    """Error and description of a refusal, as JSON, on a page, or on the way back to the client."""
    if "Location" in response.headers:
        query = parse_qs(urlsplit(response.headers["Location"]).query)
        return query["error"][0], query["error_description"][0]
    if response.headers["Content-Type"].startswith("text/html"):
        (shown,) = re.findall(r"<p>(AADSTS.*?)</p>", response.body.decode())
        return "", unescape(shown)
    body = response.json()
    assert {"error_codes", "timestamp", "trace_id", "correlation_id", "error_uri"} <= set(body), body
    for name in ("trace_id", "correlation_id", "timestamp"):
        assert body[name] in body["error_description"]
    assert "access_token" not in body
    return body["error"], body["error_description"]


@pytest.mark.parametrize("number", sorted(ALL))
def test_S2_P11_every_code_can_be_met_and_is_read(number: int) -> None:
    stand = Stand()
    response = ALL[number](stand)
    error, text = description(response)
    status, named = expected(number)
    if response.status == 302:
        assert (error, response.headers["Location"].partition("?")[0]) == (named, "http://localhost:8400")
    else:
        assert (response.status, error or named) == (status, named), text
    assert re.match(rf"AADSTS{number}: [A-Z'{{]", text), text
    assert ("Retry-After" in response.headers) is (status in (429, 503))
    assert response.headers.get("Retry-After", str(RETRY_AFTER)) == str(RETRY_AFTER)
    assert stand.client.secret not in text
    # and the product names it
    found = codes.read(text)
    assert found.codes == (number,)
    if response.status != 302:
        assert re.fullmatch(r"[0-9a-f-]{36}", found.trace_id)
        assert re.fullmatch(r"[0-9a-f-]{36}", found.correlation_id)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", found.timestamp)
    said = SignInError(text, stand.client.tenant.id)
    assert said.known is not None
    assert said.known.name == f"AADSTS{number}"
    told = TokenError(error, found.codes, text, app_id=stand.client.app_id)
    assert (told.id == "token.clock") if number == 700024 else (told.known is not None and told.known == said.known)


def test_P11_a_refusal_repeats_what_the_client_called_its_request() -> None:
    stand = Stand()
    path = f"{stand.client.tenant.id}/oauth2/v2.0/token"
    response = stand.raw(path, "", **{"client-request-id": "11111111-0000-4000-8000-000000000000"})
    assert response.json()["correlation_id"] == "11111111-0000-4000-8000-000000000000"
    assert response.headers["client-request-id"] == "11111111-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("number", "suberror"),
    [
        (50076, "basic_action"),
        (65001, "consent_required"),
        (53003, "message_only"),
        (50173, "bad_token"),
        (50057, None),
    ],
)
def test_S2_what_msal_tells_cases_apart_by(number: int, suberror: str | None) -> None:
    assert ALL[number](Stand()).json().get("suberror") == suberror


# every other position of the switches


def test_S3_switches_that_are_off() -> None:
    stand = Stand()
    assert stand.secret().status == 200, "nothing is refused unless it is switched on"
    assert [stand.secret().status for _ in range(30)] == [200] * 30, "loops are not counted"
    assert stand.cert(signed_by=key_pair(1)).json()["error_codes"] == [700027]


def test_S3_loops_are_counted_for_five_minutes() -> None:
    stand = Stand()
    assert stand.looping().json()["error_codes"] == [50196]
    assert stand.secret(scope=SCOPE).status == 200, "another request"
    stand.client.clock.waited += 301
    assert stand.secret().status == 200


@pytest.mark.parametrize(("on", "number"), [(True, 700025), (False, 0)])
def test_S3_an_app_with_public_client_flows_may_have_a_credential(on: bool, number: int) -> None:
    stand = Stand().switched(fallback_is_public=on)
    response = stand.changed("application", isFallbackPublicClient=True)
    assert response.json().get("error_codes", [0]) == [number]


@pytest.mark.parametrize("detail", [True, False])
def test_S3_what_does_not_fit_a_federated_credential_has_a_number_or_not(detail: bool) -> None:
    for claims, number in (
        ({"iss": "https://other.example"}, 700211),
        ({"aud": "other"}, 700212),
        ({"sub": "REPO:X"}, 700213),
    ):
        stand = Stand().switched(federation_detail=detail)
        assert stand.federated(**claims).json()["error_codes"] == [number if detail else 70021]


@pytest.mark.parametrize(("life", "accepted"), [(86400.0, False), (0.0, True)])
def test_S3_an_assertion_may_last_for_years_or_not(life: float, accepted: bool) -> None:
    stand = Stand().switched(assertion_life=life)
    now = int(stand.client.tenant.now().timestamp())
    assert (stand.cert(exp=now + 315360000).status == 200) is accepted
    assert stand.client.sign_in_with(key_pair(), exp=now + 3600).status == 200


@pytest.mark.parametrize("replay", [True, False])
def test_S3_an_assertion_may_be_used_again_or_not(replay: bool) -> None:
    stand = Stand().switched(replay=replay)
    stand.client.add_key(key_pair())
    once = stand.client.assertion(key_pair())
    assert stand.vouched(once).status == 200
    again = stand.vouched(once)
    assert (again.status == 200) is replay
    assert stand.vouched(stand.client.assertion(key_pair())).status == 200
    assert len(stand.client.tenant.assertions) == (0 if replay else 2), "only what is looked up is kept"
