"""OData of the pretend Graph: what the directory takes of `$select`, `$top` and their like; the rest is refused."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from core.sandbox.directory.store import State
from core.sandbox.graph import schema
from core.sandbox.graph.filters import Unsupported, check_known, no_property, text_of


def system(options: Mapping[str, str], repeated: Collection[str]) -> dict[str, str]:
    """The options of a request by their own names: the case of letters and the `$` are nothing.

    :param repeated: names that the request has more than once.
    :raises Unsupported: one that nobody knows, or one twice. None is ignored.
    """
    found: dict[str, str] = {}
    for given, value in options.items():
        name = f"${given.lower().removeprefix('$')}"
        if name in _REFUSED:
            raise Unsupported("Request_BadRequest", f"'{name}' is not supported by the service.")
        if name not in _OPTIONS:
            raise Unsupported("BadRequest", f"The query parameter '{given}' is not supported.")
        if name in found or given in repeated:
            message = f"Query option '{name}' was specified more than once, but it must be specified at most once."
            raise Unsupported("BadRequest", message)
        found[name] = value
    return found


def of_one(options: Mapping[str, str]) -> None:
    """Whether these are options of a single object.

    :raises Unsupported: they are not.
    """
    for name in options:
        if name not in ("$select", "$expand"):
            message = f"Query option '{name}' is not allowed: the path names a single object."
            raise Unsupported("Request_BadRequest", message)


def is_advanced(options: Mapping[str, str], headers: Mapping[str, str]) -> bool:
    """Whether a request is an advanced query: the header `ConsistencyLevel: eventual` and `$count=true`.

    :param headers: with lower-case names.
    """
    eventual = headers.get("consistencylevel", "").lower() == "eventual"
    return eventual and options.get("$count", "").lower() == "true"


def check_options(options: Mapping[str, str], headers: Mapping[str, str]) -> None:
    """Whether the directory takes these options of a list; some need the header `ConsistencyLevel: eventual`.

    :param options: by their own names (see `system`).
    :param headers: with lower-case names.
    :raises Unsupported: it does not.
    """
    if headers.get("consistencylevel", "").lower() == "eventual":
        return
    for name, (code, message) in _ADVANCED.items():
        if name in options and options[name].lower() != "false":
            raise Unsupported(code, message)


def size(text: str | None, page_size: int) -> int:
    """Objects of a page.

    :param text: of `$top`.
    :param page_size: what the directory gives at most.
    :raises Unsupported: not a number from 1 to 999.
    """
    if text is None:
        return page_size
    if not 1 <= (count(text) or 0) <= _MOST:
        message = f"Invalid page size specified: '{text}'. Must be between 1 and {_MOST} inclusive."
        raise Unsupported("Request_BadRequest", message)
    return min(int(text), page_size)


def count(text: str) -> int | None:
    """The number that a text of decimal digits means; None when it is none, or longer than any list."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else None


def ordered(states: list[State], text: str | None, kind: str = "") -> list[State]:
    """The objects in the order of an `$orderby`.

    :param kind: their type; empty: one without a schema here.
    :raises Unsupported: it names more than one property, or one that the type does not have.
    """
    if text is None:
        return states
    name, _, direction = text.strip().partition(" ")
    check_known(name, states, kind, "Invalid orderby clause")
    if direction.strip() not in ("", "asc", "desc"):
        raise Unsupported("Request_UnsupportedQuery", f"Unsupported sort property '{text}'.")
    return sorted(states, key=lambda state: text_of(state, name) or "", reverse=direction.strip() == "desc")


def searched(states: list[State], text: str | None) -> list[State]:
    """The objects of which a word of one property begins as a `$search` says: `"displayName:wizard"`.

    :raises Unsupported: another form.
    """
    if text is None:
        return states
    matched = _SEARCH.match(text.strip())
    if matched is None:
        raise Unsupported("Request_BadRequest", f"Syntax error: '{text}' is not of the form \"property:value\".")
    name, wanted = matched[1], matched[2].lower()
    words = {id(state): re.split(r"\W+", text_of(state, name) or "") for state in states}
    return [state for state in states if any(word.startswith(wanted) for word in words[id(state)])]


def names(text: str | None) -> list[str]:
    """The names in a `$select`."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


def check_selected(selected: list[str], kind: str) -> None:
    """Whether a type has the properties that a `$select` names.

    :raises Unsupported: it has not.
    """
    there = schema.properties(kind)
    for name in selected:
        if name.lower() not in there and name != "*" and name not in schema.RELATED.get(schema.base_of(kind), ()):
            message = "Parsing OData Select and Expand failed: "
            raise Unsupported("BadRequest", message + no_property(name, kind))


def select(body: State, selected: list[str]) -> State:
    """The selected properties of an object whose type has no schema here, in any case; annotations stay.

    :raises Unsupported: a name that it does not have.
    """
    if not selected:
        return body
    wanted = {name.lower() for name in selected}
    there = {name.lower() for name in body if not name.startswith("_")}
    for name in selected:
        if name.lower() not in there:
            message = f"Could not find a property named '{name}': the sandbox has no such property here."
            raise Unsupported("BadRequest", message)
    return {name: value for name, value in body.items() if name.lower() in wanted or name.startswith("@")}


def expanded(text: str) -> tuple[str, str | None]:
    """What an `$expand` names, and the `$select` inside it: one relation, as the directory takes it.

    :raises Unsupported: several, or other options inside.
    """
    matched = _EXPAND.fullmatch(text.strip())
    if matched is None:
        message = "Parsing OData Select and Expand failed: one relation was expected, with or without '$select'."
        raise Unsupported("BadRequest", message)
    return matched[1], matched[2]


_EXPAND: Final = re.compile(r"(\w+)(?:\(\$select=([\w, ]+)\))?")
_MOST: Final = 999
_DIGITS: Final = 9
_OPTIONS: Final = frozenset({"$select", "$filter", "$top", "$skiptoken", "$count", "$orderby", "$search", "$expand"})
#: Options of OData that the directory does not take.
_REFUSED: Final = frozenset({"$skip", "$apply", "$compute", "$format", "$levels", "$deltatoken", "$schemaversion"})
_ADVANCED: Final = {
    "$count": ("Request_BadRequest", "$count is not currently supported."),
    "$orderby": ("Request_UnsupportedQuery", "Sorting not supported for current query."),
    "$search": (
        "Request_UnsupportedQuery",
        "Request with $search query parameter only works through MSGraph with a special request header: "
        "'ConsistencyLevel: eventual'",
    ),
}
_SEARCH: Final = re.compile(r'^"(\w+):([\w .@-]+)"$')
