"""Review: every change before it happens; the last screen on which nothing was changed (M2)."""

from __future__ import annotations

from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Button, DataTable, Static
from textual.widgets.data_table import ColumnKey

from core.config.options import OPTIONS
from core.events import ChangePlanned, Finding
from wizard.console.plain import SIGNS
from wizard.text import clean
from wizard.tui import dialogs, overlays
from wizard.tui.screens.base import StageScreen
from wizard.tui.state import HAND_OFF
from wizard.tui.widgets.parts import Card

#: Cells are measured by Rich, which knows no variables of the theme.
_TONES: Final = {"add": "green", "delete": "bold red", "change": "yellow", "keep": "dim"}
_ORDER: Final = {"delete": 0, "add": 1, "change": 2, "keep": 3}


class Review(StageScreen):
    """The plan as a table; the row under the cursor is told in full below it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "whole", "Row"),
        Binding("f", "findings", "Findings"),
        Binding("h", "headless", "Headless"),
    ]
    place = "review"
    heading = "Review"
    advice = (
        "Up and down go through the changes; the box below tells the row, space shows it whole. Rows "
        "with ! cannot be undone once they are made, and they are made only after the new certificate was proven. "
        "h shows the command that does the same without screens. Enter asks for your yes."
    )

    choices = (("forward", "Make these changes …"), *StageScreen.choices[1:])

    def content(self) -> ComposeResult:
        yield Static(classes="lead subject")
        yield DataTable(cursor_type="row", show_header=False, classes="plan")
        yield Static(classes="detail")
        yield Card(classes="card")
        yield Static(classes="hint")

    def moved(self) -> None:
        table = self.query_one(DataTable)
        plan = self.model.plan
        if not table.columns:
            table.add_column("", key="action", width=10)
            table.add_column("!", key="final", width=1)
            table.add_column("what", key="what")
            self._rows: list[ChangePlanned] = []
        if len(plan) != len(self._rows):
            self._rows = sorted(plan, key=lambda change: _ORDER[change.action])
            self._fill(table)
        failed = self.errors
        self.query_one(Card).show(failed)
        table.display = bool(plan) and not failed
        self.query_one(".detail").display = table.display
        self.query_one(".subject").set_class(bool(failed), "gone")
        self.query_one(".subject", Static).update(Content(clean(self._subject())))
        self.query_one(".hint", Static).update(self.hint())
        asked = self.model.question.id if self.model.question is not None else ""
        told = {"": "Check the result", HAND_OFF: "Write the request …"}
        self.query_one("#forward", Button).label = told.get(asked, "Make these changes …")
        self.enable("again" if failed else "forward")
        if table.display and self._ready and not table.has_focus and not self._was_ready:
            table.focus()
        self._was_ready = self._ready
        self._tell()
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        """The last column takes what is left, so that nothing scrolls sideways."""
        table = self.query_one(DataTable)
        column = table.columns[ColumnKey("what")]
        width = max(20, table.size.width - 19)
        if column.width != width:
            column.auto_width, column.width = False, width
            table.refresh(layout=True)
            row = table.cursor_row
            self._fill(table)
            table.move_cursor(row=row)

    def _fill(self, table: DataTable[Text]) -> None:
        table.clear()
        for change in self._rows:
            table.add_row(*_cells(change))

    def on_resize(self) -> None:
        """Fit the table."""
        self.call_after_refresh(self._fit)

    _was_ready = False

    def hint(self) -> Content:
        model = self.model
        if self.errors:
            return super().hint()
        if not self._ready:
            return Content("reading app, credentials and permissions …")
        if not any(change.action != "keep" for change in model.plan):
            return Content("Nothing has to be changed. Enter proves that.")
        counts = {name: sum(change.action == name for change in model.plan) for name in _ORDER}
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        final = sum(not change.reversible and change.action == "delete" for change in model.plan)
        note = f"; {final} cannot be undone (!)" if final else ""
        warned = sum(f.severity in ("warning", "failure") for f in self._findings)
        more = f" {warned} finding(s): f shows them." if warned else ""
        if model.question is not None and model.question.id == HAND_OFF:
            note = ", but not by you: this run makes the key and writes a request for an administrator"
        begun = self.wizard.prospect == "forward"
        lead = "An earlier run passed the point of no return." if begun else "Nothing was changed yet."
        return Content(f"{lead} {told}{note}.{more}")

    @property
    def _ready(self) -> bool:
        return self.model.question is not None or self.model.pause == self.place or super()._ready

    @property
    def _findings(self) -> list[Finding]:
        return self.model.findings(self.model.stages)

    def _subject(self) -> str:
        told = []
        for stage, step, title in (("review", "app", "App"), ("signin", "token", "By")):
            row = self.model.stages[stage].rows.get(step) if stage in self.model.stages else None
            if row is not None and row.detail and row.state != "failed":
                told.append(f"{title}: {row.detail}")
        return "\n".join(told)

    @property
    def _marked_row(self) -> Content | None:
        """The row under the cursor, whole."""
        at = self.query_one(DataTable).cursor_row
        return _told(self._rows[at]) if 0 <= at < len(self._rows) else None

    def _tell(self) -> None:
        if (told := self._marked_row) is not None:
            self.query_one(".detail", Static).update(told)

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Tell the row under the cursor."""
        event.stop()
        self._tell()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Enter on the table is Enter on the screen."""
        event.stop()
        if self._ready:
            self.action_forward()

    def action_whole(self) -> None:
        """The row under the cursor, whole."""
        if (told := self._marked_row) is not None:
            self.wizard.push_screen(dialogs.Text("Change", told.plain))

    def action_headless(self) -> None:
        """The command that does the same without screens."""
        from wizard.answers import command_line

        kind, workspace = self.model.kind, self.wizard.workspace
        again = workspace.again(kind, OPTIONS["yes"].flag)  # the folder of a demo is gone by then
        overlays.copy(self.wizard, again or command_line(kind, workspace.settings))

    def action_findings(self) -> None:
        """What was found on the way, whole."""
        told = (f"{found.severity}: {found.message}\n{found.remedy}".rstrip() for found in self._findings)
        self.wizard.push_screen(dialogs.Text("Findings", "\n\n".join(told)))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "findings":
            return bool(self._findings)
        if action == "headless":
            return self.live
        if action == "whole":
            return bool(self.model.plan) and not self.errors
        return super().check_action(action, parameters)


def _cells(change: ChangePlanned) -> tuple[Text, Text, Text]:
    value = change.before or change.after
    final = "!" if change.action == "delete" and not change.reversible else ""
    text = f"{change.what}{': ' if value else ''}{value}"
    return (
        Text(f"{SIGNS[change.action]} {change.action}", _TONES[change.action]),
        Text(final, "bold red"),
        Text(_flat(text), no_wrap=True, overflow="ellipsis"),
    )


def _told(change: ChangePlanned) -> Content:
    """A row in full: what matters most first, because the box may be too small for all of it."""
    undo = "a failure before the point of no return undoes it" if change.reversible else "cannot be undone"
    rows = [
        ("undo  ", undo if change.action != "keep" else "stays exactly as it is"),
        ("call  ", change.call),
        ("now   ", change.before),
        ("then  ", change.after),
    ]
    head = Content.assemble((_flat(change.what), "bold"), f"  on {_flat(change.where)}")
    return Content("\n").join(
        [head, *(Content.assemble((name, "$text-muted"), _flat(text)) for name, text in rows if text)]
    )


def _flat(text: str) -> str:
    """A text in one line: a name from the tenant must not look like a row of ours."""
    return clean(text).replace("\n", "?")
