"""The tenant itself in the pretend Graph, its people, and the headers of every answer (S1, S2; entra-protocol A.2)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.sandbox.directory.store import GRAPH_APP_ID
from core.sandbox.graph import roles
from core.sandbox.http import Request
from core.sandbox.service import handle
from tests.sandbox.client import Client

DENIED = (403, "Authorization_RequestDenied")
BAD = (400, "Request_BadRequest")


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("/organization", "Organization.Read.All"),
        ("/subscribedSkus", "Organization.Read.All"),
        ("/users", "User.ReadWrite.All"),
        ("/applications", "Application.Read.All"),
        ("/servicePrincipals", "Application.Read.All"),
    ],
)
def test_S2_reading_takes_its_permission(client: Client, path: str, role: str) -> None:
    assert client.call("GET", path, token=client.app_token(role)).status == 200
    others = [name for name in roles.AGENT if name != role]
    assert client.refused("GET", path, None, client.app_token(*others)) == DENIED
    assert client.call("GET", path).status == 200, "the Azure CLI's token acts as the user"


def test_S2_reading_people_is_not_reading_apps(client: Client) -> None:
    assert client.refused("GET", "/users", None, client.app_token("Application.ReadWrite.All")) == DENIED
    assert client.refused("GET", "/applications", None, client.app_token("User.ReadWrite.All")) == DENIED


def test_A3_the_organization_names_its_verified_domains(client: Client) -> None:
    client.tenant.verified_domains.append("contoso.example")
    (company,) = client.get("/organization?$select=id,displayName,verifiedDomains")["value"]
    assert company["id"] == client.tenant.id
    assert [(domain["name"], domain["isDefault"]) for domain in company["verifiedDomains"]] == [
        (client.tenant.domain, True),
        ("contoso.example", False),
    ]
    verified = {domain["id"]: domain["isVerified"] for domain in client.get("/domains")["value"]}
    assert verified == {client.tenant.domain: True, "contoso.example": True}
    client.tenant.verified_domains.remove("contoso.example")
    verified = {domain["id"]: domain["isVerified"] for domain in client.get("/domains")["value"]}
    assert verified == {client.tenant.domain: True, "contoso.example": False}


def test_S1_there_are_no_licences_and_none_can_be_assigned(client: Client) -> None:
    assert client.get("/subscribedSkus")["value"] == []
    path = f"/users/{client.tenant.signed_in_user}/assignLicense"
    token = client.app_token("LicenseAssignment.ReadWrite.All")
    add = {"addLicenses": [{"skuId": "x", "disabledPlans": []}], "removeLicenses": []}
    assert client.refused("POST", path, add, token) == BAD
    assert client.refused("POST", path, {"addLicenses": [], "removeLicenses": ["x"]}, token) == BAD
    assert client.refused("POST", path, {"addLicenses": []}, token) == BAD
    nothing: dict[str, list[Any]] = {"addLicenses": [], "removeLicenses": []}
    assert client.call("POST", path, nothing, token).json()["id"] == client.tenant.signed_in_user
    assert client.refused("POST", path, nothing) == DENIED, "Dana administers apps"


def test_S1_people_are_found_by_filter_and_name_and_changed_by_administrators(client: Client) -> None:
    name = f"dana@{client.tenant.domain}"
    (dana,) = client.get(f"/users?$filter=userPrincipalName eq '{name}'&$select=id,displayName")["value"]
    assert dana == {"id": client.tenant.signed_in_user, "displayName": "Dana Developer"}
    assert client.get(f"/users/{name.upper().lower()}")["id"] == dana["id"]
    assert client.refused("GET", f"/users/nobody@{client.tenant.domain}") == (404, "Request_ResourceNotFound")
    path, body = f"/users/{dana['id']}", {"usageLocation": "DE"}
    assert client.refused("PATCH", path, body) == DENIED
    token = client.app_token("User.ReadWrite.All")
    assert client.call("PATCH", path, body, token).status == 204
    assert client.get(f"{path}?$select=usageLocation")["usageLocation"] == "DE"
    changes: list[dict[str, Any]] = [{"_roles": []}, {"nonsense": 1}, {"id": "x"}]
    for change in changes:
        assert client.refused("PATCH", path, change, token) == BAD


# every answer


def test_S2_a_missing_token_is_challenged_and_a_bad_one_named(client: Client) -> None:
    url = f"{client.tenant.graph}/v1.0/me"
    uri = f'authorization_uri="{client.tenant.authority}/common/oauth2/authorize"'
    for header, error in (("", False), ("Basic x", False), ("Bearer", False), ("Bearer x.y.z", True)):
        given = {"Authorization": header} if header else {}
        response = handle(client.tenant, Request.to("GET", url, given))
        challenge = response.headers["WWW-Authenticate"]
        assert response.status == 401
        assert challenge.startswith(f'Bearer realm="", {uri}, client_id="{GRAPH_APP_ID}"')
        assert challenge.endswith('error="invalid_token"') is error
        assert ("empty" in response.json()["error"]["message"]) is not error


@pytest.mark.parametrize("path", ["/me", "/nonsense", "/applications?$top=0"])
def test_S1_every_answer_carries_ids_a_date_and_who_answered(client: Client, path: str) -> None:
    response = client.call("GET", path, **{"client-request-id": "mine"})
    headers = response.headers
    assert headers["client-request-id"] == "mine"
    assert headers["request-id"] not in ("", "mine")
    assert headers["Date"] == client.tenant.now().strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert "ServerInfo" in json.loads(headers["x-ms-ags-diagnostic"])
