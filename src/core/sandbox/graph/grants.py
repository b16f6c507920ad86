"""App roles: what an app declares that it needs, and what was granted to it (entra-protocol A.2 rows 11-13, A.4)."""

from __future__ import annotations

from typing import Any, Final, Literal
from uuid import UUID

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import GRAPH_APP_ID, State, Tenant
from core.sandbox.graph import rights, roles, views
from core.sandbox.graph.permissions import IDENTITY, PRINCIPAL
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response, answer

KIND: Final = "appRoleAssignment"
PERMISSION: Final = "AppRoleAssignment.ReadWrite.All"
#: An Application Administrator may grant roles of every API but Microsoft Graph.
_CONSENT_TO_GRAPH: Final = frozenset({roles.GLOBAL_ADMINISTRATOR, roles.PRIVILEGED_ROLE_ADMINISTRATOR})
_APIS, _ACCESSES = 50, 400
#: What no agent is given (A.7), by name and by how names begin.
_NOT_FOR_AGENTS: Final = frozenset(
    {"Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All", "DelegatedPermissionGrant.ReadWrite.All"}
    | {"User.ReadWrite.All", "AgentIdentityBlueprint.Create", "AgentIdentityBlueprintPrincipal.Create"}
)
_NEVER: Final = ("Directory.", "AgentIdentity.Create")
#: What is assigned of an API that declares no roles (GD "appRoleAssignment resource type").
_DEFAULT_ROLE: Final[State] = {
    "id": "00000000-0000-0000-0000-000000000000",
    "value": None,
    "isEnabled": True,
    "allowedMemberTypes": ["Application", "User"],
}
Side = Literal["principalId", "resourceId"]


def new_grant(tenant: Tenant, principal: State, resource: State, role_id: str) -> State:
    """A grant of an app role; not committed yet."""
    return {
        "id": tenant.new_id(),
        "appRoleId": role_id,
        "createdDateTime": tenant.stamp(),
        "deletedDateTime": None,
        "principalId": principal["id"],
        "principalType": "ServicePrincipal",
        "principalDisplayName": principal["displayName"],
        "resourceId": resource["id"],
        "resourceDisplayName": resource["displayName"],
    }


def granted(tenant: Tenant, principal_id: str, resource_app_id: str, replica: int) -> list[str]:
    """The values of the roles that a token holds: those of one API which this replica has seen granted.

    A role that the API no longer offers, or that has no value, is in no token.
    """
    resource = tenant.find("servicePrincipal", "appId", resource_app_id, replica)
    if resource is None:
        return []
    values = {role["id"]: role["value"] for role in resource["appRoles"] if role["value"]}
    ends = (principal_id, resource["id"])
    found = [grant for grant in tenant.all_seen(KIND, replica) if (grant["principalId"], grant["resourceId"]) == ends]
    return sorted(values[grant["appRoleId"]] for grant in found if grant["appRoleId"] in values)


def listed(tenant: Tenant, caller: Caller, request: Request, side: Side, object_id: str) -> Response:
    """What was granted to a service principal, or by it.

    :param side: which end of the grant the service principal is.
    """
    rights.seen(tenant, caller, "servicePrincipal", object_id)
    found = [grant for grant in tenant.all_seen(KIND, caller.replica) if grant[side] == object_id]
    return views.page(tenant, request, found, _context(side, object_id))


def grant(tenant: Tenant, caller: Caller, side: Side, object_id: str, body: dict[str, Any]) -> Response:
    """Grant an app role.

    :param side: which end of the grant is the path's service principal.
    :raises Refused: 403; 404 and 400 for what is not there, or not yet.
    """
    if PERMISSION not in caller.permissions:
        raise rights.denied()
    rights.seen(tenant, caller, "servicePrincipal", object_id)
    for name in ("principalId", "resourceId", "appRoleId"):
        if not _is_guid(body.get(name)):
            raise Refused(400, "Request_BadRequest", f"Invalid value for '{name}': a GUID was expected.")
    if body[side] != object_id:
        raise Refused(400, "Request_BadRequest", f"The value of '{side}' is not the service principal of the path.")
    principal, resource = (_end(tenant, caller, body[name]) for name in ("principalId", "resourceId"))
    _check_consent(caller, resource)
    offered = resource["appRoles"] or [_DEFAULT_ROLE]
    role = next((role for role in offered if role["id"] == body["appRoleId"]), None)
    if role is None or not role["isEnabled"] or "Application" not in role["allowedMemberTypes"]:
        message = f"Permission being assigned was not found on application '{resource['appId']}'."
        raise Refused(400, "Request_BadRequest", message)
    _check_agent(tenant, principal, role["value"] or "")
    state = new_grant(tenant, principal, resource, role["id"])
    if any(_same(other, state) for other in tenant.all_latest(KIND)):
        status = tenant.switches.duplicate_grant
        code = "Request_BadRequest" if status == 400 else "Request_MultipleObjectsWithSameKeyValue"
        raise Refused(status, code, "Permission being assigned already exists on the object")
    tenant.commit(KIND, state["id"], state)
    return views.created(tenant, state, _context(side, object_id))


