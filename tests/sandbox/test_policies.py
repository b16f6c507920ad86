"""App management policies of the pretend Graph: who may see and set them, and what they stop (M13, S2; B.6)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core.sandbox.directory.store import State
from core.sandbox.graph import roles
from core.sandbox.http import Response
from tests.sandbox.client import Client, key_pair

POLICIES = "/policies/appManagementPolicies"
DEFAULT = "/policies/defaultAppManagementPolicy"
WRITE = "Policy.ReadWrite.ApplicationConfiguration"
ADMIN = roles.APPLICATION_ADMINISTRATOR
NO_PASSWORDS = {"restrictionType": "passwordAddition", "maxLifetime": None, "state": "enabled"}
SHORT_KEYS = {"restrictionType": "asymmetricKeyLifetime", "maxLifetime": "P30D"}
HOLDERS = [("application", "applications"), ("servicePrincipal", "servicePrincipals")]


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def setter(client: Client) -> str:
    """A token that may set policies and assign them."""
    return client.scoped(f"{WRITE} Application.Read.All", ADMIN)


@pytest.fixture(params=HOLDERS, ids=lambda holder: holder[0])
def path(request: pytest.FixtureRequest, client: Client) -> str:
    kind, collection = request.param
    return f"/{collection}/{client.latest(kind)['id']}"


def made(client: Client, token: str, *restrictions: State, **values: Any) -> str:
    """Make a policy; its id."""
    body = {"displayName": "x", "description": "y", "isEnabled": True, "restrictions": in_lists(*restrictions)}
    response = client.call("POST", POLICIES, body | values, token)
    assert response.status == 201, response.body
    return str(response.json()["id"])


def in_lists(*restrictions: State) -> State:
    lists: State = {"passwordCredentials": [], "keyCredentials": []}
    for restriction in restrictions:
        kind = "keyCredentials" if restriction["restrictionType"].startswith("asymmetric") else "passwordCredentials"
        lists[kind].append(restriction)
    return lists


def assign(client: Client, token: str, path: str, policy_id: str) -> Response:
    link = {"@odata.id": f"{client.tenant.graph}/v1.0{POLICIES}/{policy_id}"}
    return client.call("POST", f"{path}/appManagementPolicies/$ref", link, token)


def add_key(client: Client, path: str, days: int) -> Response:
    start = key_pair().not_before
    entry = client.entry(key_pair(), endDateTime=client.tenant.stamp(start + timedelta(days=days)))
    existing = client.get(path)["keyCredentials"]
    return client.call("PATCH", path, {"keyCredentials": [*existing, entry]})


# rights


def test_M13_the_token_of_the_azure_cli_may_neither_see_nor_set_policies(client: Client) -> None:
    mine = f"/applications/{client.app['id']}/appManagementPolicies"
    everything = client.user_token(_roles=[roles.GLOBAL_ADMINISTRATOR])
    for token in (everything, client.sign_in(client_secret=client.secret).json()["access_token"]):
        for path in (POLICIES, DEFAULT, mine):
            assert client.refused("GET", path, None, token) == (403, "Authorization_RequestDenied")
        assert client.refused("POST", POLICIES, {"displayName": "x"}, token)[0] == 403
        assert client.refused("POST", f"{mine}/$ref", {}, token)[0] == 403
        assert client.refused("PATCH", DEFAULT, {"isEnabled": True}, token)[0] == 403


@pytest.mark.parametrize("permission", ["Policy.Read.All", "Policy.Read.ApplicationConfiguration"])
def test_M13_reading_policies_takes_less_than_setting_them(client: Client, setter: str, permission: str) -> None:
    policy_id = made(client, setter, NO_PASSWORDS)
    reader = client.app_token(permission)
    assert [item["id"] for item in client.get(POLICIES, reader)["value"]] == [policy_id]
    assert client.get(f"{POLICIES}/{policy_id}", reader)["restrictions"] == in_lists(NO_PASSWORDS)
    assert client.get(DEFAULT, reader)["isEnabled"] is False
    assert client.refused("PATCH", f"{POLICIES}/{policy_id}", {"isEnabled": False}, reader)[0] == 403
    person = client.scoped(permission)
    assert client.refused("GET", POLICIES, None, person)[0] == 403, "the scope alone is not enough"
    assert client.get(POLICIES, client.scoped(permission, roles.GLOBAL_READER))["value"]


def test_M13_assigning_a_policy_also_takes_the_right_to_read_apps(client: Client, setter: str, path: str) -> None:
    policy_id = made(client, setter, NO_PASSWORDS)
    assert assign(client, client.app_token(WRITE), path, policy_id).status == 403
    assert assign(client, client.app_token(WRITE, "Application.Read.All"), path, policy_id).status == 204


# life of a policy


def test_M13_a_policy_is_assigned_listed_and_lifted(client: Client, setter: str, path: str) -> None:
    policy_id = made(client, setter, NO_PASSWORDS)
    assigned = f"{path}/appManagementPolicies"
    assert client.get(assigned, setter)["value"] == []
    assert client.call("POST", f"{path}/addPassword", {}).status == 200, "not assigned yet"
    assert assign(client, setter, path, policy_id).status == 204
    (shown,) = client.get(assigned, setter)["value"]
    assert client.get(f"{POLICIES}/{policy_id}", setter).items() >= shown.items()
    assert client.refused("POST", f"{path}/addPassword", {}) == (400, "CredentialTypeNotAllowedAsPerAppPolicy")
    assert client.call("DELETE", f"{assigned}/{policy_id}/$ref", None, setter).status == 204
    assert client.call("POST", f"{path}/addPassword", {}).status == 200
    assert client.refused("DELETE", f"{assigned}/{policy_id}/$ref", None, setter)[0] == 404


def test_S2_an_object_has_one_policy(client: Client, setter: str, path: str) -> None:
    first, second = made(client, setter, NO_PASSWORDS), made(client, setter, SHORT_KEYS)
    assert assign(client, setter, path, first).status == 204
    for policy_id in (first, second):
        refused = assign(client, setter, path, policy_id)
        assert (refused.status, refused.json()["error"]["code"]) == (400, "Request_BadRequest")
    assert assign(client, setter, path, "00000000-0000-0000-0000-000000000000").status == 404


def test_M13_a_policy_that_is_disabled_or_deleted_stops_nothing(client: Client, setter: str, path: str) -> None:
    policy_id = made(client, setter, NO_PASSWORDS)
    assign(client, setter, path, policy_id)
    where = f"{POLICIES}/{policy_id}"
    assert client.call("PATCH", where, {"isEnabled": False}, setter).status == 204
    assert client.call("POST", f"{path}/addPassword", {}).status == 200
    assert client.call("PATCH", where, {"isEnabled": True}, setter).status == 204
    assert client.call("POST", f"{path}/addPassword", {}).status == 400
    assert client.call("DELETE", where, None, setter).status == 204
    assert client.call("POST", f"{path}/addPassword", {}).status == 200
    assert client.refused("GET", where, None, setter)[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"displayName": 1},
        {"displayName": "x", "nonsense": 1},
        {"displayName": "x", "isEnabled": "yes"},
        {"displayName": "x", "restrictions": {"keyCredentials": [{"restrictionType": "passwordAddition"}]}},
        {"displayName": "x", "restrictions": {"keyCredentials": {}}},
        {"displayName": "x", "restrictions": {"other": []}},
        {"displayName": "x", "restrictions": in_lists(SHORT_KEYS | {"maxLifetime": None})},
        {"displayName": "x", "restrictions": in_lists(SHORT_KEYS | {"maxLifetime": "180 days"})},
        {"displayName": "x", "restrictions": in_lists(NO_PASSWORDS | {"maxLifetime": "P1D"})},
        {"displayName": "x", "restrictions": in_lists(NO_PASSWORDS | {"restrictForAppsCreatedAfterDateTime": "soon"})},
    ],
    ids=str,
)
def test_S2_a_policy_that_makes_no_sense_is_400(client: Client, setter: str, body: State) -> None:
    assert client.refused("POST", POLICIES, body, setter) == (400, "Request_BadRequest")
    assert client.get(POLICIES, setter)["value"] == []


# what it stops


def test_M13_a_certificate_that_lives_too_long_is_refused_with_its_detail(
    client: Client, setter: str, path: str
) -> None:
    assign(client, setter, path, made(client, setter, SHORT_KEYS))
    before = client.get(path)["keyCredentials"]
    refused = add_key(client, path, 31)
    error = refused.json()["error"]
    assert (refused.status, error["code"]) == (400, "CredentialInvalidLifetimeAsPerAppPolicy")
    assert [(item["code"], item["target"]) for item in error["details"]] == [("InvalidKeyEndDate", "EndDate")]
    assert client.get(path)["keyCredentials"] == before
    assert add_key(client, path, 30).status == 204
    assert client.call("POST", f"{path}/addPassword", {}).status == 200, "passwords are another matter"


def test_M13_what_is_there_already_stays(client: Client, setter: str, path: str) -> None:
    assert add_key(client, path, 200).status == 204
    client.call("POST", f"{path}/addPassword", {})
    assign(client, setter, path, made(client, setter, SHORT_KEYS, NO_PASSWORDS))
    shown = client.get(path)
    assert client.call("PATCH", path, {"keyCredentials": shown["keyCredentials"]}).status == 204
    assert client.get(path)["passwordCredentials"] == shown["passwordCredentials"]
    assert client.sign_in_with(key_pair()).status == 200


def test_M13_passwords_may_be_capped(client: Client, setter: str, path: str) -> None:
    cap = {"restrictionType": "passwordLifetime", "maxLifetime": "P4DT12H30M5S"}
    assign(client, setter, path, made(client, setter, cap))
    assert client.refused("POST", f"{path}/addPassword", {}) == (400, "CredentialInvalidLifetimeAsPerAppPolicy")
    end = client.tenant.stamp(client.tenant.now() + timedelta(days=4))
    body = {"passwordCredential": {"endDateTime": end}}
    assert client.call("POST", f"{path}/addPassword", body).status == 200


@pytest.mark.parametrize(
    ("days", "state", "stops"), [(-1, "enabled", True), (1, "enabled", False), (-1, "disabled", False)]
)
def test_M13_a_restriction_may_be_off_or_for_younger_apps_only(
    client: Client, setter: str, days: int, state: str, stops: bool
) -> None:
    since = client.tenant.stamp(client.tenant.now() + timedelta(days=days))
    rule = NO_PASSWORDS | {"restrictForAppsCreatedAfterDateTime": since, "state": state}
    path = f"/applications/{client.app['id']}"
    assign(client, setter, path, made(client, setter, rule))
    assert client.call("POST", f"{path}/addPassword", {}).status == (400 if stops else 200)


def test_M13_the_tenants_default_counts_where_an_object_has_no_policy_of_its_own(
    client: Client, setter: str, path: str
) -> None:
    part = "applicationRestrictions" if path.startswith("/applications") else "servicePrincipalRestrictions"
    body = {part: in_lists(NO_PASSWORDS), "isEnabled": True}
    assert client.call("PATCH", DEFAULT, body, setter).status == 204
    assert client.get(DEFAULT, setter)[part] == in_lists(NO_PASSWORDS)
    assert client.refused("POST", f"{path}/addPassword", {})[0] == 400
    assert client.get(POLICIES, setter)["value"] == []
    assign(client, setter, path, made(client, setter, SHORT_KEYS))
    assert client.call("POST", f"{path}/addPassword", {}).status == 200
    assert client.call("PATCH", DEFAULT, {"isEnabled": False}, setter).status == 204


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_M13_a_creation_is_bound_by_the_tenants_default(client: Client, setter: str, method: str) -> None:
    body = {"applicationRestrictions": in_lists(SHORT_KEYS), "isEnabled": True}
    client.call("PATCH", DEFAULT, body, setter)
    new = {"displayName": "new", "keyCredentials": [client.entry(key_pair())]}
    path = "/applications" if method == "POST" else "/applications(uniqueName='new')"
    refused = client.call(method, path, new, Prefer="create-if-missing")
    assert refused.json()["error"]["code"] == "CredentialInvalidLifetimeAsPerAppPolicy"
    assert client.get("/applications?$filter=displayName eq 'new'")["value"] == []


def test_M13_the_scenario_takes_half_a_year_and_no_secret() -> None:
    client = Client("policy")
    path = f"/applications/{client.app['id']}"
    assert client.sign_in(client_secret=client.secret).status == 200
    assert client.refused("POST", f"{path}/addPassword", {}) == (400, "CredentialTypeNotAllowedAsPerAppPolicy")
    assert add_key(client, path, 181).status == 400
    assert add_key(client, path, 180).status == 204


def test_S2_a_policy_against_passwords_counts_for_a_new_app_too(client: Client, setter: str) -> None:
    change = {"isEnabled": True, "applicationRestrictions": in_lists(NO_PASSWORDS)}
    assert client.call("PATCH", DEFAULT, change, setter).status == 204
    body: State = {"displayName": "new", "passwordCredentials": [{"displayName": "x"}]}
    before = len(list(client.tenant.all_latest("application")))
    assert client.refused("POST", "/applications", body) == (400, "CredentialTypeNotAllowedAsPerAppPolicy")
    assert len(list(client.tenant.all_latest("application"))) == before
    assert client.call("POST", "/applications", body | {"passwordCredentials": []}).status == 201


def test_S2_a_newer_restriction_is_shown_by_name_only_to_whoever_prefers_that(client: Client, setter: str) -> None:
    policy_id = made(client, setter)
    rule = {"restrictionType": "trustedCertificateAuthority", "state": "enabled"}
    change = {"restrictions": {"keyCredentials": [rule]}}
    assert client.call("PATCH", f"{POLICIES}/{policy_id}", change, setter).status == 204
    for prefer, shown in (
        ({}, "unknownFutureValue"),
        ({"Prefer": "include-unknown-enum-members"}, rule["restrictionType"]),
    ):
        answer = client.call("GET", f"{POLICIES}/{policy_id}", None, setter, **prefer).json()
        assert [item["restrictionType"] for item in answer["restrictions"]["keyCredentials"]] == [shown]


def test_P13_a_self_signed_certificate_is_refused_where_authorities_are_asked_for(
    client: Client, setter: str, path: str
) -> None:
    policy_id = made(client, setter)
    change = {"restrictions": {"keyCredentials": [{"restrictionType": "trustedCertificateAuthority"}]}}
    client.call("PATCH", f"{POLICIES}/{policy_id}", change, setter)
    assert assign(client, setter, path, policy_id).status == 204
    refused = add_key(client, path, 30)
    assert (refused.status, refused.json()["error"]["code"]) == (400, "CredentialTypeNotAllowedAsPerAppPolicy")
