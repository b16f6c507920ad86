"""The whole line with nothing pretended on this machine: real az, real gnome-keyring, a process of its own."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.clock import SystemClock
from core.config.cloud import load as load_cloud
from core.config.profile import Profile
from core.entra import certificates
from core.entra.http import Session
from core.entra.tokens import try_secret
from core.sandbox.faults import Fault, Kind
from core.sandbox.lab import Lab
from core.secret import Secret
from tests.real.conftest import Desktop
from tests.real.program import Program

PROFILE = Profile()
M7 = (
    "Migrated Provisioner from secret-auth to cert-auth. 3 password credentials removed from the app registration. "
    "PROVISIONER_CLIENT_SECRET purged from state file."
)


@pytest.fixture
def program(session: Desktop, az: Path) -> Iterator[Program]:
    lab = Lab.start("legacy")
    yield Program(lab, session, az)
    lab.close()


def _app(program: Program) -> dict[str, object]:
    found = program.lab.tenant.find("application", "appId", program.state[PROFILE.client_id_member])
    assert found is not None
    return found


def _is_dead(program: Program, secret: Secret) -> bool:
    clock = SystemClock()
    session = Session(load_cloud(str(program.lab.cloud_file)), clock)
    cloud = load_cloud(str(program.lab.cloud_file))
    state = try_secret(session, cloud, program.lab.tenant.id, program.state[PROFILE.client_id_member], secret)
    session.close()
    return state.state == "dead"


def test_the_main_job(program: Program) -> None:
    secret = Secret(program.state[PROFILE.secret_member])
    others = {entry["keyId"]: entry["key"] for entry in _app(program)["keyCredentials"]}  # type: ignore[attr-defined]
    result = program.result("migrate", "--yes")
    assert (result["outcome"], result["exit_code"], result["errors"]) == ("changed", 0, [])
    assert result["data"]["summary"][0] == M7
    app_id = program.state[PROFILE.client_id_member]
    assert program.az_json("ad", "app", "show", "--id", app_id, "--query", "passwordCredentials") == []
    assert _is_dead(program, secret)
    now = {entry["keyId"]: entry["key"] for entry in _app(program)["keyCredentials"]}  # type: ignore[attr-defined]
    assert others.items() <= now.items()
    assert len(now) == len(others) + 1

    verified = program.result("verify")
    assert (verified["exit_code"], verified["outcome"]) == (0, "unchanged")
    states = {check["check"]: check["state"] for check in verified["data"]["checks"]}
    assert states.pop("others") == "warning", "the other machine's certificate is a finding (M17)"
    assert set(states.values()) == {"ok"}

    again = program.result("migrate", "--yes")
    assert (again["outcome"], again["exit_code"]) == ("unchanged", 0)

    token = program.run("token")
    assert (token.returncode, token.stderr) == (0, "")
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", token.stdout)


def test_D4_the_old_secret_and_the_key_are_in_no_output_and_no_file(program: Program) -> None:
    canary = program.state[PROFILE.secret_member]
    log = program.session.home / "run.log"
    finished = program.run("migrate", "--yes", "--verbose", "--log-file", str(log))
    assert finished.returncode == 0, finished.stderr
    everything = [finished.stdout.encode(), finished.stderr.encode()]
    for root in (program.session.home, program.lab.project):
        everything += [path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(b"FlowFinished" in content for content in everything), "the log was looked at"
    for content in everything:
        assert canary.encode() not in content
        assert base64.b64encode(canary.encode()) not in content
        assert b"PRIVATE KEY" not in content


@pytest.mark.parametrize(
    ("moment", "kind", "match", "nth"),
    [  # the first two removals are the rehearsal, of credentials that do not exist
        ("after registering", "hold-after", "^PATCH /v1.0/applications/", 1),
        ("after the marker", "hold-before", "removePassword", 3),
        ("after the deletions", "hold-after", "/applications/.*removePassword", 4),
    ],
)
def test_M8_a_process_killed_half_way_converges_on_the_next_run(
    program: Program, moment: str, kind: Kind, match: str, nth: int
) -> None:
    secret = Secret(program.state[PROFILE.secret_member])
    fault = program.lab.tenant.faults.add(Fault(kind, match, nth))
    process = program.start("migrate", "--yes", "--json")
    assert fault.reached.wait(60), "the moment never came"
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    left = len(_app(program)["passwordCredentials"])  # type: ignore[arg-type]
    assert left == (0 if moment == "after the deletions" else 3)
    result = program.result("migrate", "--yes")
    fault.release()  # what the dead process had asked for, if it was held back, comes now and finds nothing to do
    assert (result["outcome"], result["exit_code"], result["errors"]) == ("changed", 0, [])
    assert result["data"]["summary"][0] == M7, "the sentence counts the whole undertaking"
    assert _is_dead(program, secret)
    assert len(_app(program)["keyCredentials"]) == 2  # type: ignore[arg-type]
    assert program.result("verify")["exit_code"] == 0
    assert program.result("migrate", "--yes")["outcome"] == "unchanged"


def test_a_run_that_cannot_prove_its_certificate_leaves_everything_as_it_was(program: Program) -> None:
    before = (json.dumps(_app(program)), program.state)
    # the assertion is refused for good reasons of its own: no waiting, the run is undone at once
    registered = program.lab.tenant.faults.add(Fault("hold-after", "^PATCH /v1.0/applications/"))
    process = program.start("migrate", "--yes", "--json")
    assert registered.reached.wait(60)
    for grant in program.lab.tenant.all_seen("servicePrincipal", 0):
        if grant["appId"] == program.state[PROFILE.client_id_member]:
            enabled = grant
    program.lab.tenant.commit("servicePrincipal", enabled["id"], enabled | {"accountEnabled": False})
    registered.release()
    result = json.loads(process.communicate(timeout=120)[0])
    assert (result["outcome"], result["exit_code"]) == ("failed", 5), result["errors"]
    assert "7000112" in result["errors"][0]["message"]
    assert (json.dumps(_app(program)), program.state) == before


def test_SIGTERM_before_the_marker_undoes_and_says_so(program: Program) -> None:
    before = (json.dumps(_app(program)), program.state)
    fault = program.lab.tenant.faults.add(Fault("hold-after", "^PATCH /v1.0/applications/"))
    process = program.start("migrate", "--yes", "--json")
    assert fault.reached.wait(60)
    process.send_signal(signal.SIGTERM)
    fault.release()
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 143, stderr
    assert "was undone" in json.loads(stdout)["errors"][0]["remedy"]
    assert (json.dumps(_app(program)), program.state) == before


def test_an_app_built_by_az_itself_is_migrated(program: Program) -> None:
    """No seed code: create, two password resets, one certificate and a service principal by the real Azure CLI."""
    app = program.az_json("ad", "app", "create", "--display-name", "Made by az")
    app_id = app["appId"]
    program.az_json("ad", "sp", "create", "--id", app_id)
    reset = ("ad", "app", "credential", "reset", "--id", app_id, "--append")
    first = program.az_json(*reset, "--display-name", "one")
    program.az_json(*reset, "--display-name", "two")
    other = certificates.make("somebody-else", SystemClock().now())
    pem = program.session.home / "other.pem"
    pem.write_text(other.pem.reveal().split("-----BEGIN PRIVATE KEY")[0])
    program.az_json(*reset, "--cert", f"@{pem}")
    shown = program.az_json("ad", "app", "show", "--id", app_id)
    assert (len(shown["passwordCredentials"]), len(shown["keyCredentials"])) == (2, 1)

    state = program.lab.project / PROFILE.state_file
    members = {"CLOUD": "sandbox", "TENANT_ID": first["tenant"], "PROVISIONER_CLIENT_ID": app_id}
    members["PROVISIONER_CLIENT_SECRET"] = first["password"]
    state.write_text(json.dumps(members))
    refused = program.result("migrate", "--yes")
    assert (refused["exit_code"], refused["errors"][0]["id"]) == (4, "app.adopt"), "another name needs --app-id (P1)"
    result = program.result("migrate", "--yes", "--app-id", app_id)
    assert (result["outcome"], result["exit_code"], result["errors"]) == ("changed", 0, [])
    assert result["data"]["removed"] == {"application": 2, "servicePrincipal": 0}
    after = program.az_json("ad", "app", "show", "--id", app_id)
    assert after["passwordCredentials"] == []
    assert shown["keyCredentials"][0]["keyId"] in {key["keyId"] for key in after["keyCredentials"]}
    assert _is_dead(program, Secret(first["password"]))


@pytest.mark.parametrize(
    ("prepare", "code", "error"),
    [
        ("signed out", 4, "az.signed-out"),
        ("another tenant", 2, "az.refused"),
        ("no az", 3, "az.missing"),
    ],
)
def test_the_real_az_is_understood_when_it_refuses(program: Program, prepare: str, code: int, error: str) -> None:
    match prepare:
        case "signed out":
            program.az_json("account", "clear")
        case "another tenant":
            state = program.lab.project / PROFILE.state_file
            state.write_text(json.dumps(program.state | {"TENANT_ID": "11111111-2222-4333-8444-555555555555"}))
        case "no az":
            program.az = Path(os.devnull)
    result = program.result("migrate", "--yes")
    assert (result["exit_code"], result["errors"][0]["id"]) == (code, error), result["errors"]
    assert "az login" in result["errors"][0]["remedy"] or error == "az.missing"


PLAINTEXT = "keyrings.alt.file.PlaintextKeyring"


def test_M16_a_job_or_container_is_stopped_before_any_change(program: Program) -> None:
    before = (json.dumps(_app(program)), program.state)
    program.variables = {"ENTRACLAW_SETUP_KEY_OUTLIVES_JOB": None, "GITHUB_ACTIONS": "true"}
    for arguments in (("migrate", "--yes"), ("migrate", "--dry-run")):
        result = program.result(*arguments)
        assert (result["exit_code"], result["errors"][0]["id"]) == (3, "platform.short-lived")
        assert "GITHUB_ACTIONS" in result["errors"][0]["message"]
        for alternative in ("self-hosted", "workload identity federation", "--key-outlives-job"):
            assert alternative in result["errors"][0]["remedy"]
    assert (json.dumps(_app(program)), program.state) == before
    assert not list(program.session.home.glob(".local/state/entraclaw-setup/**/journal/*.jsonl")), (
        "not even a journal was opened"
    )

    finished = program.run("migrate", "--yes", "--key-outlives-job")
    assert finished.returncode == 0, finished.stderr
    assert "GITHUB_ACTIONS" in finished.stdout, "the override is loud"
    assert program.result("verify")["exit_code"] == 0, "looking and signing in are not stopped"
    assert program.run("token").returncode == 0


def test_K5_a_backend_that_an_operator_allows_is_used_and_told_everywhere(program: Program) -> None:
    before = (json.dumps(_app(program)), program.state)
    program.variables = {
        "PYTHON_KEYRING_BACKEND": PLAINTEXT,
        "ENTRACLAW_KEYRING_BACKEND_ALLOWLIST": PLAINTEXT,
        "ENTRACLAW_SETUP_ALLOW_KEYRING_BACKEND": PLAINTEXT,
    }
    refused = program.result("migrate", "--yes")
    assert (refused["exit_code"], refused["errors"][0]["id"]) == (3, "keystore.insecure"), "no flag, no leave"
    assert f"--allow-keyring-backend {PLAINTEXT}" in refused["errors"][0]["remedy"]
    assert (json.dumps(_app(program)), program.state) == before
    assert not list(program.session.home.rglob("*_pass.cfg"))

    finished = program.run("migrate", "--yes", "--json", "--allow-keyring-backend")
    result = json.loads(finished.stdout)
    assert (result["outcome"], result["exit_code"]) == ("changed", 0)
    who = "ENTRACLAW_KEYRING_BACKEND_ALLOWLIST with --allow-keyring-backend"
    assert result["data"]["keystore"] == {"backend": PLAINTEXT, "allowed_by": who, "served_by": ""}
    events = [json.loads(line) for line in finished.stderr.splitlines()]
    assert [event["severity"] for event in events if event.get("id") == "keystore.allowed"] == ["warning"]
    assert list(program.session.home.rglob("keyring_pass.cfg"))

    assert program.run("token").returncode == 1
    token = program.run("token", "--allow-keyring-backend", PLAINTEXT)
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", token.stdout)
    assert "allowed by --allow-keyring-backend" in token.stderr

    config = program.session.home / ".config/entraclaw-setup/config.toml"
    config.parent.mkdir()
    config.write_text(f'keyring_backend_allowlist = ["{PLAINTEXT}"]\n')
    verified = program.result("verify")
    assert verified["exit_code"] == 0, "the file that is allowed is no leftover"
    assert verified["data"]["keystore"] == {"backend": PLAINTEXT, "allowed_by": str(config), "served_by": ""}
    config.chmod(0o666)
    unsafe = program.result("verify")
    assert (unsafe["exit_code"], unsafe["errors"][0]["id"]) == (2, "usage.config-file")


def test_K3_a_key_that_an_earlier_run_left_in_a_plain_file_is_named_until_it_is_gone(program: Program) -> None:
    tenant = program.state[PROFILE.tenant_member]
    service = load_cloud(str(program.lab.cloud_file)).keystore_service(PROFILE.keystore_service)
    script = f"import keyring; keyring.set_password({service!r}, {tenant!r}, 'an old key')"
    weak: dict[str, str | None] = {"PYTHON_KEYRING_BACKEND": PLAINTEXT}
    program.variables = weak
    subprocess.run([sys.executable, "-c", script], env=program.environment, check=True)
    (file,) = program.session.home.rglob("keyring_pass.cfg")

    finished = program.run("migrate", "--yes")
    assert finished.returncode == 3
    assert f"{file} holds a key of service {service}" in finished.stdout, "also where the keystore is refused"

    program.variables = {}
    finished = program.run("migrate", "--yes")
    assert finished.returncode == 0, finished.stderr
    assert "rotate now" in finished.stdout
    *_, last = (line for line in finished.stdout.splitlines() if "keyring_pass.cfg" in line)
    assert last.startswith(f"Delete {file.read_text().splitlines()[0]} from {file}")
    verified = program.result("verify")
    assert (verified["exit_code"], verified["errors"][0]["checks"]) == (8, ["weak-files"])
    file.unlink()
    assert program.result("verify")["exit_code"] == 0
