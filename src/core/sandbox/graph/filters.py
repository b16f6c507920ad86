"""`$filter` of the pretend Graph: comparisons, functions, `any`, joined by `and`, `or` and `not`; the rest is refused.

Which operators need advanced queries: "Advanced query capabilities on Microsoft Entra ID objects" (Graph, concepts).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from core.sandbox.directory.store import State
from core.sandbox.graph import schema

Test = Callable[[Any], bool]
_GUID: Final = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"  # some collections compare ids without quotes
_MOMENT: Final = r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d+)?Z)?"
_TOKEN: Final = re.compile(rf"\s*('(?:[^']|'')*'|{_MOMENT}\b|{_GUID}\b|[(),:]|[\w/$]+)")
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": lambda there, wanted: bool(there == wanted),
    "ne": lambda there, wanted: bool(there != wanted),
    "ge": lambda there, wanted: there is not None and there >= wanted,
    "gt": lambda there, wanted: there is not None and there > wanted,
    "le": lambda there, wanted: there is not None and there <= wanted,
    "lt": lambda there, wanted: there is not None and there < wanted,
}
#: What only an advanced query may use, with the service's own name for it.
_ADVANCED: Final = {"ne": "NotEqualsMatch", "not": "Not", "endswith": "EndsWith"}
#: Levels of parentheses and `not`s in a filter.
_DEEPEST: Final = 20
#: Properties that no filter may name: one of every Agent Identity (A.2), and those that hold objects.
_UNFILTERABLE: Final = frozenset(
    {"agentIdentityBlueprintId", "keyCredentials", "passwordCredentials", "requiredResourceAccess", "api", "web", "spa"}
    | {"info", "publicClient", "optionalClaims", "verifiedPublisher", "passwordProfile", "appRoles", "addIns"}
)


class Unsupported(Exception):
    """A query that the directory does not take."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Filter:
    """A `$filter`.

    :param names: the properties that it compares.
    :param advanced: the operators in it that need an advanced query, by the service's names.
    :param test: whether an object passes.
    """

    names: frozenset[str]
    advanced: tuple[str, ...]
    test: Test

    def over(self, states: list[State], kind: str = "", *, advanced: bool = True) -> list[State]:
        """The objects that pass.

        :param kind: the type whose properties it may compare; empty: those that the objects have.
        :param advanced: whether the request is an advanced query (`ConsistencyLevel: eventual` and `$count`).
        :raises Unsupported: it compares a property that the type does not have, or that cannot be compared, or with an
            operator that needs an advanced query.
        """
        for name in sorted(self.names):
            check_known(name, states, kind, "Invalid filter clause")
            if _among(name, _UNFILTERABLE):
                message = f"Unsupported or invalid query filter clause specified for property '{name}'."
                raise Unsupported("Request_UnsupportedQuery", message)
        if self.advanced and not advanced:
            raise Unsupported("Request_UnsupportedQuery", f"Filter operator '{self.advanced[0]}' is not supported.")
        return [state for state in states if self.test(state)]


def parse(text: str | None) -> Filter:
    """The filter that a text means; without one everything passes.

    :raises Unsupported: it has no such meaning here.
    """
    if not text:
        return Filter(frozenset(), (), lambda state: True)
    parser = _Parser(text)
    test = parser.either(0)
    if parser.tokens:
        raise parser.refusal()
    return Filter(frozenset(parser.names), tuple(parser.advanced), test)


def check_known(name: str, states: list[State], kind: str, what: str) -> None:
    """Whether a property is one of the type, or, where the type has no schema here, of an object.

    :param what: the beginning of the refusal.
    :raises Unsupported: it is not.
    """
    there: Iterable[str] = schema.properties(kind)
    if not there:
        there = {each for state in states for each in state} if states else {name}
    if name.startswith("_") or not _among(name, (*there, *_UNFILTERABLE)):
        raise Unsupported("BadRequest", f"{what}: {no_property(name, kind)}")


def no_property(name: str, kind: str) -> str:
    """The service's sentence about a property that a type does not have."""
    return f"Could not find a property named '{name}' on type 'microsoft.graph.{kind or 'entity'}'."


def text_of(state: State, name: str) -> str | None:
    """The value of a property as text that can be compared, whatever the case of its letters."""
    found = _plain(_value(state, name))
    return None if found is None else str(found)


