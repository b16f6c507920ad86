"""Verification: the end state, proven independently of what the run claims; each check with its evidence (M9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Button, Static

from wizard.tui import overlays
from wizard.tui.screens.base import WizardScreen
from wizard.tui.widgets.parts import Card, Checks

if TYPE_CHECKING:
    from textual.app import ComposeResult


class Verify(WizardScreen):
    """The checks of `entraclaw-setup verify`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "forward", show=False),
        Binding("ctrl+n", "forward", "Next", key_display="⏎"),  # a focused button has an Enter of its own
        Binding("r", "again", "Check again"),
        Binding("e", "explain", "Explain"),
        Binding("c", "copy", "Copy"),
    ]
    place = "verify"
    heading = "Verification"
    lead = "Read anew, as `entraclaw-setup verify` does. Nothing is changed."
    advice = "A check that does not hold names what was seen. `entraclaw-setup verify --json` tells it to machines."

    def content(self) -> ComposeResult:
        yield Checks(classes="checks")
        yield Card(classes="card")
        yield Static(classes="hint")

    def buttons(self) -> list[Button]:
        return [
            Button("Continue", id="forward", variant="primary", compact=True),
            Button("Check again", id="again", compact=True),
        ]

    def moved(self) -> None:
        model = self.wizard.proof
        over = model.ended is not None
        findings = [finding for stage in model.stages.values() for finding in stage.findings]
        tail = "" if over else "checking …"
        self.query_one(Checks).show(model.rows(model.stages), findings, self.wizard.now(), tail)
        self.query_one(Card).show(model.failed)
        holds = " ".join(model.sentences)
        self.query_one(".hint", Static).update(Content(holds if over else ""))
        self.enable({"forward": over, "again": over}, "forward")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("forward", "again"):
            return self.wizard.proof.ended is not None
        if action in ("explain", "copy"):
            return bool(self.wizard.proof.failed)
        return True

    def action_forward(self) -> None:
        """Go on to the summary."""
        self.wizard.forward(self.place)

    def action_again(self) -> None:
        """Check again."""
        self.wizard.verify()

    def action_explain(self) -> None:
        """Say more about the error."""
        overlays.explain(self.wizard, self.wizard.proof.failed)

    def action_copy(self) -> None:
        """Put the error on the clipboard."""
        overlays.copy_errors(self.wizard, self.wizard.proof.failed)
