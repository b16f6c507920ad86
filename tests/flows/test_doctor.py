"""The diagnosis: it changes nothing, sees what it can, names cause and remedy, mends what is safe (D1, K3, M17)."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from filelock import FileLock

from core import paths
from core.checks import computer, doctor, project
from core.entra import certificates
from core.errors import Interrupted, SetupError
from core.events import Checked, FlowFinished, StageStarted, to_json
from core.flow.engine import Result
from core.flow.journal import Journal
from core.machine import prerequisites
from core.machine.keys.hardware import Hardware
from core.machine.prerequisites import Tool
from core.sandbox.faults import Fault
from core.sandbox.lab import Lab
from core.secret import Secret
from core.steps.context import Context
from core.steps.passwords import rollback_secret
from tests.flows.test_interrupted import killed_at
from tests.flows.test_rollback import rollback
from tests.machine import PROFILE, Machine, Snapshot, VirtualClock, killed
from tests.unit.test_weakfiles import store

Change = Callable[[Context], None]
#: By the reference.
STATES = {
    row[1]: set(row[2].split(", "))
    for row in re.finditer(
        r"^\| `([\w-]+)` \|(?:[^|]+\|){2} ([a-z, ]+?)(?: \*\*F\*\*)? \|",
        (Path(__file__).parents[2] / "docs" / "reference" / "doctor.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
}
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
CANARY = "cAn8Q~canary-canary-canary-canary-canary"


def nothing(ctx: Context) -> None:
    """Leave the world as it is."""


def diagnose(
    machine: Machine, only: Sequence[str] = (), change: Change = nothing, *, fix: bool = False, **options: Any
) -> Result:
    """Run the diagnosis like a new process.

    :param change: what is different in the world.
    """
    machine.events.clear()
    ctx = machine.build(**options)
    change(ctx)
    try:
        return doctor.diagnose(ctx, only, fix=fix)
    finally:
        ctx.close()
        for seen in checks(machine).values():  # the reference says so of all that a check looks at itself
            assert seen.state in STATES[seen.check] | {"failure", "unseen"}, f"docs/reference/doctor.md: {seen.check}"


def checks(machine: Machine) -> dict[str, Checked]:
    """What was told last of each check."""
    return {event.check: event for event in machine.events if isinstance(event, Checked)}


def states(machine: Machine) -> dict[str, str]:
    """State of each check."""
    return {name: seen.state for name, seen in checks(machine).items()}


@pytest.fixture
def migrated(machine: Machine) -> Machine:
    """A machine that signs in with its certificate."""
    assert machine.migrate().exit_code == 0
    return machine


# what it says


def test_D1_a_healthy_machine_has_no_failure(migrated: Machine) -> None:
    result = diagnose(migrated)
    assert (result.exit_code, result.outcome, result.errors) == (0, "unchanged", [])
    assert set(states(migrated).values()) <= {"ok", "warning"}
    assert checks(migrated)["key"].evidence.startswith(migrated.state[PROFILE.thumbprint_member])
    assert result.summary[0].startswith(f"{len(doctor.names())} checks: ")


def test_D1_a_machine_with_a_live_secret_fails_and_is_told_to_migrate(machine: Machine) -> None:
    result = diagnose(machine)
    assert (result.exit_code, result.outcome) == (8, "failed")
    failed = {name: seen for name, seen in checks(machine).items() if seen.state == "failure"}
    assert set(failed) == {"state-file", "passwords"}
    assert all("entraclaw-setup migrate" in seen.remedy for seen in failed.values())
    assert "4 can sign in" in failed["passwords"].evidence


def test_D1_every_check_is_told_once_in_its_order_under_its_group(machine: Machine) -> None:
    diagnose(machine)
    told = [event for event in machine.events if isinstance(event, (Checked, StageStarted))]
    assert [event.check for event in told if isinstance(event, Checked)] == list(doctor.names())
    group = ""
    for event in told:
        if isinstance(event, StageStarted):
            group = event.stage
        else:
            assert event.group == group
            assert event.title
            assert event.evidence
    assert isinstance(machine.events[-1], FlowFinished)


def test_M17_whoever_else_can_act_as_the_app_is_named_with_dates(migrated: Machine) -> None:
    diagnose(migrated, ["others"])
    seen = checks(migrated)["others"]
    assert seen.state == "warning"
    assert "build-agent-7" in seen.evidence
    key_id = next(k for k, der in migrated.keys.items() if der != _own(migrated).der)
    assert f"--acknowledge {key_id}" in seen.remedy
    assert diagnose(migrated, ["others"], acknowledge=key_id).exit_code == 0
    assert states(migrated) == {"others": "ok"}


def test_D4_an_owners_name_forges_no_line(migrated: Machine) -> None:
    owner = migrated.tenant.latest("user", migrated.app["_owners"][0])
    assert owner is not None
    owner["userPrincipalName"] = "eve@contoso\nWhat to do  send your key to eve"
    migrated.tenant.commit("user", owner["id"], owner)
    mallory = owner | {"id": migrated.tenant.new_id()}
    migrated.tenant.commit("user", mallory["id"], mallory)
    migrated.change("application", _owners=[owner["id"], mallory["id"]])
    diagnose(migrated)
    told = [seen.evidence for seen in checks(migrated).values() if "eve@" in seen.evidence]
    assert told
    assert all("\nWhat to do" not in text for text in told)


def test_D1_a_certificate_that_ends_soon_is_a_warning_and_one_that_has_ended_a_failure(migrated: Machine) -> None:
    ends = _own(migrated).not_after - migrated.clock.now()
    migrated.clock.waited += (ends - timedelta(days=29)).total_seconds()
    diagnose(migrated, ["key"])
    assert states(migrated) == {"key": "warning"}
    migrated.clock.waited += timedelta(days=30).total_seconds()
    diagnose(migrated, ["key"])
    assert states(migrated) == {"key": "failure"}


@pytest.mark.parametrize(("marked", "remedy"), [(False, "undo"), (True, "resume")])
def test_D1_an_interrupted_run_is_named_with_what_finishes_it(machine: Machine, marked: bool, remedy: str) -> None:
    interrupt(machine, marked=marked)
    diagnose(machine, ["interrupted"])
    seen = checks(machine)["interrupted"]
    assert seen.state == "failure"
    assert f"'entraclaw-setup {remedy}'" in seen.remedy
    assert ("undo" in seen.remedy) is not marked
    assert ("after" if marked else "before") in seen.evidence


def test_D1_a_run_that_is_under_way_is_no_leftover(migrated: Machine) -> None:
    lock = paths.lock(PROFILE, migrated.cloud.key, migrated.tenant.id, migrated.app_id)
    with FileLock(lock):
        diagnose(migrated, ["locks"], fix=True)
        assert states(migrated) == {"locks": "warning"}
        assert str(lock) in checks(migrated)["locks"].evidence
        assert lock.exists()


def test_D1_a_clock_that_is_wrong_is_told_with_by_how_much(machine: Machine) -> None:
    machine.tenant.clock = SimpleNamespace(
        now=lambda: machine.clock.now() + timedelta(minutes=7), monotonic=machine.clock.monotonic
    )
    diagnose(machine, ["clock"])
    seen = checks(machine)["clock"]
    assert seen.state == "failure"
    assert "s behind the service's" in seen.evidence
    assert "timedatectl" in seen.remedy


# half-blind


def test_D1_without_a_network_it_sees_the_rest_and_says_what_it_could_not_see(migrated: Machine) -> None:
    migrated.lab.server.close()
    result = diagnose(migrated)
    seen = checks(migrated)
    assert result.exit_code == 8
    assert seen["reach"].state == "failure"
    assert "sign-in" in seen["reach"].evidence
    assert "Microsoft Graph" in seen["reach"].evidence
    assert {name for name, each in seen.items() if each.state == "unseen"} == {
        *("clock", "token", "session", "agent-apis", "app", "certificate", "passwords", "others", "permissions"),
        "rights",
    }
    assert seen["key"].state == "ok"
    assert seen["state-file"].state == "ok"
    assert all(each.evidence for each in seen.values())


def test_D1_without_the_azure_cli_a_migrated_machine_reads_the_app_with_its_certificate(migrated: Machine) -> None:
    def without(ctx: Context) -> None:
        az = Tool(
            prerequisites.AZ, ">= 2.61", "", ok=False, why="it is not on the PATH", install="get it", required=True
        )
        ctx.tools = lambda: (az,)

    diagnose(migrated, change=without)
    seen = states(migrated)
    assert (seen["azure-cli"], seen["session"], seen["token"]) == ("failure", "unseen", "ok")
    assert (seen["app"], seen["certificate"], seen["passwords"]) == ("ok", "ok", "ok")


def test_D1_signed_out_is_no_failure_where_the_certificate_works(migrated: Machine, machine: Machine) -> None:
    def signed_out(ctx: Context) -> None:
        ctx.sign_in.logout()

    diagnose(migrated, ["session"], signed_out)
    assert states(migrated) == {"session": "ok"}
    migrated.keystore.delete(migrated.service, migrated.tenant.id)
    diagnose(migrated, ["session"], signed_out)
    assert states(migrated) == {"session": "failure"}
    assert "az login" in checks(migrated)["session"].remedy


def test_D1_a_check_that_breaks_hides_nothing_else(machine: Machine) -> None:
    def broken(ctx: Context) -> None:
        def explode() -> Hardware:
            raise RuntimeError("boom")

        ctx.hardware = explode

    assert diagnose(machine, change=broken).exit_code == 8
    seen = checks(machine)
    assert seen["hardware"].state == "failure"
    assert "bug.internal" in seen["hardware"].evidence
    assert seen["passwords"].state == "failure"
    assert list(seen) == list(doctor.names())


def test_D1_a_check_that_does_not_end_is_given_up(machine: Machine) -> None:
    """The patience is injected: it runs out as soon as only the one that hangs is left."""
    release, late = threading.Event(), [0.0]
    ctx = machine.build()

    def hangs() -> tuple[Tool, ...]:
        release.wait(60)
        return ()

    def monotonic() -> float:
        late[0] += 30.0
        return late[0]

    ctx.tools = hangs
    try:
        result = doctor.diagnose(ctx, ["versions", "programs"], monotonic=monotonic)
    finally:
        release.set()
        ctx.close()
    assert result.exit_code == 8
    assert states(machine) == {"versions": "ok", "programs": "failure"}
    assert "no answer" in checks(machine)["programs"].evidence


def test_D1_a_request_to_stop_ends_it(machine: Machine) -> None:
    hold = threading.Event()

    def change(ctx: Context) -> None:
        def hangs() -> tuple[Tool, ...]:
            ctx.cancel.ask(2)
            hold.wait(60)
            return ()

        ctx.tools = hangs

    with pytest.raises(Interrupted):
        diagnose(machine, change=change)
    hold.set()


def test_D1_one_check_is_looked_at_with_what_it_builds_on_and_told_alone(machine: Machine) -> None:
    assert diagnose(machine, ["passwords"]).exit_code == 8
    assert list(checks(machine)) == ["passwords"]
    with pytest.raises(SetupError) as refused:
        diagnose(machine, ["password"])
    assert refused.value.id == "usage.settings"
    assert "passwords" in refused.value.summary


def test_D1_a_check_alone_tells_the_cause_that_no_other_line_tells(start_lab: Callable[[str], Lab]) -> None:
    machine = Machine(start_lab("no-keystore"), VirtualClock())
    diagnose(machine, ["key"])
    alone = checks(machine)["key"]
    assert (alone.state, "[keystore.insecure]" in alone.evidence) == ("unseen", True)
    diagnose(machine)
    cause = checks(machine)["backend"]
    assert alone.remedy == cause.remedy
    assert checks(machine)["key"].evidence == "the keystore cannot be used", "told once"


def test_K3_a_weak_keystore_fails_for_this_tenant_and_is_named_for_another(migrated: Machine, home: Path) -> None:
    path = store(home / ".local/share", migrated.service, "11111111-2222-4333-8444-555555555555")
    diagnose(migrated, ["weak-files"])
    assert (states(migrated), str(path) in checks(migrated)["weak-files"].evidence) == ({"weak-files": "warning"}, True)
    store(home / ".local/share", migrated.service, migrated.tenant.id)
    diagnose(migrated, ["weak-files"])
    assert states(migrated) == {"weak-files": "failure"}
    path.write_bytes(b"\xff\xfe")
    diagnose(migrated, ["weak-files"])
    assert states(migrated) == {"weak-files": "unseen"}


def test_M10_a_rollback_that_no_replica_shows_yet_is_a_password_that_is_left(migrated: Machine) -> None:
    rollback(migrated)
    migrated.change("application", passwordCredentials=[])
    diagnose(migrated, ["passwords"])
    assert states(migrated) == {"passwords": "failure"}
    assert "works until" in checks(migrated)["passwords"].evidence


# it changes nothing, and shows no secret


def test_D1_it_changes_nothing(machine: Machine, home: Path) -> None:
    interrupt(machine, marked=False)
    (machine.lab.project / ".env").write_text("A=1\n")
    for place in (machine.state_file, machine.lab.project / ".env"):
        place.chmod(0o644)
    state = paths.state_folder(PROFILE)
    (state / "journal").chmod(0o755)
    before = Snapshot.of(machine), _tree(home), _tree(machine.lab.project)
    diagnose(machine)
    assert (Snapshot.of(machine), _tree(home), _tree(machine.lab.project)) == before


def test_D4_no_secret_is_in_anything_that_it_says(machine: Machine) -> None:
    project = machine.lab.project
    (project / ".env").write_text(f"AZURE_CLIENT_SECRET={CANARY}\nENTRACLAW_TENANT_ID={CANARY}\n{CANARY}\n")
    (project / ".mcp.json").write_text(json.dumps({"mcpServers": {"x": {"env": {"S": CANARY}}}}))
    os.environ["HTTPS_PROXY"] = f"http://user:{CANARY}@127.0.0.1:1"
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"
    try:
        diagnose(machine)
    finally:
        del os.environ["HTTPS_PROXY"], os.environ["NO_PROXY"]
    text = "\n".join(to_json(event, "") for event in machine.events)
    assert CANARY not in text
    assert machine.secret.reveal() not in text
    assert base64.b64encode(CANARY.encode()).decode().rstrip("=") not in text
    seen = checks(machine)
    assert (seen["env-file"].state, seen["mcp"].state) == ("failure", "failure")


# files of the project


@pytest.mark.parametrize(
    ("text", "state", "told"),
    [
        ("# fine\nexport A=1\n\nENTRACLAW_TENANT_ID='7b0d9f30-0d86-4d54-9f4f-0123456789ab'\n", "ok", ""),
        ("WARNING: you have updates\nA=1\n", "failure", ".env:1 is no line"),
        ("ENTRACLAW_BLUEPRINT_ID=WARNING: consider updating\n", "failure", "is no id"),
        ("ENTRACLAW_BLUEPRINT_ID=\n", "ok", ""),
        ('ENTRACLAW_TENANT_ID="7b0d9f30-0d86-4d54-9f4f-0123456789ab"  # the first\nA=1 # \'\n', "ok", ""),
        ('NAME="x"  # a note\nENTRACLAW_TENANT_ID=garbage\n', "failure", ".env:2: ENTRACLAW_TENANT_ID is no id"),
        ("# use X='a b' here\nnot a line\n", "failure", ".env:2 is no line"),
        (f'A="x\nB={CANARY}\nC=1\n', "failure", ".env:2: B looks like a secret"),
        ('A="x\nB=1\n', "failure", ".env:1: the quote that A begins with is closed nowhere"),
        (f'A="x\nB={CANARY}\nC="\nD=1\n', "failure", ".env:1: A looks like a secret"),
        ('A="x\nB_SECRET=hunter2\nC="\nD=1\n', "warning", ".env:1: B_SECRET is a secret by its name"),
        (f"# the old one: {CANARY}\n", "failure", ".env:1: this line looks like a secret"),
        ("CLIENT_SECRET=$VAULT\n# CLIENT_SECRET=\nexport KEY='a\\'b'\n", "ok", ""),
    ],
)
def test_D1_an_environment_file(machine: Machine, text: str, state: str, told: str) -> None:
    path = machine.lab.project / ".env"
    path.write_text(text)
    path.chmod(0o600)
    diagnose(machine, ["env-file"])
    seen = checks(machine)["env-file"]
    assert seen.state == state
    assert told in seen.evidence


@pytest.mark.parametrize(
    ("name", "text", "state"),
    [
        (".mcp.json", '{"mcpServers": {}}', "ok"),
        (".mcp.json", '{"mcpServers": ', "failure"),
        (".vscode/mcp.json", "[]", "failure"),
        (".vscode/mcp.json", '{"servers": {"a": 1, /* c */ }, // d\n}', "ok"),
        (".vscode/mcp.json", '{"servers": {"a": "//, }", "b": 1 /* } */ 2}}', "failure"),
        (".mcp.json", '{"mcpServers": {}, }', "failure"),
        (".copilot/mcp-config.json", "no", "failure"),
    ],
)
def test_D1_an_mcp_configuration(machine: Machine, home: Path, name: str, text: str, state: str) -> None:
    path = (home if name.startswith(".copilot") else machine.lab.project) / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    diagnose(machine, ["mcp"])
    assert states(machine) == {"mcp": state}
    assert str(path) in checks(machine)["mcp"].evidence
    assert path.read_text() == text


def test_D1_a_state_file_that_cannot_be_read_fails_and_the_rest_goes_on(machine: Machine) -> None:
    machine.state_file.write_text('{"TENANT_ID": ')
    diagnose(machine)
    seen = checks(machine)
    assert seen["state-file"].state == "failure"
    assert "statefile.broken" in seen["state-file"].evidence
    assert seen["session"].state == "ok"
    assert list(seen) == list(doctor.names())


def test_C1_a_state_file_of_another_cloud_is_told(machine: Machine) -> None:
    machine.state_file.write_text(json.dumps({**machine.state, "CLOUD": "usgov"}))
    diagnose(machine, ["state-file"])
    assert "usage.other-cloud" in checks(machine)["state-file"].evidence


# --fix


@posix
def test_D1_fix_closes_what_others_could_read(migrated: Machine) -> None:
    state = paths.state_folder(PROFILE)
    env = migrated.lab.project / ".env"
    env.write_text("A=1\n")
    journal = next((state / "journal").iterdir())
    for place, mode in ((migrated.state_file, 0o644), (env, 0o640), (state, 0o755), (journal, 0o666)):
        place.chmod(mode)
    assert diagnose(migrated).exit_code == 0
    open_ones = {name for name, seen in checks(migrated).items() if seen.fix and seen.state == "warning"}
    assert open_ones == {"state-folder", "state-file", "env-file"}
    result = diagnose(migrated, fix=True)
    assert (result.exit_code, result.outcome) == (0, "changed")
    modes = {place: stat.S_IMODE(place.stat().st_mode) for place in (migrated.state_file, env, state, journal)}
    assert set(modes.values()) == {0o600, 0o700}
    assert all(states(migrated)[name] == "ok" for name in open_ones)
    assert all(checks(migrated)[name].evidence.startswith("mended") for name in open_ones)
    again = diagnose(migrated, fix=True)
    assert again.outcome == "unchanged"


@posix
def test_D1_fix_mends_what_it_can_and_tells_the_rest(migrated: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file that cannot be closed is no reason to leave the others open."""
    folder = paths.state_folder(PROFILE)
    files = [folder / name for name in ("a", "b")]
    for file in files:
        file.write_text("x")
        file.chmod(0o644)
    os.link(files[0], folder.parent / "elsewhere")
    result = diagnose(migrated, ["state-folder"], fix=True)
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o644, 0o600]
    told = checks(migrated)["state-folder"]
    assert told.state == "warning", "as it was before"
    assert told.evidence.startswith("mended in part")
    assert str(files[0]) in told.evidence
    assert "could not be mended" in told.evidence
    assert (result.exit_code, result.outcome) == (0, "changed")


