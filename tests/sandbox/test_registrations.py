"""App registrations of the pretend Graph: made by name, once; restored and purged (P1, P6, S2; entra-protocol A.6)."""

from __future__ import annotations

from typing import Any

import pytest

from core.sandbox.directory import registrations
from core.sandbox.directory.store import GRAPH_APP_ID, State
from core.sandbox.graph import roles
from tests.sandbox.chain import Chain
from tests.sandbox.client import Client, key_pair

CREATE = {"Prefer": "create-if-missing"}
BIN = "/directory/deletedItems"


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def anybody(client: Client) -> str:
    """A token of a person without any directory role, who owns nothing."""
    client.change("application", _owners=[])
    return client.user_token(_roles=[])


def path_of(name: str) -> str:
    return f"/applications(uniqueName='{name}')"


# upsert


def test_P1_an_upsert_creates_once_and_changes_afterwards(client: Client) -> None:
    first = client.call("PATCH", path_of("mine"), {"displayName": "one"}, **CREATE)
    app = first.json()
    assert (first.status, app["uniqueName"], app["displayName"]) == (201, "mine", "one")
    assert first.json()["@odata.context"].endswith("#applications/$entity")
    again = client.call("PATCH", path_of("mine"), {"displayName": "two"}, **CREATE)
    assert (again.status, again.body) == (204, b"")
    assert client.call("PATCH", path_of("mine"), {"notes": "x"}).status == 204
    found = client.get(path_of("mine"))
    assert (found["id"], found["displayName"], found["notes"]) == (app["id"], "two", "x")
    (listed,) = client.get("/applications?$filter=uniqueName eq 'mine'")["value"]
    assert listed["id"] == app["id"]
    assert client.get(f"/applications/{client.app['id']}")["uniqueName"] is None


def test_S2_without_the_header_what_is_missing_stays_missing(client: Client) -> None:
    for headers in ({}, {"Prefer": "return=representation"}):
        refused = client.call("PATCH", path_of("mine"), {"displayName": "one"}, **headers)
        assert (refused.status, refused.json()["error"]["code"]) == (404, "Request_ResourceNotFound")
    assert client.call("GET", path_of("mine")).status == 404
    several = {"Prefer": "return=minimal, Create-If-Missing"}
    assert client.call("PATCH", path_of("mine"), {"displayName": "one"}, **several).status == 201


def test_S2_an_upsert_that_creates_needs_a_display_name(client: Client) -> None:
    for body in ({}, {"displayName": None}, {"displayName": ""}, {"notes": "x"}):
        assert client.call("PATCH", path_of("mine"), body, **CREATE).status == 400
    assert client.call("GET", path_of("mine")).status == 404


def test_S2_a_unique_name_never_changes(client: Client) -> None:
    app = client.call("PATCH", path_of("mine"), {"displayName": "one"}, **CREATE).json()
    for path in (f"/applications/{app['id']}", f"/applications/{client.app['id']}"):
        assert client.refused("PATCH", path, {"uniqueName": "other"}) == (400, "Request_BadRequest")
    assert client.refused("POST", "/applications", {"displayName": "x", "uniqueName": "y"})[0] == 400
    assert client.call("PATCH", f"/applications/{app['id']}", {"uniqueName": "mine"}).status == 204


def test_P1_lag_makes_no_second_app_of_one_unique_name(client: Client) -> None:
    client.tenant.lag = {"application": 40}
    answers = [client.call("PATCH", path_of("it''s"), {"displayName": "one"}, **CREATE).status for _ in range(8)]
    assert answers == [201] + [204] * 7
    assert {client.call("GET", path_of("it''s")).status for _ in range(20)} == {404}, "no replica has it yet"
    client.clock.waited += 41
    assert client.get(path_of("it''s"))["uniqueName"] == "it's"


def test_S2_an_upsert_of_anothers_app_is_403(client: Client, anybody: str) -> None:
    client.change("application", displayName="one", uniqueName="admins")
    refused = client.call("PATCH", path_of("admins"), {"displayName": "two"}, anybody, **CREATE)
    assert (refused.status, refused.json()["error"]["code"]) == (403, "Authorization_RequestDenied")
    assert client.get(path_of("admins"))["displayName"] == "one"


