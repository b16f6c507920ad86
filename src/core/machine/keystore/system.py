"""The system's keystore: gate, probe, store (K1-K6).

The gate is asked before every read, write and delete. It compares classes by identity, because names prove nothing: a
class can set `__module__` so that its printed name equals the real one. What it lets through is a fresh instance of the
system's own class, so that nothing set on the active instance counts; or what an operator allowed, loudly (K5). What it
let through is not believed either: after a write the gate looks where the entry really is.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import secrets
import string
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

from core.clock import Cancel
from core.errors import InsecureKeyringBackendError, KeystoreError
from core.events import Event, Finding, Waiting
from core.flow.audit import Audit
from core.machine.interpreter import undisturbed
from core.machine.keystore import bus, redirection, refusal, secret_service
from core.secret import Secret

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

#: As large as a certificate and a PKCS#8 RSA-2048 key in PEM, with room for a longer subject (K4).
BUNDLE_SIZE: Final = 3200
PROBE_SERVICE: Final = "entraclaw-keystore-probe"
#: Seconds until an unlock prompt that nobody answers counts as unanswered (K6).
PATIENCE: Final = 60.0
#: Credential Manager: 2,560 bytes of UTF-16.
WINDOWS_LIMIT: Final = 1280
#: The system's own classes, module and name.
OWN: Final = {
    "darwin": (("keyring.backends.macOS", "Keyring"),),
    "win32": (("keyring.backends.Windows", "WinVaultKeyring"),),
    "linux": (
        ("keyring.backends.SecretService", "Keyring"),
        ("keyring.backends.libsecret", "Keyring"),
        ("keyring.backends.kwallet", "DBusKeyring"),
        ("keyring.backends.kwallet", "DBusKeyringKWallet4"),
    ),
}
#: Modules of `keyring` that talk to a Secret Service, and those that talk to KWallet.
_SERVICE: Final = ("keyring.backends.SecretService", "keyring.backends.libsecret")
_WALLET: Final = "keyring.backends.kwallet"
Verdict = Literal["intact", "missing", "truncated", "corrupted"]


@dataclass(frozen=True)
class Backend:
    """What holds the entries.

    :param name: path of its class.
    :param allowed_by: who allowed it (K5); empty for the system's own.
    :param file: where it keeps the entries, if that is known.
    :param limit: characters that an entry holds at most; 0: none is known.
    :param served_by: the program behind it and its user, where a program of its own keeps the entries.
    """

    name: str
    allowed_by: str = ""
    file: str = ""
    limit: int = 0
    served_by: str = ""

    @classmethod
    def own(cls, kind: type) -> Backend:
        """The system's own, as its class says."""
        name = refusal.name(kind)
        return cls(name, limit=WINDOWS_LIMIT if (*name.rsplit(".", 1),) in OWN["win32"] else 0)

    def __str__(self) -> str:
        """For reports: who allowed it, and who keeps the entries, is never left out."""
        if self.allowed_by:
            return f"{self.name} (not the system's own; allowed by {self.allowed_by})"
        return f"{self.name} (served by {self.served_by})" if self.served_by else self.name


@dataclass(frozen=True)
class Probe:
    """The result of a round trip (K4).

    :param size: characters that were stored.
    :param backend: what held it.
    """

    verdict: Verdict
    size: int
    backend: Backend

    @property
    def ok(self) -> bool:
        """Whether the value came back byte for byte."""
        return self.verdict == "intact"


class Keystore(Protocol):
    """What the product needs of a keystore; every implementation passes one suite (tests/contract)."""

    def backend(self) -> Backend:
        """What would be used.

        :raises InsecureKeyringBackendError: it is refused.
        """

    def read(self, service: str, account: str) -> Secret | None:
        """The value, or None when there is no such entry."""

    def has(self, service: str, account: str) -> bool:
        """Whether there is such an entry."""

    def write(self, service: str, account: str, value: Secret) -> None:
        """Store a value; replaces an older one."""

    def delete(self, service: str, account: str) -> None:
        """Remove an entry; nothing when there is none."""