class _Parser:
    """Reads a filter from left to right; every method takes its part off the tokens."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens = text, _tokens(text)
        self.names: set[str] = set()
        self.advanced: list[str] = []

    def either(self, depth: int, variable: str = "") -> Test:
        """Parts joined by `or`.

        :param depth: of the parentheses around it.
        :param variable: the item of an `any` around it.
        """
        tests = [self._both(depth, variable)]
        while self._take("or"):
            tests.append(self._both(depth, variable))
        return tests[0] if len(tests) == 1 else lambda state: any(test(state) for test in tests)

    def refusal(self) -> Unsupported:
        """The refusal of the whole text."""
        return Unsupported("Request_UnsupportedQuery", f"Unsupported or invalid query filter clause: {self.text}")

    def _both(self, depth: int, variable: str) -> Test:
        tests = [self._one(depth, variable)]
        while self._take("and"):
            tests.append(self._one(depth, variable))
        return tests[0] if len(tests) == 1 else lambda state: all(test(state) for test in tests)

    def _one(self, depth: int, variable: str) -> Test:
        if depth > _DEEPEST:
            raise Unsupported("Request_UnsupportedQuery", "The filter is nested too deeply.")
        if self._take("not"):
            self.advanced.append(_ADVANCED["not"])
            negated = self._one(depth + 1, variable)
            return lambda state: not negated(state)
        if self._take("("):
            test = self.either(depth + 1, variable)
            self._expect(")")
            return test
        word = self._word()
        if word.lower() in ("startswith", "endswith"):
            return self._function(word.lower(), variable)
        if word.endswith("/any"):
            return self._any(word.removesuffix("/any"), depth, variable)
        return self._comparison(self._read(word, variable))

    def _function(self, name: str, variable: str) -> Test:
        if name in _ADVANCED:
            self.advanced.append(_ADVANCED[name])
        self._expect("(")
        read = self._read(self._word(), variable)
        self._expect(",")
        wanted = self._literal()
        self._expect(")")
        if not isinstance(wanted, str):
            raise self.refusal()
        method = str.startswith if name == "startswith" else str.endswith
        return lambda state: method(str(read(state) or ""), wanted)

    def _any(self, path: str, depth: int, variable: str) -> Test:
        items = self._read(path, variable, plain=False)
        self._expect("(")
        item = self._word()
        self._expect(":")
        test = self.either(depth + 1, item)
        self._expect(")")
        return lambda state: any(test(each) for each in _listed(items(state)))

    def _comparison(self, read: Callable[[Any], Any]) -> Test:
        if self._take("in"):
            self._expect("(")
            choices = [self._literal()]
            while self._take(","):
                choices.append(self._literal())
            self._expect(")")
            return lambda state: read(state) in choices
        operator = self._word().lower()
        if operator not in _COMPARISONS:
            raise self.refusal()
        wanted = self._literal()
        if operator not in ("eq", "ne") and not isinstance(wanted, str):
            raise self.refusal()
        if operator in _ADVANCED:
            self.advanced.append(_ADVANCED[operator])
        compare = _COMPARISONS[operator]
        if operator in ("eq", "ne"):
            return lambda state: compare(read(state), wanted)
        return lambda state: compare(_as_text(read(state)), wanted)

    def _read(self, path: str, variable: str, *, plain: bool = True) -> Callable[[Any], Any]:
        """What a path names: a property and members of it, or, in an `any`, the item and members of that."""
        first, *parts = path.split("/")
        if variable:
            if first != variable:
                raise self.refusal()
        else:
            self.names.add(first)
            parts = [first, *parts]
        if not all(re.fullmatch(r"\w+", part) for part in parts):
            raise self.refusal()

        def read(state: Any) -> Any:
            for part in parts:
                state = _value(state, part) if isinstance(state, dict) else None
            return _plain(state) if plain else state

        return read

    def _literal(self) -> Any:
        token = self._next()
        if token.startswith("'"):
            return token[1:-1].replace("''", "'").lower()
        if token in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[token]
        if re.fullmatch(rf"{_GUID}|{_MOMENT}", token):
            return token.lower()
        raise self.refusal()

    def _word(self) -> str:
        token = self._next()
        if not re.fullmatch(r"[\w/$]+", token):
            raise self.refusal()
        return token

    def _take(self, token: str) -> bool:
        found = bool(self.tokens) and self.tokens[0].lower() == token
        if found:
            self.tokens.popleft()
        return found

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self.refusal()

    def _next(self) -> str:
        if not self.tokens:
            raise self.refusal()
        return self.tokens.popleft()


def _tokens(text: str) -> deque[str]:
    found, at, text = deque[str](), 0, text.strip()
    while at < len(text):
        matched = _TOKEN.match(text, at)
        if matched is None:
            raise Unsupported("Request_UnsupportedQuery", f"Unsupported or invalid query filter clause: {text}")
        found.append(matched[1])
        at = matched.end()
    return found


def _among(name: str, names: Iterable[str]) -> bool:
    return any(name.lower() == other.lower() for other in names)


def _value(state: State, name: str) -> Any:
    """The value of a property, whose name may be spelt in any case."""
    if name in state:
        return state[name]
    return next((value for other, value in state.items() if other.lower() == name.lower()), None)


def _plain(value: Any) -> Any:
    """A value as it is compared: a truth value or nothing as it is, everything else as text in small letters."""
    return value if value is None or isinstance(value, bool) else str(value).lower()


def _as_text(value: Any) -> str | None:
    return None if value is None else str(value).lower()


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
