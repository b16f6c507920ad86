"""A client secret for 15 minutes, and its end (M10): two yeses, all or nothing, known until it is gone."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from core import paths
from core.entra.tokens import try_secret
from core.events import ChangePlanned, Finding, Question, StepFinished, to_json
from core.flow.engine import Result
from core.flow.engine import run as run_flow
from core.flows.access_token import token
from core.flows.rollback import FLOW
from core.sandbox.directory import registrations
from core.sandbox.directory.store import Tenant
from core.sandbox.faults import Fault, Kind
from core.sandbox.http import Request, Response
from core.sandbox.lab import Lab
from core.secret import Secret
from core.steps.facts import Target
from core.steps.passwords.rollback_secret import RollbackJournal
from tests.machine import PROFILE, Crash, Machine, Snapshot, VirtualClock, killed

MEMBER = PROFILE.secret_member
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX modes")


def rollback(machine: Machine, answer: Callable[[Question], bool] | None = None, **options: Any) -> Result:
    """Run the rollback like a new process, with both yeses."""
    machine.events.clear()
    given = {"yes": True, "accept_live_secret": True}
    ctx = machine.build(answer, **(given | options))
    try:
        return run_flow(FLOW, ctx, ctx.run_id, dry_run=ctx.settings.dry_run)
    finally:
        ctx.close()


def get_token(machine: Machine) -> str:
    """What `token` prints, by a new process."""
    machine.events.clear()
    ctx = machine.build()
    try:
        return token(ctx).value.reveal()
    finally:
        ctx.close()


def stands(machine: Machine) -> bool:
    """Whether this machine remembers a rollback."""
    ctx = machine.build()
    ctx.facts.put(Target(machine.tenant.id, machine.app_id))
    ctx.close()
    return RollbackJournal.of(ctx).stands


def accepted(machine: Machine) -> bool:
    """Whether the service accepts what lies in the state file."""
    secret = Secret(machine.state[MEMBER], learn=False)
    return try_secret(machine.session, machine.cloud, machine.tenant.id, machine.app_id, secret).state == "live"


def finding(machine: Machine, id: str) -> Finding:
    """The finding of that id in the last run."""
    return next(event for event in machine.events if isinstance(event, Finding) and event.id == id)


@pytest.fixture
def migrated(machine: Machine) -> Machine:
    """A machine that was migrated."""
    assert machine.migrate().exit_code == 0
    return machine


@pytest.fixture
def plain(start_lab: Callable[[str], Lab], clock: VirtualClock) -> Machine:
    """An app without credentials: a rollback needs no more, and takes less time."""
    return Machine(start_lab("clean"), clock)


def test_M10_a_rollback_gives_the_old_code_a_secret_for_15_minutes(migrated: Machine) -> None:
    keys, accounts, before = migrated.keys, migrated.keystore.accounts(migrated.service), migrated.state
    now = migrated.clock.now()
    result = rollback(migrated)
    assert (result.outcome, result.exit_code, result.errors) == ("changed", 0, [])
    (password,) = migrated.passwords
    end = registrations.moment(password["endDateTime"])
    assert timedelta(minutes=14, seconds=58) < end - now < timedelta(minutes=15, seconds=10)
    assert end - registrations.moment(password["startDateTime"]) == timedelta(minutes=15)
    assert accepted(migrated)
    assert {name: value for name, value in migrated.state.items() if name != MEMBER} == before
    assert (migrated.keys, migrated.keystore.accounts(migrated.service)) == (keys, accounts), "the certificate stays"
    text = " ".join(result.summary)
    assert f"until {end:%Y-%m-%d %H:%M:%S} UTC" in text
    assert "entraclaw-setup migrate" in text
    assert "verify' fails" in text
    journal = next(paths.state_folder(PROFILE).glob("journal/*.rollback")).read_text()
    assert password["keyId"] in journal, "its keyId is journalled"


@posix
def test_M10_the_file_with_the_secret_is_private(plain: Machine) -> None:
    plain.state_file.chmod(0o644)
    assert rollback(plain).exit_code == 0
    assert plain.state_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in plain.lab.project.iterdir()] == [PROFILE.state_file]


def test_M10_the_plan_names_what_comes_and_what_stays(migrated: Machine) -> None:
    before = Snapshot.of(migrated)
    result = rollback(migrated, dry_run=True, yes=False, accept_live_secret=False)
    assert (result.outcome, result.exit_code) == ("planned", 0)
    rows = [(e.action, e.what) for e in migrated.events if isinstance(e, ChangePlanned)]
    assert ("add", "password credential") in rows
    assert ("change", MEMBER) in rows
    assert rows.count(("keep", "certificate")) == 2
    assert ("keep", "private key") in rows
    assert migrated.untouched(before)
    assert not stands(migrated)


@pytest.mark.parametrize("accept", [True, False])
@pytest.mark.parametrize("yes", [True, False])
def test_M10_two_yeses_are_needed(plain: Machine, yes: bool, accept: bool) -> None:
    before = Snapshot.of(plain)
    asked: list[str] = []

    def answer(question: Question) -> bool:
        asked.append(question.flag)
        return yes  # as the command line answers from --yes

    result = rollback(plain, answer, yes=yes, accept_live_secret=accept)
    if yes and accept:
        assert (result.exit_code, asked) == (0, ["--yes"])
        return
    assert result.exit_code == 4
    if yes:
        assert result.errors[0]["id"] == "rollback.unaccepted"
        assert "--yes --accept-live-secret" in result.errors[0]["remedy"]
    assert asked == ["--yes"], "the second yes is never answered by the first"
    assert plain.untouched(before)
    assert not stands(plain)


@pytest.mark.parametrize("refused", [None, 0, 1])
def test_M10_a_person_is_asked_twice_and_a_no_to_either_changes_nothing(plain: Machine, refused: int | None) -> None:
    before = Snapshot.of(plain)
    asked: list[Question] = []

    def answer(question: Question) -> bool:
        asked.append(question)
        return len(asked) - 1 != refused

    result = rollback(plain, answer, yes=False, accept_live_secret=False)
    assert [question.flag for question in asked] == ["--yes", "--accept-live-secret"][: 1 if refused == 0 else 2]
    if refused is None:
        assert result.exit_code == 0
        assert "plain text" in asked[1].text
        assert "15 minutes" in asked[1].text
    else:
        assert (result.exit_code, result.errors[0]["id"]) == (4, "flow.no")
        assert plain.untouched(before)


def test_M10_a_plan_that_changed_while_it_was_read_is_not_carried_out(plain: Machine) -> None:
    def slowly(question: Question) -> bool:
        plain.state_file.write_text(json.dumps(plain.state | {"OTHER": "1"}))
        return True

    result = rollback(plain, slowly, yes=False, accept_live_secret=False)
    assert (result.exit_code, result.errors[0]["id"], plain.passwords) == (4, "flow.outdated", [])


def test_M10_verify_fails_until_then_and_migrate_cleans_it_all_up(migrated: Machine) -> None:
    backups = sorted(paths.state_folder(PROFILE).glob("backup/*"))
    rollback(migrated)
    failed = migrated.verify()
    assert failed.exit_code == 8
    assert set(failed.errors[0]["checks"]) == {"state-file", "passwords"}
    assert "until" in finding(migrated, "rollback.standing").message
    result = migrated.migrate()
    assert (result.outcome, result.exit_code) == ("changed", 0)
    assert result.summary[0].endswith(f"{MEMBER} purged from state file.")
    assert (migrated.passwords, MEMBER in migrated.state, stands(migrated)) == ([], False, False)
    assert migrated.verify().exit_code == 0
    assert "rollback.standing" not in migrated.findings()
    now = sorted(paths.state_folder(PROFILE).glob("backup/*"))
    assert set(backups) < set(now), "the earlier backup is still there"


def test_M10_migrate_cleans_up_a_secret_that_expired_under_its_own_plan_and_yes(migrated: Machine) -> None:
    rollback(migrated)
    migrated.clock.waited += 16 * 60
    before = Snapshot.of(migrated)
    assert migrated.migrate(dry_run=True).outcome == "planned"
    assert migrated.migrate(lambda question: False, yes=False).exit_code == 4
    assert migrated.untouched(before)
    assert migrated.migrate().exit_code == 0
    assert (migrated.passwords, MEMBER in migrated.state, stands(migrated)) == ([], False, False)
    assert migrated.verify().exit_code == 0


def test_M10_migrate_in_another_project_cleans_the_file_that_has_the_secret(migrated: Machine, tmp_path: Path) -> None:
    rollback(migrated)
    other = tmp_path / "other"
    other.mkdir()
    members = {name: value for name, value in migrated.state.items() if name != MEMBER}
    (other / PROFILE.state_file).write_text(json.dumps(members))
    assert migrated.migrate(project=str(other)).exit_code == 0
    assert any(e.where == str(migrated.state_file) for e in migrated.events if isinstance(e, ChangePlanned))
    assert (migrated.passwords, MEMBER in migrated.state, stands(migrated)) == ([], False, False)


@pytest.mark.parametrize("command", ["verify", "token", "rollback"])
def test_M10_a_later_command_removes_what_expired(migrated: Machine, command: str) -> None:
    rollback(migrated)
    (old,) = migrated.passwords
    migrated.clock.waited += 15 * 60 + 5
    match command:
        case "verify":
            assert migrated.verify().exit_code == 0
        case "token":
            assert get_token(migrated).count(".") == 2
        case _:
            assert rollback(migrated).exit_code == 0
    assert old["keyId"] not in [password["keyId"] for password in migrated.passwords]
    assert "rollback.expired" in migrated.findings()
    if command != "rollback":
        assert (migrated.passwords, MEMBER in migrated.state, stands(migrated)) == ([], False, False)
        assert migrated.verify().exit_code == 0
        assert "rollback.expired" not in migrated.findings(), "said once"
    else:
        assert len(migrated.passwords) == 1
        assert accepted(migrated)


@pytest.mark.parametrize("command", ["verify", "token", "rollback"])
def test_M10_what_has_not_expired_is_left_alone_and_said(migrated: Machine, command: str) -> None:
    rollback(migrated)
    before = Snapshot.of(migrated)
    migrated.clock.waited += 14 * 60
    match command:
        case "verify":
            assert migrated.verify().exit_code == 8
        case "token":
            get_token(migrated)
        case _:
            result = rollback(migrated)
            assert (result.exit_code, result.errors[0]["id"]) == (4, "rollback.standing")
            assert "UTC" in result.errors[0]["remedy"]
    if command != "rollback":
        assert finding(migrated, "rollback.standing").severity == "warning"
    assert migrated.untouched(before)
    assert stands(migrated)


def test_M10_a_removal_that_fails_is_said_and_the_token_is_printed_all_the_same(migrated: Machine) -> None:
    rollback(migrated)
    migrated.clock.waited += 16 * 60
    migrated.tenant.faults.add(Fault("status", "removePassword", 0, 403))
    assert get_token(migrated)
    said = finding(migrated, "rollback.left")
    assert migrated.passwords[0]["keyId"] in said.message
    assert (MEMBER in migrated.state, stands(migrated)) == (False, True)
    migrated.tenant.faults.script.clear()
    assert migrated.verify().exit_code == 0
    assert not stands(migrated)


def test_M10_a_certificate_that_may_not_delete_leaves_it_to_the_sign_in(migrated: Machine) -> None:
    rollback(migrated)
    migrated.clock.waited += 16 * 60
    for grant in list(migrated.tenant.all_seen("appRoleAssignment", 0)):
        migrated.tenant.commit("appRoleAssignment", grant["id"], None)
    assert get_token(migrated)
    assert "the certificate may not" in finding(migrated, "rollback.left").message
    assert len(migrated.passwords) == 1
    assert migrated.verify().exit_code == 0
    assert migrated.passwords == []


def test_M10_offline_nothing_is_taken_for_expired(migrated: Machine) -> None:
    rollback(migrated)
    before = Snapshot.of(migrated)
    migrated.clock.waited += 16 * 60
    migrated.tenant.faults.add(Fault("cut-before", "", 0))
    assert migrated.verify().exit_code == 8
    assert "rollback.left" in migrated.findings()
    migrated.tenant.faults.script.clear()
    assert migrated.untouched(before)


def test_M10_a_member_that_is_not_the_rollbacks_is_not_removed(migrated: Machine) -> None:
    rollback(migrated)
    theirs = "zzz" + migrated.state[MEMBER][3:]
    migrated.state_file.write_text(json.dumps(migrated.state | {MEMBER: theirs}))
    migrated.clock.waited += 16 * 60
    migrated.verify()
    assert migrated.state[MEMBER] == theirs
    assert not stands(migrated)


def test_M10_a_state_file_that_holds_a_secret_already_is_not_rolled_back(machine: Machine) -> None:
    before = Snapshot.of(machine)
    result = rollback(machine)
    assert (result.exit_code, result.errors[0]["id"]) == (4, "rollback.present")
    assert machine.untouched(before)


def test_M10_an_open_migration_is_finished_first(machine: Machine) -> None:
    def kill(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "register":
            raise Crash

    machine.watch = kill
    with pytest.raises(Crash):
        machine.migrate()
    machine.watch = None
    before = Snapshot.of(machine)
    result = rollback(machine)
    assert (result.exit_code, result.errors[0]["id"]) == (4, "rollback.migration-open")
    assert "entraclaw-setup migrate" in result.errors[0]["remedy"]
    assert machine.untouched(before)


@pytest.mark.parametrize("minutes", [-20, -4, 4, 20])
def test_M10_the_end_is_right_by_the_servers_clock(plain: Machine, minutes: int) -> None:
    """The machine's clock is wrong; the tenant's is not."""
    theirs = plain.tenant.clock = VirtualClock()
    plain.clock.waited = 60.0 * minutes
    assert rollback(plain).exit_code == 0
    (password,) = plain.passwords
    life = registrations.moment(password["endDateTime"]) - theirs.now()
    assert timedelta(minutes=14, seconds=40) < life <= timedelta(minutes=15)
    assert accepted(plain)
    theirs.waited += 14 * 60
    plain.clock.waited += 14 * 60
    plain.verify()
    assert stands(plain)
    theirs.waited += 2 * 60
    plain.clock.waited += 2 * 60
    plain.verify()
    assert (plain.passwords, MEMBER in plain.state, stands(plain)) == ([], False, False)


FAULTS: list[tuple[Kind, int]] = [
    ("cut-before", 0),
    ("cut-after", 0),
    ("status", 500),
    ("status", 403),
    ("status", 429),
    ("status", 404),
]


def holds(machine: Machine, result: Result, before: Snapshot) -> None:
    """What must hold after any run, however it ended."""
    assert bool(result.summary) == (result.exit_code == 0), "a sentence of success after a failure (M7)"
    match result.exit_code:
        case 0:
            assert result.outcome == "changed"
            assert len(machine.passwords) == 1
            assert accepted(machine)
        case 6:
            assert result.outcome == "partial"
            assert result.errors[-1]["remedy"]
        case _:
            assert result.outcome == "failed"
            assert machine.untouched(before), f"exit {result.exit_code} claims that everything was undone"
            assert not stands(machine)


def converges(machine: Machine) -> None:
    """The next, clean run gives one secret that works; a migration ends it."""
    machine.tenant.faults.script.clear()
    machine.watch = None
    if stands(machine):  # complete, although its run did not live to say so
        machine.clock.waited += 16 * 60
    result = rollback(machine)
    assert result.exit_code == 0, result.errors
    assert len(machine.passwords) == 1
    assert accepted(machine)
    assert machine.migrate().exit_code == 0
    assert (machine.passwords, MEMBER in machine.state, stands(machine)) == ([], False, False)
    assert machine.verify().exit_code == 0


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from-then-on"])
@pytest.mark.parametrize(("kind", "status"), FAULTS, ids=str)
def test_M5_M10_a_fault_at_every_request(
    start_lab: Callable[[str], Lab], clock: VirtualClock, kind: Kind, status: int, lasting: bool
) -> None:
    for nth in range(1, 30):
        machine = Machine(start_lab("clean"), clock)
        before = Snapshot.of(machine)
        fault = machine.tenant.faults.add(Fault(kind, "", nth, status or 500))
        if lasting:

            def strikes(line: str, fault: Fault = fault, nth: int = nth) -> bool:
                fault.seen += 1
                if fault.seen < nth:
                    return False
                fault.reached.set()
                return True

            fault.strikes = strikes  # type: ignore[method-assign]
        result = rollback(machine)
        reached = fault.reached.is_set()
        machine.tenant.faults.script.clear()
        holds(machine, result, before)
        if not reached:
            assert nth > 3, "a rollback makes more requests than that"
            return
        if result.exit_code:
            converges(machine)
        machine.session.close()
        machine.lab.close()
    pytest.fail("a rollback made more than 30 requests")


@pytest.mark.parametrize("after", ["rollback", "migrate"])
def test_M8_M10_a_crash_after_any_line_of_the_journal_converges_on_the_next_run(
    start_lab: Callable[[str], Lab], clock: VirtualClock, after: str
) -> None:
    for nth in range(1, 30):
        machine = Machine(start_lab("clean"), clock)
        crashed = killed(nth, partial(rollback, machine))
        if not crashed:
            assert nth > 5
            return
        if after == "rollback":
            converges(machine)
        else:
            assert machine.migrate().exit_code == 0
            assert (machine.passwords, MEMBER in machine.state, stands(machine)) == ([], False, False)
            assert machine.verify().exit_code == 0
        machine.session.close()
        machine.lab.close()
    pytest.fail("a rollback writes more than 30 lines")


def test_M8_M10_a_run_killed_while_it_writes_the_file_leaves_no_copy_for_long(
    plain: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace
    with monkeypatch.context() as patch:

        def crash(new: Path, target: Path) -> None:
            if Path(target) != plain.state_file:
                replace(new, target)  # the rehearsal's
                return
            patch.setattr("core.machine.state_file.Path.unlink", lambda *_, **__: None)
            raise Crash

        patch.setattr("core.machine.state_file.Path.replace", crash)
        with pytest.raises(Crash):
            rollback(plain)
    assert len(list(plain.lab.project.iterdir())) == 2
    converges(plain)
    assert [path.name for path in plain.lab.project.iterdir()] == [PROFILE.state_file]


@pytest.mark.parametrize("lag", [0.0, 20.0])
def test_M10_a_secret_whose_answer_was_lost_is_removed_and_another_one_comes(plain: Machine, lag: float) -> None:
    plain.tenant.lag = {"application": lag}
    plain.tenant.faults.add(Fault("cut-after", "addPassword", 1))
    assert rollback(plain).exit_code == 0
    plain.tenant.lag = {}
    (password,) = plain.passwords
    assert password["displayName"].endswith("-2")
    assert accepted(plain)


def test_M10_answers_that_are_always_lost_leave_nothing(plain: Machine) -> None:
    before = Snapshot.of(plain)
    plain.tenant.faults.add(Fault("cut-after", "addPassword", 0))
    result = rollback(plain)
    assert (result.outcome, result.exit_code) == ("failed", 7)
    assert len([line for line in plain.tenant.faults.log if "addPassword" in line]) == 3, "bounded"
    assert plain.untouched(before)
    assert not stands(plain)


def test_P7_M10_a_secret_that_is_not_accepted_at_once_is_waited_for(plain: Machine, clock: VirtualClock) -> None:
    plain.tenant.lag = {"application": 30.0}
    assert rollback(plain).exit_code == 0
    assert clock.waited > 0


@pytest.mark.parametrize("lag", [0.0, 40.0])
def test_M5_M10_a_secret_that_is_never_accepted_is_undone(plain: Machine, lag: float) -> None:
    before = Snapshot.of(plain)
    plain.tenant.lag = {"application": lag}
    plain.tenant.faults.add(Fault("status", r"^POST /[^/]+/oauth2/v2.0/token", nth=0, status=503))
    result = rollback(plain)
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("failed", 7, "rollback.not-accepted")
    assert plain.steps()["add-password"] == "undone"
    assert plain.untouched(before)


@pytest.mark.parametrize("step", ["earlier", "add-password", "write-secret"])
def test_U2_M10_an_interrupted_rollback_is_undone(plain: Machine, step: str) -> None:
    before = Snapshot.of(plain)

    def stop(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == step:
            assert plain.ctx is not None
            plain.ctx.cancel.ask(2)

    plain.watch = stop
    result = rollback(plain)
    assert (result.outcome, result.exit_code) == ("failed", 130)
    assert plain.untouched(before)
    assert not stands(plain)


def test_M5_M10_an_undo_that_fails_says_what_is_left(plain: Machine) -> None:
    plain.tenant.faults.add(Fault("status", r"^POST /[^/]+/oauth2/v2.0/token", nth=0, status=503))
    plain.tenant.faults.add(Fault("status", "removePassword", nth=0, status=403))
    result = rollback(plain)
    assert (result.outcome, result.exit_code) == ("partial", 6)
    (password,) = plain.passwords
    by_hand = f"az ad app credential delete --id {plain.app_id} --key-id {password['keyId']}"
    assert by_hand in result.errors[-1]["remedy"]
    assert MEMBER not in plain.state, "the file is cleaned all the same"
    converges(plain)


def test_M10_a_file_that_cannot_be_written_is_known_before_the_service_is_asked(
    plain: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Snapshot.of(plain)

    def read_only(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr("core.files.tempfile.mkstemp", read_only)
        result = rollback(plain)
    assert result.errors[0]["id"] == "statefile.io"
    assert not [line for line in plain.tenant.faults.log if "addPassword" in line]
    assert plain.untouched(before)


def wrapped(machine: Machine, change: Callable[[Request, Response], Response | None]) -> None:
    """Change answers on their way."""
    inner = machine.lab.server.handle

    def handle(tenant: Tenant, request: Request) -> Response:
        response = inner(tenant, request)
        return change(request, response) or response

    machine.lab.server.handle = handle


def test_M10_M13_a_policy_that_forbids_passwords_is_named_when_the_service_refuses(plain: Machine) -> None:
    before = Snapshot.of(plain)
    inner = plain.lab.server.handle
    body = {"error": {"code": "CredentialTypeNotAllowedAsPerAppPolicy", "message": "Not allowed."}}

    def handle(tenant: Tenant, request: Request) -> Response:
        forbidden = request.path.endswith("/addPassword")
        return Response(400, {}, json.dumps(body).encode()) if forbidden else inner(tenant, request)

    plain.lab.server.handle = handle
    result = rollback(plain)
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("failed", 5, "rollback.forbidden")
    assert "Policy.ReadWrite.ApplicationConfiguration" in result.errors[0]["remedy"]
    assert plain.untouched(before)
    assert not stands(plain)


def test_M10_M13_a_policy_that_is_seen_blocks_before_the_plan(plain: Machine) -> None:
    policy = {
        "displayName": "no secrets",
        "isEnabled": True,
        "restrictions": {"passwordCredentials": [{"restrictionType": "passwordAddition", "state": "enabled"}]},
    }

    def seen(request: Request, response: Response) -> Response | None:
        if not request.path.endswith("/$batch"):
            return None
        body, asked = response.json(), request.json()["requests"]
        ids = {item["id"] for item in asked if "appManagementPolicies" in item["url"]}
        for reply in body["responses"]:
            if reply["id"] in ids:
                reply |= {"status": 200, "body": {"value": [policy]}}
        return Response(response.status, response.headers, json.dumps(body).encode())

    wrapped(plain, seen)
    result = rollback(plain)
    assert (result.exit_code, result.errors[0]["id"]) == (5, "rollback.forbidden")
    assert "no secrets" in result.errors[0]["message"]
    assert not [line for line in plain.tenant.faults.log if "addPassword" in line]


@pytest.mark.parametrize("wrong", [{"secretText": None}, {"endDateTime": "2099-01-01T00:00:00Z"}, {"endDateTime": "?"}])
def test_M10_a_credential_that_is_not_what_was_asked_for_is_removed(plain: Machine, wrong: dict[str, Any]) -> None:
    before = Snapshot.of(plain)

    def other(request: Request, response: Response) -> Response | None:
        if not request.path.endswith("/addPassword"):
            return None
        return Response(response.status, response.headers, json.dumps(response.json() | wrong).encode())

    wrapped(plain, other)
    result = rollback(plain)
    assert (result.exit_code, result.errors[0]["id"]) == (7, "rollback.unusable")
    assert plain.untouched(before)


@pytest.mark.parametrize("known", ["in the directory", "in the state file"])
def test_M10_M18_a_blueprint_is_refused(plain: Machine, known: str) -> None:
    if known == "in the directory":
        plain.change("application", **{"@odata.type": "#microsoft.graph.agentIdentityBlueprint"})
    else:
        plain.state_file.write_text(json.dumps(plain.state | {PROFILE.blueprint_member: plain.app_id}))
    before = Snapshot.of(plain)
    result = rollback(plain)
    assert (result.exit_code, result.errors[0]["id"]) == (2, "app.blueprint")
    assert plain.untouched(before)


def test_M10_M18_permissions_and_other_members_are_never_changed(migrated: Machine) -> None:
    declared = migrated.app["requiredResourceAccess"]
    grants = list(migrated.tenant.all_seen("appRoleAssignment", 0))
    rollback(migrated)
    assert migrated.app["requiredResourceAccess"] == declared
    assert list(migrated.tenant.all_seen("appRoleAssignment", 0)) == grants


def test_M10_the_right_to_add_a_secret_is_checked_before_the_plan(plain: Machine) -> None:
    user = plain.tenant.latest("user", plain.tenant.signed_in_user)
    assert user is not None
    plain.tenant.commit("user", user["id"], user | {"_roles": []})
    plain.change("application", _owners=[])
    before = Snapshot.of(plain)
    result = rollback(plain)
    assert (result.exit_code, result.errors[0]["id"]) == (5, "rollback.rights")
    assert plain.untouched(before)


def test_M10_D4_the_secret_reaches_the_state_file_and_nothing_else(migrated: Machine, home: Path) -> None:
    canaries: list[str] = []
    make = migrated.tenant.new_secret

    def learn() -> Secret:
        secret = make()
        canaries.append(secret.reveal())
        return secret

    migrated.tenant.new_secret = learn  # type: ignore[method-assign]
    result = rollback(migrated)
    seen = [to_json(event, "") for event in migrated.events]
    (canary,) = canaries
    assert migrated.state[MEMBER] == canary
    migrated.verify()
    get_token(migrated)
    migrated.clock.waited += 16 * 60
    migrated.verify()
    seen += [to_json(event, "") for event in migrated.events]
    seen += [json.dumps(result.errors), *result.summary, str(result.plan)]
    files = [path for folder in (home, migrated.lab.folder) for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".rollback" for path in files)
    seen += [path.read_text(errors="replace") for path in files]
    for spelling in (canary, quote(canary, safe=""), base64.b64encode(canary.encode()).decode().rstrip("=")):
        assert not [text for text in seen if spelling in text]


def test_M10_now_is_utc(plain: Machine) -> None:
    """What the summary says is what a person's clock in UTC shows."""
    text = rollback(plain).summary[1]
    said = datetime.strptime(text.partition("until ")[2][:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert timedelta(minutes=14) < said - datetime.now(UTC) <= timedelta(minutes=15)


def test_M10_onboard_removes_an_expired_rollback_first(machine: Machine, clock: VirtualClock) -> None:
    assert machine.migrate().exit_code == 0
    assert rollback(machine).exit_code == 0
    standing = machine.onboard(app_id=machine.app_id)
    assert (standing.exit_code, standing.errors[0]["id"]) == (4, "app.has-secrets")
    clock.waited += 16 * 60
    repaired = machine.onboard(app_id=machine.app_id, who="alex")
    assert (repaired.exit_code, repaired.errors) == (0, [])
    assert machine.passwords == []
    assert PROFILE.secret_member not in machine.state
