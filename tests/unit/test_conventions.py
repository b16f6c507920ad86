"""What every source file keeps to, read from its syntax (M8, Q3)."""

from __future__ import annotations

import ast
import builtins
import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from core.errors.exit_codes import ExitCode

SRC: Final = Path(__file__).parents[2] / "src"
#: The pretend world keeps files of its own, in a folder that nobody else knows.
SANDBOX: Final = "core/sandbox/"
#: What opens, creates or flushes a file with care, and what is easily done without it.
CAREFUL: Final = frozenset(
    {"O_NOFOLLOW", "O_NONBLOCK", "mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryFile", "fsync", "fdatasync"}
)


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of the program but the sandbox's, by its path."""
    files = {path.relative_to(SRC).as_posix(): path for path in sorted(SRC.rglob("*.py"))}
    return {name: ast.parse(path.read_text()) for name, path in files.items() if not name.startswith(SANDBOX)}


def nodes(*, but: tuple[str, ...] = ()) -> Iterator[tuple[str, ast.AST]]:
    """Every node with the place where it stands.

    :param but: modules that are left out.
    """
    for name, tree in trees().items():
        if name not in but:
            for node in ast.walk(tree):
                yield f"{name}:{getattr(node, 'lineno', 0)}", node


def test_M8_files_are_opened_created_and_flushed_in_one_place() -> None:
    def careful(node: ast.AST) -> bool:
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="open"):
                return True
            case ast.Attribute(attr=name) | ast.alias(name=name) | ast.Constant(value=str(name)):
                return name in CAREFUL
        return False

    assert "core/files.py" in trees()
    assert [place for place, node in nodes(but=("core/files.py",)) if careful(node)] == []


def test_U4_an_exit_code_is_a_member_of_the_enumeration() -> None:
    names = ("exit_code", "return_code", "exit")

    def named(node: ast.expr | None) -> bool:
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                return name in names
        return False

    def number(*values: ast.expr | None) -> bool:
        constants = [node for value in values if value is not None for node in ast.walk(value)]
        return any(isinstance(node, ast.Constant) and type(node.value) is int for node in constants)

    def pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            yield from zip(target.elts, value.elts, strict=True)
        else:
            yield target, value

    def literal(node: ast.AST) -> bool:
        match node:
            case ast.Assign(targets=targets, value=value):
                return any(named(name) and number(one) for target in targets for name, one in pairs(target, value))
            case ast.AnnAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
                return named(target) and number(value)
            case ast.keyword(arg=name, value=value):
                return name in names and number(value)
            case ast.Compare(left=left, comparators=others):
                return any(map(named, (left, *others))) and number(left, *others)
            case ast.FunctionDef(name=name, returns=returns):
                codes = name == "exit_code" or (returns is not None and ast.unparse(returns) == "ExitCode")
                return codes and number(*(each.value for each in ast.walk(node) if isinstance(each, ast.Return)))
        return False

    enumeration = ("core/errors/exit_codes.py",)
    assert [place for place, node in nodes(but=enumeration) if literal(node)] == []


def test_U4_every_exit_code_says_what_it_means_and_stands_in_the_reference() -> None:
    (members,) = (node for node in trees()["core/errors/exit_codes.py"].body if isinstance(node, ast.ClassDef))
    for code, text in pairwise(members.body):
        if isinstance(code, ast.Assign):
            assert isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant), ast.unparse(code)
    page = (SRC.parent / "docs/reference/exit-codes.md").read_text()
    rows = re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE)
    assert [int(number) for row in rows for number in row.split(",")] == [int(code) for code in ExitCode]
    assert json.dumps({"exit_code": ExitCode.HALF_WAY}) == '{"exit_code": 6}'


#: Functions whose result is an error as a value, and why it is not raised.
VALUES: Final = {
    "core/entra/answers.py:error_of": "what the items of a batch came to: each is a body or an error",
    "core/entra/graph.py:_item": "the same",
    "core/entra/permissions.py:refused_grant": "what a rehearsal was answered",
    "core/flow/engine.py:internal": "a bug is told, by the run or by whoever has nothing left to run",
    "core/flow/engine.py:_asked_before_undo": "the answer of Flow.before_undo",
    "core/flows/migrate.py:_before_undo": "what forbids an undo is told, and the run goes on to its end",
    "core/steps/hand_off/handoff.py:before_undo": "the same",
    "core/steps/passwords/delete.py:vanished": "the same",
}