def probe(keystore: Keystore) -> Probe:
    """Validate, then a round trip of a value as large as a key bundle under a random name, always cleaned up (K4).

    :raises InsecureKeyringBackendError: refused; then nothing was written.
    :raises KeystoreError: the keystore failed; also when it does not remove the test entry.
    """
    backend = keystore.backend()
    account = f"probe-{secrets.token_hex(8)}"
    alphabet = string.ascii_letters + string.digits + "+/=- \n"
    value = Secret("".join(secrets.choice(alphabet) for _ in range(BUNDLE_SIZE)), learn=False)
    try:
        keystore.write(PROBE_SERVICE, account, value)
        verdict = compare(value, keystore.read(PROBE_SERVICE, account))
    finally:
        keystore.delete(PROBE_SERVICE, account)
    if keystore.has(PROBE_SERVICE, account):
        raise KeystoreError("keystore.failed", action="delete a test entry", detail="it is still there")
    return Probe(verdict, BUNDLE_SIZE, backend)


def compare(written: Secret, found: Secret | None) -> Verdict:
    """What became of a value."""
    if found is None:
        return "missing"
    if found == written:
        return "intact"
    return "truncated" if written.begins(found) else "corrupted"


@dataclass(eq=False, repr=False)
class SystemKeystore:
    """The operating system's keystore by way of `keyring`.

    :param patience: seconds for an operation, including a prompt that somebody has to answer.
    :param cancel: stops waiting for it.
    :param emit: told when an operation takes longer than two seconds, and once of a backend that an operator allowed.
    :param allowlist: class paths of other backends, each with who allowed it (K5).
    :param audit: told of keys that are read (D3); what a run writes, its journal tells.
    """

    patience: float = PATIENCE
    cancel: Cancel = field(default_factory=Cancel)
    emit: Callable[[Event], None] = lambda event: None
    allowlist: Mapping[str, str] = field(default_factory=dict)
    audit: Audit = field(default_factory=Audit)
    _backend: Backend | None = field(default=None, init=False)
    _told: bool = field(default=False, init=False)
    _unfinished: threading.Thread | None = field(default=None, init=False)

    def backend(self) -> Backend:
        self._within("open", None, lambda backend: None)
        assert self._backend is not None
        return self._backend

    def read(self, service: str, account: str) -> Secret | None:
        def get(backend: KeyringBackend) -> Secret | None:
            value = backend.get_password(service, account)
            # the probe's value is random: nobody has to recognise it later
            return None if value is None else Secret(value, learn=service != PROBE_SERVICE)

        audit = self.audit if service != PROBE_SERVICE else Audit()  # a test value is no key
        with audit.around("keystore.read"):
            return self._within("read", (service, account), get)

    def has(self, service: str, account: str) -> bool:
        entry = (service, account)
        return self._within("read", entry, lambda backend: backend.get_password(*entry) is not None)

    def write(self, service: str, account: str, value: Secret) -> None:
        size = len(value)
        if sys.platform == "win32" and size > WINDOWS_LIMIT:
            raise KeystoreError("keystore.too-large", limit=WINDOWS_LIMIT, size=size)
        entry = (service, account)
        self._within("write", entry, lambda backend: backend.set_password(service, account, value.reveal()))

    def delete(self, service: str, account: str) -> None:
        def remove(backend: KeyringBackend) -> None:
            if backend.get_password(service, account) is not None:
                backend.delete_password(service, account)

        self._within("delete", (service, account), remove)

    def _within(self, action: str, entry: tuple[str, str] | None, work: Callable[[KeyringBackend], T]) -> T:
        """Gate, unlock and work on a thread of their own: a prompt that nobody answers blocks for ever otherwise.

        The unlock comes first and by itself, so that a late answer to it cannot complete a write we gave up.
        """
        values: list[T] = []
        errors: list[BaseException] = []
        give_up = threading.Event()

        def act() -> None:
            try:
                backend, who = gate(self.allowlist)
                with self._judged(backend, who, action, entry):
                    if not give_up.is_set():
                        with undisturbed():
                            values.append(work(backend))
            except BaseException as error:  # noqa: BLE001  carried to the caller's thread, never dropped
                errors.append(error)

        # an operation that was given up must not land after its undo
        if self._unfinished is not None and not self._ends(self._unfinished):
            raise KeystoreError("keystore.unanswered", seconds=round(self.patience))
        thread = self._unfinished = threading.Thread(target=act, name="keystore", daemon=True)
        thread.start()
        ended = False
        try:
            ended = self._ends(thread)
        finally:
            if not ended:
                give_up.set()
        if not ended:
            raise KeystoreError("keystore.unanswered", seconds=round(self.patience))
        self._tell()
        if errors:
            refusal.translate(errors[0], action, self.patience)
        return values[0]

    def _ends(self, thread: threading.Thread) -> bool:
        """Wait for an operation; whether it ended in time.

        :raises Interrupted: somebody asked to stop.
        """
        for second in range(round(self.patience) + 1):
            thread.join(1.0)
            if not thread.is_alive():
                return True
            if second == 1:
                reason = "the keystore (is there a password prompt on the desktop?)"
                self.emit(Waiting(reason, 0, 2, 1, self.patience - 2))
            self.cancel.check()
        return False

    @contextmanager
    def _judged(self, backend: KeyringBackend, who: str, action: str, entry: tuple[str, str] | None) -> Iterator[None]:
        """Judge what is behind a backend before the work, and after a write where the entry is; whatever is refused."""
        name = refusal.name(type(backend))
        module = "" if who else type(backend).__module__
        if module not in (*_SERVICE, _WALLET):
            file = str(getattr(backend, "file_path", "")) if who else ""
            self._backend = replace(Backend.own(type(backend)), allowed_by=who, file=file)
            yield
            return
        with bus.connection() as session:
            if module == _WALLET:
                server = bus.server(session, backend.bus_name, name)  # type: ignore[attr-defined]
                self._backend = Backend(name, served_by=str(server))
                yield
                return
            server = bus.server(session, secret_service.NAME, name)
            collection = secret_service.Collection(session, server, name)
            collection.unlock(self.patience)
            self._backend = Backend(name, file=collection.file, served_by=str(server))
            if entry and action != "delete":  # one that is elsewhere stops nobody from deleting this one
                collection.refuse_others(*entry)
            yield
            if entry and action == "write":
                collection.judge_landing(*entry)

    def _tell(self) -> None:
        """Say once that a backend is used only because somebody allowed it."""
        if self._backend is None or not self._backend.allowed_by or self._told:
            return
        self._told = True
        kept = f"; it keeps its entries in {self._backend.file}" if self._backend.file else ""
        message = f"The key's keystore is {self._backend}{kept}. Whoever can read what it stores has the key."
        self.emit(Finding("keystore.allowed", "warning", message, "Use the system's own keystore as soon as you can."))


