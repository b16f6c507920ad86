"""What `verify` says of many states, check by check, as one readable file: verify_golden.txt (M9).

A line there is a state, `before` or `after` a run that changes something, plain or with --strict; then the exit code,
and all that was told in its order: `+` holds, `-` does not, `~` is a warning, `!` is a finding.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.entra import certificates, credentials
from core.errors import SetupError
from core.events import Event, Finding, FlowFinished, FlowStarted, StageStarted, StepFinished, Waiting
from core.sandbox.directory import registrations
from core.sandbox.faults import Fault
from core.sandbox.lab import Lab
from core.sandbox.scenarios.catalogue import SCENARIOS
from core.secret import Secret
from core.steps.context import Context
from tests.flows.test_interrupted import killed_at
from tests.flows.test_rollback import rollback
from tests.machine import PROFILE, Machine, VirtualClock
from tests.unit.test_weakfiles import store

GOLDEN = Path(__file__).with_name("verify_golden.txt").read_text(encoding="utf-8")
_SIGN: dict[str, str] = {"unchanged": "+", "failed": "-", "skipped": "~"}


def lines_of(name: str) -> list[str]:
    return [line for line in GOLDEN.splitlines() if line.startswith(f"{name} ")]


def lines(machine: Machine, label: str) -> list[str]:
    """What is said, plain and strict."""
    return [f"{label} {said(machine, strict=strict)}" for strict in (False, True)]


def said(machine: Machine, *, strict: bool) -> str:
    word = "strict" if strict else "plain"
    try:
        result = machine.verify(strict=strict)
    except SetupError as error:
        return f"{word}: {error.exit_code} {error.id}"
    events = [event for event in machine.events if not isinstance(event, Waiting)]  # what is slow is no matter here
    assert [type(event) for event in (*events[:2], events[-1])] == [FlowStarted, StageStarted, FlowFinished]
    failed = [event.step for event in events if isinstance(event, StepFinished) and event.state == "failed"]
    assert [(error["id"], error["checks"]) for error in result.errors] == [("verify.failed", failed)] * bool(failed)
    assert result.outcome == ("failed" if failed else "unchanged")
    return " ".join([f"{word}: {result.exit_code:d}", *map(_word, events[2:-1])])


def _word(event: Event) -> str:
    if isinstance(event, StepFinished):
        return f"{_SIGN[event.state]}{event.step}"
    return f"!{event.id}" if isinstance(event, Finding) else type(event).__name__


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_M9_each_scenario_before_and_after_a_run(
    start_lab: Callable[[str], Lab], clock: VirtualClock, scenario: str
) -> None:
    machine = Machine(start_lab(scenario), clock)
    found = lines(machine, f"{scenario} before")
    run = machine.migrate if machine.state_file.exists() else machine.onboard
    if run().outcome in ("changed", "partial"):
        found += lines(machine, f"{scenario} after")
    assert found == lines_of(scenario)


State = Callable[[Machine], object]


def _members(**changed: object) -> State:
    """Members of the state file are others; None: not there."""

    def change(machine: Machine) -> None:
        members = {**machine.state, **changed}
        machine.state_file.write_text(json.dumps({name: value for name, value in members.items() if value is not None}))

    return change


def _secret_back(machine: Machine) -> None:
    _members(**{PROFILE.secret_member: machine.secret.reveal()})(machine)


def _password(kind: str) -> State:
    def add(machine: Machine) -> None:
        state = machine.app if kind == "application" else machine.principal
        now = machine.clock.now()
        password, _ = registrations.new_password(
            machine.tenant, "by hand", machine.tenant.stamp(now), machine.tenant.stamp(now + timedelta(days=90))
        )
        machine.change(kind, passwordCredentials=[*state["passwordCredentials"], password])

    return add


def _later(days: float) -> State:
    """Days before the end of the certificate; negative: after it."""

    def wait(machine: Machine) -> None:
        ends = max(certificates.public(der).not_after for der in machine.keys.values())
        machine.clock.waited += (ends - timedelta(days=days) - machine.clock.now()).total_seconds()

    return wait


def _another_certificate(machine: Machine) -> None:
    made = certificates.make("mallory", machine.clock.now(), timedelta(days=20))
    entry = credentials.entry_of(made, machine.tenant.new_id(), "CN=mallory")
    machine.change("application", keyCredentials=[*machine.app["keyCredentials"], entry])


def _alone(machine: Machine) -> None:
    """No other machine's certificate."""
    own = machine.state[PROFILE.thumbprint_member]
    thumbprints = {key_id: certificates.thumbprint(der) for key_id, der in machine.keys.items()}
    entries = [entry for entry in machine.app["keyCredentials"] if thumbprints[entry["keyId"]] == own]
    assert len(entries) == 1
    machine.change("application", keyCredentials=entries)


def _strangers(machine: Machine) -> None:
    mallory = machine.tenant.new_id()
    machine.tenant.commit("user", mallory, {"id": mallory, "userPrincipalName": "mallory@elsewhere"})
    trusted = {"id": "f1", "name": "ci", "issuer": "https://ci.example", "subject": "repo:x", "audiences": ["a"]}
    machine.change("application", _owners=[*machine.app["_owners"], mallory], _federated=[trusted])


def _no_grants(machine: Machine) -> None:
    for grant in list(machine.tenant.all_seen("appRoleAssignment", 0)):
        machine.tenant.commit("appRoleAssignment", grant["id"], None)


def _no_key(machine: Machine) -> None:
    machine.keystore.delete(machine.service, machine.tenant.id)


