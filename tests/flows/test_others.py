"""Nothing of others is lost or believed too easily: keys in a shared keystore, what others write meanwhile.

Each test is one example of a kind; what is decided on is compared with what is there at the deed.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from core import files, paths
from core.entra import certificates, credentials
from core.events import Finding, StepFinished
from core.flow import engine
from core.flow.engine import Result
from core.flows import migrate, rollback
from core.sandbox.directory import registrations
from core.sandbox.fake_machine.az import SandboxSignIn
from core.sandbox.faults import Fault
from core.sandbox.lab import Lab
from core.secret import Secret
from tests.flows.test_doctor import checks, diagnose
from tests.machine import PROFILE, Crash, Machine, Snapshot, VirtualClock
from tests.provisioning import make

THUMBPRINT = PROFILE.thumbprint_member
CLIENT_ID = PROFILE.client_id_member
MEMBER = PROFILE.secret_member


@pytest.fixture
def fresh(start_lab: Callable[[str], Lab], clock: VirtualClock) -> Machine:
    return Machine(start_lab("fresh"), clock)


def second_app(machine: Machine, name: str = PROFILE.app_display_name) -> Any:
    """Another app of the tenant with a secret of its own, and a project that names it; the app."""
    app = make(machine, name)
    entry, secret = registrations.new_password(machine.tenant, "its own")
    machine.tenant.commit("application", app["id"], {**app, "passwordCredentials": [entry]})
    members = {"CLOUD": "sandbox", PROFILE.tenant_member: machine.tenant.id, CLIENT_ID: app["appId"]}
    machine.state_file.write_text(json.dumps({**members, MEMBER: secret.reveal()}))
    machine.chosen = app["appId"]
    return app


def another_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str = "another home") -> None:
    """The same keystore, seen by sudo, from a container, or after the home was cleaned."""
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))


def entry(machine: Machine) -> Secret | None:
    return machine.keystore.read(machine.service, machine.tenant.id)


def stopped(result: Result, id: str, code: int) -> str:
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("failed", code, id), result.errors
    return f"{result.errors[0]['message']} {result.errors[0]['remedy']}"


@pytest.mark.parametrize("gone", [False, True], ids=["works", "left its app's list"])
@pytest.mark.parametrize("name", [PROFILE.app_display_name, "Another product"])
def test_P4_another_apps_only_key_is_not_destroyed_from_another_home(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, gone: bool
) -> None:
    assert machine.migrate().exit_code == 0
    first, key, thumbprint = machine.app_id, entry(machine), machine.state[THUMBPRINT]
    if gone:
        machine.change("application", keyCredentials=[])
    another_home(tmp_path, monkeypatch)
    second = second_app(machine, name)
    before = Snapshot.of(machine)
    message = stopped(machine.migrate(app_id=second["appId"]), "keystore.other-app", 3)
    assert first in message
    assert thumbprint in message
    assert "--profile" in message
    assert (entry(machine), machine.untouched(before)) == (key, True)
    assert "certificate.gone" not in machine.findings(), "nobody removed it"


@pytest.mark.parametrize("name", [PROFILE.app_display_name, "Another product"])
@pytest.mark.parametrize("age", [10, 400], ids=["valid", "expired"])
def test_P4_a_key_that_nothing_proves_to_be_this_apps_is_not_replaced(machine: Machine, name: str, age: int) -> None:
    """A certificate of the original does not say whose it is."""
    former = certificates.make(PROFILE.subject, machine.clock.now() - timedelta(days=age))
    machine.keystore.write(machine.service, machine.tenant.id, former.pem)
    owner = make(machine, name)
    held = {"keyId": machine.tenant.new_id(), "type": "AsymmetricX509Cert", "usage": "Verify"}
    held |= {"key": base64.b64encode(former.der).decode(), "displayName": "x"}
    held |= {"startDateTime": former.not_before.isoformat(), "endDateTime": former.not_after.isoformat()}
    machine.tenant.commit(
        "application", owner["id"], {**owner, "keyCredentials": registrations.keys_of(machine.tenant, [held])}
    )
    before = Snapshot.of(machine)
    known = name == PROFILE.app_display_name
    message = stopped(machine.migrate(), *(("keystore.other-app", 3) if known else ("keystore.unproven", 4)))
    assert former.thumbprint in message
    assert "--profile" in message
    assert (owner["appId"] in message) == known
    assert machine.untouched(before)
    assert entry(machine) == former.pem


def test_P4_a_private_key_of_an_unknown_kind_is_not_replaced(machine: Machine) -> None:
    kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    text = ec.generate_private_key(ec.SECP256R1()).private_bytes(*kind).decode()
    machine.keystore.write(machine.service, machine.tenant.id, Secret(text))
    before = Snapshot.of(machine)
    stopped(machine.migrate(), "keystore.unproven", 4)
    assert machine.untouched(before)
    assert entry(machine) == Secret(text)


@pytest.mark.parametrize("form", ["PFX", "JWK", "DER in lines", "client secret"])
def test_P4_whatever_may_be_somebodys_credential_is_not_replaced(machine: Machine, form: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    kind = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    text = {
        "PFX": base64.b64encode(serialize_key_and_certificates(b"x", key, None, None, kind[2])).decode(),
        "JWK": json.dumps({"kty": "EC", "d": base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")}),
        "DER in lines": base64.encodebytes(key.private_bytes(*kind)).decode(),
        "client secret": machine.tenant.new_secret().reveal(),
    }[form]
    machine.keystore.write(machine.service, machine.tenant.id, Secret(text))
    before = Snapshot.of(machine)
    stopped(machine.migrate(), "keystore.unproven", 4)
    assert machine.untouched(before)
    assert entry(machine) == Secret(text)


def test_P8_a_certificate_without_a_key_is_nobodys_credential(machine: Machine) -> None:
    text = certificates.make("x", machine.clock.now()).pem.reveal()
    machine.keystore.write(machine.service, machine.tenant.id, Secret(text.partition("-----BEGIN PRIVATE")[0]))
    assert machine.migrate().exit_code == 0


def test_P8_a_key_of_the_original_that_is_on_the_apps_list_is_replaced_when_it_has_expired(machine: Machine) -> None:
    former = certificates.make(PROFILE.subject, machine.clock.now() - timedelta(days=400))
    machine.keystore.write(machine.service, machine.tenant.id, former.pem)
    held = dict(machine.app["keyCredentials"][0]) | {
        "keyId": machine.tenant.new_id(),
        "key": base64.b64encode(former.der).decode(),
        "customKeyIdentifier": former.thumbprint,
    }
    machine.change("application", keyCredentials=[*machine.app["keyCredentials"], held])
    assert machine.migrate().exit_code == 0
    assert machine.verify().exit_code == 0


def test_P8_a_certificate_says_whose_it_is_so_its_own_app_registers_again_from_another_home(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.migrate().exit_code == 0
    assert certificates.app_of(certificates.parse(entry(machine) or Secret(""), "").der) == machine.app_id
    machine.change("application", keyCredentials=[])
    another_home(tmp_path, monkeypatch)
    assert machine.migrate().exit_code == 0
    assert "certificate.gone" in machine.findings()
    assert machine.verify().exit_code == 0


def test_P4_a_new_app_does_not_take_the_place_of_an_expired_key(fresh: Machine) -> None:
    former = certificates.make(PROFILE.subject, fresh.clock.now() - timedelta(days=400))
    fresh.keystore.write(fresh.service, fresh.tenant.id, former.pem)
    assert former.thumbprint in stopped(fresh.onboard(), "keystore.occupied", 4)
    assert entry(fresh) == former.pem


@pytest.mark.parametrize("where", ["prove", "deletion-rights"])
def test_P4_a_key_that_another_program_stores_meanwhile_is_not_overwritten(machine: Machine, where: str) -> None:
    theirs = certificates.make("theirs", machine.clock.now()).pem

    def meanwhile(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == where and event.state == "done":
            machine.keystore.write(machine.service, machine.tenant.id, theirs)

    machine.watch = meanwhile
    before = Snapshot.of(machine)
    result = machine.migrate()
    assert result.exit_code == 1, result.errors
    assert result.errors[0]["id"] == "keystore.changed"
    assert entry(machine) == theirs
    assert machine.keystore.accounts(machine.service) == [machine.tenant.id]
    assert machine.passwords
    assert json.loads(before.app) == machine.app


# --- what others write into the state file meanwhile


def at(machine: Machine, step: str, act: Callable[[], object]) -> None:
    """Do something once, right after a step of the next run has acted."""
    done: list[bool] = []

    def meanwhile(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == step and not done:
            done.append(True)
            act()

    machine.watch = meanwhile


@pytest.mark.parametrize(
    ("step", "code"), [("secret", 1), ("adopt", 1), ("backup", 1), ("delete-passwords", 6), ("prove-again", 6)]
)
@pytest.mark.parametrize("what", [(CLIENT_ID, MEMBER), (MEMBER,), (CLIENT_ID,)], ids=["both", "secret", "id"])
def test_M5_a_secret_and_an_id_that_another_program_writes_meanwhile_are_not_lost(
    machine: Machine, step: str, code: int, what: tuple[str, ...]
) -> None:
    before = Snapshot.of(machine)
    new = {MEMBER: machine.tenant.new_secret().reveal(), CLIENT_ID: "11111111-2222-4333-8444-555555555555"}
    theirs = machine.state | {name: new[name] for name in what}
    at(machine, step, lambda: machine.state_file.write_text(json.dumps(theirs)))
    result = machine.migrate()
    assert result.exit_code == code, result.errors
    assert result.errors[0]["id"] == "statefile.changed"
    assert machine.state == theirs, "their id and their secret stay"
    if code == 1:
        assert (json.loads(before.app), json.loads(before.principal)) == (machine.app, machine.principal)
        assert machine.keystore.accounts(machine.service) == []


def test_M5_a_foreign_member_that_another_program_writes_meanwhile_stops_nothing(machine: Machine) -> None:
    theirs = machine.state | {"LAST_RUN": "now"}
    at(machine, "prove-again", lambda: machine.state_file.write_text(json.dumps(theirs)))
    assert machine.migrate().exit_code == 0
    assert machine.state["LAST_RUN"] == "now"


def test_P1_an_id_that_another_program_writes_while_an_app_is_created_is_not_lost(fresh: Machine) -> None:
    theirs = {"CLOUD": "sandbox", PROFILE.tenant_member: fresh.tenant.id, CLIENT_ID: fresh.tenant.new_id()}
    at(fresh, "prove", lambda: fresh.state_file.write_text(json.dumps(theirs)))
    result = fresh.onboard()
    assert (result.exit_code, result.errors[0]["id"]) == (1, "statefile.changed")
    assert fresh.state == theirs


# --- foreign JSON to the character


def test_M1_numbers_and_everything_else_of_others_are_kept_to_the_character(machine: Machine) -> None:
    text = machine.state_file.read_text()
    foreign = '\n  "schema": 1.10,\n  "rate": 0.12345678901234567890123,\n  "limit": 1E5,\n  "n": 12345678901234567890,'
    foreign += '\n\t"twice": {"a": 1,   "a": 2}, "esc": "\\u0041\\/",\r\n  "list": [ ],'
    machine.state_file.write_bytes(b"\xef\xbb\xbf" + text.replace("{", "{" + foreign, 1).encode() + b"\n\n")
    secret = machine.secret.reveal()
    before = machine.state_file.read_bytes().decode()
    assert machine.migrate().exit_code == 0
    after = machine.state_file.read_bytes().decode()
    thumbprint = json.loads(after.lstrip("\ufeff"))[THUMBPRINT]
    assert (secret in before, secret in after) == (True, False)
    lines = [line for line in before.splitlines(keepends=True) if MEMBER not in line]
    left = [line for line in after.splitlines(keepends=True) if THUMBPRINT not in line]
    assert [line.rstrip("\n").rstrip(",") for line in left] == [line.rstrip("\n").rstrip(",") for line in lines]
    assert thumbprint in after
    (backup,) = paths.state_folder(PROFILE).glob("backup/*")
    assert foreign.encode() in backup.read_bytes()


# --- the same value elsewhere


@pytest.mark.parametrize("where", ["nested", "sentence", "name", "hidden"])
def test_M9_verify_sees_the_secret_wherever_it_stands_in_the_state_file(machine: Machine, where: str) -> None:
    secret = machine.secret.reveal()
    extra = {
        "nested": f'"x": {{"y": [1, "{secret}"]}}',
        "sentence": f'"x": "use {secret}, please"',
        "name": f'"{secret}": 1',
        "hidden": f'"x": {{"y": "{secret}", "y": 1}}',
    }[where]
    machine.state_file.write_text(machine.state_file.read_text().replace("{", "{" + extra + ",", 1))
    assert machine.migrate().exit_code == 0
    assert "statefile.copy-inside" in machine.findings()
    assert machine.verify().exit_code == 8
    assert machine.steps()["state-file"] == "failed"
    shown = json.dumps([str(event) for event in machine.events])
    assert secret not in shown


# --- optional members of Graph


OPTIONAL = ("customKeyIdentifier", "displayName", "endDateTime", "key", "startDateTime", "type", "usage")


@pytest.mark.parametrize("how", ["null", "missing", "nonsense"])
@pytest.mark.parametrize("which", ["key", "endDateTime", "all"])
def test_P8_no_optional_member_of_a_key_credential_is_needed(machine: Machine, which: str, how: str) -> None:
    names: tuple[str, ...] = OPTIONAL if which == "all" else (which,)
    odd = dict(machine.app["keyCredentials"][0]) | {"keyId": machine.tenant.new_id()}
    if how == "nonsense":
        names = tuple(name for name in names if name not in ("endDateTime", "startDateTime", "key"))
        odd |= dict.fromkeys(names, "?")
    else:
        odd = {name: value for name, value in odd.items() if name not in names}
        odd |= dict.fromkeys(names) if how == "null" else {}
    machine.change("application", keyCredentials=[*machine.app["keyCredentials"], odd])
    assert machine.migrate().exit_code == 0
    assert odd in machine.app["keyCredentials"], "it is kept as it is"
    assert machine.verify().exit_code == 0
    assert diagnose(machine, ["others", "certificate"]).exit_code in (0, 8)
    assert {check.state for check in checks(machine).values()} <= {"ok", "warning"}
    assert machine.onboard(dry_run=True).exit_code == 0
    assert machine.run(rollback.FLOW, accept_live_secret=True).exit_code == 0


def test_P8_no_optional_member_of_a_password_credential_is_needed(machine: Machine) -> None:
    optional = ("customKeyIdentifier", "displayName", "endDateTime", "hint", "secretText", "startDateTime")
    for change in (dict.fromkeys(optional), {}):
        odd = {name: value for name, value in machine.app["passwordCredentials"][0].items() if name not in optional}
        odd |= {"keyId": machine.tenant.new_id()} | change
        machine.change("application", passwordCredentials=[*machine.app["passwordCredentials"], odd])
    assert machine.migrate().exit_code == 0
    assert machine.passwords == []


# --- short lives


def ours(machine: Machine, before: dict[str, bytes]) -> list[str]:
    """Thumbprints of the certificates that came since then."""
    return [certificates.thumbprint(der) for key_id, der in machine.keys.items() if key_id not in before]


@pytest.mark.parametrize("days", [1, 20, 365])
@pytest.mark.parametrize("step", ["store-key", "register", "prove", "adopt", "marker"])
def test_P8_after_a_crash_there_is_one_certificate_of_this_machine_whatever_its_life(
    machine: Machine, days: int, step: str
) -> None:
    before = machine.keys
    at(machine, step, crash)
    with pytest.raises(Crash):
        machine.migrate(certificate_days=days)
    machine.watch = None
    assert machine.migrate(certificate_days=days).exit_code == 0
    one_of_ours(machine, before)
    assert machine.migrate(certificate_days=days).outcome == "unchanged"


@pytest.mark.parametrize("part", [0.6, 0.9, 1.1], ids=["due", "nearly over", "over"])
@pytest.mark.parametrize("days", [1, 9, 20, 365])
def test_P8_so_there_is_if_the_next_run_comes_late_in_that_life(machine: Machine, days: int, part: float) -> None:
    """The first run makes a certificate of then: the clients' own clocks cannot be set."""
    before, make = machine.keys, certificates.make

    def then(name: str, now: datetime, lifetime: timedelta, app_id: str) -> certificates.KeyPair:
        return make(name, now - timedelta(days=days) * part, lifetime, app_id)

    at(machine, "register", crash)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
        patch.setattr(certificates, "make", then)
        machine.migrate(certificate_days=days)
    (first,) = ours(machine, before)
    machine.watch = None
    result = machine.migrate(certificate_days=days)
    assert result.exit_code == 0, result.errors
    assert (one_of_ours(machine, before) == first) == (part < 1)


