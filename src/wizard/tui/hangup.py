"""A terminal that is gone, or that takes nothing any more: the wizard ends all the same (U2).

The framework writes on a thread that dies of the first error; what it was handed from then on fills a queue, and the
loop stands still before it. A loop that stands still hears no signal.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, Final, cast

from core.errors.exit_codes import ExitCode
from wizard.tui.app import Wizard

#: Seconds that the screens have to go away after a signal, and then the last words.
PATIENCE: Final = 0.5
_OVER: Final = 0  # no signal has this number


class Lasting:
    """A stream that can be written to for ever; all else is the stream's.

    :param stream: where it goes, until that fails.
    :param gone: called when it has failed, once.
    """

    def __init__(self, stream: IO[str], gone: Callable[[], object]) -> None:
        self._stream, self._gone, self._lost = stream, gone, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write it, or drop it where nobody is."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        self._try(self._stream.flush)

    def _try(self, work: Callable[[], object]) -> None:
        if self._lost:
            return
        try:
            work()
        except OSError:
            self._lost = True
            self._gone()


@contextmanager
def lasting(gone: Callable[[], object]) -> Iterator[None]:
    """Let the framework's own streams outlive the terminal.

    :param gone: called on another thread when one of them has failed.
    """
    names = [name for name in ("__stdout__", "__stderr__") if getattr(sys, name) is not None]
    before = {name: getattr(sys, name) for name in names}
    for name, stream in before.items():
        setattr(sys, name, cast("Any", Lasting(stream, gone)))
    try:
        yield
    finally:
        for name, stream in before.items():
            setattr(sys, name, stream)


class Watch:
    """Ends the process when the screens do not go away after a signal.

    :param app: what must not stay half-done there is finished first.
    :param leave: ends the process with an exit code.
    """

    def __init__(self, app: Wizard, leave: Callable[[int], object] = os._exit) -> None:
        self._app, self._leave = app, leave
        self._heard: queue.SimpleQueue[int] = queue.SimpleQueue()  # unlike a lock, safe in a signal's handler
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def signalled(self, number: int) -> None:
        """A signal came; from its handler, or any thread.

        :param number: the signal's.
        """
        self._heard.put(number)

    def end(self) -> None:
        """The screens are gone, and everything was said."""
        self._heard.put(_OVER)

    def _run(self) -> None:
        number = self._heard.get()
        if number == _OVER or self._ends():
            return
        self._app.halt(number)
        if self._ends():  # what had to be finished took long, not the screens
            return
        with suppress(OSError):  # nobody is there to be told of a folder that stays
            self._app.workspace.close()
        self._leave(ExitCode.of_signal(number))

    def _ends(self) -> bool:
        """Whether it comes to its end by itself, soon."""
        end = time.monotonic() + PATIENCE
        with suppress(queue.Empty):
            while self._heard.get(timeout=max(0.0, end - time.monotonic())) != _OVER:
                pass
            return True
        return False
