"""The sandbox's services in this process: requests a second on one core, without a network (S1).

CPU time of this process is what is measured, the least of several rounds: other work on the machine counts for little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from core.sandbox.http import Response
from core.sandbox.token_service import signing
from core.sandbox.token_service.assertion import ASSERTION_TYPE
from tests.bench.table import Row
from tests.sandbox.client import Client, key_pair

#: Requests in a `$batch`; each of them counts, as it does for the real service's limits.
BATCH: Final = 5
GOAL: Final = 2_000
_ROUNDS, _CALLS = 15, 20
Call = Callable[[], Response]


def rates() -> list[Row]:
    """Each kind of request, and all of them in equal shares."""
    client = Client("legacy")
    client.add_key(key_pair())
    seconds = {name: _least(call) for name, call in calls(client).items()}
    signature = _least(lambda: signing.sign({"oid": client.app_id}))
    rows = [_row(f"sandbox: {name}", 1 / each) for name, each in seconds.items()]
    rows.append(_row("sandbox: a token's RSA signature alone", 1 / signature))
    mixes = {
        "all of these in equal shares": list(seconds),
        "… without the token by assertion": [name for name in seconds if name != "token by assertion"],
    }
    for what, names in mixes.items():
        rate = rate_of(seconds[name] for name in names)
        rows.append(Row(f"sandbox: {what}", f"{rate:,.0f} /s", "", "", f"≥ {GOAL:,} /s", rate >= GOAL))
        rows.append(_row("… with each batch counted as one", len(names) / sum(seconds[name] for name in names)))
    return rows


def rate_of(seconds: Iterable[float]) -> float:
    """Requests a second when each kind is asked as often; one of the kinds is the batch."""
    taken = list(seconds)
    return (len(taken) - 1 + BATCH) / sum(taken)


def calls(client: Client) -> dict[str, Call]:
    """One of each kind, every one of which succeeds."""
    app, assertion = f"/applications/{client.app['id']}", client.assertion(key_pair())
    wanted = f"/applications?$filter=displayName eq '{client.app['displayName']}'&$select=id,appId"
    items = [{"id": str(number), "method": "GET", "url": app} for number in range(BATCH)]
    found: dict[str, Call] = {
        "GET application": lambda: client.call("GET", app),
        "list with filter": lambda: client.call("GET", wanted),
        "token by secret": lambda: client.sign_in(client_secret=client.secret),
        "token by assertion": lambda: client.sign_in(client_assertion_type=ASSERTION_TYPE, client_assertion=assertion),
        "PATCH application": lambda: client.call("PATCH", app, {"notes": "a note"}),
        f"$batch of {BATCH}": lambda: client.call("POST", "/$batch", {"requests": items}),
    }
    for name, call in found.items():
        if call().status not in (200, 204):
            raise SystemExit(f"{name} was refused: {call().body!r}")
    return found


def _least(call: Callable[[], object]) -> float:
    """Seconds of one call, in the best round."""
    rounds = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        for _ in range(_CALLS):
            call()
        rounds.append((time.process_time() - start) / _CALLS)
    return min(rounds)


def _row(what: str, rate: float) -> Row:
    return Row(what, f"{rate:,.0f} /s", "", "", "", None)


if __name__ == "__main__":
    from tests.bench.table import markdown

    print(markdown(rates()))
