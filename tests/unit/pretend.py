"""A pretend flow for the engine: steps that put their names into a set, and a world to do it in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.clock import Cancel
from core.errors import SetupError
from core.events import Event, Question, StepFinished
from core.flow.facts import Facts, Uses
from core.flow.journal import Journal
from core.flow.spec import Command
from core.flow.step import Blocked, Done, Flow, Left, Needed, PlanRow, Stage, Status, Step
from tests.machine import VirtualClock

SECRET = "abc8Q~" + "x" * 34


@dataclass
class Context:
    """What the pretend steps see."""

    path: Path
    clock: VirtualClock
    cancel: Cancel = field(default_factory=Cancel)
    events: list[Event] = field(default_factory=list)
    did: list[str] = field(default_factory=list)
    there: set[str] = field(default_factory=set)
    basis: dict[str, object] = field(default_factory=dict)
    thinking: float = 0.0
    answer: bool = True
    vetoed: SetupError | None = None
    flow: Command = Command("")  # noqa: RUF009  it cannot be changed
    facts: Facts = field(default_factory=Facts)
    opened: list[Journal] = field(default_factory=list)

    @property
    def journal(self) -> Journal | None:
        return self.opened[-1] if self.opened else None

    def seen_by(self, step: Uses) -> Context:
        return replace(self, facts=self.facts.view(step))

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def ask(self, question: Question) -> bool:
        self.did.append("ask")
        self.clock.waited += self.thinking
        return self.answer

    @property
    def log(self) -> Journal:
        assert self.journal is not None
        return self.journal

    def states(self) -> dict[str, str]:
        return {event.step: event.state for event in self.events if isinstance(event, StepFinished)}


class Add(Step[Context]):
    """Puts its name there; looks, acts and undoes like a real step.

    :param then: happens at the end of `apply`, outside the effect.
    :param before: happens before anything.
    """

    def __init__(self, name: str, then: Callable[[Context], object] | None = None, left: object = None) -> None:
        self.name, self.title = name, f"Add {name}"
        self.then, self.left = then, left

    def check(self, ctx: Context) -> Status:
        return Done("it is there") if self.name in ctx.there else Needed()

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        return (PlanRow("add", self.name, "there"),)

    def apply(self, ctx: Context) -> str:
        with ctx.log.effect("add", self.name, ctx.emit):
            ctx.there.add(self.name)
            ctx.did.append(self.name)
        if self.then is not None:
            self.then(ctx)
        return "added"

    def undo(self, ctx: Context) -> Left | None:
        for effect in ctx.log.standing("add"):
            if effect.target == self.name:
                if isinstance(self.left, Exception):
                    raise self.left
                if isinstance(self.left, Left):
                    return self.left
                ctx.there.discard(self.name)
                ctx.did.append(f"-{self.name}")
                ctx.log.undone(effect)
        return None


class Look(Step[Context]):
    """Opens the journal, then does something."""

    name, title = "look", "Look"

    def __init__(self, then: Callable[[Context], object] = lambda ctx: None) -> None:
        self.then = then

    def check(self, ctx: Context) -> Status:
        return Needed()

    def apply(self, ctx: Context) -> str:
        ctx.opened.append(Journal(ctx.path, "run", ctx.clock))
        self.then(ctx)
        return ""


class Marker(Add):
    def apply(self, ctx: Context) -> str:
        ctx.log.mark()
        ctx.there.add(self.name)
        if self.then is not None:
            self.then(ctx)
        return ""

    def undo(self, ctx: Context) -> Left | None:
        return None


class Stop(Add):
    def check(self, ctx: Context) -> Status:
        return Blocked(SetupError("app.no-principal", app_id="a", tenant="t"))


def flow(*steps: Step[Context], look: Step[Context] | None = None) -> Flow[Context]:
    return Flow(
        Command("pretend"),
        look=(Stage("look", "Look", (look or Look(),)),),
        change=tuple(Stage(f"stage-{step.name}", "Stage", (step,)) for step in steps),
        basis=lambda ctx: dict(ctx.basis),
        refresh=lambda ctx: None,
        question=lambda ctx, plan: Question("go", f"{len(plan.changes)} changes?", False, "--yes"),
        before_undo=lambda ctx, error: ctx.vetoed,
        left=lambda ctx: "Left: what is left.",
        summary=lambda ctx, outcome: (f"It is {outcome}.",) if outcome in ("changed", "unchanged") else (),
    )


def raises(error: BaseException) -> Callable[[Context], None]:
    def act(ctx: Context) -> None:
        raise error

    return act


def asks_to_stop(ctx: Context) -> None:
    ctx.cancel.ask(2)


FAIL = raises(SetupError("az.missing"))
