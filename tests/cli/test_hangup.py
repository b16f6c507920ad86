"""A terminal that goes away, or takes nothing any more, while something moves on it: the process ends (U2, U7)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.clock import SystemClock
from core.events import Event, FlowStarted, StageStarted, StepFinished, to_json
from tests.cli.screens import Screens

#: Seconds; the machine may be busy with other tests.
SOON = 5.0
#: Seconds in which what nobody reads fills the terminal and everything before it.
_FULL = 6.0


@pytest.fixture
def replayed(tmp_path: Path, home: Path) -> Iterator[Screens]:
    """A replay in which something moves all the time."""
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    events: list[Event] = [FlowStarted("migrate", "1"), StageStarted("migrate", "Migration")]
    events += [StepFinished("migrate", f"s{n % 9}", "Step", "done", f"tick {n}") for n in range(3000)]
    path = tmp_path / "run.jsonl"
    times = (begun + timedelta(seconds=number / 30) for number in range(len(events)))
    path.write_text("".join(to_json(e, t.isoformat()) + "\n" for e, t in zip(events, times, strict=True)))
    environment = {"HOME": str(home), "PATH": os.defpath, "LANG": "C.UTF-8", "TERM": "xterm-256color"}
    environment["PYTHONPATH"] = os.pathsep.join(folder for folder in sys.path if folder)
    screens = Screens([sys.executable, "-m", "wizard", "replay", str(path), "--speed", "1"], environment, tmp_path)
    screens.see("so far; a replay.")
    yield screens
    if not screens.child.closed:
        screens.close()


def test_U2_closing_the_terminal_ends_a_replay(replayed: Screens) -> None:
    assert replayed.abandon(SOON) == 128 + signal.SIGHUP


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_U2_a_terminal_that_takes_nothing_any_more_holds_nobody(replayed: Screens, number: int) -> None:
    """Nobody reads what it writes, so that a write blocks, and soon the loop behind it."""
    SystemClock().wait(_FULL)
    replayed.child.kill(number)
    assert replayed.ends(SOON) == 128 + number
