"""Real processes against the sandbox: many at once, and killed at any instant (P7, P8, M5, M8).

Larger with `HERD_PROCESSES=20` and `KILLS=100`; other chances with `FAULTS_SEED=…`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from core.sandbox.faults import Fault, Kind
from core.sandbox.lab import Lab
from tests.faults.processes import PROFILE, Home, result

SIZE: Final = int(os.environ.get("HERD_PROCESSES", "8"))
KILLS: Final = int(os.environ.get("KILLS", "6"))
SEED: Final = os.environ.get("FAULTS_SEED", "1")
#: Longest life of a process that is killed, in seconds; a migration without waits takes about half as long.
LIFE: Final = 2.0
#: Seconds that undoing may take on a busy machine; no wait takes time.
UNDO: Final = 8.0


@pytest.fixture
def start() -> Iterator[Callable[[], Lab]]:
    """Start a sandbox in real time."""
    labs: list[Lab] = []

    def begin() -> Lab:
        labs.append(Lab.start("legacy", sign_in=False))
        return labs[-1]

    yield begin
    for lab in labs:
        lab.close()


@pytest.mark.timeout(300)
def test_P7_P8_processes_that_begin_together_all_finish(start: Callable[[], Lab], tmp_path: Path) -> None:
    lab = start()
    homes = [Home(lab, tmp_path / f"machine-{number}") for number in range(SIZE)]
    before = homes[0].keys
    running = [home.start() for home in homes]
    results = [result(process) for process in running]
    assert [came["exit"] for came in results] == [0] * SIZE, results
    assert homes[0].passwords == []
    assert before <= homes[0].keys
    assert len(homes[0].keys) == len(before) + SIZE, "one certificate of each machine"
    for home in homes:
        assert list(home.held()) == [lab.tenant.id]
        assert home.held()[lab.tenant.id].der in home.keys
        assert PROFILE.secret_member not in home.state


@pytest.mark.timeout(1800)
def test_M5_M8_a_process_that_is_killed_at_any_instant_is_never_stranded_and_its_next_run_converges(
    start: Callable[[], Lab], tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    print(f"KILLS={KILLS} FAULTS_SEED={SEED}")
    killed = number = 0
    while killed < KILLS:
        number += 1
        lab = start()
        home = Home(lab, tmp_path / f"machine-{number}")
        before = home.keys
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            process = home.start("quick")
            assert process.stdout is not None
            process.stdout.readline()  # it has begun
            instant = chance.uniform(0, LIFE)
            try:
                process.wait(instant)
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
            process.communicate()
            if process.returncode == 0:
                assert home.passwords == []
            assert home.usable(), f"stranded: FAULTS_SEED={SEED}, machine {number}, killed after {instant:.3f} s"
        came = home.run("quick")
        assert came["exit"] == 0, came
        assert home.passwords == []
        assert before <= home.keys
        assert len(home.keys) == len(before) + 1, "exactly one certificate of ours"
        assert list(home.held()) == [lab.tenant.id]
        assert home.held()[lab.tenant.id].der in home.keys
        assert PROFILE.secret_member not in home.state
        lab.close()
    print(f"{killed} kills of {number} machines")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["hold-before", "hold-after"])
@pytest.mark.parametrize("request_line", ["GET .*/applications/", "POST .*/token", "PATCH .*/applications/"])
def test_U2_M8_a_signal_is_heard_while_an_answer_stalls_and_everything_is_undone(
    start: Callable[[], Lab], tmp_path: Path, kind: Kind, request_line: str
) -> None:
    lab = start()
    home = Home(lab, tmp_path / "machine")
    before, state = home.keys, home.state
    fault = lab.tenant.faults.add(Fault(kind, request_line))
    process = home.start("quick")
    try:
        assert fault.reached.wait(60)
        begun = time.monotonic()
        process.terminate()
        came = result(process)
        passed = time.monotonic() - begun
    finally:
        fault.release()
        process.kill()
        process.communicate()
    assert came["exit"] == 128 + signal.SIGTERM, came
    assert passed < 2 + UNDO
    assert (home.keys, home.state, list(home.held())) == (before, state, [])
    assert home.run("quick")["exit"] == 0
    assert home.passwords == []
    assert len(home.keys) == len(before) + 1
