"""What every source file keeps to, read from its syntax (M8, Q3)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

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
