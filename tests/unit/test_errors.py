"""The catalogue of errors and the places that raise them agree (P11, U5)."""

from __future__ import annotations

import ast
import io
import re
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import core
from core.errors import (
    CodedError,
    Effected,
    GraphError,
    InsecureKeyringBackendError,
    Interrupted,
    NetworkError,
    SetupError,
    SignInError,
    TokenError,
    codes,
    table,
)
from core.secret import Secret
from wizard.console.ndjson import Ndjson
from wizard.console.plain import Plain

SOURCES = Path(core.__file__).parent.parent
ID = re.compile(r"[a-z]+\.[a-z-]+")
AADSTS = [int(row.name.removeprefix("AADSTS")) for row in codes.table().values() if row.service == "AADSTS"]
GRAPH = [row for row in codes.table().values() if row.service == "Graph"]
PARTS = ("0a1b2c3d-0000-1111-2222-333344445555", "9f8e7d6c-0000-1111-2222-333344445555", "2026-02-03 04:05:06Z")
TRAILER = "Trace ID: {} Correlation ID: {} Timestamp: {}".format(*PARTS)
#: Keywords of the constructors that are not details for the sentences.
NOT_FACTS = frozenset({"effected"})


class Raised(NamedTuple):
    """A place that makes an error with a literal id."""

    where: str
    id: str
    details: frozenset[str] | None  # None: some are unpacked from a mapping


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
            details = None if None in given else frozenset(arg for arg in given if arg) - NOT_FACTS
            for found in ids_in(node.args[0]):
                if ID.fullmatch(found):
                    yield Raised(f"{path.name}:{node.lineno}", found, details)


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
    assert {"exit", "summary", "remedy"} <= set(row) <= {"exit", "summary", "remedy", "explain"}
    assert set(row.get("explain", {})) <= {"summary", "remedy"}
    assert type(row["exit"]) is int
    assert row["exit"] in {*range(1, 9), 70, 130}
    for text in (row["summary"], row["remedy"]):
        assert text.strip() == text != ""
        assert not any(field == "" for _, field, _, _ in string.Formatter().parse(text)), "a field without a name"


@pytest.mark.parametrize("place", RAISED, ids=lambda place: f"{place.where}-{place.id}")
def test_every_fact_of_a_sentence_is_supplied_where_it_is_raised(place: Raised) -> None:
    if place.details is None or place.id not in table():
        return
    row = table()[place.id]
    missing = (fields(row["summary"]) | fields(row["remedy"])) - place.details
    assert not missing, f"{place.where} raises {place.id} without {missing}"


@pytest.mark.parametrize(
    "error",
    [
        InsecureKeyringBackendError("x.y.Keyring", "it is plain text", "install another"),
        Interrupted(2),
        NetworkError("network.origin", url="https://x/…"),
        GraphError(403, "c", "m", action="a", request_id="r", date="d"),
        GraphError(500, "c", "m", action="a", request_id="r", date="d"),
        TokenError("invalid_client", (7000215,), "m", app_id="a"),
        TokenError("invalid_client", (700024,), "m", app_id="a", clock="400 s ahead of the service's"),
        TokenError("unknown", (), "m", app_id="a"),
        *(TokenError("e", (code,), "m", app_id="a") for code in AADSTS),
        *(SignInError(f"AADSTS{code}: m", "t") for code in AADSTS),
        SignInError("AADSTS99999: m", ""),
        SignInError("no code", ""),
        *(GraphError(400, row.name, "m", action="a", request_id="r", date="d") for row in GRAPH),
    ],
    ids=lambda error: type(error).__name__,
)
def test_P11_every_error_class_says_what_happened_and_what_to_do(error: SetupError) -> None:
    assert error.summary
    assert error.remedy
    assert error.id in str(error)
    assert {"id", "message", "remedy", "docs"} <= set(error.as_dict())
    assert not re.search(r"\{\w", error.summary + error.remedy), "a fact that was not filled in"
    assert error.exit_code in {*range(2, 9), 130}


