"""What every app registration and service principal has without anybody having said so (entra-protocol A.3)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

State = dict[str, Any]
#: What a new app has without anybody having said so (GD "application resource type").
APPLICATION: Final[State] = {
    "addIns": [],
    "api": {
        "acceptMappedClaims": None,
        "knownClientApplications": [],
        "oauth2PermissionScopes": [],
        "preAuthorizedApplications": [],
        "requestedAccessTokenVersion": None,
    },
    "appRoles": [],
    "applicationTemplateId": None,
    "certification": None,
    "defaultRedirectUri": None,
    "description": None,
    "disabledByMicrosoftStatus": None,
    "groupMembershipClaims": None,
    "identifierUris": [],
    "info": dict.fromkeys(("logoUrl", "marketingUrl", "privacyStatementUrl", "supportUrl", "termsOfServiceUrl")),
    "isDeviceOnlyAuthSupported": None,
    "isDisabled": None,
    "isFallbackPublicClient": None,
    "nativeAuthenticationApisEnabled": None,
    "notes": None,
    "optionalClaims": None,
    "parentalControlSettings": {"countriesBlockedForMinors": [], "legalAgeGroupRule": "Allow"},
    "publicClient": {"redirectUris": []},
    "requestSignatureVerification": None,
    "samlMetadataUrl": None,
    "serviceManagementReference": None,
    "servicePrincipalLockConfiguration": None,
    "spa": {"redirectUris": []},
    "tags": [],
    "tokenEncryptionKeyId": None,
    "verifiedPublisher": dict.fromkeys(("displayName", "verifiedPublisherId", "addedDateTime")),
    "web": {
        "homePageUrl": None,
        "implicitGrantSettings": {"enableAccessTokenIssuance": False, "enableIdTokenIssuance": False},
        "logoutUrl": None,
        "redirectUriSettings": [],
        "redirectUris": [],
    },
}
#: The same of a new service principal, without what it has from its app (see `mirrored`).
PRINCIPAL: Final[State] = {
    "addIns": [],
    "alternativeNames": [],
    "appRoleAssignmentRequired": False,
    "applicationTemplateId": None,
    "description": None,
    "disabledByMicrosoftStatus": None,
    "isDisabled": None,
    "loginUrl": None,
    "notes": None,
    "notificationEmailAddresses": [],
    "preferredSingleSignOnMode": None,
    "preferredTokenSigningKeyThumbprint": None,
    "resourceSpecificApplicationPermissions": [],
    "samlSingleSignOnSettings": None,
    "tags": [],
    "tokenEncryptionKeyId": None,
    "verifiedPublisher": dict.fromkeys(("displayName", "verifiedPublisherId", "addedDateTime")),
}
#: Who signs in to an app: people of its tenant, of any tenant, also those with an account of their own, only those.
AUDIENCES: Final = (
    "AzureADMyOrg",
    "AzureADMultipleOrgs",
    "AzureADandPersonalMicrosoftAccount",
    "PersonalMicrosoftAccount",
)


def mirrored(app: State) -> State:
    """What a service principal has from its app, at first and with every change of it."""
    api, web = app.get("api", {}), app.get("web", {})
    parts = (app.get(part, {}) for part in ("web", "spa", "publicClient"))
    return {
        "appDescription": app.get("description"),
        "appDisplayName": app["displayName"],
        "appRoles": deepcopy(app.get("appRoles", [])),
        "homepage": web.get("homePageUrl"),
        "info": deepcopy(app.get("info", APPLICATION["info"])),
        "logoutUrl": web.get("logoutUrl"),
        "oauth2PermissionScopes": deepcopy(api.get("oauth2PermissionScopes", [])),
        "replyUrls": [uri for part in parts for uri in part.get("redirectUris", [])],
        "servicePrincipalNames": [app["appId"], *app.get("identifierUris", [])],
        "signInAudience": app.get("signInAudience", AUDIENCES[1]),
    }
