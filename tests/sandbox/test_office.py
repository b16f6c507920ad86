"""A tenant with an office: licences and seats, domains, groups, a guest from elsewhere, chats (A.2 rows 28, 29; S1)."""

from __future__ import annotations

from typing import Any

import pytest

from core.sandbox.directory import users
from core.sandbox.graph import licences, roles
from core.sandbox.http import Request, Response
from core.sandbox.service import handle
from core.sandbox.token_service.tokens import CLI_SCOPES
from tests.sandbox.client import Client

BAD = (400, "Request_BadRequest")
DENIED = (403, "Authorization_RequestDenied")
E5, _ = licences.PRODUCTS["SPE_E5"]
POWER_BI, _ = licences.PRODUCTS["POWER_BI_STANDARD"]


@pytest.fixture
def client() -> Client:
    client = Client("office")
    client.token = client.scoped(
        "LicenseAssignment.ReadWrite.All User.ReadWrite.All Organization.Read.All Chat.Read", roles.GLOBAL_ADMINISTRATOR
    )
    return client


def seats(client: Client) -> dict[str, tuple[int, int]]:
    """Taken and bought, by product."""
    rows = client.get("/subscribedSkus")["value"]
    return {row["skuPartNumber"]: (row["consumedUnits"], row["prepaidUnits"]["enabled"]) for row in rows}


def assign(client: Client, who: str, add: list[Any], remove: list[str] | None = None) -> Response:
    body = {"addLicenses": add, "removeLicenses": remove or []}
    return client.call("POST", f"/users/{users.find(client.tenant, who)['id']}/assignLicense", body)


def located(client: Client, who: str) -> None:
    path = f"/users/{users.find(client.tenant, who)['id']}"
    assert client.call("PATCH", path, {"usageLocation": "DE"}).status == 204


def test_A2_a_licence_takes_a_seat_and_a_place(client: Client) -> None:
    assert seats(client) == {"SPE_E5": (1, 2), "POWER_BI_STANDARD": (0, 10)}
    refused = assign(client, "dana", [{"skuId": E5, "disabledPlans": []}])
    assert "usage location" in refused.json()["error"]["message"]
    located(client, "dana")
    assert assign(client, "dana", [{"skuId": E5, "disabledPlans": []}]).status == 200
    assert seats(client)["SPE_E5"] == (2, 2)
    path = f"/users/{client.tenant.signed_in_user}"
    assert client.get(f"{path}?$select=assignedLicenses")["assignedLicenses"] == [{"disabledPlans": [], "skuId": E5}]
    (details,) = client.get(f"{path}/licenseDetails")["value"]
    assert {plan["servicePlanName"] for plan in details["servicePlans"]} == {"TEAMS1", "EXCHANGE_S_ENTERPRISE"}
    assert assign(client, "dana", [{"skuId": E5, "disabledPlans": []}]).status == 200, "the same again takes no seat"
    assert seats(client)["SPE_E5"] == (2, 2)
    assert assign(client, "dana", [], [E5]).status == 200
    assert seats(client)["SPE_E5"] == (1, 2)


def test_A2_where_no_seat_is_left_nobody_gets_one_and_nothing_is_changed(client: Client) -> None:
    for who in ("dana", "robin_fabrikam.com#EXT#"):
        located(client, who)
    assert assign(client, "dana", [{"skuId": E5, "disabledPlans": []}]).status == 200
    add = [{"skuId": POWER_BI, "disabledPlans": []}, {"skuId": E5, "disabledPlans": []}]
    refused = assign(client, "robin_fabrikam.com#EXT#", add)
    assert (refused.status, refused.json()["error"]["code"]) == BAD
    assert "does not have any available licenses" in refused.json()["error"]["message"]
    assert seats(client) == {"SPE_E5": (2, 2), "POWER_BI_STANDARD": (0, 10)}


@pytest.mark.parametrize(
    ("add", "remove"),
    [
        ([{"skuId": "x", "disabledPlans": []}], []),
        ([{"skuId": E5, "disabledPlans": ["x"]}], []),
        ([{"skuId": E5, "disabledPlans": "x"}], []),
        ([], [E5]),
    ],
)
def test_S2_a_licence_that_is_not_there_or_not_held_is_refused(client: Client, add: list[Any], remove: Any) -> None:
    located(client, "dana")
    refused = assign(client, "dana", add, remove)
    assert (refused.status, refused.json()["error"]["code"]) == BAD