def _signed_out(machine: Machine) -> None:
    """Of the Azure CLI."""
    build = machine.build

    def built(**options: Any) -> Context:
        ctx = build(**options)
        ctx.sign_in.logout()
        return ctx

    vars(machine)["build"] = built


def _app_gone(machine: Machine) -> None:
    machine.tenant.commit("application", machine.app["id"], None)


def _fault(*given: object, **more: object) -> State:
    return lambda machine: machine.tenant.faults.add(Fault(*given, **more))  # type: ignore[arg-type]


def _file(name: str, text: str) -> State:
    return lambda machine: (machine.lab.project / name).write_text(text)


def _git(*orders: str) -> State:
    def run(machine: Machine) -> None:
        for order in ("init -q", *orders):
            subprocess.run(["git", *order.split()], cwd=machine.lab.project, check=True)

    return run


def _weak(account: str) -> State:
    def leave(machine: Machine) -> None:
        path = store(Path.home() / ".local/share", machine.service, account or machine.tenant.id)
        if account == "unreadable":
            path.write_bytes(b"\xff\xfe")

    return leave


def _hidden_rollback(machine: Machine) -> None:
    rollback(machine)
    _members(**{PROFILE.secret_member: None})(machine)
    machine.change("application", passwordCredentials=[])


def _expired_rollback(machine: Machine) -> None:
    rollback(machine)
    machine.clock.waited += 16 * 60


def _expired_rollback_that_stays(machine: Machine) -> None:
    _expired_rollback(machine)
    _fault("status", "removePassword", 0, 403)(machine)


#: Of a migration.
STEPS = ("store-key", "register", "marker", "delete-passwords")
#: Of a machine that was migrated.
STATES: dict[str, tuple[State, ...]] = {
    "alone": (_alone,),
    "secret-back": (_secret_back,),
    "secret-null": (_members(**{PROFILE.secret_member: ""}),),
    "secret-elsewhere": (_members(NOTE="cAn8Q~canary-canary-canary-canary-canary"),),
    "secret-in-a-copy": (_file(f"{PROFILE.state_file}.old", '{"x": "cAn8Q~canary-canary-canary-canary-canary"}'),),
    "state-file-open": (lambda machine: machine.state_file.chmod(0o644),),
    "no-state-file": (lambda machine: machine.state_file.unlink(),),
    "no-json": (lambda machine: machine.state_file.write_text("{"),),
    "no-tenant": (_members(**{PROFILE.tenant_member: None}),),
    "no-app-id": (_members(**{PROFILE.client_id_member: None}),),
    "no-thumbprint": (_members(**{PROFILE.thumbprint_member: None}),),
    "another-thumbprint": (_members(**{PROFILE.thumbprint_member: "DEADBEEF" * 5}),),
    "another-app": (_members(**{PROFILE.client_id_member: "11111111-2222-4333-8444-555555555555"}),),
    "app-gone": (_app_gone,),
    "git-ignores": (_git(), _file(".gitignore", f"{PROFILE.state_file}\n")),
    "git-would-add": (_git(),),
    "git-tracks": (_git(f"add -f {PROFILE.state_file}"),),
    "key-gone": (_no_key,),
    "key-gone-signed-out": (_no_key, _signed_out),
    "key-broken": (lambda m: m.keystore.put(m.service, m.tenant.id, Secret("nonsense", learn=False)),),
    "signed-out": (_signed_out,),
    "weak-file": (_weak(""),),
    "weak-file-of-another-tenant": (_weak("11111111-2222-4333-8444-555555555555"),),
    "weak-file-unreadable": (_weak("unreadable"),),
    "password-on-the-app": (_password("application"),),
    "password-on-the-principal": (_password("servicePrincipal"),),
    "certificate-removed": (lambda m: m.change("application", keyCredentials=[]),),
    "certificate-due": (_alone, _later(25)),
    "certificate-about-to-end": (_alone, _later(2)),
    "certificate-ended": (_alone, _later(-2)),
    "strangers": (_strangers,),
    "another-certificate": (_alone, _another_certificate),
    "no-grants": (_no_grants,),
    "no-grants-signed-out": (_no_grants, _signed_out),
    "source": (_file("deploy.sh", f"jq -r .{PROFILE.secret_member} {PROFILE.state_file}\n"),),
    "rollback": (rollback,),
    "rollback-hidden": (_hidden_rollback,),
    "rollback-expired": (_expired_rollback,),
    "rollback-expired-that-stays": (_expired_rollback_that_stays,),
    "offline": (_fault("cut-before", "", 0),),
    "no-graph": (_fault("cut-before", "", 0, host="localhost"),),
    "graph-refuses": (_fault("status", "/applications", 0, 403),),
    "sign-in-refuses": (_fault("status", "/token", 0, 401),),
}


@pytest.mark.parametrize("state", STATES)
def test_M9_each_state_of_a_migrated_machine(machine: Machine, state: str) -> None:
    assert machine.migrate().exit_code == 0
    for change in STATES[state]:
        change(machine)
    assert lines(machine, state) == lines_of(state)


@pytest.mark.parametrize("step", STEPS)
def test_M9_a_run_that_was_killed(machine: Machine, step: str) -> None:
    killed_at(machine, step)
    assert lines(machine, f"killed-after-{step}") == lines_of(f"killed-after-{step}")


def test_M9_every_line_belongs_to_a_state() -> None:
    known = {*SCENARIOS, *STATES, *(f"killed-after-{step}" for step in STEPS)}
    assert {line.split()[0] for line in GOLDEN.splitlines() if line and not line.startswith("#")} == known
