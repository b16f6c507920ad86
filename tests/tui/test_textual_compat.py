"""Private names of Textual, which any release may change: all in one module, and each known to the one installed."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

import wizard
from wizard.tui.textual_compat import TextualApp

SOURCE: Final = Path(wizard.__file__).parent
COMPAT: Final = "wizard.tui.textual_compat"
MODULES: Final = tuple(
    ".".join(("wizard", *path.relative_to(SOURCE).with_suffix("").parts))
    for path in sorted(SOURCE.rglob("*.py"))
    if path.stem not in ("__init__", "__main__")
)


def private(name: str) -> bool:
    """Whether a name is one that its class or module keeps to itself."""
    return name.startswith("_") and not name.startswith("__") and name != "_"


def own(tree: ast.AST) -> set[str]:
    """Private names that a class defines, or uses on itself."""
    found = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "cls", "super()"):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return set(filter(private, found))


@cache
def tree_of(cls: type) -> ast.Module:
    """The source of a class."""
    return ast.parse(textwrap.dedent(inspect.getsource(cls)))


def frameworks(cls: type) -> list[type]:
    """What a class has from Textual."""
    return [base for base in cls.__mro__ if base.__module__.partition(".")[0] == "textual"]


def theirs(cls: type) -> set[str]:
    """Private names that a class has from Textual."""
    return {name for base in frameworks(cls) for name in own(tree_of(base))}


def used(module: str) -> Iterator[str]:
    """Private names of Textual that a module imports, reaches for in another object, or has on an object of its own."""
    source = inspect.getsource(import_module(module))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "textual":
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            yield from filter(private, names)
        elif isinstance(node, ast.Attribute) and private(node.attr) and "textual" in source:
            holder = ast.unparse(node.value)
            if holder not in ("self", "cls", "super()", "os"):
                yield f"{holder}.{node.attr}"
    for cls in vars(import_module(module)).values():
        if isinstance(cls, type) and cls.__module__ == module:
            yield from own(tree_of(cls)) & theirs(cls)


def test_every_private_name_of_textual_that_is_used_is_one_that_it_has() -> None:
    assert own(tree_of(TextualApp))
    assert own(tree_of(TextualApp)) - theirs(TextualApp) == set()


@pytest.mark.parametrize("module", [module for module in MODULES if module != COMPAT])
def test_no_other_module_uses_a_private_name_of_textual(module: str) -> None:
    assert sorted(used(module)) == []
