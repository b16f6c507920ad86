"""Changing who is signed in: the only things that touch the Azure CLI's own settings, each on a key of its own (U3)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from core.errors import SetupError
from wizard.text import clean
from wizard.tui.dialogs import Ask, Line, Text
from wizard.tui.widgets.parts import Actions

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from core.clock import Cancel
    from core.steps.context import Context
    from wizard.tui.host import Host, Say


def sign_in(app: Host, *, device_code: bool, tenant: str = "") -> None:
    """Run `az login`.

    :param tenant: to sign in to; the plan's when none is given.
    """
    tenant = tenant or _tenant(app)
    app.drop()
    dialog = SigningIn(device_code=device_code)

    def work(ctx: Context, say: Say, cancel: Cancel) -> None:
        ctx.sign_in.login(tenant, device_code=device_code, tell=say, cancel=cancel)

    def told(prompt: Any) -> None:
        dialog.tell(prompt.code, prompt.address, prompt.text)

    def over(value: object) -> None:
        dialog.dismiss()
        _look_again(app, value)

    app.push_screen(dialog)
    app.begin_job(work, over, told)


def sign_out(app: Host) -> None:
    """Run `az logout`, after a yes."""

    def answered(yes: bool | None) -> None:
        if yes:
            app.drop()
            app.begin_job(lambda ctx, say, cancel: ctx.sign_in.logout(), partial(_look_again, app))

    app.push_screen(Ask("Sign the Azure CLI out? Other programs that use its account lose it too."), answered)


def other_tenant(app: Host) -> None:
    """Sign in to another tenant."""

    def answered(tenant: str | None) -> None:
        if tenant:
            sign_in(app, device_code=True, tenant=tenant)

    app.push_screen(Line("Tenant to sign in to: its id, or one of its domains.", _tenant(app)), answered)


def _tenant(app: Host) -> str:
    """The tenant of the plan, as far as it is known."""
    known = app.engine_thread.tenant if app.engine_thread is not None else ""
    return known or app.workspace.settings.tenant


def _look_again(app: Host, value: object) -> None:
    app.again("signin")
    if isinstance(value, SetupError) and value.id != "flow.interrupted":
        app.push_screen(Text.of("The sign-in did not succeed", value))


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
        cast("Host", self.app).stop_job()
