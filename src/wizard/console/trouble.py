"""After a run that failed: try again, have it explained, sign in to Azure, or leave it (U2, U3)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any, Final, Literal

from core.errors import Interrupted, SetupError
from wizard.console.menu import Menu
from wizard.console.plain import Plain
from wizard.explain import answer
from wizard.workspace import Workspace

Wish = Literal["again", "menu", "quit"]
_OPTIONS: Final = {
    "again": "Try again",
    "explain": "Explain what this means",
    "browser": "Sign in to Azure in the browser, then try again",
    "code": "Sign in to Azure with a device code, then try again",
    "menu": "Back to the menu",
    "quit": "Quit",
}


def after(errors: Sequence[dict[str, Any]], workspace: Workspace, tenant: str, plain: Plain, menu: Menu) -> Wish:
    """Ask what to do now.

    :param errors: of the result, as `--json` prints them.
    :param tenant: to sign in to; empty means the person's own.
    :raises SetupError: `flow.unanswered`.
    :raises Interrupted: a signal came.
    """
    ids = {error["id"] for error in errors}
    signs_in = any(id.startswith("az.") for id in ids - {"az.missing"})
    options = {name: text for name, text in _OPTIONS.items() if signs_in or name not in ("browser", "code")}
    default = "menu" if "handoff.waiting" in ids else "again"  # an administrator is next
    while True:
        match menu.choose("What now?", options, default):
            case "explain":
                _explain(errors, plain)
            case "browser" | "code" as how:
                if _signed_in(workspace, tenant, plain, menu, device_code=how == "code"):
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


def _signed_in(workspace: Workspace, tenant: str, plain: Plain, menu: Menu, *, device_code: bool) -> bool:
    plain.gap()
    plain.say("Signing in to Azure; Ctrl-C ends it.")
    try:
        with closing(workspace.context(menu.cancel, lambda event: None, lambda question: False)) as ctx:
            ctx.sign_in.login(
                tenant,
                device_code=device_code,
                tell=lambda prompt: _tell(plain, prompt.text, Address=prompt.address, Code=prompt.code),
                cancel=menu.cancel,
            )
    except Interrupted:
        raise
    except SetupError as error:
        plain.failure(error)
        return False
    plain.say("Signed in.")
    return True


def _tell(plain: Plain, text: str, **values: str) -> None:
    """What the sign-in asks for; what is to be typed stands alone."""
    plain.say(text)
    for name, value in values.items():
        if value:
            plain.verbatim(f"{name}: {value}")
