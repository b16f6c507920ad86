"""Changing who is signed in: the only things that touch the Azure CLI's own settings, each on a key of its own (U3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.errors import SetupError
from wizard.tui.screens.dialogs import Ask, Line, Text
from wizard.tui.screens.sign_in import SigningIn

if TYPE_CHECKING:
    from core.clock import Cancel
    from core.steps.context import World
    from wizard.tui.app import Wizard


def sign_in(app: Wizard, *, device_code: bool, tenant: str = "") -> None:
    """Run `az login`.

    :param tenant: to sign in to; the plan's when none is given.
    """
    tenant = tenant or _tenant(app)
    app.drop()
    dialog = SigningIn(device_code=device_code)

    def work(world: World, say: Callable[[object], None], cancel: Cancel) -> object:
        world.sign_in.login(tenant, device_code=device_code, tell=say, cancel=cancel)
        return None

    def told(prompt: Any) -> None:
        dialog.tell(prompt.code, prompt.address, prompt.text)

    def over(value: object) -> None:
        dialog.dismiss()
        _look_again(app, value)

    app.push_screen(dialog)
    app.begin_job(work, over, told)


def sign_out(app: Wizard) -> None:
    """Run `az logout`, after a yes."""

    def work(world: World, say: Callable[[object], None], cancel: Cancel) -> object:
        world.sign_in.logout()
        return None

    def answered(yes: bool | None) -> None:
        if yes:
            app.drop()
            app.begin_job(work, lambda value: _look_again(app, value))

    app.push_screen(Ask("Sign the Azure CLI out? Other programs that use its account lose it too."), answered)


def other_tenant(app: Wizard) -> None:
    """Sign in to another tenant."""

    def answered(tenant: str | None) -> None:
        if tenant:
            sign_in(app, device_code=True, tenant=tenant)

    app.push_screen(Line("Tenant to sign in to: its id, or one of its domains.", _tenant(app)), answered)


def _tenant(app: Wizard) -> str:
    """The tenant of the plan, as far as it is known."""
    known = app.bridge.tenant if app.bridge is not None else ""
    return known or app.ground.settings.tenant


def _look_again(app: Wizard, value: object) -> None:
    app.again("signin")
    if isinstance(value, SetupError) and value.id != "flow.interrupted":
        app.push_screen(Text("The sign-in did not succeed", f"{value.summary}\n\n{value.remedy}\n\n[{value.id}]"))
