"""A signal at the very beginning and at the very end: the result object and the exit code agree (U4, U5, U10)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

if os.name != "posix":
    pytest.skip("signals of POSIX", allow_module_level=True)

#: Sends a signal to its own process when a module is looked for, or when a function of the program returns.
SCRIPT = """
import os, sys
number, moment = int(sys.argv[1]), sys.argv[2]
del sys.argv[1:3]
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Finder())
def returning(module, name):
    function = getattr(module, name)
    def instead(*given, **named):
        try:
            return function(*given, **named)
        finally:
            os.kill(os.getpid(), number)
    setattr(module, name, instead)
from wizard import __main__ as program
match moment:
    case "the-result":
        import wizard.console.ndjson as module
        returning(module.Ndjson, "result")
    case "the-run":
        import wizard.cli
        returning(wizard.cli, "run")
    case "the-exit":
        import atexit
        atexit.register(lambda: os.kill(os.getpid(), number))
    case "the-last":
        class Last:
            def __del__(self, kill=os.kill, own=os.getpid()):
                kill(own, number)
        sys.modules["__main__"].last = Last()
program.main()
"""


def run(folder: Path, number: int, moment: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program; the signal comes by itself."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(int(number)), moment, *arguments],
        env={"HOME": str(folder), "PATH": os.defpath, "LANG": "C.UTF-8"},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["core.secret", "argparse", "wizard.cli", "core.errors", "wizard.commands"])
def test_U5_a_signal_while_the_program_loads_has_a_result_and_no_traceback(
    tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    finished = run(tmp_path, number, moment, "migrate", "--yes", "--json")
    assert finished.returncode == 128 + number, finished
    assert "Traceback" not in finished.stderr
    result = json.loads(finished.stdout)
    assert (result["exit_code"], result["outcome"]) == (128 + number, "failed")
    assert [error["id"] for error in result["errors"]] == ["flow.interrupted"]


@pytest.mark.parametrize("arguments", ["", "demo", "doctor", "verify", "token"])
def test_U5_a_signal_while_the_program_loads_ends_every_command(tmp_path: Path, arguments: str) -> None:
    finished = run(tmp_path, signal.SIGTERM, "wizard.cli", *arguments.split())
    assert finished.returncode == (1 if arguments == "token" else 143)
    assert "Traceback" not in finished.stderr
    assert "Interrupted" in finished.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["the-result", "the-run", "the-exit", "the-last"])
def test_U5_a_signal_in_the_last_milliseconds_changes_no_exit_code_that_was_told(
    tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    finished = run(tmp_path, number, moment, "explain", "az.missing", "--json")
    assert json.loads(finished.stdout)["exit_code"] == finished.returncode == 0
    assert finished.stderr == ""