@cache
def error_classes() -> frozenset[str]:
    """Names of the exceptions of Python, and of those that are defined here."""
    found = {name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, Exception)}
    found |= {"BaseException", "ArgumentTypeError", "DBusErrorResponse", "UnsupportedAlgorithm"}  # and of the libraries
    classes = [node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while more := {c.name for c in classes if any(last_name(base) in found for base in c.bases)} - found:
        found |= more
    return frozenset(found)


def last_name(node: ast.expr) -> str:
    """The last part of a dotted name; empty for anything else."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def is_error(annotation: ast.expr | None) -> bool:
    """Whether what is annotated like this is an exception, or may be one."""
    match annotation:
        case ast.BinOp(left=left, right=right):
            return is_error(left) or is_error(right)
        case ast.Name() | ast.Attribute():
            return last_name(annotation) in error_classes()
    return False


def errors_of(tree: ast.AST) -> frozenset[str]:
    """Names that stand for exceptions somewhere in a module."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ExceptHandler(name=str(name)):
                found.add(name)
            case ast.arg(arg=name, annotation=annotation) if is_error(annotation):
                found.add(name)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation) if is_error(annotation):
                found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=called)) if is_error(called):
                found.add(name)
    return frozenset(found)


def test_M5_an_error_that_was_made_stays_as_it_is() -> None:
    """Whoever knows more of it tells a copy; `SetupError.copy` is the only one that fills a made error."""
    members = {"effected", "standing", "details"}
    changing = {"update", "pop", "popitem", "clear", "setdefault", "__setitem__"}

    def inside(node: ast.expr) -> ast.expr:
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        return node

    def mutates(node: ast.AST, errors: frozenset[str]) -> bool:
        def part(target: ast.expr) -> bool:
            if isinstance(target, ast.Tuple):
                return any(map(part, target.elts))
            if not isinstance(target, ast.Attribute | ast.Subscript):
                return False
            root = inside(target)
            outside = isinstance(target, ast.Attribute) and not (isinstance(root, ast.Name) and root.id == "self")
            named = isinstance(root, ast.Name) and root.id in errors
            return named or (outside and isinstance(target, ast.Attribute) and target.attr in members)

        match node:
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                return any(map(part, targets))
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
                return part(target)
            case ast.Call(func=ast.Name(id="setattr"), args=[ast.Name(id=name), *_]):
                return name in errors
            case ast.Call(func=ast.Attribute(value=ast.Attribute() as whose, attr=attr)) if attr in changing:
                root = inside(whose)
                return isinstance(root, ast.Name) and root.id in errors
        return False

    found: list[str] = []
    for name, tree in trees().items():
        if not name.startswith("core/errors/"):
            errors = errors_of(tree)
            found += [f"{name}:{getattr(node, 'lineno', 0)}" for node in ast.walk(tree) if mutates(node, errors)]
    assert found == []


def test_M5_an_error_is_raised_and_not_returned() -> None:
    found = [
        f"{name}:{node.name}"
        for name, tree in trees().items()
        if not name.startswith("core/errors/")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_error(node.returns)
    ]
    assert sorted(found) == sorted(VALUES)


def test_M5_what_is_raised_was_made_before_or_is_made_by_its_class() -> None:
    """Whatever else it takes to raise an error is done in a line of its own."""

    def works(raised: ast.expr | None) -> bool:
        match raised:
            case None | ast.Name():
                return False
            case ast.Attribute(value=value) | ast.Subscript(value=value):
                return works(value)
            case ast.Call(func=ast.Attribute(value=value, attr="copy")):
                return works(value)
            case ast.Call(func=called):
                return last_name(called) not in error_classes()
            case ast.BoolOp(values=values):
                return any(map(works, values))
        return True

    assert [place for place, node in nodes() if isinstance(node, ast.Raise) and works(node.exc)] == []
