"""Verification: the end state, proven independently of what the run claims; each check with its evidence (M9)."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from wizard.tui.screens.base import ERRORS, NEXT, WizardScreen
from wizard.tui.state import Model


class Verify(WizardScreen):
    """The checks of `entraclaw-setup verify`."""

    BINDINGS: ClassVar[list[BindingType]] = [*NEXT, Binding("r", "again", "Check again"), *ERRORS]
    place = "verify"
    heading = "Verification"
    lead = "Read anew, as `entraclaw-setup verify` does. Nothing is changed."
    advice = "A check that does not hold names what was seen. `entraclaw-setup verify --json` tells it to machines."

    choices = (("forward", "Continue"), ("again", "Check again"))

    @property
    def model(self) -> Model:
        return self.wizard.proof

    def moved(self) -> None:
        model = self.model
        over = model.ended is not None
        self.show(model.rows(model.stages), model.stages, "" if over else "checking …")
        holds = " ".join(model.sentences)
        self.query_one(".hint", Static).update(Content(holds if over else ""))
        self.enable("forward")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("forward", "again"):
            return self.model.ended is not None
        return super().check_action(action, parameters)

    def action_again(self) -> None:
        """Check again."""
        self.wizard.verify()
