"""Azure sign-in: who is signed in, to which tenant, with which roles; and the keys that change it (U3)."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from wizard.tui import account
from wizard.tui.screens.base import StageScreen


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

    choices = (*StageScreen.choices, ("browser", "Sign in: browser"), ("device", "Sign in: code"))

    def applies(self, button: str) -> bool:
        return super().applies(button) and (button not in ("browser", "device") or bool(self.errors))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("browser", "device", "tenant", "out"):
            return self.live and (self._ready or bool(self.errors))
        return super().check_action(action, parameters)

    def action_browser(self) -> None:
        """`az login` by the browser."""
        account.sign_in(self.wizard, device_code=False)

    def action_device(self) -> None:
        """`az login --use-device-code`."""
        account.sign_in(self.wizard, device_code=True)

    def action_tenant(self) -> None:
        """Sign in to another tenant."""
        account.other_tenant(self.wizard)

    def action_out(self) -> None:
        """`az logout`."""
        account.sign_out(self.wizard)
