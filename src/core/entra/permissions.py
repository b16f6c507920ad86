"""Microsoft Graph application permissions of the Provisioner (P6, M14; entra-protocol C)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final
from uuid import uuid4

from core import tables
from core.config.cloud import GRAPH_APP_ID
from core.entra.answers import documented
from core.entra.graph import Graph
from core.errors import GraphError

_TABLE: Final = tables.read("entra/permissions")
#: What the Provisioner needs of every tenant.
BASE: Final[Mapping[str, str]] = _TABLE["base"]
#: The agent roles that are known; a tenant may offer fewer, or newer ones that nobody has looked at yet.
AGENT: Final[Mapping[str, str]] = _TABLE["agent"]
KNOWN: Final[Mapping[str, str]] = {**BASE, **AGENT}
#: Role names by id, for what a person reads; any other role is shown by its id.
NAMES: Final[Mapping[str, str]] = {role_id: name for name, role_id in KNOWN.items()}
#: Permissions with which an app can make itself, or somebody else, administrator of the tenant (M14).
TAKEOVER: Final[frozenset[str]] = frozenset(_TABLE["takeover"]["names"])


def refused_grant(graph: Graph, resource_id: str) -> GraphError | None:
    """Ask whether permissions of a resource may be granted: one that does not exist changes nothing (P12, M4).

    :param resource_id: object id of its service principal.
    :returns: the refusal; None: it may, or no answer tells, and then the deed does.
    """
    body = {"principalId": resource_id, "resourceId": resource_id, "appRoleId": str(uuid4())}
    path = f"/servicePrincipals/{resource_id}/appRoleAssignedTo"
    (refusal,) = graph.rehearse([("POST", path, body, "ask whether permissions may be granted")])
    return refusal


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
