"""The services of a tenant as one function: a request in, a response out, without a network (S1).

Tests call it in process thousands of times a second; the server puts TLS in front of it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from core.sandbox import blob, consent, origins, replies
from core.sandbox.arm import route as arm
from core.sandbox.directory.store import Tenant
from core.sandbox.faults import Fault
from core.sandbox.graph import deleted
from core.sandbox.graph import route as graph
from core.sandbox.http import Request, Response
from core.sandbox.token_service import endpoint


def handle(tenant: Tenant, request: Request) -> Response:
    """Answer one request, dated by the tenant's clock, under the names of its host; a bug of the sandbox is a 500."""
    with origins.of(request.host):
        try:
            return _handle(tenant, request)
        except Exception as error:  # noqa: BLE001  a service answers whatever happens
            return broken(tenant, request, error)


def broken(tenant: Tenant, request: Request, error: Exception) -> Response:
    """What the service that was asked says of a bug of the sandbox, which is told on standard error."""
    tell(request.method, error)
    return failed(tenant, request, 500, "An internal server error occurred.")


def tell(what: str, error: BaseException) -> None:
    """Write one line about a bug to standard error; it holds no values.

    :param what: what met it.
    """
    sys.stderr.write(f"sandbox: {what} met {type(error).__name__} at {_place(error)}\n")


def failed(tenant: Tenant, request: Request, status: int, message: str) -> Response:
    """What the service that was asked says of a request that it could not deal with."""
    with origins.of(request.host):
        return replies.refusal(Fault("status", status=status, message=message), request, tenant)


def _place(error: BaseException) -> str:
    """Where it was raised; its text may hold values, which no log may."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return "?" if frame is None else f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"


def _handle(tenant: Tenant, request: Request) -> Response:
    deleted.settle(tenant)
    if account := origins.account(request.host):
        return blob.handle(tenant, request, account)
    match request.path.split("/")[1:2]:
        case ["v1.0" | "beta"]:
            response = graph.handle(tenant, request)
        case ["subscriptions" | "tenants" | "metadata"]:
            response = arm.handle(tenant, request)
        case ["api"]:
            response = consent.handle(tenant, request)
        case _:
            response = endpoint.handle(tenant, request)
    stamp = tenant.now().strftime("%a, %d %b %Y %H:%M:%S GMT")
    return Response(response.status, {"Date": stamp, "Cache-Control": "no-store", **response.headers}, response.body)
