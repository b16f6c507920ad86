"""Consents of the pretend Graph: given, found, extended, revoked (A1, S2; entra-protocol A.2 rows 26 and 27)."""

from __future__ import annotations

from typing import Any

import pytest

from core.sandbox.directory.store import GRAPH_APP_ID, State
from core.sandbox.graph import consents, roles
from tests.sandbox.chain import Chain
from tests.sandbox.client import Client

GONE = "00000000-0000-4000-8000-000000000000"
PATH = "/oauth2PermissionGrants"
DENIED = (403, "Authorization_RequestDenied")
BAD = (400, "Request_BadRequest")
START = {"startTime": "2026-01-01T00:00:00Z"}


@pytest.fixture
def client() -> Client:
    client = Client()
    client.token = client.app_token(consents.PERMISSION, "Application.Read.All")
    return client


def body_of(client: Client, **values: Any) -> State:
    graph = client.tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
    assert graph is not None
    return {
        "clientId": client.principal["id"],
        "consentType": "Principal",
        "principalId": client.tenant.signed_in_user,
        "resourceId": graph["id"],
        "scope": "User.Read Chat.Create",
        **START,
        **values,
    }


def made(client: Client, **values: Any) -> State:
    response = client.call("POST", PATH, body_of(client, **values))
    assert response.status == 201, response.body
    return response.json()


def test_A1_a_consent_is_given_found_extended_and_revoked(client: Client) -> None:
    grant = made(client)
    assert set(grant) == {"@odata.context", "id", "clientId", "consentType", "principalId", "resourceId", "scope"}
    other = made(client, consentType="AllPrincipals", principalId=None)
    assert other["id"] != grant["id"]
    wanted = " and ".join(f"{name} eq '{grant[name]}'" for name in ("clientId", "principalId", "resourceId"))
    assert [item["id"] for item in client.get(f"{PATH}?$filter={wanted}")["value"]] == [grant["id"]]
    assert len(client.get(f"/servicePrincipals/{grant['clientId']}{PATH}")["value"]) == 2
    assert [item["id"] for item in client.get(f"/users/{grant['principalId']}{PATH}")["value"]] == [grant["id"]]
    path = f"{PATH}/{grant['id']}"
    assert client.call("PATCH", path, {"scope": "User.Read"}).status == 204
    assert client.get(path)["scope"] == "User.Read"
    assert client.call("DELETE", path).status == 204
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"scope": "x"})):
        assert client.refused(method, path, body) == (404, "Request_ResourceNotFound")
    assert [item["id"] for item in client.get(PATH)["value"]] == [other["id"]]


def test_S2_a_second_consent_for_the_same_three_is_409(client: Client) -> None:
    made(client)
    conflict = (409, "Request_MultipleObjectsWithSameKeyValue")
    assert client.refused("POST", PATH, body_of(client, scope="Mail.Read")) == conflict
    assert client.get(PATH)["value"][0]["scope"] == "User.Read Chat.Create"


@pytest.mark.parametrize("required", [True, False])
def test_A1_start_time_is_required_for_one_principal_and_not_with_the_switch(client: Client, required: bool) -> None:
    client.tenant.switches.start_time_required = required
    body = body_of(client)
    del body["startTime"]
    response = client.call("POST", PATH, body)
    assert response.status == (400 if required else 201)
    if required:
        assert response.json()["error"]["message"] == "Missing property: startTime"
    everybody = body | {"consentType": "AllPrincipals", "principalId": None}
    assert client.call("POST", PATH, everybody).status == 201, "the Azure CLI sends none"


@pytest.mark.parametrize(
    "change",
    [
        {"clientId": None},
        {"resourceId": ""},
        {"scope": None},
        {"consentType": "Everybody"},
        {"consentType": "AllPrincipals"},
        {"principalId": None},
        {"startTime": "soon"},
        {"expiryTime": "never"},
        {"nonsense": 1},
    ],
    ids=lambda change: "-".join(f"{name}={value}" for name, value in change.items()),
)
def test_S2_a_consent_that_makes_no_sense_is_400(client: Client, change: State) -> None:
    assert client.refused("POST", PATH, body_of(client, **change)) == BAD
    assert client.get(PATH)["value"] == []


def test_S2_only_the_scope_changes(client: Client) -> None:
    path = f"{PATH}/{made(client)['id']}"
    for body in ({}, {"scope": 7}, {"scope": "x", "consentType": "AllPrincipals"}, {"clientId": GONE}):
        assert client.refused("PATCH", path, body) == BAD
    assert client.refused("POST", path, {}) == (400, "BadRequest")
    assert client.refused("DELETE", PATH) == (400, "BadRequest")


@pytest.mark.parametrize(("status", "code"), [BAD, (404, "Request_ResourceNotFound")])
def test_S2_who_is_not_known_yet_is_refused_with_either_status(client: Client, status: int, code: str) -> None:
    client.tenant.switches.consent_too_early = status
    for change in ({"principalId": GONE}, {"clientId": GONE}, {"resourceId": GONE}):
        assert client.refused("POST", PATH, body_of(client, **change)) == (status, code)
    response = client.call("POST", PATH, body_of(client, principalId=GONE))
    assert response.json()["error"]["message"] == "Principal was not found."


def test_S3_an_agent_user_is_not_known_at_once() -> None:
    chain = Chain(Client())
    client = chain.client
    identity = chain.identity(chain.blueprint())
    client.tenant.lag = {"user": 40}
    body = body_of(client, clientId=identity["id"], principalId=chain.user(identity)["id"])
    assert {client.refused("POST", PATH, body) for _ in range(8)} == {BAD}
    client.clock.waited += 41
    assert client.call("POST", PATH, body).status == 201


def test_S2_consent_takes_its_permission_and_a_person_a_role(client: Client) -> None:
    path = f"{PATH}/{made(client)['id']}"
    body = body_of(client, consentType="AllPrincipals", principalId=None)
    without = client.app_token(*(role for role in roles.BASE if role != consents.PERMISSION))
    plain = client.user_token(_roles=[])
    for token in (without, plain):
        assert client.refused("POST", PATH, body, token) == DENIED
        assert client.refused("PATCH", path, {"scope": "x"}, token) == DENIED
        assert client.refused("DELETE", path, None, token) == DENIED
    assert client.refused("GET", PATH, None, without) == DENIED
    assert client.refused("GET", f"/servicePrincipals/{client.principal['id']}{PATH}", None, without) == DENIED
    admin = client.user_token(_roles=[roles.CLOUD_APPLICATION_ADMINISTRATOR])
    assert client.call("POST", PATH, body, admin).status == 201


def test_S2_beta_refuses_whom_v1_lets_in(client: Client) -> None:
    client.version = "beta"
    assert client.refused("POST", PATH, body_of(client)) == DENIED
    client.version = "v1.0"
    made(client)


def test_S2_a_purged_app_takes_its_consents_along(client: Client) -> None:
    client.token = client.app_token(consents.PERMISSION, "Application.ReadWrite.All")
    made(client)
    assert client.call("DELETE", f"/applications/{client.app['id']}").status == 204
    assert len(client.get(PATH)["value"]) == 1, "it can still be restored"
    (deleted,) = client.get("/directory/deletedItems/microsoft.graph.application")["value"]
    assert client.call("DELETE", f"/directory/deletedItems/{deleted['id']}").status == 204
    assert client.get(PATH)["value"] == []
