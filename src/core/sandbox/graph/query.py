"""OData of the pretend Graph: `$select` and the filters that the directory supports; every other one is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

State = dict[str, Any]
_ANY: Final = re.compile(r"^(\w+)/any\((\w+):\s*\2 eq '((?:[^']|'')*)'\)$")
_GUID: Final = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"  # some collections compare ids without quotes
_EQ: Final = re.compile(rf"^(\w+) eq (?:'((?:[^']|'')*)'|(true|false)|({_GUID}))$")
_STARTS: Final = re.compile(r"^startswith\((\w+),\s*'((?:[^']|'')*)'\)$", re.IGNORECASE)
_AND: Final = re.compile(r"\s+and\s+(?=(?:[^']*'[^']*')*[^']*$)")


class Unsupported(Exception):
    """A query that the directory does not take."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def names(text: str | None) -> list[str]:
    """The names in a `$select`."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


def select(body: State, selected: list[str]) -> State:
    """The selected properties, in the object's order; annotations stay.

    :raises Unsupported: a name that the object does not have.
    """
    if not selected:
        return body
    for name in selected:
        if name not in body and name not in _OPTIONAL:
            raise Unsupported("Request_BadRequest", f"Could not find a property named '{name}'.")
    return {name: value for name, value in body.items() if name in selected or name.startswith("@")}


#: Properties that some objects of a collection have and others lack.
_OPTIONAL: Final = frozenset({"userPrincipalName", "displayName", "appId", "userType", "mail"})


def parse_filter(text: str | None) -> Callable[[State], bool]:
    """A test for objects.

    :param text: `eq`, `startswith` and `any` joined by `and`.
    :raises Unsupported: anything else.
    """
    if not text:
        return lambda state: True
    tests = [_clause(clause.strip()) for clause in _AND.split(text.strip())]
    return lambda state: all(test(state) for test in tests)


def _clause(text: str) -> Callable[[State], bool]:
    if matched := _EQ.match(text):
        name, quoted, literal, guid = matched.groups()
        if literal is not None:
            return lambda state: state.get(name) is (literal == "true")
        wanted = (guid or _unquoted(quoted)).lower()
        return lambda state: str(state.get(name, "")).lower() == wanted
    if matched := _STARTS.match(text):
        name, start = matched[1], _unquoted(matched[2]).lower()
        return lambda state: str(state.get(name, "")).lower().startswith(start)
    if matched := _ANY.match(text):
        name, wanted = matched[1], _unquoted(matched[3]).lower()
        return lambda state: any(str(item).lower() == wanted for item in state.get(name, ()))
    raise Unsupported("Request_UnsupportedQuery", f"Unsupported or invalid query filter clause: {text}")


def _unquoted(text: str) -> str:
    return text.replace("''", "'")
