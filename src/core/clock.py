"""Time, cancellation, and the only way to wait (P7).

There is no sleep anywhere else: whoever waits says for what, for how long at most, and can be cancelled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from random import Random
from typing import Final, Protocol, TypeVar

from core.errors import Interrupted
from core.events import Event, Waiting

T = TypeVar("T")

#: Seconds between tries; the last one repeats. Tight polling can be cached as a failure by the service.
BACKOFF: Final = (2.0, 4.0, 8.0, 15.0)


class Cancel:
    """A request to stop, made by a signal or a key and honoured at the next safe place."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._shields = 0
        self.signal = 0

    def ask(self, signal: int) -> None:
        """Ask the run to stop.

        :param signal: the signal's number, for the exit code.
        """
        self.signal = self.signal or signal
        self._asked.set()

    def check(self) -> None:
        """Stop here if that was asked and nothing shields this stretch.

        :raises Interrupted: somebody asked.
        """
        if self._asked.is_set() and not self._shields:
            raise Interrupted(self.signal)

    def pause(self, seconds: float) -> None:
        """Let time pass, or stop early when asked to.

        :raises Interrupted: somebody asked.
        """
        if self._shields:
            threading.Event().wait(seconds)
        else:
            self._asked.wait(seconds)
        self.check()

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """A stretch that is finished although somebody asked to stop, such as undoing."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1


class Clock(Protocol):
    """Time as the run sees it; tests and the sandbox inject their own."""

    def now(self) -> datetime:
        """The current time, with the time zone UTC."""

    def monotonic(self) -> float:
        """Seconds since some moment, never going back."""

    def wait(self, seconds: float) -> None:
        """Let that many seconds pass.

        :raises Interrupted: the run was asked to stop.
        """


class Waits(Protocol):
    """Whoever waits: a run's context, or a client of a service."""

    @property
    def clock(self) -> Clock:
        """The time."""

    def emit(self, event: Event, /) -> None:
        """Tell that and why time passes."""


class SystemClock:
    """The machine's clock."""

    def __init__(self, cancel: Cancel | None = None) -> None:
        self._cancel = cancel or Cancel()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        self._cancel.pause(seconds)


def wait_until(
    condition: Callable[[], T | None], who: Waits, reason: str, *, expected: float, deadline: float
) -> T | None:
    """Try until the condition holds or the deadline has passed; the first try is at once.

    :param condition: returns what was waited for, or None while it does not hold yet.
    :param reason: what is being waited for, as the user reads it.
    :param expected: how long this usually takes, in seconds.
    :param deadline: when to give up, in seconds from now.
    :returns: what the condition returned, or None after the deadline.
    """
    start = who.clock.monotonic()
    attempt = 0
    while True:
        if (result := condition()) is not None:
            return result
        elapsed = who.clock.monotonic() - start
        if elapsed >= deadline:
            return None
        seconds = min(backoff(attempt), deadline - elapsed)
        attempt += 1
        who.emit(Waiting(reason, expected, round(elapsed, 3), attempt, seconds))
        who.clock.wait(seconds)


def backoff(attempt: int, chance: Random | None = None) -> float:
    """Seconds before a further try.

    :param attempt: how many tries there were before the one that has just failed.
    :param chance: adds up to a quarter, so that machines that failed together do not come back together.
    """
    seconds = BACKOFF[min(attempt, len(BACKOFF) - 1)]
    return seconds if chance is None else seconds + chance.uniform(0, seconds / 4)


def together(*tasks: Callable[[], T]) -> list[T]:
    """Do things that wait for a network at the same time.

    :param tasks: they must not depend on each other.
    :returns: what each returned, in their order.
    :raises Exception: the first one that a task raised, after all of them ended.
    """
    from concurrent.futures import Future

    def settle(task: Callable[[], T], future: Future[T]) -> None:
        try:
            future.set_result(task())
        except BaseException as error:  # noqa: BLE001  it is raised again where the result is asked for
            future.set_exception(error)

    futures: list[Future[T]] = [Future() for _ in tasks]
    # daemons, unlike the threads of an executor: the end of the process must not wait for a network that hangs
    threads = [
        threading.Thread(target=settle, args=pair, name="together", daemon=True)
        for pair in zip(tasks, futures, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [future.result() for future in futures]


def ahead(task: Callable[[], object]) -> Callable[[], None]:
    """Begin something whose effect is wanted a little later.

    :param task: it may fail without a word: whoever needs its effect finds out.
    :returns: waits for its end.
    """

    def quietly() -> None:
        with suppress(Exception):
            task()

    thread = threading.Thread(target=quietly, name="ahead", daemon=True)
    thread.start()
    return thread.join


def pause(seconds: float, who: Waits, reason: str) -> None:
    """Let a given time pass, and say why.

    :param seconds: how long.
    :param reason: what for, as the user reads it.
    """
    who.emit(Waiting(reason, seconds, 0.0, 1, seconds))
    who.clock.wait(seconds)
