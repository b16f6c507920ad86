"""What the objects of the agent chain have in common: sponsors, owners, and how many there may be (A.1, A.8)."""

from __future__ import annotations

from typing import Any, Final

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph.permissions import BLUEPRINT, IDENTITY, TYPES
from core.sandbox.graph.rights import Caller

#: Kind of a deleted object by the kind that it was.
BINS: Final = {
    "application": "deletedApplication",
    "servicePrincipal": "deletedServicePrincipal",
    "user": "deletedUser",
}
_LIMITS: Final = {BLUEPRINT: "AgentBlueprint_LimitExceeded", IDENTITY: "AgentIdentity_LimitExceeded"}


def bound(tenant: Tenant, caller: Caller, body: dict[str, Any], name: str) -> list[str]:
    """The object ids of the users in a `name@odata.bind`; the member leaves the body.

    :raises Refused: 400: not a list of addresses, or one that this replica does not know as a user.
    """
    sent = body.pop(f"{name}@odata.bind", [])
    if not isinstance(sent, list) or not all(isinstance(item, str) for item in sent):
        raise Refused(400, "Request_BadRequest", f"Invalid value for '{name}@odata.bind': a list was expected.")
    found = []
    for address in sent:
        object_id = address.rstrip("/").rpartition("/")[2].removeprefix("users('").removesuffix("')")
        if tenant.seen("user", object_id, caller.replica) is None:
            raise Refused(400, "Request_BadRequest", f"Object with id '{object_id}' not found.")
        found.append(object_id)
    return list(dict.fromkeys(found))


def sponsors(tenant: Tenant, caller: Caller, body: dict[str, Any]) -> list[str]:
    """The sponsors that a creation names; at least one.

    :raises Refused: 400.
    """
    found = bound(tenant, caller, body, "sponsors")
    if not found:
        raise Refused(400, "Request_BadRequest", "Property 'sponsors' is required: no sponsor was specified.")
    return found


def text(body: dict[str, Any], name: str) -> str:
    """A required text of a body.

    :raises Refused: 400.
    """
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(400, "Request_BadRequest", f"Property '{name}' is required.")
    return value


def check_limit(tenant: Tenant, agent: str, blueprint_id: str = "") -> None:
    """Whether there may be one more.

    :param agent: type of what is created.
    :param blueprint_id: app id of its Blueprint, which Agent Identities are counted by.
    :raises Refused: 400: one of the three limits is reached (`Switches`).
    """
    switches = tenant.switches
    every = [state for kind in set(TYPES.values()) for state in _with_deleted(tenant, kind)]
    if sum(state.get("@odata.type") in TYPES for state in every) >= switches.agent_objects:
        message = "The directory object quota limit for the tenant has been exceeded."
        raise Refused(400, "Agent_Directory_QuotaExceeded", message)
    if agent not in _LIMITS:
        return
    same = [state for state in every if state.get("@odata.type") == agent]
    if agent == IDENTITY:
        same = [state for state in same if state["agentIdentityBlueprintId"] == blueprint_id]
    elif not switches.deleted_blueprints_count:
        same = [state for state in same if not state.get("deletedDateTime")]
    if len(same) >= (switches.blueprints if agent == BLUEPRINT else switches.identities):
        raise Refused(400, _LIMITS[agent], "The limit on the number of these objects has been exceeded.")


def _with_deleted(tenant: Tenant, kind: str) -> list[State]:
    return [*tenant.all_latest(kind), *tenant.all_latest(BINS[kind])]
