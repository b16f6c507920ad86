"""What it takes to touch objects of the agent chain: a row per type and operation (entra-protocol A.2 rows 14-25)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

BLUEPRINT: Final = "#microsoft.graph.agentIdentityBlueprint"
PRINCIPAL: Final = "#microsoft.graph.agentIdentityBlueprintPrincipal"
IDENTITY: Final = "#microsoft.graph.agentIdentity"
AGENT_USER: Final = "#microsoft.graph.agentUser"
#: Kind of object that each type is stored as.
TYPES: Final = {
    BLUEPRINT: "application",
    PRINCIPAL: "servicePrincipal",
    IDENTITY: "servicePrincipal",
    AGENT_USER: "user",
}
#: What every token of the Azure CLI carries, and no Agent ID API takes (A.7).
ACCESS_AS_USER: Final = "Directory.AccessAsUser.All"
#: What no Agent ID API takes that writes, whatever else the token carries.
EVERYTHING: Final = "Directory.ReadWrite.All"

_USERS: Final = ("AgentIdUser.ReadWrite.All", "User.ReadWrite.All")
_NEEDED: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    BLUEPRINT: {
        "read": ("AgentIdentityBlueprint.Read.All", "AgentIdentityBlueprint.ReadWrite.All"),
        "create": ("AgentIdentityBlueprint.Create", "AgentIdentityBlueprint.ReadWrite.All"),
        "change": ("AgentIdentityBlueprint.UpdateAuthProperties.All", "AgentIdentityBlueprint.ReadWrite.All"),
        "brand": ("AgentIdentityBlueprint.UpdateBranding.All", "AgentIdentityBlueprint.ReadWrite.All"),
        "keys": ("AgentIdentityBlueprint.AddRemoveCreds.All", "AgentIdentityBlueprint.ReadWrite.All"),
        "sponsors": ("AgentIdentityBlueprint.UpdateSponsors.All", "AgentIdentityBlueprint.ReadWrite.All"),
        "delete": ("AgentIdentityBlueprint.DeleteRestore.All",),
    },
    PRINCIPAL: {
        "read": ("AgentIdentityBlueprintPrincipal.Read.All", "AgentIdentityBlueprintPrincipal.ReadWrite.All"),
        "create": ("AgentIdentityBlueprintPrincipal.Create", "AgentIdentityBlueprintPrincipal.ReadWrite.All"),
        "change": ("AgentIdentityBlueprintPrincipal.ReadWrite.All",),
        "enable": (
            "AgentIdentityBlueprintPrincipal.EnableDisable.All",
            "AgentIdentityBlueprintPrincipal.ReadWrite.All",
        ),
        "delete": ("AgentIdentityBlueprintPrincipal.DeleteRestore.All",),
    },
    IDENTITY: {
        "read": ("AgentIdentity.Read.All", "AgentIdentity.ReadWrite.All"),
        "create": ("AgentIdentity.Create.All", "AgentIdentity.CreateAsManager", "AgentIdentity.ReadWrite.All"),
        "change": ("AgentIdentity.ReadWrite.All",),
        "enable": ("AgentIdentity.EnableDisable.All", "AgentIdentity.ReadWrite.All"),
        "sponsors": ("AgentIdentity.UpdateSponsors.All", "AgentIdentity.ReadWrite.All"),
        "delete": ("AgentIdentity.DeleteRestore.All",),
    },
    AGENT_USER: {
        "read": ("User.Read.All", *_USERS),
        "create": ("AgentIdUser.ReadWrite.IdentityParentedBy", *_USERS),
        "change": _USERS,
        "delete": _USERS,
    },
}
_BRANDING: Final = frozenset({"displayName", "description", "notes", "tags"})


def needed(agent: str, operation: str) -> tuple[str, ...]:
    """The permissions of which one is enough.

    :param agent: `@odata.type` of the object.
    :param operation: `read`, `create`, `delete`, or a part of a change (see `parts`).
    """
    table = _NEEDED[agent]
    return table.get(operation, table["change"])


def parts(agent: str, names: Iterable[str]) -> list[str]:
    """The operations that a PATCH of these properties consists of."""
    found = {_part(agent, name) for name in names if "@" not in name}
    return sorted(found) or ["change"]


def agent_of(state: dict[str, Any] | None) -> str:
    """The `@odata.type` of an object of the agent chain; empty for every other one."""
    named = str((state or {}).get("@odata.type", ""))
    return named if named in TYPES else ""


def named(text: Any) -> str:
    """The type that a body's `@odata.type` means, in any case, with or without its `#`; empty when it is none of the
    agent chain.
    """
    wanted = str(text).removeprefix("#").lower()
    return next((agent for agent in TYPES if agent.removeprefix("#").lower() == wanted), "")


def _part(agent: str, name: str) -> str:
    if name in ("keyCredentials", "passwordCredentials"):
        return "keys"
    if name == "accountEnabled":
        return "enable"
    return "brand" if agent == BLUEPRINT and name in _BRANDING else "change"
