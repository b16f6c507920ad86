"""Replicas that lag by up to two minutes: see, not see, see again (P7, S3). No read is believed too soon."""

from __future__ import annotations

import pytest

from core.events import StepFinished
from core.sandbox.lab import Lab
from tests.faults.test_matrix import converges
from tests.machine import Machine, Snapshot, VirtualClock

SEEDS = [(seed, lag) for lag in (5, 20, 60, 120) for seed in (1, 2, 3)]


@pytest.fixture
def lagging(request: pytest.FixtureRequest) -> Machine:
    seed, lag = request.param
    clock = VirtualClock()
    lab = Lab.start("legacy", seed=seed, clock=clock, sign_in=False)
    request.addfinalizer(lab.close)
    machine = Machine(lab, clock)
    request.addfinalizer(machine.session.close)
    machine.tenant.lag = {"application": lag, "servicePrincipal": lag}
    return machine


def settle(machine: Machine) -> None:
    """Let every replica catch up."""
    machine.tenant.lag = {}
    machine.clock.waited += 200


@pytest.mark.parametrize("lagging", SEEDS, indirect=True, ids=str)
def test_P7_a_migration_reaches_its_end_at_the_first_try(lagging: Machine) -> None:
    others = lagging.keys
    result = lagging.migrate()
    assert result.exit_code == 0, result.errors
    settle(lagging)
    assert lagging.passwords == []
    assert others.items() <= lagging.keys.items()
    assert len(lagging.keys) == len(others) + 1
    assert lagging.verify().exit_code == 0


@pytest.mark.parametrize("lagging", SEEDS, indirect=True, ids=str)
def test_M5_undoing_leaves_nothing_behind_a_stale_replica(lagging: Machine) -> None:
    before = Snapshot.of(lagging)

    def disable(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "register":
            lagging.tenant.lag["servicePrincipal"] = 0  # that, and that alone, is known everywhere at once
            lagging.change("servicePrincipal", accountEnabled=False)

    lagging.watch = disable
    result = lagging.migrate()
    lagging.watch = None
    settle(lagging)
    lagging.change("servicePrincipal", accountEnabled=True)
    assert (result.outcome, result.exit_code) == ("failed", 5), "somebody disabled the app (AADSTS7000112)"
    assert lagging.untouched(before)
    converges(lagging, lagging.keys)
