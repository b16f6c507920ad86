"""Deletion in the pretend Graph: soft for thirty days, restored or purged (entra-protocol A.2 row 30, A.6)."""

from __future__ import annotations

from typing import Final

from core.sandbox.graph import grants, query, rights, views
from core.sandbox.graph.directory import Refused
from core.sandbox.graph.objects import COLLECTIONS
from core.sandbox.graph.rights import Caller
from core.sandbox.tenant import State, Tenant
from core.sandbox.wire import Request, Response, answer

#: Kind of a deleted object by the kind that it was.
KINDS: Final = {"application": "deletedApplication", "servicePrincipal": "deletedServicePrincipal"}


def delete(tenant: Tenant, caller: Caller, kind: str, object_id: str) -> Response:
    """Delete an object; an application takes its service principal along.

    :raises Refused: 404, 403.
    """
    state = rights.written(tenant, caller, kind, object_id)
    _bin(tenant, kind, state)
    if kind == "application":
        principal = tenant.find("servicePrincipal", "appId", state["appId"])
        if principal is not None:
            _bin(tenant, "servicePrincipal", principal)
    return answer(204)


def handle(tenant: Tenant, caller: Caller, request: Request, rest: str) -> Response:
    """Answer a request below `/directory/deletedItems/`.

    :param rest: what follows: a type, or an id and an action.
    :raises Refused: 403, 404, 400.
    """
    first, _, action = rest.removesuffix("/").partition("/")
    kind = first.removeprefix("microsoft.graph.")
    if kind in KINDS and first != kind:
        if not action and request.method == "GET":
            rights.check_read(caller, kind, "")
            return views.page(tenant, request, tenant.all_seen(KINDS[kind], caller.replica), "directoryObjects")
        first, _, action = action.partition("/")  # the id may also follow its type
    for kind, bin_kind in KINDS.items():
        if tenant.seen(bin_kind, first, caller.replica) is None:
            continue
        match request.method, action:
            case "GET", "":
                rights.check_read(caller, kind, first)
                state = rights.seen(tenant, caller, bin_kind, first)
                body = query.select(views.shown(state), query.names(request.query.get("$select")))
                return answer(200, {"@odata.type": f"#microsoft.graph.{kind}", **body})
            case "POST", "restore":
                return _restore(tenant, caller, kind, first)
            case "DELETE", "":
                return _purge(tenant, caller, kind, first)
        raise Refused(400, "BadRequest", f"Resource not found for the segment '{action}'.")
    raise rights.missing(first)


def _bin(tenant: Tenant, kind: str, state: State) -> None:
    tenant.commit(kind, state["id"], None)
    tenant.commit(KINDS[kind], state["id"], state | {"deletedDateTime": tenant.stamp()})


def _restore(tenant: Tenant, caller: Caller, kind: str, object_id: str) -> Response:
    state = rights.written(tenant, caller, KINDS[kind], object_id)
    name = state.get("uniqueName")
    if name and tenant.find(kind, "uniqueName", name) is not None:
        message = "Another object with the same value for property uniqueName already exists."
        raise Refused(409, "Request_MultipleObjectsWithSameKeyValue", message)
    back = _unbin(tenant, kind, state)
    principal = tenant.find(KINDS["servicePrincipal"], "appId", state["appId"])
    if kind == "application" and principal is not None and tenant.switches.restore_brings_principal:
        _unbin(tenant, "servicePrincipal", principal)
    context = f"{tenant.graph}/v1.0/$metadata#{COLLECTIONS[kind]}/$entity"
    return answer(200, {"@odata.context": context, **views.shown(back)})


def _unbin(tenant: Tenant, kind: str, state: State) -> State:
    back = state | {"deletedDateTime": None}
    tenant.commit(KINDS[kind], state["id"], None)
    tenant.commit(kind, state["id"], back)
    return back


def _purge(tenant: Tenant, caller: Caller, kind: str, object_id: str) -> Response:
    state = rights.written(tenant, caller, KINDS[kind], object_id)
    tenant.commit(KINDS[kind], object_id, None)
    principal = state
    if kind == "application":
        found = tenant.find(KINDS["servicePrincipal"], "appId", state["appId"])
        if found is None:
            return answer(204)
        principal = found
        tenant.commit(KINDS["servicePrincipal"], principal["id"], None)
    for grant in tenant.all_latest(grants.KIND):
        if principal["id"] in (grant["principalId"], grant["resourceId"]):
            tenant.commit(grants.KIND, grant["id"], None)
    return answer(204)