# creation


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_P6_an_app_is_created_with_everything_in_one_request(client: Client, method: str) -> None:
    body = {
        "displayName": "new",
        "signInAudience": "AzureADMyOrg",
        "tags": ["a", "b"],
        "notes": "made by a test",
        "keyCredentials": [client.entry(key_pair())],
        "requiredResourceAccess": [
            {"resourceAppId": GRAPH_APP_ID, "resourceAccess": [{"id": i, "type": "Role"} for i in roles.BASE.values()]}
        ],
    }
    path = "/applications" if method == "POST" else path_of("new")
    made = client.call(method, path, body, **(CREATE if method == "PATCH" else {}))
    assert made.status == 201
    app = made.json()
    for name in ("displayName", "signInAudience", "tags", "notes", "requiredResourceAccess"):
        assert app[name] == body[name]
    assert app["keyCredentials"][0]["key"] is None
    shown = client.get(f"/applications/{app['id']}?$select=keyCredentials")["keyCredentials"]
    assert shown[0]["customKeyIdentifier"] == key_pair().thumbprint
    assert [item["id"] for item in client.get("/applications?$filter=tags/any(t:t eq 'b')")["value"]] == [app["id"]]


@pytest.mark.parametrize(
    "body",
    [
        {"nonsense": 1},
        {"passwordCredentials": "x"},
        {"passwordCredentials": [{"displayName": "x"}, 7]},
        {"passwordCredentials": [{"endDateTime": "2001-01-01T00:00:00Z"}]},
        {"tags": "x"},
        {"signInAudience": None},
        {"signInAudience": "Bogus"},
        {"displayName": ""},
        {"web": {"redirectUris": "https://x"}},
        {"web": None},
        {"api": {"nonsense": 1}},
        {"web": {"implicitGrantSettings": {"enableIdTokenIssuance": "yes"}}},
        {"createdDateTime": "2020-01-01T00:00:00Z"},
        {"keyCredentials": [{"key": "AAAA"}]},
    ],
    ids=str,
)
def test_S2_a_creation_with_a_bad_member_makes_nothing(client: Client, body: State) -> None:
    before = client.get("/applications")["value"]
    assert client.refused("POST", "/applications", {"displayName": "x", **body}) == (400, "Request_BadRequest")
    assert client.get("/applications")["value"] == before


def test_S2_anybody_may_register_an_app_and_owns_it_unless_the_tenant_forbids_it(client: Client, anybody: str) -> None:
    app = client.call("POST", "/applications", {"displayName": "mine"}, anybody).json()
    path = f"/applications/{app['id']}"
    assert client.get(f"{path}/owners", anybody)["value"][0]["id"] == client.tenant.signed_in_user
    assert client.call("PATCH", path, {"notes": "x"}, anybody).status == 204
    assert client.call("POST", f"{path}/addPassword", {}, anybody).status == 200
    principal = client.call("POST", "/servicePrincipals", {"appId": app["appId"]}, anybody)
    assert principal.status == 201
    assert client.refused("PATCH", f"/applications/{client.app['id']}", {"notes": "x"}, anybody)[0] == 403
    client.tenant.switches.users_may_create_apps = False
    for method, where in (("POST", "/applications"), ("PATCH", path_of("new"))):
        refused = client.call(method, where, {"displayName": "new"}, anybody, **CREATE)
        assert (refused.status, refused.json()["error"]["code"]) == (403, "Authorization_RequestDenied")
    for role in (roles.APPLICATION_DEVELOPER, roles.APPLICATION_ADMINISTRATOR):
        token = client.user_token(_roles=[role])
        assert client.call("POST", "/applications", {"displayName": "new"}, token).status == 201


# deletion (A.6)