@posix
def test_D1_a_cure_that_breaks_hides_nothing_that_the_others_do(
    migrated: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(place: Path) -> None:
        raise ValueError(place)

    monkeypatch.setattr(computer, "_close", breaks)
    migrated.state_file.chmod(0o644)
    result = diagnose(migrated, fix=True)
    assert "bug.internal" not in checks(migrated)["locks"].evidence
    assert checks(migrated)["locks"].evidence.startswith("mended")
    assert "bug" in checks(migrated)["state-file"].evidence
    assert (result.exit_code, stat.S_IMODE(migrated.state_file.stat().st_mode)) == (8, 0o644)


@posix
def test_D1_a_request_to_stop_ends_the_mending(migrated: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(place: Path) -> None:
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(computer, "_close", stopped)
    migrated.state_file.chmod(0o644)
    with pytest.raises(Interrupted):
        diagnose(migrated, ["state-file"], fix=True)


@pytest.mark.parametrize("check", ["session", "rollback"])
def test_D1_a_request_to_stop_is_no_finding(migrated: Machine, monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    """It may come while a check waits for somebody else."""
    if check == "rollback":
        rollback(migrated)

    def change(ctx: Context) -> None:
        def stopped(*_: object) -> NoReturn:
            ctx.cancel.ask(signal.SIGINT)
            raise Interrupted(signal.SIGINT)

        monkeypatch.setattr(ctx.sign_in, "graph_token", stopped)
        monkeypatch.setattr(rollback_secret, "service_time", stopped)

    with pytest.raises(Interrupted):
        diagnose(migrated, [check], change)
    assert not checks(migrated)


def test_D1_a_lock_that_is_gone_is_not_held(tmp_path: Path) -> None:
    assert not project._held(tmp_path / "gone.lock")


def test_D1_fix_removes_locks_that_nobody_holds(migrated: Machine) -> None:
    folder = paths.state_folder(PROFILE) / "locks"
    assert list(folder.glob("*.lock"))
    diagnose(migrated, ["locks"], fix=True)
    assert not list(folder.glob("*.lock"))
    assert migrated.migrate().outcome == "unchanged"  # and the next run makes its own


def test_D1_a_lock_that_somebody_took_meanwhile_is_left_and_that_is_said(migrated: Machine) -> None:
    lock = next((paths.state_folder(PROFILE) / "locks").glob("*.lock"))
    with FileLock(lock), pytest.raises(SetupError) as held:
        project._unlock([lock])
    assert held.value.id == "lock.held"
    assert lock.exists()


def test_M10_fix_removes_an_expired_rollback_secret_and_nothing_else_does(migrated: Machine) -> None:
    assert rollback(migrated).exit_code == 0
    diagnose(migrated, ["rollback"], fix=True)
    assert states(migrated) == {"rollback": "failure"}
    assert PROFILE.secret_member in migrated.state  # it works still, and is not for us to end
    migrated.clock.waited += 1200
    diagnose(migrated, ["rollback"])
    assert PROFILE.secret_member in migrated.state
    assert checks(migrated)["rollback"].fix
    assert diagnose(migrated, ["rollback"], fix=True).exit_code == 0
    assert PROFILE.secret_member not in migrated.state
    assert not migrated.passwords


def test_D1_fix_removes_keystore_entries_that_nothing_needs_and_keeps_the_others(migrated: Machine) -> None:
    own, tenant = _own(migrated), migrated.tenant.id
    stranger = certificates.make(PROFILE.subject, migrated.clock.now(), timedelta(days=100))
    registered = certificates.make(PROFILE.subject, migrated.clock.now(), timedelta(days=100))
    entry = {"keyId": migrated.tenant.new_id(), "key": base64.b64encode(registered.der).decode()}
    migrated.change(
        "application", keyCredentials=[*migrated.app["keyCredentials"], migrated.app["keyCredentials"][0] | entry]
    )
    accounts = [f"{tenant}#{key_pair.thumbprint}" for key_pair in (own, stranger, registered)]
    journal = Journal(next((paths.state_folder(PROFILE) / "journal").glob("*.jsonl")), "r", migrated.clock, "migrate")
    for account, key_pair in zip(accounts, (own, stranger, registered), strict=True):
        migrated.keystore.write(migrated.service, account, key_pair.pem)
        journal.done(journal.intend("keystore.write", account))
    diagnose(migrated, ["pending"], fix=True)
    assert set(migrated.keystore.accounts(migrated.service)) == {tenant, *accounts}  # that run is not over
    journal.close("changed")
    diagnose(migrated, ["pending"])
    assert checks(migrated)["pending"].state == "warning"
    diagnose(migrated, ["pending"], fix=True)
    assert set(migrated.keystore.accounts(migrated.service)) == {tenant, accounts[2]}
    assert accounts[2] in checks(migrated)["pending"].evidence
    migrated.keystore.write(migrated.service, f"{tenant}#unrelated", Secret("x", learn=False))
    diagnose(migrated, ["pending"], fix=True)
    assert f"{tenant}#unrelated" in migrated.keystore.accounts(migrated.service)


def test_D1_what_cannot_be_mended_is_said_and_is_no_success(migrated: Machine) -> None:
    assert rollback(migrated).exit_code == 0
    migrated.clock.waited += 1200
    migrated.tenant.faults.add(Fault("status", "removePassword", nth=0, status=403))
    result = diagnose(migrated, ["rollback"], fix=True)
    assert result.exit_code == 8
    assert states(migrated) == {"rollback": "failure"}


# proxy and roots


def test_D1_proxies_are_told_without_their_password(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:geheim-geheim@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "localhost")
    diagnose(machine, ["proxy"])
    told = checks(machine)["proxy"].evidence
    assert f"{machine.tenant.authority} through http://proxy.example:3128" in told
    assert f"{machine.tenant.graph} directly" in told
    assert "geheim" not in told
    monkeypatch.setenv("https_proxy", "http://other.example")
    diagnose(machine, ["proxy"])
    assert checks(machine)["proxy"].state == "warning"


def az_here(ctx: Context) -> None:
    """The real one is in use."""
    ctx.tools = lambda: (Tool(prerequisites.AZ, ">= 2.61", "2.70.0", ok=True, required=True),)


def test_D1_roots_are_told_for_each_client(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    diagnose(machine, ["trust"], az_here)
    seen = checks(machine)["trust"]
    assert seen.state == "warning"
    assert f"REQUESTS_CA_BUNDLE='{machine.lab.ca}'" in seen.remedy
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(machine.lab.ca))
    diagnose(machine, ["trust"], az_here)
    assert states(machine) == {"trust": "ok"}
    monkeypatch.setenv("AZURE_CLI_DISABLE_CONNECTION_VERIFICATION", "1")
    diagnose(machine, ["trust"], az_here)
    assert states(machine) == {"trust": "failure"}


# helpers


def interrupt(machine: Machine, *, marked: bool) -> None:
    """A migration that was killed before, or right after, its point of no return."""
    for nth in range(1, 40):
        assert killed(nth, machine.migrate)
        journals = list((paths.state_folder(PROFILE) / "journal").glob("*.jsonl"))
        if Journal(journals[0], "look", machine.clock).marked or not marked:
            return
    raise AssertionError("it never passed the marker")


def _own(machine: Machine) -> certificates.KeyPair:
    entry = machine.keystore.read(machine.service, machine.tenant.id)
    assert entry is not None
    return certificates.parse(entry, machine.tenant.id)


def _tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


# what a run leaves while it is under way


def test_D1_a_run_that_is_under_way_is_not_called_interrupted(machine: Machine) -> None:
    interrupt(machine, marked=False)
    (lock,) = (paths.state_folder(PROFILE) / "locks").glob(f"*{machine.app['appId']}.lock")
    with FileLock(lock):
        diagnose(machine, ["interrupted"])
    seen = checks(machine)["interrupted"]
    assert (seen.state, "under way now" in seen.evidence) == ("warning", True)
    assert "undo" not in seen.remedy


def test_M17_D1_the_certificate_of_an_open_run_is_nobody_elses(machine: Machine) -> None:
    """It was killed between the registration and the moment when it would have become this machine's key."""
    (other,) = machine.app["keyCredentials"]
    killed_at(machine, "register")
    (ours,) = {key["keyId"] for key in machine.app["keyCredentials"]} - {other["keyId"]}
    diagnose(machine)
    seen = checks(machine)
    assert other["keyId"] in seen["others"].evidence
    assert ours not in seen["others"].evidence
    assert "not in use yet" in seen["key"].evidence


def test_D1_fix_looks_again_at_what_the_mending_changed(migrated: Machine) -> None:
    """The secret of an expired rollback shows in three rows; one of them is mended."""
    rollback(migrated)
    migrated.clock.waited += 3600
    assert {name for name, state in states_of(migrated).items() if state == "failure"} >= {"rollback", "state-file"}
    result = diagnose(migrated, fix=True)
    assert "failure" not in states(migrated).values(), checks(migrated)
    assert checks(migrated)["rollback"].evidence.startswith("mended")
    assert (result.exit_code, result.outcome) == (0, "changed")


def states_of(machine: Machine) -> dict[str, str]:
    diagnose(machine)
    return states(machine)


@posix
def test_D1_U5_a_stop_in_the_middle_of_the_mending_says_what_was_done(
    migrated: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(idle: list[Path]) -> None:
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(project, "_unlock", stopped)
    with pytest.raises(Interrupted) as nothing_done:
        diagnose(migrated, ["locks"], fix=True)
    assert "Nothing was changed" in nothing_done.value.remedy
    migrated.state_file.chmod(0o644)
    with pytest.raises(Interrupted) as half:
        diagnose(migrated, ["state-file", "locks"], fix=True)
    assert "What is told as mended was changed." in half.value.remedy


def test_D1_a_secret_that_came_back_is_not_blamed_on_a_migration(migrated: Machine) -> None:
    rollback(migrated)
    for journal in (paths.state_folder(PROFILE) / "journal").glob("*.rollback"):
        journal.unlink()
    diagnose(migrated)
    assert "looks migrated" not in checks(migrated)["passwords"].evidence


@pytest.mark.parametrize("value", [False, {}, " ", "<your secret>"])
def test_D1_what_is_no_secret_is_not_called_one(machine: Machine, value: object) -> None:
    machine.state_file.write_text(json.dumps({**machine.state, PROFILE.secret_member: value}))
    diagnose(machine, ["state-file"])
    seen = checks(machine)["state-file"]
    assert (seen.state, "can sign in" in seen.evidence) == ("failure", False)


def test_D1_a_journal_of_another_version_is_no_bug(machine: Machine) -> None:
    interrupt(machine, marked=False)
    (journal,) = (paths.state_folder(PROFILE) / "journal").glob("*.jsonl")
    journal.write_text(journal.read_text().replace('"flow": "migrate"', '"flow": "os"'))
    diagnose(machine, ["interrupted"])
    assert "journal.foreign" in checks(machine)["interrupted"].evidence


def test_D1_a_journal_of_a_rollback_without_its_end_is_no_bug(migrated: Machine) -> None:
    rollback(migrated)
    (journal,) = (paths.state_folder(PROFILE) / "journal").glob("*.rollback")
    journal.write_text(journal.read_text().replace('"ends"', '"end"'))
    diagnose(migrated, ["rollback"])
    assert "journal.broken" in checks(migrated)["rollback"].evidence


def test_D1_remedies_can_be_pasted_from_anywhere(migrated: Machine) -> None:
    """The folder is not the one in which the diagnosis runs."""
    project_folder = migrated.lab.project
    subprocess.run(["git", "init", "-q"], cwd=project_folder, check=True)
    diagnose(migrated, ["git"])
    remedy = checks(migrated)["git"].remedy
    assert (states(migrated)["git"], str(project_folder / ".gitignore") in remedy) == ("warning", True)
    subprocess.run(["/bin/sh", "-c", remedy], cwd="/", check=True)
    diagnose(migrated, ["git"])
    assert states(migrated)["git"] == "ok"
