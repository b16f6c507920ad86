"""A track: one sandbox with the program, the real Azure CLI behind a counter, and the bare script beside it."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from core.config.cloud import load as load_cloud
from core.config.profile import Profile
from core.sandbox.lab import Lab
from tests.bench.trips import longest_chain, under_way
from tests.real.conftest import Desktop
from tests.real.program import Program

BARE = Path(__file__).with_name("bare.py")
PROGRAM = Path(sys.executable).with_name("entraclaw-setup")
#: How the reasons of waits begin that end with what is waited for, and not with the time that is told.
SLOW = ("the keystore", "an answer")


@dataclass(frozen=True)
class Lap:
    """One run of a flow.

    :param seconds: wall time without the waits that it declared.
    :param waited: seconds that it declared.
    :param trips: the longest chain of its requests, the Azure CLI's among them.
    :param under_way: seconds during which a request was under way.
    """

    seconds: float
    waited: float
    trips: list[str]
    under_way: float
    spawns: int


@dataclass
class Counter:
    """An `az` in front of the real one that counts how often it is started."""

    folder: Path

    @classmethod
    def before(cls, az: Path, folder: Path) -> Self:
        """Write it.

        :param az: folder of the real one.
        :param folder: neither the project nor the working directory, which the program refuses (C4).
        """
        folder.mkdir()
        script = folder / "az"
        real, log = shlex.quote(str(az / "az")), shlex.quote(str(folder / "log"))
        script.write_text(f'#!/bin/sh\necho "$1 $2" >> {log}\nexec {real} "$@"\n')
        script.chmod(0o700)
        return cls(folder)

    def take(self) -> int:
        """How often since the last time."""
        log = self.folder / "log"
        count = len(log.read_text().splitlines()) if log.exists() else 0
        log.unlink(missing_ok=True)
        return count


@dataclass
class Track:
    """See the module."""

    lab: Lab
    session: Desktop
    counter: Counter

    @classmethod
    @contextmanager
    def open(cls, scenario: str, latency: float, session: Desktop, counter: Counter) -> Iterator[Self]:
        """Start a sandbox.

        :param latency: seconds before every answer.
        """
        lab = Lab.start(scenario, latency=latency)
        try:
            yield cls(lab, session, counter)
        finally:
            lab.close()

    @property
    def program(self) -> Program:
        """The program inside the desktop session."""
        return Program(self.lab, self.session, self.counter.folder)

    @property
    def passwords(self) -> int:
        """How many password credentials there are, on apps and principals."""
        holders = [*self.lab.tenant.newest("application"), *self.lab.tenant.newest("servicePrincipal")]
        return sum(len(holder.get("passwordCredentials") or ()) for holder in holders)

    def flow(self, *arguments: str) -> Lap:
        """Run a flow to its good end."""
        self.counter.take()
        before = len(self.lab.server.served)
        seconds, finished = self._run([str(PROGRAM), *arguments, "--yes", "--json"])
        events = [json.loads(line) for line in finished.stderr.splitlines()]
        waits = [e["next_in"] for e in events if e["event"] == "Waiting" and not e["reason"].startswith(SLOW)]
        served = self.lab.server.served[before:]
        return Lap(seconds - sum(waits), sum(waits), longest_chain(served), under_way(served), self.counter.take())

    def token(self) -> float:
        """Seconds of `token`."""
        return self._run([str(PROGRAM), "token"])[0]

    def bare(self) -> float:
        """Seconds of the bare script."""
        cloud, state = load_cloud(str(self.lab.cloud_file)), self.program.state
        service = cloud.keystore_service(Profile.keystore_service)
        app_id, ca = state[Profile.client_id_member], str(self.lab.ca)
        argv = [service, self.lab.tenant.id, app_id, cloud.authority, cloud.graph_scope, ca]
        return self._run([sys.executable, str(BARE), *argv])[0]

    def az_as_app(self) -> float:
        """Seconds of the Azure CLI that is signed in as the app, with the same certificate, for a new token."""
        folder = self.lab.folder / "azure-app"
        environment = self.program.environment | {"AZURE_CONFIG_DIR": str(folder)}
        az = [str(self.counter.folder / "az")]
        if not folder.exists():
            folder.mkdir(mode=0o700)
            for name in ("config", "clouds.config", "versionCheck.json"):
                shutil.copy(self.lab.az_config_dir / name, folder)
            app_id, pem = self.program.state[Profile.client_id_member], folder / "key.pem"
            service = load_cloud(str(self.lab.cloud_file)).keystore_service(Profile.keystore_service)
            ask = "import sys, keyring; print(keyring.get_password(*sys.argv[1:]))"
            _, read = self._run([sys.executable, "-c", ask, service, self.lab.tenant.id])
            pem.touch(mode=0o600)
            pem.write_text(read.stdout)  # of a pretend tenant: az takes a key from a file only
            login = ["login", "--service-principal", "--username", app_id, "--certificate", str(pem)]
            argv = [*az, *login, "--tenant", self.lab.tenant.id, "--allow-no-subscriptions"]
            run(argv, environment, self.session.home)
        (folder / "msal_token_cache.json").unlink(missing_ok=True)
        return run([*az, *self._get_token()], environment, self.session.home)[0]

    def az(self, *, cached: bool = False) -> float:
        """Seconds of the Azure CLI alone, for the token that the flows ask it for.

        :param cached: with the token that it has; otherwise its folder is made anew before and after.
        """
        lab = self.lab
        if not cached:
            lab.az_folder(lab.tenant.signed_in_user)
        seconds, _ = self._run([str(self.counter.folder / "az"), *self._get_token()])
        if not cached:
            lab.az_folder(lab.tenant.signed_in_user)
        return seconds

    def _get_token(self) -> list[str]:
        asked = ["--resource", f"{self.lab.tenant.graph}/", "--tenant", self.lab.tenant.id]
        return ["account", "get-access-token", *asked, "--output", "json", "--only-show-errors"]

    def _run(self, argv: list[str]) -> tuple[float, subprocess.CompletedProcess[str]]:
        return run(argv, self.program.environment, self.session.home)


def run(argv: list[str], environment: dict[str, str], folder: Path) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Seconds that a process took, and what it said.

    :raises SystemExit: it failed, so that no figure would mean anything.
    """
    start = time.perf_counter()
    finished = subprocess.run(
        argv, env=environment, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if finished.returncode:
        raise SystemExit(f"{argv[:3]} ended with {finished.returncode}:\n{finished.stdout}{finished.stderr}")
    return seconds, finished
