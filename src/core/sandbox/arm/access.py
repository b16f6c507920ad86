"""Who may do what with resources: role definitions and role assignments of Azure (entra-protocol B.5, A7)."""

from __future__ import annotations

import re
from typing import Any, Final
from uuid import UUID

from core.sandbox.arm.answers import Refused
from core.sandbox.directory.store import State, Tenant
from core.sandbox.http import Request, Response, answer

KIND: Final = "roleAssignment"
PROVIDER: Final = "/providers/Microsoft.Authorization/"
#: Built-in roles: the id of each, and what it lets somebody do besides reading.
OWNER, CONTRIBUTOR, READER = "Owner", "Contributor", "Reader"
DATA: Final = ("Storage Blob Data Owner", "Storage Blob Data Contributor", "Storage Blob Data Reader")
ROLES: Final = {
    OWNER: "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    CONTRIBUTOR: "b24988ac-6180-42a0-ab88-20f7382dd24c",
    READER: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    "User Access Administrator": "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
    DATA[0]: "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    DATA[1]: "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    DATA[2]: "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
}
_NAMED: Final = re.compile(r"roleName eq '((?:[^']|'')*)'", re.IGNORECASE)
_OF: Final = re.compile(r"(?:principalId eq|assignedTo\()\s*'([0-9a-fA-F-]{36})'\)?")


def held(tenant: Tenant, principal_id: str, scope: str) -> set[str]:
    """Names of the roles that somebody has at a scope, also those from above it."""
    names = {role_id: name for name, role_id in ROLES.items()}
    where = f"{scope.lower()}/"
    return {
        names[one["_role"]]
        for one in tenant.newest(KIND)
        if one["_principal"] == principal_id and where.startswith(f"{one['_scope'].lower()}/")
    }


def check(tenant: Tenant, claims: dict[str, Any], scope: str, action: str) -> None:
    """Whether a caller may do something at a scope: read it, write it, or say who may.

    :param action: as Azure names it, as in `Microsoft.Storage/storageAccounts/write`.
    :raises Refused: 403.
    """
    wanted = {OWNER, CONTRIBUTOR}
    if action.endswith("/read"):
        wanted |= {READER, "User Access Administrator"}
    elif action.startswith("Microsoft.Authorization/"):
        wanted = {OWNER, "User Access Administrator"}
    if held(tenant, str(claims["oid"]), scope) & wanted:
        return
    name = str(claims.get("upn") or claims.get("appid"))
    message = (
        f"The client '{name}' with object id '{claims['oid']}' does not have authorization to perform action "
        f"'{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh "
        "your credentials."
    )
    raise Refused(403, "AuthorizationFailed", message)


def handle(tenant: Tenant, claims: dict[str, Any], request: Request, scope: str, rest: str) -> Response:
    """Answer a request below `Microsoft.Authorization`.

    :param scope: whose roles these are.
    :param rest: the path behind the provider.
    :raises Refused: 403, 404, 409, 400.
    """
    kind, _, name = rest.partition("/")
    verb = {"GET": "read", "DELETE": "delete"}.get(request.method, "write")
    check(tenant, claims, scope, f"Microsoft.Authorization/{kind}/{verb}")
    text = request.query.get("$filter", "")
    match request.method, kind.lower(), bool(name):
        case "GET", "roledefinitions", _:
            matched = _NAMED.search(text)
            found = [
                _definition(tenant, role, role_id)
                for role, role_id in ROLES.items()
                if (not matched or role.lower() == matched[1].lower()) and name in ("", role_id)
            ]
            return answer(200, {"value": found}) if not name else answer(200, _one(found, name))
        case "GET", "roleassignments", False:
            who = _OF.search(text)
            rows = [one for one in tenant.newest(KIND) if who is None or one["_principal"] == who[1].lower()]
            return answer(200, {"value": [_shown(one) for one in rows if _concerns(one, scope, text)]})
        case "PUT", "roleassignments", True:
            return _assign(tenant, claims, scope, name, request.json())
        case "GET" | "DELETE", "roleassignments", True:
            one = tenant.latest(KIND, name.lower())
            if one is None and request.method == "DELETE":
                return answer(204)
            if one is None:
                raise Refused(404, "RoleAssignmentNotFound", f"The role assignment '{name}' is not found.")
            if request.method == "DELETE":
                tenant.commit(KIND, name.lower(), None)
            return answer(200, _shown(one))
    raise Refused(405, "MethodNotAllowed", "The method is not allowed here.")