def revoke(tenant: Tenant, caller: Caller, side: Side, object_id: str, grant_id: str) -> Response:
    """Take a grant back.

    :raises Refused: 403, 404.
    """
    if PERMISSION not in caller.permissions:
        raise rights.denied()
    state = rights.seen(tenant, caller, KIND, grant_id)
    if state[side] != object_id or tenant.latest(KIND, grant_id) is None:
        raise rights.missing(grant_id)
    resource = tenant.latest("servicePrincipal", state["resourceId"])
    if resource is not None:
        _check_consent(caller, resource)
    tenant.commit(KIND, grant_id, None)
    return answer(204)


def check_declared(tenant: Tenant, declared: Any) -> None:
    """Whether a `requiredResourceAccess` is one that the directory takes.

    :raises Refused: 400: shape, size, or a role that Microsoft Graph does not offer.
    """
    if not isinstance(declared, list) or not all(_is_declaration(item) for item in declared):
        raise Refused(400, "Request_BadRequest", "Invalid value for 'requiredResourceAccess'.")
    if len(declared) > _APIS or sum(len(item["resourceAccess"]) for item in declared) > _ACCESSES:
        raise Refused(400, "Directory_QuotaExceeded", "The size of 'requiredResourceAccess' exceeds the limit.")
    graph = tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
    known = {role["id"] for role in graph["appRoles"]} if graph is not None else set()
    for item in declared:
        for access in item["resourceAccess"]:
            if item["resourceAppId"] == GRAPH_APP_ID and access["type"] == "Role" and access["id"] not in known:
                message = f"Role '{access['id']}' is not one of the application '{GRAPH_APP_ID}'."
                raise Refused(400, "Request_BadRequest", message)


def _context(side: Side, object_id: str) -> str:
    """How `@odata.context` names the list of a service principal."""
    return "appRoleAssignments" if side == "principalId" else f"servicePrincipals('{object_id}')/appRoleAssignedTo"


def _end(tenant: Tenant, caller: Caller, object_id: str) -> State:
    """One end of a grant, which this replica must have seen."""
    state = tenant.seen("servicePrincipal", object_id, caller.replica)
    if state is None:
        raise Refused(400, "Request_BadRequest", f"Object with id '{object_id}' not found.")
    return state


def consenters(resource: State) -> frozenset[str]:
    """The directory roles of which one may consent to an API for everybody."""
    return _CONSENT_TO_GRAPH if resource["appId"] == GRAPH_APP_ID else _CONSENT_TO_GRAPH | roles.APP_ADMINISTRATORS


def _check_consent(caller: Caller, resource: State) -> None:
    if not caller.holds(PERMISSION, consenters(resource)):
        raise rights.denied()


def _check_agent(tenant: Tenant, principal: State, value: str) -> None:
    kind = principal.get("@odata.type")
    powerful = value in _NOT_FOR_AGENTS or value.startswith(_NEVER)
    if (kind == IDENTITY and powerful) or (kind == PRINCIPAL and not tenant.switches.blueprint_roles):
        raise Refused(400, "Request_BadRequest", f"Permission '{value}' cannot be granted to this kind of principal.")


def _same(one: State, other: State) -> bool:
    return all(one[name] == other[name] for name in ("principalId", "resourceId", "appRoleId"))


def _is_declaration(item: Any) -> bool:
    if not isinstance(item, dict) or _members(item) != {"resourceAppId", "resourceAccess"}:
        return False
    accesses = item["resourceAccess"]
    return (
        _is_guid(item["resourceAppId"])
        and isinstance(accesses, list)
        and all(
            isinstance(access, dict)
            and _members(access) == {"id", "type"}
            and _is_guid(access["id"])
            and access["type"] in ("Role", "Scope")
            for access in accesses
        )
    )


def _members(item: State) -> set[str]:
    return {name for name in item if not name.startswith("@")}


def _is_guid(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False
