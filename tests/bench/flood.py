"""The wizard with an engine that reports without a pause, for `screens.py`: what a key press then has to wait for.

The key z writes the number of presses into the top line.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType

from core.errors import Interrupted
from core.events import Finding, StageStarted, StepFinished, StepStarted, Waiting
from wizard.runs import Order
from wizard.tui import app
from wizard.tui.app import Wizard
from wizard.tui.engine_thread import EngineThread
from wizard.tui.state import Outline
from wizard.tui.terminal import conduct
from wizard.tui.widgets.parts import Bar
from wizard.workspace import Local

EVENTS = 20_000
STEPS = 20


class Flood(EngineThread):
    """Twenty steps, over and over: 20,000 events at once, and again when they were taken."""

    def _run(self) -> None:
        with suppress(Interrupted):
            self._flood()

    def _flood(self) -> None:
        steps = tuple((f"step{n}", f"Step number {n} of a long list") for n in range(STEPS))
        self._put(Outline((("flood", "Flood", steps),)))
        self._emit(StageStarted("flood", "Flood"))
        count = findings = 0
        while True:
            for _ in range(EVENTS // (3 * STEPS)):
                for name, title in steps:
                    count += 1
                    self._emit(StepStarted("flood", name, title))
                    self._emit(Waiting(f"replica {count} of the directory", 20, count / 1000, count, 2))
                    self._emit(StepFinished("flood", name, title, "done", f"evidence {count}"))
            if findings < STEPS:
                findings += 1
                self._emit(Finding("flood", "warning", f"finding {findings}", "Look at it."))
            while self._items:
                self._cancel.pause(0.01)


class Flooded(Wizard):
    """Begins with the flood."""

    CSS_PATH = str(Path(app.__file__).with_name("wizard.tcss"))
    BINDINGS: ClassVar[list[BindingType]] = [Binding("z", "echo", show=False)]
    presses = 0

    def restart(self) -> None:
        """Straight to the screen that shows changes."""
        self.engine_thread = Flood(self.workspace, Order("undo"), self.post_message, now=self.now)
        self.show("progress")
        self.engine_thread.start()

    def action_echo(self) -> None:
        """React."""
        self.presses += 1
        self.base_screen.query_one(Bar).update(f"echo-{self.presses}-")


if __name__ == "__main__":
    from core.config.settings import Settings

    sys.exit(conduct(Flooded(Local(Settings()))))