def gate(allowlist: Mapping[str, str]) -> tuple[KeyringBackend, str]:
    """The active backend if it is the system's own (K1) or one that an operator allows (K5), and who allowed it.

    :param allowlist: class paths, each with who allowed it.
    :raises InsecureKeyringBackendError: it is anything else; nothing was read or written.
    :raises KeystoreError: `keystore.allowlist`: an allowed class does not exist, or can never be allowed.
    """
    if sys.platform != "darwin":
        # keyring loads every backend, and this part of macOS's looks for Apple's libraries with whatever `gcc` and `ld`
        # the PATH names first: anybody's programs (C4), and 60 ms. Without it that backend says no, as it does anyway.
        sys.modules.setdefault("keyring.backends.macOS.api", None)  # type: ignore[arg-type]
    if sys.platform == "linux" and not os.environ.get(bus.VARIABLE):
        # GLib and libdbus, which keyring reaches by these modules, start whatever `dbus-launch` the PATH names first
        # when no bus is named (C4). SecretStorage does not, and without it no key is kept here anyway.
        for module in ("gi", "dbus"):
            sys.modules.setdefault(module, None)  # type: ignore[arg-type]
    from keyring.util import platform_

    redirection.refuse(os.environ, platform_.config_root() / "keyringrc.cfg")
    bus.refuse_stranger(os.environ)
    own = _own_classes()  # both are imported before a plugin of keyring can change anything
    others = [(_class(path, who), who) for path, who in allowlist.items()]
    import keyring
    from keyring.backends import chainer

    try:
        with undisturbed():
            active = keyring.get_keyring()
    except Exception as error:  # noqa: BLE001  keyring raises whatever a broken configuration leads to
        setting = os.environ.get("PYTHON_KEYRING_BACKEND")
        source = f"PYTHON_KEYRING_BACKEND={setting!r}" if setting is not None else "keyringrc.cfg"
        why = f"it cannot be loaded ({type(error).__name__})."
        raise InsecureKeyringBackendError(source, why, "Remove that setting.") from None
    try:
        with undisturbed():
            candidates = list(active.backends) if type(active) is chainer.ChainerBackend else [active]
    except Exception as error:  # noqa: BLE001  it asks every backend, and each answers with errors of its own
        raise KeystoreError("keystore.gone", detail=f"{type(error).__name__}: {error}") from None
    chosen = _first(candidates, own, others)
    if chosen is None:
        refusal.refuse(active, candidates)
    return chosen


