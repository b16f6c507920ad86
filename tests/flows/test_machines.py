"""Machines that the original really made are taken over as they are (M19, M20, A8, A14, C3)."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.config.profile import BUILT_IN, Profile
from core.entra import certificates
from core.events import ChangePlanned, Checked, Finding, Question
from core.flow.engine import Result
from core.sandbox.fake_machine.az import SandboxSignIn
from core.sandbox.faults import Fault
from core.sandbox.lab import Lab
from core.secret import Secret
from core.steps.context import Context
from tests.flows.test_doctor import diagnose
from tests.machine import Machine, VirtualClock
from tests.originals import (
    CHAIN,
    ENTRABOT,
    ENTRACLAW,
    Original,
    certificate_era,
    crossed,
    half_purged,
    secret_era,
    windows,
)
from tests.provisioning import make

Start = Callable[[str], Lab]


@pytest.fixture
def renamed(start_lab: Start, clock: VirtualClock, home: Path) -> Original:
    """A machine whose state file was renamed by hand: the current names, and a live secret."""
    return secret_era(start_lab("legacy"), clock, home, ENTRABOT)


def told(machine: Machine, id: str) -> str:
    """What the last run said in findings of a kind."""
    return "\n".join(event.message for event in machine.events if isinstance(event, Finding) and event.id == id)


def checked(machine: Machine, name: str) -> Checked:
    """What the last diagnosis said of one thing."""
    return next(event for event in machine.events if isinstance(event, Checked) and event.check == name)


def test_M19_the_state_file_of_a_built_in_profile_needs_no_flag(renamed: Original) -> None:
    machine = renamed.machine
    result = machine.migrate()
    assert (result.outcome, result.errors) == ("changed", [])
    assert not (renamed.project / ENTRACLAW.state_file).exists(), "nothing is made beside it"
    assert ENTRABOT.secret_member not in machine.state
    entry = machine.keystore.read(machine.cloud.keystore_service("entrabot-provisioner-cert"), machine.tenant.id)
    assert certificates.parse(entry or Secret(""), "").thumbprint == machine.state[ENTRABOT.thumbprint_member]
    assert machine.verify().exit_code == 0


@pytest.mark.parametrize("run", [Machine.migrate, Machine.onboard])
def test_M19_none_is_made_beside_a_state_file_of_the_same_product(
    renamed: Original, run: Callable[..., Result]
) -> None:
    machine = renamed.machine
    result = run(machine, profile="entraclaw", origin={"profile": "flag"})
    assert [error["id"] for error in result.errors] == ["usage.other-profile"]
    assert renamed.changed() == set()
    assert machine.keystore._entries == renamed.entries


def test_M19_a_profile_that_was_named_wins_and_the_other_file_is_told(renamed: Original) -> None:
    machine = renamed.machine
    (renamed.project / ENTRACLAW.state_file).write_text(json.dumps({"TENANT_ID": machine.tenant.id}))
    machine.migrate(profile="entrabot", origin={"profile": "environment"}, dry_run=True)
    message = told(machine, "statefile.other-profile")
    assert ".entraclaw-state.json lies in the project, too" in message
    assert "entrabot (from: environment)" in message


def test_C3_a_project_selects_a_built_in_profile_and_defines_none(machine: Machine) -> None:
    project = machine.lab.project
    for name in ("profile.toml", "entrabot.toml", "entraclaw"):
        (project / name).write_text('name = "evil"\nstate_file = ".evil.json"\nkeystore_service = "e"\n')
    machine.migrate(dry_run=True)
    assert machine.ctx is not None
    assert machine.ctx.profile == ENTRACLAW


def test_M20_a_blueprint_s_own_file_is_recognised_and_left_alone(start_lab: Start, clock: VirtualClock) -> None:
    lab = start_lab("fresh")
    path = lab.project / BUILT_IN["a365"].state_file
    path.write_text("not even JSON")  # nothing of it is read (M18)
    machine = Machine(lab, clock)
    for run in (machine.migrate, machine.onboard):
        errors = run().errors
        assert [error["id"] for error in errors] == ["usage.blueprint-profile"]
    diagnose(machine, ["state-file"])
    assert "a365" in checked(machine, "state-file").evidence
    assert machine.onboard(profile="entraclaw", origin={"profile": "flag"}).outcome == "changed", "the way round"
    assert path.read_text() == "not even JSON"


# --- copies of the state file (M11)


def planned(machine: Machine) -> dict[str, list[str]]:
    """Rows of the last plan: what is deleted, and where."""
    rows: dict[str, list[str]] = {}
    for event in machine.events:
        if isinstance(event, ChangePlanned) and event.action == "delete":
            rows.setdefault(event.what, []).append(event.where)
    return rows


def nowhere(original: Original, *secrets: str) -> None:
    """No file of this machine holds a secret."""
    places = (original.project.parent, original.home)
    for path in (path for place in places for path in place.rglob("*") if path.is_file()):
        for secret in secrets:
            assert secret.encode() not in path.read_bytes(), path


@pytest.fixture
def secret_machine(start_lab: Start, clock: VirtualClock, home: Path) -> Original:
    """A machine of the time of secrets, with a copy beside the state file and one where a runbook put it."""
    original = secret_era(start_lab("legacy"), clock, home)
    state = original.project / ENTRACLAW.state_file
    shutil.copy(state, original.project.parent / "entraclaw-state.backup-1714000000.json")
    return original


def test_M19_M11_copies_with_the_secret_are_in_the_plan_and_purged_with_the_rest(secret_machine: Original) -> None:
    machine, secret = secret_machine.machine, secret_machine.machine.secret.reveal()
    copies = [
        secret_machine.project / ".entraclaw-state.json.bak.20260418-231701",
        secret_machine.project.parent / "entraclaw-state.backup-1714000000.json",
    ]
    before = {path: path.read_bytes() for path in copies}
    machine.migrate(dry_run=True)
    assert planned(machine)[ENTRACLAW.secret_member] == [str(machine.state_file), *sorted(map(str, copies))]
    assert {path: path.read_bytes() for path in copies} == before
    result = machine.migrate()
    assert (result.outcome, result.errors) == ("changed", [])
    assert "The client secret was purged from 2 copies of the state file." in result.summary
    nowhere(secret_machine, secret)
    for path in copies:
        gone = f'  "PROVISIONER_CLIENT_SECRET": "{secret}",\n'.encode()
        assert path.read_bytes() == before[path].replace(gone, b""), "all else stays byte for byte"
    names = {".entraclaw-state.json", ".entraclaw-state.json.bak.20260418-231701"}
    assert secret_machine.changed() == names
    assert all(secret_machine.members_kept(name) for name in names)
    assert machine.verify().exit_code == 0
    assert machine.migrate().outcome == "unchanged"


def test_M19_a_copy_of_another_app_a_link_and_what_is_no_copy_stay(secret_machine: Original, tmp_path: Path) -> None:
    project, state = secret_machine.project, json.loads(secret_machine.machine.state_file.read_text())
    another = state | {"PROVISIONER_CLIENT_ID": "00000000-0000-0000-0000-000000000001"}
    (project / ".entraclaw-state.json.bak.1").write_text(json.dumps(another))
    (project / ".entraclaw-state.json.bak.2").write_text("{" + json.dumps(state))
    outside = tmp_path / "outside"
    outside.write_text(json.dumps(state))
    (project / ".entraclaw-state.json.bak.3").symlink_to(outside)
    (tmp_path / "second").write_text(json.dumps(state))
    (project / ".entraclaw-state.json.bak.4").hardlink_to(tmp_path / "second")
    left = {path: path.read_bytes() for path in project.glob("*.bak.?")}
    result = secret_machine.machine.migrate()
    assert result.exit_code == 0
    assert {path: path.read_bytes() for path in left} == left
    assert outside.read_text() == json.dumps(state)
    assert "bak.4" in told(secret_machine.machine, "statefile.copy-stays")
    diagnose(secret_machine.machine, ["state-file"])
    assert all(f"bak.{n}" in checked(secret_machine.machine, "state-file").evidence for n in (1, 2, 4))


def test_M19_M5_before_the_marker_copies_are_as_they_were(secret_machine: Original) -> None:
    machine = secret_machine.machine
    machine.tenant.faults.add(Fault("status", "PATCH /v1.0/applications", 1, 400))
    assert machine.migrate().exit_code not in (0, 6)
    assert secret_machine.changed() == set()


def test_M19_M9_a_copy_that_comes_back_fails_doctor_and_verify_and_is_purged_alone(secret_machine: Original) -> None:
    machine, name = secret_machine.machine, ".entraclaw-state.json.bak.20260418-231701"
    path = secret_machine.project / name
    saved = path.read_bytes()
    assert machine.migrate().exit_code == 0
    path.write_bytes(saved)
    assert machine.verify().exit_code == 8
    assert diagnose(machine, ["state-file"]).exit_code == 8
    assert "entraclaw-setup migrate" in checked(machine, "state-file").remedy
    result = machine.migrate()
    assert (result.outcome, result.errors) == ("changed", [])
    assert result.summary[0] == "The client secret was purged from 1 copy of the state file."
    assert machine.verify().exit_code == 0


# --- a key in a file (M19, P4)


@pytest.fixture
def windows_machine(
    start_lab: Start, clock: VirtualClock, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Original:
    """What the original leaves on Windows, seen from a system on which flows run."""
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    return windows(start_lab("clean"), clock, home, tmp_path / "local")


@pytest.mark.parametrize("run", [Machine.migrate, Machine.onboard])
def test_M19_the_key_in_a_file_is_named_and_replaced(
    windows_machine: Original, tmp_path: Path, run: Callable[..., Result]
) -> None:
    machine = windows_machine.machine
    (pem,) = tmp_path.glob("local/entrabot/*.pem")
    before = machine.thumbprints
    diagnose(machine)
    assert (checked(machine, "key-file").state, str(pem) in checked(machine, "key-file").evidence) == ("failure", True)
    assert "ENTRABOT_TENANT_ID (lines 1, 4); ENTRABOT_BLUEPRINT_CERT_SHA1" in checked(machine, "env-file").evidence
    assert "entrabot-mcp.exe is not there" in checked(machine, "mcp").evidence
    run(machine, dry_run=True)
    assert planned(machine)["private key in a file"] == [str(pem)]
    assert pem.exists()
    result = run(machine)
    assert (result.outcome, result.errors) == ("changed", [])
    assert not pem.exists()
    assert not before & machine.thumbprints
    assert machine.state["PROVISIONER_CERT_THUMBPRINT"] in machine.thumbprints
    windows_machine.read_as_they_do()
    assert windows_machine.changed() == {ENTRABOT.state_file}
    assert run(machine).outcome == "unchanged"


def test_M19_a_key_file_that_is_a_link_is_told_and_left(windows_machine: Original, tmp_path: Path) -> None:
    (pem,) = tmp_path.glob("local/entrabot/*.pem")
    pem.rename(tmp_path / "elsewhere.pem")
    pem.symlink_to(tmp_path / "elsewhere.pem")
    assert windows_machine.machine.migrate().exit_code == 0
    assert "It stays there: it is a link" in told(windows_machine.machine, "key.exposed")
    assert (tmp_path / "elsewhere.pem").exists()


# --- a machine that went through the renaming (M19)

OLD_SECRET = "Zz08Q~old-secret-of-before-the-renaming-00"


@pytest.fixture
def crossed_machine(start_lab: Start, clock: VirtualClock, home: Path) -> Original:
    """Two state files, two apps, two keystore services."""
    return crossed(start_lab("clean"), clock, home, secret=OLD_SECRET)


def older_app(original: Original) -> tuple[dict[str, Any], dict[str, Any]]:
    """The older app and its principal, as the directory has them."""
    app_id = json.loads((original.project / ENTRACLAW.state_file).read_text())["PROVISIONER_CLIENT_ID"]
    found = [original.machine.tenant.find(kind, "appId", app_id) for kind in ("application", "servicePrincipal")]
    app, principal = found
    assert app is not None
    assert principal is not None
    return app, principal


def sign_in_of(app: dict[str, Any], principal: dict[str, Any]) -> tuple[int, int]:
    """How many passwords and certificates there are."""
    passwords = len(app["passwordCredentials"]) + len(principal["passwordCredentials"])
    return passwords, len(app["keyCredentials"])


@pytest.mark.parametrize("run", [Machine.migrate, Machine.onboard])
def test_M19_without_a_yes_of_its_own_the_older_app_is_told_and_left(
    crossed_machine: Original, run: Callable[..., Result]
) -> None:
    machine = crossed_machine.machine
    before = older_app(crossed_machine)
    result = run(machine)
    assert (result.outcome, result.errors) == ("unchanged", [])
    assert "went through the renaming" in told(machine, "machine.crossed")
    left = told(machine, "machine.older")
    assert "3 password credentials and this machine's certificate" in left
    assert f"PROVISIONER_CLIENT_SECRET in {crossed_machine.project / ENTRACLAW.state_file}" in left
    assert any("was not retired" in line and "--retire-older" in line for line in result.summary)
    assert older_app(crossed_machine) == before
    assert crossed_machine.changed() == set()
    diagnose(machine)
    seen = checked(machine, "older-app")
    assert (seen.state, before[0]["appId"] in seen.remedy) == ("warning", True)


@pytest.mark.parametrize("run", [Machine.migrate, Machine.onboard])
@pytest.mark.parametrize("how", ["flag", "answer"])
def test_M19_the_older_app_is_retired_and_nothing_else_of_it_is_deleted(
    crossed_machine: Original, run: Callable[..., Result], how: str
) -> None:
    machine, name = crossed_machine.machine, ENTRACLAW.state_file
    app, principal = older_app(crossed_machine)
    mine = json.loads((crossed_machine.project / name).read_text())["PROVISIONER_CERT_THUMBPRINT"]
    keys = machine.keys
    asked: list[Question] = []

    def answer(question: Question) -> bool:
        asked.append(question)
        return True

    options = {"retire_older": app["appId"]} if how == "flag" else {"yes": False}
    result = run(machine, answer, **options)
    assert (result.outcome, result.errors) == ("changed", [])
    if how == "answer":
        assert [question.id for question in asked if app["appId"] in question.text] == ["retire-older"]
    now, its_principal = older_app(crossed_machine)
    assert sign_in_of(now, its_principal) == (0, 1)
    left = certificates.thumbprint(base64.b64decode(now["keyCredentials"][0]["key"]))
    assert left == crossed_machine.foreign != mine, "another machine's certificate stays"
    for before, after in ((app, now), (principal, its_principal)):
        parts = ("keyCredentials", "passwordCredentials")
        assert {k: v for k, v in after.items() if k not in parts} == {k: v for k, v in before.items() if k not in parts}
    assert machine.keys == keys, "the current app is as it was"
    nowhere(crossed_machine, OLD_SECRET)
    assert crossed_machine.changed() == {name, f"{name}.bak.20260501-080000"}
    assert crossed_machine.members_kept(name)
    assert json.loads((crossed_machine.project / name).read_text()).items() >= CHAIN.items()
    assert machine.keystore._entries == crossed_machine.entries, "keys are left; the older one signs in nowhere"
    assert any(line.startswith("Retired the older app") for line in result.summary)
    assert not any("removed from the app registration" in line for line in result.summary), "those were not its own"
    diagnose(machine)
    assert checked(machine, "older-app").state == "ok"
    assert run(machine).outcome == "unchanged"


def test_M19_D1_both_generations_are_named_where_nobody_can_ask_the_directory(crossed_machine: Original) -> None:
    machine = crossed_machine.machine

    def nobody(ctx: Context) -> None:
        machine.keystore.delete(machine.service, machine.tenant.id)
        ctx.sign_in = SandboxSignIn(machine.tenant, ctx.cloud, signed_in=False)

    diagnose(machine, ["older-app"], nobody)
    seen = checked(machine, "older-app")
    assert (seen.state, "of before and after a renaming" in seen.evidence) == ("unseen", True)


def test_M19_the_yes_names_the_app(crossed_machine: Original) -> None:
    before = older_app(crossed_machine)
    result = crossed_machine.machine.migrate(retire_older="00000000-0000-0000-0000-000000000001")
    assert [error["id"] for error in result.errors] == ["usage.settings"]
    assert result.exit_code == 2
    assert older_app(crossed_machine) == before


def test_M19_a_dry_run_asks_nothing_and_shows_what_a_yes_would_do(crossed_machine: Original) -> None:
    machine, (app, _) = crossed_machine.machine, older_app(crossed_machine)
    machine.migrate(dry_run=True, retire_older=app["appId"])
    rows = planned(machine)
    assert len(rows["password credential of the older app"]) == 3
    assert len(rows["certificate of the older app"]) == 1
    assert len(rows["PROVISIONER_CLIENT_SECRET of the older app"]) == 2
    assert older_app(crossed_machine)[0] == app


# --- smaller things that the machines showed (D1, P1)


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("ENTRABOT_LOG_LEVEL=INFO", "warning"),
        ("ENTRABOT_BLUEPRINT_CERT_THUMBPRINT=short", "failure"),
        ("ENTRABOT_BLUEPRINT_CERT_SHA1=0123456789abcdef0123456789abcdef01234567", "failure"),
        ("ENTRABOT_BLUEPRINT_CERT_SHA1=0123456789ABCDEF0123456789ABCDEF01234567", "ok"),
        ("ENTRACLAW_AGENT_ID=WARNING: an update", "failure"),
    ],
)
def test_D1_a_name_twice_and_a_thumbprint_of_another_shape(renamed: Original, line: str, state: str) -> None:
    path = renamed.project / ".env"
    path.write_text(f"{path.read_text()}{line}\n")
    diagnose(renamed.machine, ["env-file"])
    seen = checked(renamed.machine, "env-file")
    assert (seen.state, line.partition("=")[0] in seen.evidence) == (state, state != "ok"), seen.evidence


@pytest.mark.parametrize(
    ("command", "state"),
    [
        (".venv/bin/entrabot-mcp", "ok"),
        (".venv/bin/gone", "warning"),
        (".env", "warning"),
        ("no-such-program-anywhere", "warning"),
        ("sh", "ok"),
        ("${workspaceFolder}/gone", "ok"),
    ],
)
def test_D1_an_mcp_server_that_cannot_start_is_named(renamed: Original, command: str, state: str) -> None:
    (renamed.project / ".mcp.json").write_text(json.dumps({"mcpServers": {"mine": {"command": command}}}))
    diagnose(renamed.machine, ["mcp"])
    seen = checked(renamed.machine, "mcp")
    assert (seen.state, "mine" in seen.evidence and command in seen.evidence) == (state, state != "ok")


def test_P1_an_app_of_another_name_is_called_by_it_and_needs_its_flag_once(machine: Machine) -> None:
    machine.change("application", displayName="Robots of Contoso")
    assert [error["id"] for error in machine.migrate().errors] == ["app.adopt"]
    result = machine.migrate(app_id=machine.app_id, origin={"app_id": "flag"})
    assert result.summary[0].startswith("Migrated 'Robots of Contoso' from secret-auth to cert-auth.")
    again = machine.migrate()
    assert (again.outcome, again.errors) == ("unchanged", [])
    assert "'Robots of Contoso'" in again.summary[0]
    diagnose(machine)
    assert checked(machine, "app").state == "ok"


def test_P1_a_certificate_of_ours_on_a_stranger_s_app_is_no_yes(machine: Machine) -> None:
    assert machine.migrate().exit_code == 0
    trap = make(machine, "Trap", keyCredentials=machine.app["keyCredentials"])
    machine.state_file.write_text(json.dumps(machine.state | {"PROVISIONER_CLIENT_ID": trap["appId"]}))
    for run in (machine.migrate, machine.onboard):
        assert [error["id"] for error in run().errors] == ["app.adopt"]


# --- the six, one after the other


@pytest.mark.parametrize("run", [Machine.migrate, Machine.onboard])
@pytest.mark.parametrize("profile", [ENTRACLAW, ENTRABOT], ids=lambda profile: profile.name)
def test_A14_the_original_s_own_certificate_stays(
    start_lab: Start, clock: VirtualClock, home: Path, profile: Profile, run: Callable[..., Result]
) -> None:
    original = certificate_era(start_lab("clean"), clock, home, profile)
    machine = original.machine
    result = run(machine)
    assert (result.outcome, result.errors) == ("unchanged", [])
    original.read_as_they_do()
    assert original.changed() == set()
    assert machine.keystore._entries == original.entries
    assert machine.verify().exit_code == 0
    diagnose(machine)
    failures = [e.check for e in machine.events if isinstance(e, Checked) and e.state == "failure"]
    assert failures == []


def test_M19_A14_a_machine_of_the_time_of_secrets_ends_as_its_programs_expect_it(secret_machine: Original) -> None:
    machine, keystore = secret_machine.machine, secret_machine.machine.keystore
    diagnose(machine)
    assert ENTRACLAW.state_file in checked(machine, "state-file").evidence
    assert machine.migrate().errors == []
    secret_machine.read_as_they_do()
    assert secret_machine.entries.items() <= keystore._entries.items(), "the Blueprint's key is untouched"
    assert set(keystore._entries) - set(secret_machine.entries) == {(machine.service, machine.tenant.id)}


def test_M19_a_half_purged_machine_ends_with_a_proven_certificate(
    start_lab: Start, clock: VirtualClock, home: Path
) -> None:
    original = half_purged(start_lab("legacy"), clock, home)
    machine = original.machine
    diagnose(machine)
    assert ENTRABOT.state_file in checked(machine, "state-file").evidence
    assert machine.migrate().errors == []
    assert machine.passwords == []
    assert original.members_kept(ENTRABOT.state_file)
    assert original.changed() == {ENTRABOT.state_file}
    original.read_as_they_do()
    assert machine.verify().exit_code == 0
