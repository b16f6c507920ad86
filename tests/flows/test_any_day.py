"""Any day (Q1): what a flow does depends on the clock it is given, never on the one of this computer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.sandbox.lab import Lab
from tests.machine import Machine, VirtualClock


@pytest.mark.parametrize("days", [-3653, -8, 7, 365, 1826])
def test_Q1_a_world_may_stand_on_another_day_than_this_computer(
    start_lab: Callable[[str], Lab], clock: VirtualClock, days: int
) -> None:
    """Down to the assertion, which a library dates."""
    clock.waited = days * 86400.0
    machine = Machine(start_lab("legacy"), clock)
    migrated = machine.migrate()
    assert (migrated.exit_code, migrated.errors) == (0, [])
    assert machine.passwords == []
    assert machine.verify().exit_code == 0
