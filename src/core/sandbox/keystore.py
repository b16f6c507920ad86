"""A keystore in memory, for the demo and for tests of flows; it is labelled as such wherever a backend is shown."""

from __future__ import annotations

from core.errors import KeystoreError
from core.machine.keystore import Backend
from core.secret import Secret


class MemoryKeystore:
    """Keeps entries until the process ends.

    :param locked: how often it is found locked before somebody unlocks it.
    """

    def __init__(self, locked: int = 0) -> None:
        self._entries: dict[tuple[str, str], Secret] = {}
        self._locked = locked

    def backend(self) -> Backend:
        return Backend("in-memory keystore (sandbox only)")

    def read(self, service: str, account: str) -> str | None:
        entry = self._entries.get((service, account))
        return None if entry is None else entry.reveal()

    def write(self, service: str, account: str, value: Secret) -> None:
        if self._locked:
            self._locked -= 1
            raise KeystoreError("keystore.locked", detail="by script; it is unlocked now, so check again")
        self._entries[service, account] = value

    def delete(self, service: str, account: str) -> None:
        self._entries.pop((service, account), None)

    def accounts(self, service: str) -> list[str]:
        """The accounts of a service, for tests that look for leftovers."""
        return sorted(account for name, account in self._entries if name == service)