def test_S2_chats_take_a_scope_of_theirs_and_a_licence_for_teams(client: Client) -> None:
    assert client.refused("GET", "/me/chats?$top=1") == (403, "Forbidden")
    located(client, "dana")
    (teams,) = [plan["servicePlanId"] for plan in plans(client) if plan["servicePlanName"] == licences.TEAMS]
    assert assign(client, "dana", [{"skuId": E5, "disabledPlans": [teams]}]).status == 200
    assert client.refused("GET", "/me/chats") == (403, "Forbidden"), "Teams is switched off in it"
    assert assign(client, "dana", [{"skuId": E5, "disabledPlans": []}]).status == 200
    assert client.get("/me/chats?$top=1")["value"] == []
    refused = client.call("GET", "/me/chats", token=client.scoped("User.Read Directory.AccessAsUser.All"))
    assert (refused.status, "Chat.Read" in refused.json()["error"]["message"]) == (403, True)


def plans(client: Client) -> list[dict[str, Any]]:
    (sku,) = [row for row in client.get("/subscribedSkus")["value"] if row["skuId"] == E5]
    return list(sku["servicePlans"])


# domains, and the tenant next door


def test_A2_domains_are_refused_to_the_provisioner_but_for_a_switch() -> None:
    client = Client()
    organization = client.app_token("Organization.Read.All")
    assert client.refused("GET", "/domains", None, organization) == DENIED
    for role in ("Domain.Read.All", "Directory.Read.All"):
        assert client.get("/domains", client.app_token(role))["value"]
    client.tenant.switches.organization_reads_domains = True
    assert client.get("/domains?$select=id,isDefault,isVerified", organization)["value"] == [
        {"id": client.tenant.domain, "isDefault": True, "isVerified": True},
        {"id": "contoso.example", "isDefault": False, "isVerified": False},
    ]


def test_A3_the_organization_names_the_domain_of_its_own(client: Client) -> None:
    (company,) = client.get("/organization")["value"]
    names = {domain["name"]: (domain["isInitial"], domain["isDefault"]) for domain in company["verifiedDomains"]}
    assert names == {"contoso.onmicrosoft.com": (True, True), "contoso.com": (False, False)}
    assert company["defaultUsageLocation"] is None


def test_S1_a_guest_comes_from_a_tenant_that_can_be_found(client: Client) -> None:
    (guest,) = client.get("/users?$filter=userType eq 'Guest'&$select=mail,userPrincipalName,externalUserState")[
        "value"
    ]
    assert guest["userPrincipalName"] == "robin_fabrikam.com#EXT#@contoso.onmicrosoft.com"
    assert guest["externalUserState"] == "Accepted"
    domain = guest["mail"].partition("@")[2]
    url = f"{client.tenant.authority}/{domain}/v2.0/.well-known/openid-configuration"
    found = handle(client.tenant, Request.to("GET", url)).json()["issuer"].split("/")[3]
    assert found not in (client.tenant.id, domain)
    assert client.sign_in(found, client_id=client.tenant.id, client_secret="x").json()["error_codes"] == [700016]


def test_S1_graph_offers_the_scopes_that_agents_and_the_azure_cli_have() -> None:
    client = Client()
    graph = client.get("/servicePrincipals?$filter=displayName eq 'Microsoft Graph'&$select=oauth2PermissionScopes")
    (offered,) = [item["oauth2PermissionScopes"] for item in graph["value"]]
    values = {scope["value"]: scope["id"] for scope in offered}
    agent = "Chat.Create Chat.ReadWrite ChatMessage.Send User.Read User.ReadBasic.All Files.ReadWrite Files.Read.All "
    agent += "Sites.Read.All Sites.ReadWrite.All Mail.Read Mail.Send"
    assert {*agent.split(), *CLI_SCOPES.split()} <= set(values)
    assert len(set(values.values())) == len(values)
