"""Something short beside the engine, on a thread of its own: what it says and how it ends come out as messages."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from textual.message import Message

from core.clock import Cancel
from core.errors import SetupError
from wizard.tui.host import Say


class Told(Message):
    """A job came to its end, or has something to say on its way.

    :ivar value: what it returned, what it said, or the error it ended with.
    :ivar over: whether it has ended.
    """

    bubble = False

    def __init__(self, job: Job, value: object, *, over: bool) -> None:
        super().__init__()
        self.job, self.value, self.over = job, value, over


class Job:
    """Something short beside the engine, such as a sign-in; it begins at once.

    :param work: receives a function that tells something, and the request to stop.
    :ivar after: receives what it returned, or the error it ended with.
    :ivar tells: receives what it says on its way.
    """

    def __init__(
        self, post: Callable[[Message], object], work: Callable[[Say, Cancel], object], after: Say, tells: Say
    ) -> None:
        self._post, self._work, self.after, self.tells = post, work, after, tells
        self._cancel = Cancel()
        self._thread = threading.Thread(target=self._run, name="job", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask it to stop."""
        self._cancel.ask(signal.SIGINT)

    def join(self, seconds: float) -> None:
        """Wait for its end.

        :param seconds: at most that long.
        """
        self._thread.join(seconds)

    def _run(self) -> None:
        from core.flow.engine import internal

        try:
            value = self._work(self._say, self._cancel)
        except SetupError as error:
            value = error
        except Exception as bug:  # noqa: BLE001  the app shows it; a thread that dies silently would hang it
            value = internal(bug)
        self._post(Told(self, value, over=True))

    def _say(self, value: object) -> None:
        self._post(Told(self, value, over=False))
