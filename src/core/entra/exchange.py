"""One request and its answer on a thread of its own: within a time limit, told when slow, stopped by a signal (P7).

A socket's own time limit is between two bytes, so an answer that drips never ends; and a thread that reads hears no
signal. What is given up before it was sent is never sent: it must not land after its undo.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPSConnection

from core.clock import Cancel
from core.errors import Effected, Interrupted, NetworkError
from core.events import Event, Waiting

T = TypeVar("T")

#: Seconds for one request and its whole answer.
PATIENCE: Final = 75.0
#: Seconds after which somebody is told that an answer is slow.
SLOW: Final = 2.0
_SLICE: Final = 0.2
_here: Final = threading.local()


class _Exchange(Generic[T]):
    """A request under way.

    :ivar sent: whether it has left this machine, or may have.
    """

    def __init__(self) -> None:
        self.over = threading.Event()
        self.answers: list[T] = []
        self.error: BaseException | None = None
        self.sent = False
        self._given_up = False
        self._lock = threading.Lock()

    def run(self, send: Callable[[], T]) -> None:
        """Send and read, on the thread of this exchange."""
        _here.exchange = self
        try:
            self.answers.append(send())
        except BaseException as error:  # noqa: BLE001  carried to the caller's thread, never dropped
            self.error = error
        self.over.set()

    def leave(self) -> None:
        """The connection is there, and the request is about to leave.

        :raises ConnectionAbortedError: it was given up.
        """
        with self._lock:
            if self._given_up:
                raise ConnectionAbortedError("given up before it was sent")
            self.sent = True

    def give_up(self) -> None:
        """Nobody waits for the answer any more."""
        with self._lock:
            self._given_up = True


def answer(send: Callable[[], T], host: str, cancel: Cancel, emit: Callable[[Event], None]) -> T:
    """Send a request and wait for its whole answer.

    :param send: does it, over connections of `POOLS`.
    :raises NetworkError: `network.unreachable`: it took too long.
    :raises Interrupted: it was cancelled.
    :raises Exception: what `send` raised.
    """
    exchange = _Exchange[T]()
    start, told = time.monotonic(), False
    # a daemon: the end of the process must not wait for a network that hangs
    threading.Thread(target=exchange.run, args=(send,), name="request", daemon=True).start()
    while not exchange.over.wait(_SLICE):
        passed = time.monotonic() - start
        try:
            cancel.check()
        except Interrupted:
            exchange.give_up()
            raise
        if passed >= PATIENCE:
            exchange.give_up()
            detail = f"no whole answer came in {PATIENCE:.0f} s"
            effected = Effected.UNKNOWN if exchange.sent else Effected.NO
            raise NetworkError("network.unreachable", effected=effected, host=host, detail=detail)
        if passed >= SLOW and not told:
            told = True
            emit(Waiting(f"an answer of {host}", SLOW, round(passed, 3), 1, round(PATIENCE - passed, 3)))
    if exchange.error is not None:
        raise exchange.error
    return exchange.answers[0]


class _Connection(HTTPSConnection):
    """A connection that asks whether a request is still wanted once it is there to be sent."""

    def request(self, *args: Any, **kwargs: Any) -> None:
        exchange: _Exchange[Any] | None = getattr(_here, "exchange", None)
        if exchange is not None:
            exchange.leave()
        super().request(*args, **kwargs)


class _Pool(HTTPSConnectionPool):
    ConnectionCls = _Connection


#: For a pool manager of urllib3: connections that do not send what was given up.
POOLS: Final = {"http": HTTPConnectionPool, "https": _Pool}
