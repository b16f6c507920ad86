"""The goals that can be counted hold: sign-ins and sequential round trips (docs/explanation/performance.md).

A sign-in is one spawn of the Azure CLI; its own requests are counted by `make bench`, which starts the real one.
"""

from __future__ import annotations

import pytest

from core.entra.tokens import Token
from core.flow.engine import Result
from core.flows import migrate, onboard
from core.sandbox.fake_machine.az import SandboxSignIn
from core.sandbox.lab import Lab
from core.sandbox.logs import Served
from tests.bench.trips import AGAIN, AZ, LEAST, SPARE, SPAWNS, SPAWNS_AGAIN, WAITS, longest_chain, under_way
from tests.machine import Machine, VirtualClock

#: Long enough for two requests of one moment to be seen together, also on a busy machine.
LATENCY = 0.15
FLOWS = {"migrate": ("legacy", migrate.FLOW), "onboard": ("fresh", onboard.FLOW)}


class Counted:
    """A machine, and what its last run cost."""

    def __init__(self, name: str, clock: VirtualClock) -> None:
        scenario, self._flow = FLOWS[name]
        self.lab = Lab.start(scenario, latency=LATENCY, clock=clock, sign_in=False)
        self._machine = Machine(self.lab, clock)
        self.spawns = 0

    def run(self) -> tuple[Result, int, list[str]]:
        """The result, the sign-ins and the round trips of one run."""
        before, self.spawns = len(self.lab.server.served), 0
        result = self._machine.run(self._flow)
        return result, self.spawns, longest_chain(self.lab.server.served[before:])


@pytest.mark.parametrize("name", list(FLOWS))
def test_a_run_and_a_second_one_stay_within_their_round_trips(
    name: str, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(name, clock)
    sign_in = SandboxSignIn.graph_token

    def counting(self: SandboxSignIn, tenant: str) -> Token:
        counted.spawns += 1
        return sign_in(self, tenant)

    monkeypatch.setattr(SandboxSignIn, "graph_token", counting)
    try:
        result, spawns, trips = counted.run()
        assert (result.outcome, result.exit_code) == ("changed", 0)
        assert clock.waited <= WAITS
        assert 1 <= spawns <= SPAWNS
        assert LEAST[name] <= len(trips) <= LEAST[name] + SPARE, trips

        result, spawns, trips = counted.run()
        assert (result.outcome, result.exit_code) == ("unchanged", 0)
        assert 1 <= spawns <= SPAWNS_AGAIN
        assert len(trips) <= AGAIN - AZ, trips
    finally:
        counted.lab.close()


def test_requests_at_the_same_moment_count_once() -> None:
    served = [Served("a", 0, 10), Served("b", 2, 11), Served("c", 12, 20), Served("d", 13, 30)]
    assert longest_chain(served) == ["a", "c"]
    assert under_way(served) == 29
    assert (longest_chain([]), under_way([])) == ([], 0)
