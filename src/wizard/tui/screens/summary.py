"""Summary: the sentences that are true, what changed, when to rotate, and what to do next (M7)."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.errors.exit_codes import ExitCode
from core.flows import registry
from wizard.report import support
from wizard.text import clean
from wizard.tui import overlays
from wizard.tui.screens.base import ERRORS, WizardScreen
from wizard.tui.widgets.parts import card

_NEXT = (
    ("entraclaw-setup verify", "proves all of this again"),
    ("entraclaw-setup token", "prints a token for the app"),
)


class Summary(WizardScreen):
    """The end of a run, good or bad."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "start", show=False),
        Binding("ctrl+n", "start", "Back to the start", key_display="⏎"),  # a focused button has an Enter of its own
        Binding("s", "save", "Save answers"),
        *ERRORS,
    ]
    place = "summary"
    advice = "s saves an answers file: with it the same run is one headless command. It holds no secret."

    choices = (("start", "Back to the start"), ("save", "Save answers"), ("leave", "Quit"))

    def content(self) -> ComposeResult:
        yield Static(classes="heading outcome")
        with VerticalScroll(classes="checks"):
            yield Static(classes="sentences")

    def moved(self) -> None:
        failed = self.errors
        lines: list[Content] = []
        if failed:
            lines += [card(failed), Content("")]
        sentences = dict.fromkeys([*self.model.sentences, *self.wizard.proof.sentences])
        lines += [Content(clean(sentence)) for sentence in sentences]
        data = self.model.ended.data if self.model.ended is not None else {}
        if (certificate := data.get("certificate")) and not failed:
            told = f"from {certificate['due'][:10]} on, at the latest by {certificate['not_after'][:10]}"
            lines += [Content(""), Content.assemble(("Rotate  ", "bold"), told)]
        elsewhere = ", on a real machine" if self.wizard.workspace.label else ""  # here it would find nothing
        if self._next():
            lines += [Content(""), Content.assemble((f"Next{elsewhere}", "bold"))]
        lines += [Content.assemble(f"  {command:<28}", (text, "$foreground-muted")) for command, text in self._next()]
        if self.model.made and not failed:
            lines += [Content(""), Content.assemble(("What changed", "bold"))]
            lines += [
                Content.assemble((f"{row.title}: ", "$foreground-muted"), clean(row.detail))
                for row in self.model.rows(self.model.changing)
                if row.state == "done"
            ]
        if self._recorded and lines[-1].plain:
            lines.append(Content(""))
        lines += [Content(clean(told)) for told in self._recorded]
        self.query_one(".outcome", Static).update(self._outcome())
        self.query_one(".sentences", Static).update(Content("\n").join(lines))
        self.enable("start")

    def _next(self) -> list[tuple[str, str]]:
        if not self.errors:
            return list(_NEXT)
        if self._waits:
            return [("entraclaw-setup apply FILE", "what the administrator runs")]
        return [("entraclaw-setup resume", "finishes it")] if self.wizard.outcome == "partial" else []

    def _outcome(self) -> Content:
        code, half_way = self.wizard.exit_code, self.wizard.outcome == "partial"
        if code == ExitCode.DONE:
            words = {"changed": "Done", "unchanged": "Nothing had to be changed"}
            word, told = "ok", words.get(self.wizard.outcome, "Everything holds")
        elif self._holds("replay.cut"):
            word, told = "stop", "How it ended is not known."
        elif self._waits:
            word, told = "wait", "An administrator has to go on from here."
        elif self._holds("flow.interrupted") and not half_way:
            word, told = "stop", f"Stopped, as asked. (exit code {code})"
        else:
            left = "It is half-way: what is left is named below." if half_way else "It did not succeed."
            word, told = "FAIL", f"{left} (exit code {code})"
        tone = {"ok": "success", "FAIL": "error"}.get(word, "warning")
        return Content.assemble((f"{word}  ", f"bold $text-{tone}"), told)

    def _holds(self, id: str) -> bool:
        return any(error["id"] == id for error in self.errors)

    @property
    def _waits(self) -> bool:
        """A request was written, and somebody else's turn is next."""
        return self._holds("handoff.waiting")

    @property
    def _recorded(self) -> list[str]:
        """Where a run that failed was recorded."""
        ended = [model.ended for model in (self.model, self.wizard.proof) if model.ended is not None]
        told = [support(each.result.exit_code, each.data) for each in ended]
        return [text for text in dict.fromkeys(told) if text]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [*self.model.failed, *self.wizard.proof.failed]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "save":
            row = registry.row(self.model.kind)
            return not self.errors and bool(row.load) and row.started
        return super().check_action(action, parameters)

    def action_leave(self) -> None:
        """Quit."""
        self.wizard.action_leave()

    def action_start(self) -> None:
        """Back to the first screen."""
        self.wizard.restart()

    def action_save(self) -> None:
        """Save an answers file that replays this run."""
        overlays.save_answers(self.wizard)
