"""OData of the pretend Graph: what the directory takes of `$select`, `$filter` and their like; the rest is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

State = dict[str, Any]
_ANY: Final = re.compile(r"^(\w+)/any\((\w+):\s*\2 eq '((?:[^']|'')*)'\)$")
_GUID: Final = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"  # some collections compare ids without quotes
_EQ: Final = re.compile(rf"^(\w+) eq (?:'((?:[^']|'')*)'|(true|false)|({_GUID}))$")
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

    def over(self, states: list[State]) -> list[State]:
        """The objects that pass.

        :raises Unsupported: it compares a property that none of them has, or that cannot be compared.
        """
        for name in sorted(self.names):
            unknown = states and not _among(name, _OPTIONAL) and not any(_among(name, state) for state in states)
            if unknown or name.startswith("_") or _among(name, _UNFILTERABLE):
                message = f"Unsupported or invalid query filter clause specified for property '{name}'."
                raise Unsupported("Request_UnsupportedQuery", message)
        return [state for state in states if self.test(state)]


def check_options(options: Mapping[str, str], headers: Mapping[str, str]) -> None:
    """Whether the directory takes these options of a list; some need the header `ConsistencyLevel: eventual`.

    :param headers: with lower-case names.
    :raises Unsupported: it does not.
    """
    for name in options:
        if name.startswith("$") and name not in _OPTIONS:
            raise Unsupported("Request_BadRequest", f"The query option '{name}' is not supported.")
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


def ordered(states: list[State], text: str | None) -> list[State]:
    """The objects in the order of an `$orderby`.

    :raises Unsupported: it names more than one property, or one that no object has.
    """
    if text is None:
        return states
    name, _, direction = text.strip().partition(" ")
    if direction.strip() not in ("", "asc", "desc") or (states and not any(_among(name, state) for state in states)):
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


def select(body: State, selected: list[str], known: Collection[str] = ()) -> State:
    """The selected properties, in the object's order and whatever their case; annotations stay.

    :param known: properties that other objects of the list have.
    :raises Unsupported: a name that no object has.
    """
    if not selected:
        return body
    wanted = {name.lower() for name in selected}
    there = {name.lower() for name in (*body, *known, *_OPTIONAL) if not name.startswith("_")}
    for name in selected:
        if name.lower() not in there:
            message = f"Could not find a property named '{name}': the sandbox has no such property here."
            raise Unsupported("Request_BadRequest", message)
    return {name: value for name, value in body.items() if name.lower() in wanted or name.startswith("@")}


#: Properties that some objects of a collection have and others lack.
_OPTIONAL: Final = frozenset(
    {"userPrincipalName", "displayName", "appId", "userType", "mail", "identityParentId", "usageLocation"}
)
#: Properties that every Agent Identity has, and that no filter may name (A.2).
_UNFILTERABLE: Final = frozenset({"agentIdentityBlueprintId"})
_MOST: Final = 999
_DIGITS: Final = 9
_OPTIONS: Final = frozenset({"$select", "$filter", "$top", "$skiptoken", "$count", "$orderby", "$search"})
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
        if literal is not None:
            return name, lambda state: _value(state, name) is (literal == "true")
        wanted = (guid or _unquoted(quoted)).lower()
        return name, lambda state: _text(state, name) == wanted
    if matched := _STARTS.match(text):
        name, start = matched[1], _unquoted(matched[2]).lower()
        return name, lambda state: (_text(state, name) or "").startswith(start)
    if matched := _ANY.match(text):
        name, wanted = matched[1], _unquoted(matched[3]).lower()
        return name, lambda state: any(str(item).lower() == wanted for item in _items(_value(state, name)))
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


def _unquoted(text: str) -> str:
    return text.replace("''", "'")
