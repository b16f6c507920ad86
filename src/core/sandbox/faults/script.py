"""The faults of a tenant, and what one request meets of them (S3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.sandbox import logs
from core.sandbox.faults.fault import BESIDE, HANDSHAKE, Fault
from core.sandbox.logs import bound


@dataclass
class Met:
    """What one request meets.

    :ivar fault: what becomes of its answer, if anything.
    :ivar delay: seconds before it is looked at.
    :ivar behind: how many seconds the replica that it reads lags behind, per kind of object.
    :ivar beside: whatever else struck.
    """

    fault: Fault | None = None
    delay: float = 0.0
    behind: dict[str, float] = field(default_factory=dict)
    beside: list[Fault] = field(default_factory=list)

    @property
    def struck(self) -> list[Fault]:
        """All of them."""
        return [*self.beside, *([self.fault] if self.fault else [])]

    def sabotage(self, tenant: Any, when: str) -> None:
        """Let the saboteurs act.

        :param when: `before` or `after` the effect.
        """
        for fault in self.beside:
            if fault.kind == f"sabotage-{when}" and fault.saboteur is not None:
                fault.saboteur(tenant)


@dataclass
class Faults:
    """The faults of a tenant and the log of what was asked; the log holds method and path, never a body.

    :ivar told: how often ids of an answer by script would have been the same.
    """

    script: list[Fault] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)

    def add(self, fault: Fault) -> Fault:
        """Switch a fault on."""
        self.script.append(fault)
        return fault

    def meet(self, method: str, path: str, items: Sequence[str] = (), *, host: str = "", elapsed: float = 0.0) -> Met:
        """What a request meets. Of the faults that spoil answers the first one strikes; the others do not count it.

        :param items: the requests of a batch, as `METHOD /path`: a script that names one of them means the connection
            that carries it, or, when it sets a status, that item alone (see `item`).
        :param elapsed: seconds on the tenant's clock since the sandbox's start.
        """
        line = f"{method} {path}"
        writes = [item for item in items if not item.startswith("GET ")]
        kept = logs.line(line)
        self.log.append(f"{kept} [{', '.join(map(logs.line, writes))}]" if writes else kept)
        bound(self.log)
        met = Met()
        for fault in list(self.script):
            beside = fault.kind in BESIDE
            if fault.kind in HANDSHAKE or (met.fault and not beside) or not fault.applies(host, elapsed):
                continue
            if not (
                fault.strikes(line)
                or (fault.match and fault.kind != "status" and any(fault.strikes(item) for item in items))
            ):
                continue
            fault.struck += 1
            if not beside:
                met.fault = fault
                continue
            met.beside.append(fault)
            if fault.kind == "latency":
                met.delay += fault.delay(line)
            elif fault.kind == "stale":
                met.behind[fault.of] = max(met.behind.get(fault.of, 0.0), fault.seconds[0])
        return met

    def item(self, line: str, *, host: str = "", elapsed: float = 0.0) -> Fault | None:
        """The status that one request of a batch meets, if any."""
        for fault in self.script:
            if fault.match and fault.kind == "status" and fault.applies(host, elapsed) and fault.strikes(line):
                fault.struck += 1
                return fault
        return None

    def handshake(self, host: str, elapsed: float) -> Fault | None:
        """The fault that a new connection meets, if any.

        :param host: that the client names.
        """
        for fault in self.script:
            if fault.kind in HANDSHAKE and fault.applies(host, elapsed) and fault.strikes(f"TLS {host}"):
                fault.struck += 1
                return fault
        return None

    @property
    def handshakes(self) -> bool:
        """Whether a connection may be struck; every request then takes a new one."""
        return any(fault.kind in HANDSHAKE for fault in self.script)

    @property
    def memory(self) -> float:
        """Seconds for which the stale replicas keep what was replaced."""
        return max((fault.seconds[0] for fault in self.script if fault.kind == "stale"), default=0.0)
