"""Deletion in the pretend Graph: soft for thirty days, restored or purged; children follow later (A.2 row 30, A.6)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from core.sandbox.directory.registrations import Refused, moment, taken
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import consents, grants, rights, views
from core.sandbox.graph.chain import BINS
from core.sandbox.graph.objects import COLLECTIONS, RESERVED, check_single
from core.sandbox.graph.permissions import BLUEPRINT, PRINCIPAL, TYPES
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response, answer

#: Kind of the notes that the children of a Blueprint are to be deleted.
_CASCADE: Final = "cascade"
_SAME: Final = "Request_MultipleObjectsWithSameKeyValue"
_GRANT_ENDS: Final = ("principalId", "resourceId")


def delete(tenant: Tenant, caller: Caller, kind: str, object_id: str) -> Response:
    """Delete an object; an application takes its service principal along, a Blueprint's children follow later.

    :raises Refused: 404, 403.
    """
    state = rights.written(tenant, caller, kind, object_id, "delete")
    _bin(tenant, kind, state)
    if kind == "application":
        principal = tenant.find("servicePrincipal", "appId", state["appId"])
        if principal is not None:
            _bin(tenant, "servicePrincipal", principal)
    if state.get("@odata.type") in (BLUEPRINT, PRINCIPAL):
        due = tenant.now() + timedelta(seconds=tenant.switches.cascade_after)
        tenant.commit(_CASCADE, state["appId"], {"id": state["appId"], "due": due.isoformat()})
    return answer(204)


def settle(tenant: Tenant) -> None:
    """Delete the children of Blueprints that were deleted long enough ago and have not come back since."""
    for note in tenant.all_latest(_CASCADE):
        if moment(note["due"]) > tenant.now():
            continue
        tenant.commit(_CASCADE, note["id"], None)
        if tenant.find("servicePrincipal", "appId", note["id"]) is not None:
            continue  # it was restored in time
        for identity in _children(tenant, "servicePrincipal", "agentIdentityBlueprintId", note["id"]):
            _bin(tenant, "servicePrincipal", identity)
            if tenant.switches.cascade_users:
                for user in _children(tenant, "user", "identityParentId", identity["id"]):
                    _bin(tenant, "user", user)


def handle(tenant: Tenant, caller: Caller, request: Request, rest: str) -> Response:
    """Answer a request below `/directory/deletedItems/`.

    :param rest: what follows: a type, or an id and an action.
    :raises Refused: 403, 404, 400.
    """
    first, _, action = rest.removesuffix("/").partition("/")
    if first.startswith("microsoft.graph."):
        if not action and request.method == "GET":
            return _listed(tenant, caller, request, first.removeprefix("microsoft.graph."))
        first, _, action = action.partition("/")  # the id may also follow its type
    for kind, bin_kind in BINS.items():
        if tenant.seen(bin_kind, first, caller.replica) is None:
            continue
        match request.method, action:
            case "GET", "":
                rights.check_read(caller, kind, first)
                state = rights.seen(tenant, caller, bin_kind, first)
                typed = {"@odata.type": f"#microsoft.graph.{kind}", **state}
                return views.one(tenant, request, typed, "directoryObjects")
            case "POST", "restore":
                return _restore(tenant, caller, kind, first)
            case "DELETE", "":
                return _purge(tenant, caller, kind, first)
        raise Refused(400, "BadRequest", f"Resource not found for the segment '{action}'.")
    raise rights.missing(first)


def _listed(tenant: Tenant, caller: Caller, request: Request, name: str) -> Response:
    """The deleted objects of one type; those of a derived type are among those of its base."""
    agent = f"#microsoft.graph.{name}" if f"#microsoft.graph.{name}" in TYPES else ""
    kind = TYPES.get(agent, name)
    if kind not in COLLECTIONS:
        raise Refused(400, "BadRequest", f"Resource not found for the segment 'microsoft.graph.{name}'.")
    rights.check_read(caller, kind, "", agent)
    found = tenant.all_seen(BINS.get(kind, ""), caller.replica)  # of groups none is ever deleted
    wanted = (state for state in found if not agent or state.get("@odata.type") == agent)
    derived = agent.removeprefix("#microsoft.graph.") or kind
    return views.page(tenant, request, wanted, COLLECTIONS[kind], kind=derived)


def _children(tenant: Tenant, kind: str, name: str, parent_id: str) -> Iterator[State]:
    return (state for state in tenant.all_latest(kind) if state.get(name) == parent_id)


def _bin(tenant: Tenant, kind: str, state: State) -> None:
    tenant.commit(kind, state["id"], None)
    tenant.commit(BINS[kind], state["id"], state | {"deletedDateTime": tenant.stamp()})


def _restore(tenant: Tenant, caller: Caller, kind: str, object_id: str) -> Response:
    state = rights.written(tenant, caller, BINS[kind], object_id, "delete")
    _check_free(tenant, kind, state)
    back = _unbin(tenant, kind, state)
    alone = tenant.find("servicePrincipal", "appId", state.get("appId", "")) is None
    if kind == "application" and tenant.switches.restore_brings_principal and alone:
        found = [one for one in tenant.all_latest(BINS["servicePrincipal"]) if one["appId"] == state["appId"]]
        for principal in sorted(found, key=lambda one: str(one["deletedDateTime"]))[-1:]:  # the one that went last
            _unbin(tenant, "servicePrincipal", principal)
    typed = {"@odata.type": f"#microsoft.graph.{kind}", **back}
    return answer(200, views.context(tenant, "directoryObjects/$entity") | views.shown(typed, COLLECTIONS[kind]))


def _check_free(tenant: Tenant, kind: str, state: State) -> None:
    """Whether what a deleted object has, and may be had once only, is nobody else's by now.

    :raises Refused: 409; 400 for a user.
    """
    if kind == "servicePrincipal":
        check_single(tenant, state["appId"])
    for name in ("uniqueName",) if kind == "application" else ("userPrincipalName", "identityParentId"):
        mine = str(state.get(name) or "")
        same = str.lower if name == "userPrincipalName" else str
        if mine and any(same(str(live.get(name))) == same(mine) for live in tenant.all_latest(kind)):
            message = f"Another object with the same value for property {name} already exists."
            status, code = (400, "Request_BadRequest") if kind == "user" else (409, _SAME)
            raise Refused(status, code, message, details=[taken(name)])


def _unbin(tenant: Tenant, kind: str, state: State) -> State:
    back = state | {"deletedDateTime": None}
    tenant.commit(BINS[kind], state["id"], None)
    tenant.commit(kind, state["id"], back)
    return back


def _purge(tenant: Tenant, caller: Caller, kind: str, object_id: str) -> Response:
    state = rights.written(tenant, caller, BINS[kind], object_id, "delete")
    tenant.commit(BINS[kind], object_id, None)
    if state.get("uniqueName"):
        kept = {"id": state["uniqueName"], "deletedDateTime": state["deletedDateTime"]}
        tenant.commit(RESERVED, state["uniqueName"], kept)
    gone = object_id
    if kind == "application":
        principal = tenant.find(BINS["servicePrincipal"], "appId", state["appId"])
        if principal is None:
            return answer(204)
        gone = principal["id"]
        tenant.commit(BINS["servicePrincipal"], gone, None)
    for grant_kind, ends in ((grants.KIND, _GRANT_ENDS), (consents.KIND, ("clientId", *_GRANT_ENDS))):
        for grant in tenant.all_latest(grant_kind):
            if gone in (grant[end] for end in ends):
                tenant.commit(grant_kind, grant["id"], None)
    return answer(204)
