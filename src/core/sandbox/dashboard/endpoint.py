"""`/` and `/status.json` of the sandbox: for whoever sits at this computer, and nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.sandbox.dashboard import facts, page
from core.sandbox.directory.store import Tenant
from core.sandbox.http import Request, Response, answer
from core.sandbox.logs import Served

PATHS: Final = frozenset({"/", "/status.json"})
_HOSTS: Final = frozenset({"127.0.0.1", "localhost"})
_PRIVATE: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def handle(tenant: Tenant, request: Request, served: Sequence[Served]) -> Response:
    """Answer a request to one of `PATHS`.

    :param served: what was answered, oldest first.
    """
    if request.host.partition(":")[0].lower() not in _HOSTS:
        # another name that was made to lead here: a page of the web would read the answer as its own (DNS rebinding)
        return Response(421, _PRIVATE)
    if request.method not in ("GET", "HEAD"):
        return Response(405, {**_PRIVATE, "Allow": "GET, HEAD"})
    found = facts.of(tenant, served)
    if request.path == "/status.json":
        return answer(200, found, _PRIVATE)
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": page.POLICY, **_PRIVATE}
    return Response(200, headers, page.drawn(found, _seconds(request.query.get("refresh", ""))))


def _seconds(text: str) -> int:
    """How often the page is to be loaded anew; 0: never."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 5 else 0
