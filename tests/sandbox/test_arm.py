"""Azure Resource Manager of the pretend world: challenge, what it says of itself, tenants (S1; entra-protocol H)."""

from __future__ import annotations

import json
import re

import pytest

from core.sandbox.directory.store import ARM_RESOURCE, Issued
from core.sandbox.http import Request, Response
from core.sandbox.service import handle
from core.sandbox.token_service.tokens import AZURE_CLI, user_token
from tests.sandbox.client import Client

VERSION = "api-version=2022-12-01"


@pytest.fixture
def client() -> Client:
    return Client()


def get(client: Client, path: str, token: str = "", kind: str = "Bearer") -> Response:
    headers = {"Authorization": f"{kind} {token}"} if token else {}
    return handle(client.tenant, Request.to("GET", f"{client.tenant.authority}{path}", headers))


def arm_token(client: Client, audience: str = ARM_RESOURCE) -> str:
    user = client.tenant.latest("user", client.tenant.signed_in_user)
    assert user is not None
    return user_token(client.tenant, user, audience, AZURE_CLI)


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("nothing", "AuthenticationFailed"),
        ("garbage", "InvalidAuthenticationToken"),
        ("for Graph", "InvalidAuthenticationToken"),
        ("basic", "InvalidAuthenticationToken"),
        ("expired", "ExpiredAuthenticationToken"),
        ("refresh", "InvalidAuthenticationToken"),
    ],
)
def test_S2_a_challenge_says_where_to_get_a_token(client: Client, what: str, code: str) -> None:
    token = {"nothing": "", "garbage": "x", "for Graph": client.token}.get(what) or arm_token(client)
    if what == "nothing":
        token = ""
    if what == "refresh":
        client.tenant.issued[token := "0.refresh"] = Issued({"oid": client.tenant.signed_in_user}, "refresh")
    if what == "expired":
        client.clock.waited += 3700
    response = get(client, f"/subscriptions?{VERSION}", token, "Basic" if what == "basic" else "Bearer")
    assert (response.status, response.json()["error"]["code"]) == (401, code)
    challenge = response.headers["WWW-Authenticate"]
    assert re.match(r'Bearer authorization_uri="([^"]+)", error="invalid_token", error_description="[^"]+"$', challenge)
    assert f"{client.tenant.authority}/{client.tenant.id}" in challenge


@pytest.mark.parametrize("audience", [ARM_RESOURCE, "https://management.azure.com/", "https://management.azure.com"])
def test_S1_tokens_of_every_name_of_arm_are_taken(client: Client, audience: str) -> None:
    assert get(client, f"/subscriptions?{VERSION}", arm_token(client, audience)).status == 200


def test_S1_subscriptions_and_tenants(client: Client) -> None:
    token = arm_token(client)
    assert get(client, f"/subscriptions?{VERSION}", token).json()["value"] == []
    (only,) = get(client, f"/tenants?{VERSION}", token).json()["value"]
    assert (only["tenantId"], only["id"]) == (client.tenant.id, f"/tenants/{client.tenant.id}")
    assert only["defaultDomain"] in only["domains"]


def test_S2_a_version_is_asked_for_and_an_unknown_path_is_404(client: Client) -> None:
    token = arm_token(client)
    assert get(client, "/subscriptions", token).json()["error"]["code"] == "MissingApiVersionParameter"
    missing = get(client, f"/subscriptions/x?{VERSION}", token)
    assert (missing.status, missing.json()["error"]["code"]) == (404, "SubscriptionNotFound")
    assert get(client, f"/tenants/x?{VERSION}", token).status == 404


def test_S1_a_cloud_describes_itself_to_whoever_asks(client: Client) -> None:
    (cloud,) = json.loads(get(client, "/metadata/endpoints?api-version=2022-09-01").body)
    tenant = client.tenant
    assert cloud["authentication"]["loginEndpoint"] == f"{tenant.authority}/"
    assert cloud["authentication"]["audiences"][0] == ARM_RESOURCE
    assert cloud["resourceManager"] == f"{tenant.authority}/"
    assert cloud["microsoftGraphResourceId"] == f"{tenant.graph}/"
    assert get(client, "/metadata/endpoints").status == 400
