"""A machine in front of a sandbox, as tests see it: run a flow, look at the result, look at the tenant."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any, Final
from uuid import uuid4

import pytest

from core import assemble
from core.checks.verify import verify
from core.clock import Cancel, Clock
from core.config.cloud import Cloud
from core.config.cloud import load as load_cloud
from core.config.profile import Profile
from core.config.settings import Settings
from core.entra.http import Session
from core.entra.keys import Keys
from core.entra.tokens import SecretState, mint, try_secret
from core.errors import SetupError
from core.events import Event, Finding, Question, StepFinished
from core.flow import engine
from core.flow.engine import Result
from core.flow.journal import Journal
from core.flow.step import Flow
from core.flows import migrate, onboard
from core.sandbox.fake_machine.az import SandboxSignIn
from core.sandbox.fake_machine.keystore import MemoryKeystore
from core.sandbox.lab import Lab
from core.secret import Secret
from core.signer import KeyProvider
from core.steps.context import Context

PROFILE = Profile()


class VirtualClock:
    """Real time plus whatever was waited for; nobody sleeps."""

    def __init__(self) -> None:
        self.waited = 0.0
        self.cancel: Cancel | None = None

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.waited)

    def monotonic(self) -> float:
        return time.monotonic() + self.waited

    def wait(self, seconds: float) -> None:
        if self.cancel is not None:
            self.cancel.check()
        self.waited += seconds


@contextmanager
def dating(clock: Clock) -> Iterator[None]:
    """Assertions are dated by a test's clock: MSAL, which signs them, knows none but the computer's."""
    from msal.oauth2cli import assertion

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assertion, "time", SimpleNamespace(time=lambda: clock.now().timestamp()))
        yield


_ITS_OWN: Final = MemoryKeystore()


class Crash(BaseException):
    """Stands for SIGKILL: nothing that the engine catches."""


def killed(nth: int, act: Callable[[], object]) -> bool:
    """Do something that is killed right after it wrote the nth line of a journal.

    :returns: False when it came to its end before that.
    """
    write, count = Journal._write, 0

    def crash(journal: Journal, **entry: object) -> None:
        nonlocal count
        write(journal, **entry)
        count += 1
        if count == nth:
            raise Crash

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "_write", crash)
        try:
            act()
        except Crash:
            return True
    return False


@dataclass
class Machine:
    """One machine: a project, a keystore, a home; and the sandbox that it talks to.

    :param keystore: another one than the scenario's.
    :param hardware: holds the keys that are made; None: the keystore does.
    :param profile: what its state file, app and keystore entries are called.
    """

    lab: Lab
    clock: VirtualClock
    keystore: MemoryKeystore = _ITS_OWN
    hardware: KeyProvider | None = None
    events: list[Event] = field(default_factory=list)
    watch: Callable[[Event], None] | None = None
    ctx: Context | None = None
    profile: Profile = PROFILE

    def __post_init__(self) -> None:
        if self.keystore is _ITS_OWN:
            self.keystore = self.lab.keystore()
        self.lab.move_in()
        self.secret = Secret(self.state.get(self.profile.secret_member) or "none")
        self.tenant = self.lab.tenant
        self.chosen = self.state.get(self.profile.client_id_member, "")
        self.session = Session(self.cloud, self.clock)

    @property
    def cloud(self) -> Cloud:
        return load_cloud(str(self.lab.cloud_file))

    @property
    def state_file(self) -> Any:
        return self.lab.project / self.profile.state_file

    @property
    def state(self) -> dict[str, str]:
        members: dict[str, str] = json.loads(self.state_file.read_text("utf-8-sig")) if self.state_file.exists() else {}
        return members

    @property
    def app_id(self) -> str:
        """The app of this machine; one that was made here is known by the state file."""
        return self.chosen or self.state.get(self.profile.client_id_member, "")

    @property
    def service(self) -> str:
        return self.cloud.keystore_service(self.profile.keystore_service)

    def build(self, answer: Callable[[Question], bool] | None = None, **options: Any) -> Context:
        """A world like that of a new process."""
        given: dict[str, Any] = {"project": str(self.lab.project), "cloud": str(self.lab.cloud_file), "yes": True}
        who = options.pop("who", "")
        cancel = Cancel()
        ctx = assemble.pretend(
            self.lab, Settings(**(given | options)), cancel, self._seen, answer or (lambda question: True)
        )
        ctx.keystore, ctx.keys = self.keystore, Keys(self.hardware)
        if who:
            ctx.sign_in = SandboxSignIn(self.tenant, ctx.cloud, who, fault=self.lab.machine.az)
        ctx.clock = self.clock
        ctx.session = Session(ctx.cloud, self.clock, cancel, self._seen)
        ctx.run_id = uuid4().hex[:12]
        ctx.chance = Random(1)
        self.clock.cancel = cancel
        self.ctx = ctx
        return ctx

    def migrate(self, answer: Callable[[Question], bool] | None = None, **options: Any) -> Result:
        """Run the migration like a new process."""
        return self.run(migrate.FLOW, answer, **options)

    def onboard(self, answer: Callable[[Question], bool] | None = None, **options: Any) -> Result:
        """Provision like a new process."""
        return self.run(onboard.FLOW, answer, **options)

    def run(
        self,
        flow: Flow[Context],
        answer: Callable[[Question], bool] | None = None,
        act: Callable[..., Result] = engine.run,
        **options: Any,
    ) -> Result:
        """Run a flow like a new process.

        :param act: `engine.undo` to take it back.
        :param options: settings; `who` is signed in.
        """
        self.events.clear()
        ctx = self.build(answer, **options)
        try:
            return act(flow, ctx, ctx.run_id, dry_run=ctx.settings.dry_run)
        finally:
            ctx.close()

    def verify(self, **options: Any) -> Result:
        """Run the verification."""
        self.events.clear()
        ctx = self.build(**options)
        try:
            return verify(ctx)
        finally:
            ctx.close()

    def findings(self) -> list[str]:
        """Ids of the findings of the last run."""
        return [event.id for event in self.events if isinstance(event, Finding)]

    def steps(self) -> dict[str, str]:
        """State of each step of the last run."""
        return {event.step: event.state for event in self.events if isinstance(event, StepFinished)}

    # the tenant, behind the product's back

    @property
    def app(self) -> dict[str, Any]:
        found = self.tenant.find("application", "appId", self.app_id)
        assert found is not None
        return found

    @property
    def principal(self) -> dict[str, Any]:
        found = self.tenant.find("servicePrincipal", "appId", self.app_id)
        assert found is not None
        return found

    @property
    def passwords(self) -> list[dict[str, Any]]:
        return [*self.app["passwordCredentials"], *self.principal["passwordCredentials"]]

    @property
    def keys(self) -> dict[str, bytes]:
        """Certificates on the app by keyId."""
        return {entry["keyId"]: base64.b64decode(entry["key"]) for entry in self.app["keyCredentials"]}

    @property
    def thumbprints(self) -> set[str]:
        """Of the certificates on the app."""
        return {hashlib.sha1(der, usedforsecurity=False).hexdigest().upper() for der in self.keys.values()}

    def change(self, kind: str, **values: Any) -> None:
        """Change the app or its principal as another administrator would."""
        state = (self.app if kind == "application" else self.principal) | values
        self.tenant.commit(kind, state["id"], state)

    def try_secret(self) -> SecretState:
        """Whether the old secret is accepted."""
        return try_secret(self.session, self.cloud, self.tenant.id, self.app_id, self.secret)

    def usable(self) -> list[str]:
        """The credentials that this machine could sign in with now."""
        found = []
        if self.profile.secret_member in self.state and self.try_secret().state == "live":
            found.append("secret")
        for account in self.keystore.accounts(self.service):
            key_pair = Keys(self.hardware).open(self.keystore.read(self.service, account) or Secret(""), account)
            try:
                mint(self.session, self.cloud, self.tenant.id, self.app_id, key_pair)
            except SetupError:
                continue
            found.append(account)
        return found

    def untouched(self, before: Snapshot) -> bool:
        """Whether app, principal, keystore and state file are as they were."""
        return Snapshot.of(self) == before

    def _seen(self, event: Event) -> None:
        self.events.append(event)
        if self.watch is not None:
            self.watch(event)


@dataclass(frozen=True)
class Snapshot:
    """Everything that a run may change."""

    app: str
    principal: str
    accounts: tuple[str, ...]
    state: bytes

    @classmethod
    def of(cls, machine: Machine) -> Snapshot:
        return cls(
            json.dumps(machine.app, sort_keys=True),
            json.dumps(machine.principal, sort_keys=True),
            tuple(machine.keystore.accounts(machine.service)),
            machine.state_file.read_bytes(),
        )
