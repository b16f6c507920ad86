"""Bodies and queries that make no sense: each is refused in the service's own words, none is a bug (S1, S2)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.sandbox import service
from core.sandbox.dashboard import facts
from core.sandbox.directory.store import GRAPH_APP_ID, Tenant
from core.sandbox.graph import objects, roles
from core.sandbox.http import DEEPEST, Request, Response
from tests.sandbox.chain import BLUEPRINTS, IDENTITIES, PRINCIPALS, USERS, Chain
from tests.sandbox.client import Client, key_pair

BAD = (400, "Request_BadRequest")
DEEP = b'{"displayName": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
SCOPES = (
    "Application.ReadWrite.All AppRoleAssignment.ReadWrite.All DelegatedPermissionGrant.ReadWrite.All "
    "Policy.ReadWrite.ApplicationConfiguration User.ReadWrite.All LicenseAssignment.ReadWrite.All Domain.Read.All"
)


class Context:
    """An app with a key, an agent chain and a policy; put back as it was before each example."""

    def __init__(self) -> None:
        self.client = client = Client()
        client.add_key(key_pair())
        client.add_key(key_pair(), "servicePrincipal")
        chain = Chain(client)
        blueprint = chain.blueprint()
        identity = chain.identity(blueprint)
        user = chain.user(identity)
        self.agent = client.token
        self.owner = client.app_token()
        self.admin = client.scoped(SCOPES, roles.GLOBAL_ADMINISTRATOR)
        policy = client.call("POST", "/policies/appManagementPolicies", {"displayName": "x"}, self.admin).json()["id"]
        app, principal = (
            f"/{collection}/{client.latest(kind)['id']}" for kind, collection in list(objects.COLLECTIONS.items())[:2]
        )
        graph = client.tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
        assert graph is not None
        agents = [
            f"{path}/{made['id']}" for path, made in ((BLUEPRINTS, blueprint), (IDENTITIES, identity), (USERS, user))
        ]
        policies = ["/policies/defaultAppManagementPolicy", f"/policies/appManagementPolicies/{policy}"]
        consents = client.call(
            "POST",
            "/oauth2PermissionGrants",
            {
                "clientId": client.principal["id"],
                "resourceId": graph["id"],
                "consentType": "AllPrincipals",
                "scope": "User.Read",
            },
            self.admin,
        ).json()
        changed = [app, principal, *agents, f"/users/{client.tenant.signed_in_user}", *policies]
        changed += [f"/oauth2PermissionGrants/{consents['id']}", "/applications(uniqueName='x')"]
        self.reads = [*(path for path in changed if "uniqueName" not in path), "/applications", "/servicePrincipals"]
        self.reads += ["/users", f"{principal}/appRoleAssignments", "/oauth2PermissionGrants"]
        posted = ["/applications", "/servicePrincipals", "/users", BLUEPRINTS, PRINCIPALS, IDENTITIES, USERS]
        posted += ["/oauth2PermissionGrants", "/policies/appManagementPolicies", "/$batch"]
        posted += [f"/users/{client.tenant.signed_in_user}/assignLicense", f"{principal}/appRoleAssignments"]
        posted += [f"/servicePrincipals/{graph['id']}/appRoleAssignedTo", f"{app}/appManagementPolicies/$ref"]
        for holder in (app, principal, agents[0]):
            posted += [f"{holder}/{do}{what}" for do in ("add", "remove") for what in ("Key", "Password")]
            posted.append(f"{holder}/owners/$ref")
        self.passwords = [f"{app}/addPassword", f"{principal}/addPassword"]
        self.writes = [*(("PATCH", path) for path in changed), *(("POST", path) for path in posted)]
        self.own = {path: [*client.call("GET", path, token=self.admin).json()] for path in changed if "'" not in path}
        self.before = {kind: list(client.tenant.all_latest(kind)) for kind in client.tenant.kinds()}
        self.proofs = [
            client.proof(key_pair(), client.latest(kind)["id"]) for kind in ("application", "servicePrincipal")
        ]

    def reset(self) -> None:
        tenant = self.client.tenant
        for kind in tenant.kinds():
            for state in list(tenant.all_latest(kind)):
                tenant.commit(kind, state["id"], None)
            for state in self.before.get(kind, []):
                tenant.commit(kind, state["id"], state)

    def send(self, method: str, path: str, body: bytes, token: str) -> Response:
        url = f"{self.client.tenant.graph}/v1.0" + quote(path, safe="/$()='")
        given = {"Authorization": f"Bearer {token}", "Prefer": "create-if-missing", "Content-Type": "application/json"}
        return service.handle(self.client.tenant, Request.to(method, url, given, body))


@pytest.fixture(scope="module")
def ctx() -> Context:
    return Context()


@pytest.fixture
def client() -> Client:
    return Client()


NAMES = st.sampled_from(
    [
        *("@odata.id", "@odata.type", "accountEnabled", "addLicenses", "agentIdentityBlueprintId", "appId", "appRoles"),
        *(
            "appRoleId",
            "applicationRestrictions",
            "body",
            "clientId",
            "consentType",
            "customKeyIdentifier",
            "dependsOn",
        ),
        *("displayName", "endDateTime", "headers", "id", "identifierUris", "identityParent", "identityParentId"),
        *("isEnabled", "key", "keyCredential", "keyCredentials", "keyId", "mailNickname", "maxLifetime", "method"),
        *("notes", "oauth2PermissionScopes", "owners@odata.bind", "passwordCredential", "passwordCredentials"),
        *("principalId", "proof", "removeLicenses", "requests", "requiredResourceAccess", "resourceAccess"),
        *("resourceAppId", "resourceId", "restrictionType", "restrictions", "scope", "servicePrincipalNames"),
        *("signInAudience", "sponsors@odata.bind", "startDateTime", "startTime", "tags", "type", "url", "usage"),
        *("userPrincipalName", "web", "restrictForAppsCreatedAfterDateTime", "businessPhones", "skuId"),
    ]
)
CREDENTIALS = {
    "addKey": ["keyCredential", "proof"],
    "addPassword": ["passwordCredential"],
    "removeKey": ["keyId", "proof"],
    "removePassword": ["keyId"],
}
TEXTS = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        [
            *("AsymmetricX509Cert", "Verify", "AllPrincipals", "Principal", "GET", "POST", "/applications", "http://["),
            *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9999-01-01", "0900-01-01", "2030-01-01"),
            *("P99999999999999999D", "P5D", "passwordLifetime", "asymmetricKeyLifetime", "customPasswordAddition"),
            *(
                "#microsoft.graph.agentIdentity",
                "#microsoft.graph.application",
                "\ud800",
                "x" * 300,
                "a.b.c",
                "1" * 5000,
            ),
        ]
    ),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_S2_no_body_whatsoever_is_a_bug(ctx: Context, data: st.DataObject) -> None:
    ctx.reset()
    client = ctx.client
    method, path = data.draw(st.sampled_from(ctx.writes))
    names = st.sampled_from(ctx.own.get(path) or CREDENTIALS.get(path.rpartition("/")[2]) or ["requests"]) | NAMES
    body: Any = data.draw(st.dictionaries(names, VALUES, min_size=1, max_size=4) | VALUES)
    if isinstance(body, dict):
        if path.endswith("Key") and data.draw(st.booleans()):
            body["proof"] = ctx.proofs["servicePrincipals" in path]
        if data.draw(st.booleans()):
            body |= {"displayName": "x"}
        if path.endswith("principals") and data.draw(st.booleans()):
            body["appId"] = client.app_id
    for token in (ctx.admin, ctx.agent, ctx.owner):
        assert ctx.send(method, path, json.dumps(body).encode(), token).status < 500
    for read in ctx.reads:  # nor does it leave one behind
        for token in (ctx.admin, ctx.agent):
            assert client.call("GET", read, token=token).status < 500
    for add in ctx.passwords:
        assert ctx.send("POST", add, b"", ctx.admin).status < 500
    assert client.sign_in(client_secret=client.secret).status < 500
    assert client.sign_in_with(key_pair()).status < 500
    facts.of(client.tenant, [])


def test_S2_json_that_is_nested_too_deeply_is_refused(ctx: Context) -> None:
    ctx.reset()
    for method, path in ctx.writes:
        for token in (ctx.admin, ctx.agent):
            assert ctx.send(method, path, DEEP, token).status in (400, 403), path
    items = {
        "requests": [{"id": "1", "method": "POST", "url": "/applications", "body": json.loads("[" * 900 + "]" * 900)}]
    }
    assert ctx.send("POST", "/$batch", json.dumps(items).encode(), ctx.admin).status == 400
    nested = f'{{"a": {"[" * (DEEPEST - 1)}{"]" * (DEEPEST - 1)}}}'.encode()
    assert Request("POST", "x", "/", body=nested).json()
    with pytest.raises(ValueError, match="deeply"):
        Request("POST", "x", "/", body=nested.replace(b"[]", b"[[]]")).json()


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_S2_what_is_no_number_is_refused(ctx: Context, name: str) -> None:
    """Python reads and writes them; JSON does not know them (RFC 8259)."""
    ctx.reset()
    body = f'{{"displayName": "x", "tags": [{name}]}}'.encode()
    answer = ctx.send("POST", "/applications", body, ctx.admin)
    assert (answer.status, answer.json()["error"]["code"]) == (400, "BadRequest")


@pytest.mark.parametrize("value", [{}, None, [], "", 0, [{}]])
def test_S2_passwords_are_sent_back_as_they_are_or_not_at_all(client: Client, value: Any) -> None:
    before, path = client.app, f"/applications/{client.app['id']}"
    assert client.refused("PATCH", path, {"passwordCredentials": value}) == BAD
    assert client.app == before
    shown = client.get(path)["passwordCredentials"]
    assert client.call("PATCH", path, {"passwordCredentials": shown, "displayName": "new"}).status == 204
    assert client.app == before | {"displayName": "new"}


@pytest.mark.parametrize(
    "wanted",
    [
        5,
        [],
        "x",
        {"displayName": 5},
        {"startDateTime": "0001-01-01T00:00:00+23:59"},
        {"endDateTime": "9999-12-31T23:59:59-23:59"},
        {"endDateTime": "0900-01-01"},
        {"startDateTime": "9999-01-01"},
        {"endDateTime": "2020-01-01"},
        {"startDateTime": "2050-01-02", "endDateTime": "2050-01-01"},
    ],
)
def test_S2_a_password_that_cannot_be_is_refused(client: Client, wanted: Any) -> None:
    before, path = client.app, f"/applications/{client.app['id']}/addPassword"
    assert client.refused("POST", path, {"passwordCredential": wanted}) == BAD
    assert client.app == before
    assert client.call("POST", path, {"passwordCredential": None}).status == 200


@pytest.mark.parametrize("body", [{}, {"keyId": None, "appId": None}])
@pytest.mark.parametrize(
    ("path", "name"), [("/servicePrincipals", "appId"), ("/applications/{}/removePassword", "keyId")]
)
def test_S2_what_is_missing_is_called_missing(client: Client, path: str, name: str, body: dict[str, None]) -> None:
    response = client.call("POST", path.format(client.app["id"]), body)
    error = response.json()["error"]
    assert (response.status, error["code"]) == BAD
    assert error["message"] == f"Property '{name}' is required."


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/me/memberOf"),
        ("GET", "/organization/00000000-0000-0000-0000-000000000001/branding"),
        ("GET", "/devices"),
        ("POST", "/users"),
        ("PUT", "/applications/{}"),
        ("GET", "/applications/{}/extensionProperties"),
        ("PATCH", "/applications/{}/owners"),
    ],
)
def test_S2_what_the_sandbox_lacks_it_does_not_call_unknown(client: Client, method: str, path: str) -> None:
    path = path.format(client.app["id"])
    response = client.call(method, path, {} if method != "GET" else None)
    error = response.json()["error"]
    assert (response.status, error["code"]) == (400, "BadRequest")
    assert error["message"] == f"The sandbox does not have '{method} /v1.0{path}'."


@pytest.mark.parametrize("option", ["$top", "$skiptoken"])
def test_S2_a_page_of_5000_digits_is_refused(client: Client, option: str) -> None:
    assert client.refused("GET", f"/applications?{option}={'9' * 5000}") == BAD


@pytest.mark.parametrize(
    ("host", "path", "code"),
    [
        ("localhost", "/v1.0/me", "InternalServerError"),
        ("127.0.0.1", "/subscriptions", "InternalServerError"),
        ("127.0.0.1", "/common/oauth2/v2.0/token", "temporarily_unavailable"),
        ("main.iam.ad.ext.azure.com", "/api/x", None),
    ],
)
def test_S1_a_bug_is_told_by_the_service_that_was_asked(
    host: str, path: str, code: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    class Broken(Tenant):
        def all_latest(self, kind: str) -> Any:
            raise LookupError("a value that no log may show")

    tenant = Broken(Client().clock)
    response = service.handle(tenant, Request.to("GET", f"https://{host}{path}"))
    body = response.json()
    assert response.status == 500
    match code:
        case "InternalServerError" if path.startswith("/v1.0"):
            assert body["error"]["code"] == code
            assert body["error"]["innerError"]["request-id"] == response.headers["request-id"]
        case "InternalServerError":
            assert body["error"]["code"] == code
        case None:
            assert set(body) == {"Message"}
        case _:
            assert body["error"] == code
            assert body["trace_id"]
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("sandbox: GET met LookupError at test_malformed.py:")
    assert "value" not in line
