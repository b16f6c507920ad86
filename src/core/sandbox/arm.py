"""Azure Resource Manager of the pretend world, as far as a sign-in needs it."""

from __future__ import annotations

from core.sandbox.tenant import ARM_RESOURCE, Tenant
from core.sandbox.wire import Request, Response, answer, not_found


def handle(tenant: Tenant, request: Request) -> Response:
    """Answer a request to ARM."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    issued = tenant.issued.get(token)
    audiences = (ARM_RESOURCE.rstrip("/"), tenant.arm)
    expired = issued is not None and issued.claims.get("exp", 0) <= tenant.now().timestamp()
    if issued is None or expired or issued.claims.get("aud", "").rstrip("/") not in audiences:
        body = {"error": {"code": "InvalidAuthenticationToken", "message": "The access token is invalid."}}
        return answer(401, body, {"WWW-Authenticate": "Bearer"})
    match request.method, request.path:
        case "GET", "/subscriptions":
            return answer(200, {"value": [], "count": {"type": "Total", "value": 0}})
        case "GET", "/tenants":
            this = {
                "id": f"/tenants/{tenant.id}",
                "tenantId": tenant.id,
                "displayName": tenant.name,
                "defaultDomain": tenant.domain,
                "tenantCategory": "Home",
                "tenantType": "AAD",
            }
            return answer(200, {"value": [this]})
    return not_found()
