"""The full-screen wizard: it owns the engine, shows its events, and hands it the answers (U1-U3, U6-U8)."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.css.query import NoMatches

from core.errors import SetupError
from core.errors.exit_codes import ExitCode
from wizard.runs import LOOKS
from wizard.tui import overlays
from wizard.tui.dialogs import Text
from wizard.tui.job import Job, Told
from wizard.tui.navigation import Navigation
from wizard.tui.palette import THEMES, Offers

if TYPE_CHECKING:
    from core.clock import Cancel, Clock
    from core.steps.context import Context
    from wizard.tui.host import Say, Work
    from wizard.workspace import Workspace

#: Seconds in which what runs may take back what it keeps for a moment: a probe of the keystore, a program.
_GRACE: Final = 0.3


def _nothing(value: object) -> None:
    """What a job that has nothing to tell is heard by."""


class Wizard(Navigation):
    """The app.

    :param workspace: where it stands.
    :param clock: time of the screens; tests and pictures give their own.
    :ivar preface: what stands above the last words, when the screens are gone.
    :ivar refused: why there is nothing to show: the sandbox of a demo could not be started.
    """

    CSS_PATH = "wizard.tcss"
    TITLE = "entraclaw-setup"
    COMMANDS: ClassVar[set[Any]] = {Offers}
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012  the framework types it so
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (24, "-low"), (30, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "log", "Log"),
        Binding("f1,question_mark", "keys", "Help", key_display="?"),
        Binding("f2", "theme", "Theme", show=False),
        Binding("q", "leave", "Quit"),
        Binding("ctrl+q", "leave", show=False, priority=True),
    ]

    def __init__(self, workspace: Workspace, clock: Clock | None = None) -> None:
        super().__init__(workspace, clock)
        self.preface = ""
        self.incident = ""
        self.to_sandbox = False
        self.refused: SetupError | None = None
        self._wanted = ""
        self._job: Job | None = None
        self._home: asyncio.AbstractEventLoop | None = None
        self._signal = 0

    def on_mount(self) -> None:
        """First screen."""
        self.theme = THEMES[0]
        self._home = asyncio.get_running_loop()
        self.restart()
        if self._signal:  # it came before there was a loop
            self._signalled()

    def restart(self) -> None:
        """Back to the first screen; what can be done is looked at anew."""
        self.survey, self.moving = None, not self.workspace.ready
        super().restart()
        self.call_after_refresh(self._look)  # what it loads must not delay the first frame

    def _look(self) -> None:
        """Look at what can be done; in a demo its sandbox has to be there first."""

        def look(ctx: Context, say: Say, cancel: Cancel) -> object:
            from core.flows.project_status import survey

            return survey(ctx)

        if self.workspace.ready:
            if not (self.moving or self._begun):  # somebody was faster
                self.begin_job(look, self._surveyed)
        elif self._job is None:
            self._begin_job(lambda say, cancel: self.workspace.start(), self._started)

    def _started(self, value: object) -> None:
        """The sandbox is there, and what was chosen meanwhile begins."""
        self.moving = False
        if isinstance(value, SetupError):
            self.refused = value
            self.exit(return_code=value.exit_code)
            return
        self.moved_screen()
        if self._wanted:
            self.choose(self._wanted)
        else:
            self._look()

    def _surveyed(self, value: object) -> None:
        if isinstance(value, SetupError):
            self.push_screen(Text.of("This cannot start", value))
        else:
            self.survey = value  # type: ignore[assignment]
            self.moved_screen()

    def signalled(self, number: int) -> None:
        """End in order instead of leaving the terminal as it is; for a signal's handler, at any time.

        :param number: the signal's.
        """
        self._signal = self._signal or number
        if self._home is not None:
            with suppress(RuntimeError):  # it is closed: the screens are gone, and what must be finished is
                self._home.call_soon_threadsafe(self._signalled)

    def _signalled(self) -> None:
        if self.engine_thread is not None and self.engine_thread.running:
            self.engine_thread.stop(self._signal)
        self.exit_code = ExitCode.of_signal(self._signal)
        self.exit(return_code=self.exit_code)

    def action_leave(self) -> None:
        """Quit; asks first when something is under way, and says what quitting does."""
        if self._leaving or self.engine_thread is None or not self.engine_thread.running:
            self.exit(return_code=self.exit_code)
        elif self.prospect == "nothing" and self.engine_thread.kind in LOOKS:
            self._stop_now()
        else:
            self.ask_to_stop(leave=True)

    def finish(self) -> None:
        """When the screens are gone: end what runs, after it took back or named what must not stay half-done."""
        if self._job is not None:
            self._job.stop()
            self._job.join(_GRACE)
        engine_thread = self.engine_thread
        if engine_thread is None:
            return

        def tell() -> None:
            with suppress(OSError):  # the terminal may be gone
                print("Finishing what must not stay half-done …", file=sys.stderr, flush=True)

        self.halt(self._signal or signal.SIGINT, tell)
        model = self.model_of(engine_thread)
        was = model.ended
        model.take(engine_thread.take())
        if model.ended is not was and model.ended is not None and not self.incident:
            self.exit_code = model.ended.result.exit_code

    def halt(self, number: int, tell: Callable[[], object] = lambda: None) -> None:
        """Stop the engine, and wait while it finishes what must not stay half-done; from any thread.

        :param number: the signal whose exit code it gets.
        :param tell: called before a wait that may be long.
        """
        engine_thread = self.engine_thread
        if engine_thread is None or not engine_thread.running:
            return
        engine_thread.stop(number)
        engine_thread.grace(_GRACE)
        if engine_thread.prospect != "nothing":  # it is "nothing" where nothing runs any more
            tell()
            engine_thread.join()

    async def action_quit(self) -> None:
        """The framework's own way out takes the same road."""
        self.action_leave()

    def crashed(self, error: Exception) -> int | None:
        """A redacted file and its path, instead of what the framework says of a bug."""
        from core.flow.engine import internal
        from core.recording import incident

        if self.exiting and isinstance(error, NoMatches) and not self.incident:
            return None  # a screen that was not complete when it was told to go; how the run ended is told by `finish`
        self.exit_code = ExitCode.BUG
        bug = internal(error)
        id, trace = bug.as_dict().get("incident", bug.id), bug.details.get("trace", bug.summary)
        try:
            path = incident.write(id, trace, self.model.log, self.clock.now())
            where = f"What happened before it is in {path}"
            if self.workspace.label:  # its home is about to be removed
                where = path.read_text(encoding="utf-8")
        except (OSError, SetupError) as failed:
            where = f"It could not be written to a file ({failed}):\n{trace}"
        kind = type(error).__name__
        self.incident = f"entraclaw-setup: a bug in this program ({kind}) [bug.internal].\n{where}"
        if self.engine_thread is not None and self.engine_thread.running:
            self.engine_thread.stop()
        return ExitCode.BUG

    # the way through

    def choose(self, name: str) -> None:
        """Start what was chosen on the first screen."""
        if name == "sandbox":
            self.to_sandbox = True
            self.exit(return_code=ExitCode.DONE)
            return
        if self.moving:
            self._wanted = name if not self.workspace.ready else ""
            return
        if not name.startswith("demo:"):
            self.begin(name)
            return
        chosen = name.removeprefix("demo:")
        flow = self.workspace.scenarios[chosen].flow
        if chosen == self.workspace.scenario and (self.survey is None or self.survey.open is None):
            self.begin(flow)
            return
        self.moving = True
        self.moved_screen()

        def moved(value: object) -> None:
            self.moving = False
            if isinstance(value, SetupError):
                self.push_screen(Text.of("The sandbox cannot start", value))
            else:
                self.begin(flow)

        self._begin_job(lambda say, cancel: self.workspace.move(chosen), moved)

    def begin_job(self, work: Work, after: Say, tells: Say = _nothing) -> None:
        """Do something short beside the engine, in a context of its own.

        :param after: receives what it returned, or the error it ended with.
        :param tells: receives what it says on its way.
        """

        def within(say: Say, cancel: Cancel) -> object:
            with closing(self.workspace.context(cancel, lambda event: None, lambda question: False)) as ctx:
                return work(ctx, say, cancel)

        self._begin_job(within, after, tells)

    def _begin_job(self, work: Callable[[Say, Cancel], object], after: Say, tells: Say = _nothing) -> None:
        self._job = Job(self.post_message, work, after, tells)

    def stop_job(self) -> None:
        """Give up what runs beside the engine."""
        if self._job is not None:
            self._job.stop()

    def on_told(self, message: Told) -> None:
        """What runs beside the engine says something, or has ended."""
        if message.job is not self._job:
            return
        if message.over:
            self._job = None
            message.job.after(message.value)
        else:
            message.job.tells(message.value)

    def action_log(self) -> None:
        """Everything that happened."""
        overlays.log(self)

    def action_keys(self) -> None:
        """What can be done here."""
        overlays.keys(self)

    def action_theme(self) -> None:
        """The next theme."""
        at = THEMES.index(self.theme) if self.theme in THEMES else -1
        self.theme = THEMES[(at + 1) % len(THEMES)]
