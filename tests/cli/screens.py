"""The wizard on a terminal of its own: what it writes, byte for byte, and how it leaves the terminal."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest

from core.clock import SystemClock
from core.config.profile import Profile
from core.sandbox.directory import users
from core.sandbox.lab import Lab
from core.sandbox.token_service.tokens import AZURE_CLI, user_token

if os.name != "posix":
    pytest.skip("pseudo-terminals are POSIX'", allow_module_level=True)

import termios

#: What may stand between two words: blanks and line ends, styles, a cursor that moved.
_BETWEEN = r"(?:\s|\x1b\[[\d;?]*[A-Za-z])+"
#: Modes that a full-screen program switches on, and what their other side is.
_MODES = {"1049": "l", "1000": "l", "1002": "l", "1003": "l", "1006": "l", "1015": "l", "2004": "l", "25": "h"}


class Screens:
    """A process on a pseudo-terminal of 80 x 24.

    :ivar raw: everything that it has written.
    """

    def __init__(self, argv: list[str], environment: dict[str, str], folder: Path) -> None:
        self.raw = io.BytesIO()
        self.child = pexpect.spawn(
            argv[0], argv[1:], env=environment, cwd=str(folder), timeout=30, dimensions=(24, 80), echo=True
        )
        self.child.logfile_read = self.raw
        self._before = termios.tcgetattr(self.child.child_fd)

    def see(self, text: str) -> None:
        """Wait for words, wherever the lines break."""
        self.child.expect(_BETWEEN.join(re.escape(word) for word in text.split()))

    def press(self, keys: str) -> None:
        """Press keys."""
        self.child.send(keys)

    def end(self) -> int:
        """Wait for the end of the process; its exit code."""
        self.child.expect(pexpect.EOF)
        after = termios.tcgetattr(self.child.child_fd)
        self.child.close()
        assert after == self._before, "the terminal's settings are as they were"
        assert self.child.signalstatus is None, f"ended by signal {self.child.signalstatus}"
        code: int = self.child.exitstatus
        return code

    def hang_up(self, then: Callable[[], None]) -> int:
        """Close the terminal, as the window of a terminal does; the exit code of the process, or minus its signal.

        :param then: done when it is closed.
        """
        self.child.ptyproc.fileobj.close()
        then()
        _, status = os.waitpid(self.child.pid, 0)
        self.child.closed = self.child.ptyproc.closed = True
        return os.waitstatus_to_exitcode(status)

    def abandon(self, seconds: float) -> int | None:
        """Close the terminal, as the window of a terminal does.

        :param seconds: that the process may take to end.
        :returns: its exit code, or minus its signal; None if it did not end.
        """
        self.child.ptyproc.fileobj.close()
        return self.ends(seconds)

    def ends(self, seconds: float) -> int | None:
        """Wait for the end of the process without reading what it writes.

        :param seconds: at most that long.
        :returns: its exit code, or minus its signal; None if it did not end.
        """
        clock = SystemClock()
        end = clock.monotonic() + seconds
        while clock.monotonic() < end:
            pid, status = os.waitpid(self.child.pid, os.WNOHANG)
            if pid:
                self.child.ptyproc.fileobj.close()
                self.child.closed = self.child.ptyproc.closed = True
                return os.waitstatus_to_exitcode(status)
            clock.wait(0.02)
        return None

    def close(self) -> None:
        """End the process, however it stands."""
        self.child.kill(signal.SIGKILL)
        self.child.close(force=True)

    @property
    def last(self) -> str:
        """What stands below the screens when they are gone."""
        return self.raw.getvalue().rpartition(b"\x1b[?1049l")[2].decode()

    def left_on(self) -> list[str]:
        """Modes of the terminal that were switched on, or off, and not back."""
        wrote = self.raw.getvalue().decode()
        assert "\x1b[?1049h" in wrote, "there were screens at all"
        switched = {
            mode: sense for modes, sense in re.findall(r"\x1b\[\?([\d;]+)([hl])", wrote) for mode in modes.split(";")
        }
        return [mode for mode, sense in _MODES.items() if switched.get(mode, sense) != sense]


class Stage:
    """A sandbox of this process, and the wizard in front of it as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.lab = Lab.start("legacy", sign_in=False)
        self.lab.tenant.lag.clear()
        tenant = self.lab.tenant
        token = user_token(tenant, users.find(tenant, tenant.signed_in_user), f"{tenant.graph}/", AZURE_CLI)
        (self.lab.folder / "token").write_text(token)
        self._folder = folder
        self.screens: Screens | None = None
        self.canary = self.state[Profile.secret_member]
        self.before = self.now()

    def start(self, *arguments: str) -> Screens:
        """Start the wizard."""
        environment = {"HOME": str(self._folder), "PATH": os.defpath, "LANG": "C.UTF-8", "TERM": "xterm-256color"}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        argv = [sys.executable, "-m", "tests.cli.stage", str(self.lab.folder), *arguments]
        self.screens = Screens(argv, environment, self._folder)
        return self.screens

    def to(self, place: str, *arguments: str) -> Screens:
        """Start the wizard, and press Enter until a screen begins.

        :param place: `signin`, `keystore`, `hardware`, `review` or `progress`.
        """
        screens = self.start(*arguments)
        screens.see("holds a client secret: migrate it")
        screens.press("\r")
        for number, name in enumerate(("signin", "keystore", "hardware", "review"), 1):
            screens.see(f"Step {number} of 8")
            screens.see("Enter continues.")
            screens.press("\r")
            if name == place:
                return screens
        screens.see("Nothing was changed yet.")
        screens.press("\r")
        screens.see("Make these changes?")
        screens.press("\x1b[C\r")
        return screens

    @property
    def state(self) -> dict[str, str]:
        """The state file's members."""
        members: dict[str, str] = json.loads((self.lab.project / Profile.state_file).read_text())
        return members

    def now(self) -> tuple[Any, Any]:
        """App and state file."""
        app = self.lab.tenant.find("application", "appId", self.state[Profile.client_id_member])
        return json.dumps(app, sort_keys=True), self.state

    def close(self) -> None:
        """End everything."""
        if self.screens is not None and not self.screens.child.closed:
            self.screens.close()
        for fault in self.lab.tenant.faults.script:
            fault.release()
        self.lab.close()