def test_S1_a_deleted_app_is_restored_with_its_secret_and_its_principal(client: Client) -> None:
    before, principal = client.app, client.principal
    client.call("DELETE", f"/applications/{before['id']}")
    item = client.get(f"{BIN}/{before['id']}")
    assert (item["appId"], bool(item["deletedDateTime"])) == (client.app_id, True)
    assert client.get(f"{BIN}/microsoft.graph.application/{before['id']}?$select=id")["id"] == before["id"]
    assert item["@odata.context"] == f"{client.tenant.graph}/v1.0/$metadata#directoryObjects/$entity"
    assert item["@odata.type"] == "#microsoft.graph.application"
    (gone,) = client.get(f"{BIN}/microsoft.graph.servicePrincipal")["value"]
    assert gone["id"] == principal["id"]
    restored = client.call("POST", f"{BIN}/{before['id']}/restore")
    assert (restored.status, restored.json()["deletedDateTime"]) == (200, None)
    assert (client.app, client.principal) == (before, principal)
    assert client.get(f"{BIN}/microsoft.graph.application")["value"] == []
    response = client.sign_in(client_secret=client.secret)
    assert response.status == 200


def test_S2_restoring_may_leave_the_principal_behind(client: Client) -> None:
    client.tenant.switches.restore_brings_principal = False
    principal = client.principal
    client.call("DELETE", f"/applications/{client.app['id']}")
    app_id = client.get(f"{BIN}/microsoft.graph.application")["value"][0]["id"]
    assert client.call("POST", f"{BIN}/{app_id}/restore").status == 200
    assert client.sign_in(client_secret=client.secret).json()["error_codes"] == [7000229]
    assert client.call("POST", f"{BIN}/{principal['id']}/restore").status == 200
    assert client.sign_in(client_secret=client.secret).status == 200


def test_S2_an_app_has_one_service_principal_also_after_a_restore(client: Client) -> None:
    first = client.principal["id"]
    client.call("DELETE", f"/servicePrincipals/{first}")
    second = client.call("POST", "/servicePrincipals", {"appId": client.app_id}).json()["id"]
    taken = (409, "Request_MultipleObjectsWithSameKeyValue")
    assert client.refused("POST", "/servicePrincipals", {"appId": client.app_id}) == taken
    assert client.refused("POST", f"{BIN}/{first}/restore") == taken
    assert live(client) == [second]
    client.call("DELETE", f"/servicePrincipals/{second}")
    assert client.call("POST", f"{BIN}/{first}/restore").status == 200
    assert live(client) == [first]


@pytest.mark.parametrize("back", [True, False])
def test_S2_restoring_an_app_makes_no_second_service_principal(client: Client, back: bool) -> None:
    app, first = client.app["id"], client.principal["id"]
    client.call("DELETE", f"/servicePrincipals/{first}")
    client.clock.waited += 60
    second = client.call("POST", "/servicePrincipals", {"appId": client.app_id}).json()["id"]
    client.call("DELETE", f"/applications/{app}")
    if back:
        assert client.call("POST", f"{BIN}/{first}/restore").status == 200
    assert client.call("POST", f"{BIN}/{app}/restore").status == 200
    assert live(client) == [first if back else second], "the one that is there, else the one that went last"


def live(client: Client) -> list[str]:
    """The app's service principals."""
    found = client.tenant.all_latest("servicePrincipal")
    return [state["id"] for state in found if state["appId"] == client.app_id]


def test_S1_a_purged_app_is_gone_for_good_and_its_grants_with_it(client: Client) -> None:
    app, principal = client.app, client.principal
    client.call("DELETE", f"/applications/{app['id']}")
    assert client.call("DELETE", f"{BIN}/{app['id']}").status == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/restore")):
        assert client.refused(method, f"{BIN}/{app['id']}{path}") == (404, "Request_ResourceNotFound")
    assert client.refused("GET", f"{BIN}/{principal['id']}")[0] == 404
    graph = client.get(f"/servicePrincipals(appId='{GRAPH_APP_ID}')")["id"]
    assert client.get(f"/servicePrincipals/{graph}/appRoleAssignedTo")["value"] == []


