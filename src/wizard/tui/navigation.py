"""The way through the wizard: which run is under way, and which screen shows it (U1, U2)."""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from textual.events import Event, Key, MouseDown, Paste, Resize

from core.clock import Clock
from core.errors import SetupError
from core.errors.exit_codes import ExitCode
from core.flows import registry
from wizard.runs import LOOKS, Kind, Order
from wizard.tui.dialogs import SMALLEST, Ask, TooSmall
from wizard.tui.engine_thread import EngineThread, Feed, Moved
from wizard.tui.host import Host
from wizard.tui.state import HAND_OFF, LOOK, PLACES, Model

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.geometry import Size
    from textual.timer import Timer

    from core.events import Event as CoreEvent
    from core.events import Question
    from core.recording.writer import Recording
    from wizard.tui.screens.base import WizardScreen
    from wizard.workspace import Workspace

#: Screens whose module is not called by their place, and the class in it.
_SCREENS: Final = {"prereqs": ("prerequisites", "Prerequisites"), "signin": ("sign_in", "SignIn")}
#: Events that are taken in at a time, and seconds until the rest: an engine may report faster than anybody can take it,
#: and keys and painting have to come in between.
_SLICE: Final = 500
_FRAME: Final = 1 / 30
#: Seconds between two paintings in such a flood, unless there is something to answer.
_CALM: Final = 0.25
_STOPPING: Final = {
    "nothing": "Nothing was changed yet. Stopping now leaves everything as it is.",
    "undo": "Stopping now undoes what this run has done so far, and then ends. That takes some seconds.",
    "forward": "The point of no return is behind: what was removed since then cannot come back. Stopping now leaves "
    "this half-way; `entraclaw-setup resume` finishes it. There is no way back.",
}


