"""Connections that are cut by chance, before or after the effect, several in one run (M5, M8, P7).

Larger with `CUTS=200`; other chances with `FAULTS_SEED=…`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Final

import pytest

from core.sandbox.faults import Fault, Kind
from core.sandbox.lab import Lab
from tests.faults.test_matrix import converges, invariants
from tests.machine import Machine, Snapshot, VirtualClock

CUTS: Final = int(os.environ.get("CUTS", "25"))
SEED: Final = os.environ.get("FAULTS_SEED", "1")
KINDS: Final[tuple[Kind, ...]] = ("cut-before", "cut-after", "half-body")


@pytest.mark.timeout(1800)
def test_M5_M8_connections_cut_by_chance_leave_nobody_half_migrated_with_exit_0(
    start_lab: Callable[[str], Lab],
) -> None:
    chance = random.Random(f"{SEED} cuts")
    print(f"CUTS={CUTS} FAULTS_SEED={SEED}")
    cut = runs = 0
    codes: dict[int, int] = {}
    while cut < CUTS:
        runs += 1
        seed, share = chance.randrange(2**32), chance.choice((0.05, 0.15, 0.4, 0.8))
        machine = Machine(start_lab("legacy"), VirtualClock())
        others, before = machine.keys, Snapshot.of(machine)
        faults = [Fault(kind, "", 0, chance=share / len(KINDS), seed=seed + n) for n, kind in enumerate(KINDS)]
        begin, end = chance.randrange(12), chance.randrange(12, 40)
        for fault in faults:
            fault.range = (begin, end)  # a run that never gets an answer does not begin
            machine.tenant.faults.add(fault)
        result = machine.migrate()
        codes[result.exit_code] = codes.get(result.exit_code, 0) + 1
        cut += sum(fault.struck for fault in faults)
        machine.tenant.faults.script.clear()
        try:
            invariants(machine, result, before)
            converges(machine, others)
        except AssertionError as error:
            error.add_note(f"FAULTS_SEED={SEED}, run {runs}: seed {seed}, share {share}, requests {begin} to {end}")
            raise
        machine.session.close()
        machine.lab.close()
    print(f"{cut} connections cut in {runs} runs; exit codes {codes}")
