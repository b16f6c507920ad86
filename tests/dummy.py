"""A flow and an option that no other module knows, to see what follows from a row of their table alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest

from core.config import options, settings
from core.config.options import OPTIONS, Option
from core.events import Question
from core.flow.plan import Plan, PlanRow
from core.flow.spec import Entry, FlowSpec
from core.flow.step import Done, Flow, Left, Needed, Stage, Status, Step
from core.flows import registry
from core.steps import prerequisites
from core.steps.context import World
from core.steps.facts import OpenRun

MARK: Final = "dummy.mark"


class Mark(Step[World]):
    """Writes a file into the project."""

    name = "mark"
    title = "Leave a mark"
    needs = (OpenRun,)

    def check(self, world: World) -> Status:
        return Done("it is there") if (world.settings.folder / MARK).exists() else Needed()

    def plan(self, world: World) -> Sequence[PlanRow]:
        return (PlanRow("add", "mark", MARK, "", "for the test", True, "new file"),)

    def apply(self, world: World) -> str:
        path = world.settings.folder / MARK
        with world.log.effect(MARK, str(path), world.emit):
            path.touch()
        return str(path)

    def undo(self, world: World) -> Left | None:
        for effect in world.log.standing(MARK):
            (world.settings.folder / MARK).unlink(missing_ok=True)
            world.log.undone(effect)
        return None


class Look(Step[World]):
    """Comes after it, so that a run can end between the two."""

    name = "look"
    title = "Look at the mark"

    def check(self, world: World) -> Status:
        return Done("it is there")

    def apply(self, world: World) -> str:
        raise AssertionError("it has nothing to apply")


SPEC: Final = FlowSpec(
    "dummy",
    doing="mark",
    help="leave a mark in the project",
    load="tests.dummy:FLOW",
    options=("lock",),
    entry=Entry(15, "Dummy: leave a mark in the project", "Dummy", "leave a mark that nobody needs"),
    result="tests.dummy:result",
    resumable=True,
)


def result(world: World, result: object) -> dict[str, Any]:
    """What `--json` holds besides."""
    return {"marked": (world.settings.folder / MARK).exists()}


FLOW: Flow[World] = Flow(
    SPEC,
    look=(Stage("prereqs", "Prerequisites", (prerequisites.ReadStateFile(), prerequisites.OpenJournal())),),
    change=(Stage("mark", "Mark", (Mark(), Look())),),
    basis=lambda world: {},
    refresh=lambda world: None,
    question=lambda world, plan: _question(plan),
    before_undo=lambda world, error: None,
    left=lambda world: "",
    summary=lambda world, outcome: ("It is marked.",) if outcome in ("changed", "unchanged") else (),
)


def _question(plan: Plan) -> Question:
    return Question("dummy", f"{len(plan.changes)} mark to leave. Go on?", False, "--yes")


def add_flow(patch: pytest.MonkeyPatch) -> None:
    """Add its row, and nothing else."""
    patch.setattr(registry, "ROWS", (*registry.ROWS, SPEC))


def add_option(patch: pytest.MonkeyPatch, option: Option) -> None:
    """Add a row to the table, and the typed member that whoever reads it needs."""
    from dataclasses import make_dataclass

    kind = type(option.default)
    wider = make_dataclass("Settings", [(option.name, kind, option.default)], bases=(settings.Settings,), frozen=True)
    patch.setitem(OPTIONS, option.name, option)
    patch.setattr(settings, "Settings", wider)
    assert option in options.settings()
