"""One object of the pretend Graph: read, changed, deleted, and what hangs on it (entra-protocol A.2)."""

from __future__ import annotations

from typing import Final

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import Tenant
from core.sandbox.graph import (
    consents,
    deleted,
    federated,
    grants,
    inheritable,
    licences,
    objects,
    owners,
    payload,
    permissions,
    policies,
    proof,
    related,
    rights,
    users,
    views,
)
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response

_READABLE: Final = {
    "application": ("", "owners", "sponsors"),
    "servicePrincipal": ("", "owners", "sponsors"),
    "user": ("",),
    "group": ("",),
}
_GRANTS: Final[dict[str, grants.Side]] = {"appRoleAssignments": "principalId", "appRoleAssignedTo": "resourceId"}
_CREDENTIALS: Final = {
    "addKey": proof.add_key,
    "removeKey": proof.remove_key,
    "addPassword": objects.add_password,
    "removePassword": objects.remove_password,
}


def handle(
    tenant: Tenant, caller: Caller, request: Request, kind: str, object_id: str, rest: str, agent: str
) -> Response:
    """Answer a request to an object, or to what hangs on it.

    :param rest: the path behind the object.
    :param agent: type of the agent chain that the path names.
    :raises Refused: 403, 404, 400 and others.
    """
    hanging = _hanging(tenant, caller, request, kind, object_id, rest)
    if hanging is not None:
        return hanging
    first, _, more = rest.partition("/")
    if request.method == "GET":
        return _read(tenant, caller, request, kind, object_id, rest, agent)
    if kind == "group":
        raise unserved(request)
    match request.method, rest:
        case "DELETE", "":
            return deleted.delete(tenant, caller, kind, object_id)
        case "POST" | "DELETE", _ if kind != "user" and first in owners.LISTS and more.endswith("$ref"):
            one = more.removesuffix("$ref").removesuffix("/")
            return _references(tenant, caller, request, kind, object_id, first, one)
        case "PATCH", "":
            if kind == "user":
                return users.change(tenant, caller, object_id, payload.body(request))
            return objects.change(tenant, caller, kind, object_id, payload.body(request))
        case "POST", "assignLicense" if kind == "user":
            return licences.assign(tenant, caller, object_id, payload.body(request))
        case "POST", name if kind != "user" and name in _CREDENTIALS:
            state = rights.seen(tenant, caller, kind, object_id)
            blueprint = state.get("@odata.type") == permissions.BLUEPRINT
            if blueprint and not agent and not tenant.switches.untyped_credentials:
                raise rights.missing(object_id)
            return _CREDENTIALS[name](tenant, caller, kind, object_id, payload.body(request))
    raise unserved(request)


def _hanging(tenant: Tenant, caller: Caller, request: Request, kind: str, object_id: str, rest: str) -> Response | None:
    """The answer to a request to what hangs on an object and has paths of its own; None: it is none of these."""
    if kind == "servicePrincipal" and rest.partition("/")[0] in _GRANTS:
        return _grants(tenant, caller, request, object_id, *rest.split("/"))
    first, _, more = rest.partition("/")
    if kind != "user" and first == "appManagementPolicies":
        return policies.handle_assigned(tenant, caller, request, kind, object_id, more, payload.body(request))
    if kind == "application" and first.partition("(")[0] == federated.NAME:
        return federated.handle(tenant, caller, request, object_id, rest, payload.body(request))
    if kind == "application" and first == inheritable.NAME:
        return inheritable.handle(tenant, caller, request, object_id, more, payload.body(request))
    if (request.method, kind, rest) == ("GET", "user", "licenseDetails"):
        return licences.details(tenant, caller, request, object_id)
    if request.method == "GET" and rest == consents.NAME and kind in ("servicePrincipal", "user"):
        return consents.listed(tenant, caller, request, kind, object_id)
    return None


def _references(
    tenant: Tenant, caller: Caller, request: Request, kind: str, object_id: str, name: str, one: str
) -> Response:
    if request.method == "POST" and not one:
        return owners.add(tenant, caller, kind, object_id, name, payload.body(request))
    if request.method == "DELETE" and one:
        return owners.remove(tenant, caller, kind, object_id, name, one)
    raise unserved(request)


def _read(
    tenant: Tenant, caller: Caller, request: Request, kind: str, object_id: str, rest: str, agent: str
) -> Response:
    if rest not in _READABLE[kind]:
        raise unserved(request)
    rights.check_read(caller, kind, object_id, agent)
    state = rights.seen(tenant, caller, kind, object_id)
    match rest:
        case "owners" | "sponsors":
            if f"_{rest}" not in state:
                raise unknown(rest)
            return views.page(tenant, request, owners.typed(tenant, state[f"_{rest}"]), "directoryObjects")
    derived = agent.removeprefix("#microsoft.graph.")
    return views.one(tenant, request, state, objects.COLLECTIONS[kind], related.to(tenant, caller, kind), derived)


def _grants(
    tenant: Tenant, caller: Caller, request: Request, object_id: str, list_name: str, grant_id: str = "", *more: str
) -> Response:
    side = _GRANTS[list_name]
    match request.method, bool(grant_id):
        case "GET", False:
            rights.check_read(caller, "servicePrincipal", object_id)
            return grants.listed(tenant, caller, request, side, object_id)
        case "POST", False:
            return grants.grant(tenant, caller, side, object_id, payload.body(request))
        case "DELETE", True if not more:
            return grants.revoke(tenant, caller, side, object_id, grant_id)
    raise unserved(request)


def unserved(request: Request) -> Refused:
    """The refusal of what Microsoft Graph may have, but not the sandbox."""
    return Refused(400, "BadRequest", f"The sandbox does not have '{request.method} {request.path}'.")


def unknown(segment: str) -> Refused:
    return Refused(400, "BadRequest", f"Resource not found for the segment '{segment}'.")
