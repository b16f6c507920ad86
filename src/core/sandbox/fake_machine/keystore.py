"""A keystore in memory, for the demo and for tests of flows; it is labelled as such wherever a backend is shown."""

from __future__ import annotations

import sys
from typing import Final, Literal

from core.errors import KeystoreError
from core.machine.keystore import refusal
from core.machine.keystore.system import OWN, PATIENCE, WINDOWS_LIMIT, Backend
from core.sandbox.fake_machine.machine import BROKEN, KeystoreFault
from core.secret import Secret

PLAINTEXT: Final = "keyrings.alt.file.PlaintextKeyring"
NOTHING: Final = "keyring.backends.fail.Keyring"
#: What the system's own class calls itself, and with it every class that spoofs it.
GENUINE: Final = ".".join(OWN.get(sys.platform, OWN["linux"])[0])
_BUS: Final = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus"}


class MemoryKeystore:
    """Keeps entries until the process ends.

    :param locked: how often it is found locked before somebody unlocks it.
    :param fault: what is wrong with it; `broken`: the library that reaches it cannot be imported.
    """

    def __init__(self, locked: int = 0, fault: KeystoreFault | Literal["broken"] = "") -> None:
        self._entries: dict[tuple[str, str], Secret] = {}
        self._locked = locked
        self._fault = fault

    def backend(self) -> Backend:
        self._open("open")
        return Backend("in-memory keystore (sandbox only)", limit=WINDOWS_LIMIT if self._fault == "small" else 0)

    def read(self, service: str, account: str) -> Secret | None:
        self._open("read")
        return self._entries.get((service, account))

    def has(self, service: str, account: str) -> bool:
        return self.read(service, account) is not None

    def write(self, service: str, account: str, value: Secret) -> None:
        self._open("write")
        if self._locked:
            self._locked -= 1
            raise KeystoreError("keystore.locked", detail="by script; it is unlocked now, so check again")
        if self._fault == "small" and (size := len(value)) > WINDOWS_LIMIT:
            raise KeystoreError("keystore.too-large", limit=WINDOWS_LIMIT, size=size)
        self.put(service, account, value)

    def delete(self, service: str, account: str) -> None:
        self._open("delete")
        self._entries.pop((service, account), None)

    def put(self, service: str, account: str, value: Secret) -> None:
        """Have an entry there, whatever is wrong with the keystore now."""
        self._entries[service, account] = value

    def accounts(self, service: str) -> list[str]:
        """The accounts of a service, for tests that look for leftovers."""
        return sorted(account for name, account in self._entries if name == service)

    def _open(self, action: str) -> None:
        """Fail as the system's keystore does when something is wrong with it.

        :raises InsecureKeyringBackendError: it is refused.
        :raises KeystoreError: it cannot be used.
        """
        match self._fault:
            case "none":
                refusal.refuse_class(NOTHING, environ={})
            case "plaintext":
                refusal.refuse_class(PLAINTEXT, PLAINTEXT, _BUS)
            case "spoofed":
                refusal.refuse_class(GENUINE, environ=_BUS | {"PYTHON_KEYRING_BACKEND": GENUINE})
            case "locked":
                raise KeystoreError("keystore.locked", detail="the prompt was dismissed")
            case "broken":
                refusal.translate(ImportError(BROKEN), action, PATIENCE)
