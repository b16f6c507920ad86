"""What an attacker does, one test each: beside a run, in the state file, in a request, in a name, on the disk."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core import assemble, paths
from core.clock import Cancel
from core.config.profile import load
from core.config.settings import Settings, resolve
from core.entra import certificates
from core.entra.http import Session
from core.entra.tokens import Token
from core.errors import SetupError
from core.events import Event, Finding, Question, StepFinished
from core.flow import engine
from core.flow.engine import Result
from core.flows import migrate, onboard, rollback
from core.machine.azure_cli import checked_user_token
from core.sandbox.fake_machine.az import SandboxSignIn
from core.sandbox.faults import Fault
from core.sandbox.lab import Lab
from core.sandbox.token_service import endpoint
from core.sandbox.token_service.refusals import Refused
from core.secret import Secret
from core.steps.admin_request import Request, parse
from core.steps.context import Context
from tests.flows.test_handoff import Admin, ask, request_of, rights_of
from tests.machine import PROFILE, Crash, Machine, Snapshot, VirtualClock
from tests.provisioning import apps, granted, make
from wizard import commands
from wizard.cli import _parser

MEMBER = PROFILE.secret_member
HOSTILE = "\x1b[2J\x9b31m\u202egnp\u200b\u2066\x07"
Command = Callable[..., int]
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
Start = Callable[[str], Lab]


@pytest.fixture
def fresh(start_lab: Start, clock: VirtualClock) -> Machine:
    return Machine(start_lab("fresh"), clock)


@pytest.fixture
def drift(start_lab: Start, clock: VirtualClock) -> Machine:
    machine = Machine(start_lab("drift"), clock)
    rights_of(machine, "62e90394-69f5-4237-9190-012177145e10")
    return machine


@pytest.fixture
def dev(start_lab: Start, clock: VirtualClock) -> Machine:
    return Machine(start_lab("unprivileged"), clock)


@pytest.fixture
def admin(dev: Machine, tmp_path: Path) -> Admin:
    return Admin(dev, tmp_path / "alex")


@pytest.fixture
def command(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command line in this process, in front of the sandbox."""
    real = assemble.real

    def build(
        settings: Settings, cancel: Cancel, emit: Callable[[Event], None], ask: Callable[[Question], bool]
    ) -> Context:
        ctx = real(settings, cancel, emit, ask)
        ctx.sign_in, ctx.keystore = SandboxSignIn(machine.tenant, ctx.cloud), machine.keystore
        ctx.clock, ctx.session, ctx.lifetime = machine.clock, Session(ctx.cloud, machine.clock), ()
        return ctx

    monkeypatch.setattr(assemble, "real", build)
    monkeypatch.setattr("wizard.process.forbid_core_dumps", lambda: None)

    def run(*arguments: str) -> int:
        where = ["--project", str(machine.lab.project), "--cloud", str(machine.lab.cloud_file)]
        given: dict[str, Any] = vars(_parser().parse_args([*arguments, *where]))
        return commands.run(given.pop("command"), given)

    return run


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """A request that is accepted."""
    key_pair = certificates.make("entraclaw-provisioner", VirtualClock().now())
    tenant, app, key = (f"{n}1111111-2222-4333-8444-555555555555" for n in "abc")
    who = ("laptop", "dana", "2026-01-01")
    made = Request("sandbox", "https://127.0.0.1:1", tenant, app, "Provisioner", "", key_pair.der, key, *who)
    body: dict[str, Any] = json.loads(made.to_json())
    return body


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def stopped(result: Result, id: str, code: int) -> str:
    """The message of the first error, which must be this one."""
    assert (result.errors[0]["id"], result.exit_code) == (id, code), result.errors
    return f"{result.errors[0]['message']}\n{result.errors[0]['remedy']}"