def crash() -> None:
    raise Crash


def one_of_ours(machine: Machine, before: dict[str, bytes]) -> str:
    """The thumbprint of the one certificate of this machine: it is in use, nothing is staged, others stay."""
    (only,) = ours(machine, before)
    assert certificates.parse(entry(machine) or Secret(""), "").thumbprint == only == machine.state[THUMBPRINT]
    assert machine.keystore.accounts(machine.service) == [machine.tenant.id]
    assert before.items() <= machine.keys.items()
    return only


def expired(machine: Machine) -> str:
    """This machine was migrated, and its certificate has expired since then; its thumbprint."""
    former = certificates.make(PROFILE.subject, machine.clock.now() - timedelta(days=30), timedelta(days=20))
    held = credentials.entry_of(former, machine.tenant.new_id(), "mine")
    state = machine.app
    keys = [*state["keyCredentials"], dict(state["keyCredentials"][0]) | held | {"customKeyIdentifier": None}]
    machine.change("application", keyCredentials=keys)
    machine.keystore.write(machine.service, machine.tenant.id, former.pem)
    return former.thumbprint


def test_P8_a_certificate_that_has_expired_leaves_the_app_with_its_key(machine: Machine) -> None:
    before = machine.keys
    old = expired(machine)
    plan = machine.migrate(dry_run=True, yes=False).plan
    assert plan is not None
    (row,) = [row for row in plan.changes if (row.action, row.what) == ("delete", "certificate")]
    assert old in row.before, "it is said before the yes"
    assert machine.migrate().exit_code == 0
    assert one_of_ours(machine, before) != old


