"""What hangs on the objects of the agent chain, who may make them, and names that stay taken (A.1, A.2, A.6)."""

from __future__ import annotations

from typing import Any

import pytest

from core.sandbox.directory import users
from core.sandbox.directory.store import GRAPH_APP_ID, State
from core.sandbox.graph import permissions, roles
from tests.sandbox.chain import BLUEPRINTS, IDENTITIES, PRINCIPALS, Chain
from tests.sandbox.client import Client

BAD = (400, "Request_BadRequest")
DENIED = (403, "Authorization_RequestDenied")
MISSING = (404, "Request_ResourceNotFound")
TAKEN = (409, "Request_MultipleObjectsWithSameKeyValue")
IF_MISSING = {"Prefer": "create-if-missing"}


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def chain(client: Client) -> Chain:
    return Chain(client)


def ref(client: Client, object_id: str, collection: str = "users") -> State:
    return {"@odata.id": f"{client.tenant.graph}/v1.0/{collection}/{object_id}"}


# who may


def test_S2_a_developer_of_agents_makes_them_and_changes_what_is_its_own(chain: Chain, client: Client) -> None:
    others = chain.blueprint()
    token = client.scoped("AgentIdentityBlueprint.ReadWrite.All", roles.AGENT_ID_DEVELOPER)
    mine = client.call("POST", BLUEPRINTS, chain.blueprint_body(), token)
    assert mine.status == 201
    for blueprint, status in ((mine.json(), 204), (others, 403)):
        path = f"{BLUEPRINTS}/{blueprint['id']}"
        assert client.call("PATCH", path, {"displayName": "x"}, token).status == status
    admin = client.scoped("AgentIdentityBlueprint.ReadWrite.All", roles.AGENT_ID_ADMINISTRATOR)
    assert client.call("PATCH", f"{BLUEPRINTS}/{others['id']}", {"displayName": "x"}, admin).status == 204


@pytest.mark.parametrize("role", [roles.APPLICATION_ADMINISTRATOR, roles.PRIVILEGED_ROLE_ADMINISTRATOR])
def test_S2_administrators_of_other_things_make_no_agents(chain: Chain, client: Client, role: str) -> None:
    token = client.scoped("AgentIdentityBlueprint.ReadWrite.All", role)
    assert client.refused("POST", BLUEPRINTS, chain.blueprint_body(), token) == DENIED


def test_S2_a_token_that_may_change_the_whole_directory_changes_no_agents(chain: Chain, client: Client) -> None:
    token = client.app_token("AgentIdentityBlueprint.ReadWrite.All", "Directory.ReadWrite.All")
    assert client.refused("POST", BLUEPRINTS, chain.blueprint_body(), token) == DENIED
    assert client.call("GET", BLUEPRINTS, token=token).status == 200, "nothing is said of reading"


# an upsert


@pytest.mark.parametrize(
    "path",
    [
        "/applications(uniqueName='mine')/microsoft.graph.agentIdentityBlueprint",
        "/applications/microsoft.graph.agentIdentityBlueprint(uniqueName='mine')",
    ],
)
def test_A2_a_typed_upsert_makes_a_blueprint_and_then_changes_it(chain: Chain, client: Client, path: str) -> None:
    assert client.refused("PATCH", path, chain.blueprint_body()) == MISSING
    made = client.call("PATCH", path, chain.blueprint_body(), **IF_MISSING)
    assert (made.status, made.json()["@odata.type"]) == (201, permissions.BLUEPRINT)
    assert made.json()["uniqueName"] == "mine"
    assert client.call("PATCH", path, {"displayName": "new"}, **IF_MISSING).status == 204
    assert client.get(f"{BLUEPRINTS}/{made.json()['id']}")["displayName"] == "new"


def test_A2_an_upsert_that_names_the_type_in_its_body_makes_a_blueprint_too(chain: Chain, client: Client) -> None:
    body = {"@odata.type": "#microsoft.graph.agentIdentityBlueprint", **chain.blueprint_body()}
    made = client.call("PATCH", "/applications(uniqueName='mine')", body, **IF_MISSING)
    assert (made.status, made.json()["@odata.type"]) == (201, permissions.BLUEPRINT)


def test_S2_a_typed_upsert_does_not_turn_a_plain_app_into_a_blueprint(chain: Chain, client: Client) -> None:
    path = "/applications(uniqueName='mine')"
    assert client.call("PATCH", path, {"displayName": "plain"}, **IF_MISSING).status == 201
    typed = client.call("PATCH", f"{path}/microsoft.graph.agentIdentityBlueprint", chain.blueprint_body(), **IF_MISSING)
    assert typed.status == 404


