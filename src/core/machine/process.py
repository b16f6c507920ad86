"""The only place that starts programs: those of the table in `programs`, with what their row gives them (C4, P4)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Final

from core.clock import Cancel
from core.display import quoted
from core.errors import SetupError
from core.machine import libraries, programs
from core.secret import looks_secret, redactor

#: Bytes of output, both streams together, after which a program is stopped: no answer is that long.
LIMIT: Final = 4_000_000
_SLICE: Final = 0.2
_CHUNK: Final = 65536


@dataclass(frozen=True)
class Finished:
    """A program that ended by itself. The two streams are kept apart."""

    code: int
    stdout: str
    stderr: str


def words(text: str, most: int = 400) -> str:
    """What a program said, in one line without what is secret, for a sentence that names a cause (P11).

    :param most: characters, after which it is cut.
    """
    line = re.sub(r"\s+", " ", redactor.redact(text)).strip()
    return line if len(line) <= most else f"{line[:most]}…"


def find(name: str, untrusted: Sequence[Path]) -> Path | None:
    """The program on the PATH.

    :param untrusted: folders from which nothing is started (C4): the working directory and the project.
    :returns: its absolute path, or None.
    :raises SetupError: `program.untrusted`: the first one found lies in such a folder; `program.altered`: others
        could have put it there.
    """
    found = shutil.which(name)
    if found is None:
        return None
    path = Path(found).absolute()
    programs.check(path, found, untrusted)
    return path


def run(
    argv: Sequence[str],
    *,
    seconds: float,
    cancel: Cancel,
    untrusted: Sequence[Path] = (),
    extra: Mapping[str, str] | None = None,
    hear: Callable[[str], None] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Finished:
    """Run a program to its end, and to the end of what its children print, unless somebody hears it.

    :param argv: program, one of the table, and arguments.
    :param seconds: after that long it is stopped, with all its children.
    :param untrusted: folders that it must find no program in.
    :param extra: variables to set for it, beside those of its row.
    :param hear: given each line of standard error as it comes, in the caller's thread, of a program that tells there
        what a person has to do. What it raises ends the program, with all its children. It is over when the program
        is: a browser that it opened may hold its streams for as long as it likes.
    :param monotonic: the time that `seconds` are measured with.
    :raises SetupError: `az.hangs`, `az.floods`; `program.secret`: an argument looks like a secret.
    :raises Interrupted: somebody asked to stop.
    :raises OSError: it could not be started.
    """
    return _Run(argv, untrusted, extra).finish(seconds, cancel, monotonic, hear)


class _Run:
    """A program under way. Each stream has a thread, because not every system can wait for several pipes."""

    def __init__(self, argv: Sequence[str], untrusted: Sequence[Path], extra: Mapping[str, str] | None) -> None:
        for argument in argv:
            if looks_secret(argument):  # a folder may be called like one
                shown = quoted(redactor.redact(argument))
                raise SetupError("program.secret", program=quoted(redactor.redact(argv[0])), argument=shown)
        given = programs.environment(programs.name_of(argv[0]), (Path.cwd(), *untrusted), os.environ)
        self._argv = argv
        with libraries.announced(argv[0]):
            self._process = subprocess.Popen(  # noqa: S603  no shell; the program's path was resolved
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=given | dict(extra or {}),
                start_new_session=True,  # a Ctrl-C reaches us and not the child
            )
        self._said: SimpleQueue[tuple[bytearray, bytes]] = SimpleQueue()
        self._stdout, self._stderr = bytearray(), bytearray()
        pipes = ((self._process.stdout, self._stdout), (self._process.stderr, self._stderr))
        self._readers = [
            threading.Thread(target=_read, args=(pipe, into, self._said), name="program's output", daemon=True)
            for pipe, into in pipes
        ]
        for reader in self._readers:
            reader.start()

    def finish(
        self, seconds: float, cancel: Cancel, monotonic: Callable[[], float], hear: Callable[[str], None] | None
    ) -> Finished:
        """Wait for the end, and stop it if that does not come."""
        deadline = monotonic() + seconds
        ended = None
        streams = len(self._readers)
        try:
            while streams or self._process.poll() is None:
                if hear is not None and ended is None and self._process.poll() is not None:
                    ended = monotonic()
                if ended is not None and monotonic() - ended > _SLICE:
                    break  # what still comes is not its own
                cancel.check()
                self._check(seconds, deadline - monotonic())
                if not streams:  # it closed both, and stays
                    with suppress(subprocess.TimeoutExpired):
                        self._process.wait(_SLICE)
                    continue
                try:
                    into, chunk = self._said.get(timeout=_SLICE)
                except Empty:
                    continue
                streams -= not chunk
                self._take(into, chunk, hear)
                self._limit(ended)
        except BaseException:  # whatever ends the waiting, the child must not outlive it
            self._stop()
            raise
        stdout, stderr = (bytes(stream).decode(errors="replace") for stream in (self._stdout, self._stderr))
        return Finished(self._process.returncode, stdout, stderr)

    def _take(self, into: bytearray, chunk: bytes, hear: Callable[[str], None] | None) -> None:
        begun = into.rfind(b"\n") + 1  # of the line that is not complete yet
        into += chunk
        if hear is None or into is not self._stderr:
            return
        *lines, rest = bytes(into[begun:]).split(b"\n")
        for line in [*lines, *([rest] if rest and not chunk else [])]:
            hear(line.decode(errors="replace").rstrip("\r"))

    def _limit(self, ended: float | None) -> None:
        if ended is None and len(self._stdout) + len(self._stderr) > LIMIT:
            raise SetupError("az.floods", command=self._command(), limit=LIMIT // 1_000_000)

    def _check(self, seconds: float, left: float) -> None:
        if left <= 0:
            raise SetupError("az.hangs", command=self._command(), seconds=round(seconds))

    def _command(self) -> str:
        return redactor.redact(" ".join(self._argv))

    def _stop(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
            if os.name == "posix":
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join(_SLICE)  # one that left the session may still hold the pipe


def _read(pipe: IO[bytes], into: bytearray, said: SimpleQueue[tuple[bytearray, bytes]]) -> None:
    """Pass on what comes; what is over the limit is read and dropped, so that nobody waits for a full pipe."""
    left = LIMIT
    with pipe:
        while chunk := pipe.read(_CHUNK):
            if left >= 0:
                said.put((into, chunk))
            left -= len(chunk)
    said.put((into, b""))