def test_P8_a_certificate_of_this_machine_that_may_not_be_removed_is_named(machine: Machine) -> None:
    old = expired(machine)
    at(machine, "purge", lambda: machine.tenant.faults.add(Fault("status", "^PATCH", 0, 403)))
    assert machine.migrate().exit_code == 0
    (left,) = [event for event in machine.events if isinstance(event, Finding) and event.id == "certificate.left"]
    assert old in left.message
    assert "az ad app credential delete" in left.remedy


# --- readers


def test_M9_every_reader_is_named_before_the_yes_and_by_verify(machine: Machine) -> None:
    project = machine.state_file.parent
    files = {
        ".env": f"AZURE_CLIENT_SECRET={machine.secret.reveal()}\n",
        ".envrc": f"export TF_VAR_secret=$(jq -r .{MEMBER} {PROFILE.state_file})\n",
        "Jenkinsfile": f"SECRET = readJSON(file: '{PROFILE.state_file}').{MEMBER}\n",
        "app.py": "credential = DefaultAzureCredential()\n",
        "bin/deploy": f"#!/bin/sh\nsecret=$(jq -r .{MEMBER} {PROFILE.state_file})\n",
        "prod.tfvars": 'client_secret = "x"\n',
        "try.ipynb": f'{{"cells": [{{"source": ["s = state[\\"{MEMBER}\\"]"]}}]}}',
        "clean": f"unset {MEMBER}\n",
        "node_modules/a.js": MEMBER,
    }
    for name, text in files.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text)
    readers = set(list(files)[:7])

    assert machine.migrate(dry_run=True, yes=False).exit_code == 0
    told = [event.message for event in machine.events if isinstance(event, Finding)]
    named = {line.partition(":")[0] for line in told if "it will break" in line}
    assert named == readers
    assert any("node_modules" in line for line in told), "what was not searched is said"
    assert machine.migrate().exit_code == 0
    assert machine.verify(strict=True).exit_code == 8
    (seen,) = [e for e in machine.events if isinstance(e, StepFinished) and e.step == "sources"]
    assert all(name in seen.detail for name in (*readers, "node_modules"))