def give(tenant: Tenant, principal_id: str, role: str, scope: str, name: str, kind: str = "User") -> State:
    """A role assignment, committed.

    :param role: one of `ROLES`.
    :param name: a GUID.
    """
    one = {"id": name, "_principal": principal_id, "_role": ROLES[role], "_scope": scope, "_kind": kind}
    tenant.commit(KIND, name, one | {"_created": tenant.stamp()})
    return one


def _assign(tenant: Tenant, claims: dict[str, Any], scope: str, name: str, body: dict[str, Any]) -> Response:
    given = body.get("properties")
    given = given if isinstance(given, dict) else {}
    principal_id = str(given.get("principalId", "")).lower()
    role_id = str(given.get("roleDefinitionId", "")).rpartition("/")[2].lower()
    role = next((each for each, known in ROLES.items() if known == role_id), "")
    if not _is_guid(name):
        raise Refused(400, "InvalidRoleAssignmentId", f"The role assignment id '{name}' is not valid.")
    if not role:
        raise Refused(404, "RoleDefinitionDoesNotExist", f"The specified role definition '{role_id}' does not exist.")
    kind = "User" if tenant.latest("user", principal_id) else "ServicePrincipal"
    if kind != "User" and tenant.latest("servicePrincipal", principal_id) is None:
        message = (
            f"Principal {principal_id.replace('-', '')} does not exist in the directory {tenant.id}. Check that you "
            "have the correct principal ID. If you are creating this principal and then immediately assigning a role, "
            "this error might be related to a replication delay."
        )
        raise Refused(400, "PrincipalNotFound", message)
    if given.get("principalType", kind) != kind:
        raise Refused(400, "UnmatchedPrincipalType", f"The PrincipalId '{principal_id}' has type '{kind}'.")
    for other in tenant.newest(KIND):
        same = (other["_principal"], other["_role"]) == (principal_id, role_id)
        if same and other["_scope"].lower() == scope.lower():
            message = "The role assignment already exists. The ID of the conflicting role assignment is "
            raise Refused(409, "RoleAssignmentExists", f"{message}{other['id'].replace('-', '')}.")
    give(tenant, principal_id, role, scope, name.lower(), kind)
    made = tenant.latest(KIND, name.lower()) or {}
    return answer(201, _shown(made | {"_by": claims["oid"]}))


def _concerns(one: State, scope: str, text: str) -> bool:
    """Whether an assignment is at a scope or above it; without `atScope()` also below."""
    mine, asked = f"{one['_scope'].lower()}/", f"{scope.lower()}/"
    return asked.startswith(mine) or ("atscope()" not in text.lower() and mine.startswith(asked))


def _definition(tenant: Tenant, role: str, role_id: str) -> State:
    return {
        "id": f"{PROVIDER}roleDefinitions/{role_id}",
        "name": role_id,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": role,
            "type": "BuiltInRole",
            "description": role,
            "assignableScopes": ["/"],
            "permissions": [],
        },
    }


def _one(found: list[State], name: str) -> State:
    if not found:
        raise Refused(404, "RoleDefinitionDoesNotExist", f"The specified role definition '{name}' does not exist.")
    return found[0]


def _shown(one: State) -> State:
    return {
        "id": f"{one['_scope']}{PROVIDER}roleAssignments/{one['id']}",
        "name": one["id"],
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": f"{PROVIDER}roleDefinitions/{one['_role']}",
            "principalId": one["_principal"],
            "principalType": one["_kind"],
            "scope": one["_scope"],
            "createdOn": one["_created"],
            "createdBy": one.get("_by"),
        },
    }


def _is_guid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
