"""What the objects of the agent chain have in common: sponsors, owners, and how many there may be (A.1, A.8)."""

from __future__ import annotations

from typing import Any, Final

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph.permissions import AGENT_USER, BLUEPRINT, IDENTITY, TYPES
from core.sandbox.graph.rights import Caller

#: Kind of a deleted object by the kind that it was.
BINS: Final = {
    "application": "deletedApplication",
    "servicePrincipal": "deletedServicePrincipal",
    "user": "deletedUser",
}
_SPONSORS, _GROUPS = 100, 5
_LIMITS: Final = {BLUEPRINT: "AgentBlueprint_LimitExceeded", IDENTITY: "AgentIdentity_LimitExceeded"}


def bound(tenant: Tenant, caller: Caller, body: dict[str, Any], name: str) -> list[str]:
    """The object ids in a `name@odata.bind`: users, and groups that may sponsor; the member leaves the body.

    :raises Refused: 400: not a list of addresses, or one that this replica does not know, or too many of them.
    """
    sent = body.pop(f"{name}@odata.bind", [])
    if not isinstance(sent, list) or not all(isinstance(item, str) for item in sent):
        raise Refused(400, "Request_BadRequest", f"Invalid value for '{name}@odata.bind': a list was expected.")
    found = list(dict.fromkeys(map(named, sent)))
    for object_id in found:
        check_sponsor(tenant, caller, object_id, groups=name == "sponsors")
    check_number(tenant, found)
    return found


def named(address: str) -> str:
    """The object id in an address, in either of its two forms: `users/ID` and `users('ID')`."""
    return address.rstrip("/").rpartition("/")[2].rpartition("('")[2].removesuffix("')").lower()


def check_sponsor(tenant: Tenant, caller: Caller, object_id: str, *, groups: bool = True) -> None:
    """Whether an object may sponsor: a person, a Microsoft 365 group, a dynamic group; no other, and no agent (A.1).

    :raises Refused: 400.
    """
    person = tenant.seen("user", object_id, caller.replica)
    group = tenant.seen("group", object_id, caller.replica) if groups else None
    if person is None and group is None:
        raise Refused(400, "Request_BadRequest", f"Object with id '{object_id}' not found.")
    kinds = set((group or {}).get("groupTypes", ()))
    unfit = group is not None and (group.get("isAssignableToRole") or not kinds & {"Unified", "DynamicMembership"})
    if unfit or (person or {}).get("@odata.type") == AGENT_USER:
        raise Refused(400, "Request_BadRequest", f"Object with id '{object_id}' cannot be a sponsor.")


def check_number(tenant: Tenant, sponsors: list[str]) -> None:
    """Whether there are not too many sponsors: a hundred, five groups among them.

    :raises Refused: 400.
    """
    if len(sponsors) > _SPONSORS or sum(tenant.latest("group", one) is not None for one in sponsors) > _GROUPS:
        message = f"There may be {_SPONSORS} sponsors, {_GROUPS} of them groups."
        raise Refused(400, "Request_BadRequest", message)


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
