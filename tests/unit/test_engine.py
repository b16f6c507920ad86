"""The engine with small pretend steps: order, undo, marker, interruption, plan (M2, M5, U5)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import Interrupted, SetupError, TokenError
from core.events import FlowFinished, StepStarted
from core.flow.engine import Result, run
from core.flow.journal import Journal
from core.flow.step import Flow, Left, Plan, PlanRow, Step
from tests.machine import Crash, VirtualClock
from tests.unit.pretend import FAIL, SECRET, Add, Context, Look, Marker, Stop, asks_to_stop, flow, raises


@pytest.fixture
def ctx(tmp_path: Path, clock: VirtualClock) -> Context:
    return Context(tmp_path / "journal.jsonl", clock)


def ids(result: Result) -> list[str]:
    return [error["id"] for error in result.errors]


def test_a_run_looks_plans_asks_and_acts_in_order(ctx: Context) -> None:
    result = run(flow(Add("a"), Add("b")), ctx, "r1")
    assert (result.outcome, result.exit_code, result.errors) == ("changed", 0, [])
    assert ctx.did == ["ask", "a", "b"]
    assert result.summary == ("It is changed.",)
    assert not Journal(ctx.path, "next", ctx.clock).resumed
    end = ctx.events[-1]
    assert isinstance(end, FlowFinished)
    assert (end.outcome, end.exit_code, end.summary) == ("changed", 0, result.summary)


def test_P9_a_run_with_nothing_to_do_asks_nothing_and_writes_nothing(ctx: Context) -> None:
    ctx.there = {"a", "b"}
    result = run(flow(Add("a"), Add("b")), ctx, "r1")
    assert (result.outcome, result.exit_code, ctx.did) == ("unchanged", 0, [])
    assert not ctx.path.exists()
    assert ctx.states() == {"look": "unchanged", "a": "unchanged", "b": "unchanged"}
    assert not [event for event in ctx.events if isinstance(event, StepStarted) and event.step != "look"]


@pytest.mark.parametrize(("there", "outcome"), [(set(), "planned"), ({"a"}, "unchanged")])
def test_M2_a_dry_run_stops_after_the_plan(ctx: Context, there: set[str], outcome: str) -> None:
    ctx.there = set(there)
    result = run(flow(Add("a")), ctx, "r1", dry_run=True)
    assert (result.outcome, result.exit_code, ctx.did, ctx.there) == (outcome, 0, [], there)
    assert result.plan is not None
    assert result.plan.empty is bool(there)


def test_M2_a_no_changes_nothing(ctx: Context) -> None:
    ctx.answer = False
    result = run(flow(Add("a")), ctx, "r1")
    assert (result.outcome, result.exit_code, ids(result), ctx.there) == ("failed", 4, ["flow.no"], set())


@pytest.mark.parametrize("seconds", [0, 60])
@pytest.mark.parametrize("changed", [True, False])
def test_M2_a_plan_that_became_stale_is_not_carried_out(ctx: Context, seconds: float, changed: bool) -> None:
    ctx.thinking, ctx.basis = seconds, {"app": 1}
    given = flow(Add("a"))

    def refresh(ctx: Context) -> None:
        ctx.basis = {"app": 2 if changed else 1}

    result = run(Flow(**{**given.__dict__, "refresh": refresh}), ctx, "r1")
    assert ids(result) == (["flow.outdated"] if changed else [])
    assert ctx.there == (set() if changed else {"a"})


def test_M2_a_blocked_step_stops_the_run_before_the_question(ctx: Context) -> None:
    result = run(flow(Add("a"), Stop("b")), ctx, "r1")
    assert (result.exit_code, ids(result), ctx.did) == (3, ["app.no-principal"], [])


def test_M5_a_failure_undoes_in_reverse_order(ctx: Context) -> None:
    result = run(flow(Add("a"), Add("b"), Add("c", FAIL), Add("d")), ctx, "r1")
    assert (result.outcome, result.exit_code, ids(result)) == ("failed", 1, ["az.missing"])
    assert ctx.did == ["ask", "a", "b", "c", "-c", "-b", "-a"]
    assert ctx.there == set()
    assert ctx.states() == {"look": "unchanged", "a": "undone", "b": "undone", "c": "undone"}
    assert result.summary == ()
    assert not Journal(ctx.path, "next", ctx.clock).resumed


@pytest.mark.parametrize(("number", "exit_code"), [(90002, 1), (7000222, 1), (50076, 4), (53003, 5), (90033, 7)])
def test_U5_2_and_3_become_1_when_something_was_undone(ctx: Context, number: int, exit_code: int) -> None:
    error = TokenError("refused", (number,), f"AADSTS{number}: no.", app_id="a")
    result = run(flow(Add("a"), Add("b", raises(error))), ctx, "r1")
    assert (result.outcome, result.exit_code, ctx.there) == ("failed", exit_code, set())


def test_M5_what_another_run_had_made_is_not_undone(ctx: Context) -> None:
    ctx.there = {"a"}
    run(flow(Add("a"), Add("b", FAIL)), ctx, "r1")
    assert ctx.there == {"a"}


@pytest.mark.parametrize(
    "left", [Left("the key k", "az delete k"), SetupError("az.missing"), ZeroDivisionError(SECRET)], ids=repr
)
def test_M5_an_undo_that_fails_names_what_is_left_and_keeps_what_it_stands_on(ctx: Context, left: object) -> None:
    result = run(flow(Add("a"), Add("b", left=left), Add("c", FAIL)), ctx, "r1")
    assert (result.outcome, result.exit_code, ids(result)) == ("partial", 6, ["az.missing", "flow.undo-failed"])
    assert ctx.there == {"a", "b"}
    assert SECRET not in str(result.errors)
    if isinstance(left, Left):
        assert left.what in result.errors[-1]["message"]
        assert left.how in result.errors[-1]["remedy"]
    assert Journal(ctx.path, "next", ctx.clock).resumed


def test_M5_after_the_marker_it_only_goes_forward(ctx: Context) -> None:
    result = run(flow(Add("a"), Marker("m"), Add("b", FAIL)), ctx, "r1")
    assert (result.outcome, result.exit_code, ids(result)) == ("partial", 6, ["az.missing", "flow.half-way"])
    assert ctx.there == {"a", "m", "b"}
    assert ctx.did == ["ask", "a", "b"]
    again = run(flow(Add("a"), Marker("m"), Add("b"), Add("c")), ctx, "r2")
    assert (again.outcome, again.exit_code) == ("changed", 0)
    assert not Journal(ctx.path, "next", ctx.clock).resumed


def test_M5_a_veto_keeps_everything_and_decides_the_exit_code(ctx: Context) -> None:
    ctx.vetoed = SetupError("migrate.vanished", cause="c")
    result = run(flow(Add("a"), Add("b", FAIL)), ctx, "r1")
    assert (result.outcome, result.exit_code, ids(result)) == ("partial", 6, ["az.missing", "migrate.vanished"])
    assert ctx.there == {"a", "b"}


def test_M5_nothing_is_undone_when_nobody_can_tell_whether_that_is_safe(ctx: Context) -> None:
    def unreadable(seen: Context, error: SetupError) -> SetupError | None:
        raise SetupError("az.signed-out", tenant_option="")

    blind = replace(flow(Add("a"), Add("b", FAIL)), before_undo=unreadable)
    result = run(blind, ctx, "r1")
    assert (result.outcome, result.exit_code, ids(result)) == ("partial", 6, ["az.missing", "flow.undo-unsafe"])
    assert ctx.there == {"a", "b"}


@pytest.mark.parametrize(("marker", "exit_code", "outcome"), [(False, 130, "failed"), (True, 130, "partial")])
def test_U2_an_interruption_undoes_before_the_marker_and_keeps_after_it(
    ctx: Context, marker: bool, exit_code: int, outcome: str
) -> None:
    middle: Step[Context] = Marker("m", asks_to_stop) if marker else Add("m", asks_to_stop)
    result = run(flow(Add("a"), middle, Add("b")), ctx, "r1")
    assert (result.outcome, result.exit_code, ids(result)) == (outcome, exit_code, ["flow.interrupted"])
    assert ctx.there == ({"a", "m"} if marker else set())
    words = result.errors[0]["message"] + result.errors[0]["remedy"]
    assert ("point of no return" in words, "undone" in words) == (marker, not marker)


def test_U2_an_interruption_before_the_first_change_says_that_nothing_was_changed(ctx: Context) -> None:
    result = run(flow(Add("a"), look=Look(asks_to_stop)), ctx, "r1")
    assert (result.exit_code, ctx.there) == (130, set())
    assert "Nothing was changed" in result.errors[0]["remedy"]


def test_M8_a_look_that_fails_leaves_the_work_of_an_interrupted_run_alone(ctx: Context) -> None:
    with pytest.raises(Crash):
        run(flow(Add("a"), Add("b", raises(Crash()))), ctx, "r1")
    before = ctx.path.read_bytes()
    result = run(flow(Add("a"), Add("b"), look=Look(FAIL)), ctx, "r2")
    assert ids(result) == ["az.missing", "flow.open"]
    assert ctx.there == {"a", "b"}
    assert ctx.path.read_bytes() == before
    assert run(flow(Add("a"), Add("b")), ctx, "r3").exit_code == 0


@pytest.mark.parametrize("where", ["look", "change"])
def test_an_unexpected_exception_is_undone_and_reported_without_values(ctx: Context, where: str) -> None:
    def bug(ctx: Context) -> None:
        password = SECRET
        raise KeyError(f"no such thing as {password}")

    steps = flow(Add("a"), look=Look(bug)) if where == "look" else flow(Add("a"), Add("b", bug))
    result = run(steps, ctx, "r1")
    assert (result.outcome, result.exit_code, ids(result)) == ("failed", 70, ["bug.internal"])
    assert "KeyError" in result.errors[0]["message"]
    assert "in bug" in result.errors[0]["remedy"], "the traceback says where"
    assert SECRET not in str(result.errors)
    assert ctx.there == set()


def test_M2_the_fingerprint_is_over_the_basis_alone() -> None:
    def fingerprint(basis: dict[str, Any], *changes: PlanRow) -> str:
        return Plan(changes, basis).fingerprint

    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1}, PlanRow("add", "x", "y"))
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert len(fingerprint({})) == 16
    assert Plan((PlanRow("keep", "x", "y"),), {}).empty
    assert not Plan((PlanRow("keep", "x", "y"), PlanRow("add", "x", "y")), {}).empty


def test_U5_an_interruption_keeps_its_signal(ctx: Context) -> None:
    assert run(flow(Add("a", raises(Interrupted(15)))), ctx, "r1").exit_code == 143
