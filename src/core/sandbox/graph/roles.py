"""Roles by id: what Microsoft Graph offers to apps, and which directory roles people have (entra-protocol C, A.7).

Ids are the same in every tenant. This table is the sandbox's own: a list in the product can be tested against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

#: The Provisioner's base list.
BASE: Final = {
    "Application.ReadWrite.All": "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9",
    "AppRoleAssignment.ReadWrite.All": "06b708a9-e830-4db3-a914-8e69da51d44f",
    "DelegatedPermissionGrant.ReadWrite.All": "8e8e4742-1d95-4f68-9d56-6ee75648c72a",
    "LicenseAssignment.ReadWrite.All": "5facf0c1-8979-4e95-abcf-ff3d079771c0",
    "Organization.Read.All": "498476ce-e0fe-48b0-b801-37ba7e2685c6",
    "User.ReadWrite.All": "741f803b-c850-494e-b5df-cde7c675a1ca",
}
#: The roles of agents that the rule `AgentIdentity*` or `AgentIdUser*` finds.
AGENT: Final = {
    "AgentIdentity.Create.All": "ad25cc1d-84d8-47df-a08e-b34c2e800819",
    "AgentIdentity.CreateAsManager": "4c390976-b2b7-42e0-9187-c6be3bead001",
    "AgentIdentity.DeleteRestore.All": "5b016f9b-18eb-41d4-869a-66931914d1c8",
    "AgentIdentity.EnableDisable.All": "69ee0943-4fa4-4ec8-8e52-d12e4ea661a3",
    "AgentIdentity.Read.All": "b2b8f011-2898-4234-9092-5059f6c1ebfa",
    "AgentIdentity.ReadWrite.All": "dcf7150a-88d4-4fe6-9be1-c2744c455397",
    "AgentIdentityBlueprint.AddRemoveCreds.All": "0510736e-bdfb-4b37-9a1f-89b4a074763a",
    "AgentIdentityBlueprint.Create": "ea4b2453-ad2d-4d94-9155-10d5d9493ce9",
    "AgentIdentityBlueprint.DeleteRestore.All": "3f80b699-6405-4e36-a4df-4f19950ff91e",
    "AgentIdentityBlueprint.Read.All": "7547a7d1-36fa-4479-9c31-559a600eaa4f",
    "AgentIdentityBlueprint.ReadWrite.All": "7fddd33b-d884-4ec0-8696-72cff90ff825",
    "AgentIdentityBlueprint.UpdateAuthProperties.All": "19202363-278e-49c2-bf00-391e2ba00881",
    "AgentIdentityBlueprint.UpdateBranding.All": "76232daa-a1e4-4544-b664-495a006513bf",
    "AgentIdentityBlueprintPrincipal.Create": "8959696d-d07e-4916-9b1e-3ba9ce459161",
    "AgentIdentityBlueprintPrincipal.DeleteRestore.All": "f86a2dd8-9298-4675-bd78-f5a3572da2d7",
    "AgentIdentityBlueprintPrincipal.EnableDisable.All": "a0bdd23d-8b19-4682-b428-574d96527c6f",
    "AgentIdentityBlueprintPrincipal.Read.All": "9361dea9-4524-493d-941d-f1b65aaf6c7c",
    "AgentIdentityBlueprintPrincipal.ReadWrite.All": "3bc933bc-8b4d-4cb6-ac49-b73774299250",
    "AgentIdUser.ReadWrite.All": "b782c9ad-6f2b-4894-a21b-72bf22417f0a",
    "AgentIdUser.ReadWrite.IdentityParentedBy": "4aa6e624-eee0-40ab-bdd8-f9639038a614",
}
#: Others that the sandbox asks for somewhere.
OTHER: Final = {
    "Application.Read.All": "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30",
    "Application.ReadWrite.OwnedBy": "18a4783c-866b-4cc7-a460-3d5e5662c884",
    "AuditLog.Read.All": "b0afded3-3588-46d8-8b3d-9842eff778da",
    "Directory.Read.All": "7ab1d382-f21e-4acd-a863-ba3e13f7da61",
    "Directory.ReadWrite.All": "19dbc75e-c2e2-444c-a770-ec69d8559fc7",
    "Domain.Read.All": "dbb9058a-0e50-45d7-ae91-66909b5d4664",
    "Group.Read.All": "5b567255-7703-4780-807c-7be8301ae99b",
    "Policy.Read.All": "246dd0d5-5bd0-4def-940b-0421030a5b68",
    "Policy.ReadWrite.ApplicationConfiguration": "be74164b-cff1-491c-8741-e671cb536e13",
    "User.Read.All": "df021288-bdef-4463-88db-98f22de89214",
}
#: Real names that the rule must not find. Their ids are made up.
NEAR_MISSES: Final = {
    name: str(UUID(int=0x5A4DB0C5 << 96 | 4 << 76 | 8 << 60 | number))
    for number, name in enumerate(
        (
            "AgentCardManifest.Read.All",
            "AgentCardManifest.ReadWrite.All",
            "AgentInstance.Read.All",
            "AgentInstance.ReadWrite.All",
            "AgentRegistration.Read.All",
        ),
        1,
    )
}
#: Everything that Microsoft Graph offers here.
OFFERED: Final = BASE | AGENT | OTHER | NEAR_MISSES
#: Scopes that Microsoft Graph offers here: what Agent Users are let do, and what the Azure CLI's token carries.
SCOPES: Final = {
    "Application.ReadWrite.All": "bdfbf15f-ee85-4955-8675-146e8e5296b5",
    "AppRoleAssignment.ReadWrite.All": "84bccea3-f856-4a8a-967b-dbe0a3d53a64",
    "AuditLog.Read.All": "e4c9e354-4dc5-45b8-9e7c-e1393b0b1a20",
    "Chat.Create": "38826093-1258-4dea-98f0-00003be2b8d0",
    "Chat.Read": "f501c180-9344-439a-bca0-6cbf209fd270",
    "Chat.ReadWrite": "9ff7295e-131b-4d94-90e1-69fde507ac11",
    "ChatMessage.Send": "116b7235-7cc6-461e-b163-8e55691d839e",
    "DelegatedPermissionGrant.ReadWrite.All": "41ce6ca6-6826-4807-84f1-1c82854f7ee5",
    "Directory.AccessAsUser.All": "0e263e50-5827-48a4-b97c-d940288653c7",
    "Directory.Read.All": "06da0dbc-49e2-44d2-8312-53f166ab848a",
    "email": "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0",
    "Files.Read.All": "df85f4d6-205c-4ac5-a5ea-6bf408dba283",
    "Files.ReadWrite": "5c28f0bf-8a70-41f1-8ab2-9032436ddb65",
    "Group.ReadWrite.All": "4e46008b-f24c-477d-8fff-7bb4ec7aafe0",
    "Mail.Read": "570282fd-fa5c-430d-a7fd-fc8dc98a9dca",
    "Mail.Send": "e383f46e-2787-4529-855e-0e479a3ffac0",
    "offline_access": "7427e0e9-2fba-42fe-b0c0-848c9e6a8182",
    "openid": "37f7f235-527c-4136-accd-4a02d197296e",
    "profile": "14dad69e-099b-42c9-810b-d002981feec1",
    "Sites.Read.All": "205e70e5-aba6-4c52-a976-6d2d46c48043",
    "Sites.ReadWrite.All": "89fe6a52-be36-487e-b7d8-d061c450a026",
    "User.Read": "e1fe6dd8-ba31-4d61-89e7-88639da4683d",
    "User.Read.All": "a154be20-db9c-4678-8ab7-66f6cc099a59",
    "User.ReadBasic.All": "b340eb25-3456-403f-be2f-af7a0d370277",
    "User.ReadWrite.All": "204e0828-b5ca-4ad8-b9f3-f32a958e7cc4",
}
#: The scope that Azure Storage offers.
STORAGE_SCOPES: Final = {"user_impersonation": "03e0da56-190b-40ad-a80c-ea378c433f7f"}

# directory roles, by template id: the `wids` claim of a person's token
GLOBAL_ADMINISTRATOR: Final = "62e90394-69f5-4237-9190-012177145e10"
APPLICATION_ADMINISTRATOR: Final = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"
CLOUD_APPLICATION_ADMINISTRATOR: Final = "158c047a-c907-4556-b7ef-446551a6b5f7"
PRIVILEGED_ROLE_ADMINISTRATOR: Final = "e8611ab8-c189-46e8-94e1-60213ab1f814"
AGENT_ID_ADMINISTRATOR: Final = "db506228-d27e-4b7d-95e5-295956d6615f"
AGENT_ID_DEVELOPER: Final = "adb2368d-a9be-41b5-8667-d96778e081b0"
APPLICATION_DEVELOPER: Final = "cf1c38e5-3621-4004-a7cb-879624dced7c"
GLOBAL_READER: Final = "f2ef992c-3afb-46b9-b7cf-a126ee74c451"
REPORTS_READER: Final = "4a5d8f65-41da-4de4-8968-e035b65339cf"
SECURITY_READER: Final = "5d6b6bb7-de71-4623-b4af-96380a352509"

#: Whoever may change every app registration.
APP_ADMINISTRATORS: Final = frozenset(
    {GLOBAL_ADMINISTRATOR, APPLICATION_ADMINISTRATOR, CLOUD_APPLICATION_ADMINISTRATOR}
)

#: Whoever may do everything with the agent chain; a developer creates, and changes what is its own.
AGENT_ADMINISTRATORS: Final = frozenset({GLOBAL_ADMINISTRATOR, AGENT_ID_ADMINISTRATOR})


def app_roles() -> list[dict[str, Any]]:
    """The `appRoles` of Microsoft Graph's service principal."""
    return [
        {
            "allowedMemberTypes": ["Application"],
            "description": f"Allows the app what '{value}' says, without a signed-in user.",
            "displayName": value,
            "id": role_id,
            "isEnabled": True,
            "origin": "Application",
            "value": value,
        }
        for value, role_id in OFFERED.items()
    ]


def scopes(offered: Mapping[str, str] = SCOPES) -> list[dict[str, Any]]:
    """The `oauth2PermissionScopes` of the service principal of Microsoft Graph, or of another API."""
    return [
        {
            "adminConsentDescription": f"Allows the app what '{value}' says, on behalf of the signed-in user.",
            "adminConsentDisplayName": value,
            "id": scope_id,
            "isEnabled": True,
            "type": "User",
            "userConsentDescription": f"Allows the app what '{value}' says, on your behalf.",
            "userConsentDisplayName": value,
            "value": value,
        }
        for value, scope_id in offered.items()
    ]
