"""What stands on top of a screen until it was answered: a question, a text, a terminal that is too small."""

from __future__ import annotations

import math
import time
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.validation import Function
from textual.widgets import Button, Footer, Input, Log, Static

from core.errors import SetupError
from wizard.text import clean
from wizard.tui.host import Host
from wizard.tui.widgets.parts import Actions

SMALLEST = (60, 20)


class Ask(ModalScreen[bool]):
    """A yes or a no; Enter means the button that has the focus, which never is an irreversible yes.

    :param text: the question.
    :param yes: what the button for yes says.
    :param no: what the button for no says.
    :param default: which of them has the focus.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        # each at once and in the order in which they were pressed: none may overtake another here
        Binding("y", "answer(True)", "Yes", priority=True),
        Binding("n,escape", "answer(False)", "No", priority=True),
        Binding("left,up,shift+tab", "mark('no')", show=False, priority=True),
        Binding("right,down,tab", "mark('yes')", show=False, priority=True),
        Binding("enter", "take", show=False, priority=True),
    ]
    #: When it can have been read, on the clock of the framework's events; what was typed before does not count.
    readable: float = math.inf

    def __init__(self, text: str, yes: str = "Yes", no: str = "No", *, default: bool = False) -> None:
        super().__init__()
        self._text, self._yes, self._no, self._default = text, yes, no, default

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            with VerticalScroll(classes="dialog-text", can_focus=False):
                yield Static(Content(clean(self._text)))
            no = Button(self._no, id="no", compact=True)
            yield Actions(no, Button(self._yes, id="yes", variant="warning", compact=True), classes="actions")
            yield Static("arrows choose, Enter takes; y and n answer at once", classes="dialog-keys")

    def on_mount(self) -> None:
        """Put the focus on the default."""
        self.query_one("#yes" if self._default else "#no").focus()
        reading = cast("Host", self.app).READING
        if reading:
            self.call_after_refresh(self._painted, reading)
        else:
            self.readable = 0.0

    def _painted(self, reading: float) -> None:
        self.readable = time.monotonic() + reading

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Take the answer."""
        event.stop()
        self.dismiss(event.button.id == "yes")

    def action_mark(self, button: str) -> None:
        """Put the mark on a button.

        :param button: its id.
        """
        self.set_focus(self.query_one(f"#{button}"))

    def action_take(self) -> None:
        """What has the focus."""
        self.dismiss(isinstance(self.focused, Button) and self.focused.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """Yes or no."""
        self.dismiss(yes)


class Text(ModalScreen[None]):
    """A text to read, select and scroll.

    :param end: show the end of it first, as of a log.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "Close")]

    def __init__(self, title: str, text: str, *, end: bool = False) -> None:
        super().__init__()
        self._title, self._text, self._end = title, text, end

    @classmethod
    def of(cls, title: str, error: SetupError) -> Text:
        """An error to read."""
        return cls(title, f"{error.summary}\n\n{error.remedy}\n\n[{error.id}]")

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog tall" if self._end else "dialog"):
            yield Static(Content(self._title), classes="heading")
            if self._end:
                yield Log(classes="log", auto_scroll=True)
            else:
                with VerticalScroll(classes="dialog-text"):
                    yield Static(Content(clean(self._text)))
            yield Static("up and down scroll, Escape closes", classes="dialog-keys")

    def on_mount(self) -> None:
        """Fill a log: its lines are not wrapped, and can be selected."""
        if self._end:
            self.query_one(Log).write(clean(self._text))


class Line(ModalScreen[str]):
    """One line of text; empty when it was cancelled."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss('')", "Cancel")]

    def __init__(self, text: str, value: str) -> None:
        super().__init__()
        self._text, self._value = text, value

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(clean(self._text)))
            yield Input(self._value, validators=[Function(lambda value: bool(value.strip()), "It is empty.")])
            yield Static("Enter takes it, Escape cancels", classes="dialog-keys")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take it."""
        event.stop()
        if event.value.strip():
            self.dismiss(event.value.strip())


class TooSmall(ModalScreen[None]):
    """The terminal is too small for anything to be read safely; nothing can be answered until it grows."""

    def compose(self) -> ComposeResult:
        yield Static(classes="too-small")
        yield Footer()

    def on_resize(self) -> None:
        """Say how large it is, or go away."""
        width, height = self.app.size
        if width >= SMALLEST[0] and height >= SMALLEST[1]:
            if self.is_current:
                self.dismiss()
            return
        text = (
            f"This terminal has {width} x {height} characters; {SMALLEST[0]} x {SMALLEST[1]} are needed. "
            "Make it larger, or leave with q and run `entraclaw-setup --plain`."
        )
        self.query_one(Static).update(Content(text))

    on_mount = on_screen_resume = on_resize  # it may have grown while something else was on top