# --- what cannot be put back, and what a crash or a clean-up takes away


def blocked(machine: Machine) -> str:
    """An expired certificate of somebody else keeps every other one from being added; its thumbprint."""
    gone = certificates.make("gone", machine.clock.now() - timedelta(days=400))
    held = credentials.entry_of(gone, machine.tenant.new_id(), "old laptop")
    machine.tenant.switches.expired_entry_blocks = True
    keys = [*machine.app["keyCredentials"], *registrations.keys_of(machine.tenant, [held])]
    machine.change("application", keyCredentials=keys)
    return gone.thumbprint


def refuse_tokens(machine: Machine) -> None:
    machine.tenant.faults.add(Fault("status", r"^POST /[^/]+/oauth2/v2.0/token", nth=0, status=400))


def test_M5_an_entry_of_others_that_was_dropped_is_not_called_undone(machine: Machine) -> None:
    gone = blocked(machine)
    at(machine, "register", lambda: refuse_tokens(machine))
    result = machine.migrate(drop_expired=True)
    assert (result.outcome, result.exit_code) == ("partial", 6)
    assert result.errors[-1]["id"] == "flow.undo-short"
    assert gone in result.errors[-1]["message"]
    assert machine.keystore.accounts(machine.service) == [], "all the rest is undone"
    assert MEMBER in machine.state
    machine.tenant.faults.script.clear()
    assert machine.run(migrate.FLOW, act=engine.undo).outcome == "unchanged", "nothing is open"
    assert machine.migrate().exit_code == 0


