"""Microsoft Graph of the pretend world (entra-protocol A, B): objects, credentials, `$batch`, and its refusals."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from core.sandbox import directory, query
from core.sandbox.directory import Refused
from core.sandbox.login import GRAPH_APP_ID
from core.sandbox.tenant import State, Tenant
from core.sandbox.wire import Request, Response, answer

WRITE: Final = "Application.ReadWrite.All"
_ADMINS: Final = {
    "62e90394-69f5-4237-9190-012177145e10",
    "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3",
    "158c047a-c907-4556-b7ef-446551a6b5f7",
}
_KINDS: Final = {"applications": "application", "servicePrincipals": "servicePrincipal", "users": "user"}
_OBJECT: Final = re.compile(r"^/(applications|servicePrincipals|users)(?:/([^/()]+)|\(appId='([^']+)'\))(?:/(.+))?$")


@dataclass(frozen=True)
class _Caller:
    """Who calls: a person (scopes, directory roles) or an app (roles)."""

    claims: dict[str, Any]
    replica: int

    @property
    def oid(self) -> str:
        return str(self.claims["oid"])

    def may(self, *permissions: str) -> bool:
        """Whether the token carries one of these, or, for a person, access as the user."""
        held = set(self.claims.get("roles") or ()) | set(str(self.claims.get("scp") or "").split())
        return bool(held & {*permissions, "Directory.AccessAsUser.All"})


def handle(tenant: Tenant, request: Request) -> Response:
    """Answer a request to Graph."""
    request_id = tenant.new_id()
    try:
        issued = tenant.issued.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if (
            issued is None
            or issued.kind != "access"
            or issued.claims["aud"].rstrip("/") not in (tenant.graph, GRAPH_APP_ID)
        ):
            raise _unauthenticated("Access token validation failure. Invalid audience.")
        if issued.claims["exp"] <= tenant.now().timestamp():
            raise _unauthenticated("Lifetime validation failed, the token is expired.")
        caller = _Caller(issued.claims, tenant.replica())
        path = request.path.partition("/v1.0" if request.path.startswith("/v1.0") else "/beta")[2]
        if path == "/$batch":
            response = _batch(tenant, request)
        else:
            try:
                response = _route(tenant, caller, request, path)
            except query.Unsupported as error:
                raise Refused(400, error.code, str(error)) from None
    except Refused as refusal:
        response = _envelope(tenant, request, refusal, request_id)
    echo = request.headers.get("client-request-id", request_id)
    headers = {"request-id": request_id, "client-request-id": echo, "OData-Version": "4.0", **response.headers}
    return Response(response.status, headers, response.body)


def _unauthenticated(message: str) -> Refused:
    challenge = {
        "WWW-Authenticate": 'Bearer realm="", authorization_uri="", client_id="00000003-0000-0000-c000-000000000000"'
    }
    return Refused(401, "InvalidAuthenticationToken", message, challenge)


def _batch(tenant: Tenant, request: Request) -> Response:
    """JSON batching: each item by itself, `dependsOn` honoured, 20 at most."""
    items = _body(request).get("requests")
    if not isinstance(items, list) or not 0 < len(items) <= 20 or not all(isinstance(item, dict) for item in items):
        raise Refused(400, "BadRequest", "The batch must hold between 1 and 20 requests.")
    replies: dict[str, dict[str, Any]] = {}
    base = request.path.removesuffix("/$batch")
    for item in items:
        name = str(item.get("id"))
        if any(replies.get(other, {"status": 424})["status"] >= 400 for other in item.get("dependsOn") or ()):
            body = {"error": {"code": "FailedDependency", "message": "A request that this one depends on failed."}}
            replies[name] = {"id": name, "status": 424, "headers": {}, "body": body}
            continue
        headers = {**(item.get("headers") or {}), "authorization": request.headers.get("authorization", "")}
        content = json.dumps(item["body"]).encode() if "body" in item else b""
        url = base + "/" + quote(str(item.get("url", "")).lstrip("/"), safe="/?$&=(),:'%@+")
        fault = tenant.faults.item(f"{item.get('method')} {str(item.get('url')).partition('?')[0]}")
        if fault is not None:
            inner = fault.answer()
        else:
            inner = handle(
                tenant, replace(Request.to(str(item.get("method", "GET")), url, headers, content), host=request.host)
            )
        reply: dict[str, Any] = {"id": name, "status": inner.status, "headers": dict(inner.headers)}
        if inner.body:
            reply["body"] = inner.json()
        replies[name] = reply
    return answer(200, {"responses": list(reversed(replies.values()))})  # in any order, as documented


def _route(tenant: Tenant, caller: _Caller, request: Request, path: str) -> Response:
    if path == "/me" and request.method == "GET":
        if "scp" not in caller.claims:
            raise Refused(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
        return _one(tenant, caller, request, "user", caller.oid, "users")
    if path == "/organization" and request.method == "GET":
        return _organization(tenant, request)
    if path == "/directory/deletedItems/microsoft.graph.application" and request.method == "GET":
        return _list(tenant, caller, request, "deletedApplication", "directoryObjects", path)
    for collection, kind in _KINDS.items():
        if path == f"/{collection}":
            if request.method == "GET":
                return _list(tenant, caller, request, kind, collection, path)
            if request.method == "POST" and kind != "user":
                return _create(tenant, caller, request, kind)
    if matched := _OBJECT.match(path):
        collection, key, app_id, rest = matched.groups()
        kind = _KINDS[collection]
        object_id = key or _by_app_id(tenant, caller, kind, app_id)
        return _object(tenant, caller, request, kind, collection, object_id, rest or "")
    raise Refused(400, "BadRequest", f"Resource not found for the segment '{path.strip('/').split('/')[0]}'.")


def _by_app_id(tenant: Tenant, caller: _Caller, kind: str, app_id: str) -> str:
    state = tenant.find(kind, "appId", app_id, caller.replica)
    if state is None:
        raise _missing(app_id)
    return str(state["id"])


def _object(
    tenant: Tenant, caller: _Caller, request: Request, kind: str, collection: str, object_id: str, rest: str
) -> Response:
    match request.method, rest:
        case "GET", "":
            return _one(tenant, caller, request, kind, object_id, collection)
        case "GET", "owners":
            _readable(tenant, caller, kind, object_id)
            owners = (
                tenant.latest("user", oid) or tenant.latest("servicePrincipal", oid)
                for oid in _seen(tenant, caller, kind, object_id).get("_owners", ())
            )
            return _page(tenant, request, [state for state in owners if state], "directoryObjects", request.path)
        case "GET", "federatedIdentityCredentials":
            _readable(tenant, caller, kind, object_id)
            found = _seen(tenant, caller, kind, object_id).get("_federated", [])
            return _page(tenant, request, found, "federatedIdentityCredentials", request.path)
        case "GET", "appRoleAssignments" if kind == "servicePrincipal":
            _readable(tenant, caller, kind, object_id)
            found = [g for g in tenant.all_seen("appRoleAssignment", caller.replica) if g["principalId"] == object_id]
            return _page(tenant, request, found, "appRoleAssignments", request.path)
        case "PATCH", "" if kind != "user":
            return _patch(tenant, caller, request, kind, object_id)
        case "DELETE", "" if kind != "user":
            return _delete(tenant, caller, kind, object_id)
        case "POST", "addPassword" if kind != "user":
            return _add_password(tenant, caller, request, kind, object_id)
        case "POST", "removePassword" if kind != "user":
            return _remove_password(tenant, caller, request, kind, object_id)
    raise Refused(400, "BadRequest", f"Resource not found for the segment '{rest or collection}'.")


# reading


def _one(tenant: Tenant, caller: _Caller, request: Request, kind: str, object_id: str, collection: str) -> Response:
    if not (kind == "user" and object_id == caller.oid):
        _readable(tenant, caller, kind, object_id)
    state = _seen(tenant, caller, kind, object_id)
    selected = query.names(request.query.get("$select"))
    body = _shown(state, with_key="keyCredentials" in selected)
    context = {"@odata.context": f"{tenant.graph}/v1.0/$metadata#{collection}/$entity"}
    return answer(200, context | query.select(body, selected))


def _list(tenant: Tenant, caller: _Caller, request: Request, kind: str, collection: str, path: str) -> Response:
    _readable(tenant, caller, kind, "")
    test = query.parse_filter(request.query.get("$filter"))
    found = [state for state in tenant.all_seen(kind, caller.replica) if test(state)]
    return _page(tenant, request, found, collection, path)


def _page(tenant: Tenant, request: Request, found: list[State], collection: str, path: str) -> Response:
    """One page; a list never returns `key`."""
    start, top = request.query.get("$skiptoken", "0"), request.query.get("$top", str(tenant.switches.page_size))
    if not start.isdecimal() or not top.isdecimal() or int(top) < 1:
        raise Refused(400, "Request_BadRequest", "Invalid value for '$top' or '$skiptoken'.")
    first, size = int(start), min(int(top), tenant.switches.page_size)
    selected = query.names(request.query.get("$select"))
    items = [query.select(_shown(state, with_key=False), selected) for state in found[first : first + size]]
    body: dict[str, Any] = {"@odata.context": f"{tenant.graph}/v1.0/$metadata#{collection}", "value": items}
    if first + size < len(found):
        rest = {**request.query, "$skiptoken": str(first + size)}
        text = "&".join(f"{key}={quote(value)}" for key, value in rest.items())
        version = "" if path.startswith(("/v1.0", "/beta")) else "/v1.0"
        body["@odata.nextLink"] = f"{tenant.graph}{version}{path}?{text}"
    return answer(200, body)


def _shown(state: State, *, with_key: bool) -> State:
    """An object as Graph shows it: nothing private, `key` only for a single object that selects it."""
    body = {name: value for name, value in state.items() if not name.startswith("_")}
    if "keyCredentials" in body:
        body["keyCredentials"] = [entry if with_key else {**entry, "key": None} for entry in body["keyCredentials"]]
    if "passwordCredentials" in body:
        body["passwordCredentials"] = [
            {name: value for name, value in entry.items() if not name.startswith("_")}
            for entry in body["passwordCredentials"]
        ]
    return body


def _organization(tenant: Tenant, request: Request) -> Response:
    domain = {"name": tenant.domain, "isDefault": True, "isInitial": True, "type": "Managed", "capabilities": "Email"}
    body: State = {"id": tenant.id, "displayName": tenant.name, "tenantType": "AAD", "verifiedDomains": [domain]}
    return _page(tenant, request, [body], "organization", "/organization")


def _seen(tenant: Tenant, caller: _Caller, kind: str, object_id: str) -> State:
    state = tenant.seen(kind, object_id, caller.replica)
    if state is None:
        raise _missing(object_id)
    return state


# rights


def _readable(tenant: Tenant, caller: _Caller, kind: str, object_id: str) -> None:
    itself = kind == "servicePrincipal" and object_id == caller.oid
    if not itself and not caller.may(
        "Application.Read.All", WRITE, "Application.ReadWrite.OwnedBy", "Directory.Read.All", "User.Read.All"
    ):
        raise _denied()


def _writable(tenant: Tenant, caller: _Caller, state: State | None) -> None:
    """Application.ReadWrite.All for an app; for a person the scope *and* a directory role or ownership."""
    owner = state is not None and caller.oid in state.get("_owners", ())
    if "scp" in caller.claims:
        if WRITE not in str(caller.claims["scp"]).split() or not (
            owner or _ADMINS & set(caller.claims.get("wids", ()))
        ):
            raise _denied()
    elif not (caller.may(WRITE) or (owner and caller.may("Application.ReadWrite.OwnedBy"))):
        raise _denied()


def _denied() -> Refused:
    return Refused(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")


def _missing(name: str) -> Refused:
    message = f"Resource '{name}' does not exist or one of its queried reference-property objects are not present."
    return Refused(404, "Request_ResourceNotFound", message)


# writing


def _create(tenant: Tenant, caller: _Caller, request: Request, kind: str) -> Response:
    body = _body(request)
    owner = caller.oid if "scp" in caller.claims else ""
    if kind == "application":
        if "scp" not in caller.claims:
            _writable(tenant, caller, None)
        if not isinstance(body.get("displayName"), str):
            raise Refused(400, "Request_BadRequest", "Property 'displayName' is required.")
        state = directory.new_application(tenant, body["displayName"], owner)
        for name in ("signInAudience", "requiredResourceAccess", "identifierUris", "tags"):
            if name in body:
                state[name] = body[name]
        if body.get("keyCredentials"):
            state["keyCredentials"] = directory.merged(tenant, state, body["keyCredentials"])
    else:
        app = tenant.find("application", "appId", str(body.get("appId")), caller.replica)
        if app is None:
            message = (
                f"The appId '{body.get('appId')}' of the service principal does not reference a valid application."
            )
            raise Refused(400, "Request_BadRequest", message)
        _writable(tenant, caller, app)
        if tenant.find(kind, "appId", app["appId"]) is not None:
            message = f"The service principal name {app['appId']} is already in use."
            raise Refused(409, "Request_MultipleObjectsWithSameKeyValue", message)
        state = directory.new_principal(tenant, app, owner)
    tenant.commit(kind, state["id"], state)
    collection = "applications" if kind == "application" else "servicePrincipals"
    context = {"@odata.context": f"{tenant.graph}/v1.0/$metadata#{collection}/$entity"}
    return answer(201, context | _shown(state, with_key=False))


def _patch(tenant: Tenant, caller: _Caller, request: Request, kind: str, object_id: str) -> Response:
    state = _written(tenant, caller, kind, object_id)
    body = _body(request)
    if body.get("passwordCredentials"):
        raise Refused(400, "Request_BadRequest", "Property 'passwordCredentials' is read-only; use addPassword.")
    for name, value in body.items():
        if name.startswith(("@", "_")) or name in ("id", "appId"):
            continue
        if name not in state:
            raise Refused(400, "Request_BadRequest", f"Invalid property '{name}'.")
        state[name] = directory.merged(tenant, state, value) if name == "keyCredentials" else value
    tenant.commit(kind, object_id, state)
    return answer(204)


def _delete(tenant: Tenant, caller: _Caller, kind: str, object_id: str) -> Response:
    state = _written(tenant, caller, kind, object_id)
    tenant.commit(kind, object_id, None)
    if kind == "application":
        deleted = {name: state[name] for name in ("id", "appId", "displayName", "createdDateTime")}
        tenant.commit("deletedApplication", object_id, deleted | {"deletedDateTime": tenant.stamp()})
        principal = tenant.find("servicePrincipal", "appId", state["appId"])
        if principal is not None:
            tenant.commit("servicePrincipal", principal["id"], None)
    return answer(204)


def _add_password(tenant: Tenant, caller: _Caller, request: Request, kind: str, object_id: str) -> Response:
    state = _written(tenant, caller, kind, object_id)
    wanted = _body(request).get("passwordCredential") or {}
    entry, secret = directory.new_password(
        tenant, str(wanted.get("displayName") or ""), wanted.get("startDateTime"), wanted.get("endDateTime")
    )
    state["passwordCredentials"].append(entry)
    tenant.commit(kind, object_id, state)
    shown = {name: value for name, value in entry.items() if not name.startswith("_")}
    return answer(200, shown | {"secretText": secret.reveal()})


def _remove_password(tenant: Tenant, caller: _Caller, request: Request, kind: str, object_id: str) -> Response:
    state = _written(tenant, caller, kind, object_id)
    key_id = str(_body(request).get("keyId"))
    rest = [entry for entry in state["passwordCredentials"] if entry["keyId"] != key_id]
    if len(rest) == len(state["passwordCredentials"]):
        raise Refused(400, "Request_BadRequest", f"No password credential found with keyId '{key_id}'.")
    state["passwordCredentials"] = rest
    tenant.commit(kind, object_id, state)
    return answer(204)


def _written(tenant: Tenant, caller: _Caller, kind: str, object_id: str) -> State:
    """The newest version of an object that the caller may change."""
    _seen(tenant, caller, kind, object_id)
    state = tenant.latest(kind, object_id)
    if state is None:
        raise _missing(object_id)
    _writable(tenant, caller, state)
    return state


def _body(request: Request) -> dict[str, Any]:
    try:
        return request.json()
    except ValueError:
        raise Refused(400, "BadRequest", "Unable to read JSON request payload.") from None


def _envelope(tenant: Tenant, request: Request, refusal: Refused, request_id: str) -> Response:
    inner = {
        "date": tenant.now().strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": request_id,
        "client-request-id": request.headers.get("client-request-id", request_id),
    }
    body = {"error": {"code": refusal.code, "message": refusal.message, "innerError": inner}}
    return answer(refusal.status, body, refusal.headers)
