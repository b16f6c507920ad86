"""The pretend Graph: rights, error bodies, queries, paging, batches, deletion (S1, S2; entra-protocol A)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

from core.sandbox.directory import registrations
from core.sandbox.directory.store import ARM_RESOURCE, GRAPH_APP_ID
from core.sandbox.graph import grants, roles
from core.sandbox.http import Request
from core.sandbox.service import handle
from core.sandbox.token_service.tokens import AZURE_CLI, user_token
from tests.sandbox.client import Client

GONE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def client() -> Client:
    return Client()


def more_apps(client: Client, *names: str) -> list[str]:
    apps = [registrations.new_application(client.tenant, name) for name in names]
    for app in apps:
        client.tenant.commit("application", app["id"], app)
    return [app["id"] for app in apps]


# error bodies and headers (A.4)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda token: "garbage", "IDX14100: JWT is not well formed, there are no dots (.).\n"),
        (lambda token: "a.b", "CompactToken parsing failed"),
        (lambda token: "a.b.c", "CompactToken parsing failed"),
        (lambda token: "a.W10.c", "CompactToken parsing failed"),
        (lambda token: token + ".x", "CompactToken parsing failed"),
        (lambda token: token[:-8] + "AAAAAAAA", "Signature validation failed"),
        (lambda token: token.rpartition(".")[0] + ".", "Signature validation failed"),
        (lambda token: token.partition(".")[0] + ".eyJhdWQiOiJ4In0.x", "Invalid audience"),
    ],
)
def test_S2_a_token_that_nobody_issued_is_told_what_is_wrong_with_it(
    client: Client, spoil: Callable[[str], str], said: str
) -> None:
    response = client.call("GET", "/me", token=spoil(client.token))
    error = response.json()["error"]
    assert (response.status, error["code"]) == (401, "InvalidAuthenticationToken")
    assert said in error["message"]


@pytest.mark.parametrize(
    ("token", "said"),
    [("", "is empty"), ("made-up", "no dots"), ("arm", "Invalid audience"), ("expired", "is expired")],
)
def test_S2_a_token_that_is_not_for_graph_is_401(client: Client, token: str, said: str) -> None:
    if token == "arm":
        user = client.tenant.latest("user", client.tenant.signed_in_user)
        assert user is not None
        token = user_token(client.tenant, user, ARM_RESOURCE, AZURE_CLI)
    elif token == "expired":
        token = client.token
        client.clock.waited += 3700
    response = client.call("GET", f"/applications/{client.app['id']}", token=token)
    assert client.refused("GET", "/me", token=token) == (401, "InvalidAuthenticationToken")
    assert response.status == 401
    assert said in response.json()["error"]["message"]
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")


def test_S2_errors_have_graphs_envelope_and_echo_the_request_id(client: Client) -> None:
    response = client.call("GET", f"/applications/{GONE}", **{"client-request-id": "mine"})
    inner = response.json()["error"]["innerError"]
    assert (response.status, response.json()["error"]["code"]) == (404, "Request_ResourceNotFound")
    assert GONE in response.json()["error"]["message"]
    assert (response.headers["client-request-id"], inner["client-request-id"]) == ("mine", "mine")
    assert response.headers["request-id"] != "mine"
    assert response.headers["request-id"] == inner["request-id"], "the header and the body name the same request"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/applications(appId='{GONE}')"),
        ("GET", f"/servicePrincipals/{GONE}"),
        ("GET", f"/applications/{GONE}/owners"),
        ("PATCH", f"/applications/{GONE}"),
        ("DELETE", f"/applications/{GONE}"),
        ("POST", f"/servicePrincipals/{GONE}/addPassword"),
    ],
)
def test_S2_what_does_not_exist_is_404(client: Client, method: str, path: str) -> None:
    body: Any = {} if method in ("PATCH", "POST") else None
    assert client.refused(method, path, body) == (404, "Request_ResourceNotFound")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nonsense"), ("POST", "/me"), ("GET", "/applications/x/y"), ("PUT", "/applications")]
)
def test_S2_what_nobody_serves_is_400(client: Client, method: str, path: str) -> None:
    assert client.refused(method, path)[0] == 400


def test_S2_a_person_needs_a_directory_role_or_ownership_to_write(client: Client) -> None:
    path, body = f"/applications/{client.app['id']}", {"displayName": "new"}
    client.change("application", _owners=[])
    plain = client.user_token(_roles=[])
    assert client.refused("PATCH", path, body, plain) == (403, "Authorization_RequestDenied")
    assert client.refused("DELETE", path, None, plain) == (403, "Authorization_RequestDenied")
    assert client.refused("POST", f"{path}/addPassword", {}, plain)[0] == 403
    assert client.call("GET", path, token=plain).status == 200
    client.change("application", _owners=[client.tenant.signed_in_user])
    assert client.call("PATCH", path, body, plain).status == 204
    client.change("application", _owners=[])
    assert client.call("PATCH", path, body, client.token).status == 204, "an Application Administrator may"


def test_S2_an_app_needs_the_role_to_write_or_ownership_with_the_lesser_one(client: Client) -> None:
    path, body = f"/applications/{client.app['id']}", {"displayName": "new"}

    def token() -> str:
        return str(client.sign_in(client_secret=client.secret).json()["access_token"])

    assert client.call("PATCH", path, body, token()).status == 204
    for grant in list(client.tenant.all_seen("appRoleAssignment", 0)):
        client.tenant.commit("appRoleAssignment", grant["id"], None)
    assert client.refused("PATCH", path, body, token()) == (403, "Authorization_RequestDenied")
    assert client.refused("GET", path, None, token()) == (403, "Authorization_RequestDenied")
    assert client.call("GET", f"/servicePrincipals/{client.principal['id']}", token=token()).status == 200, "itself"
    graph = client.tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
    assert graph is not None
    role = roles.OFFERED["Application.ReadWrite.OwnedBy"]
    owned = grants.new_grant(client.tenant, client.principal, graph, role)
    client.tenant.commit("appRoleAssignment", owned["id"], owned)
    assert client.refused("PATCH", path, body, token())[0] == 403
    client.change("application", _owners=[client.principal["id"]])
    assert client.call("PATCH", path, body, token()).status == 204


def test_S2_me_is_for_people(client: Client) -> None:
    token = client.sign_in(client_secret=client.secret).json()["access_token"]
    assert client.refused("GET", "/me", token=token)[0] == 400
    assert client.get("/me?$select=userPrincipalName")["userPrincipalName"].startswith("dana@")


# queries


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("displayName eq 'alpha'", ["alpha"]),
        ("displayName eq 'ALPHA'", ["alpha"]),
        ("displayName eq 'it''s'", ["it's"]),
        ("displayName eq 'a and b'", ["a and b"]),
        ("startswith(displayName,'al')", ["alpha", "alpine"]),
        ("startsWith(displayName, 'al') and displayName eq 'alpine'", ["alpine"]),
        ("displayName eq 'no such'", []),
        ("tags/any(t:t eq 'blue')", []),
    ],
)
def test_S1_lists_are_filtered(client: Client, query: str, expected: list[str]) -> None:
    more_apps(client, "alpha", "alpine", "it's", "a and b")
    found = client.get(f"/applications?$filter={query}&$select=displayName")["value"]
    assert [item["displayName"] for item in found] == expected


def test_S1_any_and_booleans(client: Client) -> None:
    client.change("application", tags=["Blue"])
    assert len(client.get("/applications?$filter=tags/any(t:t eq 'blue')")["value"]) == 1
    enabled = client.get(f"/servicePrincipals?$filter=accountEnabled eq true and appId eq '{client.app_id}'")["value"]
    assert [item["appId"] for item in enabled] == [client.app_id]
    assert client.get("/servicePrincipals?$filter=accountEnabled eq false")["value"] == []


@pytest.mark.parametrize(
    "query",
    ["displayName ne 'x'", "contains(displayName,'x')", "endswith(displayName,'x')", "displayName eq x", "nonsense",
     "displayName eq 'x' or", "tags/any(t:u eq 'x')", "tags/$count gt 1", "displayName eq 'x"],
)  # fmt: skip
def test_S2_another_filter_is_400(client: Client, query: str) -> None:
    assert client.refused("GET", f"/applications?$filter={query}") == (400, "Request_UnsupportedQuery")


def test_S1_select_gives_what_was_asked_for_and_refuses_unknown_names(client: Client) -> None:
    path = f"/applications/{client.app['id']}"
    assert set(client.get(f"{path}?$select=id,appId")) == {"@odata.context", "id", "appId"}
    assert client.refused("GET", f"{path}?$select=id,nonsense") == (400, "BadRequest")
    assert client.refused("GET", "/applications?$select=nonsense") == (400, "BadRequest")
    assert client.refused("GET", f"{path}?$select=_owners") == (400, "BadRequest")
    assert not [name for name in client.get(path) if name.startswith("_")]


@pytest.mark.parametrize("query", ["$top=x", "$top=-1", "$top=0", "$skiptoken=x"])
def test_S2_a_page_that_makes_no_sense_is_400(client: Client, query: str) -> None:
    assert client.refused("GET", f"/applications?{query}")[0] == 400


@pytest.mark.parametrize("size", [1, 2, 3])
def test_S1_pages_follow_their_links_and_keep_the_query(client: Client, size: int) -> None:
    ids = more_apps(client, "al 1", "al & 2", "al+3", "other")[:3]
    client.tenant.switches.page_size = size
    path = "/applications?$filter=startswith(displayName,'al')&$select=id"
    found, pages = [], 0
    while path:
        page = client.get(path)
        found += [item["id"] for item in page["value"]]
        assert all(set(item) == {"id"} for item in page["value"])
        link = page.get("@odata.nextLink", "")
        assert not link or link.startswith(f"{client.tenant.graph}/v1.0/applications?")
        path = unquote(link.partition("/v1.0")[2])
        pages += 1
    assert (found, pages) == (ids, -(-3 // size))


# $batch


def batch(client: Client, *requests: dict[str, Any]) -> dict[str, dict[str, Any]]:
    given = [{"id": str(number), "method": "GET", **request} for number, request in enumerate(requests)]
    response = client.call("POST", "/$batch", {"requests": given})
    assert response.status == 200
    return {reply["id"]: reply for reply in response.json()["responses"]}


def test_S1_a_batch_answers_each_item_by_itself(client: Client) -> None:
    path = f"/applications/{client.app['id']}"
    replies = batch(
        client,
        {"url": f"{path}?$select=id,keyCredentials"},
        {"url": f"/applications/{GONE}"},
        {
            "url": path,
            "method": "PATCH",
            "body": {"displayName": "new"},
            "headers": {"Content-Type": "application/json"},
        },
        {"url": "applications?$filter=displayName eq 'it''s %26 more'"},
        {
            "url": f"{path}/removePassword",
            "method": "POST",
            "body": {"keyId": GONE},
            "headers": {"content-type": "application/json"},
        },
    )
    assert [replies[str(number)]["status"] for number in range(5)] == [200, 404, 204, 200, 400]
    assert replies["1"]["body"]["error"]["code"] == "Request_ResourceNotFound"
    assert replies["0"]["body"]["id"] == client.app["id"]
    assert "request-id" in replies["1"]["headers"]
    assert "body" not in replies["2"]
    assert client.app["displayName"] == "new"


def test_S1_a_batch_item_whose_dependency_failed_is_424(client: Client) -> None:
    path = f"/applications/{client.app['id']}"
    replies = batch(
        client,
        {"url": f"/applications/{GONE}"},
        {"url": path, "method": "DELETE", "dependsOn": ["0"]},
        {"url": path, "dependsOn": ["1"]},
        {"url": path},
        {"url": path, "dependsOn": ["3"]},
    )
    assert [replies[str(number)]["status"] for number in range(5)] == [404, 424, 424, 200, 200]
    assert replies["1"]["body"]["error"]["code"] == "FailedDependency"


@pytest.mark.parametrize("count", [0, 21])
def test_S2_a_batch_holds_between_one_and_twenty_items(client: Client, count: int) -> None:
    items = [{"id": str(number), "method": "GET", "url": "/me"} for number in range(count)]
    assert client.refused("POST", "/$batch", {"requests": items})[0] == 400
    assert len(batch(client, *({"url": "/me"} for _ in range(20)))) == 20


@pytest.mark.parametrize("body", [{}, {"requests": "x"}, {"requests": ["x"]}, {"requests": [{"id": "1", "url": 7}]}])
def test_S2_a_malformed_batch_is_refused(client: Client, body: Any) -> None:
    response = client.call("POST", "/$batch", body)
    assert response.status == 400 or response.json()["responses"][0]["status"] >= 400


# creating and deleting


def test_S1_a_deleted_app_can_be_seen_and_takes_its_principal_along(client: Client) -> None:
    path, principal = f"/applications/{client.app['id']}", f"/servicePrincipals/{client.principal['id']}"
    deleted = f"/directory/deletedItems/microsoft.graph.application?$filter=appId eq '{client.app_id}'"
    assert client.get(deleted)["value"] == []
    assert client.call("DELETE", path).status == 204
    assert client.refused("GET", path) == (404, "Request_ResourceNotFound")
    assert client.refused("GET", principal) == (404, "Request_ResourceNotFound")
    (found,) = client.get(deleted)["value"]
    assert (found["appId"], bool(found["deletedDateTime"])) == (client.app_id, True)
    assert client.sign_in(client_secret=client.secret).json()["error_codes"] == [700016]


def test_S1_an_app_and_its_principal_are_created_once(client: Client) -> None:
    app = client.call("POST", "/applications", {"displayName": "new"}).json()
    assert client.get(f"/applications/{app['id']}/owners")["value"][0]["id"] == client.tenant.signed_in_user
    assert client.refused("GET", f"/servicePrincipals(appId='{app['appId']}')")[0] == 404, "never by itself"
    body = {"appId": app["appId"]}
    assert client.call("POST", "/servicePrincipals", body).status == 201
    assert client.refused("POST", "/servicePrincipals", body) == (409, "Request_MultipleObjectsWithSameKeyValue")
    assert client.refused("POST", "/servicePrincipals", {"appId": GONE}) == (400, "Request_BadRequest")
    assert client.refused("POST", "/applications", {}) == (400, "Request_BadRequest")


def test_S1_arm_answers_its_own_tokens_only(client: Client) -> None:
    url = f"{client.tenant.authority}/subscriptions?api-version=2022-12-01"
    refused = handle(client.tenant, Request.to("GET", url, {"Authorization": f"Bearer {client.token}"}))
    assert (refused.status, refused.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("PATCH", ""),
        ("DELETE", ""),
        *(("POST", f"/{do}{what}") for do in ("add", "remove") for what in ("Key", "Password")),
    ],
)
def test_S2_nobody_changes_what_belongs_to_microsoft(client: Client, method: str, rest: str) -> None:
    graph = client.tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
    assert graph is not None
    everything = client.user_token(_roles=[roles.GLOBAL_ADMINISTRATOR])
    for token in (everything, client.app_token(*roles.OFFERED)):
        refused = client.refused(method, f"/servicePrincipals/{graph['id']}{rest}", {}, token)
        assert refused == (403, "Authorization_RequestDenied")
    assert client.tenant.latest("servicePrincipal", graph["id"]) == graph


# what a write must say about itself


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"", "application/json", "Empty Payload. JSON content expected."),
        (b"", "", "Empty Payload. JSON content expected."),
        (
            b'{"notes":"x"}',
            "",
            "Write requests (excluding DELETE) must contain the Content-Type header declaration.",
        ),
        (b'{"notes":"x"}', "text/plain", "Entity only allows writes with a JSON Content-Type header."),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_S2_a_write_brings_json_and_says_so(
    client: Client, method: str, content: bytes, kind: str, message: str
) -> None:
    path = f"/applications/{client.app['id']}" + ("/removePassword" if method == "POST" else "")
    headers = {"Authorization": f"Bearer {client.token}"} | ({"Content-Type": kind} if kind else {})
    before = client.app
    url = f"{client.tenant.graph}/v1.0{path}"
    response = handle(client.tenant, Request.to(method, url, headers, content))
    error = response.json()["error"]
    assert (response.status, error["code"], error["message"]) == (400, "BadRequest", message)
    assert client.app == before, "and nothing is changed"


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/json;x=y"])
def test_S1_json_may_be_declared_with_parameters(client: Client, kind: str) -> None:
    path = f"/applications/{client.app['id']}"
    assert client.call("PATCH", path, {"notes": "x"}, **{"Content-Type": kind}).status == 204
    assert client.call("POST", f"{path}/addPassword").status == 200, "its parameter is optional"


# the case of letters is nothing


@pytest.mark.parametrize(
    ("path", "usual"),
    [
        ("/applications/{APP}", "/applications/{app}"),
        ("/Applications/{app}", "/applications/{app}"),
        ("/APPLICATIONS(APPID='{CLIENT}')", "/applications(appId='{client}')"),
        ("/serviceprincipals(appid='{client}')", "/servicePrincipals(appId='{client}')"),
        ("/servicePrincipals(appId='{GRAPH}')/OWNERS", "/servicePrincipals(appId='{graph}')/owners"),
        ("/ServicePrincipals/{PRINCIPAL}/AppRoleAssignments", "/servicePrincipals/{principal}/appRoleAssignments"),
        ("/users/{UPN}", "/users/{upn}"),
        ("/Me", "/me"),
        ("/Directory/DeletedItems/Microsoft.Graph.User", "/directory/deletedItems/microsoft.graph.user"),
        ("/OAuth2PermissionGrants", "/oauth2PermissionGrants"),
    ],
)
def test_S1_a_path_may_be_spelt_in_any_case(client: Client, path: str, usual: str) -> None:
    user = client.tenant.latest("user", client.tenant.signed_in_user)
    assert user is not None
    names = {"app": client.app["id"], "client": client.app_id, "graph": GRAPH_APP_ID, "upn": user["userPrincipalName"]}
    names["principal"] = client.principal["id"]
    upper = {name.upper(): text.upper() for name, text in names.items()}
    assert client.get(path.format(**names, **upper)) == client.get(usual.format(**names))


def test_S1_ids_in_a_body_may_be_spelt_in_any_case(client: Client) -> None:
    made = client.call("POST", "/applications", {"displayName": "new", "passwordCredentials": [{}]}).json()
    principal = client.call("POST", "/servicePrincipals", {"appId": made["appId"].upper()})
    assert (principal.status, principal.json()["appId"]) == (201, made["appId"])
    body = {"keyId": made["passwordCredentials"][0]["keyId"].upper()}
    assert client.call("POST", f"/applications/{made['id'].upper()}/RemovePassword", body).status == 204


def test_S2_a_unique_name_is_compared_letter_by_letter(client: Client) -> None:
    client.change("application", uniqueName="Mine")
    assert client.get("/Applications(UniqueName='Mine')")["uniqueName"] == "Mine"
    assert client.refused("GET", "/applications(uniqueName='mine')")[0] == 404


# small things that clients read


def test_S1_answers_are_described(client: Client) -> None:
    base, app = f"{client.tenant.graph}/v1.0/$metadata#", f"/applications/{client.app['id']}"
    assert client.get("/applications?$select=id,DisplayName")["@odata.context"] == f"{base}applications(id,displayName)"
    one = client.get(f"{app}?$select=id")
    assert one["@odata.context"] == f"{base}applications(id)/$entity"
    assert client.get(app)["@odata.context"] == f"{base}applications/$entity"
    made = client.call("POST", f"{app}/addPassword", {})
    assert made.json()["@odata.context"] == f"{base}microsoft.graph.passwordCredential"
    kind = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
    assert made.headers["Content-Type"] == kind
    refused = client.call("GET", f"/applications/{GONE}")
    assert refused.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(
    ("collection", "kind"), [("applications", "Application"), ("servicePrincipals", "ServicePrincipal")]
)
def test_S1_what_was_made_has_an_address(client: Client, collection: str, kind: str) -> None:
    app = client.call("POST", "/applications", {"displayName": "new"})
    made = app if kind == "Application" else client.call("POST", "/servicePrincipals", {"appId": app.json()["appId"]})
    tail = f"/directoryObjects/{made.json()['id']}/Microsoft.DirectoryServices.{kind}"
    assert made.headers["Location"] == f"{client.tenant.graph}/v2/{client.tenant.id}{tail}"


@pytest.mark.parametrize("collection", ["applications", "servicePrincipals", "users"])
@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
def test_S2_a_collection_is_neither_deleted_nor_changed(client: Client, method: str, collection: str) -> None:
    body: Any = {} if method == "PATCH" else None
    assert client.refused(method, f"/{collection}", body) == (405, "Request_BadRequest")


def test_S1_objects_of_any_type_are_looked_up_by_their_ids(client: Client) -> None:
    path, known = "/directoryObjects/getByIds", [client.principal["id"], client.tenant.signed_in_user]
    found = client.call("POST", path, {"ids": [*known, client.tenant.new_id(), known[0]]}).json()["value"]
    kinds = [(one["@odata.type"].rpartition(".")[2], one["id"]) for one in found]
    assert kinds == [("servicePrincipal", known[0]), ("user", known[1])]
    people = client.call("POST", path, {"ids": known, "types": ["User"]}).json()["value"]
    assert [(one["id"], one["accountEnabled"]) for one in people] == [(known[1], True)]
    unfit: list[dict[str, Any]] = [{}, {"ids": []}, {"ids": ["x"] * 1001}, {"ids": [1]}]
    unfit.append({"ids": known, "types": "user"})
    for body in unfit:
        assert client.refused("POST", path, body) == (400, "Request_BadRequest")
    assert client.refused("POST", path, {"ids": known}, client.app_token())[0] == 403
