"""The case of letters, which Graph's paths, property names and GUIDs do not depend on."""

from __future__ import annotations

import re
from typing import Any, Final

_GUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_KEYED: Final = re.compile(r"^/(\w+)\((\w+)='((?:[^']|'')+)'\)(.*)$", re.DOTALL)
_SEGMENTS: Final = {
    name.lower(): name
    for name in (
        *("$count", "$ref", "addKey", "addPassword", "appCredentialSignInActivities", "appId", "applications"),
        *("appManagementPolicies", "appliesTo", "appRoleAssignedTo", "appRoleAssignments", "assignLicense"),
        *("auditLogs", "chats", "defaultAppManagementPolicy", "deletedItems", "directory", "directoryAudits"),
        *("directoryObjects", "getByIds"),
        *("domains", "federatedIdentityCredentials", "groups", "inheritablePermissions", "licenseDetails", "me"),
        *("oauth2PermissionGrants", "organization", "owners", "policies", "removeKey", "removePassword", "reports"),
        *("restore", "servicePrincipals", "sponsors", "subscribedSkus", "uniqueName", "users"),
        *("microsoft.graph.application", "microsoft.graph.servicePrincipal", "microsoft.graph.user"),
        *("microsoft.graph.agentIdentityBlueprint", "microsoft.graph.agentIdentityBlueprintPrincipal"),
        *("microsoft.graph.agentIdentity", "microsoft.graph.agentUser"),
    )
}
#: Members of a body that hold a GUID.
_IDS: Final = frozenset(
    {"agentIdentityBlueprintId", "appId", "appRoleId", "clientId", "id", "identityParentId", "keyId", "principalId"}
    | {"resourceAppId", "resourceId"}
)


def path(text: str) -> str:
    """A path as this sandbox spells it; what it does not know stays as it is."""
    if matched := _KEYED.match(text):
        collection, key, value, rest = matched.groups()
        key = _segment(key)
        return f"/{_segment(collection)}({key}='{value if key == 'uniqueName' else guid(value)}'){path(rest)}"
    return "/".join(_segment(segment) for segment in text.split("/"))


def body(value: Any, name: str = "") -> Any:
    """What a request holds, with its GUIDs as the directory writes them.

    :param name: of the member that holds the value.
    """
    if isinstance(value, dict):
        return {each: body(item, each) for each, item in value.items()}
    if isinstance(value, list):
        return [body(item) for item in value]
    return guid(value) if name in _IDS and isinstance(value, str) else value


def guid(text: str) -> str:
    """A GUID in small letters; another text as it is."""
    return text.lower() if _GUID.fullmatch(text) else text


def _segment(text: str) -> str:
    return _SEGMENTS.get(text.lower()) or guid(text)
