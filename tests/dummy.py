"""A flow and an option that no other module knows, to see what follows from a row of their table alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest

from core.config import options, settings
from core.config.options import OPTIONS, Option
from core.events import Question
from core.flow.spec import Command, Entry
from core.flow.step import Done, Flow, Left, Needed, Plan, PlanRow, Stage, Status, Step
from core.flows import registry
from core.steps import prerequisites
from core.steps.context import Context
from core.steps.facts import OpenRun

MARK: Final = "dummy.mark"


class Mark(Step[Context]):
    """Writes a file into the project."""

    name = "mark"
    title = "Leave a mark"
    needs = (OpenRun,)

    def check(self, ctx: Context) -> Status:
        return Done("it is there") if (ctx.settings.folder / MARK).exists() else Needed()

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        return (PlanRow("add", "mark", MARK, "", "for the test", True, "new file"),)

    def apply(self, ctx: Context) -> str:
        path = ctx.settings.folder / MARK
        with ctx.log.effect(MARK, str(path), ctx.emit):
            path.touch()
        return str(path)

    def undo(self, ctx: Context) -> Left | None:
        for effect in ctx.log.standing(MARK):
            (ctx.settings.folder / MARK).unlink(missing_ok=True)
            ctx.log.undone(effect)
        return None


class Look(Step[Context]):
    """Comes after it, so that a run can end between the two."""

    name = "look"
    title = "Look at the mark"

    def check(self, ctx: Context) -> Status:
        return Done("it is there")

    def apply(self, ctx: Context) -> str:
        raise AssertionError("it has nothing to apply")


SPEC: Final = Command(
    "dummy",
    doing="mark",
    help="leave a mark in the project",
    load="tests.dummy:FLOW",
    options=("lock",),
    entry=Entry(15, "Dummy: leave a mark in the project", "Dummy", "leave a mark that nobody needs"),
    result="tests.dummy:result",
    resumable=True,
    changes=True,
    started=True,
)


def result(ctx: Context, result: object) -> dict[str, Any]:
    """What `--json` holds besides."""
    return {"marked": (ctx.settings.folder / MARK).exists()}


FLOW: Flow[Context] = Flow(
    SPEC,
    look=(Stage("prereqs", "Prerequisites", (prerequisites.ReadStateFile(), prerequisites.OpenJournal())),),
    change=(Stage("mark", "Mark", (Mark(), Look())),),
    basis=lambda ctx: {},
    refresh=lambda ctx: None,
    question=lambda ctx, plan: _question(plan),
    before_undo=lambda ctx, error: None,
    left=lambda ctx: "",
    summary=lambda ctx, outcome: ("It is marked.",) if outcome in ("changed", "unchanged") else (),
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
