"""The wizard as a process of its own, in front of a sandbox in the process of the test (see `screens.Stage`).

Arguments: folder of the sandbox's cloud file, project and the user's token; `broken` for an app with a bug, `deaf` for
a framework whose reading of keys has one.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from core.clock import Cancel
from core.config.profile import Profile
from core.config.settings import Settings
from core.entra.http import Session
from core.entra.tokens import Token, claims_of
from core.events import Event, Question
from core.machine.azure_login import Prompt
from core.sandbox.fake_machine.az import HARDWARE, TOOLS
from core.sandbox.fake_machine.keystore import MemoryKeystore
from core.secret import Secret
from core.steps.context import Context
from tests.machine import VirtualClock, dating
from wizard import process
from wizard.tui import app
from wizard.tui.app import Wizard
from wizard.tui.terminal import conduct
from wizard.workspace import Local


class SignedIn:
    """Somebody is signed in already, with a token that the sandbox issued beforehand."""

    def __init__(self, token: str) -> None:
        self._token = token

    def graph_token(self, tenant: str) -> Token:
        return Token(Secret(self._token), claims_of(self._token))

    def login(self, tenant: str, *, device_code: bool, tell: Callable[[Prompt], None], cancel: Cancel) -> None:
        raise AssertionError("nobody signs in here")

    def logout(self) -> None:
        raise AssertionError("nobody signs out here")


class Workspace(Local):
    """This machine, with a keystore in memory and somebody signed in; what is waited for has passed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Settings(project=str(folder / "project"), cloud=str(folder / "cloud.toml")))
        self.keystore = MemoryKeystore()
        self.clock = VirtualClock()
        self._sign_in = SignedIn((folder / "token").read_text())

    def context(self, cancel: Cancel, emit: Callable[[Event], None], ask: Callable[[Question], bool]) -> Context:
        ctx = super().context(cancel, emit, ask)
        ctx.sign_in, ctx.keystore, ctx.lifetime = self._sign_in, self.keystore, ()
        ctx.tools, ctx.hardware = lambda: TOOLS, lambda: HARDWARE
        ctx.clock = self.clock
        self.clock.cancel = cancel
        ctx.session = Session(ctx.cloud, self.clock)
        return ctx


class Broken(Wizard):
    """Its log has a bug, with a secret at hand."""

    CSS_PATH = str(Path(app.__file__).with_name("wizard.tcss"))

    def action_log(self) -> None:
        client_secret = self.workspace.settings.folder.joinpath(Profile.state_file).read_text()
        raise ValueError(f"cannot show {len(client_secret)} characters of {client_secret}")


def deafen(secret: str) -> None:
    """The framework's thread that reads keys fails, with a secret at hand."""
    from textual.drivers.linux_driver import LinuxDriver

    def fail(driver: LinuxDriver) -> None:
        typed = secret
        raise ValueError(f"cannot read {typed}")

    LinuxDriver.run_input_thread = fail  # type: ignore[method-assign,assignment]


def main() -> int:
    """Run it."""
    if "deaf" in sys.argv:
        deafen(Path(sys.argv[1]).joinpath("project", Profile.state_file).read_text())
    Wizard.READING = 0.0  # nobody reads
    workspace = Workspace(Path(sys.argv[1]))
    with dating(workspace.clock):
        code = conduct((Broken if "broken" in sys.argv else Wizard)(workspace))
    with suppress(OSError):  # the terminal may be gone
        sys.stdout.write(f"in the keystore: {len(workspace.keystore._entries)}\n")
    gc.freeze()  # as the program itself ends
    return process.flush(code)


if __name__ == "__main__":
    sys.exit(main())
