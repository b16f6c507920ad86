"""The session bus, and who serves a name on it: both must be this user's own (K1)."""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.display import one_line
from core.errors import InsecureKeyringBackendError

if TYPE_CHECKING:
    from jeepney.io.blocking import DBusConnection  # type: ignore[import-untyped]

VARIABLE: Final = "DBUS_SESSION_BUS_ADDRESS"
#: One socket on this machine. GLib and libdbus know more kinds: some start a program (`unixexec:`, `autolaunch:`), some
#: reach other machines (`tcp:`); and of a list each library would take another member.
_ADDRESS: Final = re.compile(r"unix:(path|abstract)=((?:[^,;=%]|%[0-7][0-9A-Fa-f])+)(?:,guid=[0-9A-Fa-f]*)?")
#: What D-Bus calls the address of no bus.
_NONE: Final = "disabled:"
_OWN: Final = "start a session of your own: dbus-run-session -- bash"


@dataclass(frozen=True)
class Server:
    """What serves a name, as the bus and /proc tell; a program can call itself anything.

    :param pid: its process id; 0 when the bus does not tell.
    :param program: the file that runs, or its name where that is hidden.
    :param user: who it runs as.
    """

    pid: int
    program: str
    user: str

    def __str__(self) -> str:
        return f"{self.program}, user {self.user}"


def fault(address: str) -> str:
    """Why an address of a bus is not acceptable; empty when it is.

    :param address: as in the variable; not empty.
    """
    if _ADDRESS.fullmatch(address):
        return ""
    if ";" in address:
        return "it lists several buses, and every library takes another one."
    kind = address.partition(":")[0]
    if kind in ("unixexec", "autolaunch"):
        return f"'{kind}:' starts a program to reach the bus."
    return "it is not one socket on this machine (unix:path=… or unix:abstract=…)."


def refuse_stranger(environ: Mapping[str, str]) -> None:
    """Refuse a bus that no library can be sent to: an address of another kind, or another user's bus.

    Nothing is said to it, not even who asks. One that cannot be reached is left to whoever needs it.

    :param environ: variables that tell its address.
    :raises InsecureKeyringBackendError: with the variable in place of a backend.
    """
    address = environ.get(VARIABLE, "")
    if address in ("", _NONE) or sys.platform != "linux":
        return
    if why := fault(address):
        raise InsecureKeyringBackendError(f"{VARIABLE}={address}", why, f"unset {VARIABLE}, and {_OWN}")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(_place(address))
        except OSError:
            return
        _refuse_peer(probe, address)


def silent(environ: Mapping[str, str]) -> str:
    """Why there is no session bus: the variable outlives its session in tmux, su and cron.

    :param environ: variables that tell its address.
    :returns: a sentence without its end; empty when one answers, or when the address is refused for what it is.
    """
    address = environ.get(VARIABLE, "")
    if not address:
        return f"{VARIABLE} is not set"
    why = "that is no bus"
    if address != _NONE:
        if fault(address):
            return ""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(_place(address))
            except OSError as error:
                why = error.strerror or str(error)
            else:
                return ""
    return f"Nothing answers at {VARIABLE}={address} ({why})"


@contextmanager
def connection() -> Iterator[DBusConnection]:
    """A connection to the session bus, for all that is asked around one operation: each one costs 0.5 ms.

    :raises InsecureKeyringBackendError: it is another user's.
    """
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        _refuse_peer(bus.sock, os.environ.get(VARIABLE, ""))
        yield bus


def server(bus: DBusConnection, name: str, backend: str) -> Server:
    """Who serves a name; it is started when nobody does yet.

    :param backend: class of keyring's backend, for the error.
    :raises InsecureKeyringBackendError: another user does.
    :raises jeepney.DBusErrorResponse: nobody does, and nobody can be started.
    """
    from jeepney import DBusErrorResponse  # type: ignore[import-untyped]

    try:
        credentials = _ask(bus, "GetConnectionCredentials", "s", name)
    except DBusErrorResponse:
        _ask(bus, "StartServiceByName", "su", name, 0)
        credentials = _ask(bus, "GetConnectionCredentials", "s", name)
    pid = int(credentials.get("ProcessID", ("u", 0))[1])
    uid = int(credentials.get("UnixUserID", ("u", -1))[1])
    found = Server(pid, _program(pid), _user(uid))
    if uid != os.geteuid():
        why = f"{name} is served by {found.program} of user {found.user}, and this runs as {_user(os.geteuid())}."
        fix = f"Stop that program, or {_OWN}; a session must not be shared with another user."
        raise InsecureKeyringBackendError(backend, why, fix)
    return found


def owns(bus: DBusConnection, name: str, pid: int) -> bool:
    """Whether a process owns a name on the bus.

    :param pid: its process id, as the bus told it; 0 owns nothing.
    """
    from jeepney import DBusErrorResponse

    try:
        return 0 < pid == int(_ask(bus, "GetConnectionCredentials", "s", name).get("ProcessID", ("u", 0))[1])
    except DBusErrorResponse:  # nobody does
        return False


def _ask(bus: DBusConnection, method: str, signature: str, *body: object) -> dict[str, tuple[str, int]]:
    from jeepney import DBusAddress, DBusErrorResponse, MessageType, new_method_call

    address = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
    reply = bus.send_and_get_reply(new_method_call(address, method, signature, body))
    if reply.header.message_type is MessageType.error:
        raise DBusErrorResponse(reply)
    answer: dict[str, tuple[str, int]] = reply.body[0]
    return answer


def _place(address: str) -> str:
    """What to connect to; the address has been looked at."""
    matched = _ADDRESS.fullmatch(address)
    assert matched is not None
    name = re.sub("%(..)", lambda code: chr(int(code[1], 16)), matched[2])
    return f"\0{name}" if matched[1] == "abstract" else name


def _refuse_peer(connected: socket.socket, address: str) -> None:
    """Refuse a socket that another user listens at; the kernel tells who, not the other side."""
    _, uid, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid != os.geteuid():
        why = f"that bus is of user {_user(uid)}, and this runs as {_user(os.geteuid())}."
        fix = f"Run this as {_user(uid)}, without sudo; or unset {VARIABLE}, and {_OWN}"
        raise InsecureKeyringBackendError(f"{VARIABLE}={address}", why, fix)


def _user(uid: int) -> str:
    import pwd

    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})" if uid >= 0 else "unknown"
    except KeyError:
        return str(uid)


def _program(pid: int) -> str:
    process = Path(f"/proc/{pid}")
    try:
        found = str((process / "exe").readlink())
    except OSError:  # one with capabilities, as GNOME's, hides it from its own user
        try:
            found = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            found = "a program that cannot be seen"
    return one_line(found)
