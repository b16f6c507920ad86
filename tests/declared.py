"""What a step uses of what the run knows, read from its code and that of all its helpers, rare paths included."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from types import FunctionType, ModuleType
from typing import Any, Final

from core.flow.step import Step
from core.steps.context import Context

#: Rooms in which helpers are followed.
_ROOMS: Final = ("core.steps", "core.flows")
_METHODS: Final = ("check", "plan", "apply", "undo")
_OPERATIONS: Final = ("get", "maybe", "put", "drop")
Use = tuple[str, type[Any]]


def uses(step: type[Step[Any]]) -> set[Use]:
    """All that a step's methods may do with facts: operation and type."""
    found: set[Use] = set()
    done: set[tuple[FunctionType, type | None]] = set()
    todo: list[tuple[FunctionType, type | None]] = []
    for method in _METHODS:
        todo += _member(step, method, step)
    while todo:
        function, owner = todo.pop()
        if (function, owner) not in done:
            done.add((function, owner))
            found.update(_direct(function))
            todo += _helpers(function, owner)
    return found


def _member(kind: type, name: str, owner: type) -> list[tuple[FunctionType, type | None]]:
    for base in kind.__mro__:
        if name in vars(base):
            plain = _plain(vars(base)[name])
            return [(plain, owner)] if plain is not None and _ours(plain) else []
    return []


def _plain(member: object) -> FunctionType | None:
    if isinstance(member, property):
        member = member.fget
    if isinstance(member, staticmethod | classmethod):
        member = member.__func__
    member = inspect.unwrap(member) if callable(member) else member
    if not isinstance(member, FunctionType) or member.__code__.co_filename.startswith("<"):
        return None  # a dataclass made it
    return member


def _ours(member: Any) -> bool:
    return str(member.__module__).startswith(_ROOMS)


@cache
def _tree(function: FunctionType) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(function)))


def _names(function: FunctionType) -> dict[str, object]:
    names = dict(function.__globals__)
    for node in ast.walk(_tree(function)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                there = getattr(module, alias.name, None) or importlib.import_module(f"{node.module}.{alias.name}")
                names[alias.asname or alias.name] = there
    return names


def _helpers(function: FunctionType, owner: type | None) -> Iterator[tuple[FunctionType, type | None]]:
    names = _names(function)
    called = {id(node.func) for node in ast.walk(_tree(function)) if isinstance(node, ast.Call)}
    for node in ast.walk(_tree(function)):
        if isinstance(node, ast.Attribute):
            yield from _of_attribute(node, names, function, owner)
        elif isinstance(node, ast.Name):
            there = names.get(node.id)
            if isinstance(there, type) and id(node) in called and _ours(there) and not issubclass(there, Step):
                for name in vars(there):
                    yield from _member(there, name, there)
            elif (plain := _plain(there)) is not None and not isinstance(there, type) and _ours(plain):
                yield plain, None


def _of_attribute(
    node: ast.Attribute, names: dict[str, object], function: FunctionType, owner: type | None
) -> Iterator[tuple[FunctionType, type | None]]:
    value = node.value
    if isinstance(value, ast.Call):
        if isinstance(value.func, ast.Name) and value.func.id == "super" and owner is not None:
            for base in owner.__mro__[1:]:
                plain = _plain(vars(base).get(node.attr))
                if plain is not None and plain is not function and _ours(plain):
                    yield plain, owner
        value = value.func
    if isinstance(value, ast.Name) and value.id in ("self", "cls") and owner is not None:
        yield from _member(owner, node.attr, owner)
    there = names.get(value.id) if isinstance(value, ast.Name) else None
    if isinstance(there, ModuleType):
        plain = _plain(getattr(there, node.attr, None))
        if plain is not None and _ours(plain):
            yield plain, None
    elif isinstance(there, type):
        yield from _member(there, node.attr, there)
    whole = ast.unparse(node.value)
    if whole in ("ctx", "self.ctx", "Context"):
        yield from _member(Context, node.attr, Context)


def _direct(function: FunctionType) -> Iterator[Use]:
    names, kinds = _names(function), dict[str, type]()
    operations = []
    for node in ast.walk(_tree(function)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _OPERATIONS:
            whole = ast.unparse(node.func.value)
            if whole.rpartition(".")[2] == "facts":
                operations.append((node.func.attr, node.args[0]))
    for operation, argument in operations:
        if operation != "put" and (kind := _named(argument, names)) is not None:
            yield operation, kind
    for node in ast.walk(_tree(function)):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(node, ast.Assign | ast.NamedExpr | ast.AnnAssign) and isinstance(target, ast.Name):
            kind_of = _kind(value, names, kinds)
            if kind_of is not None:
                kinds[target.id] = kind_of
    for operation, argument in operations:
        if operation == "put":
            put = _kind(argument, names, kinds)
            assert put is not None, f"{function.__qualname__}: put({ast.unparse(argument)})"
            yield operation, put


def _named(node: ast.AST, names: dict[str, object]) -> type | None:
    """The type that a name stands for, alone or behind that of its module."""
    there: object = None
    if isinstance(node, ast.Name):
        there = names.get(node.id)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        there = getattr(names.get(node.value.id), node.attr, None)
    return there if isinstance(there, type) else None


def _kind(node: ast.AST | None, names: dict[str, object], kinds: dict[str, type]) -> type | None:
    """The type of a fact that an expression makes, as far as it is told by its form."""
    if isinstance(node, ast.Name):
        return kinds.get(node.id)
    if isinstance(node, ast.Attribute) and (read := _plain(vars(Context).get(node.attr))) is not None:
        returned = ast.parse(str(read.__annotations__.get("return")), mode="eval").body
        return _named(returned, read.__globals__)
    if isinstance(node, ast.BoolOp):
        return next((kind for value in node.values if (kind := _kind(value, names, kinds)) is not None), None)
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "maybe") and node.args:
            return _named(node.args[0], names)
        if isinstance(node.func, ast.Name) and node.func.id == "replace" and node.args:
            return _kind(node.args[0], names, kinds)
        return _named(node.func, names)
    return None
