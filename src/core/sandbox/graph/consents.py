"""Delegated consent of the pretend Graph: which scopes an app may use on behalf of people (A.2 rows 26, 27)."""

from __future__ import annotations

import re
from typing import Any, Final

from core.sandbox.graph import rights, roles, views
from core.sandbox.graph.directory import Refused
from core.sandbox.graph.rights import Caller
from core.sandbox.tenant import State, Tenant
from core.sandbox.wire import Request, Response, answer

KIND: Final = "oauth2PermissionGrant"
PERMISSION: Final = "DelegatedPermissionGrant.ReadWrite.All"
#: In whichever case: the Azure CLI spells it in two.
PATH: Final = re.compile(r"/oauth2PermissionGrants(?:/([^/]+))?", re.IGNORECASE)


def new_grant(client_id: str, resource_id: str, scope: str, principal_id: str | None = None) -> State:
    """A grant; not committed yet.

    :param client_id: object id of the service principal that is let in.
    :param resource_id: object id of the API's service principal.
    :param scope: names, parted by blanks.
    :param principal_id: the person that it counts for; None: everybody.
    """
    return {
        "id": "-".join((client_id, resource_id, principal_id or "all")),
        "clientId": client_id,
        "consentType": "Principal" if principal_id else "AllPrincipals",
        "principalId": principal_id,
        "resourceId": resource_id,
        "scope": scope,
    }


def handle(tenant: Tenant, caller: Caller, request: Request, rest: str, body: dict[str, Any]) -> Response:
    """Answer a request to `/oauth2PermissionGrants`.

    :param rest: what follows: nothing, or an id.
    :raises Refused: 403, 400, 404, 409.
    """
    match request.method, bool(rest):
        case "GET", False:
            if not caller.may(PERMISSION, "Directory.Read.All"):
                raise rights.denied()
            return views.page(tenant, request, tenant.all_seen(KIND, caller.replica), "oauth2PermissionGrants")
        case "POST", False:
            _check(caller)
            return _create(tenant, caller, body)
        case "DELETE", True:
            _check(caller)
            rights.seen(tenant, caller, KIND, rest)
            tenant.commit(KIND, rest, None)
            return answer(204)
    raise Refused(400, "BadRequest", "Resource not found for the segment 'oauth2PermissionGrants'.")


def _check(caller: Caller) -> None:
    if not caller.holds(PERMISSION, roles.APP_ADMINISTRATORS | {roles.PRIVILEGED_ROLE_ADMINISTRATOR}):
        raise rights.denied()


def _create(tenant: Tenant, caller: Caller, body: dict[str, Any]) -> Response:
    state: State = {name: body.get(name) for name in ("clientId", "consentType", "principalId", "resourceId", "scope")}
    everybody = state["consentType"] == "AllPrincipals"
    if not isinstance(state["scope"], str) or not (everybody or state["consentType"] == "Principal"):
        raise Refused(400, "Request_BadRequest", "Invalid value for 'consentType' or 'scope'.")
    if everybody == bool(state["principalId"]):
        raise Refused(
            400, "Request_BadRequest", "'principalId' goes with the consent type 'Principal', and only with it."
        )
    kinds = {"clientId": "servicePrincipal", "resourceId": "servicePrincipal", "principalId": "user"}
    for name, kind in kinds.items():
        if state[name] is not None and tenant.seen(kind, str(state[name]), caller.replica) is None:
            raise Refused(400, "Request_BadRequest", f"{name.removesuffix('Id').capitalize()} was not found.")
    ends = {name: state[name] for name in ("clientId", "resourceId", "principalId")}
    if any(ends.items() <= other.items() for other in tenant.all_latest(KIND)):
        raise Refused(409, "Request_MultipleObjectsWithSameKeyValue", "Permission entry already exists.")
    state = new_grant(state["clientId"], state["resourceId"], state["scope"], state["principalId"])
    tenant.commit(KIND, state["id"], state)
    return views.created(tenant, state, "oauth2PermissionGrants")
