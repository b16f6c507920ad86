"""The demo touches nothing real: its system calls are traced (U8)."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.flows import registry
from core.sandbox.scenarios.catalogue import SCENARIOS
from wizard import workspace
from wizard.cli import _parser, run


def test_U8_a_demo_writes_only_below_its_own_folder_and_talks_to_loopback_alone(tmp_path: Path, home: Path) -> None:
    if shutil.which("strace") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("strace is missing")
        pytest.skip("strace is missing: this test traces system calls")
    temporary, trace = tmp_path / "tmp", tmp_path / "trace"
    temporary.mkdir()
    variables = {
        "ENTRACLAW_SETUP_PROJECT": str(home),
        "AZURE_CONFIG_DIR": str(home / ".azure"),
        "PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring",
        "HTTPS_PROXY": "http://192.0.2.1:1",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent/bus",
    }
    finished = subprocess.run(
        ["strace", "-f", "-qq", "-o", str(trace), "-e",
         "trace=openat,open,creat,rename,renameat2,unlink,mkdir,connect,execve",
         sys.executable, "-B", "-m", "wizard", "demo", "--yes"],
        env={"HOME": str(home), "TMPDIR": str(temporary), "PATH": os.defpath, **variables},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    calls = [line for line in trace.read_text(errors="replace").splitlines() if " = -1 " not in line]
    written = [line for line in calls if re.search(r"O_WRONLY|O_RDWR|O_CREAT|rename|unlink|mkdir\(", line)]
    assert written, "something was traced"
    outside = [line for line in written if str(temporary) not in line and '"/dev/' not in line]
    assert not outside, outside
    every = trace.read_text(errors="replace").splitlines()
    # the C library asks its own helpers, nscd and uuidd, for names and ids
    connected = [line for line in every if "connect(" in line and not re.search(r"/(nscd|uuidd)/", line)]
    assert any('inet_addr("127.0.0.1")' in line for line in connected)
    assert [line for line in connected if "AF_" in line and "127.0.0.1" not in line] == []
    started = [line for line in every if "execve(" in line and f'"{sys.executable}"' not in line]
    assert started == [], "it starts nothing, nor tries to (C4)"
    assert [path.name for path in home.iterdir()] == []
    assert [path.name for path in temporary.iterdir()] == [], "cleaned up"


@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize("scenario", [*SCENARIOS, *(name for name in workspace.SCENARIOS if name not in SCENARIOS)])
def test_U10_the_command_that_a_demo_names_leads_back_into_it(home: Path, scenario: str, seed: int | None) -> None:
    demo = workspace.Demo({}, scenario, seed, at_once=False)
    try:
        for flow in ("", "migrate", "onboard"):
            given = vars(_parser().parse_args(shlex.split(demo.again(flow))[1:]))
            assert workspace.chosen(given) == (scenario, registry.row(flow or demo.scenarios[scenario].flow))
            assert given["seed"] == seed
    finally:
        demo.close()


def test_U10_a_demo_without_screens_says_that_its_commands_are_for_a_real_machine(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["demo", "--yes", "--scenario", "clean", "--flow", "migrate", "--seed", "7"]) == 0
    said = capsys.readouterr().out
    assert "for a real machine" in said
    assert said.rstrip().endswith("entraclaw-setup demo --scenario clean --seed 7")
    assert run(["demo", "--yes", "--scenario", "clean", "--quiet"]) == 0
    assert "for a real machine" not in capsys.readouterr().out
