"""People and Agent Users after their creation (entra-protocol A.2 row 25)."""

from __future__ import annotations

from typing import Any, Final

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import members, rights, schema
from core.sandbox.graph.permissions import AGENT_USER
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Response, answer

_READ_ONLY: Final = frozenset(
    {"id", "identityParentId", "createdDateTime", "deletedDateTime", "userPrincipalName", "creationType"}
    | {"assignedLicenses", "assignedPlans", "licenseAssignmentStates", "provisionedPlans", "proxyAddresses"}
    | {"imAddresses", "securityIdentifier", "signInSessionsValidFromDateTime", "lastPasswordChangeDateTime"}
)
#: What people have without anybody having set it.
_UNSET: Final[State] = {one.name: one.unset for one in schema.properties("user").values()}


def change(tenant: Tenant, caller: Caller, object_id: str, body: dict[str, Any]) -> Response:
    """PATCH of a user.

    :raises Refused: 404, 403, 400.
    """
    state = rights.written(tenant, caller, "user", object_id)
    if state.get("@odata.type") == AGENT_USER and "passwordProfile" in body:
        message = "Property 'passwordProfile' is not compatible with an agent user."
        raise Refused(400, "PropertyNotCompatibleWithAgentIdentity", message)
    for name, value in body.items():
        if "@" in name:
            continue
        if name not in _UNSET:
            raise members.unknown("user", name)
        old = state.get(name, _UNSET[name])
        if name in _READ_ONLY and value != old:
            raise Refused(400, "Request_BadRequest", f"Property '{name}' is read-only and cannot be set.")
        if not _fits(name, old, value):
            raise Refused(400, "Request_BadRequest", f"Invalid value for property '{name}'.")
        state[name] = value
    tenant.commit("user", object_id, state)
    return answer(204)


def _fits(name: str, old: Any, value: Any) -> bool:
    """Whether a value is of its property's type: a flag, a list of texts, or a text, which may be missing."""
    if isinstance(old, bool):
        return isinstance(value, bool)
    if isinstance(old, list):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, str | None) and members.fits(name, value)
