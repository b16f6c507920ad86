"""`verify --commands`: what it prints, run by bash with az, jq, openssl, curl and secret-tool (M9)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.config.profile import Profile
from core.sandbox.lab import Lab
from tests.real.conftest import Desktop, missing
from tests.real.program import Program


@pytest.fixture
def program(session: Desktop, az: Path) -> Iterator[Program]:
    for tool in ("jq", "openssl", "curl", "secret-tool", "bash"):
        if shutil.which(tool) is None:
            missing(tool)
    lab = Lab.start("legacy")
    yield Program(lab, session, az)
    lab.close()


def by_hand(program: Program) -> tuple[dict[str, list[str]], str]:
    """What each command prints, by check, and all of it."""
    printed: dict[str, list[str]] = {}
    everything = ""
    for row in program.result("verify", "--commands")["data"]["commands"]:
        ran = subprocess.run(
            ["bash", "-c", row["line"]],
            cwd=program.lab.project,
            env=program.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        printed.setdefault(row["check"], []).append(ran.stdout.strip())
        everything += ran.stdout + ran.stderr
    return printed, everything


def test_M9_the_commands_say_by_hand_what_verify_says(program: Program) -> None:
    profile = Profile()
    secret = program.state[profile.secret_member]
    before, told = by_hand(program)
    assert before["state-file"] == ["false"]
    assert before["passwords"] == ["3", "1"]
    assert secret not in told
    assert program.run("migrate", "--yes").returncode == 0
    after, told = by_hand(program)
    thumbprint = program.state[profile.thumbprint_member]
    assert after["state-file"] == ["true"]
    assert after["passwords"] == ["0", "0"]
    assert thumbprint.lower() in after["key"][0].replace(":", "").lower()
    assert after["thumbprint"] == [thumbprint]
    assert thumbprint.lower() in after["certificate"][0].lower()
    assert program.state[profile.client_id_member] in after["token"][0]
    assert program.lab.tenant.id in after["token"][0]
    assert "PRIVATE KEY" not in told
    assert secret not in told


def test_M9_the_lines_are_a_script(program: Program) -> None:
    printed = program.run("verify", "--commands")
    assert printed.returncode == 0, printed.stderr
    parsed = subprocess.run(["bash", "-n"], input=printed.stdout, text=True, capture_output=True, check=False)
    assert (parsed.returncode, parsed.stderr) == (0, "")
    assert printed.stdout.count("\n# ") >= 7
