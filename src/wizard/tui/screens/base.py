"""What every screen has: the bar, the rail, actions, keys; and the stage screens, which differ by name and words."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Button, Footer, Static

from wizard.tui import consent, overlays
from wizard.tui.widgets.parts import Actions, Bar, Card, Checks, Rail

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from wizard.tui.host import Host
    from wizard.tui.state import Model


class WizardScreen(Screen[None]):
    """A screen of the wizard.

    :cvar place: its name on the rail.
    :cvar heading: what stands on top.
    :cvar lead: what it is for, in a sentence or two.
    :cvar advice: what F1 shows besides the keys.
    """

    AUTO_FOCUS = ""  # `enable` decides
    place: ClassVar[str] = ""
    heading: ClassVar[str] = ""
    lead: ClassVar[str] = ""
    advice: ClassVar[str] = ""
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
                if buttons := self.buttons():
                    yield Actions(*buttons, classes="actions")
        yield Footer(compact=True, show_command_palette=False)

    def content(self) -> ComposeResult:
        """What stands between heading and buttons."""
        yield from ()

    def buttons(self) -> list[Button]:
        """The buttons; the id of one is the action that it triggers."""
        return []

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

    def enable(self, allowed: dict[str, bool], best: str) -> None:
        """Offer the buttons that apply, and put the focus on the best of them.

        :param best: id of a button; it gets the focus when nothing useful has it.
        """
        for button in self.query(Button):
            if button.id in allowed:
                button.display = allowed[button.id]
        focused = self.focused
        left = isinstance(focused, Button) and (not focused.display or focused.id == self._marked)
        if (focused is None or left) and allowed.get(best, True):
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


class StageScreen(WizardScreen):
    """A stage that looks: its checks, and the way on when they hold."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "forward", show=False),
        Binding("ctrl+n", "forward", "Next", key_display="⏎"),  # a focused button has an Enter of its own
        Binding("r", "again", "Again"),
        Binding("escape,b", "back", "Back", show=False),
        Binding("a", "name_app", "Name the app …"),
        Binding("i", "insist", "Say so …"),
        Binding("e", "explain", "Explain"),
        Binding("c", "copy", "Copy"),
    ]

    def content(self) -> ComposeResult:
        yield Checks(classes="checks")
        yield Card(classes="card")
        yield Static(classes="hint")

    def buttons(self) -> list[Button]:
        return [
            Button("Continue", id="forward", variant="primary", compact=True),
            Button("Check again", id="again", compact=True),
            Button("Back", id="back", compact=True),
        ]

    def moved(self) -> None:
        model = self.model
        stage = model.stages.get(self.place)
        rows = list(stage.rows.values()) if stage else []
        failed = model.failed if self._failed else []
        shown = [row for row in rows if not (failed and row.state == "failed")]
        tail = "" if self._ready or failed or not self._current else "looking …"
        findings = stage.findings if stage else []
        self.query_one(Checks).show(shown, findings, self.wizard.now(), tail)
        self.query_one(Card).show(failed)
        self.query_one(".hint", Static).update(self.hint())
        allowed = {name: bool(self.check_action(name, ())) for name in ("forward", "again", "back")}
        self.enable(allowed | self.more(), "forward" if self._ready else "again" if failed else "back")

    def hint(self) -> Content:
        """The line above the buttons."""
        if self._failed:
            errors = self.model.failed
            if not self.live:
                return Content("")
            keys = {"a": consent.offered(errors, typed=True), "i": consent.offered(errors, typed=False)}
            more = "".join(f" Or {said.label}: {key}." for key, said in keys.items() if said)
            return Content(f"Mend the cause, then check again.{more}")
        return Content("All is well here. Enter continues." if self._ready else "")

    def more(self) -> dict[str, bool]:
        """Whether further buttons apply."""
        return {}

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "forward":
            return self._ready
        if action == "again":
            return self._ready or self._failed
        if action in ("explain", "copy"):
            return self._failed
        if action in ("name_app", "insist"):
            said = consent.offered(self.model.failed, typed=action == "name_app")
            return self.live and self._failed and said is not None
        return True

    @property
    def _current(self) -> bool:
        return self.model.stage == self.place

    @property
    def _failed(self) -> bool:
        return bool(self.model.failed) and self._current

    @property
    def _ready(self) -> bool:
        """The stage was passed: the engine waits behind it, or further on."""
        if self.model.pause == self.place:
            return True
        stages = list(self.model.stages)
        here = stages.index(self.place) if self.place in stages else len(stages)
        reached = stages.index(self.model.stage) if self.model.stage in stages else -1
        return reached > here

    def action_forward(self) -> None:
        """Go on to the next screen."""
        self.wizard.forward(self.place)

    def action_again(self) -> None:
        """Look again."""
        self.wizard.again(self.place)

    def action_back(self) -> None:
        """Back to the screen before."""
        self.wizard.back(self.place)

    def action_name_app(self) -> None:
        """Say by its id which app is meant."""
        if said := consent.offered(self.model.failed, typed=True):
            consent.say(self.wizard, said, self.place)

    def action_insist(self) -> None:
        """Say what the run stopped for."""
        if said := consent.offered(self.model.failed, typed=False):
            consent.say(self.wizard, said, self.place)

    def action_explain(self) -> None:
        """Say more about the error."""
        overlays.explain(self.wizard, self.model.failed)

    def action_copy(self) -> None:
        """Put the error on the clipboard."""
        overlays.copy_errors(self.wizard, self.model.failed)
