"""Progress: steps with their states and times, what is being waited for, and what stopping would do now (U7)."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from wizard.text import clean
from wizard.tui.screens.base import ERRORS, NEXT, WizardScreen
from wizard.tui.widgets.parts import Card, Checks, put


class Progress(WizardScreen):
    """The changes as they are made."""

    BINDINGS: ClassVar[list[BindingType]] = [*NEXT, Binding("x,escape", "stop", "Stop …"), *ERRORS]
    place = "progress"
    heading = "Progress"
    advice = (
        "Each row is a step. The directory answers from several replicas, so what was written is looked for until it "
        "is seen: that is what the waiting is for. x says what stopping would do now, before it does it."
    )

    choices = (("forward", "Continue"), ("stop", "Stop …"))

    def content(self) -> ComposeResult:
        yield Static(classes="lead clock")
        yield Checks(classes="checks")
        yield Static(classes="waiting")
        yield Card(classes="card")

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(0.5, self._tick)

    def moved(self) -> None:
        model, now = self.model, self.wizard.now()
        rows = model.rows(model.changing)
        self.show(rows, model.changing)
        put(self.query_one(".waiting", Static), Content(clean(self._waiting(now))))
        done = sum(row.state not in ("todo", "working") for row in rows)
        put(self.query_one(".clock", Static), Content(self._clock(done, len(rows), now)))
        self.enable("stop" if model.ended is None else "forward")

    def _tick(self) -> None:
        if self.model.ended is None:
            self.moved()

    def _clock(self, done: int, steps: int, now: float) -> str:
        if self.model.ended is not None:
            return f"{done} of {steps} steps. " + ("It stopped; see below." if self.model.failed else "All done.")
        side = {
            "nothing": "nothing was changed yet",
            "undo": "a failure undoes what was done",
            "forward": "only forward from here",
        }[self.wizard.prospect]
        side = side if self.live else "a replay"
        return f"{done} of {steps} steps, {now - self.model.began:.0f} s so far; {side}."

    def _waiting(self, now: float) -> str:
        if self.model.waiting is None:
            return ""
        waiting, since = self.model.waiting
        passed = now - since
        usual = f" of usually {waiting.expected:.0f} s" if waiting.expected else ""
        next_in = max(0.0, waiting.next_in - passed)
        return f"waiting for {waiting.reason}: {waiting.elapsed + passed:.0f} s{usual}, next look in {next_in:.0f} s"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("forward", "stop"):
            return (self.model.ended is None) == (action == "stop")
        return super().check_action(action, parameters)

    def action_stop(self) -> None:
        """Ask whether to stop, and say what that would do."""
        self.wizard.ask_to_stop()