@pytest.mark.parametrize("step", ["register", "prove"])
def test_M5_nor_by_an_undo_after_a_crash(machine: Machine, step: str) -> None:
    gone = blocked(machine)
    at(machine, step, crash)
    with pytest.raises(Crash):
        machine.migrate(drop_expired=True)
    machine.watch = None
    result = machine.run(migrate.FLOW, act=engine.undo)
    assert (result.exit_code, result.errors[0]["id"]) == (6, "flow.undo-short")
    assert gone in result.errors[0]["message"]
    assert machine.keystore.accounts(machine.service) == []
    assert machine.run(migrate.FLOW, act=engine.undo).outcome == "unchanged"


def test_M5_an_entry_that_is_there_after_all_is_no_loss(machine: Machine) -> None:
    blocked(machine)
    before = machine.app
    at(machine, "register", lambda: refuse_tokens(machine))
    machine.tenant.faults.add(Fault("status", "^PATCH", nth=2, status=403))
    result = machine.migrate(drop_expired=True)
    assert result.exit_code in (1, 5), result.errors
    assert machine.app == before


@pytest.mark.parametrize("killed_at", ["", "prove-again"], ids=["goes on", "is killed"])
@pytest.mark.parametrize("step", ["store-key", "register", "marker", "delete-passwords"])
def test_M8_a_state_folder_that_is_removed_meanwhile_leaves_no_broken_journal(
    machine: Machine, step: str, killed_at: str
) -> None:
    folder = paths.state_folder(PROFILE)
    before = machine.keys

    def watch(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == step and not struck:
            struck.append(True)
            shutil.rmtree(folder)
        if isinstance(event, StepFinished) and event.step == killed_at:
            crash()

    struck: list[bool] = []
    machine.watch = watch
    if killed_at:
        with pytest.raises(Crash):
            machine.migrate()
    else:
        assert machine.migrate().exit_code == 0
    for journal in folder.glob("journal/*.jsonl"):  # there is none if nothing was written since then
        assert b"\0" not in journal.read_bytes()
    machine.watch = None
    assert machine.migrate().exit_code == 0
    one_of_ours(machine, before)
    assert machine.verify().exit_code == 0


@pytest.mark.parametrize("when", ["the rehearsal", "the purge"])
def test_M8_a_killed_replacement_leaves_no_file_behind(machine: Machine, when: str) -> None:
    folder, nth = machine.state_file.parent, {"the rehearsal": 1, "the purge": 2}[when]
    mkstemp, made = tempfile.mkstemp, list[str]()

    def killed(*arguments: Any, **where: Any) -> tuple[int, str]:
        descriptor, name = mkstemp(*arguments, **where)
        made.extend([name] if Path(name).parent == folder else [])
        if len(made) == nth and made[-1] == name:
            left = Path(name).with_name(Path(name).name[:-8] + "leftover")  # whoever is killed cleans up nothing
            left.write_text("{")
            raise Crash
        return descriptor, name

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
        patch.setattr(tempfile, "mkstemp", killed)
        machine.migrate()
    assert [path for path in folder.iterdir() if ".new-" in path.name]
    theirs = folder / f"{PROFILE.state_file}.new-version"
    theirs.write_text("somebody's own")
    assert machine.migrate().exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == [PROFILE.state_file, theirs.name]


@pytest.mark.skipif(os.name != "posix", reason="folders are flushed on POSIX alone")
def test_M8_every_new_folder_on_the_way_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(files, "flush_folder", flushed.append)
    monkeypatch.setenv("HOME", str(tmp_path))
    paths.private(tmp_path / "a" / "b" / "c")
    assert flushed == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]


