"""Every sentence of an error is filled from what its raise site gives: no brace, no None, no empty value (P11, U10)."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import core
from core import errors
from core.errors import Caller, CodedError, GraphError, Interrupted, SetupError, SignInError, TokenError, codes
from core.errors.exit_codes import ExitCode

SOURCES: Final = Path(core.__file__).parents[1]
#: Errors whose first argument is an id, and what gives theirs to those that name it themselves.
BY_ID: Final = frozenset({"SetupError", "KeystoreError", "NetworkError", "CodedError", "__init__"})
#: Arguments that are no details.
NO_DETAILS: Final = frozenset({"effected"})
TENANT, APP = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


class Site(NamedTuple):
    """A place that raises, or makes, an error.

    :param details: by name, the expression that it is given; `**` for those that are collected elsewhere.
    """

    place: str
    id: str
    details: dict[str, ast.expr]

    @property
    def open(self) -> bool:
        return "**" in self.details


@cache
def sites() -> tuple[Site, ...]:
    """Every place in the product that makes an error by its id."""
    return tuple(site for path in sorted(SOURCES.rglob("*.py")) for site in _sites(path))


def _sites(path: Path) -> Iterator[Site]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)):
            continue
        called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        if called not in BY_ID:
            continue
        first = node.args[0] if node.args else None
        for id in _texts(first):
            if id in errors.table():
                given = [keyword for keyword in node.keywords if keyword.arg not in NO_DETAILS]
                details = {keyword.arg or "**": keyword.value for keyword in given}
                yield Site(f"{path.relative_to(SOURCES)}:{node.lineno}", id, details)


def _texts(node: ast.expr | None) -> Iterator[str]:
    """The texts that an argument may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def placeholders(*texts: str) -> set[str]:
    return {name.partition(".")[0] for text in texts for _, name, _, _ in string.Formatter().parse(text) if name}


def test_P11_every_placeholder_of_a_row_is_filled_by_everybody_who_uses_it() -> None:
    missing = []
    for site in sites():
        row = errors.table()[site.id]
        lacking = placeholders(row["summary"], row["remedy"]) - set(site.details)
        if lacking and not site.open and site.id not in CODED:
            missing.append(f"{site.place}: {site.id} lacks {', '.join(sorted(lacking))}")
    assert missing == []


def test_P11_no_fact_is_given_that_no_sentence_uses() -> None:
    """A fact that nobody reads is a cause that nobody is told."""
    spare = []
    for site in sites():
        row = errors.table()[site.id]
        told = placeholders(row["summary"], row["remedy"])
        unused = set(site.details) - told - {"**"} - PROGRAMS
        if unused and site.id not in CODED:
            spare.append(f"{site.place}: {site.id} does not tell {', '.join(sorted(unused))}")
    assert spare == []


def test_U10_no_fact_can_be_none_or_empty() -> None:
    """An expression that may yield None would be read as a word by a person."""
    wrong = []
    for site in sites():
        for name, value in site.details.items():
            if name not in OPTIONAL and _may_be_nothing(value):
                wrong.append(f"{site.place}: {site.id} {name}={ast.unparse(value)}")
    assert wrong == []


def _may_be_nothing(value: ast.expr) -> bool:
    match value:
        case ast.Constant(value=constant):
            return constant in (None, "")
        case ast.Call(func=ast.Attribute(attr="get"), args=[_]):
            return True
        case ast.BoolOp(op=ast.Or(), values=values):
            return _may_be_nothing(values[-1])
        case ast.IfExp(body=body, orelse=orelse):
            return _may_be_nothing(body) or _may_be_nothing(orelse)
        case ast.Attribute(attr="strerror"):
            return True
    return False


def test_P11_every_row_is_used() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py"))
    assert [id for id in errors.table() if f'"{id}"' not in text and f"'{id}'" not in text] == []


VALUES: Final = st.text("abcdefgh0123456789-/", min_size=1, max_size=12)


@settings(max_examples=500)
@given(id=st.sampled_from(sorted(errors.table())), data=st.data())
def test_P11_no_brace_and_no_gap_is_left_in_a_sentence(id: str, data: st.DataObject) -> None:
    row = errors.table()[id]
    details: dict[str, Any] = {name: data.draw(VALUES) for name in sorted(placeholders(row["summary"], row["remedy"]))}
    details |= {name: "" for name in details if name in OPTIONAL}
    error = SetupError(id, **details)
    for text in (error.summary, error.remedy):
        assert not re.search(r"[{}]|\bNone\b|  ", text), text
    for name in set(details) - OPTIONAL:
        assert details[name] in f"{error.summary} {error.remedy}"


CALLERS: Final = (Caller(TENANT, APP), Caller(TENANT, APP, app=True))


def graph(code: str, status: int, caller: Caller, **more: Any) -> GraphError:
    return GraphError(status, code, "m", action="do it", request_id="r", date="d", caller=caller, **more)


def everything(name: str, service: str) -> Iterator[CodedError]:
    """The errors that carry a code, as their raise sites make them."""
    if service == "Graph":
        for caller in CALLERS:
            for status in (400, 401, 403, 404, 409, 503):
                yield graph(name, status, caller)
                yield graph("Odd", status, caller, inner_codes=(name,))
        return
    number = int(name.removeprefix("AADSTS"))
    yield TokenError("invalid_client", (number,), f"{name}: m {APP}", app_id=APP, tenant=TENANT)
    for tenant in (TENANT, ""):
        yield SignInError(f"{name}: m '{APP}'", tenant)


@pytest.mark.parametrize(
    "row", [*codes.table().values(), codes.Code("Graph", "Odd", "", "", ExitCode.SERVICE)], ids=lambda row: row.name
)
def test_P11_every_remedy_of_a_code_is_filled(row: codes.Code) -> None:
    for error in everything(row.name, row.service):
        for text in (error.summary, error.remedy):
            assert not re.search(r"[{}]|\bNone\b|<|  ", text), text


@pytest.mark.parametrize("tenant", [TENANT, ""])
@pytest.mark.parametrize("text", ["no code at all", "AADSTS99999: new", "Interactive authentication is needed"])
def test_P11_a_refusal_without_a_known_code_is_filled_too(text: str, tenant: str) -> None:
    error = SignInError(text, tenant)
    assert "<" not in error.remedy
    assert f"az login --tenant {tenant}" in error.remedy if tenant else "az login" in error.remedy


def test_U10_an_interruption_says_what_is_true() -> None:
    assert Interrupted(15).summary == "Interrupted."


#: Rows of errors with a code: their classes fill them, and the tests above make every one of them.
CODED: Final = frozenset(id for id in errors.table() if id.partition(".")[0] in ("graph", "token")) | {
    "az.expired",
    "az.refused",
}
#: Facts for programs, which read them as members of an error.
PROGRAMS: Final = frozenset[str]()
#: Facts that may be empty, because their sentences are built around them.
OPTIONAL: Final = frozenset({"tenant_option", "names", "fix", "later", "where", "left", "older", "**"})
