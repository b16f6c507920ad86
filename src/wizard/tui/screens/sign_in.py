"""Azure sign-in: who is signed in, to which tenant, with which roles; and the keys that change it (U3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from wizard.console.plain import clean
from wizard.tui.screens.base import StageScreen
from wizard.tui.widgets.parts import Actions

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from wizard.tui.app import Wizard


class SignIn(StageScreen):
    """The account that will make the changes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "browser", "Browser"),
        Binding("d", "device", "Code"),
        Binding("t", "tenant", "Tenant"),
        Binding("o", "out", "Sign out"),
    ]
    place = "signin"
    heading = "Azure sign-in"
    lead = "The Azure CLI's account changes the app. Its token must be of the plan's tenant."
    advice = (
        "w signs in by the browser of this computer, d by a code that you enter on any device; both run `az login`. "
        "t signs in to another tenant, o signs out. These four are the only keys that change the Azure CLI's own "
        "settings. Where Conditional Access forbids device codes, use the browser."
    )

    def buttons(self) -> list[Button]:
        return [
            *super().buttons(),
            Button("Sign in: browser", id="browser", compact=True),
            Button("Sign in: code", id="device", compact=True),
        ]

    def more(self) -> dict[str, bool]:
        return dict.fromkeys(("browser", "device"), self.live and self._failed)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("browser", "device", "tenant", "out"):
            return self.live and (self._ready or self._failed)
        return super().check_action(action, parameters)

    def action_browser(self) -> None:
        """`az login` by the browser."""
        from wizard.tui import account

        account.sign_in(self.wizard, device_code=False)

    def action_device(self) -> None:
        """`az login --use-device-code`."""
        from wizard.tui import account

        account.sign_in(self.wizard, device_code=True)

    def action_tenant(self) -> None:
        """Sign in to another tenant."""
        from wizard.tui import account

        account.other_tenant(self.wizard)

    def action_out(self) -> None:
        """`az logout`."""
        from wizard.tui import account

        account.sign_out(self.wizard)


class SigningIn(ModalScreen[None]):
    """A sign-in under way. A code is shown here, and nowhere else (D4)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,x", "stop", "Cancel"),
        Binding("p", "page", "Open the page"),
        Binding("c", "copy", "Copy the code"),
    ]

    def __init__(self, *, device_code: bool) -> None:
        super().__init__()
        self._device_code = device_code
        self._code = self._address = ""

    @property
    def wizard(self) -> Wizard:
        """The app."""
        return cast("Wizard", self.app)

    def compose(self) -> ComposeResult:
        waiting = "asking for a code …" if self._device_code else "the browser opens; sign in there …"
        with Vertical(classes="dialog"):
            yield Static("Sign in to Azure", classes="heading")
            yield Static(waiting, classes="told")
            yield Static(classes="code")
            yield Actions(
                Button("Open the page", id="page", compact=True),
                Button("Copy the code", id="copy", compact=True),
                Button("Cancel", id="stop", compact=True),
                classes="actions",
            )

    def on_mount(self) -> None:
        """Offer what applies."""
        self._offer()

    def tell(self, code: str, address: str, text: str) -> None:
        """Show what the sign-in asks for.

        :param code: the user code, or nothing.
        :param address: where to enter it, or nothing.
        :param text: what the Azure CLI says.
        """
        self._code, self._address = code, address
        told = f"Open {address} on any device and enter this code:" if code else text
        self.query_one(".told", Static).update(Content(clean(told)))
        self.query_one(".code", Static).update(Content(clean(code)))
        self._offer()

    def _offer(self) -> None:
        self.query_one("#page").display = bool(self._address)
        self.query_one("#copy").display = bool(self._code)
        self.query_one(".code").display = bool(self._code)
        self.query_one("#page" if self._address else "#stop").focus()

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        """A button does what its key does."""
        event.stop()
        await self.run_action(str(event.button.id))

    def action_page(self) -> None:
        """Open the page in the browser of this computer; only the page of a sign-in service is ever opened."""
        if self._address.startswith("https://"):
            self.app.open_url(self._address)

    def action_copy(self) -> None:
        """Put the code on the clipboard; it is on the screen already."""
        if self._code:
            self.app.copy_to_clipboard(self._code)
            self.notify("Sent to the terminal's clipboard; whether it took it, only pasting tells.")

    def action_stop(self) -> None:
        """Give up the sign-in; `az` and its children are ended."""
        self.wizard.stop_job()
