"""Whether the session bus that the environment names answers: a variable outlives its session in tmux, su and cron."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Final

VARIABLE: Final = "DBUS_SESSION_BUS_ADDRESS"
#: Seconds for a connection to a socket of this machine.
_PATIENCE: Final = 1.0
_SOCKET: Final = re.compile(r"unix:(?:[^,;]+,)*(path|abstract)=([^,;]+)")
#: Kinds of addresses that only a library can try: some start a program, some reach other machines.
_OTHERS: Final = ("unix", "tcp", "nonce-tcp", "unixexec", "autolaunch", "launchd", "systemd")


def silent(environ: Mapping[str, str]) -> str:
    """Why there is no session bus; empty when one answers, or when only using it would tell.

    :param environ: variables that tell its address, which may be a list.
    """
    text = environ.get(VARIABLE, "")
    if not text:
        return f"{VARIABLE} is not set"
    reasons = [_silent(address) for address in text.split(";") if address]
    if not all(reasons):
        return ""
    return f"Nothing answers at {VARIABLE}={text} ({'; '.join(dict.fromkeys(reasons)) or 'it names no address'})"


def _silent(address: str) -> str:
    matched = _SOCKET.match(address)
    if matched is None:
        return "" if address.partition(":")[0] in _OTHERS else "that is no address of a bus"
    name = re.sub("%([0-9A-Fa-f]{2})", lambda code: chr(int(code[1], 16)), matched[2])
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect(f"\0{name}" if matched[1] == "abstract" else name)
        except OSError as error:
            return error.strerror or str(error)
    return ""
