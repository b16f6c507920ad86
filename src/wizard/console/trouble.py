"""After a run that failed: try again, have it explained, sign in to Azure, or leave it (U2, U3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast

from core.errors import Interrupted, SetupError
from core.flow.wait import Cancel
from wizard.console.menu import Menu
from wizard.console.plain import Plain
from wizard.explain import answer

if TYPE_CHECKING:
    from core.stages.world import World
    from wizard.ground import Ground

Wish = Literal["again", "menu", "quit"]
_OPTIONS: Final = {
    "again": "Try again",
    "explain": "Explain what this means",
    "browser": "Sign in to Azure in the browser, then try again",
    "code": "Sign in to Azure with a device code, then try again",
    "menu": "Back to the menu",
    "quit": "Quit",
}


def after(errors: Sequence[dict[str, Any]], ground: Ground, tenant: str, plain: Plain, menu: Menu) -> Wish:
    """Ask what to do now.

    :param errors: of the result, as `--json` prints them.
    :param tenant: to sign in to; empty means the person's own.
    :raises SetupError: `flow.unanswered`.
    :raises Interrupted: a signal came.
    """
    ids = {error["id"] for error in errors}
    signs_in = any(id.startswith("az.") for id in ids - {"az.missing"}) and _can_sign_in(ground, menu)
    options = {name: text for name, text in _OPTIONS.items() if signs_in or name not in ("browser", "code")}
    default = "menu" if "handoff.waiting" in ids else "again"  # an administrator is next
    while True:
        match menu.choose("What now?", options, default):
            case "explain":
                _explain(errors, plain)
            case "browser" | "code" as how:
                if _signed_in(ground, tenant, plain, menu, device_code=how == "code"):
                    return "again"
            case "menu":
                return "menu"
            case "quit":
                return "quit"
            case _:
                return "again"


def _explain(errors: Sequence[dict[str, Any]], plain: Plain) -> None:
    """The rows of the ids, and of the service's codes before them: those say more."""
    names = [name for error in errors for name in (_code(error), error["id"]) if name]
    for name in dict.fromkeys(names):
        plain.verbatim("\n" + answer(name, plain.width)[1])


def _code(error: dict[str, Any]) -> str:
    """The service's code that decided the remedy, as the reference spells it, if one did."""
    return str(error["docs"]).partition("#")[2] if "meaning" in error else ""


class _Prompt(Protocol):
    code: str
    address: str
    text: str


class _SignsIn(Protocol):
    """The part of a sign-in that changes the configuration of the Azure CLI: only an explicit wish leads here (U3)."""

    def login(self, tenant: str, *, device_code: bool, tell: Callable[[_Prompt], None], cancel: Cancel) -> None: ...


def _signed_in(ground: Ground, tenant: str, plain: Plain, menu: Menu, *, device_code: bool) -> bool:
    def tell(prompt: _Prompt) -> None:
        plain.say(prompt.text)
        if prompt.address:
            plain.verbatim(f"Address: {prompt.address}")
        if prompt.code:
            plain.verbatim(f"Code: {prompt.code}")

    plain.say("\nSigning in: Ctrl-C stops it." if device_code else "\nA browser opens: sign in there. Ctrl-C stops it.")
    world = _world(ground, menu)
    try:
        cast(_SignsIn, world.sign_in).login(tenant, device_code=device_code, tell=tell, cancel=menu.cancel)
    except Interrupted:
        raise
    except SetupError as error:
        plain.result("", "failed", error.exit_code, {}, [error.as_dict()])
        return False
    finally:
        world.close()
    plain.say("Signed in.")
    return True


def _can_sign_in(ground: Ground, menu: Menu) -> bool:
    world = _world(ground, menu)
    try:
        return hasattr(world.sign_in, "login")
    finally:
        world.close()


def _world(ground: Ground, menu: Menu) -> World:
    return ground.world(menu.cancel, lambda event: None, lambda question: False)
