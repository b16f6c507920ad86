"""Developer and administrator as processes with homes of their own: real az, real gnome-keyring (P12)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.config.profile import Profile
from core.sandbox.lab import Lab
from tests.real.conftest import Desktop
from tests.real.program import Program

M7 = (
    "Migrated Provisioner from secret-auth to cert-auth. 3 password credentials removed from the app registration. "
    "PROVISIONER_CLIENT_SECRET purged from state file."
)


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab.start("unprivileged")
    yield lab
    lab.close()


@pytest.fixture
def developer(lab: Lab, session: Desktop, az: Path) -> Program:
    return Program(lab, session, az)


@pytest.fixture
def administrator(lab: Lab, az: Path, tmp_path: Path) -> Program:
    """Another machine: an empty home, no keystore at all, no project; somebody else is signed in to az."""
    home = tmp_path / "alex"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    variables: dict[str, str | None] = {
        "AZURE_CONFIG_DIR": str(lab.az_folder("alex")),
        "ENTRACLAW_SETUP_PROJECT": None,
        "ENTRACLAW_SETUP_KEY_OUTLIVES_JOB": None,
    }
    return Program(lab, Desktop(environment, home), az, variables)


def test_P12_two_people_finish_one_migration(developer: Program, administrator: Program) -> None:
    secret = developer.state[Profile.secret_member]
    asked = developer.result("migrate", "--yes")
    assert (asked["outcome"], asked["exit_code"], asked["errors"][0]["id"]) == ("partial", 5, "handoff.waiting")
    request = Path(asked["data"]["request"])
    assert secret not in request.read_text()
    assert "PRIVATE KEY" not in request.read_text()
    assert developer.state[Profile.secret_member] == secret
    assert developer.run("token").returncode == 1

    mailed = administrator.session.home / "request.json"
    mailed.write_bytes(request.read_bytes())
    assert developer.result("apply", str(mailed), "--yes")["errors"][0]["id"] == "rights.apply"
    told = json.loads(mailed.read_text())["thumbprint"]
    applied = administrator.result("apply", str(mailed), "--yes", "--thumbprint", told)
    assert (applied["outcome"], applied["exit_code"], applied["errors"]) == ("changed", 0, [])
    assert administrator.result("apply", str(mailed), "--yes")["outcome"] == "unchanged"
    app_id = developer.state[Profile.client_id_member]
    keys = administrator.az_json("ad", "app", "show", "--id", app_id, "--query", "keyCredentials[].keyId")
    assert len(keys) == 2

    finished = developer.result("resume", "--yes")
    assert (finished["outcome"], finished["exit_code"], finished["errors"]) == ("changed", 0, [])
    assert finished["data"]["summary"][0] == M7
    assert not request.exists()
    assert developer.az_json("ad", "app", "show", "--id", app_id, "--query", "passwordCredentials") == []
    assert developer.result("verify")["exit_code"] == 0
    left = {path.name for path in administrator.session.home.iterdir() if not path.name.startswith(".")}
    assert left == {"request.json"}, "nothing was made beside it"
