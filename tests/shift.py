"""The tests on another day and in another time zone (Q1): `python -m tests.shift CLOCK PART [PYTEST ARGUMENT …]`.

CLOCK is a number of days, such as `+365d`, or a moment, such as `2027-01-31 23:59:30`; PART is `fast` or `whole`.
`shift.c` is preloaded into pytest and into whatever that starts, whatever environment it is given: the tests start
programs with an environment of their own, and the product hands on little of its own. The clock of the kernel stays:
the times of files are the true ones. (libfaketime would do the same for time, but the version that distributions have
breaks `time.sleep` of Python 3.11 and later, https://github.com/wolfcw/libfaketime/issues/426, and makes the screens
three times slower.)
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any, Final

#: Where dates and times are read, written, drawn or compared, as far as it fits into three minutes.
FAST: Final = (
    "cli/test_handoff.py",
    "cli/test_renderers.py",
    "cli/test_replay.py",
    "cli/test_rollback.py",
    "contract",
    "flows/test_any_day.py",
    "flows/test_backup.py",
    "flows/test_doctor.py",
    "flows/test_handoff.py",
    "flows/test_interrupted.py",
    "flows/test_migrate.py",
    "flows/test_onboard.py",
    "flows/test_rollback.py",
    "real/test_handoff.py",
    "real/test_login.py",
    "sandbox/test_assertions.py",
    "sandbox/test_credentials.py",
    "sandbox/test_login.py",
    "sandbox/test_policies.py",
    "sandbox/test_proof.py",
    "sandbox/test_reports.py",
    "sandbox/test_server.py",
    "tui/test_pictures.py",
    "tui/test_replay.py",
    "unit/test_az.py",
    "unit/test_certificates.py",
    "unit/test_lifetime.py",
    "unit/test_recording.py",
    "unit/test_request.py",
    "unit/test_shift.py",
    "unit/test_tokens.py",
)
#: What repeats a flow many times says no more about time.
_LONG: Final = "not (crash or killed or fault_at_every_request or keeps_the_pace or mangled)"
_TESTS: Final = Path(__file__).parent
_SOURCE: Final = _TESTS / "shift.c"
_LIBRARY: Final = _TESTS.parent / ".venv" / "shift.so"
_NAMES: Final = ("CLOCK_SHIFT", "LD_PRELOAD", "TZ")
#: What a program that is started needs in its environment to see the same time of day as this process.
VARIABLES: Final[Mapping[str, str]] = {
    name: os.environ[name]
    for name in os.environ
    if name in _NAMES or (name.startswith("FAKETIME") and "libfaketime" in os.environ.get("LD_PRELOAD", ""))
}


def hand_on() -> None:
    """From now on every program that this process starts sees the same time of day."""
    if not VARIABLES:
        return
    popen: Any = subprocess.Popen.__init__
    execvpe = os.execvpe

    @wraps(popen)
    def start(self: subprocess.Popen[Any], *given: Any, env: Mapping[str, str] | None = None, **others: Any) -> None:
        popen(self, *given, env=None if env is None else {**VARIABLES, **env}, **others)

    def become(file: str, args: Any, env: Mapping[str, str]) -> Any:
        return execvpe(file, args, {**VARIABLES, **env})  # pexpect starts its programs this way

    subprocess.Popen.__init__ = start  # type: ignore[method-assign, assignment]
    os.execvpe = become  # type: ignore[assignment]
    if "FAKETIME" in VARIABLES:  # pytest below libfaketime, of which see above
        time.sleep = _pause  # type: ignore[assignment]


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def front(program: Path, folder: Path) -> Path:
    """A program of the same name that gives a real one what it needs to see the same time of day.

    :param folder: where it is put.
    """
    folder.mkdir(exist_ok=True)
    script = folder / program.name
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in VARIABLES.items())
    script.write_text(f'#!/bin/sh\n{exports}exec {shlex.quote(str(program))} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return script


def seconds(clock: str) -> int:
    """From now to a clock, as the arguments of this module name it; a moment is one of this time zone.

    :raises ValueError: it is neither a number of days nor a moment.
    """
    if days := re.fullmatch(r"([+-]\d+)d", clock):
        return int(days[1]) * 86400
    return round(datetime.fromisoformat(clock).astimezone().timestamp() - time.time())


def _built() -> bool:
    """Whether there is something to preload."""
    if not sys.platform.startswith("linux") or not (compiler := shutil.which("cc") or shutil.which("gcc")):
        return False
    if not _LIBRARY.exists() or _LIBRARY.stat().st_mtime < _SOURCE.stat().st_mtime:
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(_LIBRARY), str(_SOURCE)], check=True)
    return True


def main(clock: str, part: str, *arguments: str) -> int:
    """Run the tests, in place of this process.

    :returns: the exit code where they cannot be run.
    """
    if not _built():
        message = "the tests with another clock need Linux and a C compiler (apt-get install gcc libc6-dev)"
        sys.stderr.write(f"SKIPPED: {message}\n")
        return int(os.environ.get("CI") == "true")
    chosen = {"fast": [*(str(_TESTS / name) for name in FAST), "-k", _LONG], "whole": [str(_TESTS)]}[part]
    command = [sys.executable, "-m", "pytest", *chosen, "-n", "4", "--dist", "worksteal", *arguments]
    variables = {"LD_PRELOAD": str(_LIBRARY), "CLOCK_SHIFT": str(seconds(clock))}
    os.execve(sys.executable, command, os.environ | variables)
    raise AssertionError("exec does not return")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
