"""Bad input to the program as a process: its result object, its exit code, and nothing changed (U4, U5, P11).

The cases themselves are in tests/flows/test_bad_input.py; here is what only a process shows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from configparser import RawConfigParser
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.clock import SystemClock
from core.config.profile import Profile
from core.sandbox.lab import Lab
from core.sandbox.token_service.tokens import AZURE_CLI, user_token

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shell scripts")
FILE_KEYSTORE = "keyrings.alt.file.PlaintextKeyring"


@dataclass
class Program:
    """The program in an empty home, a stand-in for az on its PATH, and a keystore in a file that is allowed."""

    lab: Lab
    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def state_file(self) -> Path:
        return self.lab.project / Profile.state_file

    def az(self, text: str | None = None) -> None:
        """Let az print this; without it, what the real one prints."""
        tenant = self.lab.tenant
        if text is None:
            user = tenant.latest("user", tenant.signed_in_user)
            assert user is not None
            value = user_token(tenant, user, f"{tenant.graph}/", AZURE_CLI)
            text = json.dumps({"accessToken": value, "tenant": tenant.id, "tokenType": "Bearer"})
        folder = self.home.with_name("bin")  # az is not taken from the working directory (C4)
        folder.mkdir(exist_ok=True)
        (folder / "out").write_text(text)
        (folder / "az").write_text(f'#!/bin/sh\necho "WARNING: update available" >&2\ncat {folder}/out\n')
        (folder / "az").chmod(0o755)

    def run(self, *arguments: str, largest: int | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command.

        :param largest: bytes that any file may grow to; what is beyond fails, as on a full disk.
        """
        environment = {"HOME": str(self.home), "LANG": "C.UTF-8", **self.lab.environment(), **self.variables}
        environment["PATH"] = f"{self.home.with_name('bin')}{os.pathsep}{os.defpath}"

        def limit() -> None:
            if largest is not None:
                import resource

                resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

        return subprocess.run(
            [sys.executable, "-B", "-m", "wizard", *arguments],
            env=environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            preexec_fn=limit,
        )

    def snapshot(self) -> tuple[str, dict[str, bytes], dict[str, list[str]]]:
        """The directory's objects, every file of the project, and the keystore's entries by service."""
        kinds = ("application", "servicePrincipal", "appRoleAssignment")
        objects = json.dumps([list(self.lab.tenant.all_latest(kind)) for kind in kinds], sort_keys=True)
        files = {str(path): path.read_bytes() for path in self.lab.project.rglob("*") if path.is_file()}
        keystore = RawConfigParser()
        keystore.read(self.home.rglob("keyring_pass.cfg"))
        return objects, files, {name: entries for name in keystore.sections() if (entries := keystore.options(name))}

    def refused(
        self, id: str, code: int, *told: str, command: str = "migrate --yes", largest: int | None = None
    ) -> None:
        """Migrate with --json, and see it refused without a byte changed."""
        before = self.snapshot()
        finished = self.run(*command.split(), *ALLOWED, "--json", largest=largest)
        assert finished.stdout.count("\n") == 1, finished.stderr
        result: dict[str, Any] = json.loads(finished.stdout)
        (error,) = result["errors"]
        assert error["id"] == id, error
        assert (error["id"], finished.returncode, result["exit_code"]) == (id, code, code)
        assert result["outcome"] == "failed"
        for words in told:
            assert words in f"{error['message']}\n{error['remedy']}"
        assert self.snapshot() == before


ALLOWED = ("--allow-keyring-backend", FILE_KEYSTORE)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    home = tmp_path / "user"
    home.mkdir()
    lab = Lab.start("legacy", clock=SystemClock(), sign_in=False)
    program = Program(lab, home)
    program.az()
    yield program
    lab.close()


def test_U4_no_terminal_and_no_yes(program: Program) -> None:
    program.refused("flow.unasked", 4, "no terminal", "--dry-run", "--yes", command="migrate")
    before = program.snapshot()
    finished = program.run("migrate", *ALLOWED)
    assert finished.returncode == 4
    assert "[flow.unasked]" in finished.stderr
    assert "password credential" in finished.stdout, "the plan was shown"
    assert program.snapshot() == before


def test_U4_a_dry_run_asks_nothing_and_the_run_after_it_migrates(program: Program) -> None:
    before = program.snapshot()
    assert json.loads(program.run("migrate", "--dry-run", *ALLOWED, "--json").stdout)["outcome"] == "planned"
    assert program.snapshot() == before
    assert program.run("migrate", "--yes", *ALLOWED).returncode == 0
    assert Profile.secret_member not in program.state_file.read_text()
    assert program.run("verify", *ALLOWED).returncode == 0


