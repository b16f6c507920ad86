"""One command line: its settings, its context, where its output goes, and how it ends when that is in the way."""

from __future__ import annotations

import io
import os
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from core.clock import SystemClock
from core.config.settings import Settings, resolve
from core.errors import SetupError
from core.errors.exit_codes import ExitCode
from core.events import Event, Finding, Question
from wizard import runs
from wizard.console.ndjson import Ndjson
from wizard.console.plain import Plain
from wizard.early import json_wanted
from wizard.process import Interruptible, log
from wizard.text import clean
from wizard.workspace import Local, Workspace

if TYPE_CHECKING:
    from core.steps.context import Context


class Invocation(Interruptible):
    """What every command needs, whatever it does.

    :param command: its name.
    :param given: long options that were given, with underscores.
    :param stack: what is closed when it ends.
    :ivar changed: whether the result says that something was changed.
    :ivar lost: why standard output did not take all of it.
    :ivar emit: where every event goes.
    """

    def __init__(self, command: str, given: dict[str, Any], stack: ExitStack) -> None:
        super().__init__()
        self.command, self.given, self.stack = command, given, stack
        self.changed = False
        self.lost: Exception | None = None
        # before anything can be wrong with them: in which form a mistake in the settings is told
        self.settings = Settings(json=bool(given.get("json", json_wanted(()))))
        self.renderer = self._renderer(self.settings)
        self.emit = runs.Events(self._event)

    def fail(self, error: Exception) -> ExitCode:
        """Show an error that no flow has shown; its exit code."""
        result = runs.failed(error, self.command, effects=self.emit.effects)
        if self.command == "token":
            (told,) = result.errors
            print(clean(f"entraclaw-setup token: {told['message']} [{told['id']}]\n{told['remedy']}"), file=sys.stderr)
        else:
            self.show(result.outcome, result.exit_code, {}, result.errors)
        return result.exit_code

    def told(self, code: ExitCode) -> ExitCode:
        """The exit code; a result that could not be written is no success, unless whoever read it just went away (U4).

        :param code: what the run came to.
        """
        try:
            sys.stdout.flush()
        except (OSError, ValueError) as error:
            self._missed(error)
        if self.lost is None or self.command in ("token", "sandbox"):  # to those it is an error like any other
            return code
        failed = SetupError("output.lost", detail=_reason(self.lost))
        with suppress(OSError, ValueError):
            if self.settings.json:
                Ndjson(sys.stderr, None).event(Finding(failed.id, "failure", failed.summary, failed.remedy))
            else:
                print(clean(f"entraclaw-setup: {failed}\n{failed.remedy}"), file=sys.stderr, flush=True)
        return code or (ExitCode.HALF_WAY if self.changed else failed.exit_code)

    def ask(self, question: Question) -> bool:
        """Answer from `--yes`, or ask a person if there is one."""
        if self.settings.yes:
            return True
        if self.settings.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise SetupError("flow.unasked")
        self.asking = True
        try:
            return self.renderer.ask(question)
        finally:
            self.asking = False

    def settle(self, flags: dict[str, Any]) -> None:
        """Settle the settings, and with them where everything goes.

        :param flags: options by their long names.
        :raises SetupError: `usage.settings`.
        """
        self.settings = resolve(flags)
        self.renderer = self._renderer(self.settings)
        if (file := log(self.settings, self.command, self.stack)) is not None:
            self.emit.log = Ndjson(file, None).event

    def carry_out(self, order: runs.Order, workspace: Workspace | None = None) -> runs.Ended:
        """Run a flow or a check, and record it.

        :param workspace: where; None: on this machine.
        """
        place = workspace or Local(self.settings)
        self.emit.recording = self.emit.recording or place.recording(self.command, SystemClock().now)
        return runs.carry_out(order, lambda: self.context(place), self.emit)

    def context(self, workspace: Workspace) -> Context:
        """What a run works with; whoever gets it closes it.

        :raises SetupError: the cloud, the profile or the configuration file cannot be used.
        """
        return workspace.context(self.cancel, self.emit, self.ask)

    def show(self, outcome: str, code: int, data: dict[str, Any], errors: list[dict[str, Any]]) -> None:
        """Show the result."""
        self.changed = outcome in ("changed", "partial")
        try:
            self.renderer.result(self.command, outcome, code, data, errors)
        except (OSError, ValueError) as error:
            self._missed(error)

    def say(self, text: str) -> None:
        """Show a text of our own."""
        try:
            print(text, flush=True)
        except (OSError, ValueError) as error:
            self._missed(error)

    @staticmethod
    def write(text: str) -> None:
        """Write what the command is for.

        :raises SetupError: `output.lost`.
        """
        try:
            print(text, flush=True)
        except (OSError, ValueError) as error:
            raise SetupError("output.lost", detail=_reason(error)) from None

    def _event(self, event: Event) -> None:
        if self.command == "token":
            # these must reach somebody (K5, M10), and standard output is the token's
            if isinstance(event, Finding) and event.id.startswith(("keystore.allowed", "rollback.")):
                with suppress(OSError):
                    text = f"entraclaw-setup token: {event.message} {event.remedy}".rstrip()
                    print(clean(text), file=sys.stderr)
            return
        try:
            self.renderer.event(event)
        except (OSError, ValueError) as error:  # what was begun is finished all the same
            if self.settings.json:
                self.renderer = Ndjson(None, sys.stdout)
            else:
                self._missed(error)
                self.renderer = Plain(io.StringIO(), sys.stderr, colour=False, quiet=True, verbose=False)

    def _renderer(self, settings: Settings) -> Plain | Ndjson:
        if settings.json:
            return Ndjson(None if settings.quiet else sys.stderr, sys.stdout)
        colour = sys.stdout.isatty() and not settings.no_color and os.environ.get("TERM") != "dumb"
        return Plain(sys.stdout, sys.stderr, colour=colour, quiet=settings.quiet, verbose=settings.verbose)

    def _missed(self, error: Exception) -> None:
        """Remember what standard output did not take; that nobody is there to read it is no failure."""
        if not isinstance(error, BrokenPipeError):
            self.lost = self.lost or error


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
