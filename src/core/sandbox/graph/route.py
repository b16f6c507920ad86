"""Microsoft Graph of the pretend world (entra-protocol A, B): who asks for what, `$batch`, and the error envelope."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from core.sandbox.faults.replies import refusal as refused_by_script
from core.sandbox.graph import deleted, grants, objects, policies, query, reports, rights, views
from core.sandbox.graph.directory import Refused
from core.sandbox.graph.rights import Caller
from core.sandbox.tenant import GRAPH_APP_ID, State, Tenant
from core.sandbox.wire import Request, Response, answer

_KINDS: Final = {collection: kind for kind, collection in objects.COLLECTIONS.items()}
_OBJECT: Final = re.compile(
    r"^/(applications|servicePrincipals|users)(?:/([^/()]+)|\((appId|uniqueName)='((?:[^']|'')+)'\))(?:/(.+))?$"
)
_AGENT: Final = re.compile(r"microsoft\.graph\.agent(?:Identity\w*|User)")
_READABLE: Final = {
    "application": ("", "owners", "federatedIdentityCredentials"),
    "servicePrincipal": ("", "owners"),
    "user": ("",),
}
_DELETED: Final = "/directory/deletedItems/"
_GRANTS: Final[dict[str, grants.Side]] = {"appRoleAssignments": "principalId", "appRoleAssignedTo": "resourceId"}


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
        caller = Caller(issued.claims, tenant.replica())
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
        asked = replace(Request.to(str(item.get("method", "GET")), url, headers, content), host=request.host)
        line = f"{item.get('method')} {str(item.get('url')).partition('?')[0]}"
        fault = tenant.faults.item(line, host=request.host.partition(":")[0], elapsed=tenant.elapsed)
        if fault is None or fault.acts:
            inner = handle(tenant, asked)
        if fault is not None:
            inner = refused_by_script(fault, asked, tenant)
        reply: dict[str, Any] = {"id": name, "status": inner.status, "headers": dict(inner.headers)}
        if inner.body:
            reply["body"] = inner.body.decode() if fault and fault.body == "html" else inner.json()
        replies[name] = reply
    return answer(200, {"responses": list(reversed(replies.values()))})  # in any order, as documented


def _route(tenant: Tenant, caller: Caller, request: Request, path: str) -> Response:
    _refuse_agents(caller, request, path)
    if path == "/me" and request.method == "GET":
        if not caller.person:
            raise Refused(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
        return views.one(tenant, request, rights.seen(tenant, caller, "user", caller.oid), "users")
    if path == "/organization" and request.method == "GET":
        return views.page(tenant, request, [_organization(tenant)], "organization")
    if path == "/domains" and request.method == "GET":
        return _domains(tenant, caller, request)
    if path == reports.PATH and request.method == "GET" and request.path.startswith("/beta"):
        return reports.listed(tenant, caller, request)
    if path == policies.DEFAULT_PATH or path.startswith(policies.PATH):
        return policies.handle(tenant, caller, request, path, _body(request))
    if path.startswith(_DELETED):
        return deleted.handle(tenant, caller, request, path.removeprefix(_DELETED))
    for collection, kind in _KINDS.items():
        if path == f"/{collection}":
            if request.method == "GET":
                rights.check_read(caller, kind, "")
                return views.page(tenant, request, tenant.all_seen(kind, caller.replica), collection)
            if request.method == "POST" and kind != "user":
                return objects.create(tenant, caller, kind, _body(request))
    if matched := _OBJECT.match(path):
        collection, object_id, key, value, rest = matched.groups()
        kind = _KINDS[collection]
        if key:
            value = value.replace("''", "'")
            if key == "uniqueName" and (request.method, rest) == ("PATCH", None) and kind == "application":
                return objects.upsert(tenant, caller, request, value, _body(request))
            state = tenant.find(kind, key, value, caller.replica)
            if state is None:
                raise rights.missing(value)
            object_id = str(state["id"])
        return _object(tenant, caller, request, kind, object_id, rest or "")
    raise _unknown(path.strip("/").split("/")[0])


def _refuse_agents(caller: Caller, request: Request, path: str) -> None:
    """The Agent ID APIs take no token with access as the user, not even a Global Administrator's (A.2, A.7).

    :raises Refused: 403; 400 to every other token, because the agent chain is not built.
    """
    named = "" if request.method == "GET" else str(_body(request).get("@odata.type"))
    if agent := _AGENT.search(f"{path} {named}"):
        if "Directory.AccessAsUser.All" in caller.permissions:
            raise rights.denied()
        raise _unknown(agent[0])


def _object(tenant: Tenant, caller: Caller, request: Request, kind: str, object_id: str, rest: str) -> Response:
    if kind == "servicePrincipal" and rest.partition("/")[0] in _GRANTS:
        return _grants(tenant, caller, request, object_id, *rest.split("/"))
    first, _, more = rest.partition("/")
    if kind != "user" and first == "appManagementPolicies":
        return policies.handle_assigned(tenant, caller, request, kind, object_id, more, _body(request))
    if request.method == "GET":
        return _read(tenant, caller, request, kind, object_id, rest)
    if kind != "user":
        match request.method, rest:
            case "PATCH", "":
                return objects.change(tenant, caller, kind, object_id, _body(request))
            case "DELETE", "":
                return deleted.delete(tenant, caller, kind, object_id)
            case "POST", "addPassword":
                return objects.add_password(tenant, caller, kind, object_id, _body(request))
            case "POST", "removePassword":
                return objects.remove_password(tenant, caller, kind, object_id, _body(request))
    raise _unknown(rest or objects.COLLECTIONS[kind])


def _read(tenant: Tenant, caller: Caller, request: Request, kind: str, object_id: str, rest: str) -> Response:
    if rest not in _READABLE[kind]:
        raise _unknown(rest)
    if not (kind == "user" and object_id == caller.oid):
        rights.check_read(caller, kind, object_id)
    state = rights.seen(tenant, caller, kind, object_id)
    match rest:
        case "owners":
            found = (tenant.latest("user", oid) or tenant.latest("servicePrincipal", oid) for oid in state["_owners"])
            return views.page(tenant, request, (owner for owner in found if owner), "directoryObjects")
        case "federatedIdentityCredentials":
            return views.page(tenant, request, state["_federated"], "federatedIdentityCredentials")
    return views.one(tenant, request, state, objects.COLLECTIONS[kind])


def _grants(
    tenant: Tenant, caller: Caller, request: Request, object_id: str, list_name: str, grant_id: str = "", *more: str
) -> Response:
    side = _GRANTS[list_name]
    match request.method, bool(grant_id):
        case "GET", False:
            rights.check_read(caller, "servicePrincipal", object_id)
            return grants.listed(tenant, caller, request, side, object_id)
        case "POST", False:
            return grants.grant(tenant, caller, side, object_id, _body(request))
        case "DELETE", True if not more:
            return grants.revoke(tenant, caller, side, object_id, grant_id)
    raise _unknown(list_name)


def _domains(tenant: Tenant, caller: Caller, request: Request) -> Response:
    if not caller.may("Domain.Read.All", "Directory.Read.All"):
        raise rights.denied()
    found = [
        {
            "id": name,
            "authenticationType": "Managed",
            "isAdminManaged": True,
            "isDefault": name == tenant.domain,
            "isInitial": name == tenant.domain,
            "isRoot": True,
            "isVerified": name == tenant.domain,
        }
        for name in (tenant.domain, "contoso.example")  # the second one is not verified
    ]
    return views.page(tenant, request, found, "domains")


def _organization(tenant: Tenant) -> State:
    domain = {"name": tenant.domain, "isDefault": True, "isInitial": True, "type": "Managed", "capabilities": "Email"}
    return {"id": tenant.id, "displayName": tenant.name, "tenantType": "AAD", "verifiedDomains": [domain]}


def _unknown(segment: str) -> Refused:
    return Refused(400, "BadRequest", f"Resource not found for the segment '{segment}'.")


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
    details = {"details": refusal.details} if refusal.details else {}
    error = {"code": refusal.code, "message": refusal.message, **details, "innerError": inner}
    return answer(refusal.status, {"error": error}, refusal.headers)