class Navigation(Host):
    """An app that leads a person through one run after the other.

    :param workspace: where it stands.
    :param clock: time of the screens; tests and pictures give their own.
    :ivar exit_code: of what was done last.
    :ivar last: what was known of the run before, when the first screen is shown again.
    :ivar log_to: receives every event, such as a log file.
    """

    def __init__(self, workspace: Workspace, clock: Clock | None = None) -> None:
        super().__init__(workspace, clock)
        self.last = (self.model, self.proof)
        self._recording: Recording | None = None
        self.log_to: Callable[[CoreEvent], None] | None = None
        self._asking: Question | None = None
        self._open_doors: frozenset[str] = frozenset()
        self._leaving = self._begun = False
        self._painting: Timer | None = None
        self._painted = 0.0

    async def on_event(self, event: Event) -> None:
        """What was typed, pasted or clicked before a question could be read is no answer to it."""
        asked = self.screen if isinstance(event, (Key, Paste, MouseDown)) and self.screen_stack else None
        if not (isinstance(asked, Ask) and event.time < asked.readable):
            await super().on_event(event)

    def restart(self) -> None:
        """Back to the first screen, with nothing under way."""
        self._forget()
        self.show("welcome")

    def _forget(self) -> None:
        self.drop()
        if self.model.ended is not None or self.proof.ended is not None:
            self.last = (self.model, self.proof)
        self._begun = False
        self.model, self.proof = Model("verify"), Model("verify")
        self._open_doors = frozenset()

    @property
    def subject(self) -> str:
        """What is being done, for the top line."""
        return (registry.row(self.model.kind).doing or self.model.kind) if self._begun else ""

    @property
    def prospect(self) -> str:
        """What stopping now would do."""
        return self.engine_thread.prospect if self.engine_thread is not None else "nothing"

    def model_of(self, feed: Feed) -> Model:
        """What is known of what an engine does."""
        return self.proof if feed.kind == "verify" else self.model

    def begin(self, kind: Kind) -> None:
        """Set something in motion."""
        self.drop()
        self._recording = self.workspace.recording(kind, self.clock.now)
        self._begun = True
        self.passed = set(self._open_doors)
        if kind in LOOKS:
            self.model = Model(kind)
            self.verify() if kind == "verify" else self.diagnose()
            return
        self.model, self.proof = Model(kind), Model("verify")
        self.exit_code, self.outcome = ExitCode.DONE, ""
        self._launch(Order(kind), "progress" if kind == "undo" else "prereqs")

    def verify(self) -> None:
        """Prove the end state."""
        self.drop()
        self.proof = Model("verify")
        self._launch(Order("verify"), "verify")

    def diagnose(self, only: tuple[str, ...] = (), *, fix: bool = False) -> None:
        """Look at everything, or again at some of it.

        :param only: names of checks; empty: all.
        :param fix: mend what is safe to mend.
        """
        self.drop()
        self.model.ended = None
        shown = getattr(self.base_screen, "heading", "") == "Diagnosis"
        self._launch(Order("doctor", only, fix), "" if shown else "diagnose")
        self.moved_screen()

    def _launch(self, order: Order, place: str) -> None:
        """Start an engine, and show it.

        :param place: of the screen; empty: the one that is there.
        """
        self.engine_thread = self._engine(order)
        if place:
            self.show(place)
        self.engine_thread.start()

    def _engine(self, order: Order) -> Feed:
        engine_thread = EngineThread(self.workspace, order, self.post_message, self._open_doors, self.now)
        engine_thread.events.log, engine_thread.events.recording = self.log_to, self._recording
        return engine_thread

    def forward(self, place: str) -> None:
        """Go on from a screen."""
        model = self.model
        if place not in ("progress", "verify") or not (model.failed or self.proof.failed):
            self.passed.add(place)
        if place == "review" and model.question is not None:
            self._ask(model.question)
        elif place in LOOK and model.pause == place:
            model.pause = ""
            self._open_doors |= {place}
            assert self.engine_thread is not None
            self.engine_thread.answer(True)
            if place == "review":
                self.show("progress")
        elif place in LOOK:
            self.show(PLACES[PLACES.index(place) + 1])
        elif place == "progress":
            if model.failed or model.kind == "undo":
                self.show("summary")
            else:
                self.verify()
        else:
            self.show("summary")

    def back(self, place: str) -> None:
        """Back to the screen before; from the first one the run is given up."""
        at = PLACES.index(place)
        if at:
            self.show(PLACES[at - 1])
        elif self.engine_thread is not None and self.engine_thread.running:
            self.ask_to_stop()
        else:
            self.restart()

    def again(self, place: str) -> None:
        """Look again: a new run, which passes by itself the screens that were left before this one."""
        self._open_doors = frozenset(PLACES[: PLACES.index(place)])
        self.begin(self.model.kind)

    def drop(self) -> None:
        """Give up a run that only looks, and forget it."""
        if self.engine_thread is not None and self.engine_thread.running:
            self.engine_thread.stop()
            self.engine_thread.join(2.0)  # its lock must be free for the next
        self.engine_thread, self._asking = None, None

    def on_moved(self, message: Moved) -> None:
        """Something happened."""
        engine_thread = message.engine_thread
        if self.exiting:
            return  # nothing is shown any more; `finish` takes it
        items = engine_thread.take(_SLICE)
        if len(items) == _SLICE:
            self.set_timer(_FRAME, lambda: self.post_message(Moved(engine_thread)))
        if engine_thread is not self.engine_thread:
            return  # of a run that was given up
        model = self.model_of(engine_thread)
        was, before = model.stage, (model.stage, model.pause, model.question, model.ended)
        model.take(items)
        if model.ended is not None:
            self._ended(model)
        if engine_thread.kind not in ("undo", *LOOKS) and model.stage != was:
            self._follow(model.stage)
        if len(items) == _SLICE and before == (model.stage, model.pause, model.question, model.ended):
            self._paint_soon()
        else:
            self.moved_screen()
        question = model.question
        if question is not None and question is not self._asking:
            self._asking = question
            if not self._on_review(question):
                self._ask(question)

    def _paint_soon(self) -> None:
        """Show it at once, or a little later when that was done just now."""
        if self._painting is not None:
            return
        wait = self._painted + _CALM - time.monotonic()
        if wait > 0:
            self._painting = self.set_timer(wait, self.moved_screen)
        else:
            self.moved_screen()

    def _follow(self, stage: str) -> None:
        """Show the screen of the stage that has begun."""
        place = stage if stage in LOOK else "progress"
        if getattr(self.base_screen, "place", "") != place:
            self.show(place)

    def _on_review(self, question: Question) -> bool:
        """The question of the plan is asked from the screen of the plan."""
        return self.model.stage == "review" and bool(self.model.plan)

    def _ask(self, question: Question) -> None:
        engine_thread = self.engine_thread
        planned = self._on_review(question)
        if planned and isinstance(self.screen, Ask):
            return  # Enter was pressed more than once; any other question is asked on top of whatever is open

        def answered(yes: bool | None) -> None:
            if engine_thread is None or engine_thread is not self.engine_thread or self.model.question is not question:
                return
            if planned and not yes:
                return  # back to the plan, which is still open
            self.model.question = None
            engine_thread.answer(bool(yes))
            if planned:
                self._open_doors = frozenset(LOOK)
                self.show("progress")

        yes = "Yes" if not planned else "Yes, write it" if question.id == HAND_OFF else "Yes, make these changes"
        self.push_screen(Ask(question.text, yes, "No", default=question.default and not planned), answered)
        self._guard(self.size)

    def _ended(self, model: Model) -> None:
        assert model.ended is not None
        result = model.ended.result
        self.exit_code, self.outcome = result.exit_code, result.outcome if model is self.model else self.outcome
        if model.kind == "doctor" and any(seen.state == "failure" for seen in model.checks.values()):
            self.exit_code = ExitCode.CHECK_FAILED  # of all that was seen, also where only one line was looked at again
        for error in result.errors:
            if error["id"] == "bug.internal":
                self._report_bug(error)
        if self._leaving:
            self.exit(return_code=self.exit_code)

    def _report_bug(self, error: dict[str, Any]) -> None:
        from core.recording import incident

        try:
            path = incident.write(error["incident"], str(error["remedy"]), self.model.log, self.clock.now())
        except (OSError, SetupError):
            return  # the card shows it whole
        error["remedy"] = f"Please report it with the file {path}; it holds no secrets."

    def ask_to_stop(self, *, leave: bool = False) -> None:
        """Say what stopping would do now, and ask."""
        prospect = self.prospect

        def answered(yes: bool | None) -> None:
            if not yes or self.engine_thread is None or not self.engine_thread.running:
                return
            if self.prospect != prospect:  # the yes was to something else
                self.ask_to_stop(leave=leave)
                return
            if self.prospect == "nothing":
                if leave:
                    self._stop_now()
                else:
                    self.drop()
                    self.restart()
                return
            self._leaving = leave
            self.engine_thread.stop()

        self.push_screen(Ask(_STOPPING[prospect], "Quit" if leave else "Stop", "Go on"), answered)

    def _stop_now(self) -> None:
        assert self.engine_thread is not None
        self.engine_thread.stop()
        self.exit_code = ExitCode.INTERRUPTED
        self.exit(return_code=self.exit_code)

    def moved_screen(self) -> None:
        """Tell the screen that there is something new."""
        if self._painting is not None:
            self._painting.stop()
        self._painting, self._painted = None, time.monotonic()
        screen = self.base_screen
        if screen.is_mounted and hasattr(screen, "moved"):
            screen.moved()

    def show(self, name: str) -> None:
        """Show a screen, without what stood on top of the one before."""
        while self.screen.is_modal:
            self.pop_screen()
        act = self.switch_screen if len(self.screen_stack) > 1 else self.push_screen
        act(_screen(name))
        self._guard(self.size)

    def on_resize(self, event: Resize) -> None:
        """A terminal in which nothing can be read safely answers nothing."""
        self._guard(event.size)

    def _guard(self, size: Size) -> None:
        """Cover everything when the terminal is too small; the app's own size follows a resize some time later."""
        small = size.width < SMALLEST[0] or size.height < SMALLEST[1]
        if small and not isinstance(self.screen, TooSmall):
            self.push_screen(TooSmall())


def _screen(name: str) -> WizardScreen:
    """The screen of a place; its module is loaded when it is shown."""
    module, cls = _SCREENS.get(name, (name, name.capitalize()))
    made: WizardScreen = getattr(import_module(f"wizard.tui.screens.{module}"), cls)()
    return made
