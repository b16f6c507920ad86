"""What every screen has: the bar, the rail, actions, keys; and the stage screens, which differ by name and words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Button, Footer, Static

from wizard.tui import consent, overlays
from wizard.tui.host import Host
from wizard.tui.state import Model, Row
from wizard.tui.widgets.parts import Actions, Bar, Card, Checks, Rail

#: Keys of the screens that are left by going on, and of those that may show an error.
NEXT: Final = (
    Binding("enter", "forward", show=False),
    Binding("ctrl+n", "forward", "Next", key_display="⏎"),  # a focused button has an Enter of its own
)
ERRORS: Final = (Binding("e", "explain", "Explain"), Binding("c", "copy", "Copy"))


class WizardScreen(Screen[None]):
    """A screen of the wizard.

    :cvar place: its name on the rail.
    :cvar heading: what stands on top.
    :cvar lead: what it is for, in a sentence or two.
    :cvar advice: what F1 shows besides the keys.
    :cvar choices: the buttons: the action that one triggers, which is its id, and what it says.
    """

    AUTO_FOCUS = ""  # `enable` decides
    place: ClassVar[str] = ""
    heading: ClassVar[str] = ""
    lead: ClassVar[str] = ""
    advice: ClassVar[str] = ""
    choices: ClassVar[tuple[tuple[str, str], ...]] = ()
    _offered: dict[str, bool | None] | None = None  # whether each key applied when the footer was made
    _marked = ""  # the button that got the focus from us, not from the person

    @property
    def wizard(self) -> Host:
        """The app."""
        return cast("Host", self.app)

    @property
    def model(self) -> Model:
        """What is known of the run."""
        return self.wizard.model

    @property
    def errors(self) -> list[dict[str, Any]]:
        """What went wrong, as far as it is shown here."""
        return self.model.failed

    @property
    def live(self) -> bool:
        """Whether anything can be set in motion here: not in a replay."""
        return self.wizard.workspace.live

    def compose(self) -> ComposeResult:
        yield Bar(self.wizard.subject, self.wizard.workspace.label)
        if self.place:
            yield Rail(self.place, self.wizard.passed, broad=False)
        with Horizontal(classes="frame"):
            if self.place:
                yield Rail(self.place, self.wizard.passed, broad=True)
            with Vertical(classes="body"):
                if self.heading:
                    yield Static(self.heading, classes="heading")
                if self.lead:
                    yield Static(self.lead, classes="lead")
                yield from self.content()
                if buttons := [Button(told, id=name, compact=True) for name, told in self.choices]:
                    buttons[0].variant = "primary"
                    yield Actions(*buttons, classes="actions")
        yield Footer(compact=True, show_command_palette=False)

    def content(self) -> ComposeResult:
        """What stands between heading and buttons."""
        yield Checks(classes="checks")
        yield Card(classes="card")
        yield Static(classes="hint")

    def show(self, rows: Sequence[Row], stages: Iterable[str], tail: str = "") -> None:
        """Show steps, what was found in their stages, and what went wrong.

        :param tail: one more line, such as what is being looked for.
        """
        self.query_one(Checks).show(rows, self.model.findings(stages), self.wizard.now(), tail)
        self.query_one(Card).show(self.errors)

    def on_mount(self) -> None:
        """Show what is known already."""
        self.moved()

    def moved(self) -> None:
        """Show what is known now; called whenever something happened."""

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        """A button does what its key does."""
        event.stop()
        if event.button.id:
            await self.run_action(event.button.id)

    def applies(self, button: str) -> bool:
        """Whether a button is offered now.

        :param button: its id.
        """
        return bool(self.check_action(button, ()))

    def enable(self, best: str) -> None:
        """Offer the buttons that apply, and put the focus on the best of them.

        :param best: id of a button; it gets the focus when nothing useful has it.
        """
        for button in self.query(Button):
            button.display = self.applies(button.id or "")
        focused = self.focused
        left = isinstance(focused, Button) and (not focused.display or focused.id == self._marked)
        if (focused is None or left) and self.applies(best):
            self._marked = best
            self.query_one(f"#{best}").focus()
        elif isinstance(focused, Button) and not focused.display:
            self.set_focus(None)
        self.offer()

    def offer(self) -> None:
        """Show the keys that apply now."""
        bindings = [binding for cls in type(self).__mro__ for binding in vars(cls).get("BINDINGS", ())]
        actions = {binding.action for binding in bindings if isinstance(binding, Binding)}
        offered = {name: self.check_action(name, ()) for name in actions}
        if offered != self._offered:  # it makes the footer anew
            self._offered = offered
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self.errors) if action in ("explain", "copy") else True

    def action_forward(self) -> None:
        """Go on to the next screen."""
        self.wizard.forward(self.place)

    def action_explain(self) -> None:
        """Say more about the error."""
        overlays.explain(self.wizard, self.errors)

    def action_copy(self) -> None:
        """Put the error on the clipboard."""
        told = (f"{error['message']}\n{error['remedy']}\n[{error['id']}]" for error in self.errors)
        overlays.copy(self.wizard, "\n\n".join(told))


class StageScreen(WizardScreen):
    """A stage that looks: its checks, and the way on when they hold."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *NEXT,
        Binding("r", "again", "Again"),
        Binding("escape,b", "back", "Back", show=False),
        Binding("a", "name_app", "Name the app …"),
        Binding("i", "insist", "Say so …"),
        *ERRORS,
    ]
    choices: ClassVar[tuple[tuple[str, str], ...]] = (
        ("forward", "Continue"),
        ("again", "Check again"),
        ("back", "Back"),
    )

    @property
    def errors(self) -> list[dict[str, Any]]:
        return self.model.failed if self._current else []

    def moved(self) -> None:
        failed = self.errors
        shown = [row for row in self.model.rows([self.place]) if not (failed and row.state == "failed")]
        self.show(shown, [self.place], "" if self._ready or failed or not self._current else "looking …")
        self.query_one(".hint", Static).update(self.hint())
        self.enable("forward" if self._ready else "again" if failed else "back")

    def hint(self) -> Content:
        """The line above the buttons."""
        if self.errors:
            if not self.live:
                return Content("")
            keys = {"a": self._consent(typed=True), "i": self._consent(typed=False)}
            more = "".join(f" Or {said.label}: {key}." for key, said in keys.items() if said)
            return Content(f"Mend the cause, then check again.{more}")
        return Content("All is well here. Enter continues." if self._ready else "")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "forward":
            return self._ready
        if action == "again":
            return self._ready or bool(self.errors)
        if action in ("name_app", "insist"):
            return self.live and self._consent(typed=action == "name_app") is not None
        return super().check_action(action, parameters)

    @property
    def _current(self) -> bool:
        return self.model.stage == self.place

    def _consent(self, *, typed: bool) -> consent.Consent | None:
        return consent.offered(self.errors, typed=typed)

    @property
    def _ready(self) -> bool:
        """The stage was passed: the engine waits behind it, or further on."""
        if self.model.pause == self.place:
            return True
        stages = list(self.model.stages)
        here = stages.index(self.place) if self.place in stages else len(stages)
        reached = stages.index(self.model.stage) if self.model.stage in stages else -1
        return reached > here

    def action_again(self) -> None:
        """Look again."""
        self.wizard.again(self.place)

    def action_back(self) -> None:
        """Back to the screen before."""
        self.wizard.back(self.place)

    def action_name_app(self) -> None:
        """Say by its id which app is meant."""
        if said := self._consent(typed=True):
            consent.say(self.wizard, said, self.place)

    def action_insist(self) -> None:
        """Say what the run stopped for."""
        if said := self._consent(typed=False):
            consent.say(self.wizard, said, self.place)
