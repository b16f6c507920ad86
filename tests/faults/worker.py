"""One migration in a process of its own: real time and kills, the sandbox over TLS, a keystore in a file.

Standard output gets one line of JSON when the run begins and one when it is over. The signed-in person's token comes
from a file, since the Azure CLI would take most of the time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Final

from core import assemble
from core.clock import Cancel, SystemClock
from core.config.cloud import Cloud
from core.config.settings import Settings
from core.entra.tokens import Token, claims_of
from core.errors import SetupError
from core.events import Event, Finding, StepFinished, Waiting
from core.flow import engine
from core.flows import migrate
from core.machine.azure_cli import checked_user_token
from core.machine.keystore.system import Backend
from core.secret import Secret
from tests.machine import VirtualClock

TOKEN: Final = "token"
KEYSTORE: Final = "keystore.json"


class FileKeystore:
    """Entries in a JSON file; nothing of it is for real keys."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def backend(self) -> Backend:
        return Backend("file of a test")

    def read(self, service: str, account: str) -> Secret | None:
        value = self._entries().get(f"{service} {account}")
        return None if value is None else Secret(value)

    def has(self, service: str, account: str) -> bool:
        return f"{service} {account}" in self._entries()

    def write(self, service: str, account: str, value: Secret) -> None:
        self._replace(self._entries() | {f"{service} {account}": value.reveal()})

    def delete(self, service: str, account: str) -> None:
        self._replace({name: value for name, value in self._entries().items() if name != f"{service} {account}"})

    def accounts(self, service: str) -> list[str]:
        return sorted(name.partition(" ")[2] for name in self._entries() if name.partition(" ")[0] == service)

    def _entries(self) -> dict[str, str]:
        entries: dict[str, str] = json.loads(self._path.read_text()) if self._path.exists() else {}
        return entries

    def _replace(self, entries: dict[str, str]) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(entries))
        new.replace(self._path)


class GivenSignIn:
    """Somebody whose token was put into a file."""

    def __init__(self, path: Path, cloud: Cloud) -> None:
        self._path, self._cloud = path, cloud

    def graph_token(self, tenant: str) -> Token:
        value = self._path.read_text()
        return checked_user_token(Token(Secret(value), claims_of(value)), self._cloud, tenant)

    def login(self, tenant: str, **given: object) -> None:
        raise SetupError("az.missing")

    def logout(self) -> None:
        raise SetupError("az.missing")


def main(home: Path, cloud: str, *, quick: bool) -> int:
    """Migrate.

    :param home: of this machine; the project lies in it.
    :param quick: no wait takes time.
    """
    cancel, said = Cancel(), list[str]()
    signal.signal(signal.SIGTERM, lambda number, frame: cancel.ask(number))

    def note(event: Event) -> None:
        if isinstance(event, Finding):
            said.append(event.id)
        if isinstance(event, Waiting):
            print(json.dumps({"waiting": event.reason}), flush=True)
        if isinstance(event, StepFinished):
            print(json.dumps({"step": event.step, "state": event.state}), flush=True)

    settings = Settings(project=str(home / "project"), cloud=cloud, yes=True)
    ctx = assemble.real(settings, cancel, note, lambda question: True)
    clock = VirtualClock() if quick else SystemClock(cancel)
    if isinstance(clock, VirtualClock):
        clock.cancel = cancel
    ctx.clock = clock
    ctx.keystore = FileKeystore(home / KEYSTORE)
    ctx.sign_in = GivenSignIn(home / TOKEN, ctx.cloud)
    ctx.tools = tuple
    ctx.packages = tuple
    ctx.lifetime = ()
    ctx.machine = home.name
    print(json.dumps({"begun": os.getpid()}), flush=True)
    try:
        result = engine.run(migrate.FLOW, ctx, ctx.run_id)
    finally:
        ctx.close()
    print(json.dumps({"exit": result.exit_code, "findings": said, "errors": result.errors}), flush=True)
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], quick="quick" in sys.argv[3:]))
