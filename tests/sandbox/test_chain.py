"""The agent chain of the pretend Graph: Blueprint, its principal, Agent Identity, Agent User (S1, S2, A1-A3)."""

from __future__ import annotations

from typing import Any

import pytest

from core.sandbox.directory import registrations
from core.sandbox.directory.store import GRAPH_APP_ID, Issued, State
from core.sandbox.graph import roles
from core.sandbox.http import Request
from core.sandbox.service import handle
from tests.sandbox.chain import BLUEPRINTS, EVERY, IDENTITIES, PRINCIPALS, USERS, Chain
from tests.sandbox.client import Client, key_pair

GONE = "00000000-0000-4000-8000-000000000000"
DENIED = (403, "Authorization_RequestDenied")
BAD = (400, "Request_BadRequest")


@pytest.fixture
def chain() -> Chain:
    return Chain(Client())


@pytest.fixture
def client(chain: Chain) -> Client:
    return chain.client


def detail(client: Client, path: str, body: State) -> tuple[int, str, str, str]:
    response = client.call("POST", path, body)
    error = response.json()["error"]
    (found,) = error["details"]
    return response.status, error["code"], found["code"], found["target"]


def error_of(client: Client, path: str, body: State) -> tuple[int, str, str]:
    response = client.call("POST", path, body)
    error = response.json()["error"]
    return response.status, error["code"], error["message"]


# the way down


def test_A1_the_whole_chain_is_made_and_each_knows_its_parent(chain: Chain, client: Client) -> None:
    blueprint = chain.blueprint(description="ours")
    assert blueprint["@odata.type"] == "#microsoft.graph.agentIdentityBlueprint"
    assert (blueprint["description"], blueprint["signInAudience"]) == ("ours", "AzureADMyOrg")
    identity = chain.identity(blueprint)
    assert identity["@odata.type"] == "#microsoft.graph.agentIdentity"
    assert identity["id"] == identity["appId"]
    assert identity["agentIdentityBlueprintId"] == blueprint["appId"]
    assert (identity["servicePrincipalType"], identity["createdByAppId"]) == ("ServiceIdentity", client.app_id)
    user = chain.user(identity)
    assert (user["@odata.type"], user["identityParentId"]) == ("#microsoft.graph.agentUser", identity["id"])
    principal = client.get(f"/servicePrincipals(appId='{blueprint['appId']}')")
    assert principal["@odata.type"] == "#microsoft.graph.agentIdentityBlueprintPrincipal"
    assert principal["servicePrincipalType"] == "Application"
    for path, made in ((BLUEPRINTS, blueprint), (IDENTITIES, identity), (USERS, user), (PRINCIPALS, principal)):
        assert [item["id"] for item in client.get(path)["value"]] == [made["id"]]


@pytest.mark.parametrize("hash_sign", ["", "#"])
def test_A1_the_type_may_stand_in_the_body(chain: Chain, hash_sign: str) -> None:
    def typed(name: str) -> dict[str, str]:
        return {"@odata.type": f"{hash_sign}microsoft.graph.{name}"}

    blueprint = chain.made("/applications", chain.blueprint_body(**typed("agentIdentityBlueprint")))
    chain.made("/servicePrincipals", {"appId": blueprint["appId"], **typed("agentIdentityBlueprintPrincipal")})
    identity = chain.made("/servicePrincipals", chain.identity_body(blueprint, **typed("agentIdentity")))
    chain.made("/users", chain.user_body(None, identityParent={"id": identity["id"]}, **typed("agentUser")))


def test_S2_a_type_that_does_not_belong_there_is_refused(chain: Chain, client: Client) -> None:
    body = chain.blueprint_body(**{"@odata.type": "#microsoft.graph.agentIdentity"})
    assert client.refused("POST", "/applications", body) == BAD
    assert client.refused("POST", BLUEPRINTS, body) == BAD
    for path in ("/users/microsoft.graph.agentIdentity", "/applications/microsoft.graph.agentNonsense"):
        assert client.refused("GET", path) == (400, "BadRequest")
    assert client.refused("POST", "/users", {"displayName": "a person"}) == (400, "BadRequest")


