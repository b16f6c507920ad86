"""A keystore in memory, for the demo and for tests of flows; it is labelled as such wherever a backend is shown."""

from __future__ import annotations

from core.machine.keystore import Backend
from core.secret import Secret


class MemoryKeystore:
    """Keeps entries until the process ends."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Secret] = {}

    def backend(self) -> Backend:
        return Backend("in-memory keystore (sandbox only)")

    def read(self, service: str, account: str) -> str | None:
        entry = self._entries.get((service, account))
        return None if entry is None else entry.reveal()

    def write(self, service: str, account: str, value: Secret) -> None:
        self._entries[service, account] = value

    def delete(self, service: str, account: str) -> None:
        self._entries.pop((service, account), None)

    def accounts(self, service: str) -> list[str]:
        """The accounts of a service, for tests that look for leftovers."""
        return sorted(account for name, account in self._entries if name == service)
