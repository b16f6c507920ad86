"""Microsoft Graph application permissions of the Provisioner (P6, M14; entra-protocol C)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from core.config.cloud import GRAPH_APP_ID
from core.entra.graph import Graph, documented

#: What the Provisioner needs of every tenant.
BASE: Final[Mapping[str, str]] = {
    "Application.ReadWrite.All": "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9",
    "AppRoleAssignment.ReadWrite.All": "06b708a9-e830-4db3-a914-8e69da51d44f",
    "DelegatedPermissionGrant.ReadWrite.All": "8e8e4742-1d95-4f68-9d56-6ee75648c72a",
    "LicenseAssignment.ReadWrite.All": "5facf0c1-8979-4e95-abcf-ff3d079771c0",
    "Organization.Read.All": "498476ce-e0fe-48b0-b801-37ba7e2685c6",
    "User.ReadWrite.All": "741f803b-c850-494e-b5df-cde7c675a1ca",
}
#: The agent roles that are known; a tenant may offer fewer, or newer ones that nobody has looked at yet.
AGENT: Final[Mapping[str, str]] = {
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
KNOWN: Final[Mapping[str, str]] = {**BASE, **AGENT}
#: Role names by id, for what a person reads; any other role is shown by its id.
NAMES: Final[Mapping[str, str]] = {role_id: name for name, role_id in KNOWN.items()}
#: Permissions with which an app can make itself, or somebody else, administrator of the tenant (M14).
TAKEOVER: Final = frozenset(
    {
        "Application.ReadWrite.All",  # a credential of its own on any app, however privileged that app is
        "AppRoleAssignment.ReadWrite.All",  # any permission for itself
        "Directory.ReadWrite.All",
        "DelegatedPermissionGrant.ReadWrite.All",  # consent in the name of anybody
        "RoleManagement.ReadWrite.Directory",
        "RoleAssignmentSchedule.ReadWrite.Directory",
        "RoleEligibilitySchedule.ReadWrite.Directory",
        "RoleManagementPolicy.ReadWrite.Directory",
        "RoleManagementPolicy.ReadWrite.AzureADGroup",
        "PrivilegedAccess.ReadWrite.AzureAD",
        "PrivilegedAccess.ReadWrite.AzureADGroup",
        "PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup",
        "PrivilegedEligibilitySchedule.ReadWrite.AzureADGroup",
        "EntitlementManagement.ReadWrite.All",
        "GroupMember.ReadWrite.All",
        "Group.ReadWrite.All",
        "Policy.ReadWrite.AuthenticationMethod",
        "Policy.ReadWrite.PermissionGrant",  # consent without asking anybody
        "User-PasswordProfile.ReadWrite.All",
        "UserAuthenticationMethod.ReadWrite.All",
        "UserAuthMethod-Passkey.ReadWrite.All",
        "UserAuthMethod-TAP.ReadWrite.All",
        "ServicePrincipalEndpoint.ReadWrite.All",
        "Organization.ReadWrite.All",
        "PublicKeyInfrastructure.ReadWrite.All",  # whose certificates sign users in
        "Domain.ReadWrite.All",
        "Domain-InternalFederation.ReadWrite.All",
    }
)


def name_of(role_id: str) -> str:
    """What a person calls a role; its id if it is none of the known ones."""
    return NAMES.get(role_id, role_id)


def is_agent(name: str) -> bool:
    """Whether a permission belongs to the agent families that the Provisioner works with."""
    return "AgentIdentity" in name or "AgentIdUser" in name


def wanted(offered: Mapping[str, str]) -> dict[str, str]:
    """The roles to have, by name: the base list, and the known agent roles that this tenant offers.

    :param offered: what the tenant's Microsoft Graph principal offers, name to id.
    """
    return dict(BASE) | {name: offered[name] for name in AGENT if name in offered}


def unknown(offered: Iterable[str]) -> list[str]:
    """Agent roles that the tenant offers and nobody has looked at yet: shown and asked for, never taken silently."""
    return sorted(name for name in offered if is_agent(name) and name not in KNOWN)


def takeover(names: Collection[str]) -> list[str]:
    """Those that amount to a takeover of the tenant."""
    return sorted(TAKEOVER & set(names))


def read_offered(graph: Graph) -> tuple[str, dict[str, str]]:
    """Microsoft Graph's own service principal: its id, and the permissions that it offers to apps, name to id."""
    path = f"/servicePrincipals(appId='{GRAPH_APP_ID}')?$select=id,appRoles"
    found = graph.get(path, "read what Microsoft Graph offers")
    with documented("read what Microsoft Graph offers"):
        offered = {
            str(role["value"]): str(role["id"])
            for role in found.get("appRoles") or ()
            if role.get("isEnabled") and role.get("value") and "Application" in (role.get("allowedMemberTypes") or ())
        }
        return str(found["id"]), offered


def read_access(graph: Graph, object_id: str) -> tuple[dict[str, Any], ...]:
    """`requiredResourceAccess` as it is now."""
    answer = graph.get(f"/applications/{object_id}?$select=requiredResourceAccess", "read the declared permissions")
    with documented("read the declared permissions"):
        access = tuple(answer.get("requiredResourceAccess") or ())
        declared_in(access)
    return access


def declared_in(access: Iterable[dict[str, Any]]) -> frozenset[str]:
    """Ids of the Microsoft Graph application permissions in a `requiredResourceAccess`."""
    return frozenset(
        str(item.get("id"))
        for resource in access
        if resource.get("resourceAppId") == GRAPH_APP_ID
        for item in resource.get("resourceAccess") or ()
        if item.get("type") == "Role"
    )
