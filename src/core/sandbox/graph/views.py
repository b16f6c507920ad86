"""How Microsoft Graph shows objects: one, or a list in pages; private members and keys stay inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import filters, query, schema
from core.sandbox.http import Request, Response, answer

#: Collections whose new objects have an address of their own.
_DIRECTORY: Final = frozenset({"applications", "servicePrincipals", "users"})


#: Objects that an expansion shows at most.
_EXPANDED: Final = 20
Related = Callable[[str, State], list[State] | None]


def shown(
    state: State, collection: str = "", select: str | None = None, *, with_key: bool = False, everything: bool = False
) -> State:
    """An object without what is private.

    :param collection: as `@odata.context` names it; decides the type, unless the object says its own.
    :param select: its `$select`; None: the members that are shown unasked.
    :param with_key: show `key`, as of a single object that selects it.
    :param everything: show what has to be asked for, too, as beta does.
    """
    kind = schema.of(state, schema.type_of(collection))
    if schema.properties(kind):
        wanted = schema.wanted(kind, select, everything)
        body = {name: state.get(name, unset) for name, unset in wanted}
        if "@odata.type" in state:
            body = {"@odata.type": state["@odata.type"], **body}
    else:
        body = {name: value for name, value in state.items() if not name.startswith("_")}
        body = query.select(body, query.names(select))
    if body.get("keyCredentials"):
        body["keyCredentials"] = [entry if with_key else {**entry, "key": None} for entry in body["keyCredentials"]]
    if body.get("passwordCredentials"):
        body["passwordCredentials"] = [
            {name: value for name, value in entry.items() if not name.startswith("_")}
            for entry in body["passwordCredentials"]
        ]
    return body


def one(
    tenant: Tenant, request: Request, state: State, collection: str, related: Related | None = None, kind: str = ""
) -> Response:
    """The answer to a GET of one object.

    :param collection: as `@odata.context` names it.
    :param related: what may be expanded, by the name of the relation.
    :param kind: the derived type that the path names, if it names one.
    """
    options = request.query
    query.of_one(options)
    selected = query.names(options.get("$select"))
    kind = kind or schema.type_of(collection)
    if selected and schema.properties(kind):
        query.check_selected(selected, kind)
    with_key = "keycredentials" in map(str.lower, selected)
    body = shown(state, collection, options.get("$select"), with_key=with_key, everything=_beta(request))
    if "$expand" in options:
        body |= _expanded(options["$expand"], state, kind, related)
    return answer(200, context(tenant, f"{_chosen(collection, options)}/$entity") | body)


def _beta(request: Request) -> bool:
    return request.path.startswith("/beta")


def _expanded(text: str, state: State, kind: str, related: Related | None) -> State:
    """What an object is expanded by: twenty of each relation, as the directory gives them."""
    name, select = query.expanded(text)
    base = schema.base_of(kind)
    name = next((each for each in schema.RELATED.get(base, ()) if each.lower() == name.lower()), "")
    found = related(name, state) if name and related is not None else None
    if found is None:
        message = f"Could not find a property named '{query.expanded(text)[0]}' on type 'microsoft.graph.{kind}'."
        raise filters.Unsupported("BadRequest", f"Parsing OData Select and Expand failed: {message}")
    query.check_selected(query.names(select), "directoryObject")
    return {name: [shown(each, name, select) for each in found[:_EXPANDED]]}


def created(tenant: Tenant, state: State, collection: str, cast: str = "") -> Response:
    """The answer to what made an object.

    :param cast: the derived type that the context names too.
    """
    headers, base = {}, f"{tenant.graph}/v2/{tenant.id}"
    if collection in _DIRECTORY:
        kind = f"{collection[0].upper()}{collection[1:].removesuffix('s')}"
        headers = {"Location": f"{base}/directoryObjects/{state['id']}/Microsoft.DirectoryServices.{kind}"}
    elif collection.endswith("/federatedIdentityCredentials"):
        headers = {"Location": f"{base}/federatedIdentityCredentials/{state['id']}"}
    described = f"{collection}/{cast.removeprefix('#')}" if cast else collection
    return answer(201, context(tenant, f"{described}/$entity") | shown(state, collection), headers)


def page(
    tenant: Tenant,
    request: Request,
    states: Iterable[State],
    collection: str,
    related: Related | None = None,
    kind: str = "",
) -> Response:
    """One page of the objects that `$filter` lets through; a list never shows `key`.

    :param related: what may be expanded, by the name of the relation.
    :param kind: the derived type that the path names, if it names one.
    :raises Refused: 400.
    :raises Unsupported: an option that is not taken.
    """
    options = request.query
    kind = kind or schema.type_of(collection)
    if options:
        query.check_options(options, request.headers)
    found = _found(options, states, kind, advanced=query.is_advanced(options, request.headers))
    found = query.ordered(found, options.get("$orderby"), kind)
    start, size = options.get("$skiptoken", "0"), query.size(options.get("$top"), tenant.switches.page_size)
    first = query.count(start)
    if first is None:
        raise Refused(400, "Request_BadRequest", "Invalid value for '$skiptoken'.")
    selected = query.names(options.get("$select"))
    if selected and schema.properties(kind):
        query.check_selected(selected, kind)
    chosen, everything = options.get("$select"), _beta(request)
    items = [shown(state, collection, chosen, everything=everything) for state in found[first : first + size]]
    if "$expand" in options:
        items = [
            item | _expanded(options["$expand"], state, kind, related)
            for item, state in zip(items, found[first : first + size], strict=True)
        ]
    body: dict[str, Any] = {**context(tenant, _chosen(collection, options)), "value": items}
    if options.get("$count", "").lower() == "true":
        body["@odata.count"] = len(found)
    if first + size < len(found):
        rest = {**options, "$skiptoken": str(first + size)}
        text = "&".join(f"{key}={quote(value)}" for key, value in rest.items())
        body["@odata.nextLink"] = f"{tenant.graph}{request.path}?{text}"
    return answer(200, body)


def number(request: Request, states: Iterable[State], collection: str = "") -> Response:
    """How many objects `$filter` and `$search` let through, as plain text; it takes `ConsistencyLevel: eventual`.

    :raises Unsupported: without that header, or with options of a page.
    """
    options = request.query
    query.check_options({"$count": "true"} | {**options}, request.headers)
    if other := sorted(set(options) - {"$filter", "$search"}):
        raise filters.Unsupported("Request_BadRequest", f"The query option '{other[0]}' is not supported.")
    kind = schema.type_of(collection)
    found = _found(options, states, kind, advanced=True)
    return Response(200, {"Content-Type": "text/plain"}, str(len(found)).encode())


def _found(options: Mapping[str, str], states: Iterable[State], kind: str, *, advanced: bool) -> list[State]:
    found = list(states)
    if "$filter" in options:
        found = filters.parse(options["$filter"]).over(found, kind, advanced=advanced)
    return query.searched(found, options.get("$search"))


def context(tenant: Tenant, what: str) -> State:
    """Where the metadata describe an answer.

    :param what: a collection, or a type.
    """
    return {"@odata.context": f"{tenant.graph}/v1.0/$metadata#{what}"}


def _chosen(collection: str, options: Mapping[str, str]) -> str:
    """A collection with what was selected, as the schema spells it, and expanded, as the context writes it."""
    known = schema.properties(schema.type_of(collection))
    selected = query.names(options.get("$select"))
    parts = [known[name.lower()].name if name.lower() in known else name for name in selected]
    if "$expand" in options:
        name, select = query.expanded(options["$expand"])
        parts.append(f"{name}({','.join(query.names(select))})")
    return f"{collection}({','.join(parts)})" if parts else collection
