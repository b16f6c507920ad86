"""The errors of a keyring backend: why it is refused and the fix for this system (K2), and what its own mean (K6)."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from core.errors import InsecureKeyringBackendError, KeystoreError, SetupError
from core.machine.keystore import allowlist, bus

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: Why a backend is refused, by a part of its class's path.
_KNOWN: Final = {
    ".fail.": "no keystore is available to this process.",
    ".null.": "it forgets everything it is given.",
    ".chainer.": "none of the keystores behind it is the system's own.",
    **dict.fromkeys(("keyrings.alt", "cryptfile"), "it keeps secrets in a file."),
}
#: D-Bus errors that mean that nobody is there; any other is an answer of the service.
_ABSENT: Final = re.compile(r"NoReply|ServiceUnknown|NameHasNoOwner|NoServer|Disconnected|Timeout|TimedOut|Spawn")


def refuse(active: object, members: Sequence[object]) -> NoReturn:
    """A backend is not the system's own.

    :param active: the active backend.
    :param members: those behind it if it is a chainer, else itself.
    :raises InsecureKeyringBackendError: always.
    """
    refuse_class(name(type(active)), next((name(cls) for cls in map(type, members) if _leads_to(cls)), ""))


def refuse_class(backend: str, allowable: str = "", environ: Mapping[str, str] | None = None) -> NoReturn:
    """The same, by the path of its class.

    :param allowable: path of a class that an operator may allow instead (K5).
    :param environ: variables of a pretend machine; None: those of this process, whose session bus is tried.
    :raises InsecureKeyringBackendError: always.
    """
    if environ is None:
        fix = _fix(os.environ, bus.silent(os.environ))
    else:
        fix = _fix(environ, "" if environ.get(bus.VARIABLE) else bus.silent(environ))
    raise InsecureKeyringBackendError(backend, _why(backend), fix + _last_resort(allowable))


def translate(error: BaseException, action: str, patience: float) -> NoReturn:
    """Raise the keystore error for whatever came out of a backend (K6).

    :param action: what was being done, in words.
    :param patience: seconds it was given.
    :raises KeystoreError: the error, or another one for it; SetupError: `install.broken`; AssertionError: the error.
    """
    if isinstance(error, (KeystoreError, AssertionError)):
        raise error from None
    if isinstance(error, ImportError):
        raise SetupError("install.broken", what=f"the keystore's library cannot be loaded ({error})") from None
    kinds = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__}
    text = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        raise KeystoreError("keystore.unanswered", seconds=round(patience)) from None
    locked = any(kind.endswith((".KeyringLocked", ".LockedException")) for kind in kinds)
    if locked or "-25308" in text or "-128" in text:
        raise KeystoreError("keystore.locked", detail=text) from None
    if any(kind.endswith(".PromptDismissedException") for kind in kinds):
        raise KeystoreError("keystore.locked", detail="the prompt was dismissed") from None
    if getattr(error, "errno", None) in _FULL or "No space left" in text:
        raise KeystoreError("keystore.full", detail=text) from None
    if any(kind.endswith(".DBusErrorResponse") for kind in kinds) and not _ABSENT.search(text):
        # the service is there, and it said no
        raise KeystoreError("keystore.failed", action=action, detail=text) from None
    gone = (".SecretServiceNotAvailableException", ".InitError", ".NoKeyringError", ".DBusErrorResponse")
    if isinstance(error, OSError) or any(kind.endswith(gone) for kind in kinds):
        silent = bus.silent(os.environ) if sys.platform == "linux" else ""
        raise KeystoreError("keystore.gone", detail=f"{text}; {silent}" if silent else text) from None
    raise KeystoreError("keystore.failed", action=action, detail=f"{type(error).__name__}: {text}") from None


def name(cls: type) -> str:
    """The path of a class, as it calls itself."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _why(path: str) -> str:
    if (told := next((why for part, why in _KNOWN.items() if part in path), "")) != "":
        return told
    if path.startswith("keyring.backends."):  # those that this system has were let through: classes are compared
        return "it only calls itself that: another class has taken the name, and might pass the key on to anybody."
    return "it is not the system's own keystore."


def _fix(environ: Mapping[str, str], silent: str) -> str:
    if environ.get("PYTHON_KEYRING_BACKEND") is not None:
        return "unset PYTHON_KEYRING_BACKEND"
    if sys.platform != "linux":
        return "Remove the setting in keyringrc.cfg (see 'keyring diagnose')."
    if silent:
        silent = f"{silent}. " if environ.get(bus.VARIABLE) else ""
        return (
            f"There is no D-Bus session. {silent}Log in to a desktop, or install gnome-keyring and run inside one:\n"
            "  dbus-run-session -- sh -c 'gnome-keyring-daemon --unlock --components=secrets && exec bash'\n"
            "  (type a password for the keyring, then Ctrl-D)"
        )
    return (
        "Install and start a Secret Service (gnome-keyring or KWallet), and remove any default-keyring from "
        "keyringrc.cfg (see 'keyring diagnose')."
    )


def _leads_to(cls: type) -> bool:
    """Whether its name leads to it: a spoofed one's does not, and keyring's own are never allowed (K5)."""
    own = cls.__module__.startswith("keyring.backends.")
    return not own and getattr(sys.modules.get(cls.__module__), cls.__qualname__, None) is cls


def _last_resort(allowable: str) -> str:
    if not allowable:
        return ""
    return (
        f"\nLast resort, at your own risk: {allowlist.FLAG} {allowable}\n"
        "  (the key is then no safer than what that backend stores: whoever can read it has the key)"
    )
