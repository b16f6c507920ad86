"""Directory audit records: one for every change, correlated by its request's id (GD "directoryAudit", section 00)."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import rights, roles, views
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response

PATH: Final = "/auditLogs/directoryAudits"
PERMISSION: Final = "AuditLog.Read.All"
_READERS: Final = frozenset(
    {roles.REPORTS_READER, roles.SECURITY_READER, roles.GLOBAL_READER, roles.GLOBAL_ADMINISTRATOR}
)
_NAMES: Final = {"applications": "application", "servicePrincipals": "service principal", "users": "user"}
_KINDS: Final = {"application": "application", "service principal": "servicePrincipal", "user": "user"}
_TYPES: Final = {"application": "Application", "service principal": "ServicePrincipal", "user": "User"}
_VERBS: Final = {"POST": "Add", "PATCH": "Update", "PUT": "Update", "DELETE": "Delete"}
_PATH: Final = re.compile(r"/(\w+)(?:/([^/()]+)|\((\w+)='((?:[^']|'')+)'\))?(?:/(.*))?")
_CREDENTIALS: Final = ("addPassword", "removePassword", "addKey", "removeKey")


def target(tenant: Tenant, path: str) -> State | None:
    """The object that a path names, as it is now; not a copy."""
    matched = _PATH.fullmatch(path)
    if matched is None or matched[1] not in _NAMES:
        return None
    kind = _KINDS[_NAMES[matched[1]]]
    if matched[2]:
        return tenant.peek(kind, matched[2])
    return next((one for one in tenant.newest(kind) if one.get(matched[3]) == matched[4]), None) if matched[3] else None


def described(state: State | None) -> list[str]:
    """The credentials of an object, as records describe them."""
    held = state or {}
    found = [(entry, "AsymmetricX509Cert") for entry in held.get("keyCredentials", ())]
    found += [(entry, "Password") for entry in held.get("passwordCredentials", ())]
    return [
        f"[KeyIdentifier={entry['keyId']},KeyType={kind},KeyUsage=Verify,DisplayName={entry.get('displayName') or ''}]"
        for entry, kind in found
    ]


def note(
    tenant: Tenant,
    caller: Caller,
    request: Request,
    path: str,
    before: tuple[State | None, list[str]],
    response: Response,
    request_id: str,
) -> None:
    """Note a change that was carried out.

    :param before: the path's object and its credentials before it.
    """
    made: Any = response.content if isinstance(response.content, dict) else {}
    old, keys = before
    state = target(tenant, path) or old or made
    new = described(tenant.peek(str(_kind(path)), str(state.get("id", ""))))
    activity, kind = _activity(request.method, path, old is None, changed=keys != new and old is not None)
    changes = []
    if keys != new and old is not None and request.method != "DELETE":
        values = {"oldValue": json.dumps(keys), "newValue": json.dumps(new)}
        changes.append({"displayName": "KeyDescription", **values})
    record = {
        "id": f"Directory_{request_id}_{len(tenant.audits)}",
        "category": "UserManagement" if kind == "user" else "ApplicationManagement",
        "correlationId": request_id,
        "result": "success",
        "resultReason": "",
        "activityDisplayName": activity,
        "activityDateTime": tenant.stamp(),
        "loggedByService": "Core Directory",
        "operationType": {"POST": "Add", "DELETE": "Delete"}.get(request.method, "Update"),
        "initiatedBy": _initiator(tenant, caller),
        "targetResources": [
            {
                "id": state.get("id"),
                "displayName": state.get("displayName"),
                "type": _TYPES.get(kind, "Other"),
                "userPrincipalName": state.get("userPrincipalName"),
                "groupType": None,
                "modifiedProperties": changes,
            }
        ],
        "additionalDetails": [],
    }
    tenant.audits.append(record)


def listed(tenant: Tenant, caller: Caller, request: Request) -> Response:
    """The records, newest first.

    :raises Refused: 403.
    """
    if not caller.holds(PERMISSION, _READERS):
        raise rights.denied()
    return views.page(tenant, request, list(reversed(tenant.audits)), PATH.removeprefix("/"))


def _kind(path: str) -> str:
    matched = _PATH.fullmatch(path)
    return _KINDS.get(_NAMES.get(matched[1] if matched else "", ""), "")


def _activity(method: str, path: str, is_new: bool, *, changed: bool) -> tuple[str, str]:
    """What a change is called, and the kind of what it is about."""
    matched = _PATH.fullmatch(path)
    collection, rest = (matched[1], matched[5] or "") if matched else ("", "")
    kind = _NAMES.get(collection, "")
    first = rest.partition("/")[0].partition("(")[0]
    article = "to" if method == "POST" else "from"
    verb = "Add" if method == "POST" else "Remove"
    if collection == "oauth2PermissionGrants":
        return f"{_VERBS[method].replace('Delete', 'Remove')} delegated permission grant", "service principal"
    if first in ("appRoleAssignments", "appRoleAssignedTo"):
        return f"{verb} app role assignment {article} service principal", "service principal"
    if first in ("owners", "sponsors"):
        return f"{verb} {first.removesuffix('s')} {article} {kind}", kind
    if first == "assignLicense":
        return "Change user license", "user"
    if collection == "directory":
        return ("Restore" if path.endswith("/restore") else "Hard Delete") + " application", "application"
    if kind in ("application", "service principal") and (first in _CREDENTIALS or (changed and method == "PATCH")):
        return f"Update {kind} \u2013 Certificates and secrets management", kind
    if kind and not first:
        name = "Add" if is_new else _VERBS[method]
        return f"{name.replace('Delete', 'Remove') if kind == 'service principal' else name} {kind}", kind
    return f"{'Update' if kind else _VERBS[method]} {kind or 'policy'}", kind


def _initiator(tenant: Tenant, caller: Caller) -> State:
    if caller.person:
        person = tenant.peek("user", caller.oid) or {}
        who = {"id": caller.oid, "displayName": None, "userPrincipalName": person.get("userPrincipalName")}
        return {"app": None, "user": who | {"ipAddress": "127.0.0.1"}}
    name = caller.claims.get("app_displayname")
    app = {"appId": None, "displayName": name, "servicePrincipalId": caller.oid, "servicePrincipalName": None}
    return {"user": None, "app": app}