@pytest.mark.parametrize("text", ["WARNING: no JSON\n", "", "[]"], ids=["garbage", "nothing", "a list"])
def test_az_that_is_a_shim(program: Program, text: str) -> None:
    program.az(text)
    program.refused("az.garbage", 3, "not a wrapper", str(program.home.with_name("bin") / "az"))


def test_az_missing(program: Program) -> None:
    (program.home.with_name("bin") / "az").unlink()
    program.refused("az.missing", 3, "https://aka.ms/installazurecli")


def test_keystore_refused(program: Program) -> None:
    before = program.snapshot()
    finished = program.run("migrate", "--yes", "--json")
    (error,) = json.loads(finished.stdout)["errors"]
    assert (finished.returncode, error["id"]) == (3, "keystore.insecure")
    assert FILE_KEYSTORE in error["message"]
    assert "D-Bus" in error["remedy"]
    assert program.snapshot() == before


def test_disk_full(program: Program) -> None:
    """Nothing can be written anywhere: the audit log is the first to notice, and no token is asked for (D3)."""
    program.refused("audit.io", 3, "File too large", "Make room", largest=0)


def test_disk_almost_full(program: Program) -> None:
    """The lines of the audit log still go in: the keystore's own test is the next to notice."""
    program.refused("keystore.full", 3, "File too large", "Make room", largest=1500)


def test_U4_a_log_file_that_takes_no_more_is_a_finding_and_the_run_goes_on(program: Program) -> None:
    log = program.home / "run.log"
    log.write_text("x" * 20_000)
    log.chmod(0o600)
    asked = ("doctor", "--json", "--check", "packages", "--log-file", str(log))
    finished = program.run(*asked, largest=20_000)
    events = [json.loads(line) for line in finished.stderr.splitlines()]
    assert [event["id"] for event in events if event["event"] == "Finding"] == ["log.ended"]
    assert events[-1]["event"] == "FlowFinished"
    result = json.loads(finished.stdout)
    assert (result["outcome"], result["exit_code"], finished.returncode) == ("unchanged", 0, 0)


def test_state_file_empty(program: Program) -> None:
    program.state_file.write_text("")
    program.refused("statefile.broken", 3, str(program.state_file), "it is empty")


def test_state_file_read_only(program: Program) -> None:
    program.state_file.chmod(0o400)
    program.refused("statefile.read-only", 3, str(program.state_file), "chmod u+w")


def test_project_naming_a_file(program: Program) -> None:
    command = f"migrate --yes --project {program.state_file}"
    program.refused("usage.project", 2, str(program.state_file), "not a folder", "--project", command=command)


def test_ca_file_that_cannot_be_used(program: Program) -> None:
    program.lab.ca.write_text("no certificate")
    program.refused("network.roots", 3, str(program.lab.ca), "it holds no certificate", "ca_bundle")


@pytest.mark.parametrize(
    ("name", "value", "id"),
    [
        ("ENTRACLAW_SETUP_TENANT", "contoso.onmicrosoft.com", "usage.not-a-guid"),
        ("ENTRACLAW_SETUP_CERTIFICATE_DAYS", "many", "usage.settings"),
        ("ENTRACLAW_SETUP_CLOUD", "atlantis", "usage.cloud-unknown"),
        ("ENTRACLAW_SETUP_PROJECT", "/nowhere/at/all", "usage.project"),
    ],
)
def test_variable_that_makes_no_sense(program: Program, name: str, value: str, id: str) -> None:
    program.variables[name] = value
    program.refused(id, 2, value)


@pytest.mark.parametrize("command", ["verify", "token", "resume", "undo"])
@pytest.mark.parametrize(
    "content", [b"", b'{"CLOUD": "sandbox", "TENANT_ID": 7, "PROVISIONER_CLIENT_ID": 8}'], ids=["empty", "numbers"]
)
def test_U5_other_commands_meet_a_bad_state_file_too(program: Program, command: str, content: bytes) -> None:
    program.state_file.write_bytes(content)
    finished = program.run(command, *ALLOWED)
    assert finished.returncode == (1 if command == "token" else 2 if content else 3)
    assert "TENANT_ID" in finished.stderr if content else str(program.state_file) in finished.stderr
    assert "Traceback" not in finished.stderr
    assert program.state_file.read_bytes() == content
