"""One fault: which requests it strikes, and how (S3)."""

from __future__ import annotations

import math
import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Final, Literal

Kind = Literal[
    "status",
    "cut-before",
    "cut-after",
    "hold-before",
    "hold-after",
    "latency",
    "half-body",
    "not-json",
    "wrong-type",
    "empty",
    "tls-handshake",
    "tls-stranger",
    "stale",
    "sabotage-before",
    "sabotage-after",
]
Body = Literal["json", "html", "empty"]
Form = Literal["seconds", "date"]
#: Kinds that strike a new connection, of which no request is known yet.
HANDSHAKE: Final = frozenset({"tls-handshake", "tls-stranger"})
#: Kinds that leave the answer to others, so that several of them may meet one request.
BESIDE: Final = frozenset({"latency", "stale", "sabotage-before", "sabotage-after"})
#: Kinds that spoil an answer on its way.
SPOILED: Final = frozenset({"status", "half-body", "not-json", "wrong-type", "empty"})
_WORDS: Final[dict[Kind, str]] = {
    "cut-before": "connection cut before the effect",
    "cut-after": "connection cut after the effect",
    "hold-before": "held before the effect",
    "hold-after": "held after the effect",
    "half-body": "half a body",
    "not-json": "200 with a page",
    "wrong-type": "JSON as text/html",
    "empty": "200 without a body",
    "tls-handshake": "TLS handshake fails",
    "tls-stranger": "certificate of another CA",
}


@dataclass
class Fault:
    """One fault. Without `nth`, `every` and `range` it strikes the first request that matches.

    :param kind: `status` answers with a status; `cut-*` drop the connection before or after the effect; `hold-*` wait
        for `release`; `half-body`, `not-json`, `wrong-type` and `empty` spoil the answer; `tls-*` strike new
        connections; `latency`, `stale` and `sabotage-*` leave the answer to others.
    :param match: regular expression over `METHOD /path`; over `TLS host` for `tls-*`.
    :param nth: the n-th matching request, from 1; 0 means every one.
    :param status: what a `status` fault answers.
    :param retry_after: seconds in the header `Retry-After`; None: no header.
    :param every: every n-th matching request instead.
    :param range: the first and the last matching request instead; a last one of 0 means no end.
    :param host: only requests to this host name.
    :param chance: strikes with this probability, drawn from `seed`, the request, and how often it was made.
    :param since: seconds on the tenant's clock from the sandbox's start, from when on it strikes.
    :param until: likewise, when it ends.
    :param code: error code; empty: the usual one of the status. At the token endpoint an AADSTS number.
    :param body: of a `status` fault: the service's error, a gateway's page, or nothing.
    :param retry_after_as: the form of `Retry-After`.
    :param effect: the request is carried out although the answer is spoiled; None: except for `status`.
    :param seconds: shortest and longest delay of `latency`; the first is how far `stale` lags behind.
    :param of: kind of object that `stale` reads from a stale replica.
    :param saboteur: for `sabotage-*`: what somebody else does to the tenant; its text says so.
    :ivar seen: matching requests so far.
    :ivar struck: how often it struck.
    :ivar reached: set when it strikes; for `hold-after`, after the effect.
    """

    kind: Kind
    match: str = ""
    nth: int = 1
    status: int = 500
    retry_after: int | None = None
    seen: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    _: KW_ONLY
    every: int = 0
    range: tuple[int, int] | None = None
    host: str = ""
    chance: float = 1.0
    since: float = 0.0
    until: float = math.inf
    seed: int = 0
    code: str = ""
    message: str = "By script."
    body: Body = "json"
    retry_after_as: Form = "seconds"
    effect: bool | None = None
    seconds: tuple[float, float] = (0.0, 0.0)
    of: str = ""
    saboteur: Callable[[Any], None] | None = None
    struck: int = 0
    _drawn: Counter[str] = field(default_factory=Counter, init=False, repr=False)

    def applies(self, host: str, elapsed: float) -> bool:
        """Whether it strikes on this host at this time.

        :param elapsed: seconds on the tenant's clock since the sandbox's start.
        """
        return self.host in ("", host) and self.since <= elapsed < self.until

    def strikes(self, line: str) -> bool:
        """Count a request; True when this one fails.

        :param line: `METHOD /path`.
        """
        if not re.search(self.match, line):
            return False
        self.seen += 1
        if not self._counts() or (self.chance < 1 and self._random(line).random() >= self.chance):
            return False
        if self.kind != "hold-after":  # which is reached when the effect is there
            self.reached.set()
        return True

    def delay(self, line: str) -> float:
        """Seconds that a `latency` fault delays this request."""
        shortest, longest = self.seconds
        return shortest if shortest == longest else self._random(line).uniform(shortest, longest)

    @property
    def acts(self) -> bool:
        """Whether a request that it strikes is carried out."""
        return self.kind != "status" if self.effect is None else self.effect

    def release(self) -> None:
        """Let a held answer go."""
        self.released.set()

    def __str__(self) -> str:
        """What it does to which requests, in one line."""
        which = "every one"
        if self.range is not None:
            first, last = self.range
            which = f"numbers {first} to {last}" if last else f"from number {first} on"
        elif self.every or self.nth:
            which = f"1 in {self.every}" if self.every else f"number {self.nth}"
        parts = [f"{which} of {self.match or ('connections' if self.kind in HANDSHAKE else 'all requests')}"]
        parts += [f"to {self.host}"] if self.host else []
        parts += [f"with chance {self.chance:g}"] if self.chance < 1 else []
        parts += [f"from {self.since:g} s"] if self.since else []
        parts += [f"until {self.until:g} s"] if self.until < math.inf else []
        return f"{self._what()}: {', '.join(parts)}"

    def _what(self) -> str:
        match self.kind:
            case "status":
                asked = "" if self.retry_after is None else f", Retry-After {self.retry_after} s"
                return f"{self.status}{f' {self.code}' if self.code else ''}{asked}{', carried out' * self.acts}"
            case "latency":
                shortest, longest = self.seconds
                return f"{shortest:g} s late" if shortest == longest else f"{shortest:g} to {longest:g} s late"
            case "stale":
                return f"{self.of} as of {self.seconds[0]:g} s ago"
            case "sabotage-before" | "sabotage-after":
                return f"{self.saboteur} {self.kind.removeprefix('sabotage-')} the effect"
        late = ", not carried out" if self.kind in SPOILED and not self.acts else ""
        return _WORDS[self.kind] + late

    def _counts(self) -> bool:
        """Whether this is one of the requests that it is meant for."""
        if self.range is not None:
            first, last = self.range
            return first <= self.seen and (not last or self.seen <= last)
        return self.seen % self.every == 0 if self.every else self.nth in (0, self.seen)

    def _random(self, line: str) -> random.Random:
        """Chance that does not depend on what else is asked at the same time."""
        self._drawn[line] += 1
        return random.Random(f"{self.seed} {line} {self._drawn[line]}")  # noqa: S311  determinism is wanted