@pytest.mark.parametrize("purged", [False, True])
def test_A6_the_unique_name_of_a_deleted_app_stays_taken_for_thirty_days(client: Client, purged: bool) -> None:
    path, body = "/applications(uniqueName='mine')", {"displayName": "x"}
    app = client.call("PATCH", path, body, **IF_MISSING).json()
    assert client.call("DELETE", f"/applications/{app['id']}").status == 204
    if purged:
        assert client.call("DELETE", f"/directory/deletedItems/{app['id']}").status == 204
    refused = client.call("PATCH", path, body, **IF_MISSING)
    assert (refused.status, refused.json()["error"]["details"][0]["target"]) == (400, "uniqueName")
    client.clock.waited += 30 * 86400 + 1
    client.token = client.user_token()
    assert client.call("PATCH", path, body, **IF_MISSING).status == 201


# sponsors


def group(client: Client, *kinds: str, **values: object) -> str:
    return str(users.add_group(client.tenant, "Owners of agents", *kinds, **values)["id"])


def test_A1_people_and_two_kinds_of_groups_may_sponsor(chain: Chain, client: Client) -> None:
    for fit in (group(client, "Unified"), group(client, "DynamicMembership")):
        body = chain.blueprint_body(**{"sponsors@odata.bind": [f"{client.tenant.graph}/v1.0/groups('{fit}')"]})
        made = chain.made(BLUEPRINTS, body)
        (sponsor,) = client.get(f"/applications/{made['id']}/sponsors")["value"]
        assert (sponsor["@odata.type"], sponsor["id"]) == ("#microsoft.graph.group", fit)
    principal = client.tenant.find("servicePrincipal", "appId", client.app_id)
    assert principal is not None
    agent = chain.user(chain.identity(chain.blueprint()))["id"]
    for unfit in (group(client), group(client, "Unified", isAssignableToRole=True), principal["id"], agent):
        body = chain.blueprint_body(**{"sponsors@odata.bind": [f"{client.tenant.graph}/v1.0/directoryObjects/{unfit}"]})
        assert client.refused("POST", BLUEPRINTS, body) == BAD


def test_A1_there_are_five_groups_among_the_sponsors_at_most(chain: Chain, client: Client) -> None:
    bound = [f"/groups/{group(client, 'Unified')}" for _ in range(6)]
    assert client.refused("POST", BLUEPRINTS, chain.blueprint_body(**{"sponsors@odata.bind": bound})) == BAD
    assert chain.made(BLUEPRINTS, chain.blueprint_body(**{"sponsors@odata.bind": bound[1:]}))


@pytest.mark.parametrize("which", ["blueprint", "principal", "identity"])
def test_A2_sponsors_come_and_go_by_reference(chain: Chain, client: Client, which: str) -> None:
    blueprint = chain.blueprint()
    principal = client.tenant.find("servicePrincipal", "appId", blueprint["appId"])
    assert principal is not None
    path = {
        "blueprint": f"/applications/{blueprint['id']}/microsoft.graph.agentIdentityBlueprint",
        "principal": f"{PRINCIPALS}/{principal['id']}",
        "identity": f"{IDENTITIES}/{chain.identity(blueprint)['id']}",
    }[which]
    alex, fit = users.find(client.tenant, "alex")["id"], group(client, "Unified")
    for sponsor, kind in ((alex, "users"), (fit, "groups")):
        assert client.call("POST", f"{path}/sponsors/$ref", ref(client, sponsor, kind)).status == 204
        assert client.refused("POST", f"{path}/sponsors/$ref", ref(client, sponsor, kind)) == BAD, "it is one already"
    ids = [client.tenant.signed_in_user, alex, fit]
    assert [one["id"] for one in client.get(f"{path}/sponsors")["value"]] == ids
    assert client.call("DELETE", f"{path}/sponsors/{alex}/$ref").status == 204
    assert client.refused("DELETE", f"{path}/sponsors/{alex}/$ref") == MISSING
    assert client.refused("POST", f"{path}/sponsors/$ref", ref(client, client.principal["id"])) == BAD
    assert client.refused("POST", f"{path}/sponsors/$ref", ref(client, alex), chain.person) == DENIED


def test_S2_a_plain_app_has_no_sponsors(client: Client) -> None:
    path = f"/applications/{client.app['id']}/sponsors/$ref"
    assert client.refused("POST", path, ref(client, client.tenant.signed_in_user))[0] == 400


def test_S1_groups_are_read_by_those_who_may_and_changed_by_nobody(client: Client) -> None:
    one = group(client, "Unified")
    reader = client.app_token("Group.Read.All")
    assert client.get("/groups?$filter=mailEnabled eq true&$select=id", reader)["value"] == [{"id": one}]
    assert client.get(f"/groups/{one}", reader)["displayName"] == "Owners of agents"
    assert client.refused("GET", "/groups", None, client.app_token("User.ReadWrite.All")) == DENIED
    assert client.refused("DELETE", f"/groups/{one}", None, reader)[0] == 400


# inheritable permissions


