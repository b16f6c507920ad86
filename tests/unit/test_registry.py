"""Which flow it is, is decided in `core.flows` alone: nothing else spells the name of one (Q3, U1)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import core
from core.config.options import OPTIONS
from core.flow.step import Flow
from core.flows import registry

SOURCE = Path(core.__file__).parents[1]
NAMES = {row.name for row in registry.ROWS if row.load or row.missing}
#: The same letters as a word of another thing, and how often.
OTHER_WORDS = {
    "core/checks/app.py": ("rollback", 2, "the check of the diagnosis with that name"),
    "core/checks/project.py": ("rollback", 1, "the check of the diagnosis with that name"),
    "core/checks/verify.py": ("rollback", 2, "the same check"),
    "core/steps/passwords/rollback_secret.py": ("rollback", 1, "written into the journal that a flow leaves behind"),
    "core/config/options.py": ("migrate apply", 5, "the command whose help an error names"),
}
#: What a word of another thing must not be either, wherever it stands.
DECISIONS = (ast.Compare, ast.match_case, ast.Subscript, ast.Dict, ast.List, ast.Set, ast.Tuple)


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if not name.startswith(
            ("core/flows/", "core/sandbox/")
        ):  # the sandbox knows no flow: "apply" and such are Graph's
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def spelled(tree: ast.AST) -> list[str]:
    """Names of flows that stand there alone as a text, or with others as a list of words."""
    return [word for node in ast.walk(tree) for word in _names(node)]


def decisions(tree: ast.AST) -> list[str]:
    """Names of flows that are compared, matched, looked up, or gathered."""
    parts = [part for node in ast.walk(tree) if isinstance(node, DECISIONS) for part in _operands(node)]
    return [word for part in parts for word in _names(part)]


def _names(node: ast.AST) -> list[str]:
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    words = [word for word in re.split(r"[\s,|]+", text) if word]
    return words if set(words) <= NAMES else []


def _operands(node: ast.AST) -> list[ast.AST]:
    match node:
        case ast.Compare():
            return [node.left, *node.comparators]
        case ast.match_case():
            return list(ast.walk(node.pattern))
        case ast.Subscript():
            return [node.slice]
        case ast.Dict():
            return [part for part in (*node.keys, *node.values) if part is not None]
        case ast.List() | ast.Set() | ast.Tuple():
            return list(node.elts)
        case _:
            return []


def test_Q3_no_name_of_a_flow_is_spelled_outside_its_room() -> None:
    found = {name: told for name, tree in modules() if (told := spelled(tree))}
    assert {name: (set(told), len(told)) for name, told in found.items()} == {
        name: (set(words.split()), count) for name, (words, count, _) in OTHER_WORDS.items()
    }


def test_Q3_nothing_is_decided_by_the_name_of_a_flow() -> None:
    found = {name: told for name, tree in modules() if (told := decisions(tree))}
    # verdicts and needs of checks: the one of that name
    assert found == {"core/checks/app.py": ["rollback", "rollback"], "core/checks/verify.py": ["rollback"]}


@pytest.mark.parametrize(
    "line",
    [
        'x == "migrate"',
        'x in ("migrate", y)',
        '{"onboard": 1}',
        '{1: "apply"}',
        'y["rollback"]',
        'frozenset({"migrate"})',
        'for x in ["apply"]: pass',
        'match x:\n case "a" | "migrate": pass',
        '"migrate" if x != "rotate" else y',
        'x in ("migrate onboard", "")',
    ],
)
def test_Q3_the_search_finds_every_kind_of_decision(line: str) -> None:
    assert decisions(ast.parse(line))


def test_every_row_leads_somewhere() -> None:
    for row in registry.commands():
        assert {option for option in registry.options(row) if option not in OPTIONS} == set(), row.name
        assert row.help
        if row.result:
            assert callable(registry.load(row.result))
    for spec in registry.flows():
        flow = registry.load(spec.load)
        assert isinstance(flow, Flow)
        assert flow.spec is spec
    assert len({row.name for row in registry.ROWS}) == len(registry.ROWS)
    assert len({entry.place for _, entry in registry.menu()}) == len(registry.menu())
