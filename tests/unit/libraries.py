"""What the sources of a library read and start: variables of the environment, programs, code by name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_STARTS = re.compile(
    r"subprocess\.(Popen|run|call|check_call|check_output|getoutput)|asyncio\.create_subprocess_(exec|shell)"
    r"|os\.(system|popen|execv|execve|execvp|execl|spawnv|spawnl|posix_spawn|startfile)|pty\.spawn|webbrowser\.(open|get)"
)
_LOADS = re.compile(
    "CDLL|WinDLL|OleDLL|PyDLL|LoadLibrary|find_library|import_module|__import__|entry_points|exec_module|windll|cdll|dlopen"
)
#: What a source holds that is worth a closer look.
_HINT = re.compile(
    r"[Ee]nviron|getenv|subprocess|os\.(system|popen|exec|spawn|posix_spawn|startfile)|pty\.spawn|webbrowser|DLL|[wc]dll"
    r"|indll|LoadLibrary|find_library|import_module|__import__|entry_points|exec_module|dlopen"
)
_READERS = ("environ", "environb")
_FUNCTIONS = ("getenv", "getenvb", "get_environ", "_get_environ_bool", "_get_environ_int", "_get_environ_port")


@dataclass(frozen=True)
class Read:
    """One thing that a module reads or starts.

    :param kind: `variable`, `start` or `load`.
    :param name: of the variable, `?` where it is computed; else of what is called.
    """

    module: str
    kind: str
    name: str


def reads(folder: Path, packages: Iterable[str]) -> set[Read]:
    """All of some packages or modules.

    :param folder: where they are installed.
    """
    found: set[Read] = set()
    for package in packages:
        root = folder / package
        files = sorted(root.rglob("*.py")) if root.is_dir() else [root.with_suffix(".py")]
        texts = {file: file.read_text(encoding="utf-8-sig", errors="replace") for file in files}
        trees = {file: ast.parse(text) for file, text in texts.items() if _HINT.search(text)}
        constants = {name: value for tree in trees.values() for name, value in _constants(tree)}
        for file, tree in trees.items():
            module = file.relative_to(folder).with_suffix("").as_posix()
            found |= {Read(module, kind, name) for node in ast.walk(tree) for kind, name in _read(node, constants)}
    return found


def _constants(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that stand for a text."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=ast.Constant(value=str(value))):
                yield from ((_dotted(target).rpartition(".")[2], value) for target in targets)
            case ast.AnnAssign(target=target, value=ast.Constant(value=str(value))):
                yield _dotted(target).rpartition(".")[2], value


def _read(node: ast.AST, constants: dict[str, str]) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Call():
            yield from _call(node, constants)
        case ast.Subscript(value=value, slice=key) if _environ(_dotted(value)):
            yield "variable", _text(key, constants)
        case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[right]) if _environ(_dotted(right)):
            yield "variable", _text(left, constants)
        case ast.Attribute() if _dotted(node).split(".")[-2:-1] in (["windll"], ["cdll"]):
            yield "load", _dotted(node)


def _call(node: ast.Call, constants: dict[str, str]) -> Iterator[tuple[str, str]]:
    name = _dotted(node.func)
    *_, before, last = ["", "", *name.split(".")]
    if node.args and last in _FUNCTIONS:
        yield "variable", _text(node.args[0], constants)
    if node.args and last in ("get", "pop", "setdefault") and _environ(before):
        yield "variable", _text(node.args[0], constants)
    if last in ("items", "copy", "keys") and _environ(before):
        yield "variable", "?"
    for keyword in node.keywords:
        if keyword.arg == "env_var" and isinstance(keyword.value, ast.Constant) and keyword.value.value:
            yield "variable", str(keyword.value.value)
    if _STARTS.fullmatch(name):
        yield "start", name
    constant = bool(node.args) and isinstance(node.args[0], ast.Constant)
    if _LOADS.fullmatch(last) and not (last in ("import_module", "__import__") and constant):
        yield "load", name


def _environ(dotted: str) -> bool:
    return dotted.rpartition(".")[2].lstrip("_") in _READERS


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.AST, constants: dict[str, str]) -> str:
    """The name of a variable, as far as the source shows it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    name = _dotted(node).rpartition(".")[2]
    return constants.get(name, "?") if name.isupper() else "?"