def crash_after(machine: Machine, step: str, act: Callable[[], object]) -> None:
    """Kill a run at the end of a step."""

    def watch(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == step and event.state == "done":
            raise Crash

    machine.watch = watch
    with pytest.raises(Crash):
        act()
    machine.watch = None


def name_app(machine: Machine, app_id: str, **members: str) -> None:
    """What somebody wrote into the state file."""
    ids = {"CLOUD": "sandbox", PROFILE.tenant_member: machine.tenant.id, PROFILE.client_id_member: app_id}
    machine.state_file.write_text(json.dumps({name: value for name, value in (ids | members).items() if value}))


def said(machine: Machine, id: str) -> str:
    return "\n".join(e.message for e in machine.events if isinstance(e, Finding) and e.id == id)


# beside a run


def test_P4_another_run_of_the_tenant_cannot_put_its_key_over_the_one_of_a_run_under_way(
    machine: Machine, tmp_path: Path
) -> None:
    second = make(machine, _owners=[machine.tenant.signed_in_user])
    other = tmp_path / "other"
    other.mkdir()
    members = {"CLOUD": "sandbox", PROFILE.tenant_member: machine.tenant.id, PROFILE.client_id_member: second["appId"]}
    (other / PROFILE.state_file).write_text(json.dumps(members))
    seen: list[Result] = []

    def meanwhile(question: Question) -> bool:
        seen.append(machine.migrate(project=str(other)))
        return True

    assert machine.migrate(meanwhile, yes=False).exit_code == 0
    assert "keystore.lock" in stopped(seen[0], "lock.held", 3)
    assert machine.verify().exit_code == 0
    assert machine.usable() == [machine.tenant.id]


@pytest.mark.parametrize("flow", [migrate.FLOW, rollback.FLOW], ids=["migrate", "rollback"])
def test_M5_no_other_flow_begins_beside_an_open_onboarding_of_the_project(fresh: Machine, flow: Any) -> None:
    crash_after(fresh, "record", fresh.onboard)
    before = Snapshot.of(fresh)
    result = fresh.run(flow, accept_live_secret=True)
    message = stopped(result, "journal.other-flow" if flow is migrate.FLOW else "rollback.migration-open", 4)
    assert "onboard" in message
    assert fresh.untouched(before)
    assert fresh.onboard().exit_code == 0


def test_M5_an_undo_after_the_clean_up_keeps_the_key_while_its_certificate_stays(drift: Machine) -> None:
    crash_after(drift, "tidy", lambda: drift.onboard(app_id=drift.app_id))
    drift.tenant.faults.add(Fault("status", r"^PATCH /v1.0/applications/", nth=0, status=403))
    assert drift.run(onboard.FLOW, act=engine.undo, app_id=drift.app_id).exit_code == 6
    ders = list(drift.keys.values())
    assert len(ders) == 1
    entry = drift.keystore.read(drift.service, drift.keystore.accounts(drift.service)[0]) or Secret("")
    assert certificates.parse(entry, "").der == ders[0]
    drift.tenant.faults.script.clear()
    assert drift.run(onboard.FLOW, act=engine.undo, app_id=drift.app_id).exit_code == 0
    assert (drift.keys, drift.keystore.accounts(drift.service)) == ({}, [])


# in the state file and the settings


@pytest.mark.parametrize("stale", [False, True], ids=["of another app", "of an app that is gone"])
def test_P4_a_state_file_that_names_another_apps_thumbprint_does_not_get_its_key(machine: Machine, stale: bool) -> None:
    assert machine.migrate().exit_code == 0
    key = machine.keystore.read(machine.service, machine.tenant.id)
    other = "11111111-2222-4333-8444-555555555555" if stale else make(machine)["appId"]
    name_app(machine, other, **{PROFILE.thumbprint_member: machine.state[PROFILE.thumbprint_member]})
    assert machine.verify().exit_code == 8
    checks = machine.steps()
    assert (checks["token"], checks["certificate"]) == ("failed", "failed")
    stopped(machine.onboard(new=True) if stale else machine.migrate(), "keystore.other-app", 3)
    assert machine.keystore.read(machine.service, machine.tenant.id) == key
    assert machine.keystore.accounts(machine.service) == [machine.tenant.id]


def test_M10_verify_fails_while_a_rollback_stands_although_somebody_hid_its_traces(machine: Machine) -> None:
    assert machine.migrate().exit_code == 0
    assert machine.run(rollback.FLOW, accept_live_secret=True).exit_code == 0
    members = machine.state
    del members[MEMBER]
    machine.state_file.write_text(json.dumps(members))
    machine.change("application", passwordCredentials=[])  # as a replica that lags shows it
    assert machine.verify().exit_code == 8
    assert [name for name, state in machine.steps().items() if state == "failed"] == ["passwords"]


@pytest.mark.parametrize("name", ["resume", "undo"])
def test_M10_resume_and_undo_remove_the_expired_secret_of_a_rollback(
    command: Command, machine: Machine, name: str
) -> None:
    assert machine.migrate().exit_code == 0
    assert machine.run(rollback.FLOW, accept_live_secret=True).exit_code == 0
    machine.clock.waited += timedelta(minutes=16).total_seconds()
    assert command(name, "--yes") == 0
    assert (machine.passwords, MEMBER in machine.state) == ([], False)


@pytest.mark.parametrize("source", ["environment", "file"])
def test_P1_a_variable_or_an_answers_file_is_no_yes_to_an_app(
    drift: Machine, tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app_id, roles = drift.app_id, granted(drift)
    answers = tmp_path / "answers.toml"
    answers.write_text(f'app-id = "{app_id}"\n')
    resolved = (
        resolve({}, {"ENTRACLAW_SETUP_APP_ID": app_id})
        if source == "environment"
        else resolve({"answers": answers}, {})
    )
    assert (resolved.app_id, resolved.origin["app_id"]) == (app_id, source)
    given: dict[str, Any] = {"app_id": app_id, "origin": resolved.origin}
    stopped(drift.onboard(**given), "app.roles-unconfirmed", 4)
    name_app(drift, "")  # found by its name, then
    for flow in (migrate.FLOW, onboard.FLOW):
        assert app_id in stopped(drift.run(flow, **given), "app.adopt", 4)
    name_app(drift, app_id)
    drift.change("application", displayName="Payroll")
    assert "Payroll" in stopped(drift.migrate(**given), "app.adopt", 4)
    assert (drift.keys, granted(drift)) == ({}, roles)
    assert drift.onboard(app_id=app_id, origin={"app_id": "flag"}).exit_code == 0


# in a name


@pytest.mark.parametrize(
    ("name", "there"),
    [("O'Hara's \"App\" & Söhne 100% #+?/", True), ("x' or displayName eq 'Payroll", False), ("''", False)],
)
def test_P1_a_name_with_quotes_finds_exactly_that_app(machine: Machine, tmp_path: Path, name: str, there: bool) -> None:
    profile = tmp_path / "profile.toml"
    texts = {"name": "acme", "app_display_name": name, "state_file": PROFILE.state_file, "keystore_service": "acme"}
    profile.write_text("\n".join(f"{key} = {json.dumps(text)}" for key, text in texts.items()))
    app_id = machine.app_id
    name_app(machine, "")
    for decoy in ("Payroll", "O", "O'Hara", "'", "O''Hara''s \"App\" & Söhne 100% #+?/"):
        make(machine, decoy)
    if there:
        found = machine.tenant.find("application", "appId", app_id)
        assert found is not None
        machine.tenant.commit("application", found["id"], found | {"displayName": name})
    message = stopped(machine.migrate(profile=str(profile)), *(("app.adopt", 4) if there else ("app.not-found", 3)))
    assert (app_id in message) == there


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "..", "a\x00b", "a b"])
def test_C3_a_profile_name_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    profile = tmp_path / "profile.toml"
    texts = {"name": name, "app_display_name": "A", "state_file": "s.json", "keystore_service": "a"}
    profile.write_text("\n".join(f"{key} = {json.dumps(text)}" for key, text in texts.items()))
    with pytest.raises(SetupError) as caught:
        load(str(profile))
    assert (caught.value.id, caught.value.exit_code) == ("usage.profile-file", 2)


