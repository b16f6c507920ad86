"""Microsoft Graph of the pretend world (entra-protocol A, B): who asks for what, and the error envelope."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import GRAPH_APP_ID, Tenant
from core.sandbox.graph import (
    agents,
    audits,
    batch,
    bearer,
    blueprints,
    chats,
    company,
    consents,
    deleted,
    filters,
    lookup,
    objects,
    payload,
    permissions,
    policies,
    query,
    related,
    reports,
    resource,
    rights,
    spelling,
    views,
)
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response, answer

_KINDS: Final = {collection: kind for kind, collection in objects.COLLECTIONS.items()}
_OBJECT: Final = re.compile(
    r"^/(applications|servicePrincipals|users|groups)(?:/([^/()]+)|\((appId|uniqueName)='((?:[^']|'')+)'\))(?:/(.+))?$"
)
_AGENT: Final = re.compile(r"/microsoft\.graph\.(agent\w+)(?=[/(]|$)")
_DELETED: Final = "/directory/deletedItems/"
_JSON: Final = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
#: Which machine answered.
_DIAGNOSTIC: Final = '{"ServerInfo":{"DataCenter":"Sandbox","Slice":"E","Ring":"0","RoleInstance":"sandbox"}}'


def handle(tenant: Tenant, request: Request) -> Response:
    """Answer a request to Graph."""
    request_id = tenant.passing_id()
    try:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise rights.unauthenticated(tenant, "Access token is empty.")
        issued, names = tenant.issued.get(token), (tenant.graph, GRAPH_APP_ID)
        issued = issued if issued is not None and issued.kind == "access" else None
        if issued is None or issued.claims["aud"].rstrip("/") not in names:
            flaw = bearer.flaw(token, names, issued=issued is not None)
            raise rights.unauthenticated(tenant, flaw, "invalid_token")
        if issued.claims["exp"] <= tenant.now().timestamp():
            raise rights.unauthenticated(tenant, "Lifetime validation failed, the token is expired.", "invalid_token")
        caller = Caller(issued.claims, tenant.replica())
        path = spelling.path(request.path.partition("/v1.0" if request.path.startswith("/v1.0") else "/beta")[2])
        payload.check(request, path)
        if request.query:
            request = replace(request, query=query.system(request.query, request.repeated))
        if path == batch.PATH and request.method == "POST":
            response = batch.handle(tenant, request, payload.read(request), handle)
        else:
            drawn = tenant.drawn()
            try:
                plain = _cast(path)[0]
                old = audits.target(tenant, plain) if request.method != "GET" else None
                before = (old, audits.described(old))
                response = _route(tenant, caller, request, path)
                if request.method != "GET" and response.status < 400:
                    audits.note(tenant, caller, request, plain, before, response, request_id)
            except (Refused, filters.Unsupported):
                tenant.draw_again(drawn)
                raise
    except filters.Unsupported as error:
        response = _envelope(tenant, request, Refused(400, error.code, str(error)), request_id)
    except Refused as refusal:
        response = _envelope(tenant, request, refusal, request_id)
    if response.status >= 400 and "Content-Type" in response.headers:
        response = replace(response, headers={**response.headers, "Content-Type": "application/json"})
    echo = request.headers.get("client-request-id", request_id)
    headers = {"request-id": request_id, "client-request-id": echo, "x-ms-ags-diagnostic": _DIAGNOSTIC}
    headers |= {"Cache-Control": "no-cache", "Strict-Transport-Security": "max-age=31536000", **response.headers}
    if response.status < 400 and headers.get("Content-Type", "").startswith("application/json"):
        units = "2" if request.method == "GET" and path == "/applications" else "1"
        headers |= {"Content-Type": _JSON, "OData-Version": "4.0", "x-ms-resource-unit": units}
        if request.path.startswith("/beta") and isinstance(response.content, dict):
            response = replace(response, content=_as_beta(response.content))
    return Response(response.status, headers, response.content)


def _as_beta(content: dict[str, Any]) -> dict[str, Any]:
    """An answer of beta, whose context is beta's."""
    described = content.get("@odata.context")
    return content | {"@odata.context": described.replace("/v1.0/$", "/beta/$")} if described else content


def _route(tenant: Tenant, caller: Caller, request: Request, path: str) -> Response:
    if exact := _EXACT.get((request.method, path)):
        return exact(tenant, caller, request)
    if path.startswith(company.PATHS) and request.method == "GET":
        return company.handle(tenant, caller, request, path)
    if path == reports.PATH and request.method == "GET" and request.path.startswith("/beta"):
        return reports.listed(tenant, caller, request)
    if path == policies.DEFAULT_PATH or path.startswith(policies.PATH):
        return policies.handle(tenant, caller, request, path, payload.body(request))
    if re.match(rf"{consents.PATH}(/|$)", path, re.IGNORECASE):  # the Azure CLI spells it in two ways
        grant_id = path[len(consents.PATH) :].strip("/")
        return consents.handle(tenant, caller, request, grant_id, payload.body(request))
    if path.startswith(_DELETED):
        return deleted.handle(tenant, caller, request, path.removeprefix(_DELETED))
    path, agent = _cast(path)
    _refuse_people(caller, request, path, agent)
    collection, _, number = path.removeprefix("/").partition("/")
    if collection in _KINDS and number in ("", "$count"):
        return _collection(tenant, caller, request, _KINDS[collection], agent, number=bool(number))
    if matched := _OBJECT.match(path):
        collection, object_id, key, value, rest = matched.groups()
        kind = _KINDS[collection]
        if kind == "user" and object_id and "@" in object_id:
            key, value = "userPrincipalName", object_id
        if key:
            value = value.replace("''", "'")
            if (request.method, rest) == ("PATCH", None):
                upserted = _upsert(tenant, caller, request, kind, key, value, agent)
                if upserted is not None:
                    return upserted
            object_id = _id_of(tenant, caller, kind, key, value)
        if agent and rights.seen(tenant, caller, kind, object_id).get("@odata.type") != agent:
            raise rights.missing(object_id)
        return resource.handle(tenant, caller, request, kind, object_id, rest or "", agent)
    raise resource.unserved(request)


