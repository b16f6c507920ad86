"""Sequential round trips: what a run needs at least, and what it took (docs/explanation/performance.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.sandbox.logs import Served

#: The Azure CLI's own for a token that it does not have yet: discovery and refresh. Nobody else can save them.
AZ: Final = 2
#: What the order of the promises leaves at least, without the Azure CLI's own.
LEAST: Final = {"migrate": 15, "onboard": 5}
#: How many more than the least are fine.
SPARE: Final = 2
#: For a run that changes nothing, with the Azure CLI's own.
AGAIN: Final = 4
SPAWNS: Final = 2
SPAWNS_AGAIN: Final = 1
#: Seconds that a migration waited for looks which only have to be apart, before they ran beside other work.
WAITED: Final = 12.0
#: The same now: two clean reads are that far apart.
WAITS: Final = 5.0
#: What the migration by hand-written scripts took, which this one replaces: spawns of az, one more per password
#: credential, and a fixed sleep in seconds until the certificate is accepted.
FORMER_SPAWNS: Final = 8
FORMER_SLEEP: Final = 30.0
#: What of that is left, at most.
SHARE: Final = 0.2


def longest_chain(served: Sequence[Served]) -> list[str]:
    """The longest chain of requests of which each began after the one before it was answered.

    Requests that are under way at the same moment count once. That needs answers that take longer than the client
    needs to send two of them, so it is meant for a sandbox with latency.
    """
    chain: list[str] = []
    free = float("-inf")
    for request in sorted(served, key=lambda one: one.end):
        if request.start >= free:
            chain.append(request.line)
            free = request.end
    return chain


def under_way(served: Sequence[Served]) -> float:
    """Seconds during which at least one request was under way; if the count is right, latency times trips."""
    total, until = 0.0, float("-inf")
    for request in sorted(served, key=lambda one: one.start):
        total += max(0.0, request.end - max(request.start, until))
        until = max(until, request.end)
    return total
