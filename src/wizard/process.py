"""How this process behaves whatever it runs: no core dumps, streams that end nothing, signals, a log file."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

from core import files
from core.clock import Cancel
from core.config import profile as profiles
from core.config.settings import Settings
from core.errors import Interrupted, SetupError
from core.errors.exit_codes import ExitCode
from core.secret import forbid_core_dumps
from wizard import early


class Interruptible:
    """What a signal reaches.

    :ivar cancel: of what is under way.
    :ivar asking: whether a person is being asked right now.
    """

    def __init__(self, *, asking: bool = False) -> None:
        self.cancel, self.asking = Cancel(), asking


def prepare() -> None:
    """Before anything runs: nothing of it reaches a core file, and no character that cannot be shown ends it."""
    forbid_core_dumps()
    if sys.stdout is None:  # it was closed: whatever is written to it is lost, and that is told
        sys.stdout = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")


def flush(code: ExitCode, unread: ExitCode = ExitCode.DONE) -> ExitCode:
    """Empty the streams at the end; Python would turn a reader that went away into an exit code of its own.

    :param code: what the run came to.
    :param unread: instead of `DONE`, if nobody has read the output.
    :returns: the exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
            code = code or unread
    return code


@contextmanager
def signals(running: Interruptible) -> Iterator[None]:
    """Turn signals into a request to stop at the next safe place; at a question they stop at once.

    One that came while the program was loading counts.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        running.cancel.ask(number)
        if running.asking:
            raise Interrupted(number)

    with handling(handle):
        if number := early.heard():
            handle(number, None)
        yield


@contextmanager
def handling(handle: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Hand the signals that end a run to somebody else meanwhile."""
    before = {number: signal.signal(number, handle) for number in early.NUMBERS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def log(settings: Settings, command: str, stack: ExitStack) -> TextIO | None:
    """Open `--log-file`.

    :param command: for the error.
    :param stack: closes it.
    :returns: None: no log is wanted.
    :raises SetupError: `usage.settings`: it is the state file, or cannot be opened; `file.unsafe`.
    """
    if not settings.log_file:
        return None
    path = Path(settings.log_file)
    if path.resolve() == (settings.folder / profiles.of(settings).state_file).resolve():
        detail = f"--log-file {path} is the state file"
    else:
        try:
            file = os.fdopen(files.opened(path, append=True), "a", encoding="utf-8")
        except OSError as error:
            detail = f"--log-file {path} cannot be opened: {error.strerror}"
        else:
            stack.callback(_closed, file)
            return file
    raise SetupError("usage.settings", detail=detail, command=command)


def _closed(file: TextIO) -> None:
    with suppress(OSError):  # what it could not take was told when it was written
        file.close()