def test_S2_what_was_deleted_is_its_owners_or_an_administrators_business(client: Client, anybody: str) -> None:
    app = client.app
    client.call("DELETE", f"/applications/{app['id']}")
    for method, path in (("DELETE", ""), ("POST", "/restore")):
        assert client.refused(method, f"{BIN}/{app['id']}{path}", None, anybody) == (
            403,
            "Authorization_RequestDenied",
        )
    assert client.refused("PATCH", f"{BIN}/{app['id']}", {})[0] == 400
    assert client.call("DELETE", f"{BIN}/{app['id']}").status == 204


def test_S2_a_unique_name_that_was_taken_meanwhile_blocks_the_restore(client: Client) -> None:
    body: Any = {"displayName": "one"}
    first = client.call("PATCH", path_of("mine"), body, **CREATE).json()
    client.call("DELETE", f"/applications/{first['id']}")
    second = registrations.new_application(client.tenant, "two") | {"uniqueName": "mine"}
    client.tenant.commit("application", second["id"], second)
    assert client.refused("POST", f"{BIN}/{first['id']}/restore") == (409, "Request_MultipleObjectsWithSameKeyValue")


# what does not fit


def test_S2_a_name_has_256_characters_at_most(client: Client) -> None:
    path, bad = f"/applications/{client.app['id']}", (400, "Request_BadRequest")
    assert client.call("PATCH", path, {"displayName": "x" * 256}).status == 204
    assert client.refused("PATCH", path, {"displayName": "x" * 257}) == bad
    assert client.refused("POST", "/applications", {"displayName": "x" * 257}) == bad
    token = client.scoped("User.ReadWrite.All", roles.GLOBAL_ADMINISTRATOR)
    assert client.refused("PATCH", f"/users/{client.tenant.signed_in_user}", {"displayName": "x" * 257}, token) == bad


@pytest.mark.parametrize("name", ["id", "appId"])
@pytest.mark.parametrize(
    ("kind", "collection"), [("application", "applications"), ("servicePrincipal", "servicePrincipals")]
)
def test_S2_no_object_becomes_another_one(client: Client, kind: str, collection: str, name: str) -> None:
    before = client.latest(kind)
    path = f"/{collection}/{before['id']}"
    assert client.refused("PATCH", path, {name: client.tenant.id}) == (400, "Request_BadRequest")
    assert client.call("PATCH", path, {name: before[name]}).status == 204
    assert client.latest(kind) == before


@pytest.mark.parametrize("plain", ["#microsoft.graph.application", "microsoft.graph.Application"])
def test_S2_a_type_belongs_to_its_collection(client: Client, plain: str) -> None:
    assert client.call("POST", "/applications", {"displayName": "x", "@odata.type": plain}).status == 201
    for wrong in (
        "#microsoft.graph.user",
        "#microsoft.graph.AgentIdentity",
        "x",
        None,
        5,
        ["#microsoft.graph.application"],
    ):
        body = {"displayName": "x", "@odata.type": wrong}
        token = client.app_token("Application.ReadWrite.All")
        assert client.refused("POST", "/applications", body, token) == (400, "Request_BadRequest"), wrong


def test_S2_the_type_of_a_blueprint_is_known_in_any_case(client: Client) -> None:
    chain = Chain(client)
    body = chain.blueprint_body() | {"@odata.type": "#Microsoft.Graph.AgentIdentityBLUEPRINT"}
    assert chain.made("/applications", body)["@odata.type"] == "#microsoft.graph.agentIdentityBlueprint"
    assert client.refused("POST", "/applications", body, chain.person) == (403, "Authorization_RequestDenied")


# what an app may be told to be

REDIRECTS = [
    ("web", "https://app.example.com/back", True),
    ("web", "http://localhost:8400/back", True),
    ("web", "http://127.0.0.1/back", True),
    ("web", "urn:ietf:wg:oauth:2.0:oob", True),
    ("publicClient", "msalabc://auth", True),
    ("publicClient", "http://[::1]:80", True),
    ("spa", "https://app.example.com", True),
    ("web", "not a uri", False),
    ("web", "https://", False),
    ("web", "http://[", False),
    ("web", "http://evil.example.com", False),
    ("web", "http://localhost.evil.example.com", False),
    ("web", "https://app.example.com/#part", False),
    ("web", "msalabc://auth", False),
    ("spa", "http://evil.example.com", False),
    ("publicClient", "http://evil.example.com", False),
    ("publicClient", "not-a-uri", False),
]


