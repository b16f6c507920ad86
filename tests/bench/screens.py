"""The wizard on a terminal: its first frame, a key while the engine floods it, and quitting while a call hangs."""

from __future__ import annotations

import os
import select
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import pexpect

from core.sandbox.faults import Fault
from tests.bench.table import Row, timed
from tests.bench.track import PROGRAM
from tests.cli.screens import Screens, Stage

HERE = Path(__file__).parent
#: Presses of a key: enough for a 99th percentile.
PRESSES = 200
_PATIENCE = 30.0


def screens(runs: int) -> list[Row]:
    """All of it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Path(folder)
        environment = {"HOME": folder, "PATH": os.defpath, "LANG": "C.UTF-8", "TERM": "xterm-256color"}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        return [*first_frames(runs, environment, home), key(environment, home), leave(runs, home)]


def first_frames(runs: int, environment: dict[str, str], home: Path) -> list[Row]:
    """From the start of the process to the menu, of the wizard and of a demo, whose sandbox starts behind it."""
    ours, demo, bare = [], [], []
    for _ in range(runs):
        bare.append(_painted([sys.executable, str(HERE / "hello.py")], b"Hello, world", environment, home))
        ours.append(_painted([str(PROGRAM)], b"Rotate", environment, home))
        demo.append(_painted([str(PROGRAM), "demo"], b"Starting the sandbox", environment, home))
    hello = "Textual's hello-world"
    return [
        timed("wizard: first frame with the menu", ours, bare, hello, 1.3),
        timed("demo: first frame with the menu", demo, bare, hello, 2),
    ]


def key(environment: dict[str, str], home: Path) -> Row:
    """From a key press to what it changes on the screen, while the engine reports 20,000 events and more."""
    terminal = Screens([sys.executable, "-m", "tests.bench.flood"], environment, home)
    seconds = []
    try:
        _await(terminal.child.child_fd, b"evidence")
        for press in range(1, PRESSES + 1):
            start = time.perf_counter()
            os.write(terminal.child.child_fd, b"z")
            _await(terminal.child.child_fd, f"echo-{press}-".encode())
            seconds.append(time.perf_counter() - start)
    finally:
        terminal.close()
    worst = quantiles(seconds, n=100)[-1]
    return _absolute(f"wizard: key to screen in a flood of events, 99th of {PRESSES}", worst, seconds, 0.1)


def leave(runs: int, home: Path) -> Row:
    """From the yes to the end of the process, while a request is not answered."""
    seconds = []
    for _ in range(runs):
        stage = Stage(home)
        try:
            fault = stage.lab.tenant.faults.add(Fault("hold-before", "^GET /beta/reports/"))
            terminal = stage.to("review")
            assert fault.reached.wait(_PATIENCE)
            terminal.press("q")
            terminal.see("leaves everything as it is")
            start = time.perf_counter()
            os.write(terminal.child.child_fd, b"y")
            terminal.child.expect(pexpect.EOF)
            seconds.append(time.perf_counter() - start)
        finally:
            stage.close()
    return _absolute("wizard: quit while a request hangs", median(seconds), seconds, 0.5)


def _painted(argv: list[str], word: bytes, environment: dict[str, str], home: Path) -> float:
    start = time.perf_counter()
    terminal = Screens(argv, environment, home)
    try:
        _await(terminal.child.child_fd, word)
        return time.perf_counter() - start
    finally:
        terminal.close()


def _await(terminal: int, word: bytes) -> None:
    """Read until a word was written."""
    end = time.perf_counter() + _PATIENCE
    wrote = b""
    while word not in wrote:
        if not select.select([terminal], [], [], max(0.0, end - time.perf_counter()))[0]:
            raise SystemExit(f"{word!r} was not written within {_PATIENCE:.0f} s:\n{wrote[-2000:].decode()}")
        wrote = wrote[-len(word) :] + os.read(terminal, 65536)


def _absolute(what: str, measured: float, seconds: list[float], most: float) -> Row:
    """A time that a person waits: its goal is not a ratio."""
    shown = f"{measured * 1000:.0f} ({min(seconds) * 1000:.0f}) ms"
    return Row(what, shown, "", "", f"≤ {most * 1000:.0f} ms", measured <= most)
