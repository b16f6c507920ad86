"""Faults by script: which request fails, and how (S3). More kinds come with the scenario files."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["status", "cut-before", "cut-after", "hold-before", "hold-after"]


@dataclass
class Fault:
    """One fault.

    :param kind: `status` answers with a status instead of acting; `cut-before` and `cut-after` drop the connection
        before or after the effect; `hold-before` and `hold-after` wait for `release` before or after it.
    :param match: regular expression over `METHOD /path`.
    :param nth: the n-th matching request, from 1; 0 means every one.
    """

    kind: Kind
    match: str = ""
    nth: int = 1
    status: int = 500
    retry_after: int | None = None
    seen: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def strikes(self, line: str) -> bool:
        """Count a request; True when this one fails."""
        if not re.search(self.match, line):
            return False
        self.seen += 1
        if self.nth not in (0, self.seen):
            return False
        self.reached.set()
        return True

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

    def next(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets, if any."""
        line = f"{method} {path}"
        self.log.append(line)
        return next((fault for fault in self.script if fault.strikes(line)), None)