def _first(
    candidates: Sequence[KeyringBackend],
    own: Sequence[type[KeyringBackend]],
    others: Sequence[tuple[type[KeyringBackend], str]],
) -> tuple[KeyringBackend, str] | None:
    """The first backend of the system's own classes, else the first of those that an operator allows, and who did.

    Compared is by `is` and not by `in`: a class decides by its metaclass what it is equal to.
    """
    for candidate in candidates:
        for cls in own:
            if type(candidate) is cls:
                if cls.__module__ == "keyring.backends.libsecret":
                    redirection.refuse_portal(refusal.name(cls), os.environ)
                return cls(), ""
    for candidate in candidates:
        for cls, who in others:
            if type(candidate) is cls:
                # the instance itself: where such a backend keeps its entries may have been set on it, and a fresh one
                # would look elsewhere. KEYRING_PROPERTY_* is refused for it too.
                return candidate, who
    return None


@undisturbed()
def _own_classes() -> list[type[KeyringBackend]]:
    """This system's own backends, loaded from the `keyring` distribution itself."""
    home = Path(importlib.util.find_spec("keyring").origin).resolve().parent  # type: ignore[union-attr, arg-type]
    found = []
    for module_name, class_name in OWN.get(sys.platform, ()):
        module = importlib.import_module(module_name)
        if Path(str(module.__file__)).resolve().is_relative_to(home) and hasattr(module, class_name):
            found.append(getattr(module, class_name))
    return found


@undisturbed()
def _class(path: str, who: str) -> type[KeyringBackend]:
    """The class that an operator named."""
    from keyring.backend import KeyringBackend
    from keyring.backends import chainer, fail, null

    module_name, _, class_name = path.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # noqa: BLE001  an import runs whatever that module does
        detail = f"it cannot be loaded ({type(error).__name__}: {error})"
        raise KeystoreError("keystore.allowlist", backend=path, who=who, detail=detail) from None
    if not (isinstance(cls, type) and issubclass(cls, KeyringBackend)):
        raise KeystoreError("keystore.allowlist", backend=path, who=who, detail="it is not a keyring backend")
    if issubclass(cls, (fail.Keyring, null.Keyring, chainer.ChainerBackend)):
        detail = "it keeps nothing itself, and is never allowed"
        raise KeystoreError("keystore.allowlist", backend=path, who=who, detail=detail)
    return cls