def test_S1_an_object_is_found_by_both_forms_of_its_typed_path_and_by_none_of_another_type(
    chain: Chain, client: Client
) -> None:
    blueprint = chain.blueprint()
    typed = "microsoft.graph.agentIdentityBlueprint"
    for path in (
        f"/applications/{blueprint['id']}/{typed}",
        f"/applications/{typed}/{blueprint['id']}",
        f"/applications(appId='{blueprint['appId']}')/{typed}",
        f"/applications/{blueprint['id']}",
    ):
        assert client.get(path)["@odata.type"] == f"#{typed}"
        assert client.call("PATCH", path, {"displayName": path}).status == 204
        assert client.get(path)["displayName"] == path
    plain = client.app["id"]
    assert client.refused("GET", f"/applications/{plain}/{typed}") == (404, "Request_ResourceNotFound")
    assert client.refused("DELETE", f"/applications/{typed}/{plain}") == (404, "Request_ResourceNotFound")
    principal = client.principal["id"]
    assert client.refused("GET", f"{IDENTITIES}/{principal}") == (404, "Request_ResourceNotFound")


def test_A1_who_creates_a_blueprint_owns_it_and_its_sponsors_are_listed(chain: Chain, client: Client) -> None:
    alex = client.tenant.find("user", "displayName", "Alex Admin")
    assert alex is not None
    owners = {"owners@odata.bind": [f"https://graph.microsoft.com/v1.0/users('{alex['id']}')"]}
    blueprint = chain.made(BLUEPRINTS, chain.blueprint_body(**owners))
    path = f"{BLUEPRINTS}/{blueprint['id']}"
    assert [o["id"] for o in client.get(f"{path}/owners")["value"]] == [client.principal["id"], alex["id"]]
    assert [o["id"] for o in client.get(f"{path}/sponsors")["value"]] == [client.tenant.signed_in_user]
    assert client.refused("GET", f"/applications/{client.app['id']}/sponsors")[0] == 400, "of agents only"


# parents and sponsors


def test_S2_a_principal_is_never_there_by_itself_and_never_twice(chain: Chain, client: Client) -> None:
    blueprint = chain.made(BLUEPRINTS, chain.blueprint_body())
    by_app = f"/servicePrincipals(appId='{blueprint['appId']}')"
    assert client.refused("GET", by_app) == (404, "Request_ResourceNotFound")
    body = chain.identity_body(blueprint)
    missing = (400, "AgentIdentity_AgentBlueprintPrincipalDoesNotExist")
    assert client.refused("POST", IDENTITIES, body) == missing
    plain = {"appId": blueprint["appId"]}
    chain.made(PRINCIPALS, plain)
    assert client.refused("POST", PRINCIPALS, plain) == (409, "Request_MultipleObjectsWithSameKeyValue")
    assert client.call("POST", IDENTITIES, body).status == 201


def test_S2_a_principal_needs_a_blueprint_and_a_plain_one_is_none_for_it(chain: Chain, client: Client) -> None:
    app = client.call("POST", "/applications", {"displayName": "plain"}).json()
    needs = (400, "AgentBlueprintPrincipal_RequireAgentBlueprint")
    assert client.refused("POST", PRINCIPALS, {"appId": app["appId"]}) == needs
    assert client.refused("POST", PRINCIPALS, {"appId": GONE}) == BAD
    blueprint = chain.made(BLUEPRINTS, chain.blueprint_body())
    assert client.refused("POST", "/servicePrincipals", {"appId": blueprint["appId"]}) == BAD
    assert client.refused("POST", "/servicePrincipals", {"appId": blueprint["appId"]}, chain.person) == DENIED
    assert client.tenant.find("servicePrincipal", "appId", blueprint["appId"]) is None


def test_S2_an_agent_identity_needs_a_blueprint_as_its_parent(chain: Chain, client: Client) -> None:
    wrong = chain.identity_body({"appId": client.app_id})
    assert client.refused("POST", IDENTITIES, wrong) == (400, "AgentIdentity_IncompatibleParentType")
    status, code, message = error_of(client, IDENTITIES, chain.identity_body({"appId": GONE}))
    assert (status, code) == BAD
    assert message == f"Object with id '{GONE}' not found."
    without = chain.identity_body({"appId": GONE})
    del without["agentIdentityBlueprintId"]
    assert client.refused("POST", IDENTITIES, without) == BAD


