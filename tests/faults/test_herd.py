"""Machines of one app that begin in the same instant (P7, P8): all finish, and none is stranded.

On a virtual time in one process; larger with `HERD=50`, other chances with `HERD_SEED=…`.
"""

from __future__ import annotations

import base64
import json
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
import requests

from core import assemble
from core.clock import Cancel
from core.config.cloud import Cloud
from core.config.profile import Profile
from core.config.settings import Settings
from core.entra import certificates
from core.entra.http import Session
from core.events import Event, Finding, StepFinished
from core.flow import engine
from core.flow.engine import Result
from core.flows import migrate
from core.sandbox import service
from core.sandbox.directory.store import Tenant
from core.sandbox.http import Request, Response
from core.sandbox.lab import Lab
from core.secret import Secret
from tests.faults.timeline import Timeline, TimelineClock

SIZE: Final = int(os.environ.get("HERD", "12"))
SEED: Final = os.environ.get("HERD_SEED", "1")
#: Seconds of a round trip.
LATENCY: Final = 0.3


class Distant(Session):
    """A session whose requests and answers travel, half the latency each way."""

    def __init__(self, cloud: Cloud, clock: TimelineClock, chance: random.Random, uneven: float) -> None:
        super().__init__(cloud, clock)
        self._journey, self._chance, self._uneven = clock, chance, uneven

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        self._travel()
        response = super().send(request, **kwargs)
        self._travel()
        return response

    def _travel(self) -> None:
        self._journey.wait(LATENCY / 2 * (1 + self._chance.uniform(-self._uneven, self._uneven)))


@dataclass
class One:
    """One machine of the herd: a home, a project, a keystore; the app is everybody's."""

    number: int
    herd: Herd
    events: list[Event] = field(default_factory=list)
    proven: bool = False
    bereft: bool = False
    result: Result | None = None
    ended: float = 0.0

    def run(self) -> None:
        """Migrate like a process of its own."""
        lab, name = self.herd.lab, f"{self.herd.seed} {self.number}"
        folder = self.herd.folder / str(self.number)
        folder.mkdir()
        state = Profile.state_file
        (folder / state).write_bytes((lab.project / state).read_bytes())
        profile = folder / "profile.toml"
        names = Profile()
        profile.write_text(
            f'name = "entraclaw"\napp_display_name = "{names.app_display_name}"\nstate_file = "{state}"\n'
            f'keystore_service = "{names.keystore_service}"\nstate_folder = ".machine-{self.number}"\n'
        )
        clock = TimelineClock(self.herd.timeline)
        settings = Settings(project=str(folder), cloud=str(lab.cloud_file), profile=str(profile), yes=True)
        self.ctx = assemble.pretend(lab, settings, Cancel(), self._note, lambda question: True)
        self.ctx.keystore, self.ctx.clock = lab.keystore(), clock
        self.ctx.session = Distant(self.ctx.cloud, clock, random.Random(name), self.herd.uneven)
        self.ctx.chance = random.Random(f"{name} chance")
        self.ctx.run_id = uuid4().hex[:12]
        self.ctx.machine = f"machine-{self.number}"
        try:
            self.result = engine.run(migrate.FLOW, self.ctx, self.ctx.run_id)
        finally:
            self.ended = self.herd.timeline.elapsed
            self.ctx.close()

    def holds(self, keys: set[bytes]) -> bool:
        """Whether a certificate whose key it has is on the app."""
        store, service = self.ctx.keystore, self.ctx.service
        key_pairs = [certificates.parse(store.read(service, a) or Secret(""), a) for a in store.accounts(service)]  # type: ignore[attr-defined]
        return any(key_pair.der in keys for key_pair in key_pairs)

    def findings(self) -> list[str]:
        return [event.id for event in self.events if isinstance(event, Finding)]

    def _note(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, StepFinished) and event.step == "prove" and event.state in ("done", "unchanged"):
            self.proven = True


class Herd:
    """Machines of one app.

    :param uneven: how much a journey differs from the latency, as a share of it.
    """

    def __init__(self, size: int, seed: str, folder: Path, uneven: float = 0.0) -> None:
        self.seed, self.uneven, self.folder = seed, uneven, folder
        self.timeline = Timeline()
        self.lab = Lab.start("legacy", clock=TimelineClock(self.timeline), sign_in=False)
        self.machines = [One(number, self) for number in range(size)]
        self.stranded: list[str] = []
        self.lab.server.handle = self._watched
        app_id = json.loads((self.lab.project / Profile.state_file).read_text())[Profile.client_id_member]
        self._app_id = app_id

    def run(self) -> None:
        self.timeline.run(*(machine.run for machine in self.machines))

    @property
    def app(self) -> dict[str, Any]:
        found = self.lab.tenant.find("application", "appId", self._app_id)
        assert found is not None
        return found

    @property
    def keys(self) -> set[bytes]:
        return {base64.b64decode(entry["key"]) for entry in self.app["keyCredentials"]}

    def _watched(self, tenant: Tenant, request: Request) -> Response:
        response = service.handle(tenant, request)
        if request.method != "GET":
            self._look(f"{self.timeline.elapsed:.2f} s, {request.method} {request.path}")
        return response

    def _look(self, when: str) -> None:
        """After every change: whoever has proven its certificate can sign in."""
        if self.app["passwordCredentials"]:
            return
        keys = self.keys
        for machine in self.machines:
            if machine.proven and not machine.holds(keys):
                self.stranded.append(f"machine {machine.number}: {when}")
            machine.bereft |= not machine.proven


@pytest.mark.timeout(900)
@pytest.mark.parametrize("uneven", [0.0, 0.5])
def test_P7_P8_machines_that_begin_in_one_instant_all_finish_and_none_is_stranded(
    tmp_path: Path, uneven: float
) -> None:
    print(f"HERD={SIZE} HERD_SEED={SEED} uneven={uneven}")
    herd = Herd(SIZE, SEED, tmp_path, uneven)
    before = herd.keys
    try:
        herd.run()
        codes = [machine.result.exit_code if machine.result else None for machine in herd.machines]
        last = max(machine.ended for machine in herd.machines)
        queue = SIZE * 2 * LATENCY
        print(f"all of it {last:.1f} s, a perfect queue of merges {queue:.1f} s: {last / queue:.2f} times")
        assert codes == [0] * SIZE, [machine.result.errors for machine in herd.machines if machine.result]
        keys = herd.keys
        assert before <= keys, "another app's or admin's certificate was lost"
        assert len(keys) == len(before) + SIZE, "one certificate of each machine"
        assert all(machine.holds(keys) for machine in herd.machines)
        assert not herd.stranded
        untold = [m.number for m in herd.machines if m.bereft and "secret.gone" not in m.findings()]
        assert not untold, "the shared secret was gone before the proof, and the run did not say so"
        assert last <= 4 * queue + (20 if SIZE < 50 else 0), "beside the merges, a run has 14 other round trips"
    finally:
        herd.lab.close()
