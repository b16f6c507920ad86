"""Consent to delegated permissions: which app may do what in whose name (entra-protocol A.2 rows 26 and 27, A.4)."""

from __future__ import annotations

import base64
from typing import Any, Final
from uuid import UUID

from core.sandbox.directory.registrations import Refused, moment
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import chain, rights, roles, views
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response, answer

KIND: Final = "oauth2PermissionGrant"
NAME: Final = "oauth2PermissionGrants"
PATH: Final = f"/{NAME}"
PERMISSION: Final = "DelegatedPermissionGrant.ReadWrite.All"
_ADMINS: Final = roles.APP_ADMINISTRATORS | {roles.PRIVILEGED_ROLE_ADMINISTRATOR}
_TIMES: Final = ("startTime", "expiryTime")  # of the older schema: taken, and not shown
_KEYS: Final = ("clientId", "consentType", "principalId", "resourceId")


def new_grant(client_id: str, resource_id: str, scope: str, principal_id: str | None = None) -> State:
    """A grant; not committed yet.

    :param client_id: object id of the service principal that is let in.
    :param resource_id: object id of the API's service principal.
    :param scope: names, parted by blanks.
    :param principal_id: the person or Agent User that it counts for; None: everybody.
    """
    ends = [UUID(end).bytes_le for end in (client_id, resource_id, principal_id) if end]
    return {
        "id": base64.urlsafe_b64encode(b"".join(ends)).decode().rstrip("="),
        "clientId": client_id,
        "consentType": "Principal" if principal_id else "AllPrincipals",
        "principalId": principal_id,
        "resourceId": resource_id,
        "scope": scope,
    }


def handle(tenant: Tenant, caller: Caller, request: Request, grant_id: str, body: dict[str, Any]) -> Response:
    """Answer a request to the collection, or to one grant.

    :param grant_id: empty for the collection.
    :raises Refused: 403, 404, 409, 400.
    """
    if request.method == "GET":
        if not caller.may(PERMISSION, "Directory.Read.All"):
            raise rights.denied()
        if not grant_id:
            return views.page(tenant, request, tenant.all_seen(KIND, caller.replica), NAME)
        return views.one(tenant, request, rights.seen(tenant, caller, KIND, grant_id), NAME)
    if not caller.holds(PERMISSION, _ADMINS) or request.path.startswith("/beta"):
        raise rights.denied()  # beta was seen to refuse whom v1.0 lets in
    match request.method, bool(grant_id):
        case "POST", False:
            return _create(tenant, caller, body)
        case "PATCH", True:
            return _extend(tenant, caller, grant_id, body)
        case "DELETE", True:
            tenant.commit(KIND, _newest(tenant, caller, grant_id)["id"], None)
            return answer(204)
    raise Refused(400, "BadRequest", f"Resource not found for the segment '{NAME}'.")


def listed(tenant: Tenant, caller: Caller, request: Request, kind: str, object_id: str) -> Response:
    """What a service principal was let to do, or what was let in for a user.

    :param kind: of the object whose grants are asked for.
    :raises Refused: 403, 404.
    """
    if not caller.may(PERMISSION, "Directory.Read.All"):
        raise rights.denied()
    rights.seen(tenant, caller, kind, object_id)
    side = "principalId" if kind == "user" else "clientId"
    found = [grant for grant in tenant.all_seen(KIND, caller.replica) if grant[side] == object_id]
    return views.page(tenant, request, found, NAME)


def _create(tenant: Tenant, caller: Caller, body: dict[str, Any]) -> Response:
    _check_names(body, (*_KEYS, "scope", *_TIMES))
    client_id, resource_id = chain.text(body, "clientId"), chain.text(body, "resourceId")
    kind, principal_id = body.get("consentType"), body.get("principalId")
    if kind not in ("AllPrincipals", "Principal") or (kind == "Principal") != isinstance(principal_id, str):
        message = "Invalid combination of 'consentType' and 'principalId': Principal needs one, AllPrincipals none."
        raise Refused(400, "Request_BadRequest", message)
    if not isinstance(body.get("scope"), str):
        raise Refused(400, "Request_BadRequest", "Property 'scope' is required.")
    # the Azure CLI consents for everybody without it, and is not refused
    if kind == "Principal" and tenant.switches.start_time_required and "startTime" not in body:
        raise Refused(400, "Request_BadRequest", "Missing property: startTime")
    for name in _TIMES:
        if name in body:
            moment(body[name])
    for end in (client_id, resource_id):
        if tenant.seen("servicePrincipal", end, caller.replica) is None:
            raise _unknown(tenant, f"Resource '{end}' does not exist or one of its queried objects are not present.")
    if isinstance(principal_id, str) and tenant.seen("user", principal_id, caller.replica) is None:
        raise _unknown(tenant, "Principal was not found.")
    state = new_grant(client_id, resource_id, body["scope"], principal_id)
    if tenant.latest(KIND, state["id"]) is not None:
        raise Refused(409, "Request_MultipleObjectsWithSameKeyValue", "Permission entry already exists.")
    tenant.commit(KIND, state["id"], state)
    return views.created(tenant, state, NAME)


def _extend(tenant: Tenant, caller: Caller, grant_id: str, body: dict[str, Any]) -> Response:
    state = _newest(tenant, caller, grant_id)
    _check_names(body, ("scope", *_TIMES))
    if not isinstance(body.get("scope"), str):
        raise Refused(400, "Request_BadRequest", "Property 'scope' is required.")
    tenant.commit(KIND, grant_id, state | {"scope": body["scope"]})
    return answer(204)


def _newest(tenant: Tenant, caller: Caller, grant_id: str) -> State:
    rights.seen(tenant, caller, KIND, grant_id)
    state = tenant.latest(KIND, grant_id)
    if state is None:
        raise rights.missing(grant_id)
    return state


def _unknown(tenant: Tenant, message: str) -> Refused:
    status = tenant.switches.consent_too_early
    return Refused(status, "Request_BadRequest" if status == 400 else "Request_ResourceNotFound", message)


def _check_names(body: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in body:
        if not name.startswith("@") and name not in names:
            raise Refused(400, "Request_BadRequest", f"Invalid property '{name}'.")
