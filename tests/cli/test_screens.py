"""The wizard leaves the terminal as it found it, however it ends, and its exit code is true (U2, U5, D4)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.sandbox.faults import Fault
from tests.cli.screens import Screens, Stage

SIGNALS = pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
LAST_USE = "^GET /beta/reports/appCredentialSignInActivities"  # beside other reads, on a thread of its own
REGISTERED = "^PATCH /v1.0/applications/"


@pytest.fixture
def stage(home: Path) -> Iterator[Stage]:
    stage = Stage(home)
    yield stage
    stage.close()


def _sane(screens: Screens, canary: str) -> None:
    assert screens.left_on() == [], "modes of the terminal"
    assert canary.encode() not in screens.raw.getvalue()


@SIGNALS
def test_U2_a_signal_while_it_looks_ends_it_at_once_although_the_service_does_not_answer(
    stage: Stage, number: int, code: int
) -> None:
    fault = stage.lab.tenant.faults.add(Fault("hold-before", LAST_USE))
    screens = stage.to("review")
    assert fault.reached.wait(20)
    screens.child.kill(number)
    assert screens.end() == code
    assert not fault.released.is_set(), "it did not wait for the answer"
    assert stage.now() == stage.before
    assert "Finishing" not in screens.last
    assert "in the keystore: 0" in screens.last
    _sane(screens, stage.canary)


@SIGNALS
def test_U2_a_signal_before_the_marker_undoes_and_says_so(stage: Stage, number: int, code: int) -> None:
    fault = stage.lab.tenant.faults.add(Fault("hold-after", REGISTERED))
    screens = stage.to("progress")
    assert fault.reached.wait(20)
    screens.child.kill(number)
    screens.see("Finishing what must not stay half-done")
    screens.child.kill(number)  # closing a terminal sends more than one: it still undoes
    fault.release()
    assert screens.end() == code
    assert "Everything that this run had done was undone." in screens.last
    assert "in the keystore: 0" in screens.last
    assert stage.now() == stage.before
    _sane(screens, stage.canary)


@SIGNALS
def test_U2_a_signal_after_the_marker_says_that_it_is_half_way(stage: Stage, number: int, code: int) -> None:
    fault = stage.lab.tenant.faults.add(Fault("hold-before", "removePassword"))
    screens = stage.to("progress")
    assert fault.reached.wait(20)
    screens.child.kill(number)
    screens.see("Finishing what must not stay half-done")
    fault.release()
    assert screens.end() == code
    assert "after the point of no return" in screens.last
    told = " ".join(screens.last.split())
    for left in ("Left: ", "PROVISIONER_CLIENT_SECRET in ", "`entraclaw-setup resume`: it finishes."):
        assert left in told
    assert "in the keystore: 0" not in told
    _sane(screens, stage.canary)


def test_U2_a_terminal_that_is_closed_half_way_does_not_stop_the_undoing(stage: Stage) -> None:
    fault = stage.lab.tenant.faults.add(Fault("hold-after", REGISTERED))
    screens = stage.to("progress")
    assert fault.reached.wait(20)
    assert screens.hang_up(fault.release) == 128 + signal.SIGHUP
    assert stage.now() == stage.before


def test_M7_what_was_proven_stays_on_the_terminal_when_the_screens_are_gone(stage: Stage) -> None:
    screens = stage.to("progress")
    screens.see("All done.")
    screens.press("\r")
    screens.see("Step 7 of 8")
    screens.see("Verified:")
    screens.press("\rq")
    assert screens.end() == 0
    told = " ".join(screens.last.split())
    assert "Migrated Provisioner from secret-auth to cert-auth. 3 password credentials removed" in told
    assert "Verified: " in told
    _sane(screens, stage.canary)


@pytest.mark.parametrize("held", [LAST_USE, "^GET .*openid-configuration", "batch"])
def test_U2_quitting_waits_for_no_blocked_call(stage: Stage, held: str) -> None:
    fault = stage.lab.tenant.faults.add(Fault("hold-before", held))
    screens = stage.to("review")
    assert fault.reached.wait(20)
    screens.press("q")
    screens.see("leaves everything as it is")
    screens.press("y")
    assert screens.end() == 130
    assert not fault.released.is_set()
    assert stage.now() == stage.before
    _sane(screens, stage.canary)


def test_D4_a_framework_that_fails_shows_no_values(stage: Stage, home: Path) -> None:
    screens = stage.start("deaf")
    assert screens.end() == 70
    assert "a bug in this program" in screens.last
    assert "cannot read" not in screens.last
    (incident,) = home.rglob("incidents/*.txt")
    assert stage.canary not in incident.read_text() + screens.raw.getvalue().decode()


@pytest.mark.parametrize("variable", ["TEXTUAL_LOG", "TEXTUAL", "TEXTUAL_PRESS", "TEXTUAL_DRIVER"])
def test_D4_the_framework_writes_no_log_picture_or_connection_of_its_own(variable: str, tmp_path: Path) -> None:
    """Its variables lead what is shown and typed to files and servers, and a driver is code of anybody's."""
    script = (
        "import os\nfrom wizard import front_end\n"
        "try:\n    front_end.run({})\nexcept BaseException:\n    pass\n"
        "assert not [name for name in os.environ if name.startswith('TEXTUAL')], os.environ\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env={"HOME": str(tmp_path), "PATH": os.defpath, variable: str(tmp_path / "log")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("moment", ["looking", "changing"])
def test_D4_a_bug_is_70_and_shows_no_values(stage: Stage, moment: str, home: Path) -> None:
    if moment == "changing":
        fault = stage.lab.tenant.faults.add(Fault("hold-after", REGISTERED))
    screens = stage.to("review" if moment == "looking" else "progress", "broken")
    if moment == "changing":
        assert fault.reached.wait(20)
    else:
        screens.see("Nothing was changed yet.")
    screens.press("l")
    if moment == "changing":
        screens.see("Finishing what must not stay half-done")
        fault.release()
    assert screens.end() == 70
    assert "a bug in this program (ValueError) [bug.internal]" in screens.last
    assert "client_secret" not in screens.last, "no local variables"
    (incident,) = home.rglob("incidents/*.txt")
    assert incident.name in re.sub(r"\s", "", screens.last)
    text = incident.read_text()
    assert "in action_log" in text
    for shown in (text, screens.last):
        assert stage.canary not in shown
        assert "cannot show" not in shown, "nor what it says itself: whatever it had at hand may be in it"
    assert stage.now() == stage.before
    assert "in the keystore: 0" in screens.last
    _sane(screens, stage.canary)


def _demo(home: Path, temporary: Path, *arguments: str) -> Screens:
    temporary.mkdir()
    environment = {"HOME": str(home), "PATH": os.defpath, "LANG": "C.UTF-8", "TERM": "xterm-256color"}
    environment |= {"TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return Screens([sys.executable, "-m", "wizard", "demo", *arguments], environment, home)


def test_U8_a_demo_that_is_left_while_its_sandbox_starts_leaves_nothing(home: Path, tmp_path: Path) -> None:
    screens = _demo(home, tmp_path / "tmp")
    try:
        screens.see("Starting the sandbox")
        screens.press("q")
        assert screens.end() == 0
        assert screens.left_on() == []
        assert list((tmp_path / "tmp").iterdir()) == []
    finally:
        screens.close()


def test_U8_a_sandbox_that_cannot_be_started_is_told_when_the_screens_are_gone(home: Path, tmp_path: Path) -> None:
    screens = _demo(home, tmp_path / "tmp", "--scenario", "no-such-scenario")
    try:
        assert screens.end() == 2
        assert screens.left_on() == []
        assert "no-such-scenario" in screens.last
        assert list((tmp_path / "tmp").iterdir()) == []
    finally:
        screens.close()
