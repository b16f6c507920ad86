"""Faults by script: which request fails, and how (S3). More kinds come with the scenario files."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from core.sandbox.logs import bound
from core.sandbox.wire import Response, answer

Kind = Literal["status", "cut-before", "cut-after", "hold-before", "hold-after"]


@dataclass
class Fault:
    """One fault.

    :param kind: `status` answers with a status instead of acting; `cut-before` and `cut-after` drop the connection
        before or after the effect; `hold-before` and `hold-after` wait for `release` before or after it.
    :param match: regular expression over `METHOD /path`.
    :param nth: the n-th matching request, from 1; 0 means every one.
    :ivar struck: how often it struck.
    :ivar reached: set when the fault strikes; for `hold-after`, after the effect.
    """

    kind: Kind
    match: str = ""
    nth: int = 1
    status: int = 500
    retry_after: int | None = None
    seen: int = 0
    struck: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def strikes(self, line: str) -> bool:
        """Count a request; True when this one fails."""
        if not re.search(self.match, line):
            return False
        self.seen += 1
        if self.nth not in (0, self.seen):
            return False
        self.struck += 1
        if self.kind != "hold-after":  # which is reached when the effect is there
            self.reached.set()
        return True

    def answer(self) -> Response:
        """What a `status` fault answers."""
        codes = {403: "Authorization_RequestDenied", 429: "TooManyRequests", 409: "Directory_ConcurrencyViolation"}
        inner = {"request-id": "00000000-0000-0000-0000-000000000000", "date": "2026-01-01T00:00:00"}
        code = codes.get(self.status, "InternalServerError")
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after is not None else {}
        return answer(self.status, {"error": {"code": code, "message": "By script.", "innerError": inner}}, headers)

    def __str__(self) -> str:
        what = str(self.status) if self.kind == "status" else self.kind
        which = f"number {self.nth}" if self.nth else "every one"
        return f"{what}: {which} of {self.match or 'all requests'}"

    def release(self) -> None:
        """Let a held answer go."""
        self.released.set()


@dataclass
class Faults:
    """The faults of a tenant and the log of what was asked; the log holds method and path, never a body."""

    script: list[Fault] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def add(self, fault: Fault) -> Fault:
        """Switch a fault on."""
        self.script.append(fault)
        return fault

    def next(self, method: str, path: str, items: Sequence[str] = ()) -> Fault | None:
        """The fault that this request meets, if any.

        :param items: the requests of a batch, as `METHOD /path`: a script that names one of them means the connection
            that carries it, or, when it sets a status, that item alone (see `item`).
        """
        line = f"{method} {path}"
        writes = [item for item in items if not item.startswith("GET ")]
        self.log.append(f"{line} [{', '.join(writes)}]" if writes else line)
        bound(self.log)
        for fault in self.script:
            if fault.strikes(line):
                return fault
            if fault.match and fault.kind != "status" and any(fault.strikes(item) for item in items):
                return fault
        return None

    def item(self, line: str) -> Fault | None:
        """The status that one request of a batch meets, if any."""
        return next((f for f in self.script if f.match and f.kind == "status" and f.strikes(line)), None)
