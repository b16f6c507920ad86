"""Cloud memory of an agent: subscription, group, account, container, roles, blobs (A7, S1, S2)."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
import requests

from core.sandbox import origins
from core.sandbox.arm import access, storage
from core.sandbox.directory import users
from core.sandbox.graph.microsofts import STORAGE_APP_ID
from core.sandbox.http import Request, Response
from core.sandbox.lab import Lab
from core.sandbox.service import handle
from core.sandbox.token_service.tokens import AZURE_CLI, user_token
from tests.machine import VirtualClock
from tests.sandbox.client import Client

GROUP, ACCOUNT = "entrabot-rg", "entclaw0123456789abcdef"
BODY = {
    "sku": {"name": "Standard_LRS"},
    "kind": "StorageV2",
    "location": "eastus",
    "properties": {"allowBlobPublicAccess": False, "minimumTlsVersion": "TLS1_2"},
}


class Azure:
    """A client of ARM in a tenant with a subscription."""

    def __init__(self) -> None:
        self.client = Client("office")
        self.tenant = self.client.tenant
        (self.subscription,) = self.call("GET", "/subscriptions", who="dana").json()["value"]
        self.scope = f"/subscriptions/{self.subscription['subscriptionId']}"
        self.group = f"{self.scope}/resourceGroups/{GROUP}"
        self.account = f"{self.group}/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}"
        self.container = f"{self.account}/blobServices/default/containers/agent-1"

    def token(self, who: str, audience: str) -> str:
        return user_token(self.tenant, users.find(self.tenant, who), audience, AZURE_CLI)

    def call(
        self, method: str, path: str, body: Any = None, who: str = "dana", version: str = "2025-08-01"
    ) -> Response:
        joint = "&" if "?" in path else "?"
        url = path if path.startswith("https:") else f"{self.tenant.arm}{path}{joint}api-version={version}"
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token(who, self.tenant.arm)}", "Content-Type": "application/json"}
        return handle(self.tenant, Request.to(method, url, headers, content))

    def refused(self, method: str, path: str, body: Any = None, who: str = "dana") -> tuple[int, str]:
        response = self.call(method, path, body, who)
        return response.status, response.json()["error"]["code"]

    def build(self) -> None:
        """Everything down to the container."""
        assert self.call("PUT", self.group, {"location": "eastus"}).status == 201
        assert self.call("PUT", self.account, BODY).status == 202
        assert self.call("PUT", self.container, {}).status == 201

    def blob(self, method: str, path: str, who: str = "dana", content: bytes = b"", audience: str = "") -> Response:
        url = f"https://{ACCOUNT}{origins.BLOB}{path}"
        token = self.token(who, audience or "https://storage.azure.com")
        return handle(self.tenant, Request.to(method, url, {"Authorization": f"Bearer {token}"}, content))

    def assign(self, role: str, scope: str, who: str = "dana") -> Response:
        given = {
            "roleDefinitionId": f"{scope}{access.PROVIDER}roleDefinitions/{access.ROLES[role]}",
            "principalId": users.find(self.tenant, who)["id"],
            "principalType": "User",
        }
        return self.call("PUT", f"{scope}{access.PROVIDER}roleAssignments/{uuid4()}", {"properties": given})


@pytest.fixture
def azure() -> Azure:
    return Azure()


def test_A7_an_account_is_made_as_az_makes_it(azure: Azure) -> None:
    assert azure.subscription["displayName"] == "Contoso Pay-As-You-Go"
    assert azure.refused("GET", azure.group) == (404, "ResourceGroupNotFound")
    assert azure.call("HEAD", azure.group).status == 404
    made = azure.call("PUT", azure.group.lower(), {"location": "East US"})
    assert (made.status, made.json()["properties"]["provisioningState"]) == (201, "Succeeded")
    assert azure.call("PUT", azure.group, {"location": "eastus"}).status == 200
    assert azure.call("HEAD", azure.group).status == 204
    assert azure.refused("GET", azure.account) == (404, "ResourceNotFound")
    check = f"{azure.scope}/providers/Microsoft.Storage/checkNameAvailability"
    asked = {"name": ACCOUNT, "type": "Microsoft.Storage/storageAccounts"}
    assert azure.call("POST", check, asked).json() == {"nameAvailable": True}
    begun = azure.call("PUT", azure.account, BODY)
    assert (begun.status, begun.body) == (202, b"")
    polls = [azure.call("GET", begun.headers["Location"]) for _ in range(2)]
    assert [poll.status for poll in polls] == [202, 200]
    assert polls[0].headers["Location"] == begun.headers["Location"]
    account = polls[1].json()
    assert account["properties"]["primaryEndpoints"]["blob"] == f"https://{ACCOUNT}.blob.core.windows.net/"
    assert account == azure.call("GET", azure.account).json()
    assert account["properties"]["minimumTlsVersion"] == "TLS1_2"
    assert azure.call("POST", check, asked).json()["reason"] == "AlreadyExists"
    assert azure.call("PUT", azure.account, BODY).status == 200
    assert [azure.call("PUT", azure.container, {}).status for _ in range(2)] == [201, 200]
    (listed,) = azure.call("GET", azure.container.rpartition("/")[0]).json()["value"]
    assert listed == azure.call("GET", azure.container).json()
    for where in (azure.scope, azure.group):
        accounts = azure.call("GET", f"{where}/providers/Microsoft.Storage/storageAccounts").json()["value"]
        assert [one["name"] for one in accounts] == [ACCOUNT]


def test_A7_whatever_is_in_a_group_goes_with_it(azure: Azure) -> None:
    azure.build()
    assert azure.call("DELETE", azure.container).status == 200
    assert azure.refused("GET", azure.container) == (404, "ContainerNotFound")
    assert azure.call("DELETE", azure.group).status == 200
    assert azure.refused("GET", azure.account) == (404, "ResourceGroupNotFound")
    assert azure.call("GET", f"{azure.scope}/resourceGroups").json()["value"] == []


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("group", {}, (400, "LocationRequired")),
        ("group", {"location": "atlantis"}, (400, "LocationNotAvailableForResourceGroup")),
        ("group.", {"location": "eastus"}, (400, "InvalidResourceGroup")),
        ("account", BODY | {"kind": ""}, (400, "InvalidRequestPropertyMissing")),
        ("ACCOUNT", BODY, (400, "AccountNameInvalid")),
        ("container_", {}, (400, "InvalidResourceName")),
        ("account/other", None, (404, "NotFound")),
    ],
)
def test_S2_what_makes_no_sense_is_refused(azure: Azure, path: str, body: Any, expected: tuple[int, str]) -> None:
    azure.build()
    target = {
        "group": f"{azure.group}-2",
        "group.": f"{azure.group}.",
        "account": azure.account.replace(ACCOUNT, "another"),
        "ACCOUNT": azure.account.replace(ACCOUNT, "An-Account"),
        "container_": f"{azure.container}_",
        "account/other": f"{azure.account}/other",
    }[path]
    assert azure.refused("PUT", target, body) == expected


def test_S2_a_body_that_is_no_json_is_refused(azure: Azure) -> None:
    headers = {"Authorization": f"Bearer {azure.token('dana', azure.tenant.arm)}"}
    url = f"{azure.tenant.arm}{azure.group}?api-version=2024-11-01"
    response = handle(azure.tenant, Request.to("PUT", url, headers, b"x"))
    assert (response.status, response.json()["error"]["code"]) == (400, "InvalidRequestContent")


# roles


def test_A7_a_role_is_found_by_its_name_and_given_once(azure: Azure) -> None:
    azure.build()
    path = f"{azure.container}{access.PROVIDER}roleDefinitions?$filter=roleName eq 'Storage Blob Data Contributor'"
    (found,) = azure.call("GET", path.replace(" ", "%20"), version="2022-05-01-preview").json()["value"]
    assert found["name"] == "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
    made = azure.assign(access.DATA[1], azure.container)
    assert made.status == 201
    again = azure.assign(access.DATA[1], azure.container)
    assert (again.status, again.json()["error"]["code"]) == (409, "RoleAssignmentExists")
    who = users.find(azure.tenant, "dana")["id"]
    mine = f"{azure.container}{access.PROVIDER}roleAssignments?$filter=atScope()%20and%20assignedTo('{who}')"
    names = [one["name"] for one in azure.call("GET", mine).json()["value"]]
    assert made.json()["name"] in names
    assert len(names) == 2, "and the subscription's owner"
    one = f"{azure.container}{access.PROVIDER}roleAssignments/{made.json()['name']}"
    assert [azure.call("DELETE", one).status for _ in range(2)] == [200, 204]
    assert azure.refused("GET", one) == (404, "RoleAssignmentNotFound")


def test_S2_a_role_takes_somebody_who_is_there(azure: Azure) -> None:
    path = f"{azure.scope}{access.PROVIDER}roleAssignments/{uuid4()}"
    role = f"/x/{access.ROLES[access.READER]}"
    nobody = {"properties": {"principalId": str(uuid4()), "roleDefinitionId": role}}
    assert azure.refused("PUT", path, nobody) == (400, "PrincipalNotFound")
    nothing = {"properties": {"principalId": azure.client.tenant.signed_in_user, "roleDefinitionId": "/x/y"}}
    assert azure.refused("PUT", path, nothing) == (404, "RoleDefinitionDoesNotExist")


def test_S2_who_has_no_role_sees_no_subscription_and_a_reader_changes_nothing(azure: Azure) -> None:
    azure.build()
    assert azure.call("GET", "/subscriptions", who="alex").json()["value"] == []
    assert azure.refused("GET", azure.group, who="alex") == (404, "SubscriptionNotFound")
    assert azure.assign(access.READER, azure.scope, "alex").status == 201
    assert azure.call("GET", azure.account, who="alex").status == 200
    for method, path, body in (
        ("PUT", azure.group, {"location": "eastus"}),
        ("PUT", azure.container, {}),
        ("DELETE", azure.account, None),
        ("PUT", f"{azure.scope}{access.PROVIDER}roleAssignments/{uuid4()}", {}),
    ):
        assert azure.refused(method, path, body, "alex") == (403, "AuthorizationFailed")


# the data plane, which the proxy alone leads to


def test_S2_the_owner_of_an_account_reads_no_blob_of_it_without_a_role_for_data(azure: Azure) -> None:
    azure.build()
    refused = azure.blob("GET", "/agent-1?restype=container")
    assert (refused.status, refused.headers["x-ms-error-code"]) == (403, "AuthorizationPermissionMismatch")
    assert azure.assign(access.DATA[2], azure.container).status == 201
    assert azure.blob("GET", "/agent-1?restype=container").status == 200
    assert azure.blob("PUT", "/agent-1/memory.json", content=b"{}").status == 403, "a reader"
    assert azure.assign(access.DATA[1], azure.container).status == 201
    assert azure.blob("PUT", "/agent-1/memory.json", content=b"\x00{}").status == 201
    assert azure.blob("GET", "/agent-1/memory.json").body == b"\x00{}"
    assert b"<Name>memory.json</Name>" in azure.blob("GET", "/agent-1?restype=container&comp=list").body
    assert azure.blob("DELETE", "/agent-1/memory.json").status == 202
    assert azure.blob("GET", "/agent-1/memory.json").headers["x-ms-error-code"] == "BlobNotFound"
    assert azure.blob("PUT", "/other?restype=container").status == 403, "the role is one of the container"


def test_A7_a_container_may_be_made_on_the_data_plane_as_az_does(azure: Azure) -> None:
    azure.build()
    assert azure.assign(access.DATA[1], azure.account).status == 201
    assert [azure.blob("PUT", "/agent-2?restype=container").status for _ in range(2)] == [201, 409]
    assert azure.call("GET", azure.container.replace("agent-1", "agent-2")).status == 200


@pytest.mark.parametrize("audience", ["https://graph.microsoft.com", "https://management.azure.com/"])
def test_S2_blobs_take_a_token_for_azure_storage(azure: Azure, audience: str) -> None:
    azure.build()
    refused = azure.blob("GET", "/agent-1?restype=container", audience=audience)
    assert refused.status == 401
    assert "resource_id=https://storage.azure.com" in refused.headers["WWW-Authenticate"]


def test_A7_azure_storage_has_a_principal_a_scope_and_tokens(azure: Azure) -> None:
    found = azure.client.get(f"/servicePrincipals(appId='{STORAGE_APP_ID}')?$select=oauth2PermissionScopes,displayName")
    assert (found["displayName"], found["oauth2PermissionScopes"][0]["value"]) == (
        "Azure Storage",
        "user_impersonation",
    )
    fresh = Client("fresh")
    assert fresh.call("GET", f"/servicePrincipals(appId='{STORAGE_APP_ID}')").status == 404
    made = fresh.call("POST", "/servicePrincipals", {"appId": STORAGE_APP_ID})
    assert (made.status, made.json()["oauth2PermissionScopes"]) == (201, found["oauth2PermissionScopes"])
    assert fresh.call("POST", "/servicePrincipals", {"appId": STORAGE_APP_ID}).status == 409


def test_A7_blobs_are_reached_through_the_proxy_alone() -> None:
    lab = Lab.start("office", clock=VirtualClock(), sign_in=False, proxy=True)
    try:
        user = users.find(lab.tenant, "dana")
        group = f"{next(lab.tenant.newest('subscription'))['id']}/{GROUP}"
        scope = "/subscriptions/x"
        account = {"id": ACCOUNT, "_scope": scope, "_group": group}
        lab.tenant.commit(storage.KIND, ACCOUNT, account)
        access.give(lab.tenant, user["id"], access.DATA[1], scope, str(uuid4()))
        token = user_token(lab.tenant, user, "https://storage.azure.com", AZURE_CLI)
        with requests.Session() as session:
            session.trust_env = False
            given: Any = {"headers": {"Authorization": f"Bearer {token}"}, "verify": str(lab.ca), "timeout": 20}
            url = f"https://{ACCOUNT}.blob.core.windows.net/agent-1?restype=container"
            made = session.put(url, proxies={"https": lab.proxy}, **given)
        assert made.status_code == 201, made.text
        assert f"{ACCOUNT}.blob.core.windows.net:443" in lab.server.proxy.led if lab.server.proxy else False
        named = {lab.environment()[name] for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")}
        assert named == {str(lab.ca)}
    finally:
        lab.close()