# --- who is signed in


def test_M5_somebody_else_who_signs_in_meanwhile_does_not_carry_out_the_plan(machine: Machine) -> None:
    before = Snapshot.of(machine)

    def meanwhile() -> None:
        assert machine.ctx is not None
        machine.ctx.sign_in = SandboxSignIn(machine.tenant, machine.cloud, "alex")
        machine.tenant.faults.add(Fault("status", "v1.0", nth=1, status=401))  # the token is asked for again

    at(machine, "store-key", meanwhile)
    message = stopped(machine.migrate(), "az.another-user", 4)
    assert "alex" in message
    assert machine.untouched(before)


def test_M5_an_app_that_is_deleted_meanwhile_ends_the_run_with_the_key_and_the_file_kept_as_they_were(
    machine: Machine,
) -> None:
    state = machine.state_file.read_bytes()

    def delete() -> None:
        machine.tenant.commit("servicePrincipal", machine.principal["id"], None)
        machine.tenant.commit("application", machine.app["id"], None)

    at(machine, "backup", delete)
    assert machine.migrate().exit_code != 0
    assert machine.state_file.read_bytes() == state


def test_M10_a_rollback_does_not_write_over_an_id_that_another_program_has_written(machine: Machine) -> None:
    assert machine.migrate().exit_code == 0
    theirs = machine.state | {CLIENT_ID: machine.tenant.new_id()}
    at(machine, "add-password", lambda: machine.state_file.write_text(json.dumps(theirs)))
    result = machine.run(rollback.FLOW, accept_live_secret=True)
    assert (result.exit_code, result.errors[0]["id"]) == (1, "statefile.changed")
    assert (machine.state, machine.passwords) == (theirs, [])
