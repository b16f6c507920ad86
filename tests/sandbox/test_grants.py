"""App roles of the pretend Graph: offered, declared, granted, revoked (P6, S2; entra-protocol A.2, A.4, C)."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from core.entra.tokens import claims_of
from core.sandbox.dashboard import facts, page
from core.sandbox.directory import registrations
from core.sandbox.directory.store import GRAPH_APP_ID, State
from core.sandbox.graph import grants, roles
from tests.sandbox.client import Client

GONE = "00000000-0000-4000-8000-000000000000"
GRANTER = [roles.PRIVILEGED_ROLE_ADMINISTRATOR]
ROLE = roles.AGENT["AgentIdentity.Create.All"]


@pytest.fixture
def client() -> Client:
    """Calls as a Privileged Role Administrator."""
    client = Client()
    client.token = client.user_token(_roles=GRANTER)
    return client


@pytest.fixture(params=["appRoleAssignments", "appRoleAssignedTo"])
def path(request: pytest.FixtureRequest, client: Client) -> str:
    """Both lists in which a grant is made and found."""
    end = client.principal["id"] if request.param == "appRoleAssignments" else graph_of(client)["id"]
    return f"/servicePrincipals/{end}/{request.param}"


def graph_of(client: Client) -> State:
    return client.get(f"/servicePrincipals(appId='{GRAPH_APP_ID}')?$select=id,appRoles")


def wanted(client: Client, **values: Any) -> State:
    return {
        "principalId": client.principal["id"],
        "resourceId": graph_of(client)["id"],
        "appRoleId": ROLE,
        **values,
    }


def roles_in_token(client: Client) -> set[str]:
    return set(claims_of(client.sign_in(client_secret=client.secret).json()["access_token"])["roles"])


def all_of(client: Client, path: str) -> list[State]:
    found: list[State] = []
    while path:
        page = client.get(path)
        found += page["value"]
        path = unquote(page.get("@odata.nextLink", "").partition("/v1.0")[2])
    return found


def test_P6_graph_offers_the_26_roles_and_names_that_are_no_roles_of_agents(client: Client) -> None:
    offered = {role["value"]: role for role in graph_of(client)["appRoles"]}
    agents = {name for name in offered if name.startswith(("AgentIdentity", "AgentIdUser"))}
    assert len(roles.BASE.keys() | agents) == 26
    assert roles.BASE.keys() <= offered.keys()
    assert any(name.startswith("AgentCard") for name in offered.keys() - agents)
    assert any(name.startswith("AgentInstance") for name in offered.keys() - agents)
    assert len({role["id"] for role in offered.values()}) == len(offered)
    assert all(role["isEnabled"] and role["allowedMemberTypes"] == ["Application"] for role in offered.values())
    assert client.principal["appRoles"] == []


def test_P6_a_grant_is_made_listed_in_the_token_and_revoked(client: Client, path: str) -> None:
    before = roles_in_token(client)
    made = client.call("POST", path, wanted(client))
    assert made.status == 201
    grant = made.json()
    assert grant.items() >= {**wanted(client), "principalType": "ServicePrincipal"}.items()
    assert (grant["principalDisplayName"], grant["resourceDisplayName"]) == (
        client.principal["displayName"],
        "Microsoft Graph",
    )
    for end, name in ((grant["principalId"], "appRoleAssignments"), (grant["resourceId"], "appRoleAssignedTo")):
        assert grant["id"] in [item["id"] for item in all_of(client, f"/servicePrincipals/{end}/{name}")]
    assert roles_in_token(client) - before == {"AgentIdentity.Create.All"}
    assert client.call("DELETE", f"{path}/{grant['id']}").status == 204
    assert roles_in_token(client) == before
    assert client.refused("DELETE", f"{path}/{grant['id']}") == (404, "Request_ResourceNotFound")


def test_S2_a_grant_is_found_below_its_own_service_principals_only(client: Client, path: str) -> None:
    grant = client.call("POST", path, wanted(client)).json()
    elsewhere = f"/servicePrincipals/{grant['resourceId']}/appRoleAssignments"
    assert grant["id"] not in [item["id"] for item in all_of(client, elsewhere)]
    assert client.refused("DELETE", f"{elsewhere}/{grant['id']}") == (404, "Request_ResourceNotFound")
    assert client.refused("POST", f"/servicePrincipals/{grant['resourceId']}/appRoleAssignments", wanted(client)) == (
        400,
        "Request_BadRequest",
    )


@pytest.mark.parametrize(
    ("directory_role", "allowed"),
    [
        (roles.PRIVILEGED_ROLE_ADMINISTRATOR, True),
        (roles.GLOBAL_ADMINISTRATOR, True),
        (roles.APPLICATION_ADMINISTRATOR, False),
        (roles.CLOUD_APPLICATION_ADMINISTRATOR, False),
    ],
)
def test_P6_a_person_needs_a_role_that_may_consent_to_graph(
    client: Client, path: str, directory_role: str, allowed: bool
) -> None:
    token = client.user_token(_roles=[directory_role])
    if not allowed:
        assert client.refused("POST", path, wanted(client), token) == (403, "Authorization_RequestDenied")
        theirs = client.call("POST", path, wanted(client)).json()["id"]
        assert client.refused("DELETE", f"{path}/{theirs}", None, token) == (403, "Authorization_RequestDenied")
        return
    made = client.call("POST", path, wanted(client), token)
    assert made.status == 201
    assert client.call("DELETE", f"{path}/{made.json()['id']}", None, token).status == 204


def test_P6_an_application_administrator_may_grant_the_roles_of_another_api(client: Client) -> None:
    role = roles.app_roles()[0] | {"id": GONE, "value": "Read.All"}
    client.change("servicePrincipal", appRoles=[role])
    body = wanted(client, resourceId=client.principal["id"], appRoleId=GONE)
    path = f"/servicePrincipals/{client.principal['id']}/appRoleAssignedTo"
    assert client.refused("POST", path, body, client.user_token(_roles=[]))[0] == 403
    admin = client.user_token(_roles=[roles.APPLICATION_ADMINISTRATOR])
    before = roles_in_token(client)
    assert client.call("POST", path, body, admin).status == 201
    assert roles_in_token(client) == before, "it is no role of Microsoft Graph"


def test_P6_an_app_needs_the_role_that_grants_roles(client: Client, path: str) -> None:
    token = client.sign_in(client_secret=client.secret).json()["access_token"]
    assert client.call("POST", path, wanted(client), token).status == 201
    (mine,) = [g for g in all_of(client, path) if g["appRoleId"] == roles.BASE["AppRoleAssignment.ReadWrite.All"]]
    assert client.call("DELETE", f"{path}/{mine['id']}").status == 204
    token = client.sign_in(client_secret=client.secret).json()["access_token"]
    other = wanted(client, appRoleId=roles.AGENT["AgentIdentity.Read.All"])
    assert client.refused("POST", path, other, token) == (403, "Authorization_RequestDenied")
    assert client.refused("DELETE", f"{path}/{GONE}", None, token) == (403, "Authorization_RequestDenied")


@pytest.mark.parametrize("status", [400, 409])
def test_S2_a_role_is_granted_once(client: Client, path: str, status: int) -> None:
    client.tenant.switches.duplicate_grant = status
    assert client.call("POST", path, wanted(client)).status == 201
    refused = client.call("POST", path, wanted(client))
    assert (refused.status, refused.json()["error"]["message"]) == (
        status,
        "Permission being assigned already exists on the object",
    )
    assert len([grant for grant in all_of(client, path) if grant["appRoleId"] == ROLE]) == 1


@pytest.mark.parametrize(
    "change",
    [{"appRoleId": GONE}, {"appRoleId": "x"}, {"appRoleId": None}, {"principalId": GONE}, {"resourceId": GONE}],
    ids=str,
)
def test_S2_a_grant_that_makes_no_sense_is_400(client: Client, path: str, change: State) -> None:
    before = len(all_of(client, path))
    assert client.refused("POST", path, wanted(client, **change)) == (400, "Request_BadRequest")
    assert len(all_of(client, path)) == before


def test_S2_a_role_that_is_disabled_or_for_people_is_400(client: Client, path: str) -> None:
    for change in ({"isEnabled": False}, {"allowedMemberTypes": ["User"]}):
        graph = client.tenant.latest("servicePrincipal", graph_of(client)["id"])
        assert graph is not None
        graph["appRoles"] = [role | change if role["id"] == ROLE else role for role in roles.app_roles()]
        client.tenant.commit("servicePrincipal", graph["id"], graph)
        assert client.refused("POST", path, wanted(client)) == (400, "Request_BadRequest")


def test_S2_an_unknown_service_principal_is_404_and_a_principal_not_yet_seen_is_refused_for_a_while(
    client: Client,
) -> None:
    assert client.refused("POST", f"/servicePrincipals/{GONE}/appRoleAssignments", wanted(client))[0] == 404
    client.tenant.lag = {"servicePrincipal": 40}
    admin = client.user_token(_roles=[roles.GLOBAL_ADMINISTRATOR])
    body = wanted(client)
    app = client.call("POST", "/applications", {"displayName": "new"}, admin).json()
    new = client.call("POST", "/servicePrincipals", {"appId": app["appId"]}, admin).json()
    path = f"/servicePrincipals/{body['resourceId']}/appRoleAssignedTo"
    tried = []
    for _ in range(60):
        client.clock.waited += 1
        body = {"principalId": new["id"], "resourceId": body["resourceId"], "appRoleId": ROLE}
        tried.append(client.call("POST", path, body, admin).json().get("error", {}).get("message", "granted"))
        if tried[-1] == "granted":
            break
    assert tried[0] == f"Object with id '{new['id']}' not found."
    assert tried[-1] == "granted"


def test_P6_a_grant_reaches_the_tokens_by_and_by(client: Client) -> None:
    client.tenant.lag = {"appRoleAssignment": 60}
    path = f"/servicePrincipals/{client.principal['id']}/appRoleAssignments"
    assert client.call("POST", path, wanted(client)).status == 201
    has = []
    for _ in range(60):
        client.clock.waited += 2
        has.append("AgentIdentity.Create.All" in roles_in_token(client))
    assert False in has
    assert all(has[30:]), "after the longest lag every token has it"


@pytest.mark.parametrize("size", [1, 4])
def test_P6_grants_come_in_pages(client: Client, path: str, size: int) -> None:
    client.tenant.switches.page_size = size
    found = [grant["appRoleId"] for grant in all_of(client, path)]
    assert sorted(found) == sorted(roles.BASE.values())
    graph = graph_of(client)["id"]
    assert len(all_of(client, f"{path}?$filter=resourceId eq {graph}")) == 6
    assert all_of(client, f"{path}?$filter=resourceId eq {GONE}") == []


# what is declared


def declared(*ids: str, api: str = GRAPH_APP_ID, kind: str = "Role") -> list[State]:
    return [{"resourceAppId": api, "resourceAccess": [{"id": role_id, "type": kind} for role_id in ids]}]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "x",
        [1],
        [{}],
        [{"resourceAppId": GRAPH_APP_ID}],
        declared("x"),
        declared(ROLE, api="x"),
        declared(ROLE, kind="role"),
        declared(GONE),
        [{**declared(ROLE)[0], "more": 1}],
        [{"resourceAppId": GRAPH_APP_ID, "resourceAccess": [ROLE]}],
        [{"resourceAppId": GRAPH_APP_ID, "resourceAccess": {}}],
    ],
    ids=str,
)
def test_S2_a_declaration_that_the_directory_does_not_take(client: Client, value: Any) -> None:
    client.token = client.user_token()
    before = client.app
    path, body = f"/applications/{before['id']}", {"requiredResourceAccess": value}
    assert client.refused("PATCH", path, body) == (400, "Request_BadRequest")
    assert client.refused("POST", "/applications", {"displayName": "x", **body}) == (400, "Request_BadRequest")
    assert client.app == before


def test_P6_a_declaration_replaces_the_list_and_grants_nothing(client: Client) -> None:
    client.token = client.user_token()
    before = roles_in_token(client)
    wanted = [*declared(*roles.BASE.values(), ROLE), *declared(GONE, api=GONE, kind="Scope")]
    path = f"/applications/{client.app['id']}"
    assert client.call("PATCH", path, {"requiredResourceAccess": wanted}).status == 204
    assert client.get(path)["requiredResourceAccess"] == wanted
    assert roles_in_token(client) == before


def test_S2_a_declaration_has_400_entries_at_most(client: Client) -> None:
    client.token = client.user_token()
    path = f"/applications/{client.app['id']}"
    full = declared(*[GONE] * 400, api=GONE, kind="Scope")
    assert client.call("PATCH", path, {"requiredResourceAccess": full}).status == 204
    body = {"requiredResourceAccess": [*full, *declared(ROLE)]}
    assert client.refused("PATCH", path, body) == (400, "Directory_QuotaExceeded")


@pytest.fixture
def api(client: Client) -> State:
    """The service principal of an API of the tenant that offers two roles; the app was granted both."""
    app = registrations.new_application(client.tenant, "an API")
    roles_of = [
        {"id": client.tenant.new_id(), "value": value, "isEnabled": True, "allowedMemberTypes": ["Application"]}
        for value in ("Do.All", "Do.Some")
    ]
    scope = {"id": client.tenant.new_id(), "value": None}
    api = registrations.new_principal(client.tenant, app) | {"appRoles": roles_of, "oauth2PermissionScopes": [scope]}
    client.tenant.commit("application", app["id"], app)
    client.tenant.commit("servicePrincipal", api["id"], api)
    for role in roles_of:
        grant = grants.new_grant(client.tenant, client.principal, api, str(role["id"]))
        client.tenant.commit(grants.KIND, grant["id"], grant)
    return api


@pytest.mark.parametrize(
    ("left", "held"),
    [([], None), ([1], ["Do.Some"]), ([0, 1], ["Do.All", "Do.Some"])],
)
def test_S2_a_role_that_its_api_no_longer_offers_is_in_no_token(
    client: Client, api: State, left: list[int], held: list[str] | None
) -> None:
    patch = {"appRoles": [api["appRoles"][number] for number in left]}
    assert client.call("PATCH", f"/servicePrincipals/{api['id']}", patch, client.app_token(*roles.BASE)).status == 204
    response = client.sign_in(client_secret=client.secret, scope=f"{api['appId']}/.default")
    assert response.status == 200, response.body
    assert claims_of(response.json()["access_token"]).get("roles") == held
    facts.of(client.tenant, [])


def test_S2_roles_and_scopes_without_a_value_are_no_bug(client: Client, api: State) -> None:
    """`value` may be null, as in the real directory."""
    nameless = api["appRoles"][0] | {"value": None}
    client.tenant.commit("servicePrincipal", api["id"], api | {"appRoles": [nameless, api["appRoles"][1]]})
    assert nameless["id"] in page.drawn(facts.of(client.tenant, [])).decode()
    response = client.sign_in(client_secret=client.secret, scope=f"{api['appId']}/.default")
    assert claims_of(response.json()["access_token"])["roles"] == ["Do.Some"]
    other = registrations.new_principal(client.tenant, {"appId": client.tenant.new_id(), "displayName": "other"})
    client.tenant.commit("servicePrincipal", other["id"], other)
    body = {"principalId": other["id"], "resourceId": api["id"], "appRoleId": nameless["id"]}
    admin = client.scoped("AppRoleAssignment.ReadWrite.All Directory.Read.All", roles.GLOBAL_ADMINISTRATOR)
    assert client.call("POST", f"/servicePrincipals/{other['id']}/appRoleAssignments", body, admin).status == 201
