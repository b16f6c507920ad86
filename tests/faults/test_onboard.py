"""Provisioning under faults, crashes, lag and Ctrl-C: never two apps, nothing left behind (P1, M5, M8).

Where every fault at every request would take too long, the kinds take turns from request to request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from core.events import StepFinished
from core.flow.engine import Result
from core.flow.journal import Journal
from core.sandbox.directory import users
from core.sandbox.faults import Fault, Kind
from core.sandbox.graph import roles
from core.sandbox.lab import Lab
from tests.machine import Crash, Machine, Snapshot, VirtualClock, killed
from tests.provisioning import ROLES, apps, complete, granted, nothing, unchanged

#: More requests, journal lines and steps than an onboarding has; the tests say so when it is too small.
MOST = 60
KINDS: list[tuple[Kind, int]] = [
    ("cut-before", 500),
    ("status", 403),
    ("status", 500),
    ("cut-after", 500),
    ("status", 429),
    ("status", 404),
]


@pytest.fixture
def begin() -> Iterator[Callable[..., Machine]]:
    """Machines in front of fresh sandboxes, one after the other."""
    open_ones: list[Machine] = []

    def close() -> None:
        for machine in open_ones:
            machine.session.close()
            machine.lab.close()
        open_ones.clear()

    def start(scenario: str = "fresh", seed: int = 1) -> Machine:
        close()
        clock = VirtualClock()
        machine = Machine(Lab.start(scenario, seed=seed, clock=clock, sign_in=False), clock)
        open_ones.append(machine)
        dana = users.find(machine.tenant, "dana") | {"_roles": [roles.GLOBAL_ADMINISTRATOR]}
        machine.tenant.commit("user", dana["id"], dana)
        return machine

    yield start
    close()


def truthful(machine: Machine, result: Result) -> None:
    """What must hold after any run, however it ended."""
    assert len(apps(machine)) <= 1, "two apps of our name"
    assert bool(result.summary) == (result.exit_code == 0), "a sentence of success after a failure"
    first = result.errors[0]["id"] if result.errors else ""
    if result.exit_code == 0:
        assert result.outcome == "changed"
        complete(machine)
    elif result.exit_code == 6:
        assert result.outcome == "partial"
        assert result.errors[-1]["remedy"]
    elif first == "handoff.waiting":
        assert (result.outcome, result.exit_code) == ("partial", 5)
        assert list(machine.lab.project.glob("*request*.json"))
        assert len(machine.keystore.accounts(machine.service)) == 1
    else:
        assert result.outcome == "failed"
        assert result.exit_code in (1, 3, 4, 5, 7, 130)
        assert nothing(machine), f"exit {result.exit_code} claims that everything was undone: {result.errors}"


def converges(machine: Machine) -> None:
    """A clean run reaches the end state, and one more changes nothing."""
    machine.tenant.faults.script.clear()
    machine.watch = None
    result = machine.onboard()
    assert result.exit_code == 0, result.errors
    complete(machine)
    assert not list(machine.lab.project.glob("*request*.json"))
    unchanged(machine)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("turn", range(3))
def test_P1_M5_one_fault_at_every_request(begin: Callable[..., Machine], turn: int) -> None:
    for nth in range(1, MOST):
        machine = begin()
        kind, status = KINDS[(turn * 2 + nth) % len(KINDS)]
        fault = machine.tenant.faults.add(Fault(kind, "", nth, status))
        result = machine.onboard()
        reached = fault.reached.is_set()
        machine.tenant.faults.script.clear()
        truthful(machine, result)
        if not reached:
            assert nth > 8, "an onboarding makes more requests than that"
            return
        if result.exit_code:
            converges(machine)
        else:
            unchanged(machine)
    pytest.fail(f"an onboarding made more than {MOST} requests")


def for_good(machine: Machine, nth: int, status: int) -> Fault:
    """The service fails from the n-th request on."""
    fault = Fault("status", "", 0, status)

    def strikes(line: str) -> bool:
        if line.startswith(("POST /s", "DELETE /")):
            return False  # a part of a batch, which fails as a whole
        fault.seen += 1
        return fault.seen >= nth

    fault.strikes = strikes  # type: ignore[method-assign]
    return machine.tenant.faults.add(fault)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("status", [503, 403])
def test_M5_the_service_fails_for_good_from_every_request_on(begin: Callable[..., Machine], status: int) -> None:
    for nth in range(1, MOST, 2 if status == 503 else 1):  # the former takes the longest
        machine = begin()
        fault = for_good(machine, nth, status)
        result = machine.onboard()
        machine.tenant.faults.script.clear()
        truthful(machine, result)
        if fault.seen < nth:
            assert nth > 8
            return
        converges(machine)
    pytest.fail(f"an onboarding made more than {MOST} requests")


@pytest.mark.timeout(300)
def test_M8_a_crash_after_any_line_of_the_journal_converges_on_the_next_run(begin: Callable[..., Machine]) -> None:
    """Between the intention and the effect, and between the effect and its note."""
    for nth in range(1, MOST):
        machine = begin()
        crashed = killed(nth, machine.onboard)
        if not crashed:
            assert nth > 10
            return
        assert len(apps(machine)) <= 1
        if machine.onboard().outcome == "changed":
            unchanged(machine)
        complete(machine)
    pytest.fail(f"an onboarding writes more than {MOST} lines")


@pytest.mark.timeout(300)
def test_M5_a_crash_while_undoing_converges_on_the_next_run(
    begin: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    undone = Journal.undone
    for nth in range(1, MOST):
        machine = begin()
        machine.watch = stopper(machine, "record")
        count = 0

        def crash(journal: Journal, effect: object, nth: int = nth) -> None:
            nonlocal count
            count += 1
            if count == nth:
                raise Crash
            undone(journal, effect)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(Journal, "undone", crash)
            try:
                result = machine.onboard()
            except Crash:
                crashed = True
            else:
                crashed = False
        if not crashed:
            truthful(machine, result)
            assert nth > 6
            return
        converges(machine)
    pytest.fail(f"an undo has more than {MOST} lines")


@pytest.mark.timeout(300)
def test_U2_ctrl_c_after_every_step_undoes_everything(begin: Callable[..., Machine]) -> None:
    for nth in range(1, MOST):
        machine = begin()
        count = 0

        def stop(event: object, nth: int = nth, machine: Machine = machine) -> None:
            nonlocal count
            if isinstance(event, StepFinished) and event.stage == "provision":
                count += 1
                if count == nth:
                    assert machine.ctx is not None
                    machine.ctx.cancel.ask(2)

        machine.watch = stop
        result = machine.onboard()
        machine.watch = None
        truthful(machine, result)
        if result.exit_code == 0:
            assert nth > 10
            return
        assert result.exit_code == 130
    pytest.fail(f"an onboarding has more than {MOST} steps")


def stopper(machine: Machine, step: str) -> Callable[[object], None]:
    """Ctrl-C at the end of a step."""

    def stop(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == step and event.state == "done":
            assert machine.ctx is not None
            machine.ctx.cancel.ask(2)

    return stop


LAGS = [(seed, lag) for lag in (5, 20, 60) for seed in (1, 2)]


def lagging(begin: Callable[..., Machine], seed: int, lag: int) -> Machine:
    machine = begin(seed=seed)
    kinds = ("application", "servicePrincipal", "appRoleAssignment", "deletedApplication", "login")
    machine.tenant.lag = dict.fromkeys(kinds, float(lag))
    return machine


def settle(machine: Machine) -> None:
    """Let every replica catch up."""
    machine.tenant.lag = {}
    machine.clock.waited += 200


@pytest.mark.parametrize(("seed", "lag"), LAGS)
def test_P7_replicas_that_lag_are_waited_for_and_never_get_a_second_app(
    begin: Callable[..., Machine], seed: int, lag: int
) -> None:
    machine = lagging(begin, seed, lag)
    result = machine.onboard()
    assert result.exit_code == 0, result.errors
    again = machine.onboard()  # at once, while some replicas do not know the app
    assert len(apps(machine)) == 1
    assert again.exit_code in (0, 4, 7), again.errors
    settle(machine)
    complete(machine)
    if again.exit_code:
        machine.onboard()
    unchanged(machine)
    assert machine.verify().exit_code == 0


@pytest.mark.parametrize("step", ["create-app", "create-principal", "grant", "record"])
@pytest.mark.parametrize(("seed", "lag"), LAGS[1:5:2])
def test_M5_undoing_leaves_nothing_behind_a_stale_replica(
    begin: Callable[..., Machine], seed: int, lag: int, step: str
) -> None:
    machine = lagging(begin, seed, lag)
    machine.watch = stopper(machine, step)
    result = machine.onboard()
    assert (result.outcome, result.exit_code) == ("failed", 130), result.errors
    settle(machine)
    assert nothing(machine)
    converges(machine)


@pytest.mark.parametrize(("seed", "lag"), LAGS[1:6:2])
@pytest.mark.parametrize("step", ["create-app", "record"])
def test_M8_a_crash_behind_lagging_replicas_never_makes_a_second_app(
    begin: Callable[..., Machine], seed: int, lag: int, step: str
) -> None:
    machine = lagging(begin, seed, lag)

    def crash(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == step:
            raise Crash

    machine.watch = crash
    with pytest.raises(Crash):
        machine.onboard()
    machine.watch = None
    result = machine.onboard()
    assert len(apps(machine)) == 1
    settle(machine)
    if result.exit_code:
        assert machine.onboard().exit_code == 0
    complete(machine)
    unchanged(machine)


REPAIR: list[tuple[Kind, int]] = [("cut-after", 500), ("status", 403), ("status", 404)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("turn", range(2))
def test_P6_M5_a_repair_that_fails_takes_its_grants_back(begin: Callable[..., Machine], turn: int) -> None:
    for nth in range(1, MOST):
        machine = begin("drift")
        before, others = Snapshot.of(machine), granted(machine)
        kind, status = REPAIR[(turn + nth) % len(REPAIR)]
        fault = machine.tenant.faults.add(Fault(kind, "", nth, status))
        result = machine.onboard(app_id=machine.app_id)
        machine.tenant.faults.script.clear()
        waits = bool(result.errors) and result.errors[0]["id"] == "handoff.waiting"
        if result.exit_code == 0:
            complete(machine)
        elif not waits:
            assert result.exit_code != 6, result.errors
            assert machine.untouched(before), result.errors
            assert granted(machine) == others
        if not fault.reached.is_set():
            assert nth > 10
            return
        if result.exit_code:
            assert machine.onboard(app_id=machine.app_id).exit_code == 0
            complete(machine)
    pytest.fail(f"a repair made more than {MOST} requests")


@pytest.mark.parametrize("step", ["declare", "grant", "adopt", "record"])
@pytest.mark.parametrize("lag", [0, 30])
def test_P6_M5_a_repair_that_is_stopped_takes_its_grants_back(
    begin: Callable[..., Machine], step: str, lag: int
) -> None:
    machine = begin("drift")
    before, others = Snapshot.of(machine), granted(machine)
    machine.tenant.lag = {"application": float(lag), "appRoleAssignment": float(lag)} if lag else {}
    machine.watch = stopper(machine, step)
    result = machine.onboard(app_id=machine.app_id)
    machine.watch = None
    assert (result.outcome, result.exit_code) == ("failed", 130), result.errors
    settle(machine)
    assert machine.untouched(before)
    assert granted(machine) == others
    assert machine.onboard(app_id=machine.app_id).exit_code == 0
    assert granted(machine) == sorted(ROLES)
