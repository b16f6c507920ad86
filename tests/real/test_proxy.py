"""The product in the public cloud, which the sandbox's proxy pretends to be: real az, real gnome-keyring (C1, S4)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.config.profile import Profile
from core.sandbox.lab import Lab
from tests.real.conftest import Desktop
from tests.real.program import Program


@pytest.fixture
def program(session: Desktop, az: Path) -> Iterator[Program]:
    lab = Lab.start("legacy", proxy=True)
    # as a person would: the project of the public cloud, and nothing that names the sandbox
    yield Program(lab, session, az, {"ENTRACLAW_SETUP_CLOUD": None})
    lab.close()


def test_S4_the_main_job_in_the_public_cloud(program: Program) -> None:
    lab, app_id = program.lab, program.state[Profile.client_id_member]
    assert "CLOUD" not in program.state, "a file that names no cloud is the public one's (C1)"
    assert program.result("verify", "--cloud", "public")["exit_code"] == 8
    migrated = program.result("migrate", "--yes", "--cloud", "public")
    assert (migrated["outcome"], migrated["exit_code"], migrated["errors"]) == ("changed", 0, [])
    for kind in ("application", "servicePrincipal"):
        found = lab.tenant.find(kind, "appId", app_id)
        assert found is not None
        assert found["passwordCredentials"] == []
    verified = program.result("verify")
    assert (verified["exit_code"], verified["outcome"]) == (0, "unchanged")
    assert program.run("token").returncode == 0
    assert lab.server.proxy is not None
    assert {"login.microsoftonline.com:443", "graph.microsoft.com:443"} <= set(lab.server.proxy.led)
    assert lab.server.proxy.refused == [], "nothing else was asked for"
