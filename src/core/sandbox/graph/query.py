"""OData of the pretend Graph: what the directory takes of `$select`, `$filter` and their like; the rest is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.sandbox.graph import schema

State = dict[str, Any]
_ANY: Final = re.compile(r"^(\w+)/any\((\w+):\s*\2(?:/(\w+))? eq '((?:[^']|'')*)'\)$")
_SINCE: Final = re.compile(r"^(\w+) (ge|le) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z|\d{4}-\d\d-\d\d)$")
_GUID: Final = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"  # some collections compare ids without quotes
_EQ: Final = re.compile(rf"^(\w+) eq (?:'((?:[^']|'')*)'|(true|false|null)|({_GUID}))$")
_STARTS: Final = re.compile(r"^startswith\((\w+),\s*'((?:[^']|'')*)'\)$", re.IGNORECASE)
_TOKEN: Final = re.compile(r"'(?:[^']|'')*'|[()]|\s+and\s+")
#: Levels of parentheses and `and`s in a filter.
_DEEPEST: Final = 20


class Unsupported(Exception):
    """A query that the directory does not take."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Filter:
    """A `$filter`.

    :param names: the properties that it compares.
    :param test: whether an object passes.
    """

    names: frozenset[str]
    test: Callable[[State], bool]

    def over(self, states: list[State], kind: str = "") -> list[State]:
        """The objects that pass.

        :param kind: the type whose properties it may compare; empty: those that the objects have.
        :raises Unsupported: it compares a property that the type does not have, or that cannot be compared.
        """
        for name in sorted(self.names):
            _check_known(name, states, kind, "Invalid filter clause")
            if _among(name, _UNFILTERABLE):
                message = f"Unsupported or invalid query filter clause specified for property '{name}'."
                raise Unsupported("Request_UnsupportedQuery", message)
        return [state for state in states if self.test(state)]


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
    _check_known(name, states, kind, "Invalid orderby clause")
    if direction.strip() not in ("", "asc", "desc"):
        raise Unsupported("Request_UnsupportedQuery", f"Unsupported sort property '{text}'.")
    return sorted(states, key=lambda state: _text(state, name) or "", reverse=direction.strip() == "desc")


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
    words = {id(state): re.split(r"\W+", _text(state, name) or "") for state in states}
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
            raise Unsupported("BadRequest", message + _no_property(name, kind))


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


def _check_known(name: str, states: list[State], kind: str, what: str) -> None:
    """Whether a property is one of the type, or, where the type has no schema here, of an object."""
    there: Iterable[str] = schema.properties(kind)
    if not there:
        there = {each for state in states for each in state} if states else {name}
    if name.startswith("_") or not _among(name, (*there, *_UNFILTERABLE)):
        raise Unsupported("BadRequest", f"{what}: {_no_property(name, kind)}")


def _no_property(name: str, kind: str) -> str:
    return f"Could not find a property named '{name}' on type 'microsoft.graph.{kind or 'entity'}'."


#: Properties that no filter may name: one of every Agent Identity (A.2), and those that hold objects.
_UNFILTERABLE: Final = frozenset(
    {"agentIdentityBlueprintId", "keyCredentials", "passwordCredentials", "requiredResourceAccess", "api", "web", "spa"}
    | {"info", "publicClient", "optionalClaims", "verifiedPublisher", "passwordProfile", "appRoles", "addIns"}
)
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


def parse_filter(text: str | None) -> Filter:
    """The filter that a text means; without one everything passes.

    :param text: `eq`, `startswith` and `any` joined by `and`, with parentheses or without.
    :raises Unsupported: anything else.
    """
    if not text:
        return Filter(frozenset(), lambda state: True)
    clauses = [_clause(clause) for clause in _clauses(text, 0)]
    return Filter(frozenset(name for name, _ in clauses), lambda state: all(test(state) for _, test in clauses))


def _clauses(text: str, depth: int) -> list[str]:
    """The parts of a filter between its `and`s.

    :param depth: of the parentheses around it.
    """
    if depth > _DEEPEST:
        raise Unsupported("Request_UnsupportedQuery", "The filter is nested too deeply.")
    text = text.strip()
    parts, level, start, closed = [], 0, 0, []
    for matched in _TOKEN.finditer(text):
        found = matched[0]
        if found == "(":
            level += 1
        elif found == ")":
            level -= 1
            closed += [matched.end()] if level == 0 else []
        elif level == 0 and not found.startswith("'"):
            parts.append(text[start : matched.start()])
            start = matched.end()
    if parts:
        return [clause for part in (*parts, text[start:]) for clause in _clauses(part, depth + 1)]
    return _clauses(text[1:-1], depth + 1) if text.startswith("(") and closed == [len(text)] else [text]


def _clause(text: str) -> tuple[str, Callable[[State], bool]]:
    """The property that a clause compares, and the comparison."""
    if matched := _EQ.match(text):
        name, quoted, literal, guid = matched.groups()
        if literal == "null":
            return name, lambda state: _value(state, name) is None
        if literal is not None:
            return name, lambda state: _value(state, name) is (literal == "true")
        wanted = (guid or _unquoted(quoted)).lower()
        return name, lambda state: _text(state, name) == wanted
    if matched := _STARTS.match(text):
        name, start = matched[1], _unquoted(matched[2]).lower()
        return name, lambda state: (_text(state, name) or "").startswith(start)
    if matched := _ANY.match(text):
        name, part, wanted = matched[1], matched[3], _unquoted(matched[4]).lower()
        return name, lambda state: any(_part(item, part) == wanted for item in _items(_value(state, name)))
    if matched := _SINCE.match(text):
        name, later, moment = matched[1], matched[2] == "ge", matched[3].lower()
        return (
            name,
            lambda state: (_text(state, name) or "") >= moment if later else (_text(state, name) or "~") <= moment,
        )
    raise Unsupported("Request_UnsupportedQuery", f"Unsupported or invalid query filter clause: {text}")


def _among(name: str, names: Iterable[str]) -> bool:
    return any(name.lower() == other.lower() for other in names)


def _value(state: State, name: str) -> Any:
    """The value of a property, whose name may be spelt in any case."""
    if name in state:
        return state[name]
    return next((value for other, value in state.items() if other.lower() == name.lower()), None)


def _text(state: State, name: str) -> str | None:
    value = _value(state, name)
    return None if value is None else str(value).lower()


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _part(item: Any, part: str | None) -> str:
    """An item of a list, or one of its members."""
    return str(_value(item, part) if part and isinstance(item, dict) else item).lower()


def _unquoted(text: str) -> str:
    return text.replace("''", "'")
