"""Properties of the types that are served, from Graph's own schema: which there are, and which an answer shows unasked.

Names and kinds of the CSDL of v1.0 (August 2026); the order and the choice of default members are those of recorded
answers (azure-cli's own tests, 2022-2025). A name with `[]` is a collection. Navigation properties are `RELATED`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

#: Whatever is read without a type of its own: the objects of a mixed list.
MIXED: Final = "directoryObject"
_DEFAULT: Final[dict[str, str]] = {
    "application": """id deletedDateTime appId applicationTemplateId disabledByMicrosoftStatus createdDateTime
        displayName description groupMembershipClaims identifierUris[] isDeviceOnlyAuthSupported isFallbackPublicClient
        nativeAuthenticationApisEnabled notes publisherDomain serviceManagementReference signInAudience tags[]
        tokenEncryptionKeyId uniqueName samlMetadataUrl defaultRedirectUri certification optionalClaims
        servicePrincipalLockConfiguration requestSignatureVerification addIns[] api appRoles[] info keyCredentials[]
        parentalControlSettings passwordCredentials[] publicClient requiredResourceAccess[] verifiedPublisher web
        spa""",
    "servicePrincipal": """id deletedDateTime accountEnabled alternativeNames[] appDisplayName appDescription appId
        applicationTemplateId appOwnerOrganizationId appRoleAssignmentRequired createdDateTime description
        disabledByMicrosoftStatus displayName homepage loginUrl logoutUrl notes notificationEmailAddresses[]
        preferredSingleSignOnMode preferredTokenSigningKeyThumbprint replyUrls[] servicePrincipalNames[]
        servicePrincipalType signInAudience tags[] tokenEncryptionKeyId samlSingleSignOnSettings addIns[] appRoles[]
        info keyCredentials[] oauth2PermissionScopes[] passwordCredentials[] resourceSpecificApplicationPermissions[]
        verifiedPublisher""",
    "user": """businessPhones[] displayName givenName jobTitle mail mobilePhone officeLocation preferredLanguage
        surname userPrincipalName id""",
    "group": """id deletedDateTime classification createdDateTime description displayName expirationDateTime
        groupTypes[] isAssignableToRole mail mailEnabled mailNickname membershipRule membershipRuleProcessingState
        onPremisesLastSyncDateTime onPremisesSyncEnabled preferredDataLocation proxyAddresses[] renewedDateTime
        resourceBehaviorOptions[] resourceProvisioningOptions[] securityEnabled securityIdentifier theme visibility""",
    "organization": """id deletedDateTime businessPhones[] city country countryLetterCode createdDateTime
        defaultUsageLocation displayName marketingNotificationEmails[] onPremisesLastSyncDateTime onPremisesSyncEnabled
        partnerTenantType postalCode preferredLanguage securityComplianceNotificationMails[]
        securityComplianceNotificationPhones[] state street technicalNotificationMails[] tenantType privacyProfile
        assignedPlans[] provisionedPlans[] verifiedDomains[]""",
    "domain": """authenticationType availabilityStatus id isAdminManaged isDefault isInitial isRoot isVerified
        supportedServices[] passwordValidityPeriodInDays passwordNotificationWindowInDays state manufacturer model""",
    "subscribedSku": """accountName accountId appliesTo capabilityStatus consumedUnits id skuId skuPartNumber
        subscriptionIds[] prepaidUnits servicePlans[]""",
    "appRoleAssignment": """id deletedDateTime appRoleId createdDateTime principalDisplayName principalId principalType
        resourceDisplayName resourceId""",
    "oauth2PermissionGrant": "clientId consentType id principalId resourceId scope",
    "federatedIdentityCredential": "id name issuer subject description audiences[]",
    "inheritablePermission": "resourceAppId inheritableScopes",
    "chat": """id topic createdDateTime lastUpdatedDateTime chatType webUrl tenantId viewpoint onlineMeetingInfo""",
    "directoryAudit": """id category correlationId result resultReason activityDisplayName activityDateTime
        loggedByService operationType initiatedBy targetResources[] additionalDetails[]""",
}
#: What has to be asked for.
_MORE: Final[dict[str, str]] = {
    "application": """authenticationBehaviors createdByAppId isDisabled managerApplications[]
        oauth2RequirePostResponse""",
    "servicePrincipal": "createdByAppId customSecurityAttributes isDisabled",
    "user": """deletedDateTime aboutMe accountEnabled ageGroup assignedLicenses[] assignedPlans[] authorizationInfo
        birthday city companyName consentProvidedForMinor country createdDateTime creationType customSecurityAttributes
        department deviceEnrollmentLimit employeeHireDate employeeId employeeLeaveDateTime employeeOrgData employeeType
        externalUserState externalUserStateChangeDateTime faxNumber hireDate identities[] identityParentId imAddresses[]
        interests[] isManagementRestricted isResourceAccount lastPasswordChangeDateTime legalAgeGroupClassification
        licenseAssignmentStates[] mailboxSettings mailNickname mySite onPremisesDistinguishedName onPremisesDomainName
        onPremisesExtensionAttributes onPremisesImmutableId onPremisesLastSyncDateTime onPremisesProvisioningErrors[]
        onPremisesSamAccountName onPremisesSecurityIdentifier onPremisesSyncEnabled onPremisesUserPrincipalName
        otherMails[] passwordPolicies passwordProfile pastProjects[] postalCode preferredDataLocation preferredName
        print provisionedPlans[] proxyAddresses[] responsibilities[] schools[] securityIdentifier
        serviceProvisioningErrors[] showInAddressList signInActivity signInSessionsValidFromDateTime skills[] state
        streetAddress usageLocation userType""",
    "group": """assignedLabels[] assignedLicenses[] hasMembersWithLicenseErrors isArchived isManagementRestricted
        licenseProcessingState onPremisesDomainName onPremisesNetBiosName onPremisesProvisioningErrors[]
        onPremisesSamAccountName onPremisesSecurityIdentifier preferredLanguage serviceProvisioningErrors[]
        uniqueName""",
    "organization": "mobileDeviceManagementAuthority",
}
#: Derived types: their base, and what they show unasked besides.
_DERIVED: Final[dict[str, tuple[str, str]]] = {
    "agentIdentityBlueprint": ("application", "createdByAppId"),
    "agentIdentityBlueprintPrincipal": ("servicePrincipal", "createdByAppId managerApplications[]"),
    "agentIdentity": ("servicePrincipal", "createdByAppId agentIdentityBlueprintId managerApplications[]"),
    "agentUser": ("user", "identityParentId"),
}
#: What may be expanded; and what the schema has, but not the sandbox.
RELATED: Final[dict[str, frozenset[str]]] = {
    "application": frozenset({"owners", "sponsors", "federatedIdentityCredentials", "appManagementPolicies"}),
    "servicePrincipal": frozenset(
        {"owners", "sponsors", "appManagementPolicies", "appRoleAssignments", "appRoleAssignedTo"}
        | {"oauth2PermissionGrants"}
    ),
    "user": frozenset({"oauth2PermissionGrants", "sponsors"}),
}
TYPE_OF: Final = {
    "applications": "application",
    "servicePrincipals": "servicePrincipal",
    "users": "user",
    "groups": "group",
    "organization": "organization",
    "domains": "domain",
    "subscribedSkus": "subscribedSku",
    "appRoleAssignedTo": "appRoleAssignment",
    "appRoleAssignments": "appRoleAssignment",
    "oauth2PermissionGrants": "oauth2PermissionGrant",
    "federatedIdentityCredentials": "federatedIdentityCredential",
    "inheritablePermissions": "inheritablePermission",
    "chats": "chat",
    "directoryAudits": "directoryAudit",
    "directoryObjects": MIXED,
}
_OBJECTS: Final = ("user", "servicePrincipal", "application", "group", *_DERIVED)


class Property(NamedTuple):
    """A property of a type.

    :param unset: what an object shows that was never given one.
    :param shown: unasked.
    """

    name: str
    unset: Any
    shown: bool


@cache
def properties(kind: str) -> dict[str, Property]:
    """The properties of a type, by name in small letters, in the order of its answers; empty: it is none of these."""
    if kind == MIXED:
        return {name: one for each in _OBJECTS for name, one in properties(each).items()}
    base, own = _DERIVED.get(kind, ("", ""))
    found = dict(properties(base)) if base else {}
    for text, shown in ((_DEFAULT.get(kind, own), True), (_MORE.get(kind, ""), False)):
        for word in text.split():
            name = word.removesuffix("[]")
            found[name.lower()] = Property(name, [] if word != name else None, shown)
    return found


@cache
def wanted(kind: str, select: str | None, everything: bool) -> tuple[tuple[str, Any], ...]:
    """Names of what an answer shows of a type, each with what stands where nothing is.

    :param select: of the request; None: the default members.
    :param everything: show what has to be asked for, too, as beta does.
    """
    if select is None:
        return tuple((one.name, one.unset) for one in properties(kind).values() if one.shown or everything)
    chosen = {name.strip().lower() for name in select.split(",")}
    return tuple((one.name, one.unset) for name, one in properties(kind).items() if name in chosen or "*" in chosen)


@cache
def type_of(collection: str) -> str:
    """The type of the objects of a collection, by the last part of its name; empty: none of these."""
    return TYPE_OF.get(collection.rpartition("/")[2], "")


def of(state: dict[str, Any], kind: str) -> str:
    """The type of an object: its own, if it says so, else that of its collection."""
    own = str(state.get("@odata.type", "")).removeprefix("#microsoft.graph.")
    return own if own in _DERIVED or own in _DEFAULT else kind


def base_of(kind: str) -> str:
    """The type whose collection a derived type belongs to; of any other, itself."""
    return _DERIVED[kind][0] if kind in _DERIVED else kind
