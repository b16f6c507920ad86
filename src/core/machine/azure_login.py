"""What `az login` tells a person to do, and the tenant it may be given (U3, D4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from core.errors import SetupError

#: Seconds for a sign-in: a device code is good for 15 minutes.
PATIENCE: Final = 960.0
#: A GUID or a domain name; it becomes an argument of az, which takes what begins with a hyphen for an option.
_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_DEVICE: Final = re.compile(r"open the page (https://\S+) and enter the code (\S+) to authenticate")
_ADDRESS: Final = re.compile(r"https://[^\s,;]+")
_LEVEL: Final = re.compile(r"(ERROR|WARNING|INFO|DEBUG): ?")


@dataclass(frozen=True)
class Prompt:
    """What a person has to do to sign in. It is shown, and goes nowhere else (D4).

    :param code: to be typed at the address; empty when a browser was opened.
    :param address: the page; empty when az named none.
    :param text: the sentence as az prints it.
    """

    code: str = field(repr=False)
    address: str
    text: str = field(repr=False)


class Listener:
    """Takes the prompts out of what `az login` prints on standard error.

    :param device_code: whether a device code was asked for; az falls back to one where it finds no browser.
    :param tell: shown each prompt.
    """

    def __init__(self, *, device_code: bool, tell: Callable[[Prompt], None]) -> None:
        self._device_code = device_code
        self._tell = tell
        self._codes: list[str] = []
        self._rest: list[str] = []

    def __call__(self, line: str) -> None:
        plain = _COLOUR.sub("", line).strip()
        level = _LEVEL.match(plain)
        text = plain[level.end() :] if level else plain
        address = _ADDRESS.search(text)
        if found := _DEVICE.search(text):
            self._codes.append(found[2])
            self._tell(Prompt(found[2], found[1], text))
        elif level is None and self._device_code and address and not self._codes and not self._rest:
            # in another language: the code is somewhere in it
            self._tell(Prompt("", address[0].rstrip("."), text))
        elif level is None or level[1] == "ERROR":
            self._rest.append(plain)
        elif level[1] == "WARNING" and not self._device_code:
            self._tell(Prompt("", address[0].rstrip(".") if address else "", text))

    @property
    def rest(self) -> str:
        """What an error may quote: no prompt, no warning, and no code."""
        text = "\n".join(self._rest)
        for code in self._codes:
            text = text.replace(code, "[code]")
        return text


def checked_tenant(name: str) -> str:
    """A tenant's id or domain name that may become an argument; empty stays empty.

    :raises SetupError: `usage.settings`.
    """
    if name and not _TENANT.fullmatch(name):
        detail = f"the tenant {name!r} is neither an id (a GUID) nor a domain name"
        raise SetupError("usage.settings", detail=detail, command="COMMAND")
    return name
