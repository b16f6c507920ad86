"""Hardware key: what was found, what will hold the private key, and why (T1)."""

from __future__ import annotations

from typing import Final

from core.errors import SetupError
from core.flow.step import Blocked, Done, Needed, Stage, Status, Step
from core.machine.keys.hardware import Hardware
from core.steps.context import Context

#: What a software key in the keystore is worth.
_WORTH: Final = "It keeps the key from whoever reads files, not from code that runs as you."
_NOT_YET: Final = "this version cannot make a key in it yet"
_NO_WARNING: Final = "Without this warning: --hardware off."


class ChooseHolder(Step[Context]):
    """Say what will hold the private key, and what that does and does not protect against.

    Keys in hardware are not built yet, so that even hardware that would do falls back to the keystore.
    """

    name = "holder"
    title = "Choose what holds the private key"

    def check(self, ctx: Context) -> Status:
        match ctx.settings.hardware:
            case "off":
                return Done(f"a software key in the keystore; hardware is not looked for (--hardware off). {_WORTH}")
            case "require":
                found = ctx.hardware()
                return Blocked(SetupError("hardware.required", why=_why(found), later=_later(found)))
        return Needed()

    def apply(self, ctx: Context) -> str:
        found = ctx.hardware()
        message = f"The key will not be in hardware: {_why(found)}. {_holder(found)}"
        ctx.report("hardware.fallback", "warning", message, f"{_NO_WARNING}{_later(found)}")
        return f"found: {found.found}. {_holder(found)} {_WORTH}"


def _why(found: Hardware) -> str:
    """Why hardware does not hold the key."""
    if found.usable:
        return f"there is {found.found}, but {_NOT_YET}"
    return f"{found.found}: {found.why}" if found.kind != "none" else f"{found.found}; {found.why}"


def _later(found: Hardware) -> str:
    """What helps, if something does: but not this version."""
    return f" To have it ready for a version that can use it: {found.remedy}" if found.remedy else ""


def _holder(found: Hardware) -> str:
    if found.platform == "win32":
        return "On Windows no key bundle fits Credential Manager, so that nothing can hold it, and migrate stops."
    return "A software key in the keystore is used."


STAGE: Stage[Context] = Stage("hardware", "Hardware key", (ChooseHolder(),))
