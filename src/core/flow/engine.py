"""Runs a flow: look, plan, ask, change; on failure undo in reverse, after the marker only forward (M5).

The engine knows no step by name. The outcome and the exit code are computed here from what really happened.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import uuid4

from core.errors import Interrupted, SetupError
from core.errors.exit_codes import ExitCode
from core.events import FlowFinished, FlowStarted, Question, StageStarted, State, StepFinished, StepStarted
from core.flow.facts import check_order
from core.flow.journal import Effect
from core.flow.step import Blocked, Done, Flow, Left, Plan, PlanRow, Stage, Status, Step, W
from core.secret import redactor
from core.trace import kind, places

Outcome = Literal["changed", "unchanged", "planned", "failed", "partial"]
#: They say that nothing was touched, or that something is left: neither holds once everything was undone.
_FAILED_ONCE_UNDONE: Final = frozenset({ExitCode.USAGE, ExitCode.PREREQUISITE, ExitCode.HALF_WAY})


@dataclass
class Result:
    """What a run came to; the wizard and the command line show it, `--json` prints it."""

    outcome: Outcome = "failed"
    exit_code: ExitCode = ExitCode.BUG
    plan: Plan | None = None
    summary: tuple[str, ...] = ()
    errors: list[dict[str, Any]] = field(default_factory=list)


def run(flow: Flow[W], ctx: W, run_id: str, *, dry_run: bool = False) -> Result:
    """Run a flow to its end.

    :param ctx: what the steps see; its `ask` answers questions.
    :param run_id: random id that journal and events carry.
    :param dry_run: stop after the plan with outcome `planned`.
    :returns: the result; expected failures do not raise.
    :raises FactError: a step needs what no step before it gives; nothing was run.
    """
    result, start = Result(), _begin(flow, ctx, flow.name, run_id)
    changed = changing = False
    try:
        for stage, step in _steps(flow.look, ctx):
            _perform(stage, step, ctx, "unchanged")
        result.plan = _plan(flow, ctx)
        if dry_run:
            result.outcome = "unchanged" if result.plan.empty else "planned"
        else:
            if not result.plan.empty:
                _confirm(flow, ctx, result.plan)
            changing = True
            for stage, step in _steps(flow.change, ctx):
                changed |= _perform(stage, step, ctx)
            if ctx.journal is not None:
                ctx.journal.close("changed")
            result.outcome = "changed" if changed else "unchanged"
        result.exit_code = ExitCode.DONE
    except Exception as error:  # noqa: BLE001  whatever it is, what was done must be undone or named
        _fail(flow, ctx, result, internal(error), changing)
    result.summary = tuple(flow.summary(ctx, result.outcome))
    return ended(ctx, flow.name, result, start)


def undo(flow: Flow[W], ctx: W, run_id: str, *, dry_run: bool = False) -> Result:
    """Take back what an interrupted run of a flow did before the point of no return.

    :param dry_run: only tell whether there is something to undo.
    :returns: the result; expected failures do not raise.
    :raises FactError: a step needs what no step before it gives; nothing was run.
    """
    result, start = Result(), _begin(flow, ctx, "undo", run_id)
    looking = True
    try:
        for stage, step in _steps(flow.look, ctx):
            _perform(stage, step, ctx, "unchanged")
        looking = False
        _take_back(flow, ctx, result, dry_run=dry_run)
    except Exception as error:  # noqa: BLE001  whatever it is, it must be named
        _not_undone(flow, ctx, result, internal(error), looking=looking)
    return ended(ctx, "undo", result, start)


def _begin(flow: Flow[W], ctx: W, name: str, run_id: str) -> float:
    """Say that it begins; when it did, in seconds."""
    check_order(step for stage in (*flow.look, *flow.change) for step in stage.steps)
    ctx.flow = flow.spec
    ctx.emit(FlowStarted(name, run_id))
    return ctx.clock.monotonic()


def ended(ctx: W, name: str, result: Result, start: float) -> Result:
    """Say that a flow, or an examination, ended.

    :param start: when it began, in seconds of the run's clock.
    :returns: the result.
    """
    seconds = ctx.clock.monotonic() - start
    ctx.emit(FlowFinished(name, result.outcome, result.exit_code, result.summary, seconds))
    return result


def _not_undone(flow: Flow[W], ctx: W, result: Result, error: SetupError, *, looking: bool) -> None:
    """An undo that failed: what was done stays, and that is said."""
    errors, journal = [error], ctx.journal
    undone = journal is not None and any(effect.state == "undone" for effect in journal.effects)
    result.exit_code = error.exit_code
    if looking and journal is not None and journal.resumed and not isinstance(error, Interrupted):
        still = SetupError("flow.no-way-back", left=flow.left(ctx)) if journal.marked else SetupError("flow.open")
        errors.append(still)
        result.exit_code = still.exit_code
    elif error.id not in ("flow.no-way-back", "flow.undo-failed") and not undone:
        errors = [error.copy(standing=_unchanged(flow, ctx))]
    result.errors += [each.as_dict() for each in errors]
    result.outcome = "partial" if result.exit_code == ExitCode.HALF_WAY else "failed"


def _take_back(flow: Flow[W], ctx: W, result: Result, *, dry_run: bool) -> None:
    journal, standing = ctx.journal, _standing(ctx)
    if journal is None or not (standing or journal.marked):
        result.outcome, result.exit_code = "unchanged", ExitCode.DONE
        result.summary = ("Nothing to undo: no run is open.",)
        return
    if journal.marked:
        raise SetupError("flow.no-way-back", left=flow.left(ctx))
    listing = "; ".join(f"{effect.action} {effect.target}" for effect in standing)
    if dry_run:
        result.outcome, result.exit_code = "planned", ExitCode.DONE
        result.summary = (f"Would undo: {listing}.",)
        return
    if not ctx.ask(Question("undo", f"Undo what the interrupted {flow.name} did: {listing}?", False, "--yes")):
        raise SetupError("flow.no")
    asked = SetupError("flow.undo-asked")
    if (instead := _asked_before_undo(flow, ctx, asked)) is not None:
        raise instead
    with ctx.cancel.shielded():
        left = _undo(flow, ctx)
    if left is not None:
        if left.final:
            journal.close("undone")
        raise NotUndone(asked, left)
    journal.close("undone")
    result.outcome, result.exit_code = "changed", ExitCode.DONE
    result.summary = (f"Undone: what the interrupted {flow.name} had done.",)


class Bug(SetupError):
    """An unexpected exception: its kind and place, which its own words are no part of (D4)."""

    def __init__(self, bug: BaseException) -> None:
        super().__init__("bug.internal", kind=kind(bug), trace=places(bug), incident=uuid4().hex[:8])

    def _extra(self) -> dict[str, Any]:
        return {"incident": self.details["incident"]}


class NotUndone(SetupError):
    """An undo left something behind.

    :param error: what made it necessary.
    """

    def __init__(self, error: SetupError, left: Left) -> None:
        id = "flow.undo-short" if left.final else "flow.undo-failed"
        super().__init__(id, cause=error.summary, left=left.what, how=left.how)


def internal(bug: BaseException) -> SetupError:
    """The error for an exception; for an unexpected one, where it happened, without the values it happened with.

    A library that cannot be loaded is no bug of this program, but an installation that is not whole.

    :returns: a value to tell, and nothing to raise: the run that it ended has its end by now.
    """
    if isinstance(bug, SetupError):
        return bug
    if isinstance(bug, ImportError) and _whose(bug).partition(".")[0] not in ("core", "wizard"):
        return SetupError("install.broken", what=redactor.redact(str(bug)))
    return Bug(bug)


def _whose(error: ImportError) -> str:
    """The module that cannot be loaded; one that raises the error by itself is found where it does."""
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return error.name or ["core", *modules][-1]


def _steps(stages: tuple[Stage[W], ...], ctx: W) -> Iterator[tuple[Stage[W], Step[W]]]:
    for stage in stages:
        ctx.emit(StageStarted(stage.name, stage.title))
        for step in stage.steps:
            ctx.cancel.check()
            yield stage, step


def _perform(stage: Stage[W], step: Step[W], ctx: W, acted: State = "done") -> bool:
    """Run one step; True if it acted on an effect that the journal recorded.

    :param acted: what to call it when it worked: a step that only looks leaves everything unchanged.
    """

    def finished(state: State, detail: str) -> None:
        ctx.emit(StepFinished(stage.name, step.name, step.title, state, detail))

    effects = len(_standing(ctx))
    try:
        seen = ctx.seen_by(step)
        check: Status = step.check(seen)
        if isinstance(check, Blocked):
            raise check.error
        if isinstance(check, Done):
            ctx.facts.check_given(step)
            finished("unchanged", check.evidence)
            return False
        ctx.emit(StepStarted(stage.name, step.name, step.title))
        evidence = step.apply(seen)
        ctx.facts.check_given(step)
        finished(acted, evidence)
    except SetupError as error:
        finished("failed", error.summary)
        raise
    return len(_standing(ctx)) > effects


def _standing(ctx: W) -> list[Effect]:
    return ctx.journal.standing() if ctx.journal is not None else []


def _plan(flow: Flow[W], ctx: W) -> Plan:
    changes: list[PlanRow] = []
    for stage in flow.change:
        for step in stage.steps:
            seen = ctx.seen_by(step)
            match step.check(seen):
                case Blocked(error):
                    raise error
                case Done():
                    continue
                case _:
                    changes.extend(step.plan(seen))
    plan = Plan(tuple(changes), flow.basis(ctx))
    for change in plan.changes:
        ctx.emit(change)
    return plan


def _confirm(flow: Flow[W], ctx: W, plan: Plan) -> None:
    question = flow.question(ctx, plan)
    if not ctx.ask(question):
        raise SetupError("flow.no")
    flow.refresh(ctx)
    if Plan((), flow.basis(ctx)).fingerprint != plan.fingerprint:
        raise SetupError("flow.outdated")


def _fail(flow: Flow[W], ctx: W, result: Result, error: SetupError, changing: bool) -> None:
    """Decide what a failure means, undo if that is still right, and compute outcome, exit code and what stands."""
    result.outcome, result.exit_code = "failed", error.exit_code
    result.errors += [each.as_dict() for each in _judge_failure(flow, ctx, result, error, changing)]


def _judge_failure(flow: Flow[W], ctx: W, result: Result, error: SetupError, changing: bool) -> list[SetupError]:
    """What comes of a failure.

    A run that fails while it only looks leaves the work of an earlier, interrupted run alone.

    :returns: all that has to be told, the failure first; what stands is said by it or by one of the others.
    """
    journal = ctx.journal
    if journal is None or not (journal.marked or journal.standing()):
        if result.exit_code == ExitCode.HALF_WAY:  # nothing was done, so nothing is half-way
            result.exit_code = ExitCode.FAILED
        if journal is not None and changing:
            journal.close("failed")
        return [error.copy(standing=_unchanged(flow, ctx))]
    if not changing and not journal.marked:
        still = SetupError("flow.open")
        result.outcome = "partial"
        result.exit_code = error.exit_code if isinstance(error, Interrupted) else still.exit_code
        if isinstance(error, Interrupted):
            error = error.copy(standing="This run changed nothing.")
        return [error, still]
    with ctx.cancel.shielded():
        if not journal.marked and (instead := _asked_before_undo(flow, ctx, error)) is not None:
            result.outcome, result.exit_code = "partial", instead.exit_code
            if instead is error:
                return [error]
            return [error.copy(standing="What was done so far is kept."), instead]
        if journal.marked:
            return _half_way(flow, ctx, result, error)
        left = _undo(flow, ctx)
    if left is not None:
        if isinstance(error, Interrupted):
            error = error.copy(standing="It could not be undone completely.")
        failed = NotUndone(error, left)
        result.outcome, result.exit_code = "partial", failed.exit_code
        if left.final:
            journal.close("undone")
        return [error, failed]
    journal.close("undone")
    if error.exit_code in _FAILED_ONCE_UNDONE:
        result.exit_code = ExitCode.FAILED
    whose = "an interrupted run before it" if journal.resumed else ""
    return [error.copy(standing=f"Everything that this run{' and ' * bool(whose)}{whose} had done was undone.")]


def _half_way(flow: Flow[W], ctx: W, result: Result, error: SetupError) -> list[SetupError]:
    """A failure after the point of no return."""
    result.outcome = "partial"
    if isinstance(error, Interrupted):
        standing = f"{flow.left(ctx)} `entraclaw-setup resume`: it finishes."
        return [error.copy(where=" after the point of no return", standing=standing)]
    if error.exit_code == ExitCode.HALF_WAY:
        return [error.copy(standing=flow.left(ctx))]
    half = SetupError("flow.half-way", cause=error.summary, left=flow.left(ctx))
    result.exit_code = half.exit_code
    return [error, half]


def _unchanged(flow: Flow[W], ctx: W) -> str:
    """What is said of a run that did nothing; an earlier one may have done something."""
    earlier = flow.open(ctx)
    return f"This run changed nothing. {earlier}" if earlier else "Nothing was changed."


def _asked_before_undo(flow: Flow[W], ctx: W, error: SetupError) -> SetupError | None:
    """The flow's answer; where it fails to give one, nobody knows whether undoing is safe."""
    try:
        return flow.before_undo(ctx, error)
    except SetupError as unknown:
        kept = "; ".join(f"{effect.action} {effect.target}" for effect in _standing(ctx))
        return SetupError("flow.undo-unsafe", cause=error.summary, why=unknown.summary, kept=kept)


def _undo(flow: Flow[W], ctx: W) -> Left | None:
    """Undo in reverse, up to the first step that leaves something behind: what came before it is what it stands on."""
    lost: list[Left] = []
    for stage in reversed(flow.change):
        for step in reversed(stage.steps):
            before = len(_standing(ctx))
            again = "nothing has to be removed by hand; the next run looks at the real state."
            try:
                left = step.undo(ctx.seen_by(step))
            except SetupError as error:
                left = Left(f"{step.title} ({error.summary})", again)
            except Exception as bug:  # noqa: BLE001  it must be named, and what it stands on must stay
                left = Left(f"{step.title} ({type(bug).__name__})", again)
            if left is not None:
                ctx.emit(StepFinished(stage.name, step.name, step.title, "failed", f"left behind: {left.what}"))
                if not left.final:
                    return left
                lost.append(left)
                continue
            if len(_standing(ctx)) < before:
                ctx.emit(StepFinished(stage.name, step.name, step.title, "undone"))
    if not lost:
        return None
    return Left("; ".join(left.what for left in lost), " ".join(left.how for left in lost), final=True)
