"""The catalogue of errors and the places that raise them agree (P11, U5)."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import core
from core.errors import (
    AADSTS_HINTS,
    GraphError,
    InsecureKeyringBackendError,
    Interrupted,
    NetworkError,
    SetupError,
    TokenError,
    table,
)

SOURCES = Path(core.__file__).parent.parent
ID = re.compile(r"[a-z]+\.[a-z-]+")
#: Keywords of the constructors that are not facts for the sentences.
NOT_FACTS = frozenset({"maybe_done"})


class Raised(NamedTuple):
    """A place that makes an error with a literal id."""

    where: str
    id: str
    facts: frozenset[str] | None  # None: some are unpacked from a mapping


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(SOURCES.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def ids_in(node: ast.expr | None) -> Iterator[str]:
    """The ids that an argument can be, also through a conditional expression."""
    match node:
        case ast.Constant(value=str(value)):
            yield value
        case ast.IfExp(body=body, orelse=orelse):
            yield from ids_in(body)
            yield from ids_in(orelse)


def raised() -> Iterator[Raised]:
    for path, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name not in ("SetupError", "KeystoreError", "NetworkError", "__init__"):
                continue
            given = [keyword.arg for keyword in node.keywords]
            facts = None if None in given else frozenset(arg for arg in given if arg) - NOT_FACTS
            for found in ids_in(node.args[0]):
                if ID.fullmatch(found):
                    yield Raised(f"{path.name}:{node.lineno}", found, facts)


RAISED = list(raised())


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_id_that_is_raised_has_a_row() -> None:
    assert len(RAISED) > 50
    assert [place for place in RAISED if place.id not in table()] == []


def test_every_row_is_raised_somewhere() -> None:
    literals = {
        node.value
        for _, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert sorted(set(table()) - literals) == []


@pytest.mark.parametrize("name", table())
def test_U5_every_row_has_a_sentence_a_remedy_and_an_exit_code(name: str) -> None:
    row = table()[name]
    assert set(row) == {"exit", "summary", "remedy"}
    assert type(row["exit"]) is int
    assert row["exit"] in {*range(2, 9), 70, 130}
    for text in (row["summary"], row["remedy"]):
        assert text.strip() == text != ""
        assert not any(field == "" for _, field, _, _ in string.Formatter().parse(text)), "a field without a name"


@pytest.mark.parametrize("place", RAISED, ids=lambda place: f"{place.where}-{place.id}")
def test_every_fact_of_a_sentence_is_supplied_where_it_is_raised(place: Raised) -> None:
    if place.facts is None or place.id not in table():
        return
    row = table()[place.id]
    missing = (fields(row["summary"]) | fields(row["remedy"])) - place.facts
    assert not missing, f"{place.where} raises {place.id} without {missing}"


@pytest.mark.parametrize(
    "error",
    [
        InsecureKeyringBackendError("x.y.Keyring", "it is plain text", "install another"),
        Interrupted(2),
        NetworkError("network.origin", maybe_done=False, url="https://x/…"),
        GraphError(403, "c", "m", action="a", request_id="r", date="d"),
        GraphError(500, "c", "m", action="a", request_id="r", date="d"),
        TokenError("invalid_client", (7000215,), "m", app_id="a"),
        TokenError("invalid_client", (700024,), "m", app_id="a", skew=-400.4),
        TokenError("unknown", (), "m", app_id="a"),
        *(TokenError("e", (code,), "m", app_id="a") for code in AADSTS_HINTS),
    ],
    ids=lambda error: type(error).__name__,
)
def test_P11_every_error_class_says_what_happened_and_what_to_do(error: SetupError) -> None:
    assert error.summary
    assert error.remedy
    assert error.id in str(error)
    assert {"id", "message", "remedy"} <= set(error.as_dict())


def test_P11_codes_request_id_and_date_reach_the_result() -> None:
    graph = GraphError(404, "Request_ResourceNotFound", "m", action="a", request_id="r-1", date="d-1")
    assert graph.as_dict().items() >= {"status": 404, "code": graph.code, "request_id": "r-1", "date": "d-1"}.items()
    token = TokenError("invalid_client", (700027, 50012), "m", app_id="a")
    assert token.as_dict().items() >= {"error": "invalid_client", "codes": [700027, 50012]}.items()


@pytest.mark.parametrize(
    ("status", "exit_code", "transient"),
    [
        (400, 7, False),
        (403, 5, False),
        (404, 7, False),
        (429, 7, True),
        (500, 7, True),
        (503, 7, True),
        (501, 7, False),
    ],
)
def test_U5_graph_answers_have_their_exit_codes(status: int, exit_code: int, transient: bool) -> None:
    error = GraphError(status, "x", "m", action="a", request_id="r", date="d")
    assert (error.exit_code, error.transient) == (exit_code, transient)


def test_a_concurrency_violation_is_worth_another_try() -> None:
    assert GraphError(409, "Directory_ConcurrencyViolation", "m", action="a", request_id="r", date="d").transient


@pytest.mark.parametrize("signal", [2, 15, 1])
def test_U5_an_interruption_ends_with_128_plus_the_signal(signal: int) -> None:
    assert Interrupted(signal).exit_code == 128 + signal


def test_facts_are_not_formatted_twice() -> None:
    error = SetupError("az.failed", command="{x}", code="{0}", detail="{detail!r} 100% {")
    assert "{detail!r} 100% {" in error.summary
