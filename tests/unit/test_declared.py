"""Every step of the product declares what it uses of what a run knows, and every flow puts its steps in order (Q3)."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import core.flows
import core.steps
from core.flow.facts import FactError, check_order
from core.flow.step import Flow, Stage, Step
from core.steps import facts
from core.steps.tools import with_tools
from tests.declared import uses

SOURCES: Final = Path(core.steps.__file__).parents[1]
ROOMS: Final = ("flow", "steps", "flows", "checks")
for room in (core.steps, core.flows):
    for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
        importlib.import_module(module.name)
FLOWS: Final[dict[str, Flow[Any]]] = {
    name: with_tools(importlib.import_module(f"core.flows.{name}").FLOW)
    for name in ("migrate", "onboard", "rollback", "apply")
}


def steps_below(kind: type[Any]) -> Iterator[type[Step[Any]]]:
    for below in kind.__subclasses__():
        yield below
        yield from steps_below(below)


STEPS: Final = sorted(
    {step for step in steps_below(Step) if step.__module__.startswith("core.")},
    key=lambda step: (step.__module__, step.__name__),
)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_a_step_declares_what_it_and_its_helpers_use_and_nothing_else(step: type[Step[Any]]) -> None:
    changed = {*step.gives, *step.updates}
    counted_on = {*step.needs, *changed}
    used = uses(step)
    assert {kind for operation, kind in used if operation in ("put", "drop")} == changed
    assert {kind for operation, kind in used if operation == "get"} <= counted_on
    assert {kind for _, kind in used} == {*counted_on, *step.maybe}
    declared = (*step.needs, *step.maybe, *step.gives, *step.updates)
    assert len(declared) == len(set(declared))


def test_what_is_read_from_the_code_includes_rare_paths_and_helpers() -> None:
    from core.steps.certificate.certificate import Register

    assert ("put", facts.NeedsAdministrator) in uses(Register)  # only after a refusal, three helpers deep


@pytest.mark.parametrize("name", FLOWS)
def test_each_step_of_a_flow_finds_what_it_needs(name: str) -> None:
    check_order(step for stage in (*FLOWS[name].look, *FLOWS[name].change) for step in stage.steps)


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_whose_stages_are_swapped_does_not_run(name: str) -> None:
    stages: tuple[Stage[Any], ...] = (*FLOWS[name].look, *FLOWS[name].change)
    with pytest.raises(FactError, match=r"step '[\w-]+' needs \w+, and no step before it gives that"):
        check_order(step for stage in reversed(stages) for step in stage.steps)


def test_a_fact_is_data_that_nobody_can_change_or_extend() -> None:
    kinds = [kind for kind in vars(facts).values() if isinstance(kind, type) and kind.__module__ == facts.__name__]
    assert len(kinds) > 10
    for kind in kinds:
        assert dataclasses.is_dataclass(kind)
        assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]  # typeshed does not know it
        assert getattr(kind, "__final__", False)
        assert not [name for name, member in vars(kind).items() if callable(member) and not name.startswith("__")]


def trees(*rooms: str) -> Iterator[tuple[Path, str, ast.Module]]:
    for room in rooms:
        for path in sorted((SOURCES / room).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            yield path, text, ast.parse(text)


def test_what_has_to_be_there_is_a_need_and_no_assertion() -> None:
    asserted = [
        f"{path.name}:{node.lineno}"
        for path, _, tree in trees("flow", "steps", "flows")
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert) and ast.unparse(node.test).endswith(" is not None")
    ]
    assert len(asserted) <= 3, asserted


def test_no_type_is_claimed_where_it_can_be_declared() -> None:
    claimed = [
        f"{path.name}: {line.strip()}"
        for path, text, _ in trees(*ROOMS)
        for line in text.splitlines()
        if "cast(" in line or "type: ignore" in line
    ]
    assert claimed == []


def may_be_none(node: ast.ClassDef) -> list[str]:
    fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
    return [ast.unparse(part.target) for part in fields if "None" in ast.unparse(part.annotation).split(" | ")]


def test_no_bag_collects_what_may_be_none() -> None:
    for path, _, tree in trees(*ROOMS):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                made = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
                if "dataclass" in made and "frozen=True" not in made:
                    assert len(may_be_none(node)) <= 3, f"{path.name}: {node.name} {may_be_none(node)}"