def test_A2_what_agents_inherit_is_written_in_three_patterns(chain: Chain, client: Client) -> None:
    path = f"/applications/{chain.blueprint()['id']}/microsoft.graph.agentIdentityBlueprint/inheritablePermissions"
    pattern = "microsoft.graph.allAllowedScopes"
    body = {"resourceAppId": GRAPH_APP_ID, "inheritableScopes": {"@odata.type": pattern}}
    made = chain.made(path, body)
    assert made["inheritableScopes"] == {"@odata.type": pattern, "kind": "allAllowed"}
    assert made["@odata.context"].endswith("/inheritablePermissions/$entity")
    assert client.refused("POST", path, body) == BAD, "there is one of this resource"
    scopes = {"@odata.type": "microsoft.graph.enumeratedScopes", "scopes": ["User.Read"]}
    assert client.call("PATCH", f"{path}/{GRAPH_APP_ID}", {"inheritableScopes": scopes}).status == 204
    (held,) = client.get(path)["value"]
    assert held["inheritableScopes"] == scopes | {"kind": "enumerated"}
    wrong: list[Any] = [None, {}, {"@odata.type": "microsoft.graph.x"}, scopes | {"scopes": []}]
    for each in wrong:
        assert client.refused("PATCH", f"{path}/{GRAPH_APP_ID}", {"inheritableScopes": each}) == BAD
    assert client.refused("PATCH", f"{path}/{GRAPH_APP_ID}", {"inheritableScopes": scopes}, chain.person) == DENIED
    assert client.call("DELETE", f"{path}/{GRAPH_APP_ID}").status == 204
    assert client.refused("GET", f"{path}/{GRAPH_APP_ID}") == MISSING


def test_S2_a_plain_app_has_nothing_to_inherit(client: Client) -> None:
    assert client.refused("GET", f"/applications/{client.app['id']}/inheritablePermissions") == (400, "BadRequest")


# federated credentials


def issuer(name: str, **values: Any) -> State:
    made = {"name": name, "issuer": "https://token.example/", "subject": f"repo:{name}", "audiences": ["api://x"]}
    return made | values


@pytest.mark.parametrize("blueprint", [False, True])
def test_A2_federated_credentials_are_made_changed_and_deleted(chain: Chain, client: Client, blueprint: bool) -> None:
    token = client.token if blueprint else chain.person
    holder = chain.blueprint()["id"] if blueprint else client.app["id"]
    path = f"/applications/{holder}/federatedIdentityCredentials"
    made = client.call("POST", path, issuer("first", description="d"), token)
    assert made.status == 201
    assert list(made.json()) == ["@odata.context", "id", "name", "issuer", "subject", "description", "audiences"]
    assert made.headers["Location"].endswith(f"/federatedIdentityCredentials/{made.json()['id']}")
    for named in (made.json()["id"], "first"):
        assert client.get(f"{path}/{named}", token)["subject"] == "repo:first"
    assert client.get(f"{path}(name='first')", token)["name"] == "first"
    assert client.call("PATCH", f"{path}/first", {"subject": "repo:other"}, token).status == 204
    assert client.get(f"{path}/first", token)["subject"] == "repo:other"
    assert client.refused("POST", path, issuer("first"), token) == TAKEN
    assert client.refused("POST", path, issuer("second", subject="repo:other"), token) == TAKEN
    assert client.refused("PATCH", f"{path}/first", {"name": "third"}, token) == BAD
    assert client.call("DELETE", f"{path}/first", token=token).status == 204
    assert client.refused("DELETE", f"{path}/first", None, token) == MISSING
    assert client.get(path, token)["value"] == []


def test_A2_a_federated_credential_may_be_upserted_by_its_name(client: Client) -> None:
    path = f"/applications/{client.app['id']}/federatedIdentityCredentials(name='mine')"
    body = {name: value for name, value in issuer("mine").items() if name != "name"}
    assert client.refused("PATCH", path, body) == MISSING
    assert client.call("PATCH", path, body, **IF_MISSING).status == 201
    assert client.call("PATCH", path, {"description": "d"}, **IF_MISSING).status == 204
    assert client.get(path)["description"] == "d"


@pytest.mark.parametrize(
    "change",
    [{"name": "a b"}, {"issuer": "http://x"}, {"audiences": []}, {"audiences": ["a", "b"]}, {"subject": ""}, {"x": 1}],
)
def test_S2_a_federated_credential_that_makes_no_sense_is_refused(client: Client, change: State) -> None:
    path = f"/applications/{client.app['id']}/federatedIdentityCredentials"
    assert client.refused("POST", path, issuer("first") | change) == BAD


def test_S2_an_app_has_twenty_federated_credentials_at_most(client: Client) -> None:
    path = f"/applications/{client.app['id']}/federatedIdentityCredentials"
    for number in range(20):
        assert client.call("POST", path, issuer(f"number-{number}")).status == 201
    assert client.refused("POST", path, issuer("one-more")) == BAD
