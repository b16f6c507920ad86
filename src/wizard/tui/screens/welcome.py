"""Welcome: what can be done here, the likely thing first, an interrupted run before everything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from core.flows import registry
from wizard.runs import LOOKS
from wizard.text import clean
from wizard.tui.screens.base import WizardScreen

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from core.flows.project_status import ProjectStatus

_SUBJECT = {
    "secret": "The state file of this project holds a client secret: migrate it.",
    "certificate": "The state file of this project holds no client secret.",
    "nothing": "This project has no state file yet: set it up.",
    "unreadable": "The state file of this project cannot be read.",
}


class Welcome(WizardScreen):
    """The first screen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+n", "choose", "Start", key_display="⏎")]
    heading = "Give this machine its Entra identity, without a client secret"
    advice = "The arrows choose and Enter starts. Nothing is changed before you have seen the plan and said yes to it."

    def content(self) -> ComposeResult:
        yield Static(classes="lead survey")
        yield OptionList(classes="menu")

    _suggested = ""

    def moved(self) -> None:
        survey = self.wizard.survey
        menu = self.query_one(OptionList)
        at = menu.highlighted_option.id if menu.highlighted_option is not None else None
        menu.clear_options()
        menu.add_options(self._options(survey))
        best = self._best(survey)
        wanted = best if at in (None, self._suggested) else at  # what a person chose stays
        self._suggested = best
        menu.highlighted = next((i for i, option in enumerate(menu.options) if option.id == wanted), 0)
        menu.focus()
        self.query_one(".survey", Static).update(Content(clean(self._said(survey))))

    def _options(self, survey: ProjectStatus | None) -> list[Option | None]:
        options: list[Option | None] = []
        if survey is not None and survey.open is not None:
            told = "after the point of no return" if survey.open.marked else "before the point of no return"
            options.append(_option("resume", "Resume", f"continue the interrupted {survey.open.flow} ({told})"))
            if not survey.open.marked:
                options.append(_option("undo", "Undo", f"take back what the interrupted {survey.open.flow} did"))
        scenarios = self.wizard.workspace.scenarios
        options += [_option(f"demo:{name}", clean(Path(name).name), s.text) for name, s in scenarios.items()]
        for row, entry in registry.menu():
            if row.name in LOOKS or not scenarios:
                options.append(_option(row.name, entry.title, entry.text, disabled=registry.find(row.name) is None))
        return options

    def _best(self, survey: ProjectStatus | None) -> str:
        if survey is not None and survey.open is not None:
            return "resume"
        if self.wizard.workspace.scenarios:
            return f"demo:{self.wizard.workspace.scenario}"
        first, *others = registry.flows()
        return next((f.name for f in others if survey is not None and survey.subject in f.likely), first.name)

    def _said(self, survey: ProjectStatus | None) -> str:
        found = survey.open if survey is not None else None
        if self.wizard.workspace.scenarios:
            if self.wizard.moving:
                return "Starting the sandbox …"
            if found is not None:
                return "The run on this pretend machine was interrupted. Go on with it, or take it back."
            return "A pretend tenant on 127.0.0.1. Choose what to try."
        told = "a run was interrupted. Go on with it, or take it back." if found is not None else "looking …"
        if survey is not None and found is None:
            told = survey.trouble or _SUBJECT[survey.subject]
        return f"{self.wizard.workspace.settings.folder}: {told}"

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Start it."""
        event.stop()
        if event.option.id:
            self.wizard.choose(event.option.id)

    def action_choose(self) -> None:
        """Start what is highlighted."""
        self.query_one(OptionList).action_select()


def _option(name: str, title: str, text: str, *, disabled: bool = False) -> Option:
    prompt = Content.assemble((f"{title:<14}", "bold"), clean(text))
    return Option(prompt, id=name, disabled=disabled)
