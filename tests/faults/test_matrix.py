"""Fail the n-th request, n = 1, 2, 3 … until a run has no n-th; kill the process at every event (M5, M8).

After each failed run this machine has at least one usable credential and the exit code tells the truth; the next, clean
run converges to the same end state.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from core.flow.engine import Result
from core.sandbox.faults import Fault, Kind
from core.sandbox.lab import Lab
from tests.faults.sentences import assert_true
from tests.machine import PROFILE, Machine, Snapshot, VirtualClock, killed

#: More requests than a migration makes; the test says so when it is too small.
MOST = 60
FAULTS: list[tuple[Kind, int]] = [
    ("cut-before", 0),
    ("cut-after", 0),
    ("status", 500),
    ("status", 403),
    ("status", 429),
    ("status", 404),
]


def invariants(machine: Machine, result: Result, before: Snapshot) -> None:
    """What must hold after any run, however it ended."""
    assert_true(machine, result, before)
    assert machine.usable(), "zero usable credentials"
    match result.exit_code:
        case 0:
            assert result.outcome == "changed"
            assert machine.passwords == []
            assert PROFILE.secret_member not in machine.state
        case 6:
            assert result.outcome == "partial"
            assert result.errors[-1]["remedy"]
        case _:
            assert_undone(machine, result, before)
    assert result.exit_code in (0, 1, 3, 4, 5, 6, 7)
    assert bool(result.summary) == (result.exit_code == 0), "a sentence of success after a failure (M7)"


def assert_undone(machine: Machine, result: Result, before: Snapshot) -> None:
    """Everything is as it was; only what was refused waits for an administrator, with its pending key (P12)."""
    now = Snapshot.of(machine)
    if result.errors[-1]["id"] == "handoff.waiting":
        assert (result.outcome, result.exit_code) == ("partial", 5)
        assert set(before.accounts) < set(now.accounts)
        now = replace(now, accounts=before.accounts)
    else:
        assert result.outcome == "failed"
    assert now == before, f"exit {result.exit_code} claims that everything was undone"


def converges(machine: Machine, others: dict[str, bytes]) -> None:
    """A clean run reaches the end state."""
    machine.tenant.faults.script.clear()
    machine.watch = None
    if machine.tenant.clock is not machine.clock:  # the sandbox has not waited along, and clocks that differ stop a run
        machine.clock.waited = 0.0
    result = machine.migrate()
    assert result.exit_code == 0, result.errors
    assert machine.passwords == []
    assert others.items() <= machine.keys.items()
    assert len(machine.keys) == len(others) + 1, "exactly one certificate of ours"
    assert machine.keystore.accounts(machine.service) == [machine.tenant.id]
    assert machine.verify().exit_code == 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "status"), FAULTS, ids=str)
def test_M5_M8_one_fault_at_every_request(start_lab: Callable[[str], Lab], kind: Kind, status: int) -> None:
    for nth in range(1, MOST):
        machine = Machine(start_lab("legacy"), VirtualClock())
        others, before = machine.keys, Snapshot.of(machine)
        fault = machine.tenant.faults.add(Fault(kind, "", nth, status or 500))
        result = machine.migrate()
        reached = fault.reached.is_set()
        machine.tenant.faults.script.clear()
        invariants(machine, result, before)
        if not reached:
            assert nth > 10, "the migration makes more requests than that"
            return
        if result.exit_code:
            converges(machine, others)
        machine.session.close()
        machine.lab.close()
    pytest.fail(f"a migration made more than {MOST} requests")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("status", [503, 403])
def test_M5_the_service_fails_for_good_from_every_request_on(start_lab: Callable[[str], Lab], status: int) -> None:
    for nth in range(1, MOST):
        machine = Machine(start_lab("legacy"), VirtualClock())
        others, before = machine.keys, Snapshot.of(machine)
        fault = Fault("status", "", 0, status)

        def strikes(line: str, fault: Fault = fault, nth: int = nth) -> bool:
            fault.seen += 1
            return fault.seen >= nth

        fault.strikes = strikes  # type: ignore[method-assign]
        machine.tenant.faults.add(fault)
        result = machine.migrate()
        machine.tenant.faults.script.clear()
        assert machine.usable(), "zero usable credentials"
        assert_true(machine, result, before)
        if result.exit_code not in (0, 6):
            assert_undone(machine, result, before)
        if result.exit_code == 0:
            assert fault.seen < nth or machine.passwords == []
            if fault.seen < nth:
                return
        converges(machine, others)
        machine.session.close()
        machine.lab.close()
    pytest.fail(f"a migration made more than {MOST} requests")


def former_key(machine: Machine) -> None:
    """This machine had a certificate, which somebody removed; secrets are there again."""
    saved = machine.app
    assert machine.migrate().exit_code == 0
    machine.change(
        "application", keyCredentials=saved["keyCredentials"], passwordCredentials=saved["passwordCredentials"]
    )
    machine.state_file.write_text(json.dumps({**machine.state, PROFILE.secret_member: machine.secret.reveal()}))


def dead_secret(machine: Machine) -> None:
    """Another machine has migrated this app already."""
    machine.change("application", passwordCredentials=[])
    machine.change("servicePrincipal", passwordCredentials=[])


def legacy(machine: Machine) -> None:
    """As the scenario has it."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("prepare", [legacy, former_key, dead_secret])
def test_M8_a_crash_after_any_line_of_the_journal_converges_on_the_next_run(
    start_lab: Callable[[str], Lab], prepare: Callable[[Machine], None]
) -> None:
    """Between the intention and the effect, and between the effect and its note."""
    for nth in range(1, MOST):
        machine = Machine(start_lab("legacy"), VirtualClock())
        prepare(machine)
        others, had = machine.keys, machine.usable()
        crashed = killed(nth, machine.migrate)
        if not crashed:
            assert nth > 10
            return
        assert machine.usable() or not had, "zero usable credentials"
        converges(machine, others)
        machine.session.close()
        machine.lab.close()
    pytest.fail(f"a migration writes more than {MOST} lines")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("prepare", [former_key, dead_secret])
def test_M5_M8_a_request_that_fails_for_good_on_other_machines(
    start_lab: Callable[[str], Lab], prepare: Callable[[Machine], None]
) -> None:
    for nth in range(1, MOST):
        machine = Machine(start_lab("legacy"), VirtualClock())
        prepare(machine)
        others, before, had = machine.keys, Snapshot.of(machine), machine.usable()
        fault = machine.tenant.faults.add(Fault("status", "", nth, 403))
        result = machine.migrate()
        reached = fault.reached.is_set()
        machine.tenant.faults.script.clear()
        assert machine.usable() or not had, "zero usable credentials"
        assert_true(machine, result, before)
        if result.exit_code not in (0, 6):
            assert_undone(machine, result, before)
        if not reached:
            assert nth > 10
            return
        converges(machine, others)
        machine.session.close()
        machine.lab.close()
    pytest.fail(f"a migration made more than {MOST} requests")
