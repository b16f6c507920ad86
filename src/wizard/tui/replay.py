"""A recording in the wizard: it plays by itself, and nothing can be set in motion (U7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from core.config.settings import Settings
from core.errors import Interrupted, SetupError
from core.errors.exit_codes import ExitCode
from core.events import Question, StageStarted
from core.flow.engine import Result
from core.flows import registry
from wizard.replay import Pace, head
from wizard.runs import LOOKS, Ended, Kind, Order
from wizard.tui.app import Wizard
from wizard.tui.engine_thread import Feed, outline
from wizard.tui.state import LOOK, Item, Model, Pause
from wizard.workspace import Ask, Emit, Workspace

if TYPE_CHECKING:
    from textual.message import Message

    from core.clock import Cancel
    from core.recording.reader import Part, Tape
    from core.steps.context import Context

#: The keys double and halve the speed between these.
_SLOWEST, _FASTEST = 0.125, 128.0


class Playback(Feed):
    """A part of a recording, as the screens of a run would have got it.

    :param part: what was recorded.
    :param pace: waits from one event to the next.
    """

    def __init__(self, part: Part, kind: Kind, post: Callable[[Message], object], pace: Pace) -> None:
        super().__init__(kind, post, pace.monotonic)
        self._part, self._pace = part, pace
        self._hurry = False

    def answer(self, yes: bool) -> None:
        """Go on to the next stage at once: whoever has read a screen waits no longer than he wants."""
        self._hurry = True

    def _run(self) -> None:
        first = self._part.events[0][0] if self._part.events else 0.0
        began = self._pace.monotonic() - first
        try:
            for moment, item in self._items_in_order(first):
                self._until(began + moment)
                self._put(item)
                if isinstance(item, StageStarted):
                    self._hurry = False
        except Interrupted:
            return  # it was given up; nobody waits for the rest

    def _until(self, moment: float) -> None:
        self._cancel.check()
        while not (self._hurry or self._pace.approach(moment)):
            self._cancel.check()
        self._pace.leap(moment)

    def _items_in_order(self, first: float) -> Iterator[tuple[float, Item]]:
        spec = registry.row(self._part.flow)
        if spec.load and spec.started:  # its steps are known before they begin
            yield first, outline(registry.load(spec.load))
        following = [event for _, event in self._part.events[1:]]
        stage, asked, last = "", False, first
        for (last, event), after in zip(self._part.events, [*following, None], strict=False):
            yield last, event
            stage = event.stage if isinstance(event, StageStarted) else stage
            asked = asked or isinstance(event, Question)
            stays = self.kind not in ("undo", *LOOKS) and stage in LOOK and not (stage == "review" and asked)
            if stays and isinstance(after, StageStarted):
                yield last, Pause(stage)  # it shows that the stage is passed; the recorded pause holds, nobody has to
        yield last, self._ended()

    def _ended(self) -> Ended:
        told = self._part.result
        if told is None:
            return Ended(Result("failed", ExitCode.FAILED, errors=[SetupError("replay.cut").as_dict()]), {})
        outcome: Any = told.outcome
        code: Any = told.exit_code  # a later version may have more of both
        return Ended(Result(outcome, code, errors=list(told.errors)), told.data)


class Recorded(Workspace):
    """The workspace of a replay: there is nothing to do anything in.

    :param tape: what was loaded (`wizard.replay.load`).
    :param pace: its clock.
    """

    live = False

    def __init__(self, tape: Tape, settings: Settings, pace: Pace) -> None:
        self.tape, self.settings, self.pace = tape, settings, pace
        first = tape.parts[0]
        self.kind = tape.command if registry.row(tape.command).started else first.flow
        proofs = [part for part in tape.parts if part.flow == "verify"]
        self.proof: Part | None = proofs[-1] if proofs else None

    @property
    def label(self) -> str:
        speed = f"{self.pace.speed:g}x" if self.pace.speed else "at once"
        return f"REPLAY {self.tape.started:%Y-%m-%d}  {speed} +/-"

    def recording(self, command: str, now: object) -> None:
        """A replay is not recorded."""

    def context(self, cancel: Cancel, emit: Emit, ask: Ask) -> Context:
        raise AssertionError("a recording has no context")


class Replay(Wizard):
    """The wizard, led by a recording; whatever would begin something begins the replay again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus,equals_sign", "speed(2)", "Faster", show=False, key_display="+"),
        Binding("minus", "speed(0.5)", "Slower", show=False, key_display="-"),
    ]
    more_keys = ("+ -        Speed of the replay",)

    def __init__(self, workspace: Recorded) -> None:
        super().__init__(workspace, workspace.pace)
        self._recorded = workspace
        self.preface = head(workspace.tape)

    def restart(self) -> None:
        """From the beginning."""
        self._forget()
        self.begin(self._recorded.kind)

    def again(self, place: str) -> None:
        """From the beginning."""
        self.restart()

    def verify(self) -> None:
        """The verification that was recorded, if one was; after it, all of it again."""
        if self.proof.ended is not None:
            self.restart()
        elif self._recorded.proof is None:
            self.show("summary")
        else:
            super().verify()

    def diagnose(self, only: tuple[str, ...] = (), *, fix: bool = False) -> None:
        """The diagnosis that was recorded, again from its beginning."""
        if self.model.ended is not None:
            self.restart()
        else:
            super().diagnose()

    def forward(self, place: str) -> None:
        """Go on without the rest of the pause."""
        if place == "review" and self.model.question is not None:
            assert self.engine_thread is not None
            self.engine_thread.answer(True)
        else:
            super().forward(place)

    def ask_to_stop(self, *, leave: bool = False) -> None:
        """Nothing is under way, so nothing is asked."""
        self.action_leave()

    def action_leave(self) -> None:
        """Quit."""
        self.exit(return_code=ExitCode.DONE)

    def action_speed(self, factor: float) -> None:
        """Play faster or slower; what is skipped altogether is slowed down to how it was."""
        pace = self._recorded.pace
        if pace.speed:
            pace.speed = min(max(pace.speed * factor, _SLOWEST), _FASTEST)
        elif factor < 1:
            pace.speed = 1.0
        for label in self.base_screen.query(".label").results(Static):
            label.update(Content(f" {self.workspace.label} "))

    def finish(self) -> None:
        """How the recorded run ended is no exit code of the replay."""
        super().finish()
        if not (self.incident or self._signal):
            self.exit_code = ExitCode.DONE

    def _engine(self, order: Order) -> Feed:
        workspace = self._recorded
        part = workspace.proof if order.kind == "verify" and workspace.proof is not None else workspace.tape.parts[0]
        return Playback(part, order.kind, self.post_message, workspace.pace)

    def _ask(self, question: Question) -> None:
        """It was answered."""

    def _follow(self, stage: str) -> None:
        self.passed |= {name for name in self.model.stages if name in LOOK and name != stage}
        super()._follow(stage)

    def _ended(self, model: Model) -> None:
        super()._ended(model)
        if model is self.model and not (model.stage or model.checks):  # it came to no stage that has a screen
            self.show("summary")

    def _report_bug(self, error: dict[str, Any]) -> None:
        """It was reported when it happened."""
