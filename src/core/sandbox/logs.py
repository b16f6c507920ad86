"""Logs of the sandbox, which may run for days."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from core.secret import redactor

#: Entries that a log keeps; twice as many are the most that it ever holds.
KEPT: Final = 10_000
#: How often a path is decoded at most; one that takes more hides something.
_MOST_CODED: Final = 16


def bound(log: list[Any]) -> None:
    """Drop the oldest entries of a log that has grown too long.

    It stays a list, which tests compare and slice; cutting it seldom makes the cost of each entry constant.
    """
    if len(log) >= 2 * KEPT:
        del log[:-KEPT]


def line(text: str) -> str:
    """What a log keeps of `METHOD /path`: a secret is found in it however often it is percent-encoded."""
    decoded = text
    for _ in range(_MOST_CODED):
        if (once := unquote(decoded)) == decoded:
            return redactor.redact(decoded if redactor.finds(decoded) else text)
        decoded = once
    return f"{text.partition(' ')[0]} [redacted]"


class Served(NamedTuple):
    """One request and its answer; like every log here, it holds no body, no query and no header.

    :param line: `METHOD /path`.
    :param start: when it arrived, in seconds of a monotonic clock.
    :param end: when it was answered.
    :param at: when it arrived, on the tenant's clock.
    :param status: of the answer; 0: the connection was gone before.
    :param items: the requests of a batch, as `METHOD /path`.
    :param fault: what struck it, by script.
    """

    line: str
    start: float
    end: float
    at: datetime = datetime.min.replace(tzinfo=UTC)
    status: int = 0
    items: tuple[str, ...] = ()
    fault: str = ""
