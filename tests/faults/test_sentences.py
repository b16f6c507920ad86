"""A run is killed at every line of its journal; whatever ends the next one, what that says is true (M5, M7, U10)."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from core.errors import KeystoreError
from core.events import Event
from core.flow import engine
from core.flow.engine import Result
from core.flow.journal import Journal
from core.flows import migrate
from core.sandbox.faults import Fault
from core.sandbox.lab import Lab
from core.secret import Secret
from tests.faults.sentences import assert_true, said
from tests.faults.test_matrix import MOST
from tests.machine import Machine, Snapshot, VirtualClock, killed

End = Callable[[Machine], Result]


def interrupted_at(place: int) -> End:
    """A signal comes at an event."""

    def run(machine: Machine) -> Result:
        count = 0

        def ask(event: Event) -> None:
            nonlocal count
            count += 1
            if count == place:
                assert machine.ctx is not None
                machine.ctx.cancel.ask(signal.SIGINT)

        machine.watch = ask
        return machine.migrate()

    return run


def without(status: int) -> End:
    """The service refuses everything, or what changes something."""

    def run(machine: Machine) -> Result:
        machine.tenant.faults.add(Fault("status", "" if status == 503 else "^(PATCH|POST) /", 0, status))
        return machine.migrate()

    return run


def without_keystore(machine: Machine) -> Result:
    """The keystore is gone."""
    read = machine.keystore.read

    def gone(service: str, account: str) -> Secret | None:
        raise KeystoreError("keystore.gone", detail="by script")

    machine.keystore.read = gone  # type: ignore[method-assign]
    try:
        return machine.migrate()
    finally:
        machine.keystore.read = read  # type: ignore[method-assign]


def late_clock(machine: Machine) -> Result:
    """The computer's clock is wrong: an error whose text knows nothing of what an earlier run did."""
    machine.clock.waited -= 3600
    try:
        return machine.migrate()
    finally:
        machine.clock.waited += 3600


def undoing(machine: Machine) -> Result:
    """Somebody asks for the undo."""
    return machine.run(migrate.FLOW, act=engine.undo)


def declined(machine: Machine) -> Result:
    """The answer is no."""
    return machine.migrate(lambda question: False, yes=False)


ENDS: dict[str, End] = {
    "interrupted at once": interrupted_at(1),
    "interrupted while it looks": interrupted_at(12),
    "interrupted while it changes": interrupted_at(45),
    "service away": without(503),
    "changes refused": without(403),
    "keystore away": without_keystore,
    "wrong clock": late_clock,
    "undo": undoing,
    "declined": declined,
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ENDS)
def test_U10_what_the_next_run_says_after_a_crash_is_true(start_lab: Callable[[str], Lab], name: str) -> None:
    for nth in range(1, MOST):
        machine = Machine(start_lab("legacy"), VirtualClock())
        first = Snapshot.of(machine)
        crashed = killed(nth, machine.migrate)
        if not crashed:
            assert nth > 10
            return
        assert machine.ctx is not None
        marked = Journal(machine.ctx.log.path, "", machine.clock).marked
        before = Snapshot.of(machine)
        result = ENDS[name](machine)
        machine.watch = None
        machine.tenant.faults.script.clear()
        assert machine.usable(), "zero usable credentials"
        assert_true(machine, result, before, first)
        if marked and result.exit_code:
            assert "Nothing was changed" not in said(result), "the run that it continues did change something"
        machine.session.close()
        machine.lab.close()
    pytest.fail(f"a migration writes more than {MOST} lines")
