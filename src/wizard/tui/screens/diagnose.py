"""Diagnosis: what was seen of each thing, the evidence, and what to do; nothing is changed (D1)."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from core.events import Checked
from wizard.console.plain import SEVERITY
from wizard.text import clean
from wizard.tui import overlays
from wizard.tui.dialogs import Ask, Text
from wizard.tui.screens.base import WizardScreen
from wizard.tui.state import Row, mark, marked
from wizard.tui.widgets.parts import TONES


class Diagnose(WizardScreen):
    """A list in groups; the line under the cursor is told in full beside it, or below it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "whole", "Whole"),
        Binding("n", "narrow", "Not ok"),
        Binding("r", "again", "Again"),
        Binding("f", "fix", "Fix"),
        Binding("c", "copy", "Copy"),
        Binding("a", "copy_all", "Copy all", show=False),  # the footer has no room for more
        Binding("R", "all", "All again", show=False),
        Binding("escape", "back", "Back"),
        Binding("b", "back", show=False),
    ]
    heading = "Diagnosis"
    advice = (
        "Everything that a run needs is looked at, and nothing is changed. Up and down go through the lines; the box "
        "tells what was seen and what to do, space shows it whole. n hides what is ok. r looks at the marked line "
        "again, R at all of them. f mends what is safe to mend, after it has asked. c copies the line, a everything."
    )

    def content(self) -> ComposeResult:
        yield Static(classes="lead count")
        with Container(classes="exam"):
            yield OptionList(classes="menu found")
            with VerticalScroll(classes="detail", can_focus=False):
                yield Static(classes="told")

    _only_bad = False
    _shown: tuple[tuple[str, str, str], ...] = ()
    _hidden = ""  # the line that was marked before it was hidden
    _landed = ""  # and the one that was marked in its place

    def moved(self) -> None:
        self._list(self._at)

    def _list(self, at: str) -> None:
        """Show what is known.

        :param at: the line to mark, if it is there.
        """
        rows = tuple(self._rows())
        menu = self.query_one(OptionList)
        if rows != self._shown:
            self._shown = rows
            menu.clear_options()
            menu.add_options([_option(*row) for row in rows])
            places = [index for index, option in enumerate(menu.options) if not option.disabled]
            if places:
                menu.highlighted = next((i for i in places if menu.options[i].id == at), places[0])
            if not menu.has_focus:
                menu.focus()
        if not self._busy and not self._led:
            self._lead()
        self.query_one(".count", Static).update(Content(self._count()))
        self._tell()
        self.offer()

    _led = False  # the cursor was put on the first thing that is wrong

    def _lead(self) -> None:
        """Begin with what is wrong, unless somebody moved the cursor already."""
        self._led, menu = True, self.query_one(OptionList)
        states = {name: state for name, state, _ in self._shown if name}
        first = next(iter(states), "")
        bad = (name for worse in ("failure", "warning") for name, state in states.items() if state == worse)
        if self._at == first and (name := next(bad, "")):
            menu.highlighted = menu.get_option_index(name)

    def _rows(self) -> list[tuple[str, str, str]]:
        """Id, state and text of each line; a group has no id."""
        rows = []
        for name, group in self.model.stages.items():
            lines = [self._line(name, row) for row in group.rows.values()]
            lines = [line for line in lines if not (self._only_bad and line[1] in ("ok", "todo"))]
            if lines:
                rows += [("", "", group.title), *lines]
        return rows

    def _line(self, group: str, row: Row) -> tuple[str, str, str]:
        at = mark(group, row.step)
        seen = self.model.checks.get(at)
        if seen is None:
            return at, "todo", row.title
        return at, seen.state, f"{seen.title}: {' '.join(seen.evidence.split())}"

    def _count(self) -> str:
        states = [seen.state for seen in self.model.checks.values()]
        total = sum(len(group.rows) for group in self.model.stages.values())
        if self._busy:
            return f"looking … {len(states)} of {total}" if total else "looking …"
        warnings = "warning" if states.count("warning") == 1 else "warnings"
        words = {"failure": "failed", "warning": warnings, "unseen": "not seen", "ok": "ok"}
        told = ", ".join(f"{states.count(state)} {word}" for state, word in words.items() if state in states)
        if failed := self.model.failed:
            other = [error for error in failed if error["id"] != "doctor.failed"]
            told = " ".join([*(clean(f"{error['message']} {error['remedy']}") for error in other), told])
        return f"{told}. n shows everything." if self._only_bad else f"{told}."

    def _tell(self) -> None:
        seen = self._seen
        self.query_one(".told", Static).update(told(seen) if seen is not None else Content(""))

    @property
    def _busy(self) -> bool:
        return self.model.ended is None

    @property
    def _at(self) -> str:
        option = self.query_one(OptionList).highlighted_option
        return (option.id or "") if option is not None else ""

    @property
    def _seen(self) -> Checked | None:
        return self.model.checks.get(self._at)

    @property
    def _fixes(self) -> list[str]:
        """What `--fix` would do, in words."""
        return [seen.fix for seen in self.model.checks.values() if seen.fix]

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Tell the line under the cursor."""
        event.stop()
        self._tell()
        self.offer()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter shows it whole."""
        event.stop()
        self.action_whole()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "whole" | "copy":
                return self.is_mounted and self._seen is not None
            case "again":
                return self.is_mounted and not self._busy and self._at != ""
            case "all" | "copy_all":
                return not self._busy
            case "fix":
                return self.live and not self._busy and bool(self._fixes)
        return True

    def action_narrow(self) -> None:
        """Hide what is ok, or show it again."""
        self._only_bad, at = not self._only_bad, self._at
        if self._only_bad:
            self._list(at)
            self._hidden, self._landed = at, self._at
        else:
            self._list(self._hidden if at == self._landed else at)

    def action_whole(self) -> None:
        """The line under the cursor, whole."""
        if (seen := self._seen) is not None:
            self.wizard.push_screen(Text("Diagnosis", told(seen).plain))

    def action_again(self) -> None:
        """Look at the marked line again."""
        self.wizard.diagnose((marked(self._at),))

    def action_all(self) -> None:
        """Look at everything again."""
        self.wizard.diagnose()

    def action_fix(self) -> None:
        """Mend what is safe to mend, after a yes."""
        asked = "This will be done:\n" + "\n".join(f"- {fix}" for fix in self._fixes)

        def answered(yes: bool | None) -> None:
            if yes:
                self.wizard.diagnose(fix=True)

        self.wizard.push_screen(Ask(asked, "Mend it", "No"), answered)

    def action_copy(self) -> None:
        """Put the marked line on the clipboard."""
        if (seen := self._seen) is not None:
            overlays.copy(self.wizard, told(seen).plain)

    def action_copy_all(self) -> None:
        """Put the whole diagnosis on the clipboard."""
        overlays.copy(self.wizard, "\n".join(self.model.log))

    def action_back(self) -> None:
        """Back to the first screen."""
        self.wizard.restart()


def told(seen: Checked) -> Content:
    """A line in full."""
    took = f"  {seen.seconds:.1f} s" if seen.seconds >= 0.05 else ""
    head = Content.assemble((SEVERITY[seen.state], TONES[seen.state]), f"  {seen.title}", (took, "$text-muted"))
    parts = [head, Content(clean(seen.evidence))]
    if seen.remedy:
        parts.append(Content.assemble(("What to do  ", "$text-muted"), clean(seen.remedy)))
    if seen.fix:
        parts.append(Content.assemble(("f mends it  ", "$text-muted"), clean(seen.fix)))
    return Content("\n").join(parts)


def _option(name: str, state: str, text: str) -> Option:
    if not name:
        return Option(Content.assemble((clean(text), "bold $text-primary")), disabled=True)
    word, tone = (SEVERITY[state], TONES[state]) if state in SEVERITY else ("·", "$text-muted")
    line = Content.assemble("  ", (f"{word:<7}", tone), clean(text))
    return Option(line, id=name)
