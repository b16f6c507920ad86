"""What the agents of a Blueprint inherit of its delegated permissions (GD "inheritablePermission")."""

from __future__ import annotations

from typing import Any, Final

from core.sandbox.directory.registrations import Refused, taken
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import chain, rights, views
from core.sandbox.graph.permissions import BLUEPRINT
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response, answer

NAME: Final = "inheritablePermissions"
_TYPE: Final = "microsoft.graph."
#: The three patterns; `kind` as answers name it.
_PATTERNS: Final = {"allAllowedScopes": "allAllowed", "enumeratedScopes": "enumerated", "noScopes": "none"}


def handle(tenant: Tenant, caller: Caller, request: Request, object_id: str, resource_id: str, body: State) -> Response:
    """Answer a request below a Blueprint's `inheritablePermissions`.

    :param resource_id: app id of the resource of one of them; empty: all.
    :raises Refused: 403, 404, 400.
    """
    state = rights.seen(tenant, caller, "application", object_id)
    if state.get("@odata.type") != BLUEPRINT:
        raise Refused(400, "BadRequest", f"Resource not found for the segment '{NAME}'.")
    collection = f"applications('{object_id}')/{NAME}"
    if request.method == "GET":
        rights.check_agent(caller, BLUEPRINT, "read")
        held = state.get("_inheritable", [])
        if not resource_id:
            return views.page(tenant, request, held, collection)
        return views.one(tenant, request, _of(held, resource_id), collection)
    state = rights.written(tenant, caller, "application", object_id, "change")
    held = state.get("_inheritable", [])
    match request.method, bool(resource_id):
        case "POST", False:
            new = {"resourceAppId": chain.text(body, "resourceAppId"), "inheritableScopes": _scopes(body)}
            if any(one["resourceAppId"] == new["resourceAppId"] for one in held):
                message = "Another object with the same value for property resourceAppId already exists."
                raise Refused(400, "Request_BadRequest", message, details=[taken("resourceAppId")])
            tenant.commit("application", object_id, state | {"_inheritable": [*held, new]})
            return views.created(tenant, {"@odata.type": f"#{_TYPE}inheritablePermission", **new}, collection)
        case "PATCH", True:
            old = _of(held, resource_id)
            held = [one | {"inheritableScopes": _scopes(body)} if one is old else one for one in held]
        case "DELETE", True:
            gone = _of(held, resource_id)
            held = [one for one in held if one is not gone]
        case _:
            raise Refused(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
    tenant.commit("application", object_id, state | {"_inheritable": held})
    return answer(204)


def _scopes(body: dict[str, Any]) -> State:
    """The pattern that a body gives.

    :raises Refused: 400: none of the three, or a list that is empty or missing.
    """
    given = body.get("inheritableScopes")
    name = str(given.get("@odata.type", "")).removeprefix("#").removeprefix(_TYPE) if isinstance(given, dict) else ""
    if not isinstance(given, dict) or name not in _PATTERNS:
        raise Refused(400, "Request_BadRequest", "Invalid value for 'inheritableScopes': one of its types is needed.")
    made: State = {"@odata.type": f"{_TYPE}{name}", "kind": _PATTERNS[name]}
    if name != "enumeratedScopes":
        return made
    scopes = given.get("scopes")
    if not isinstance(scopes, list) or not scopes or not all(isinstance(scope, str) for scope in scopes):
        raise Refused(400, "Request_BadRequest", "Property 'scopes' must be present and not empty.")
    return made | {"scopes": scopes}


def _of(held: list[State], resource_id: str) -> State:
    found = next((one for one in held if one["resourceAppId"] == resource_id), None)
    if found is None:
        raise rights.missing(resource_id)
    return found