@pytest.mark.parametrize("binding", [None, [], ["/users/" + GONE], "x", [7]], ids=str)
def test_S2_sponsors_are_required_and_must_be_known(chain: Chain, client: Client, binding: Any) -> None:
    blueprint = chain.blueprint()
    before = sum(1 for kind in ("application", "servicePrincipal") for _ in client.tenant.all_latest(kind))
    for path, body in ((BLUEPRINTS, chain.blueprint_body()), (IDENTITIES, chain.identity_body(blueprint))):
        del body["sponsors@odata.bind"]
        spoilt = body if binding is None else {**body, "sponsors@odata.bind": binding}
        assert client.refused("POST", path, spoilt) == BAD
    assert before == sum(1 for kind in ("application", "servicePrincipal") for _ in client.tenant.all_latest(kind))


def test_S2_an_agent_identity_creates_none_and_a_blueprint_none_for_another(chain: Chain, client: Client) -> None:
    first, second = chain.blueprint(), chain.blueprint()
    identity = chain.identity(first)
    principal = client.tenant.find("servicePrincipal", "appId", first["appId"])
    assert principal is not None

    def token(state: State) -> str:
        claims = client.tenant.issued[client.token].claims | {"oid": state["id"], "appid": state["appId"]}
        client.tenant.issued[state["id"]] = Issued(claims, "access")
        return str(state["id"])

    body = chain.identity_body(first)
    code = "Error_AgentIdentitiesCreatingAgentIdentitiesNotAllowed"
    assert client.refused("POST", IDENTITIES, body, token(identity)) == (403, code)
    assert client.call("POST", IDENTITIES, body, token(principal)).status == 201
    code = "Error_AgentBlueprintCannotCreateAssociatedIdentity"
    assert client.refused("POST", IDENTITIES, chain.identity_body(second), token(principal)) == (403, code)


# credentials


def test_S2_an_agent_identity_holds_no_credentials(chain: Chain, client: Client) -> None:
    none = (400, "AgentIdentity_CredentialsNotSupported")
    blueprint = chain.blueprint()
    keys = {"keyCredentials": [client.entry(key_pair())]}
    assert client.refused("POST", IDENTITIES, chain.identity_body(blueprint, **keys)) == none
    path = f"{IDENTITIES}/{chain.identity(blueprint)['id']}"
    assert client.refused("PATCH", path, keys) == none
    assert client.refused("POST", f"{path}/addPassword", {}) == none
    assert client.refused("POST", f"{path}/addKey", {}) == none
    assert client.call("PATCH", path, {"displayName": "renamed", "tags": ["a"]}).status == 204
    assert client.refused("PATCH", path, {"agentIdentityBlueprintId": GONE}) == BAD


@pytest.mark.parametrize("untyped", [False, True])
def test_S2_credentials_of_a_blueprint_go_by_the_typed_path_and_by_the_other_with_a_switch(
    chain: Chain, client: Client, untyped: bool
) -> None:
    client.tenant.switches.untyped_credentials = untyped
    blueprint = chain.blueprint()
    plain, typed = f"/applications/{blueprint['id']}", f"{BLUEPRINTS}/{blueprint['id']}"
    added = client.call("POST", f"{typed}/addPassword", {"passwordCredential": {"displayName": "x"}})
    assert added.status == 200
    assert client.call("POST", f"{plain}/addPassword", {}).status == (200 if untyped else 404)
    body = {"keyId": added.json()["keyId"]}
    assert client.call("POST", f"{plain}/removePassword", body).status == (204 if untyped else 404)
    assert client.call("POST", f"{plain}/addKey", {}).status == (401 if untyped else 404)
    keys = {"keyCredentials": [client.entry(key_pair(1))]}
    assert client.call("PATCH", plain, keys).status == 204, "a PATCH may be untyped"
    assert len(client.get(f"{typed}?$select=keyCredentials")["keyCredentials"]) == 1


# Agent Users


