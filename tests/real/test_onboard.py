"""Provisioning with nothing pretended on this machine: real az, real gnome-keyring, a process of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.config.profile import Profile
from core.sandbox.lab import Lab
from tests.real.conftest import Desktop
from tests.real.program import Program

PROFILE = Profile()
ONLY = ("onboard", "--only", "provisioner", "--yes")


@pytest.fixture
def program(session: Desktop, az: Path) -> Iterator[Program]:
    lab = Lab.start("fresh")
    yield Program(lab, session, az)
    lab.close()


def counted(program: Program, folder: Path) -> Path:
    """Put a program before az that counts how often it is started; the file that holds a line for each."""
    folder.mkdir()
    log, shim = folder / "spawned", folder / "az"
    shim.write_text(f'#!/bin/sh\necho "$@" >> "{log}"\nexec "{program.az / "az"}" "$@"\n')
    shim.chmod(0o755)
    program.az = folder
    return log


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_P1_P9_from_nothing_to_a_token(program: Program, tmp_path: Path) -> None:
    log = counted(program, tmp_path / "shim")
    result = program.result(*ONLY)
    assert (result["outcome"], result["exit_code"], result["errors"]) == ("changed", 0, [])
    assert len(log.read_text().splitlines()) == 1, log.read_text()
    app_id = program.state[PROFILE.client_id_member]
    shown = program.az_json("ad", "app", "show", "--id", app_id)
    assert (shown["displayName"], shown["passwordCredentials"]) == (PROFILE.app_display_name, [])
    assert len(shown["keyCredentials"]) == 1
    assert len(shown["requiredResourceAccess"][0]["resourceAccess"]) == 26

    verified = program.result("verify")
    assert (verified["exit_code"], verified["outcome"]) == (0, "unchanged"), verified["errors"]
    token = program.run("token")
    assert (token.returncode, token.stderr) == (0, "")
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", token.stdout)
    migrated = program.result("migrate", "--yes")
    assert (migrated["outcome"], migrated["exit_code"]) == ("unchanged", 0), migrated["errors"]

    log.unlink()
    again = program.result(*ONLY)
    assert (again["outcome"], again["exit_code"]) == ("unchanged", 0)
    assert len(log.read_text().splitlines()) == 1, log.read_text()
    for command in ("resume", "undo"):
        none = program.result(command, "--yes")
        assert (none["outcome"], none["exit_code"]) == ("unchanged", 0)


def test_P4_the_key_is_in_no_file_and_no_output(program: Program) -> None:
    finished = program.run(*ONLY, "--verbose", "--log-file", str(program.session.home / "run.log"))
    assert finished.returncode == 0, finished.stderr
    everything = [finished.stdout.encode(), finished.stderr.encode()]
    for root in (program.session.home, program.lab.project):
        everything += [path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(b"FlowFinished" in content for content in everything), "the log was looked at"
    assert not [content for content in everything if b"PRIVATE KEY" in content]
