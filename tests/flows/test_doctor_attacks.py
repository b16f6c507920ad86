"""What a project, a variable or a tenant may hold to mislead a diagnosis, or to make it do harm (D1, D4, C4)."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from core import paths
from core.clock import Cancel
from core.entra import certificates
from core.flow.journal import Journal
from core.machine.source_scan import git_view
from core.sandbox.directory.store import Tenant
from core.sandbox.http import Request, Response
from core.sandbox.lab import Lab
from tests.flows.test_doctor import checks, diagnose, states
from tests.machine import PROFILE, Machine, VirtualClock

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX modes and links")


@posix
@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_D1_fix_changes_nothing_that_a_link_leads_to(machine: Machine, tmp_path: Path, kind: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("A=1\n")
    victim.chmod(0o644)
    link = machine.lab.project / ".env"
    link.symlink_to(victim) if kind == "symbolic" else link.hardlink_to(victim)
    diagnose(machine, ["env-file"], fix=True)
    assert stat.S_IMODE(victim.stat().st_mode) == 0o644


@posix
def test_D1_a_state_folder_that_is_a_link_is_refused(machine: Machine, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (shared / "file").write_text("")
    (shared / "file").chmod(0o644)
    folder = paths.state_folder(PROFILE)
    folder.parent.mkdir(parents=True)
    folder.symlink_to(shared)
    diagnose(machine, ["state-folder"], fix=True)
    assert states(machine) == {"state-folder": "failure"}
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
    assert stat.S_IMODE((shared / "file").stat().st_mode) == 0o644


@posix
def test_D1_a_dry_run_mends_nothing(machine: Machine) -> None:
    machine.state_file.chmod(0o644)
    diagnose(machine, ["state-file"], fix=True, dry_run=True)
    assert stat.S_IMODE(machine.state_file.stat().st_mode) == 0o644
    assert checks(machine)["state-file"].fix


def test_D1_fix_leaves_alone_what_other_apps_of_the_tenant_left(machine: Machine) -> None:
    assert machine.migrate().exit_code == 0
    other = certificates.make(PROFILE.subject, machine.clock.now(), timedelta(days=100))
    account = f"{machine.tenant.id}#{other.thumbprint}"
    machine.keystore.write(machine.service, account, other.pem)
    path = paths.journal(PROFILE, machine.cloud.key, machine.tenant.id, machine.tenant.new_id())
    journal = Journal(path, "r", machine.clock, "migrate")
    journal.done(journal.intend("keystore.write", account))
    journal.close("changed")
    diagnose(machine, ["pending"], fix=True)
    assert account in machine.keystore.accounts(machine.service)


@pytest.mark.parametrize(
    "proxy",
    [
        "http://user:hunter2@proxy:99999",
        "http://user:hunter2\\@proxy:1",
        "http://user:hun#hunter2@proxy:8080",
        "http://user:hun/hunter2@proxy:8080",
        "user:hunter2@proxy:8080",
        "http://user:hunter2@[::1",
    ],
)
def test_D4_no_part_of_a_proxys_password_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("https_proxy", proxy)
    diagnose(machine, ["proxy", "reach"])
    told = " ".join(f"{seen.evidence} {seen.remedy}" for seen in checks(machine).values())
    assert "hunter2" not in told
    assert "hun" not in told.replace("hunter2", "")
    assert "bug.internal" not in told


@pytest.mark.parametrize(("status", "body"), [(403, b"Access denied"), (503, b"{}"), (200, b"<html></html>")])
def test_D1_what_is_not_the_service_is_no_answer(machine: Machine, status: int, body: bytes) -> None:
    machine.lab.server.handle = lambda tenant, request: Response(status, {"Content-Type": "text/html"}, body)
    assert diagnose(machine, ["reach"]).exit_code == 8
    assert str(status) in checks(machine)["reach"].evidence


def test_D1_a_redirect_is_no_answer(machine: Machine) -> None:
    def elsewhere(tenant: Tenant, request: Request) -> Response:
        return Response(302, {"Location": "https://evil.example/"})

    machine.lab.server.handle = elsewhere
    assert diagnose(machine, ["reach"]).exit_code == 8


@pytest.mark.parametrize("named", ["DEADBEEF" * 5, None])
def test_M9_a_state_file_that_names_another_certificate_is_a_failure(machine: Machine, named: str | None) -> None:
    assert machine.migrate().exit_code == 0
    members = {**machine.state, PROFILE.thumbprint_member: named}
    machine.state_file.write_text(json.dumps({name: value for name, value in members.items() if value}))
    assert machine.verify().exit_code == 8
    assert diagnose(machine, ["key"]).exit_code == 8
    assert "names" in checks(machine)["key"].evidence


def test_D1_secrets_are_known_by_their_names_too(machine: Machine) -> None:
    project = machine.lab.project
    (project / ".env").write_text('GITHUB_TOKEN=short\nA_SECRET=$VAULT\nB="first\nsecond line"\nC=1\n')
    (project / ".env").chmod(0o600)
    (project / ".vscode").mkdir()
    (project / ".vscode" / "mcp.json").write_text(
        '{"servers": {"x": {"API_KEY": "old", /* why */ "url": "http://a",},},}'
    )
    diagnose(machine, ["env-file", "mcp"])
    seen = checks(machine)
    assert (seen["env-file"].state, seen["mcp"].state) == ("warning", "warning")
    assert "GITHUB_TOKEN" in seen["env-file"].evidence
    assert "A_SECRET" not in seen["env-file"].evidence
    assert "API_KEY" in seen["mcp"].evidence


def test_M11_an_old_copy_of_the_state_file_is_found(machine: Machine) -> None:
    copy, saved = machine.lab.project / f"{PROFILE.state_file}.bak", machine.state_file.read_bytes()
    assert machine.migrate().exit_code == 0
    copy.write_bytes(saved)  # the migration purges one that is there before
    assert diagnose(machine, ["state-file"]).exit_code == 8
    assert str(copy) in checks(machine)["state-file"].evidence


def test_D1_files_that_are_too_much_are_told_in_few_words(machine: Machine) -> None:
    (machine.lab.project / ".env").write_text("junk line\n" * 50_000)
    (machine.lab.project / ".mcp.json").write_text("[" * 100_000)
    diagnose(machine, ["env-file", "mcp"])
    seen = checks(machine)
    assert len(seen["env-file"].evidence) < 10_000
    assert "49980 more" in seen["env-file"].evidence
    assert "nested too deep" in seen["mcp"].evidence


def test_C4_git_runs_no_program_that_the_project_names(tmp_path: Path) -> None:
    """A partial clone lacks objects, and git would fetch them with the program of its own configuration."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")

    def run(*arguments: str) -> None:
        subprocess.run(
            [git, "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            cwd=repository,
            check=True,
            capture_output=True,
        )

    repository, trap = tmp_path / "repository", tmp_path / "trap"
    (repository / "inner").mkdir(parents=True)
    (repository / "inner" / "file").write_text("x")
    (repository / "top").write_text("x")
    run("init", "-q", "-b", "main")
    run("add", ".")
    run("commit", "-q", "-m", "x")
    run("sparse-checkout", "init", "--cone", "--sparse-index")
    tree = subprocess.run([git, "rev-parse", "HEAD:inner"], cwd=repository, check=True, capture_output=True, text=True)
    name = tree.stdout.strip()
    (repository / ".git" / "objects" / name[:2] / name[2:]).unlink()
    run("config", "core.repositoryFormatVersion", "1")
    run("config", "extensions.partialClone", "origin")
    run("config", "remote.origin.url", str(repository))
    run("config", "remote.origin.promisor", "true")
    run("config", "remote.origin.uploadpack", f"touch {trap}; git-upload-pack")
    run("config", "protocol.file.allow", "always")
    git_view(repository / "inner" / PROFILE.state_file, (), Cancel())
    git_view(repository / PROFILE.state_file, (), Cancel())
    assert not trap.exists()


def test_D1_the_pending_row_of_a_lagging_certificate_does_not_ask_for_another(
    start_lab: Callable[[str], Lab], clock: VirtualClock
) -> None:
    machine = Machine(start_lab("lagging"), clock)
    diagnose(machine, ["agent-apis", "certificate"])
    assert states(machine) == {"agent-apis": "unseen", "certificate": "warning"}