@pytest.mark.parametrize(
    "error",
    [
        SetupError("file.unsafe", path="p", detail="d"),
        InsecureKeyringBackendError("x.y.Keyring", "it is plain text", "install another"),
        Interrupted(15),
        GraphError(429, "c", "m", action="a", request_id="r", date="d", effected=Effected.NO),
        TokenError("invalid_client", (7000215,), "m", app_id="a"),
        SignInError("AADSTS53003: m", "t"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_M5_a_copy_tells_more_and_leaves_the_error_as_it_was(error: SetupError) -> None:
    before = {**vars(error), "details": dict(error.details)}
    other = error.copy(effected=Effected.YES, standing="All of it stands.", detail="another")
    assert vars(error) == before
    assert (type(other), other.args, other.exit_code) == (type(error), error.args, error.exit_code)
    assert vars(other) == before | {
        "effected": Effected.YES,
        "standing": "All of it stands.",
        "details": before["details"] | {"detail": "another"},
    }
    assert other.remedy.startswith("All of it stands. ")
    again = other.copy()
    assert vars(again) == vars(other), "what nobody says anew stays"
    assert again.details is not other.details


def refused(numbers: tuple[int, ...], text: str = "no.") -> TokenError:
    clock = "400 s ahead of the service's"
    return TokenError("invalid_client", numbers, f"{text} {TRAILER}", app_id="app-1", tenant="tenant-1", clock=clock)


def graph(status: int, code: str, *details: str) -> GraphError:
    return GraphError(status, code, "m", action="a", request_id="r-1", date="d-1", inner_codes=details)


def test_P11_codes_request_id_and_date_reach_the_result() -> None:
    found = graph(404, "Request_ResourceNotFound", "Inner").as_dict()
    assert (found["status"], found["code"], found["details"]) == (404, "Request_ResourceNotFound", ["Inner"])
    assert (found["request_id"], found["date"]) == ("r-1", "d-1")
    assert "r-1" in found["message"]
    assert "d-1" in found["message"]


@pytest.mark.parametrize("separator", [" ", "\r\n"])
@pytest.mark.parametrize(
    "make",
    [
        lambda text: TokenError("invalid_client", (700027, 50012), text, app_id="a"),
        lambda text: SignInError(text, "t"),
    ],
    ids=["app", "person"],
)
def test_P11_trace_correlation_and_time_reach_the_result(
    make: Callable[[str], TokenError | SignInError], separator: str
) -> None:
    trailer = TRAILER.replace(" Corr", f"{separator}Corr").replace(" Time", f"{separator}Time")
    error = make(f"AADSTS700027: {'long ' * 400}AADSTS50012{separator}{trailer}")
    found = error.as_dict()
    assert found["codes"] == [700027, 50012]
    assert (found["trace_id"], found["correlation_id"], found["timestamp"]) == PARTS
    assert TRAILER in error.summary, "a person who reads the message can quote them too"


@pytest.mark.parametrize(
    ("error", "id", "exit_code", "docs", "remedy"),
    [
        (refused((700027,)), "token.refused", 3, "aadsts700027", "entraclaw-setup migrate"),
        (refused((99999, 53003)), "token.refused", 5, "aadsts53003", "Conditional Access"),
        (refused((7000229,)), "token.refused", 3, "aadsts7000229", "az ad sp create --id app-1"),
        (refused((90002,)), "token.refused", 2, "aadsts90002", "--tenant"),
        (refused((50076,)), "token.refused", 4, "aadsts50076", "az login --tenant tenant-1"),
        (refused((700024,)), "token.clock", 3, "token-clock", "400 s ahead of the service"),
        (refused((99999,)), "token.refused", 7, "token-refused", "AADSTS99999 is not in this version's table"),
        (refused(()), "token.refused", 7, "token-refused", "unknown is not in this version's table"),
        (SignInError("AADSTS70043: x", "t-1"), "az.expired", 4, "aadsts70043", "az login --tenant t-1"),
        (SignInError("AADSTS53003: x", "t-1"), "az.refused", 5, "aadsts53003", "Conditional Access"),
        (SignInError("AADSTS90002: x", "t-1"), "az.refused", 2, "aadsts90002", "--tenant"),
        (SignInError("AADSTS90033: x", "t-1"), "az.refused", 7, "aadsts90033", "later"),
        (SignInError("AADSTS99999: x", "t-1"), "az.refused", 4, "az-refused", "AADSTS99999 is not in this version's"),
        (SignInError("refresh token", "t-1"), "az.expired", 4, "az-expired", "az login --tenant t-1"),
        (graph(403, "Authorization_RequestDenied"), "graph.forbidden", 5, "authorization_requestdenied", "owner of"),
        (graph(403, "Odd"), "graph.forbidden", 5, "graph-forbidden", "Odd is not in this version's table"),
        (graph(403, "Request_BadRequest"), "graph.forbidden", 5, "request_badrequest", "report it"),
        (graph(400, "Request_BadRequest", "ObjectConflict"), "graph.refused", 3, "objectconflict", "another name"),
        (graph(400, "CredentialTypeNotAllowedAsPerAppPolicy"), "graph.refused", 5, "credentialtype", "policies"),
        (graph(401, "InvalidAuthenticationToken"), "graph.refused", 4, "invalidauthenticationtoken", "az login"),
        (graph(400, "Odd", "Odder"), "graph.refused", 7, "graph-refused", "Odd / Odder is not in this version's"),
    ],
    ids=lambda value: str(value) if isinstance(value, str | int) else "",
)
def test_P11_U5_the_code_decides_the_remedy_and_the_exit_code(
    error: CodedError, id: str, exit_code: int, docs: str, remedy: str
) -> None:
    assert (error.id, error.exit_code) == (id, exit_code)
    assert remedy in error.remedy
    assert error.docs.startswith(f"docs/reference/errors.md#{docs}")
    assert error.as_dict()["docs"] == error.docs
    assert ("meaning" in error.as_dict()) == (error.known is not None)


def test_P11_an_unknown_code_keeps_everything_and_says_where_to_look_it_up() -> None:
    token = refused((99999,), "AADSTS99999: A sentence of tomorrow.")
    assert f"AADSTS99999: A sentence of tomorrow. {TRAILER}" in token.summary
    assert "https://login.microsoftonline.com/error" in token.remedy
    assert token.as_dict()["codes"] == [99999]
    unknown = GraphError(400, "Odd", "A sentence.", action="a", request_id="r-1", date="d-1")
    for part in ("400", "Odd", "A sentence.", "r-1", "d-1"):
        assert part in unknown.summary
    assert "https://learn.microsoft.com/graph/errors" in unknown.remedy


@pytest.mark.parametrize("front", ["plain", "json"])
def test_D4_a_secret_in_an_answer_is_not_shown(front: str) -> None:
    shaped, known = "abc8Q~" + "x" * 34, Secret("a-known-value-of-no-special-shape")
    filling = "x " * 285  # so that the limit of the sentence would cut the secret in two
    for error in (
        refused((99999,), f"AADSTS99999: {shaped} and {known.reveal()}"),
        refused((99999,), f"AADSTS99999: {filling}{known.reveal()}"),
        SignInError(f"AADSTS99999: {filling}{known.reveal()} {shaped}", "t"),
        GraphError(400, "Odd", f"{shaped} {known.reveal()}", action="a", request_id="r", date="d"),
    ):
        out = io.StringIO()
        renderer = Ndjson(None, out) if front == "json" else Plain(out, out, colour=False, quiet=False, verbose=True)
        renderer.result("migrate", "failed", 7, {}, [error.as_dict()])
        assert out.getvalue()
        assert shaped not in out.getvalue()
        assert known.reveal()[:12] not in out.getvalue()


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


@pytest.mark.parametrize("id", sorted(table()))
def test_U10_no_row_says_what_stands_for_the_same_error_comes_at_any_moment(id: str) -> None:
    texts = " ".join(str(text) for text in (table()[id]["summary"], table()[id]["remedy"]))
    for claim in ("Nothing was changed", "Nothing was stored", "still works", "both kept", "keeps no"):
        assert claim not in texts, "whoever knows it says it: SetupError.standing"
