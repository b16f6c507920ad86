"""The system's keystore: gate, probe, store (K1-K6).

The gate is asked before every read, write and delete. It compares classes by identity, because names prove nothing: a
class can set `__module__` so that its printed name equals the real one. What it lets through is a fresh instance of the
allowed class, so that nothing set on the active instance counts.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import secrets
import string
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

from core.errors import InsecureKeyringBackendError, Interrupted, KeystoreError
from core.events import Event, Waiting
from core.flow.wait import Cancel
from core.machine import secretservice
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
_ALLOWED: Final = {
    "darwin": (("keyring.backends.macOS", "Keyring"),),
    "win32": (("keyring.backends.Windows", "WinVaultKeyring"),),
    "linux": (
        ("keyring.backends.SecretService", "Keyring"),
        ("keyring.backends.libsecret", "Keyring"),
        ("keyring.backends.kwallet", "DBusKeyring"),
        ("keyring.backends.kwallet", "DBusKeyringKWallet4"),
    ),
}
Verdict = Literal["intact", "missing", "truncated", "corrupted"]


@dataclass(frozen=True)
class Probe:
    """The result of a round trip (K4).

    :param size: characters that were stored.
    :param backend: class of the backend.
    """

    verdict: Verdict
    size: int
    backend: str

    @property
    def ok(self) -> bool:
        """Whether the value came back byte for byte."""
        return self.verdict == "intact"


class Keystore(Protocol):
    """What the product needs of a keystore; every implementation passes one suite (tests/contract)."""

    def backend(self) -> str:
        """The class that would be used.

        :raises InsecureKeyringBackendError: it is refused.
        """

    def read(self, service: str, account: str) -> str | None:
        """The value, or None when there is no such entry."""

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
    value = "".join(secrets.choice(alphabet) for _ in range(BUNDLE_SIZE))
    try:
        keystore.write(PROBE_SERVICE, account, Secret(value, learn=False))
        verdict = compare(value, keystore.read(PROBE_SERVICE, account))
    finally:
        keystore.delete(PROBE_SERVICE, account)
    if keystore.read(PROBE_SERVICE, account) is not None:
        raise KeystoreError("keystore.failed", action="delete a test entry", detail="it is still there")
    return Probe(verdict, BUNDLE_SIZE, backend)


def compare(written: str, found: str | None) -> Verdict:
    """What became of a value."""
    if found is None:
        return "missing"
    if found == written:
        return "intact"
    return "truncated" if written.startswith(found) else "corrupted"


class SystemKeystore:
    """The operating system's keystore by way of `keyring`.

    :param patience: seconds for an operation, including a prompt that somebody has to answer.
    :param cancel: stops waiting for it.
    :param emit: told when an operation takes longer than two seconds.
    """

    def __init__(
        self,
        patience: float = PATIENCE,
        cancel: Cancel | None = None,
        emit: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._patience = patience
        self._cancel = cancel or Cancel()
        self._emit = emit
        self._unfinished: threading.Thread | None = None

    def backend(self) -> str:
        return self._within("open", lambda backend: _name(type(backend)))

    def read(self, service: str, account: str) -> str | None:
        return self._within("read", lambda backend: backend.get_password(service, account))

    def write(self, service: str, account: str, value: Secret) -> None:
        size = len(value.reveal())
        if sys.platform == "win32" and size > WINDOWS_LIMIT:
            raise KeystoreError("keystore.too-large", limit=WINDOWS_LIMIT, size=size)
        self._within("write", lambda backend: backend.set_password(service, account, value.reveal()))

    def delete(self, service: str, account: str) -> None:
        def remove(backend: KeyringBackend) -> None:
            if backend.get_password(service, account) is not None:
                backend.delete_password(service, account)

        self._within("delete", remove)

    def _within(self, action: str, work: Callable[[KeyringBackend], T]) -> T:
        """Gate, unlock and work on a thread of their own: a prompt that nobody answers blocks for ever otherwise.

        The unlock comes first and by itself, so that a late answer to it cannot complete a write we gave up.
        """
        values: list[T] = []
        errors: list[BaseException] = []
        give_up = threading.Event()

        def act() -> None:
            try:
                backend = gate()
                collection = type(backend).__module__ in secretservice.MODULES
                if collection:
                    secretservice.unlock(_name(type(backend)), self._patience)
                    secretservice.refuse_plaintext(_name(type(backend)))
                if not give_up.is_set():
                    values.append(work(backend))
                    if collection and action == "write":  # gnome-keyring makes the file with the first entry
                        secretservice.refuse_plaintext(_name(type(backend)), written=True)
            except BaseException as error:  # noqa: BLE001  carried to the caller's thread, never dropped
                errors.append(error)

        if self._unfinished is not None:  # an operation that was given up must not land after its undo
            self._unfinished.join(self._patience)
            if self._unfinished.is_alive():
                raise KeystoreError("keystore.unanswered", seconds=round(self._patience))
        thread = self._unfinished = threading.Thread(target=act, name="keystore", daemon=True)
        thread.start()
        for second in range(round(self._patience) + 1):
            thread.join(1.0)
            if not thread.is_alive():
                break
            if second == 1:
                reason = "the keystore (is there a password prompt on the desktop?)"
                self._emit(Waiting(reason, 0, 2, 1, self._patience - 2))
            try:
                self._cancel.check()
            except Interrupted:
                give_up.set()
                raise
        else:
            give_up.set()
            raise KeystoreError("keystore.unanswered", seconds=round(self._patience))
        if errors:
            raise _named(errors[0], action, self._patience) from None
        return values[0]


def gate() -> KeyringBackend:
    """The active backend if it is the system's own, as a fresh instance (K1).

    :raises InsecureKeyringBackendError: it is anything else; nothing was read or written.
    """
    for variable in sorted(os.environ):
        if variable.startswith("KEYRING_PROPERTY_"):
            raise refusal("keyring", f"the variable {variable} changes how the keystore behaves.", f"unset {variable}")
    allowed = _allowed_classes()  # imported before the configuration can put a folder on the module path
    import keyring
    from keyring.backends import chainer

    try:
        active = keyring.get_keyring()
    except Exception as error:  # noqa: BLE001  keyring raises whatever a broken configuration leads to
        setting = os.environ.get("PYTHON_KEYRING_BACKEND")
        source = f"PYTHON_KEYRING_BACKEND={setting!r}" if setting is not None else "keyringrc.cfg"
        raise refusal(source, f"it cannot be loaded ({type(error).__name__}).", "Remove that setting.") from None
    try:
        candidates = list(active.backends) if type(active) is chainer.ChainerBackend else [active]
    except Exception as error:  # noqa: BLE001  it asks every backend, and each answers with errors of its own
        raise KeystoreError("keystore.gone", detail=f"{type(error).__name__}: {error}") from None
    for candidate in candidates:
        if type(candidate) in allowed:
            return type(candidate)()
    raise refusal(_name(type(active)), _why(active), _fix())


def refusal(backend: str, why: str, fix: str) -> InsecureKeyringBackendError:
    """The error that names backend, reason and fix (K2)."""
    return InsecureKeyringBackendError(backend, why, fix)


def _allowed_classes() -> frozenset[type]:
    """This system's own backends, loaded from the `keyring` distribution itself."""
    home = Path(importlib.util.find_spec("keyring").origin).resolve().parent  # type: ignore[union-attr, arg-type]
    found = set()
    for module_name, class_name in _ALLOWED.get(sys.platform, ()):
        module = importlib.import_module(module_name)
        if Path(str(module.__file__)).resolve().is_relative_to(home) and hasattr(module, class_name):
            found.add(getattr(module, class_name))
    return frozenset(found)


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _why(active: object) -> str:
    name = _name(type(active))
    if ".fail." in name:
        return "no keystore is available to this process."
    if ".null." in name:
        return "it forgets everything it is given."
    if ".chainer." in name:
        return "none of the keystores behind it is the system's own."
    if "keyrings.alt" in name or "cryptfile" in name:
        return "it keeps secrets in a file."
    return "it is not the system's own keystore."


