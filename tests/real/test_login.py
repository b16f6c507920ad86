"""The real Azure CLI signs in and out at the sandbox, with the suite of every sign-in (U3, D4)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.clock import Cancel
from core.config.cloud import load as load_cloud
from core.errors import Interrupted
from core.machine import prerequisites
from core.machine.azure_cli import AzureCli
from core.machine.azure_login import Prompt
from core.sandbox.lab import Lab
from tests.contract.test_signin import Bench, SignInSuite


@pytest.fixture
def bench(az: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    lab = Lab.start("legacy")
    lab.tenant.switches.pending_polls = 10**9
    for name, value in lab.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{az}{os.pathsep}{os.environ['PATH']}")
    yield Bench(AzureCli(load_cloud(str(lab.cloud_file)), [tmp_path / "project"], Cancel()), lab)
    lab.close()


class TestAzureCli(SignInSuite):
    """The suite, with the real one."""

    def test_D4_the_code_is_in_none_of_its_files(self, bench: Bench) -> None:
        bench.login()
        (prompt,) = bench.prompts
        files = [path for path in bench.lab.folder.rglob("*") if path.is_file()]
        assert any("msal" in path.name for path in files)
        assert not [path for path in files if prompt.code.encode() in path.read_bytes()]


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_U3_a_browser_is_opened_and_the_sign_in_can_be_cancelled(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    bench.sign_in.logout()
    cancel = Cancel()

    def tell(prompt: Prompt) -> None:
        bench.prompts.append(prompt)
        cancel.ask(2)

    with pytest.raises(Interrupted):
        bench.sign_in.login(bench.lab.tenant.id, device_code=False, tell=tell, cancel=cancel)
    (prompt,) = bench.prompts
    assert prompt.code == ""
    assert prompt.text.startswith("A web browser has been opened at ")
    assert prompt.address == f"{bench.lab.tenant.authority}/{bench.lab.tenant.id}/oauth2/v2.0/authorize"
    assert not bench.signed_in()


def test_its_version_is_read(az: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{az}{os.pathsep}{os.environ['PATH']}")
    found = next(tool for tool in prerequisites.look([], Cancel()) if tool.name == prerequisites.AZ)
    assert (found.ok, found.why, found.install) == (True, "", "")
    assert found.found.startswith("2.")
