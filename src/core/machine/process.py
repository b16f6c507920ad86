"""The only place that starts programs (P4: no secret in an argument list or an environment of a child)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import SetupError
from core.flow.wait import Cancel
from core.secret import looks_secret, redactor

_SLICE: Final = 0.2


@dataclass(frozen=True)
class Finished:
    """A program that ended by itself. The two streams are kept apart."""

    code: int
    stdout: str
    stderr: str


def find(name: str, untrusted: Sequence[Path]) -> Path | None:
    """The program on the PATH.

    :param untrusted: folders from which nothing is started (C4): the working directory and the project.
    :returns: its absolute path, or None.
    :raises SetupError: `program.untrusted`: the first one found lies in such a folder.
    """
    found = shutil.which(name)
    if found is None:
        return None
    path = Path(found).absolute()
    for folder in untrusted:
        root = folder.resolve()
        if root == Path(root.anchor):
            continue  # everything lies below the root folder
        if path.is_relative_to(folder.absolute()) or path.resolve().is_relative_to(root):
            raise SetupError("program.untrusted", path=path, folder=folder)
    return path


def run(
    argv: Sequence[str], *, seconds: float, cancel: Cancel, extra: Mapping[str, str] | None = None, drop: str = ""
) -> Finished:
    """Run a program to its end.

    :param argv: program and arguments.
    :param seconds: after that long it is stopped, with all its children.
    :param extra: variables to set for it.
    :param drop: prefix of variables that it must not inherit.
    :raises SetupError: `az.hangs`.
    :raises OSError: it could not be started.
    """
    if any(looks_secret(argument) for argument in argv):
        raise AssertionError("a secret was about to become an argument")
    inherited = {key: value for key, value in os.environ.items() if not (drop and key.startswith(drop))}
    environment = {key: value for key, value in inherited.items() if not looks_secret(value)} | dict(extra or {})
    process = subprocess.Popen(  # noqa: S603  no shell; the program's path was resolved
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # a Ctrl-C reaches us and not the child
    )
    left = seconds
    try:
        while True:
            try:
                stdout, stderr = process.communicate(timeout=min(_SLICE, left))
                break
            except subprocess.TimeoutExpired:
                cancel.check()
                left -= _SLICE
                if left <= 0:
                    command = redactor.redact(" ".join(argv))
                    raise SetupError("az.hangs", command=command, seconds=round(seconds)) from None
    except BaseException:  # whatever ends the waiting, the child must not outlive it
        _stop(process)
        raise
    return Finished(process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


def _stop(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.communicate()