def test_A3_one_user_per_identity_in_a_verified_domain_under_a_name_of_its_own(chain: Chain, client: Client) -> None:
    blueprint = chain.blueprint()
    first, second = chain.identity(blueprint), chain.identity(blueprint)
    for domain in ("contoso.example", "elsewhere.test", ""):
        status, code, message = error_of(client, USERS, chain.user_body(first, f"agent@{domain}"))
        assert (status, code) == BAD
        assert "verified domain" in message
    client.tenant.verified_domains.append("contoso.example")
    chain.user(first, "agent@contoso.example")
    taken = (400, "Request_BadRequest", "ObjectConflict")
    assert detail(client, USERS, chain.user_body(first, "other")) == (*taken, "identityParentId")
    for upn in ("AGENT@contoso.example", f"dana@{client.tenant.domain}"):
        assert detail(client, USERS, chain.user_body(second, upn)) == (*taken, "userPrincipalName")
    assert client.call("POST", USERS, chain.user_body(second, "other")).status == 201


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"identityParentId": GONE}, "Request_BadRequest"),
        ({"identityParentId": None}, "Request_BadRequest"),
        ({"displayName": ""}, "Request_BadRequest"),
        ({"mailNickname": None}, "Request_BadRequest"),
        ({"accountEnabled": None}, "Request_BadRequest"),
        ({"userPrincipalName": None}, "Request_BadRequest"),
        ({"passwordProfile": {"password": "x"}}, "PropertyNotCompatibleWithAgentIdentity"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_S2_what_an_agent_user_needs_and_may_not_have(chain: Chain, client: Client, change: State, code: str) -> None:
    identity = chain.identity(chain.blueprint())
    assert client.refused("POST", USERS, chain.user_body(identity) | change) == (400, code)
    assert client.call("POST", USERS, chain.user_body(identity)).status == 201


def test_S2_the_parent_of_an_agent_user_is_an_agent_identity(chain: Chain, client: Client) -> None:
    assert client.refused("POST", USERS, chain.user_body(client.principal)) == BAD


def test_A2_an_agent_user_is_found_by_its_parent_and_by_name_and_keeps_the_parent(chain: Chain, client: Client) -> None:
    identity = chain.identity(chain.blueprint())
    user = chain.user(identity)
    for query in (f"identityParentId eq '{identity['id']}'", f"userPrincipalName eq '{user['userPrincipalName']}'"):
        client.version = "beta"
        assert [item["id"] for item in client.get(f"/users?$filter={query}")["value"]] == [user["id"]]
    path = f"/users/{user['userPrincipalName']}"
    assert client.get(path)["id"] == user["id"]
    assert client.refused("PATCH", path, {"identityParentId": None}) == BAD
    assert client.refused("PATCH", path, {"passwordProfile": {}}) == (400, "PropertyNotCompatibleWithAgentIdentity")
    assert client.call("PATCH", path, {"usageLocation": "DE"}).status == 204
    assert client.get(path)["usageLocation"] == "DE"


def test_A2_the_parent_of_an_agent_identity_cannot_be_filtered_by(chain: Chain, client: Client) -> None:
    blueprint = chain.blueprint()
    chain.identity(blueprint)
    query = f"agentIdentityBlueprintId eq '{blueprint['appId']}'"
    for path in (IDENTITIES, "/servicePrincipals"):
        assert client.refused("GET", f"{path}?$filter={query}") == (400, "Request_UnsupportedQuery")
    assert len(client.get(f"{IDENTITIES}?$filter=displayName eq 'Agent'")["value"]) == 1


# rights (A.2 rows 14-25)

BLUEPRINT, IDENTITY, PRINCIPAL = "AgentIdentityBlueprint", "AgentIdentity", "AgentIdentityBlueprintPrincipal"
AGENT_USERS = ("AgentIdUser.ReadWrite.All", "User.ReadWrite.All")
#: Each call and the roles of which one is enough.
CALLS = {
    "create Blueprint": ("POST", BLUEPRINTS, (f"{BLUEPRINT}.Create", f"{BLUEPRINT}.ReadWrite.All")),
    "list Blueprints": ("GET", BLUEPRINTS, (f"{BLUEPRINT}.Read.All", f"{BLUEPRINT}.ReadWrite.All")),
    "read Blueprint": ("GET", "blueprint", (f"{BLUEPRINT}.Read.All", f"{BLUEPRINT}.ReadWrite.All")),
    "rename Blueprint": ("PATCH", "blueprint", (f"{BLUEPRINT}.UpdateBranding.All", f"{BLUEPRINT}.ReadWrite.All")),
    "give password": (
        "POST", "blueprint/addPassword", (f"{BLUEPRINT}.AddRemoveCreds.All", f"{BLUEPRINT}.ReadWrite.All"),
    ),
    "delete Blueprint": ("DELETE", "blueprint", (f"{BLUEPRINT}.DeleteRestore.All",)),
    "create principal": ("POST", PRINCIPALS, (f"{PRINCIPAL}.Create", f"{PRINCIPAL}.ReadWrite.All")),
    "list principals": ("GET", PRINCIPALS, (f"{PRINCIPAL}.Read.All", f"{PRINCIPAL}.ReadWrite.All")),
    "create Agent Identity": (
        "POST", IDENTITIES, (f"{IDENTITY}.Create.All", f"{IDENTITY}.CreateAsManager", f"{IDENTITY}.ReadWrite.All"),
    ),
    "list Agent Identities": ("GET", IDENTITIES, (f"{IDENTITY}.Read.All", f"{IDENTITY}.ReadWrite.All")),
    "rename Agent Identity": ("PATCH", "identity", (f"{IDENTITY}.ReadWrite.All",)),
    "delete Agent Identity": ("DELETE", "identity", (f"{IDENTITY}.DeleteRestore.All",)),
    "create Agent User": ("POST", USERS, AGENT_USERS),
    "find Agent User": ("GET", "/users?$filter=identityParentId eq 'x'", ("User.ReadWrite.All",)),
    "rename Agent User": ("PATCH", "user", AGENT_USERS),
    "delete Agent User": ("DELETE", "user", AGENT_USERS),
}  # fmt: skip


def prepared(chain: Chain, method: str, path: str) -> tuple[str, str, State | None]:
    """One of `CALLS` on a fresh chain."""
    blueprint = chain.blueprint()
    bare = chain.made(BLUEPRINTS, chain.blueprint_body())
    identity, childless = chain.identity(blueprint), chain.identity(blueprint)
    bodies = {
        BLUEPRINTS: chain.blueprint_body(),
        PRINCIPALS: {"appId": bare["appId"]},
        IDENTITIES: chain.identity_body(blueprint),
        USERS: chain.user_body(childless, "second"),
    }
    objects = {
        "blueprint": f"{BLUEPRINTS}/{blueprint['id']}",
        "identity": f"{IDENTITIES}/{identity['id']}",
        "user": f"/users/{chain.user(identity)['id']}",
    }
    name, slash, action = path.partition("/")
    target = objects[name] + slash + action if name in objects else path
    body = {"POST": bodies.get(path, {}), "PATCH": {"displayName": "new"}}.get(method)
    return method, target, body


@pytest.mark.parametrize("call", CALLS)
def test_S2_each_call_takes_its_permission_and_no_token_that_acts_as_the_user(
    chain: Chain, client: Client, call: str
) -> None:
    method, path, enough = CALLS[call]
    act = prepared(chain, method, path)
    others = [role for role in EVERY if role not in enough]
    assert client.refused(*act, client.app_token(*others)) == DENIED
    for acting in (chain.person, client.scoped(f"{enough[0]} Directory.AccessAsUser.All", roles.GLOBAL_ADMINISTRATOR)):
        assert client.refused(*act, acting) == DENIED
    if method != "GET":
        assert client.refused(*act, client.scoped(enough[0])) == DENIED, "a person needs a directory role too"
        everything = f"{enough[0]} Directory.ReadWrite.All"
        assert client.refused(*act, client.scoped(everything, roles.GLOBAL_ADMINISTRATOR)) == DENIED
    administrator = roles.AGENT_ID_ADMINISTRATOR if "Agent User" not in call else roles.GLOBAL_ADMINISTRATOR
    assert client.call(*act, client.scoped(enough[0], administrator)).status < 300


@pytest.mark.parametrize(("call", "role"), [(call, role) for call in CALLS for role in CALLS[call][2]])
def test_S1_one_permission_is_enough(chain: Chain, client: Client, call: str, role: str) -> None:
    method, path, _ = CALLS[call]
    act = prepared(chain, method, path)
    assert client.call(*act, client.app_token(role)).status < 300


def test_S2_each_property_of_a_blueprint_has_its_permission(chain: Chain, client: Client) -> None:
    path = f"{BLUEPRINTS}/{chain.blueprint()['id']}"
    properties: dict[str, State] = {
        "UpdateBranding.All": {"displayName": "x"},
        "AddRemoveCreds.All": {"keyCredentials": []},
        "UpdateAuthProperties.All": {"identifierUris": ["urn:x"]},
    }
    for holder in properties:
        token = client.app_token(f"{BLUEPRINT}.{holder}")
        for name, body in properties.items():
            assert client.call("PATCH", path, body, token).status == (204 if name == holder else 403)
    both = properties["UpdateBranding.All"] | properties["AddRemoveCreds.All"]
    assert client.refused("PATCH", path, both, client.app_token(f"{BLUEPRINT}.UpdateBranding.All")) == DENIED


def test_S2_enabling_has_a_permission_of_its_own(chain: Chain, client: Client) -> None:
    path = f"{IDENTITIES}/{chain.identity(chain.blueprint())['id']}"
    token = client.app_token("AgentIdentity.EnableDisable.All")
    assert client.call("PATCH", path, {"accountEnabled": False}, token).status == 204
    assert client.refused("PATCH", path, {"displayName": "x"}, token) == DENIED


def test_S2_the_azure_cli_changes_nothing_of_a_blueprint_by_the_untyped_path_either(
    chain: Chain, client: Client
) -> None:
    path = f"/applications/{chain.blueprint()['id']}"
    admin = client.user_token(_roles=[roles.GLOBAL_ADMINISTRATOR])
    assert client.call("GET", path, token=admin).status == 200
    assert client.refused("PATCH", path, {"displayName": "x"}, admin) == DENIED
    assert client.refused("DELETE", path, None, admin) == DENIED
    client.tenant.switches.untyped_credentials = True
    assert client.refused("POST", f"{path}/addPassword", {}, admin) == DENIED


def test_S2_identity_parented_by_reaches_the_blueprints_own_children_only(chain: Chain, client: Client) -> None:
    role = "AgentIdUser.ReadWrite.IdentityParentedBy"
    blueprint, other = chain.blueprint(), chain.blueprint()
    token = client.app_token(role)
    body = chain.user_body(chain.identity(blueprint))
    assert client.refused("POST", USERS, body, token) == DENIED
    client.tenant.issued["own"] = Issued(
        client.tenant.issued[token].claims | {"appid": blueprint["appId"], "oid": "x"}, "access"
    )
    assert client.call("POST", USERS, body, "own").status == 201
    foreign = chain.user_body(chain.identity(other), "other")
    assert client.refused("POST", USERS, foreign, "own") == DENIED


def test_S2_an_agent_is_not_given_what_amounts_to_the_tenant(chain: Chain, client: Client) -> None:
    blueprint = chain.blueprint()
    identity = chain.identity(blueprint)
    principal = client.get(f"/servicePrincipals(appId='{blueprint['appId']}')")
    graph = client.get(f"/servicePrincipals(appId='{GRAPH_APP_ID}')")

    def granted(holder: State, role: str) -> int:
        body = {"principalId": holder["id"], "resourceId": graph["id"], "appRoleId": roles.OFFERED[role]}
        return client.call("POST", f"/servicePrincipals/{holder['id']}/appRoleAssignments", body).status

    for role in ("Application.ReadWrite.All", "User.ReadWrite.All", "AgentIdentity.Create.All"):
        assert granted(identity, role) == 400
    assert granted(identity, "Application.Read.All") == 201
    assert granted(principal, "AgentIdUser.ReadWrite.IdentityParentedBy") == 201
    client.tenant.switches.blueprint_roles = False
    assert granted(principal, "AgentIdUser.ReadWrite.All") == 400


# limits (A.8)


def test_S2_there_are_so_many_blueprints_deleted_ones_included(chain: Chain, client: Client) -> None:
    client.tenant.switches.blueprints = 2
    first, _ = (chain.made(BLUEPRINTS, chain.blueprint_body()) for _ in range(2))
    full = (400, "AgentBlueprint_LimitExceeded")
    assert client.refused("POST", BLUEPRINTS, chain.blueprint_body()) == full
    assert client.call("DELETE", f"{BLUEPRINTS}/{first['id']}").status == 204
    assert client.refused("POST", BLUEPRINTS, chain.blueprint_body()) == full
    client.tenant.switches.deleted_blueprints_count = False
    assert client.call("POST", BLUEPRINTS, chain.blueprint_body()).status == 201
    assert client.refused("POST", BLUEPRINTS, chain.blueprint_body()) == full


def test_S2_there_are_so_many_agent_identities_of_one_blueprint(chain: Chain, client: Client) -> None:
    client.tenant.switches.identities = 1
    blueprint, other = chain.blueprint(), chain.blueprint()
    identity = chain.identity(blueprint)
    full = (400, "AgentIdentity_LimitExceeded")
    assert client.refused("POST", IDENTITIES, chain.identity_body(blueprint)) == full
    assert client.call("DELETE", f"{IDENTITIES}/{identity['id']}").status == 204
    assert client.refused("POST", IDENTITIES, chain.identity_body(blueprint)) == full, "until it is purged"
    assert client.call("DELETE", f"/directory/deletedItems/{identity['id']}").status == 204
    assert client.call("POST", IDENTITIES, chain.identity_body(blueprint)).status == 201
    chain.identity(other)


def test_S2_there_are_so_many_agent_objects(chain: Chain, client: Client) -> None:
    client.tenant.switches.agent_objects = 4
    identity = chain.identity(chain.blueprint())
    user = chain.user(identity)
    full = (400, "Agent_Directory_QuotaExceeded")
    assert client.call("DELETE", f"/users/{user['id']}").status == 204
    assert client.refused("POST", USERS, chain.user_body(identity)) == full
    assert client.refused("POST", BLUEPRINTS, chain.blueprint_body()) == full


# deletion (A.6)


def alive(client: Client, *made: tuple[str, State]) -> list[bool]:
    return [client.tenant.latest(kind, state["id"]) is not None for kind, state in made]


def pass_time(client: Client, seconds: float) -> None:
    client.clock.waited += seconds
    url = f"{client.tenant.graph}/v1.0/me"
    handle(client.tenant, Request.to("GET", url))  # any request


@pytest.mark.parametrize("which", ["blueprint", "principal"])
@pytest.mark.parametrize("users", [True, False])
def test_S2_children_follow_after_a_while(chain: Chain, client: Client, which: str, users: bool) -> None:
    client.tenant.switches.cascade_after, client.tenant.switches.cascade_users = 60, users
    blueprint, other = chain.blueprint(), chain.blueprint()
    identity, foreign = chain.identity(blueprint), chain.identity(other)
    user, foreigner = chain.user(identity), chain.user(foreign, "foreigner")
    children = [("servicePrincipal", identity), ("user", user)]
    others = [("servicePrincipal", foreign), ("user", foreigner), ("application", other)]
    principal = client.get(f"/servicePrincipals(appId='{blueprint['appId']}')")
    path = f"{BLUEPRINTS}/{blueprint['id']}" if which == "blueprint" else f"{PRINCIPALS}/{principal['id']}"
    assert client.call("DELETE", path).status == 204
    pass_time(client, 30)
    assert alive(client, *children) == [True, True]
    pass_time(client, 31)
    assert alive(client, *children) == [False, not users]
    assert alive(client, *others) == [True, True, True]
    deleted = client.get("/directory/deletedItems/microsoft.graph.agentIdentity")["value"]
    assert [item["id"] for item in deleted] == [identity["id"]]
    restored = client.call("POST", f"/directory/deletedItems/{identity['id']}/restore")
    assert (restored.status, restored.json()["agentIdentityBlueprintId"]) == (200, blueprint["appId"])


def test_S2_a_blueprint_that_comes_back_in_time_keeps_its_children(chain: Chain, client: Client) -> None:
    blueprint = chain.blueprint()
    identity = chain.identity(blueprint)
    assert client.call("DELETE", f"{BLUEPRINTS}/{blueprint['id']}").status == 204
    pass_time(client, client.tenant.switches.cascade_after / 2)
    assert client.call("POST", f"/directory/deletedItems/{blueprint['id']}/restore").status == 200
    pass_time(client, client.tenant.switches.cascade_after)
    assert alive(client, ("servicePrincipal", identity)) == [True]


@pytest.mark.parametrize(("name", "own"), [("agent", True), ("agent", False), ("AGENT", False), ("another", True)])
def test_S2_a_deleted_user_comes_back_unless_its_name_or_its_identity_is_taken(
    chain: Chain, client: Client, name: str, own: bool
) -> None:
    blueprint = chain.blueprint()
    identity = chain.identity(blueprint)
    user = chain.user(identity)
    assert client.call("DELETE", f"/users/{user['id']}").status == 204
    assert client.refused("GET", f"/users/{user['id']}")[0] == 404
    (found,) = client.get("/directory/deletedItems/microsoft.graph.user")["value"]
    assert (found["id"], found["@odata.type"]) == (user["id"], "#microsoft.graph.agentUser")
    second = chain.user(identity if own else chain.identity(blueprint), name)
    restore = f"/directory/deletedItems/{user['id']}/restore"
    assert client.refused("POST", restore) == BAD
    assert client.call("DELETE", f"/users/{second['id']}").status == 204
    assert client.call("POST", restore).status == 200
    assert client.get(f"/users/{user['id']}")["identityParentId"] == identity["id"]


def test_S2_deleting_a_person_takes_an_administrator_of_people(client: Client) -> None:
    mallory = client.tenant.find("user", "displayName", "Alex Admin")
    assert mallory is not None
    path = f"/users/{mallory['id']}"
    assert client.refused("DELETE", path, None, client.user_token()) == DENIED
    assert client.refused("DELETE", path, None, client.app_token("AgentIdUser.ReadWrite.All")) == DENIED
    admin = client.user_token(_roles=[roles.GLOBAL_ADMINISTRATOR])
    assert client.call("DELETE", path, token=admin).status == 204


# replication (A.5)


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        ("application", PRINCIPALS, {BAD}),
        ("servicePrincipal", IDENTITIES, {(400, "AgentIdentity_AgentBlueprintPrincipalDoesNotExist")}),
        ("servicePrincipal", USERS, {BAD}),
    ],
    ids=["principal", "identity", "user"],
)
def test_S3_a_fast_chain_meets_replicas_that_know_no_parent_yet(
    chain: Chain, client: Client, kind: str, path: str, expected: set[tuple[int, str]]
) -> None:
    tenant = client.tenant
    if path == PRINCIPALS:
        tenant.lag = {kind: 40}
        body = {"appId": chain.made(BLUEPRINTS, chain.blueprint_body())["appId"]}
    elif path == IDENTITIES:
        blueprint = chain.made(BLUEPRINTS, chain.blueprint_body())
        tenant.lag = {kind: 40}
        chain.made(PRINCIPALS, {"appId": blueprint["appId"]})
        body = chain.identity_body(blueprint)
    else:
        blueprint = chain.blueprint()
        tenant.lag = {kind: 40}
        body = chain.user_body(chain.identity(blueprint))
    assert {client.refused("POST", path, body) for _ in range(8)} == expected
    client.clock.waited += 41
    assert client.call("POST", path, body).status == 201


def test_M18_a_plain_read_shows_that_an_app_is_a_blueprint(chain: Chain, client: Client) -> None:
    blueprint = chain.blueprint()
    path = f"/applications(appId='{blueprint['appId']}')?$select=id,appId"
    assert client.get(path, chain.person)["@odata.type"] == "#microsoft.graph.agentIdentityBlueprint"
    assert "@odata.type" not in client.get(f"/applications/{client.app['id']}")
    listed = {item["id"]: item.get("@odata.type") for item in client.get("/applications")["value"]}
    assert listed == {blueprint["id"]: "#microsoft.graph.agentIdentityBlueprint", client.app["id"]: None}


def test_S1_a_blueprint_that_a_scenario_seeds_is_served_too(chain: Chain, client: Client) -> None:
    app = registrations.new_application(client.tenant, "seeded") | {
        "@odata.type": "#microsoft.graph.agentIdentityBlueprint"
    }
    client.tenant.commit("application", app["id"], app)
    assert client.get(f"{BLUEPRINTS}/{app['id']}")["displayName"] == "seeded"
    assert client.call("POST", PRINCIPALS, {"appId": app["appId"]}).status == 201
