"""One virtual time for many threads: it advances only when all of them wait, and one of them runs at a time.

So the order of what happens is decided by the times at which it happens and by a seed, on any computer.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

import pytest

#: Threads of the product that are part of the pretend world's order; all others wait for real things.
_ITS_OWN: Final = ("machine", "together", "ahead")
#: Real seconds after which a thread that does not hand on is a bug of the test.
_STUCK: Final = 120.0


class Timeline:
    """Hands the turn from thread to thread, in the order of their virtual times.

    :ivar elapsed: virtual seconds since the start.
    """

    def __init__(self) -> None:
        self.elapsed = 0.0
        self._began = datetime.now(UTC).replace(microsecond=0)
        self._lock = threading.Lock()
        self._number = count()
        self._queue: list[tuple[float, int, threading.Event]] = []
        self._joining: dict[threading.Thread, list[threading.Event]] = {}
        self._members: set[threading.Thread] = set()

    def now(self) -> datetime:
        return self._began + timedelta(seconds=self.elapsed)

    def wait(self, seconds: float) -> None:
        """Let the others have their turn until that many seconds are over."""
        turn = threading.Event()
        with self._lock:
            self._enter(seconds, turn)
            self._next()
        self._until(turn)

    def run(self, *tasks: Callable[[], None]) -> None:
        """Begin all in one instant, and return when all are over.

        :raises BaseException: the first that a task raised.
        """
        failures: list[BaseException] = []

        def guarded(task: Callable[[], None]) -> None:
            try:
                task()
            except BaseException as error:  # noqa: BLE001  raised again in the test's thread
                failures.append(error)

        with self._threads():
            threads = [threading.Thread(target=guarded, args=(task,), name="machine", daemon=True) for task in tasks]
            for thread in threads:
                thread.start()
            with self._lock:
                self._next()
            for thread in threads:
                thread.join(_STUCK * 10)
        if failures:
            raise failures[0]
        assert not any(thread.is_alive() for thread in threads), "somebody waits for ever"

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """See the threads that take part begin, end and wait for each other."""
        start, join, work = threading.Thread.start, threading.Thread.join, threading.Thread.run
        timeline = self
        turns: dict[threading.Thread, threading.Event] = {}

        def started(thread: threading.Thread) -> None:
            if thread.name in _ITS_OWN:
                turns[thread] = threading.Event()
                with timeline._lock:
                    timeline._members.add(thread)
                    timeline._enter(0.0, turns[thread])
            start(thread)

        def worked(thread: threading.Thread) -> None:
            if thread not in turns:
                work(thread)
                return
            timeline._until(turns[thread])
            try:
                work(thread)
            finally:
                with timeline._lock:
                    timeline._members.discard(thread)
                    for turn in timeline._joining.pop(thread, []):
                        timeline._enter(0.0, turn)
                    timeline._next()

        def joined(thread: threading.Thread, timeout: float | None = None) -> None:
            here = threading.current_thread()
            if here in turns and thread in turns:
                turn = None
                with timeline._lock:
                    if thread in timeline._members:
                        turn = threading.Event()
                        timeline._joining.setdefault(thread, []).append(turn)
                        timeline._next()
                if turn is not None:
                    timeline._until(turn)
            join(thread, timeout)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading.Thread, "start", started)
            patch.setattr(threading.Thread, "run", worked)
            patch.setattr(threading.Thread, "join", joined)
            yield

    def _enter(self, seconds: float, turn: threading.Event) -> None:
        heapq.heappush(self._queue, (self.elapsed + seconds, next(self._number), turn))

    def _next(self) -> None:
        if self._queue:
            self.elapsed, _, turn = heapq.heappop(self._queue)
            turn.set()

    @staticmethod
    def _until(turn: threading.Event) -> None:
        assert turn.wait(_STUCK), "no turn came"


class TimelineClock:
    """The timeline's time as a clock."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def now(self) -> datetime:
        return self._timeline.now()

    def monotonic(self) -> float:
        return self._timeline.elapsed

    def wait(self, seconds: float) -> None:
        self._timeline.wait(seconds)
