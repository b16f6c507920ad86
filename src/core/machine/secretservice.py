"""A Secret Service behind `keyring`: unlock it, and refuse collections that keep nothing safe (K1, K6)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.errors import InsecureKeyringBackendError, KeystoreError

if TYPE_CHECKING:
    from jeepney.io.blocking import DBusConnection  # type: ignore[import-untyped]

#: Modules of `keyring` that talk to it.
MODULES: Final = ("keyring.backends.SecretService", "keyring.backends.libsecret")


@contextmanager
def connection() -> Iterator[DBusConnection]:
    """A connection to the session bus, for all that is asked around one operation: each one costs 2 ms."""
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        yield bus


def unlock(bus: DBusConnection, backend: str, patience: float) -> None:
    """Unlock the default collection, with a time limit that `keyring` itself does not have.

    :param backend: class of the backend, for the error.
    :param patience: seconds for a prompt that somebody has to answer.
    :raises InsecureKeyringBackendError: the collection lives in memory only.
    :raises KeystoreError: `keystore.locked`.
    """
    import secretstorage

    collection = secretstorage.get_default_collection(bus)
    if _default_path(bus).endswith("/session"):
        raise InsecureKeyringBackendError(
            backend,
            "its default collection lives in memory and is gone with the session.",
            "Set a permanent default collection (seahorse, or log in to the desktop once).",
        )
    if collection.is_locked() and collection.unlock(timeout=patience):
        raise KeystoreError("keystore.locked", detail="the prompt was dismissed")


def refuse_plaintext(bus: DBusConnection, backend: str, *, written: bool = False) -> None:
    """Refuse a collection with an empty master password: gnome-keyring keeps it as plain text, under the same class.

    The file lies where the *daemon* thinks its data folder is, so every candidate is looked at. After a write to
    gnome-keyring one of them must be there: what cannot be looked at is refused.

    :param backend: class of the backend, for the error.
    :param written: whether an entry was written, so that there is a file.
    :raises InsecureKeyringBackendError: it is plain text, or nobody can tell.
    """
    path, daemon = _default_path(bus), _daemon(bus)
    stem = re.sub(r"_([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), path.rsplit("/", 1)[-1])
    encrypted = False
    for folder in _data_folders(daemon):
        file = folder / "keyrings" / f"{stem}.keyring"
        try:
            with file.open("rb") as content:
                head = content.read(12)
        except OSError:
            continue
        if head.startswith(b"[keyring]"):
            raise InsecureKeyringBackendError(
                backend,
                f"the collection '{stem}' has an empty password, so {file} holds everything in plain text.",
                "Give the keyring a password (seahorse: right-click the keyring, Change Password).",
            )
        encrypted |= head.startswith(b"GnomeKeyring")
    if written and not encrypted and _program(daemon).startswith("gnome-keyring"):
        raise InsecureKeyringBackendError(
            backend,
            f"gnome-keyring's file of the collection '{stem}' was not found, so nobody knows whether it is encrypted.",
            "Set XDG_DATA_HOME here to what gnome-keyring-daemon was started with.",
        )


def _daemon(bus: DBusConnection) -> int:
    """Process id of whatever serves the Secret Service."""
    from jeepney import DBusAddress, new_method_call  # type: ignore[import-untyped]

    address = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
    call = new_method_call(address, "GetConnectionUnixProcessID", "s", ("org.freedesktop.secrets",))
    return int(bus.send_and_get_reply(call).body[0])


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _data_folders(pid: int) -> list[Path]:
    """Where a keyring daemon may keep its collections: by its own environment if that can be read, ours, the home's."""
    import pwd

    folders = [Path.home() / ".local/share", Path(pwd.getpwuid(os.getuid()).pw_dir) / ".local/share"]
    settings = [os.environ.get("XDG_DATA_HOME", "")]
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        variables = []  # a daemon with capabilities hides it
    for variable in variables:
        name, _, value = variable.decode(errors="surrogateescape").partition("=")
        if name == "XDG_DATA_HOME":
            settings.append(value)
        elif name == "HOME":
            folders.append(Path(value) / ".local/share")
    return list(dict.fromkeys([*(Path(setting) for setting in settings if setting), *folders]))


def _default_path(bus: DBusConnection) -> str:
    """The collection that the alias `default` stands for; SecretStorage itself gives the alias's own path."""
    from secretstorage.util import DBusAddressWrapper

    service = DBusAddressWrapper("/org/freedesktop/secrets", "org.freedesktop.Secret.Service", bus)
    (path,) = service.call("ReadAlias", "s", "default")
    return str(path)
