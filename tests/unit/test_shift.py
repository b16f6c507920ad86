"""The clock that `make test-clock` shifts (Q1)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import shift

ASK = "import time; print(time.time(), flush=True); time.sleep(0.01)"


def test_Q1_a_program_without_environment_sees_the_time_of_the_tests(tmp_path: Path) -> None:
    """Also behind a program that hands nothing on."""
    real = tmp_path / "python"
    real.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    real.chmod(0o755)
    for argv in (
        [sys.executable, "-c", ASK],
        ["env", "-i", str(shift.front(real, tmp_path / "bin")), "-c", ASK],
    ):
        finished = subprocess.run(argv, env={"PATH": os.defpath}, capture_output=True, text=True, check=True)
        assert abs(float(finished.stdout) - time.time()) < 60


def test_Q1_a_clock_is_days_or_a_moment_of_this_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [shift.seconds(clock) for clock in ("+7d", "-1d")] == [7 * 86400, -86400]
    at = {}
    try:
        for zone in ("UTC", "Pacific/Auckland"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            at[zone] = shift.seconds("2031-01-31 23:59:30")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert abs(at["UTC"] - at["Pacific/Auckland"] - 13 * 3600) <= 5
    with pytest.raises(ValueError, match="tomorrow"):
        shift.seconds("tomorrow")


def test_Q1_every_file_of_the_fast_part_is_there() -> None:
    assert [name for name in shift.FAST if not (Path(shift.__file__).parent / name).exists()] == []
