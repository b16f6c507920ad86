"""A migration through the wizard on a real terminal, with the real az and keyring; only Enter and the arrows (U1)."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.clock import SystemClock
from core.config.profile import Profile
from core.sandbox.lab import Lab
from tests.real.conftest import Desktop, missing
from tests.real.program import Program
from wizard.tui.app import Wizard

PATIENCE = 60.0
_TICK = 0.1


def _until(there: Callable[[], str | None]) -> str | None:
    """Look until something is there, or patience is at its end."""
    clock = SystemClock()
    end = clock.monotonic() + PATIENCE
    while (found := there()) is None and clock.monotonic() < end:
        clock.wait(_TICK)
    return found


class Tmux:
    """A terminal of 80 x 24 that can be read.

    :param folder: for its socket, and a file that gets every byte that was written to it.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        if shutil.which("tmux") is None:
            missing("tmux")
        self.raw = folder / "raw"
        self.seen: list[str] = []
        self._socket, self._status = folder / "socket", folder / "status"
        self._environment = environment
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "exec cat")
        # what ran last stays on the screen, with its exit code
        self._tmux("set-option", "-g", "remain-on-exit", "on")
        self._tmux("pipe-pane", "-O", f"exec cat >> {shlex.quote(str(self.raw))}")

    def run(self, *argv: str, folder: Path) -> None:
        """Run a program in it."""
        self._status.unlink(missing_ok=True)
        ended = f"echo $? > {shlex.quote(str(self._status))}"  # tmux itself may miss the end of its child
        self._tmux("respawn-pane", "-k", "-c", str(folder), f"{shlex.join(argv)}; {ended}")

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names of them."""
        self._tmux("send-keys", *keys)

    def screen(self) -> str:
        """What stands there."""
        self.seen.append(self._tmux("capture-pane", "-p"))
        return self.seen[-1]

    def see(self, *texts: str) -> str:
        """Wait until texts stand there; line ends are as good as blanks."""

        def there() -> str | None:
            screen = self.screen()
            words = " ".join(screen.split())
            return screen if all(text in words for text in texts) else None

        found = _until(there)
        assert found is not None, f"{texts} did not come:\n{self.seen[-1]}"
        return found

    def end(self) -> int:
        """Wait for the end of the program; its exit code."""
        status = _until(lambda: self._status.read_text() or None if self._status.exists() else None)
        assert status is not None, f"it did not end:\n{self.screen()}"
        self.screen()
        return int(status)

    def close(self) -> None:
        """End it and everything in it."""
        self._tmux("kill-server", check=False)

    def _tmux(self, *arguments: str, check: bool = True) -> str:
        argv = ["tmux", "-S", str(self._socket), *arguments]
        done = subprocess.run(argv, env=self._environment, check=False, capture_output=True, text=True, timeout=30)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def program(session: Desktop, az: Path) -> Iterator[Program]:
    lab = Lab.start("legacy")
    yield Program(lab, session, az)
    lab.close()


@pytest.fixture
def tmux(program: Program, tmp_path: Path) -> Iterator[Tmux]:
    terminal = Tmux(tmp_path, program.environment)
    yield terminal
    terminal.close()


@pytest.mark.skipif(sys.platform == "win32", reason="tmux")
def test_U1_a_migration_through_the_screens_with_enter_and_the_arrows_alone(program: Program, tmux: Tmux) -> None:
    canary = program.state[Profile.secret_member]
    tmux.run(sys.executable, "-m", "wizard", folder=program.session.home)
    tmux.see("holds a client secret: migrate it.", "Migrate")
    tmux.press("Enter")
    for step, told in (
        ("Step 1 of 8", "Prerequisites"),
        ("Step 2 of 8", "Azure sign-in"),
        ("Step 3 of 8", "Keystore"),
        ("Step 4 of 8", "Hardware key"),
    ):
        tmux.see(step, told, "All is well here. Enter continues.")
        tmux.press("Enter")
    plan = tmux.see("Step 5 of 8", "cannot be undone (!)", "Nothing was changed yet.")
    assert "delete" in plan
    tmux.press("Down", "Up", "Enter")
    tmux.see("Make these changes?", "Yes, make these changes")
    SystemClock().wait(2 * Wizard.READING)  # until the question could be read no answer counts
    tmux.press("Right", "Enter")
    tmux.see("Step 6 of 8", "All done.")
    tmux.press("Enter")
    tmux.see("Step 7 of 8", "Verified:")
    tmux.press("Enter")
    tmux.see("Step 8 of 8", "Migrated Provisioner from secret-auth to cert-auth. 3 password credentials removed")
    tmux.press("Right", "Right", "Enter")  # Quit
    assert tmux.end() == 0
    raw = tmux.raw.read_bytes()
    last = " ".join(raw.rpartition(b"\x1b[?1049l")[2].decode().split())
    assert "Migrated Provisioner from secret-auth to cert-auth. 3 password credentials removed" in last

    verified = program.result("verify")
    assert (verified["exit_code"], verified["outcome"]) == (0, "unchanged")
    assert Profile.secret_member not in program.state
    assert b"\x1b[?1049h" in raw, "the screens were written there"
    assert raw.rindex(b"\x1b[?1049l") > raw.rindex(b"\x1b[?1049h")
    assert canary.encode() not in raw
    assert not [screen for screen in tmux.seen if canary in screen.replace("\n", "")]
    assert b"PRIVATE KEY" not in raw