@pytest.mark.parametrize("tenant", ["../x", "..", "x", "common", {"a": 1}, 7], ids=str)
def test_U3_a_token_whose_tenant_is_no_id_is_refused(machine: Machine, tenant: object) -> None:
    claims = {"aud": machine.cloud.graph, "tid": tenant}
    with pytest.raises(SetupError) as caught:
        checked_user_token(Token(Secret("not.a.token", learn=False), claims), machine.cloud, "")
    assert (caught.value.id, caught.value.exit_code) == ("az.garbage", 3)


def _harmless(text: str) -> bool:
    return not set(text) & set(HOSTILE) - set("[2J31mgnp")


@pytest.mark.parametrize("name", ["token", "verify", "migrate"])
def test_P10_P11_what_the_service_says_cannot_drive_the_terminal(
    command: Command,
    machine: Machine,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    assert machine.migrate().exit_code == 0
    before = endpoint._error

    def hostile(tenant: Any, refusal: Refused) -> Any:
        refusal.text += HOSTILE
        return before(tenant, refusal)

    monkeypatch.setattr(endpoint, "_error", hostile)
    machine.change("application", keyCredentials=[], displayName=f"{HOSTILE} App")
    assert command(name) in (1, 4, 8)
    shown = capsys.readouterr()
    assert "?[2J" in shown.out + shown.err
    assert _harmless(shown.out + shown.err)
    if name == "token":
        assert shown.out == ""
        return
    assert command(name, "--json") in (4, 8)
    shown = capsys.readouterr()
    assert _harmless(shown.out + shown.err)
    assert shown.out.isascii()
    if name == "migrate":
        assert "?[2J" in json.loads(shown.out)["errors"][0]["message"], "a name is one line wherever it is shown"
    assert all(json.loads(line)["event"] for line in shown.err.splitlines())


# in a request


def test_M17_apply_shows_what_else_can_act_as_the_app_that_a_request_names(dev: Machine, admin: Admin) -> None:
    mallory = dev.tenant.new_id()
    dev.tenant.commit("user", mallory, {"id": mallory, "userPrincipalName": "mallory@elsewhere"})
    trusted = {"id": "f1", "name": "ci", "issuer": "https://ci.example", "subject": "repo:x", "audiences": ["a"]}
    dev.change("application", _owners=[*dev.app["_owners"], mallory], _federated=[trusted])
    path = ask(dev)
    assert admin.apply(path, dry_run=True).exit_code == 0
    (other,) = dev.keys
    assert other in said(dev, "app.foreign-key")
    assert "https://ci.example" in said(dev, "app.federated")
    assert "mallory@elsewhere" in said(dev, "app.owner")
    assert all(password["keyId"] in said(dev, "app.passwords") for password in dev.passwords)


def test_P1_apply_adds_no_certificate_to_an_app_that_squats_on_the_unique_name(fresh: Machine, tmp_path: Path) -> None:
    rights_of(fresh)
    fresh.onboard()
    path, admin = request_of(fresh), Admin(fresh, tmp_path / "alex")
    body = json.loads(path.read_text())
    path.write_text(json.dumps(body | {"roles": {}}))
    planted = make(fresh, uniqueName=body["unique_name"])
    assert planted["appId"] in stopped(admin.apply(path), "app.adopt", 4)
    assert apps(fresh)[0]["keyCredentials"] == []
    assert "request.app-exists" not in fresh.findings()
    assert admin.apply(path, app_id=planted["appId"]).exit_code == 0
    assert "request.app-exists" in fresh.findings()


@pytest.mark.parametrize("where", ["requested_by", "app_name", "note", "calls", "a name", "a role"])
@pytest.mark.parametrize("sign", ["\u202e", "\u200b", "\u00ad", "\u3164", "\ufe0f", "\U000e0041", "\x7f"], ids=ascii)
def test_P12_hidden_characters_in_a_request_are_refused(
    tmp_path: Path, template: dict[str, Any], sign: str, where: str
) -> None:
    text = f"a{sign}b"
    match where:
        case "a name":
            body = template | {text: 1}
        case "a role":
            body = template | {"roles": {text: "11111111-2222-4333-8444-555555555555"}}
        case "calls":
            body = template | {"calls": [["GET", {"x": text}]]}
        case _:
            body = template | {where: text}
    path = tmp_path / "request.json"
    for escaped in (True, False):
        path.write_text(json.dumps(body, ensure_ascii=escaped), encoding="utf-8")
        with pytest.raises(SetupError) as caught:
            parse(path)
        assert (caught.value.id, caught.value.exit_code) == ("request.ambiguous", 2)
        assert f"U+{ord(sign):04X}" in caught.value.summary
        assert sign not in caught.value.summary


@pytest.mark.parametrize("name", ["tenant", "roles", "remove_passwords", "note"])
def test_P12_a_member_that_stands_twice_in_a_request_is_refused(
    tmp_path: Path, template: dict[str, Any], name: str
) -> None:
    path, body = tmp_path / "request.json", template | {"note": "x"}
    path.write_text(json.dumps(body)[:-1] + f", {json.dumps(name)}: {json.dumps(body[name])}}}")
    with pytest.raises(SetupError) as caught:
        parse(path)
    assert (caught.value.id, caught.value.exit_code) == ("request.ambiguous", 2)
    assert f"{name} appears twice" in caught.value.summary
    path.write_text(json.dumps(template))
    assert parse(path).tenant == template["tenant"]
    path.write_text(json.dumps(template).replace('"roles": {', '"roles": {"A.B": "x", "A.B": "y"'))
    with pytest.raises(SetupError) as caught:
        parse(path)
    assert caught.value.id == "request.ambiguous"


def test_P12_a_file_of_somebody_else_in_the_place_of_the_request_is_kept(dev: Machine, admin: Admin) -> None:
    path = ask(dev)
    assert admin.apply(path).exit_code == 0
    path.write_text("somebody's own")
    assert dev.migrate(who="alex").exit_code == 0
    assert path.read_text() == "somebody's own"
    assert str(path) in said(dev, "request.left")


def test_P12_a_folder_in_the_place_of_the_request_is_named(dev: Machine, admin: Admin) -> None:
    path = ask(dev)
    assert admin.apply(path).exit_code == 0
    path.unlink()
    path.mkdir()
    assert "no regular file" in stopped(admin.apply(path), "request.broken", 2)
    result = dev.run(migrate.FLOW, act=engine.undo)
    assert result.exit_code == 6
    assert "bug" not in json.dumps(result.errors)
    finished = dev.migrate(who="alex")
    assert (finished.exit_code, finished.errors) == (0, [])
    assert str(path) in said(dev, "request.left")
    assert dev.verify().exit_code == 0


def test_U2_an_undo_names_a_folder_in_the_place_of_the_request(dev: Machine) -> None:
    path = ask(dev)
    path.unlink()
    path.mkdir()
    result = dev.run(migrate.FLOW, act=engine.undo)
    assert "it is a folder by now" in stopped(result, "flow.undo-failed", 6)
    path.rmdir()
    assert dev.run(migrate.FLOW, act=engine.undo).exit_code == 0


# on the disk


@posix
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["explain", "token.refused", "--json"], 1),
        (["explain", "token.refused"], 1),
        (["explain", "no.such", "--json"], 2),
        (["demo", "--yes", "--dry-run", "--json"], 1),
        (["demo", "--yes", "--json"], 6),
        (["demo", "--yes"], 6),
        (["sandbox"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_U4_a_full_disk_behind_standard_output_is_no_success(
    tmp_path: Path, arguments: list[str], code: int, unbuffered: str
) -> None:
    environment = {"HOME": str(tmp_path), "PATH": os.defpath, "PYTHONUNBUFFERED": unbuffered}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(
            [sys.executable, "-m", "wizard", *arguments],
            env=environment, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert finished.returncode == code, finished.stderr
    assert finished.stderr.count("output.lost") == 1
    assert "bug" not in finished.stderr
    if "--json" in arguments:
        assert all(json.loads(line)["event"] for line in finished.stderr.splitlines())


@posix
def test_P10_a_token_that_cannot_be_written_is_1_and_says_why(
    command: Command, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.migrate().exit_code == 0
    errors = io.StringIO()
    with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        patch.setattr(sys, "stderr", errors)
        assert command("token") == 1
    assert "[output.lost]" in errors.getvalue()
    assert "bug" not in errors.getvalue()


def _folders(home: Path) -> dict[str, int]:
    top = paths.state_folder(PROFILE).parent
    return {str(p.relative_to(home)): p.stat().st_mode & 0o777 for p in (top, *top.rglob("*")) if p.is_dir()}


@posix
def test_M8_the_folders_of_journals_locks_and_backups_are_private_whatever_the_umask(
    machine: Machine, home: Path, open_umask: None
) -> None:
    assert machine.migrate().exit_code == 0
    modes = _folders(home)
    assert {Path(name).name for name in modes} >= {"entraclaw", "journal", "locks", "backup"}
    assert set(modes.values()) == {0o700}, modes


@posix
@pytest.mark.parametrize("name", ["", "entraclaw", "entraclaw/locks", "entraclaw/journal"])
def test_M8_a_folder_that_everybody_may_write_to_is_closed(machine: Machine, home: Path, name: str) -> None:
    folder = paths.state_folder(PROFILE).parent / name
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert machine.migrate().exit_code == 0
    assert not [name for name, mode in _folders(home).items() if mode & 0o022]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("name", ["", "entraclaw", "entraclaw/locks", "entraclaw/journal", "a journal"])
def test_M8_a_folder_or_journal_of_somebody_else_is_refused(machine: Machine, home: Path, name: str) -> None:
    path = paths.state_folder(PROFILE).parent / name
    if name == "a journal":
        path = paths.journal(PROFILE, machine.cloud.key, machine.tenant.id, machine.app_id)
        path.parent.mkdir(parents=True)
        path.write_text("")
    else:
        path.mkdir(parents=True)
    os.chown(path, 54321, 54321)
    before = Snapshot.of(machine)
    assert str(path) in stopped(machine.migrate(), "folder.unsafe", 3)
    assert machine.untouched(before)