@pytest.mark.parametrize(("part", "uri", "taken"), REDIRECTS)
def test_S2_an_app_is_led_back_by_https_or_to_this_machine(client: Client, part: str, uri: str, taken: bool) -> None:
    path, body = f"/applications/{client.app['id']}", {part: {"redirectUris": [uri]}}
    if taken:
        assert client.call("PATCH", path, body).status == 204
        assert client.get(path)[part]["redirectUris"] == [uri]
        assert client.principal["replyUrls"] == [uri], "the service principal has it from its app"
    else:
        assert client.refused("PATCH", path, body) == (400, "Request_BadRequest")
        assert client.get(path)[part]["redirectUris"] == []


def test_S1_what_a_change_does_not_name_stays(client: Client) -> None:
    path = f"/applications/{client.app['id']}"
    assert client.call("PATCH", path, {"web": {"homePageUrl": "https://a.example"}}).status == 204
    assert client.call("PATCH", path, {"web": {"redirectUris": ["https://a.example/b"]}}).status == 204
    assert client.get(path)["web"] == {
        "homePageUrl": "https://a.example",
        "implicitGrantSettings": {"enableAccessTokenIssuance": False, "enableIdTokenIssuance": False},
        "logoutUrl": None,
        "redirectUris": ["https://a.example/b"],
        "redirectUriSettings": [],
    }


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("api://{appId}", ""),
        ("api://{appId}/more", ""),
        ("api://name/{appId}", ""),
        ("api://{tenant}/name", ""),
        ("https://{domain}/name", ""),
        ("https://sub.{domain}", ""),
        ("urn:name", ""),
        ("api://{tenant}", "HostNameNotOnVerifiedDomain"),
        ("api://anything-else", "HostNameNotOnVerifiedDomain"),
        ("https://evil.example.com/x", "HostNameNotOnVerifiedDomain"),
        ("https://evil{domain}/x", "HostNameNotOnVerifiedDomain"),
        ("nonsense", "Request_BadRequest"),
        ("https://{domain}/", "Request_BadRequest"),
        ("http://[", "Request_BadRequest"),
    ],
)
def test_S2_an_identifier_names_the_app_the_tenant_or_a_verified_domain(client: Client, uri: str, code: str) -> None:
    named = uri.format(appId=client.app_id, tenant=client.tenant.id, domain=client.tenant.domain)
    path, body = f"/applications/{client.app['id']}", {"identifierUris": [named]}
    if code:
        assert client.refused("PATCH", path, body) == (400, code)
        client.change("application", identifierUris=[named])
        assert client.call("PATCH", path, body).status == 204, "what is there already is not looked at"
    else:
        assert client.call("PATCH", path, body).status == 204
        assert client.principal["servicePrincipalNames"] == [client.app_id, named]


def test_S2_an_identifier_belongs_to_one_app_even_to_a_deleted_one(client: Client) -> None:
    uri = f"https://{client.tenant.domain}/One"
    made = client.call("POST", "/applications", {"displayName": "one", "identifierUris": [uri]}).json()
    path, body = f"/applications/{client.app['id']}", {"identifierUris": [uri.lower()]}
    for _ in range(2):
        refused = client.call("PATCH", path, body)
        error = refused.json()["error"]
        assert (refused.status, error["details"][0]["target"]) == (400, "identifierUris")
        assert error["message"] == "Another object with the same value for property identifierUris already exists."
        client.call("DELETE", f"/applications/{made['id']}")
    client.call("DELETE", f"{BIN}/{made['id']}")
    assert client.call("PATCH", path, body).status == 204


@pytest.mark.parametrize("body", [{"signInAudience": "Bogus"}, {"displayName": ""}, {"displayName": None}], ids=str)
def test_S2_a_value_that_makes_no_sense_is_refused(client: Client, body: State) -> None:
    before = client.app
    assert client.refused("PATCH", f"/applications/{client.app['id']}", body) == (400, "Request_BadRequest")
    assert client.app == before


# what everybody has


