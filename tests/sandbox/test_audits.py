"""Directory audit records, and the members, order and headers of genuine answers (section 00; S1, S2)."""

from __future__ import annotations

from typing import Any

import pytest

from core.sandbox.graph import roles
from tests.sandbox.client import Client, key_pair

#: Of recorded answers of April 2025 (azure-cli, test_create_for_rbac_service_management_reference).
APPLICATION = """id deletedDateTime appId applicationTemplateId disabledByMicrosoftStatus createdDateTime displayName
    description groupMembershipClaims identifierUris isDeviceOnlyAuthSupported isFallbackPublicClient
    nativeAuthenticationApisEnabled notes publisherDomain serviceManagementReference signInAudience tags
    tokenEncryptionKeyId uniqueName samlMetadataUrl defaultRedirectUri certification optionalClaims
    servicePrincipalLockConfiguration requestSignatureVerification addIns api appRoles info keyCredentials
    parentalControlSettings passwordCredentials publicClient requiredResourceAccess verifiedPublisher web spa"""
PRINCIPAL = """id deletedDateTime accountEnabled alternativeNames appDisplayName appDescription appId
    applicationTemplateId appOwnerOrganizationId appRoleAssignmentRequired createdDateTime description
    disabledByMicrosoftStatus displayName homepage loginUrl logoutUrl notes notificationEmailAddresses
    preferredSingleSignOnMode preferredTokenSigningKeyThumbprint replyUrls servicePrincipalNames servicePrincipalType
    signInAudience tags tokenEncryptionKeyId samlSingleSignOnSettings addIns appRoles info keyCredentials
    oauth2PermissionScopes passwordCredentials resourceSpecificApplicationPermissions verifiedPublisher"""


@pytest.fixture
def client() -> Client:
    return Client()


def test_S1_new_objects_have_the_members_of_recorded_answers_in_their_order(client: Client) -> None:
    app = client.call("POST", "/applications", {"displayName": "new"})
    assert list(app.json()) == ["@odata.context", *APPLICATION.split()]
    assert app.json()["web"]["redirectUriSettings"] == []
    principal = client.call("POST", "/servicePrincipals", {"appId": app.json()["appId"]})
    assert list(principal.json()) == ["@odata.context", *PRINCIPAL.split()]
    assert principal.json()["createdDateTime"] == client.tenant.stamp()
    for collection, made in (("applications", app), ("servicePrincipals", principal)):
        shown = client.get(f"/{collection}/{made.json()['id']}")
        assert list(shown) == list(made.json())


def test_S1_a_success_and_a_refusal_have_the_headers_of_recorded_ones(client: Client) -> None:
    found = client.call("GET", "/applications")
    assert found.headers["Content-Type"].startswith("application/json;odata.metadata=minimal;")
    assert (found.headers["OData-Version"], found.headers["x-ms-resource-unit"]) == ("4.0", "2")
    assert client.call("GET", f"/applications/{client.app['id']}").headers["x-ms-resource-unit"] == "1"
    refused = client.call("GET", f"/applications/{client.tenant.id}")
    assert refused.headers["Content-Type"] == "application/json"
    assert "OData-Version" not in refused.headers
    for response in (found, refused):
        assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


# records


def records(client: Client) -> list[dict[str, Any]]:
    reader = client.scoped("AuditLog.Read.All", roles.REPORTS_READER)
    return list(client.get("/auditLogs/directoryAudits", reader)["value"])


def test_S1_every_change_leaves_a_record_and_nothing_else_does(client: Client) -> None:
    path, user = f"/applications/{client.app['id']}", client.tenant.signed_in_user
    assert records(client) == []
    client.get(path)
    client.refused("PATCH", path, {"nonsense": 1})
    assert records(client) == [], "nothing was changed"
    answers = [
        client.call("POST", "/applications", {"displayName": "new"}),
        client.call("PATCH", path, {"notes": "x"}),
        client.call("POST", f"{path}/addPassword", {}),
        client.call("PATCH", path, {"keyCredentials": [client.entry(key_pair())]}),
        client.call("DELETE", f"/servicePrincipals/{client.principal['id']}"),
    ]
    found = records(client)
    assert [record["activityDisplayName"] for record in found] == [
        "Remove service principal",
        "Update application \u2013 Certificates and secrets management",
        "Update application \u2013 Certificates and secrets management",
        "Update application",
        "Add application",
    ]
    assert [record["correlationId"] for record in found] == [
        answer.headers["request-id"] for answer in reversed(answers)
    ]
    assert {record["initiatedBy"]["user"]["id"] for record in found} == {user}


def test_S1_the_record_of_a_credential_tells_which_were_there_before_and_after(client: Client) -> None:
    (old,) = client.app["passwordCredentials"]
    path = f"/applications/{client.app['id']}"
    new = client.call("POST", f"{path}/addPassword", {}).json()
    (record,) = records(client)
    (target,) = record["targetResources"]
    assert (target["id"], target["type"]) == (client.app["id"], "Application")
    (change,) = target["modifiedProperties"]
    assert change["displayName"] == "KeyDescription"
    assert old["keyId"] in change["oldValue"]
    assert new["keyId"] not in change["oldValue"]
    assert all(entry["keyId"] in change["newValue"] for entry in (old, new))
    assert new["secretText"] not in str(record)


def test_S1_the_requests_of_a_batch_have_records_of_their_own(client: Client) -> None:
    items = [
        {
            "id": str(number),
            "method": "POST",
            "url": "/applications",
            "headers": {"Content-Type": "application/json"},
            "body": {"displayName": f"app {number}"},
        }
        for number in range(3)
    ]
    assert client.call("POST", "/$batch", {"requests": items}).status == 200
    assert len({record["correlationId"] for record in records(client)}) == 3


def test_S1_records_are_filtered_by_what_they_are_about_and_since_when(client: Client) -> None:
    path = f"/applications/{client.app['id']}"
    client.call("PATCH", path, {"notes": "x"})
    client.clock.waited += 3000
    since = client.tenant.stamp()
    client.clock.waited += 10
    client.call("POST", "/applications", {"displayName": "new"})
    reader = client.scoped("AuditLog.Read.All", roles.GLOBAL_READER)
    asked = "/auditLogs/directoryAudits?$filter="
    about = client.get(f"{asked}targetResources/any(t:t/id eq '{client.app['id']}')", reader)["value"]
    assert [record["activityDisplayName"] for record in about] == ["Update application"]
    for text, names in (("ge", ["Add application"]), ("le", ["Update application"])):
        found = client.get(f"{asked}activityDateTime {text} {since}", reader)["value"]
        assert [record["activityDisplayName"] for record in found] == names


def test_S2_records_take_their_permission_and_a_reader(client: Client) -> None:
    denied = (403, "Authorization_RequestDenied")
    for token in (client.scoped("AuditLog.Read.All"), client.scoped("User.Read", roles.GLOBAL_ADMINISTRATOR)):
        assert client.refused("GET", "/auditLogs/directoryAudits", None, token) == denied
    assert client.call("GET", "/auditLogs/directoryAudits", token=client.app_token("AuditLog.Read.All")).status == 200