def _upsert(
    tenant: Tenant, caller: Caller, request: Request, kind: str, key: str, value: str, agent: str
) -> Response | None:
    """PATCH of an app by its `uniqueName`, or of a service principal that is not there yet by its app's id; None: of
    what is there, by another key (GD "Upsert application", "Upsert servicePrincipal").
    """
    if (kind, key) == ("application", "uniqueName"):
        return blueprints.upsert(tenant, caller, request, value, payload.body(request), agent)
    absent = (kind, key) == ("servicePrincipal", "appId") and tenant.find(kind, key, value) is None
    if absent and objects.creates(request):
        return _create(tenant, caller, request, kind, agent, payload.body(request) | {"appId": value})
    return None


def _id_of(tenant: Tenant, caller: Caller, kind: str, key: str, value: str) -> str:
    """The object id of what a path names by another property; people are named in any case.

    :raises Refused: 404.
    """
    if key == "userPrincipalName":
        people = tenant.all_seen(kind, caller.replica)
        state = next((person for person in people if person[key].lower() == value.lower()), None)
    else:
        state = tenant.find(kind, key, value, caller.replica)
    if state is None:
        raise rights.missing(value)
    return str(state["id"])


def _collection(tenant: Tenant, caller: Caller, request: Request, kind: str, agent: str, *, number: bool) -> Response:
    """A collection is listed, counted or added to."""
    if request.method == "GET":
        rights.check_read(caller, kind, "", agent)
        found = tenant.all_seen(kind, caller.replica)
        wanted = (state for state in found if not agent or state.get("@odata.type") == agent)
        name, derived = objects.COLLECTIONS[kind], agent.removeprefix("#microsoft.graph.")
        if number:
            return views.number(request, wanted, name)
        return views.page(tenant, request, wanted, name, related.to(tenant, caller, kind), derived)
    if request.method == "POST" and not number:
        return _create(tenant, caller, request, kind, agent, payload.body(request))
    raise Refused(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")


def _cast(path: str) -> tuple[str, str]:
    """A path without the type of the agent chain that it names, before or after an id, and that type."""
    matched = _AGENT.search(path)
    if matched is None or path.startswith(_DELETED):  # whose type names the list
        return path, ""
    agent = f"#microsoft.graph.{matched[1]}"
    collection = objects.COLLECTIONS.get(permissions.TYPES.get(agent, ""), "")
    if not collection or not re.match(rf"/{collection}[/(]", path):
        raise resource.unknown(matched[0].strip("/"))
    return path[: matched.start()] + path[matched.end() :], agent


def _refuse_people(caller: Caller, request: Request, path: str, agent: str) -> None:
    """The Agent ID APIs take no token with access as the user, not even a Global Administrator's (A.2, A.7).

    :raises Refused: 403.
    """
    if permissions.ACCESS_AS_USER not in caller.permissions:
        return
    typed = request.method != "GET" and permissions.named(payload.body(request).get("@odata.type"))
    parent = path == "/users" and "identityParentId" in request.query.get("$filter", "")
    if agent or typed or parent:
        raise rights.denied()


def _me(tenant: Tenant, caller: Caller, request: Request) -> Response:
    if not caller.person:
        raise Refused(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
    state = rights.seen(tenant, caller, "user", caller.oid)
    return views.one(tenant, request, state, "users", related.to(tenant, caller, "user"))


#: What answers a path that names no object.
_EXACT: Final = {
    ("GET", "/me"): _me,
    ("GET", audits.PATH): audits.listed,
    ("GET", chats.PATH): chats.listed,
    ("POST", lookup.PATH): lookup.by_ids,
}


def _create(tenant: Tenant, caller: Caller, request: Request, kind: str, agent: str, body: dict[str, Any]) -> Response:
    """POST to a collection: the path or the body may name a type."""
    given = body.get("@odata.type", agent or kind)
    wanted = permissions.named(given)
    plain = str(given).removeprefix("#").lower().removeprefix("microsoft.graph.") == kind.lower()
    if agent not in ("", wanted) or (permissions.TYPES[wanted] != kind if wanted else not plain):
        raise Refused(400, "Request_BadRequest", f"The type '{given}' does not belong to this collection.")
    match wanted:
        case permissions.BLUEPRINT:
            return blueprints.create(tenant, caller, body)
        case permissions.PRINCIPAL:
            return blueprints.create_principal(tenant, caller, body)
        case permissions.IDENTITY:
            return agents.create_identity(tenant, caller, body)
        case permissions.AGENT_USER:
            return agents.create_user(tenant, caller, body)
    if kind in ("user", "group"):
        raise resource.unserved(request)
    return objects.create(tenant, caller, kind, body)


def _envelope(tenant: Tenant, request: Request, refusal: Refused, request_id: str) -> Response:
    inner = {
        "date": tenant.now().strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": request_id,
        "client-request-id": request.headers.get("client-request-id", request_id),
    }
    details = {"details": refusal.details} if refusal.details else {}
    error = {"code": refusal.code, "message": refusal.message, **details, "innerError": inner}
    return answer(refusal.status, {"error": error}, refusal.headers)