def test_S1_an_app_of_a_name_alone_has_the_documented_properties(client: Client) -> None:
    app = client.call("POST", "/applications", {"displayName": "new"}).json()
    assert app["signInAudience"] == "AzureADMyOrg"
    assert app["api"]["requestedAccessTokenVersion"] is None
    assert app["web"]["implicitGrantSettings"] == {"enableIdTokenIssuance": False, "enableAccessTokenIssuance": False}
    names = "api,appRoles,spa,publicClient,info,optionalClaims,description,notes,groupMembershipClaims,addIns"
    found = client.get(f"/applications/{app['id']}?$select={names}")
    assert set(names.split(",")) < set(found)
    body = {"displayName": "own", "signInAudience": "AzureADandPersonalMicrosoftAccount"}
    assert client.call("POST", "/applications", body).json()["api"]["requestedAccessTokenVersion"] == 2


def test_S1_a_service_principal_has_what_its_app_has(client: Client) -> None:
    app = client.call("POST", "/applications", {"displayName": "new", "web": {"logoutUrl": "https://a.b"}}).json()
    made = client.call("POST", "/servicePrincipals", {"appId": app["appId"], "tags": ["x"]}).json()
    assert (made["appDisplayName"], made["signInAudience"]) == ("new", "AzureADMyOrg")
    assert (made["appRoleAssignmentRequired"], made["logoutUrl"], made["tags"]) == (False, "https://a.b", ["x"])
    role = {"id": client.tenant.new_id(), "value": "Do.It", "isEnabled": True, "allowedMemberTypes": ["User"]}
    scope = {"id": client.tenant.new_id(), "value": "do_it"}
    change = {"displayName": "newer", "appRoles": [role], "api": {"oauth2PermissionScopes": [scope]}}
    assert client.call("PATCH", f"/applications/{app['id']}", change).status == 204
    names = "displayName,appDisplayName,appRoles,oauth2PermissionScopes,replyUrls,servicePrincipalNames,tags,notes"
    found = client.get(f"/servicePrincipals/{made['id']}?$select={names}")
    assert (found["appDisplayName"], found["appRoles"], found["oauth2PermissionScopes"]) == ("newer", [role], [scope])
    for name in ("appDisplayName", "signInAudience"):
        assert client.refused("PATCH", f"/servicePrincipals/{made['id']}", {name: "AzureADMultipleOrgs"})[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/applications/{id}", {"authenticationBehaviors": {}}),
        ("PATCH", "/applications/{id}", {"web": {"nonsense": 1}}),
    ],
)
def test_S2_what_the_sandbox_does_not_have_it_says(client: Client, method: str, path: str, body: Any) -> None:
    refused = client.call(method, path.format(id=client.app["id"]), body)
    assert refused.status == 400
    assert "the sandbox has no" in refused.json()["error"]["message"].lower()


# passwords of a new app


def test_S1_a_new_app_may_have_a_password_whose_value_is_told_once(client: Client) -> None:
    wanted = [{"displayName": "first"}, {"displayName": None, "endDateTime": "2030-01-01T00:00:00Z"}]
    made = client.call("POST", "/applications", {"displayName": "new", "passwordCredentials": wanted})
    assert made.status == 201
    app = made.json()
    secrets = [entry["secretText"] for entry in app["passwordCredentials"]]
    assert [entry["displayName"] for entry in app["passwordCredentials"]] == ["first", None]
    assert all(entry["hint"] == secret[:3] for entry, secret in zip(app["passwordCredentials"], secrets, strict=True))
    shown = client.get(f"/applications/{app['id']}")["passwordCredentials"]
    assert [entry["secretText"] for entry in shown] == [None, None]
    client.call("POST", "/servicePrincipals", {"appId": app["appId"]})
    for secret in secrets:
        assert client.sign_in(client_id=app["appId"], client_secret=secret).status == 200
    assert made.body.count(secrets[0].encode()) == 1


def test_S2_an_upsert_brings_no_password(client: Client) -> None:
    body = {"displayName": "one", "passwordCredentials": [{"displayName": "x"}]}
    assert client.call("PATCH", path_of("mine"), body, **CREATE).status == 400
