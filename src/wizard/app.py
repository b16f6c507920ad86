"""The full-screen wizard: it owns the engine, shows its events, and hands it the answers (U1-U3, U6-U8)."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType

from core.errors import SetupError
from core.flow.wait import SystemClock
from wizard import aside
from wizard.bridge import Bridge, Job, Moved, Told
from wizard.model import LOOK, RAIL, Model
from wizard.palette import THEMES, Offers
from wizard.screens.dialogs import SMALLEST, Ask, Text, TooSmall

if TYPE_CHECKING:
    from textual.screen import Screen

    from core.events import Question
    from core.flow.wait import Cancel, Clock
    from core.stages.survey import Survey
    from core.stages.world import World
    from wizard.ground import Ground
    from wizard.screens.base import WizardScreen
    from wizard.undertaking import Kind

_SUBJECTS: Final = {"onboard": "set up", "verify": "verify"}
#: Seconds in which what runs may take back what it keeps for a moment: a probe of the keystore, a program.
_GRACE: Final = 0.3
_STOPPING: Final = {
    "nothing": "Nothing was changed yet. Stopping now leaves everything as it is.",
    "undo": "Stopping now undoes what this run has done so far, and then ends. That takes some seconds.",
    "forward": "The point of no return is behind: password credentials are being deleted, and the certificate was "
    "proven to work. Stopping now leaves this half-way; `entraclaw-setup resume` finishes it. There is no way back.",
}


def _nothing(value: object) -> None:
    """What a job that has nothing to tell is heard by."""


class Wizard(App[None]):
    """The app.

    :param ground: where it stands.
    :param clock: time of the screens; tests and pictures give their own.
    """

    CSS_PATH = "wizard.tcss"
    TITLE = "entraclaw-setup"
    COMMANDS: ClassVar[set[Any]] = {Offers}
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012  the framework types it so
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "log", "Log"),
        Binding("f1,question_mark", "keys", "Help", key_display="?"),
        Binding("f2", "theme", "Theme", show=False),
        Binding("q", "leave", "Quit"),
        Binding("ctrl+q", "leave", show=False, priority=True),
    ]

    def __init__(self, ground: Ground, clock: Clock | None = None) -> None:
        super().__init__()
        self.ground = ground
        self.clock = clock or SystemClock()
        self.model, self.proof = Model("verify"), Model("verify")
        self.survey: Survey | None = None
        self.bridge: Bridge | None = None
        self.exit_code, self.outcome = 0, ""
        self.passed: set[str] = set()
        self.incident = ""
        self.to_sandbox = False
        self._asking: Question | None = None
        self._open_doors: frozenset[str] = frozenset()
        self._job: Job | None = None
        self._after_job: Callable[[object], object] = _nothing
        self._job_tells: Callable[[object], object] = _nothing
        self._leaving = self._begun = False
        self._home: asyncio.AbstractEventLoop | None = None
        self._signal = 0

    # what the screens read

    @property
    def subject(self) -> str:
        """What is being done, for the top line."""
        return _SUBJECTS.get(self.model.kind, self.model.kind) if self._begun else ""

    @property
    def prospect(self) -> str:
        """What stopping now would do."""
        return self.bridge.prospect if self.bridge is not None else "nothing"

    def now(self) -> float:
        """Seconds on the screens' clock."""
        return self.clock.monotonic()

    # start and end

    def on_mount(self) -> None:
        """First screen."""
        self.theme = THEMES[0]
        self._home = asyncio.get_running_loop()
        self.restart()
        if self._signal:  # it came before there was a loop
            self._signalled()

    def restart(self) -> None:
        """Back to the first screen."""
        self.drop()
        self.survey, self._begun = None, False
        self.model, self.proof = Model("verify"), Model("verify")
        self._open_doors = frozenset()
        self._show("welcome")

        def look(world: World, say: Callable[[object], None], cancel: Cancel) -> object:
            from core.stages.survey import survey

            return survey(world)

        self.begin_job(look, self._surveyed)

    def _surveyed(self, value: object) -> None:
        if isinstance(value, SetupError):
            self.push_screen(Text("This cannot start", f"{value.summary}\n{value.remedy}\n[{value.id}]"))
        else:
            self.survey = value  # type: ignore[assignment]
            self._moved_screen()

    def signalled(self, number: int) -> None:
        """End in order instead of leaving the terminal as it is; for a signal's handler, at any time.

        :param number: the signal's.
        """
        self._signal = self._signal or number
        if self._home is not None:
            with suppress(RuntimeError):  # it is closed: the screens are gone, and what must be finished is
                self._home.call_soon_threadsafe(self._signalled)

    def _signalled(self) -> None:
        if self.bridge is not None and self.bridge.running:
            self.bridge.stop(self._signal)
        self.exit_code = 128 + self._signal
        self.exit(return_code=self.exit_code)

    def action_leave(self) -> None:
        """Quit; asks first when something is under way, and says what quitting does."""
        if self._leaving or self.bridge is None or not self.bridge.running:
            self.exit(return_code=self.exit_code)
        elif self.prospect == "nothing" and self.bridge.kind == "verify":
            self._stop_now()
        else:
            self.ask_to_stop(leave=True)

    def ask_to_stop(self, *, leave: bool = False) -> None:
        """Say what stopping would do now, and ask."""

        def answered(yes: bool | None) -> None:
            if not yes or self.bridge is None or not self.bridge.running:
                return
            if self.prospect == "nothing":
                if leave:
                    self._stop_now()
                else:
                    self.drop()
                    self.restart()
                return
            self._leaving = leave
            self.bridge.stop()

        self.push_screen(Ask(_STOPPING[self.prospect], "Quit" if leave else "Stop", "Go on"), answered)

    def _stop_now(self) -> None:
        assert self.bridge is not None
        self.bridge.stop()
        self.exit_code = 130
        self.exit(return_code=130)

    def finish(self) -> None:
        """When the screens are gone: end what runs, after it took back or named what must not stay half-done."""
        if self._job is not None:
            self._job.stop()
            self._job.join(_GRACE)
        bridge = self.bridge
        if bridge is None:
            return
        if bridge.running:
            bridge.stop(self._signal or signal.SIGINT)
            bridge.join(_GRACE)
        if bridge.running and bridge.prospect != "nothing":
            with suppress(OSError):  # the terminal may be gone
                print("Finishing what must not stay half-done …", file=sys.stderr, flush=True)
            bridge.join()
        model = self.proof if bridge.kind == "verify" else self.model
        was = model.ended
        model.take(bridge.take())
        if model.ended is not was and model.ended is not None and not self.incident:
            self.exit_code = model.ended.result.exit_code

    async def action_quit(self) -> None:
        """The framework's own way out takes the same road."""
        self.action_leave()

    def _handle_exception(self, error: Exception) -> None:
        """An error of this program: a redacted file and its path instead of a traceback with local variables."""
        from core.flow.engine import internal
        from wizard import incident

        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._return_code = self.exit_code = 70
        trace = str(internal(error).facts["trace"])
        try:
            path = incident.write(trace, self.model.log, self.clock.now())
            where = f"What happened before it is in {path}"
            if self.ground.label:  # its home is about to be removed
                where = path.read_text(encoding="utf-8")
        except OSError as failed:
            where = f"It could not be written to a file ({failed.strerror}):\n{trace}"
        kind = type(error).__name__
        self.incident = f"entraclaw-setup: a bug in this program ({kind}) [bug.internal].\n{where}"
        if self.bridge is not None and self.bridge.running:
            self.bridge.stop()
        self._close_messages_no_wait()

    # the way through

    def choose(self, name: str) -> None:
        """Start what was chosen on the first screen."""
        if name == "sandbox":
            self.to_sandbox = True
            self.exit(return_code=0)
            return
        if name.startswith("demo:"):
            chosen = name.removeprefix("demo:")
            if not (chosen == self.ground.scenario and self.survey is not None and self.survey.open is None):
                self.ground.move(chosen)
            name = self.ground.scenarios[chosen].flow
        self._begin(name)  # type: ignore[arg-type]

    def _begin(self, kind: Kind) -> None:
        self.drop()
        self._begun = True
        self.passed = set(self._open_doors)
        if kind == "verify":
            self.model = Model("verify")
            self.verify()
            return
        self.model, self.proof = Model(kind), Model("verify")
        self.exit_code, self.outcome = 0, ""
        self.bridge = Bridge(self.ground, kind, self.post_message, self._open_doors, self.now)
        self._asking = None
        self._show("progress" if kind == "undo" else "prereqs")
        self.bridge.start()

    def verify(self) -> None:
        """Prove the end state."""
        self.drop()
        self.proof = Model("verify")
        self.bridge = Bridge(self.ground, "verify", self.post_message, now=self.now)
        self._show("verify")
        self.bridge.start()

    def forward(self, place: str) -> None:
        """Go on from a screen."""
        model = self.model
        if place not in ("progress", "verify") or not (model.failed or self.proof.failed):
            self.passed.add(place)
        if place == "review" and model.question is not None:
            self._ask(model.question)
        elif place in LOOK and model.door == place:
            model.door = ""
            self._open_doors |= {place}
            assert self.bridge is not None
            self.bridge.answer(True)
            if place == "review":
                self._show("progress")
        elif place in LOOK:
            names = [name for name, _ in RAIL]
            self._show(names[names.index(place) + 1])
        elif place == "progress":
            if model.failed or model.kind == "undo":
                self._show("summary")
            else:
                self.verify()
        else:
            self._show("summary")

    def back(self, place: str) -> None:
        """Back to the screen before; from the first one the run is given up."""
        names = [name for name, _ in RAIL]
        at = names.index(place)
        if at:
            self._show(names[at - 1])
        elif self.bridge is not None and self.bridge.running:
            self.ask_to_stop()
        else:
            self.restart()

    def again(self, place: str) -> None:
        """Look again: a new run, which passes by itself the screens that were left before this one."""
        names = [name for name, _ in RAIL]
        self._open_doors = frozenset(names[: names.index(place)])
        self._begin(self.model.kind)

    def drop(self) -> None:
        """Give up a run that only looks, and forget it."""
        if self.bridge is not None and self.bridge.running:
            self.bridge.stop()
            self.bridge.join(2.0)  # its lock must be free for the next
        self.bridge, self._asking = None, None

    def on_moved(self, message: Moved) -> None:
        """Something happened."""
        bridge = message.bridge
        if self._exit:
            return  # nothing is shown any more; `finish` takes it
        items = bridge.take()
        if bridge is not self.bridge:
            return  # of a run that was given up
        model = self.proof if bridge.kind == "verify" else self.model
        was = model.stage
        model.take(items)
        if model.ended is not None:
            self._ended(model)
        if bridge.kind not in ("verify", "undo") and model.stage != was:
            self._follow(model.stage)
        self._moved_screen()
        question = model.question
        if question is not None and question is not self._asking:
            self._asking = question
            if not self._on_review(question):
                self._ask(question)

    def _follow(self, stage: str) -> None:
        """Show the screen of the stage that has begun."""
        place = stage if stage in LOOK else "progress"
        if getattr(self.base_screen, "place", "") != place:
            self._show(place)

    def _on_review(self, question: Question) -> bool:
        """The question of the plan is asked from the screen of the plan."""
        return self.model.stage == "review" and bool(self.model.plan)

    def _ask(self, question: Question) -> None:
        bridge = self.bridge
        planned = self._on_review(question)

        def answered(yes: bool | None) -> None:
            if bridge is None or bridge is not self.bridge or self.model.question is not question:
                return
            if planned and not yes:
                return  # back to the plan, which is still open
            self.model.question = None
            bridge.answer(bool(yes))
            if planned:
                self._open_doors = frozenset(LOOK)
                self._show("progress")

        yes = "Yes, make these changes" if planned else "Yes"
        self.push_screen(Ask(question.text, yes, "No", default=question.default and not planned), answered)

    def _ended(self, model: Model) -> None:
        assert model.ended is not None
        result = model.ended.result
        self.exit_code, self.outcome = result.exit_code, result.outcome if model is self.model else self.outcome
        for error in result.errors:
            if error["id"] == "bug.internal":
                self._report_bug(error)
        if self._leaving:
            self.exit(return_code=self.exit_code)

    def _report_bug(self, error: dict[str, Any]) -> None:
        from wizard import incident

        try:
            path = incident.write(str(error["remedy"]), self.model.log, self.clock.now())
        except OSError:
            return  # the card shows it whole
        error["remedy"] = f"Please report it with the file {path}; it holds no secrets."

    def begin_job(
        self,
        work: Callable[[World, Callable[[object], None], Cancel], object],
        after: Callable[[object], object],
        tells: Callable[[object], object] = _nothing,
    ) -> None:
        """Do something short beside the engine.

        :param after: receives what it returned, or the error it ended with.
        :param tells: receives what it says on its way.
        """
        self._job, self._after_job, self._job_tells = Job(self.ground, self.post_message, work), after, tells
        self._job.start()

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
            self._after_job(message.value)
        else:
            self._job_tells(message.value)

    # small things

    def action_log(self) -> None:
        """Everything that happened."""
        aside.log(self)

    def action_keys(self) -> None:
        """What can be done here."""
        aside.keys(self)

    def action_theme(self) -> None:
        """The next theme."""
        at = THEMES.index(self.theme) if self.theme in THEMES else -1
        self.theme = THEMES[(at + 1) % len(THEMES)]

    def on_resize(self) -> None:
        """A terminal in which nothing can be read safely answers nothing."""
        small = self.size.width < SMALLEST[0] or self.size.height < SMALLEST[1]
        if small and not isinstance(self.screen, TooSmall):
            self.push_screen(TooSmall())

    @property
    def base_screen(self) -> Screen[Any]:
        """The screen below whatever stands on top of it."""
        return next((s for s in reversed(self.screen_stack) if not s.is_modal), self.screen)

    def _moved_screen(self) -> None:
        screen = self.base_screen
        if screen.is_mounted and hasattr(screen, "moved"):
            screen.moved()

    def _show(self, name: str) -> None:
        while self.screen.is_modal:
            self.pop_screen()
        if len(self.screen_stack) > 1:
            self.switch_screen(_screen(name))
        else:
            self.push_screen(_screen(name))


def _screen(name: str) -> WizardScreen:
    from wizard.screens.hardware import Hardware
    from wizard.screens.keystore import Keystore
    from wizard.screens.prereqs import Prereqs
    from wizard.screens.progress import Progress
    from wizard.screens.review import Review
    from wizard.screens.signin import SignIn
    from wizard.screens.summary import Summary
    from wizard.screens.verify import Verify
    from wizard.screens.welcome import Welcome

    screens: dict[str, type[WizardScreen]] = {
        "welcome": Welcome,
        "prereqs": Prereqs,
        "signin": SignIn,
        "keystore": Keystore,
        "hardware": Hardware,
        "review": Review,
        "progress": Progress,
        "verify": Verify,
        "summary": Summary,
    }
    return screens[name]()
