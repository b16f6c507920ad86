"""The keystore fails at its n-th operation, n = 1, 2, 3 …, or it damages what it is given (K6, M8)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.errors import KeystoreError
from core.sandbox.fake_machine.keystore import MemoryKeystore
from core.sandbox.lab import Lab
from core.secret import Secret
from tests.faults.sentences import assert_true
from tests.faults.test_matrix import MOST, converges
from tests.machine import PROFILE, Machine, Snapshot, VirtualClock


class Failing(MemoryKeystore):
    """Refuses from one operation on, or that one only."""

    def __init__(self, nth: int, *, for_good: bool) -> None:
        super().__init__()
        self.count, self.nth, self.for_good = 0, nth, for_good

    def _operation(self) -> None:
        self.count += 1
        if self.count == self.nth or (self.for_good and self.count > self.nth):
            raise KeystoreError("keystore.gone", detail="by script")

    def read(self, service: str, account: str) -> Secret | None:
        self._operation()
        return super().read(service, account)

    def write(self, service: str, account: str, value: Secret) -> None:
        self._operation()
        super().write(service, account, value)

    def delete(self, service: str, account: str) -> None:
        self._operation()
        super().delete(service, account)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("for_good", [False, True])
def test_M8_a_keystore_that_fails_at_any_operation(start_lab: Callable[[str], Lab], for_good: bool) -> None:
    for nth in range(1, MOST):
        keystore = Failing(nth, for_good=for_good)
        machine = Machine(start_lab("legacy"), VirtualClock(), keystore)
        others, before = machine.keys, Snapshot.of(machine)
        result = machine.migrate()
        reached = keystore.count >= nth
        keystore.nth, keystore.for_good = 0, False
        assert machine.usable(), "zero usable credentials"
        assert_true(machine, result, before)
        if result.exit_code not in (0, 6):
            assert machine.untouched(before)
        if not reached:
            assert nth > 10
            return
        if result.exit_code:
            converges(machine, others)
        machine.session.close()
        machine.lab.close()
    pytest.fail(f"a migration made more than {MOST} operations")


class Damaging(MemoryKeystore):
    """Gives back something else than it was given."""

    def __init__(self, damage: Callable[[str], str | None]) -> None:
        super().__init__()
        self.damage = damage

    def read(self, service: str, account: str) -> Secret | None:
        value = super().read(service, account)
        damaged = None if value is None else self.damage(value.reveal())
        return None if damaged is None else Secret(damaged, learn=False)


@pytest.mark.parametrize(
    ("verdict", "damage"),
    [
        ("missing", lambda value: None),
        ("truncated", lambda value: value[:2560]),
        ("corrupted", lambda value: value[:-1] + "?"),
    ],
)
def test_K4_missing_truncated_and_corrupted_are_told_apart_before_anything_is_changed(
    machine: Machine, verdict: str, damage: Callable[[str], str | None]
) -> None:
    keystore = machine.keystore = Damaging(damage)
    before = Snapshot.of(machine)
    result = machine.migrate()
    assert result.exit_code == 3, "the probe finds it before anything is changed"
    assert result.errors[0]["id"] == "keystore.probe"
    assert verdict in result.errors[0]["message"]
    keystore.damage = lambda value: value
    assert machine.untouched(before)
    assert PROFILE.secret_member in machine.state
