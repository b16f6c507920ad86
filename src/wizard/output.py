"""One command line: its settings, its context, where its output goes, and how it ends when that is in the way."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Protocol

from core.clock import Cancel, SystemClock
from core.config.settings import Settings, resolve
from core.errors import Interrupted, SetupError
from core.errors.exit_codes import ExitCode
from core.events import ChangeMade, Event, Finding, Question
from core.flows import registry
from core.recording.writer import Recording
from wizard.console.ndjson import Ndjson
from wizard.console.plain import Plain, clean
from wizard.early import json_wanted
from wizard.process import log

if TYPE_CHECKING:
    from core.steps.context import Context


class Renderer(Protocol):
    """A front end."""

    def event(self, event: Event) -> None:
        """Show one event."""

    def ask(self, question: Question) -> bool:
        """Ask a person."""

    def result(self, command: str, outcome: str, code: int, data: dict[str, Any], errors: list[dict[str, Any]]) -> None:
        """Show the end."""


class Invocation:
    """What every command needs, whatever it does.

    :param command: its name.
    :param given: long options that were given, with underscores.
    :param cancel: where a request to stop comes in.
    :param stack: what is closed when it ends.
    :ivar asking: whether a person is being asked right now.
    :ivar effects: whether anything was changed so far.
    :ivar changed: whether the result says that something was changed.
    :ivar lost: why standard output did not take all of it.
    :ivar sinks: receive every event besides the renderer and the recording.
    :ivar checks: rows of a verification or a diagnosis, for the result.
    """

    def __init__(self, command: str, given: dict[str, Any], cancel: Cancel, stack: ExitStack) -> None:
        self.command, self.given, self.cancel, self.stack = command, given, cancel, stack
        self.asking = self.changed = self.effects = False
        self.lost: Exception | None = None
        # before anything can be wrong with them: in which form a mistake in the settings is told
        self.settings = Settings(json=bool(given.get("json", json_wanted(()))))
        self.renderer: Renderer = self._renderer(self.settings)
        self.sinks: list[Callable[[Event], None]] = []
        self.recording: Recording | None = None
        self.checks: list[dict[str, str]] = []

    def fail(self, error: SetupError) -> ExitCode:
        """Show an error that no flow has shown; its exit code."""
        row = registry.find(self.command)
        changing = row is not None and row.changes
        telling = isinstance(error, Interrupted) or (error.exit_code != ExitCode.USAGE and changing)
        if telling and not (self.effects or error.standing):
            error = error.copy(standing="Nothing was changed.")
        if self.command == "token":
            print(clean(f"entraclaw-setup token: {error}\n{error.remedy}"), file=sys.stderr)
        else:
            self.show("failed", error.exit_code, {}, [error.as_dict()])
        return error.exit_code

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

    def emit(self, event: Event) -> None:
        """Hand an event to every sink."""
        self.effects |= isinstance(event, ChangeMade)
        if self.recording is not None:
            self.recording.event(event)
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
        for sink in list(self.sinks):
            try:
                sink(event)
            except (OSError, ValueError) as error:
                self.sinks.remove(sink)
                with suppress(OSError):
                    print(f"--log-file {self.settings.log_file}: {error}; it ends here", file=sys.stderr)

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
        if self.settings.log_file:
            self.sinks.append(Ndjson(self.stack.enter_context(log(self.settings, self.command)), None).event)

    def real(self) -> Context:
        """This machine; it is closed and recorded.

        :raises SetupError: the cloud, the profile or the configuration file cannot be used.
        """
        from core import assemble

        ctx = assemble.real(self.settings, self.cancel, self.emit, self.ask)
        self.stack.callback(ctx.close)
        if self.command != "token":
            self.record(ctx)
        return ctx

    def record(self, ctx: Context, *, lasting: bool = True) -> None:
        """Record what follows.

        :param lasting: False where the state folder is thrown away in the end.
        """
        self.recording = Recording(self.command, SystemClock().now, lasting=lasting)
        self.recording.begin(ctx.profile, ctx.run_id, self.emit)

    def show(self, outcome: str, code: int, data: dict[str, Any], errors: list[dict[str, Any]]) -> None:
        """Show the result."""
        self.changed = outcome in ("changed", "partial")
        if self.recording is not None:
            data = self.recording.result(self.command, outcome, code, data, errors)
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

    def _renderer(self, settings: Settings) -> Renderer:
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
