"""How Microsoft Graph shows objects: one, or a list in pages; private members and keys stay inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import query
from core.sandbox.http import Request, Response, answer

#: Collections whose new objects have an address of their own.
_DIRECTORY: Final = frozenset({"applications", "servicePrincipals", "users"})


def shown(state: State, *, with_key: bool = False) -> State:
    """An object without what is private; `key` only for a single object that selects it."""
    body = {name: value for name, value in state.items() if not name.startswith("_")}
    if "keyCredentials" in body:
        body["keyCredentials"] = [entry if with_key else {**entry, "key": None} for entry in body["keyCredentials"]]
    if "passwordCredentials" in body:
        body["passwordCredentials"] = [
            {name: value for name, value in entry.items() if not name.startswith("_")}
            for entry in body["passwordCredentials"]
        ]
    return body


def one(tenant: Tenant, request: Request, state: State, collection: str) -> Response:
    """The answer to a GET of one object.

    :param collection: as `@odata.context` names it.
    """
    selected = query.names(request.query.get("$select"))
    body = shown(state, with_key="keycredentials" in map(str.lower, selected))
    return answer(200, context(tenant, f"{_chosen(collection, selected)}/$entity") | query.select(body, selected))


def created(tenant: Tenant, state: State, collection: str) -> Response:
    """The answer to what made an object."""
    kind = f"{collection[0].upper()}{collection[1:].removesuffix('s')}"
    place = f"{tenant.graph}/v2/{tenant.id}/directoryObjects/{state['id']}/Microsoft.DirectoryServices.{kind}"
    headers = {"Location": place} if collection in _DIRECTORY else {}
    return answer(201, context(tenant, f"{collection}/$entity") | shown(state), headers)


def page(tenant: Tenant, request: Request, states: Iterable[State], collection: str) -> Response:
    """One page of the objects that `$filter` lets through; a list never shows `key`.

    :raises Refused: 400.
    """
    options = request.query
    query.check_options(options, request.headers)
    found = query.ordered(_found(options, states), options.get("$orderby"))
    start, size = options.get("$skiptoken", "0"), query.size(options.get("$top"), tenant.switches.page_size)
    first = query.count(start)
    if first is None:
        raise Refused(400, "Request_BadRequest", "Invalid value for '$skiptoken'.")
    selected = query.names(options.get("$select"))
    known = {name for state in found for name in state} if selected else set()
    items = [query.select(shown(state), selected, known) for state in found[first : first + size]]
    body: dict[str, Any] = {**context(tenant, _chosen(collection, selected)), "value": items}
    if options.get("$count", "").lower() == "true":
        body["@odata.count"] = len(found)
    if first + size < len(found):
        rest = {**options, "$skiptoken": str(first + size)}
        text = "&".join(f"{key}={quote(value)}" for key, value in rest.items())
        body["@odata.nextLink"] = f"{tenant.graph}{request.path}?{text}"
    return answer(200, body)


def number(request: Request, states: Iterable[State]) -> Response:
    """How many objects `$filter` and `$search` let through, as plain text; it takes `ConsistencyLevel: eventual`.

    :raises Unsupported: without that header, or with options of a page.
    """
    options = request.query
    query.check_options({"$count": "true"} | {**options}, request.headers)
    if other := sorted(set(options) - {"$filter", "$search"}):
        raise query.Unsupported("Request_BadRequest", f"The query option '{other[0]}' is not supported.")
    return Response(200, {"Content-Type": "text/plain"}, str(len(_found(options, states))).encode())


def _found(options: Mapping[str, str], states: Iterable[State]) -> list[State]:
    found = query.parse_filter(options.get("$filter")).over(list(states))
    return query.searched(found, options.get("$search"))


def context(tenant: Tenant, what: str) -> State:
    """Where the metadata describe an answer.

    :param what: a collection, or a type.
    """
    return {"@odata.context": f"{tenant.graph}/v1.0/$metadata#{what}"}


def _chosen(collection: str, selected: list[str]) -> str:
    return f"{collection}({','.join(selected)})" if selected else collection
