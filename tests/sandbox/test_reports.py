"""The pretend report of credential use, and the tenant's domains (M15, S2; entra-protocol B.7, A.2 row 28)."""

from __future__ import annotations

from typing import Any

import pytest

from core.sandbox.directory import registrations
from core.sandbox.directory.store import GRAPH_APP_ID
from core.sandbox.graph import roles
from tests.sandbox.client import Client, key_pair

PATH = "/reports/appCredentialSignInActivities"


@pytest.fixture
def client() -> Client:
    """Calls the beta version as a Reports Reader."""
    client = Client(version="beta")
    client.token = client.user_token(_roles=[roles.REPORTS_READER])
    return client


def rows(client: Client) -> dict[str, Any]:
    return {row["keyId"]: row for row in client.get(f"{PATH}?$filter=appId eq '{client.app_id}'")["value"]}


def test_M15_a_credential_has_a_row_once_it_was_used(client: Client) -> None:
    (password,) = client.app["passwordCredentials"]
    key = client.add_key(key_pair())
    assert rows(client) == {}
    assert client.sign_in(client_secret=client.secret).status == 200
    (row,) = rows(client).values()
    graph = client.get(f"/servicePrincipals(appId='{GRAPH_APP_ID}')")["id"]
    assert (
        row.items()
        >= {
            "keyId": password["keyId"],
            "keyType": "clientSecret",
            "appId": client.app_id,
            "appObjectId": client.app["id"],
            "servicePrincipalObjectId": client.principal["id"],
            "credentialOrigin": "application",
            "resourceId": graph,
            "createdDateTime": password["startDateTime"],
            "expirationDateTime": password["endDateTime"],
        }.items()
    )
    assert client.sign_in_with(key_pair()).status == 200
    assert rows(client)[key["keyId"]]["keyType"] == "certificate"
    assert client.get(f"{PATH}?$filter=keyId eq '{key['keyId']}'")["value"] == [rows(client)[key["keyId"]]]
    assert client.get(f"{PATH}?$filter=appId eq 'other'")["value"] == []


def test_M15_the_row_tells_of_the_last_use_and_not_of_a_refusal(client: Client) -> None:
    client.sign_in(client_secret=client.secret)
    (first,) = rows(client).values()
    client.clock.waited += 1800
    assert client.sign_in(client_secret="wrong").status == 401
    assert list(rows(client).values()) == [first]
    client.sign_in(client_secret=client.secret)
    (second,) = rows(client).values()
    was, now = (registrations.moment(row["signInActivity"]["lastSignInDateTime"]) for row in (first, second))
    assert 1800 <= (now - was).total_seconds() < 1900


def test_M15_a_credential_of_the_service_principal_says_so(client: Client) -> None:
    entry, secret = registrations.new_password(client.tenant, "on the principal")
    client.change("servicePrincipal", passwordCredentials=[entry])
    client.sign_in(client_secret=secret.reveal())
    assert rows(client)[entry["keyId"]]["credentialOrigin"] == "servicePrincipal"


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (roles.REPORTS_READER, True),
        (roles.SECURITY_READER, True),
        (roles.GLOBAL_READER, True),
        (roles.GLOBAL_ADMINISTRATOR, True),
        (roles.APPLICATION_ADMINISTRATOR, False),
    ],
)
def test_M15_a_person_needs_a_role_that_reads_reports(client: Client, role: str, allowed: bool) -> None:
    token = client.user_token(_roles=[role])
    if allowed:
        assert client.get(PATH, token)["value"] == []
    else:
        assert client.refused("GET", PATH, None, token) == (403, "Authorization_RequestDenied")


def test_M15_the_permission_is_needed_too(client: Client) -> None:
    assert client.call("GET", PATH, token=client.app_token("AuditLog.Read.All")).status == 200
    for token in (
        client.app_token("Application.ReadWrite.All"),
        client.scoped("Directory.AccessAsUser.All", roles.GLOBAL_ADMINISTRATOR),
    ):
        assert client.refused("GET", PATH, None, token) == (403, "Authorization_RequestDenied")


def test_M15_without_the_licence_there_is_no_report(client: Client) -> None:
    client.tenant.switches.premium = False
    code = "Authentication_RequestFromNonPremiumTenantOrB2CTenant"
    assert client.refused("GET", PATH) == (403, code)


def test_S2_the_report_is_beta_only(client: Client) -> None:
    client.version = "v1.0"
    assert client.refused("GET", PATH)[0] == 400


def test_M15_rows_come_in_pages_of_the_beta_version(client: Client) -> None:
    client.add_key(key_pair())
    client.sign_in_with(key_pair())
    client.sign_in(client_secret=client.secret)
    page = client.get(f"{PATH}?$top=1")
    assert len(page["value"]) == 1
    assert page["@odata.nextLink"].startswith(f"{client.tenant.graph}/beta{PATH}?")


def test_M15_a_legacy_machine_has_secrets_of_which_some_are_in_use() -> None:
    client = Client("legacy", version="beta")
    client.token = client.user_token(_roles=[roles.GLOBAL_ADMINISTRATOR])
    names = {entry["keyId"]: entry["displayName"] for entry in client.app["passwordCredentials"]}
    used = rows(client)
    assert {names[key_id] for key_id in used} == {"setup 2024", "laptop of Sam"}
    for row in used.values():
        last = registrations.moment(row["signInActivity"]["lastSignInDateTime"])
        assert registrations.moment(row["createdDateTime"]) < last < client.tenant.now()


# domains


@pytest.fixture
def person() -> Client:
    return Client()


def test_S2_one_domain_is_the_default_and_another_is_not_verified(person: Client) -> None:
    found = person.get("/domains?$select=id,isDefault,isVerified")["value"]
    assert {item["id"]: (item["isDefault"], item["isVerified"]) for item in found} == {
        person.tenant.domain: (True, True),
        "contoso.example": (False, False),
    }


@pytest.mark.parametrize("permission", ["Domain.Read.All", "Directory.Read.All"])
def test_S2_an_app_needs_a_permission_to_read_domains(person: Client, permission: str) -> None:
    assert person.refused("GET", "/domains", None, person.app_token(*roles.BASE)) == (
        403,
        "Authorization_RequestDenied",
    )
    assert person.call("GET", "/domains", token=person.app_token(permission)).status == 200