def _fix() -> str:
    if os.environ.get("PYTHON_KEYRING_BACKEND") is not None:
        return "unset PYTHON_KEYRING_BACKEND"
    if sys.platform != "linux":
        return "Remove the setting in keyringrc.cfg (see 'keyring diagnose')."
    if not os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return (
            "There is no D-Bus session. Log in to a desktop, or install gnome-keyring and run inside one:\n"
            "  dbus-run-session -- sh -c 'gnome-keyring-daemon --unlock --components=secrets && exec bash'\n"
            "  (type a password for the keyring, then Ctrl-D)"
        )
    return (
        "Install and start a Secret Service (gnome-keyring or KWallet), and remove any default-keyring from "
        "keyringrc.cfg (see 'keyring diagnose')."
    )


def _named(error: BaseException, action: str, patience: float) -> BaseException:
    """The keystore error for whatever came out of a backend (K6)."""
    if isinstance(error, (KeystoreError, AssertionError)):
        return error
    kinds = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__}
    text = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        return KeystoreError("keystore.unanswered", seconds=round(patience))
    if (
        "-25308" in text
        or "-128" in text
        or any(kind.endswith((".KeyringLocked", ".LockedException")) for kind in kinds)
    ):
        return KeystoreError("keystore.locked", detail=text)
    if any(kind.endswith(".PromptDismissedException") for kind in kinds):
        return KeystoreError("keystore.locked", detail="the prompt was dismissed")
    gone = (".SecretServiceNotAvailableException", ".InitError", ".NoKeyringError", ".DBusErrorResponse")
    if isinstance(error, OSError) or any(kind.endswith(gone) for kind in kinds):
        return KeystoreError("keystore.gone", detail=text)
    return KeystoreError("keystore.failed", action=action, detail=f"{type(error).__name__}: {text}")
