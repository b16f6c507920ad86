"""The Secret Service behind `keyring`: unlock it, and judge the collection that an entry is in (K1, K6)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from core.errors import InsecureKeyringBackendError, KeystoreError
from core.machine.keystore.bus import Server, owns
from core.paths import homes

if TYPE_CHECKING:
    from jeepney.io.blocking import DBusConnection  # type: ignore[import-untyped]

NAME: Final = "org.freedesktop.secrets"
_SERVICE: Final = "org.freedesktop.Secret.Service"
_ROOT: Final = "/org/freedesktop/secrets"
_NONE: Final = "/"
#: The name that gnome-keyring, and no other, takes besides.
_GNOME: Final = "org.gnome.keyring"
#: What gnome-keyring and oo7 call the collection that ends with the session.
_IN_MEMORY: Final = "/session"


class Collection:
    """The default collection, where `keyring` keeps its entries.

    :param bus: a connection.
    :param server: what serves it.
    :param backend: class of keyring's backend, for errors.
    :raises InsecureKeyringBackendError: from every method: an entry in it, or not in it, is not safe.
    """

    def __init__(self, bus: DBusConnection, server: Server, backend: str) -> None:
        self._bus = bus
        self._server = server
        self._backend = backend
        self._path = _NONE
        #: Where gnome-keyring keeps it; empty for other programs, and before there is a file.
        self.file = ""
        self._versions: dict[Path, tuple[int, int]] = {}

    def unlock(self, patience: float) -> None:
        """Unlock it, with a time limit that `keyring` itself does not have; then look at what it is.

        :param patience: seconds for a prompt that somebody has to answer.
        :raises KeystoreError: `keystore.locked`.
        """
        import secretstorage

        collection = secretstorage.get_default_collection(self._bus)
        (path,) = self._call("ReadAlias", "s", "default")
        self._path = str(path)
        if self._path.endswith(_IN_MEMORY):
            why = "its default collection lives in memory and is gone with the session."
            self._refuse(why, "Set a permanent default collection (seahorse, or log in to the desktop once).")
        if collection.is_locked() and collection.unlock(timeout=patience):
            raise KeystoreError("keystore.locked", detail="the prompt was dismissed")
        self._look_at_file(written=False)

    def refuse_others(self, service: str, account: str) -> None:
        """Refuse an entry in another collection, as well or instead: which one counts depends on who reads."""
        for item in self._items(service, account):
            if not self._holds(item):
                entry, where = f"an entry of service {service}, account {account}", self._described(item)
                self._refuse(
                    f"{entry}, lies in {where}, and not in the default one.",
                    "Whoever can read that collection has the entry. Delete it there (seahorse), or by this command; "
                    f"if it was this machine's key, run 'entraclaw-setup migrate' for a new one.\n  {_delete(item)}",
                )

    def judge_landing(self, service: str, account: str) -> None:
        """Look where an entry that was written really is; what is not where it should be is deleted again."""
        items = self._items(service, account)
        for item in items:
            if not self._holds(item):
                where = self._described(item)
                left = self._take_back(item)
                why = f"the entry went to {where}, and not to the default one. {left}"
                self._refuse(why, "Find out what changes where keyring writes to.")
        if not items:
            why = f"it says that it stored an entry, and {self._server} does not have it: nobody knows where it went."
            self._refuse(why, "Find out what changes where keyring writes to ('keyring diagnose').")
        try:
            self._look_at_file(written=True)
        except InsecureKeyringBackendError as error:
            left = " ".join(dict.fromkeys(self._take_back(item) for item in items))
            self._refuse(f"{error.details['why']} {left}", error.details["fix"])

    def _look_at_file(self, *, written: bool) -> None:
        """Refuse a collection with an empty master password: gnome-keyring keeps it as plain text.

        The file lies where the *daemon* thinks its data folder is, so every candidate is looked at. After a write to
        gnome-keyring, which replaces its file before it answers, one of them must be another than before: what cannot
        be looked at is refused, and a good file that lies beside says nothing.
        """
        changed = False
        stem = re.sub(r"_([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), self._path.rsplit("/", 1)[-1])
        for folder in _data_folders(self._server.pid):
            file = folder / "keyrings" / f"{stem}.keyring"
            try:
                with file.open("rb") as content:
                    head, status = content.read(12), os.fstat(content.fileno())
            except OSError:
                continue
            if head.startswith(b"[keyring]"):
                why = f"the collection '{stem}' has an empty password, so {file} holds everything in plain text."
                self._refuse(why, "Give the keyring a password (seahorse: right-click the keyring, Change Password).")
            if head.startswith(b"GnomeKeyring"):
                if status.st_uid != os.geteuid():
                    why = f"{file}, which holds the collection '{stem}', belongs to the user with id {status.st_uid}."
                    self._refuse(why, f"Make it yours: chown {os.geteuid()} {file}")
                self.file = self.file or str(file)
                version = (status.st_ino, status.st_mtime_ns)
                changed |= self._versions.get(file) != version
                self._versions[file] = version
        if written and not changed and self._is_gnomes():
            why = f"a write changed no file of the collection '{stem}': nobody knows where it is, or whether encrypted."
            self._refuse(why, "Set XDG_DATA_HOME here to what gnome-keyring-daemon was started with.")

    def _refuse(self, why: str, fix: str) -> NoReturn:
        raise InsecureKeyringBackendError(self._backend, why, fix) from None

    def _is_gnomes(self) -> bool:
        """By its name on the bus as well: NixOS calls the program otherwise, and a wrapper may hide it."""
        return "gnome-keyring" in self._server.program.rsplit("/", 1)[-1] or owns(self._bus, _GNOME, self._server.pid)

    def _items(self, service: str, account: str) -> list[str]:
        """Paths of the entries in all collections, also in those that are locked."""
        unlocked, locked = self._call("SearchItems", "a{ss}", {"service": service, "username": account})
        return [str(path) for path in (*unlocked, *locked)]

    def _holds(self, item: str) -> bool:
        return item.rpartition("/")[0] == self._path

    def _described(self, item: str) -> str:
        """The collection of an entry, in words."""
        from secretstorage import Collection as Found
        from secretstorage.exceptions import SecretStorageException

        path = item.rpartition("/")[0]
        try:
            label = Found(self._bus, path).get_label()
        except SecretStorageException:
            label = ""
        kind = ", which lives in memory" if path.endswith(_IN_MEMORY) else ""
        return f"the collection '{label}' ({path}{kind})"

    def _take_back(self, item: str) -> str:
        """Delete an entry that was just written; what became of it, as a sentence."""
        from secretstorage import Item

        try:
            Item(self._bus, item).delete()
        except Exception as error:  # noqa: BLE001  the refusal itself must be told, whatever this says
            return f"It is still there ({type(error).__name__}); delete it: {_delete(item)}"
        return "It was deleted again."

    def _call(self, method: str, signature: str, *body: object) -> Any:
        from secretstorage.util import DBusAddressWrapper

        return DBusAddressWrapper(_ROOT, _SERVICE, self._bus).call(method, signature, *body)


def _delete(item: str) -> str:
    """The command that deletes an entry; it is for a person's shell, and the path comes from the service."""
    item = re.sub(r"[^A-Za-z0-9_/]", "?", item)
    return f"dbus-send --session --print-reply --dest={NAME} {item} org.freedesktop.Secret.Item.Delete"


def _data_folders(pid: int) -> list[Path]:
    """Where a keyring daemon may keep its collections: by its own environment if that can be read, ours, the home's."""
    folders = [home / ".local/share" for home in homes()]
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
