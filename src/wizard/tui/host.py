"""What screens, and what stands on top of them, may ask of the app that shows them."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from core.clock import Cancel, Clock, SystemClock
from core.errors.exit_codes import ExitCode
from wizard.tui.state import Model
from wizard.tui.textual_compat import TextualApp

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen

    from core.flows.project_status import ProjectStatus
    from core.steps.context import Context
    from wizard.tui.engine_thread import Feed
    from wizard.workspace import Workspace

#: Receives what was said, or what it came to.
Say: TypeAlias = "Callable[[object], None]"
#: Something short: it gets a context, what it can tell something with, and the request to stop.
Work: TypeAlias = "Callable[[Context, Say, Cancel], object]"


class Host(TextualApp):
    """The app that shows a screen.

    :param workspace: where it stands.
    :param clock: time of the screens; tests and pictures give their own.
    :cvar READING: seconds that a question must have been on the screen before an answer to it counts.
    :cvar more_keys: what the help says of keys that no footer shows.
    :ivar workspace: where it stands.
    :ivar clock: time of the screens.
    :ivar model: what is known of the run.
    :ivar proof: what is known of the verification that follows it.
    :ivar survey: what can be done; None until it was looked at.
    :ivar engine_thread: the engine, if something is under way.
    :ivar passed: places that were left by going on.
    :ivar moving: another sandbox is being started.
    :ivar outcome: of what was done last.
    :ivar exit_code: of what was done last.
    """

    READING: ClassVar[float] = 0.4
    more_keys: ClassVar[tuple[str, ...]] = ()

    def __init__(self, workspace: Workspace, clock: Clock | None = None) -> None:
        super().__init__()
        self.workspace = workspace
        self.clock = clock or SystemClock()
        self.model, self.proof = Model("verify"), Model("verify")
        self.survey: ProjectStatus | None = None
        self.engine_thread: Feed | None = None
        self.passed: set[str] = set()
        self.moving = False
        self.exit_code, self.outcome = ExitCode.DONE, ""

    @property
    @abstractmethod
    def subject(self) -> str:
        """What is being done, for the top line."""

    @property
    @abstractmethod
    def prospect(self) -> str:
        """What stopping now would do."""

    def now(self) -> float:
        """Seconds on the screens' clock."""
        return self.clock.monotonic()

    @property
    def base_screen(self) -> Screen[Any]:
        """The screen below whatever stands on top of it."""
        return next((s for s in reversed(self.screen_stack) if not s.is_modal), self.screen)

    # the way through

    def choose(self, name: str) -> None:
        """Start what was chosen on the first screen."""

    def forward(self, place: str) -> None:
        """Go on from a screen."""

    def back(self, place: str) -> None:
        """Back to the screen before; from the first one the run is given up."""

    def again(self, place: str) -> None:
        """Look again: a new run, which passes by itself the screens that were left before this one."""

    def restart(self) -> None:
        """Back to the first screen."""

    def verify(self) -> None:
        """Prove the end state."""

    def diagnose(self, only: tuple[str, ...] = (), *, fix: bool = False) -> None:
        """Look at everything, or again at some of it.

        :param only: names of checks; empty: all.
        :param fix: mend what is safe to mend.
        """

    def drop(self) -> None:
        """Give up a run that only looks, and forget it."""

    def ask_to_stop(self, *, leave: bool = False) -> None:
        """Say what stopping would do now, and ask."""

    def action_leave(self) -> None:
        """Quit."""

    # beside the engine

    def begin_job(self, work: Work, after: Say, tells: Say = ...) -> None:
        """Do something short beside the engine, in a context of its own.

        :param after: receives what it returned, or the error it ended with.
        :param tells: receives what it says on its way.
        """

    def stop_job(self) -> None:
        """Give up what runs beside the engine."""
