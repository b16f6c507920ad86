"""The parts of every screen: bar, rail, checks, error card, actions."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.events import Finding
from wizard.console.plain import SEVERITY
from wizard.text import clean
from wizard.tui.state import PLACES, RAIL, Row

#: State of a step: its word, and the style of the word. The word says it all; the colour only helps.
WORDS: Final = {
    "todo": ("·", "$foreground-muted"),
    "working": ("…", "bold $text-accent"),
    "unchanged": ("ok", "$text-success"),
    "done": ("done", "bold $text-success"),
    "undone": ("undone", "$text-warning"),
    "skipped": ("warn", "bold $text-warning"),
    "failed": ("FAIL", "bold $text-error"),
}
#: Style of a severity, or of what a check came to.
TONES: Final = {
    "ok": "$text-success",
    "info": "$text-primary",
    "warning": "bold $text-warning",
    "failure": "bold $text-error",
    "unseen": "$text-primary",
}


class Bar(Static):
    """The top line: what this is, and what it works on."""

    def __init__(self, what: str, label: str) -> None:
        super().__init__(Content.assemble(("entraclaw-setup", "bold"), f"  {what}"), classes="bar")
        self._label = label

    def compose(self) -> ComposeResult:
        if self._label:
            yield Static(Content(f" {self._label} "), classes="label")


class Rail(Static):
    """The way through the wizard: a column where there is room, else one line."""

    def __init__(self, here: str, passed: Container[str], *, broad: bool) -> None:
        at = PLACES.index(here) if here in PLACES else -1
        if broad:
            parts: list[Content | str | tuple[str, str]] = []
            for name, title in RAIL:
                sign = "▸" if name == here else "✓" if name in passed else " "
                style = "bold $text-accent" if name == here else "" if name in passed else "$foreground-muted"
                parts.append((f" {sign} {title}\n", style))
            super().__init__(Content.assemble(*parts), classes="rail")
        else:
            title = dict(RAIL).get(here, "")
            following = RAIL[at + 1][1] if 0 <= at < len(RAIL) - 1 else ""
            tail = f"   next: {following}" if following else ""
            text = Content.assemble(
                (f" Step {at + 1} of {len(RAIL)} ", "bold"), f" {title}", (tail, "$foreground-muted")
            )
            super().__init__(text, classes="rail-line")


class Checks(VerticalScroll, can_focus=True):
    """Rows of steps with their evidence, then what was found on the way."""

    _mark = (-1, "")

    def show(self, rows: Sequence[Row], findings: Iterable[Finding], now: float, tail: str = "") -> None:
        """Show the rows as they are, and keep the one that works in sight.

        :param now: seconds on the clock that the rows were timed with.
        :param tail: one more line, such as what is being looked for.
        """
        lines = [_row(row, now) for row in rows]
        lines += [_finding(finding) for finding in findings]
        if tail:
            lines.append((Content.assemble(("wait", "bold $text-accent")), Content(clean(tail))))
        there = list(self.query(_Line))
        for old, (word, text) in zip(there, lines, strict=False):
            old.show(word, text)
        for old in there[len(lines) :]:
            old.display = False
        new = [_Line(word, text) for word, text in lines[len(there) :]]
        if new:
            self.mount(*new)
        reached = max((index for index, row in enumerate(rows) if row.state != "todo"), default=-1)
        mark = (reached, rows[reached].state if reached >= 0 else "")
        if mark != self._mark:  # else a person may have scrolled
            self._mark = mark
            self.call_after_refresh(self._follow)

    def on_resize(self) -> None:
        """Another size shows other rows."""
        self.call_after_refresh(self._follow)

    def _follow(self) -> None:
        """Keep the last row that was begun in sight, with a little of what comes next."""
        lines = [line for line in self.query(_Line) if line.display]
        if 0 <= self._mark[0] < len(lines):
            below = lines[self._mark[0]].virtual_region.bottom + 2 - self.size.height
            self.scroll_to(y=max(0, below), animate=False)


class _Line(Horizontal):
    """A word, and a text that is wrapped under itself."""

    def __init__(self, word: Content, text: Content) -> None:
        super().__init__(classes="line")
        self._shown = (word, text)

    def compose(self) -> ComposeResult:
        word, text = self._shown
        yield Static(word, classes="word")
        yield Static(text, classes="text")

    def show(self, word: Content, text: Content) -> None:
        """Show something else."""
        self.display = True
        if (word, text) != self._shown:
            self._shown = (word, text)
            for part, content in zip(self.query(Static), self._shown, strict=False):
                put(part, content)


class Card(Static):
    """What went wrong: what happened, what is left, what to do, and the id."""

    def show(self, errors: Sequence[dict[str, Any]]) -> None:
        """Show errors, or nothing."""
        self.display = bool(errors)
        put(self, card(errors))


def put(part: Static, text: Content) -> None:
    """Show another text; where both are one line, nothing around it is arranged anew, which is what takes long."""
    was = part.content
    if was == text:
        return
    lines = [was, text] if isinstance(was, Content) else []
    line = bool(lines) and all(0 < each.cell_length <= part.size.width and "\n" not in each.plain for each in lines)
    part.update(text, layout=not line)


class Actions(Horizontal):
    """Buttons in a row; the arrows move between them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,down", "app.focus_next", show=False),
        Binding("left,up", "app.focus_previous", show=False),
    ]


def card(errors: Sequence[dict[str, Any]]) -> Content:
    """Errors as they stand on an error card."""
    parts: list[Content] = []
    for error in errors:
        word = ("STOP  ", "bold $text-warning") if error["id"] == "flow.interrupted" else ("FAIL  ", "bold $text-error")
        lines = [Content.assemble(word, (clean(str(error["message"])), "bold"))]
        lines.append(Content.assemble(("What to do  ", "$foreground-muted"), clean(str(error["remedy"]))))
        lines.append(Content.assemble(("Error id  ", "$foreground-muted"), clean(str(error["id"]))))
        parts.append(Content("\n").join(lines))
    return Content("\n\n").join(parts)


def _row(row: Row, now: float) -> tuple[Content, Content]:
    word, style = WORDS[row.state]
    took = ""
    if row.began is not None:
        seconds = (row.ended if row.ended is not None else now) - row.began
        took = f" ({seconds:.0f} s)" if seconds >= 1 else ""
    evidence = f": {row.detail}" if row.detail else ""
    body = "$foreground-muted" if row.state == "todo" else ""
    text = Content.assemble((clean(row.title), body), clean(evidence), (took, "$foreground-muted"))
    return Content.assemble((word, style)), text


def _finding(finding: Finding) -> tuple[Content, Content]:
    remedy = f" {finding.remedy}" if finding.remedy else ""
    word = Content.assemble((SEVERITY[finding.severity], TONES[finding.severity]))
    return word, Content(clean(finding.message) + clean(remedy))
