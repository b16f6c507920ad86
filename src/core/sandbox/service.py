"""The services of a tenant as one function: a request in, a response out, without a network (S1).

Tests call it in process thousands of times a second; the server puts TLS in front of it.
"""

from __future__ import annotations

from core.sandbox import arm, consent, origins
from core.sandbox.graph import deleted
from core.sandbox.graph import route as graph
from core.sandbox.login import endpoint as login
from core.sandbox.tenant import Tenant
from core.sandbox.wire import Request, Response


def handle(tenant: Tenant, request: Request) -> Response:
    """Answer one request, dated by the tenant's clock, under the names of its host."""
    with origins.of(request.host):
        return _handle(tenant, request)


def _handle(tenant: Tenant, request: Request) -> Response:
    deleted.settle(tenant)
    match request.path.split("/")[1:2]:
        case ["v1.0" | "beta"]:
            response = graph.handle(tenant, request)
        case ["subscriptions" | "tenants" | "metadata"]:
            response = arm.handle(tenant, request)
        case ["api"]:
            response = consent.handle(tenant, request)
        case _:
            response = login.handle(tenant, request)
    stamp = tenant.now().strftime("%a, %d %b %Y %H:%M:%S GMT")
    return Response(response.status, {"Date": stamp, "Cache-Control": "no-store", **response.headers}, response.body)
