"""Azure Resource Manager of the pretend world, as far as a sign-in needs it (entra-protocol H)."""

from __future__ import annotations

from typing import Any, Final

from core.sandbox import challenges
from core.sandbox.directory.store import ARM_RESOURCE, Tenant
from core.sandbox.http import Request, Response, answer

#: As azure-cli's own profile of this cloud calls it.
CLOUD: Final = "EntraclawSandbox"


def handle(tenant: Tenant, request: Request) -> Response:
    """Answer a request to ARM."""
    if request.path == "/metadata/endpoints" and request.method == "GET":
        return _versioned(request) or answer(200, [_cloud(tenant)])
    problem = _unauthenticated(tenant, request) or _versioned(request)
    if problem:
        return problem
    match request.method, request.path:
        case "GET", "/subscriptions":
            return answer(200, {"value": [], "count": {"type": "Total", "value": 0}})
        case "GET", "/tenants":
            this = {
                "id": f"/tenants/{tenant.id}",
                "tenantId": tenant.id,
                "countryCode": "US",
                "displayName": tenant.name,
                "domains": [tenant.domain],
                "defaultDomain": tenant.domain,
                "tenantCategory": "Home",
                "tenantType": "AAD",
            }
            return answer(200, {"value": [this]})
    parts = request.path.strip("/").split("/")
    if parts[0] == "subscriptions" and len(parts) > 1:
        return _error(404, "SubscriptionNotFound", f"The subscription '{parts[1]}' could not be found.")
    return _error(404, "NotFound", f"No route of the sandbox serves '{request.path}'.")


def _unauthenticated(tenant: Tenant, request: Request) -> Response | None:
    """The challenge that a request without a token for ARM gets; the header tells where to get one."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if not token:
        reason = "The authentication failed because of missing 'Authorization' header."
        message = "Authentication failed. The 'Authorization' header is missing."
        return _challenge(tenant, "AuthenticationFailed", message, reason)
    issued = tenant.issued.get(token) if kind.lower() == "bearer" else None
    if issued is None or issued.kind != "access":
        return _challenge(tenant, "InvalidAuthenticationToken", "The access token is invalid.", "Could not parse it.")
    if issued.claims["exp"] <= tenant.now().timestamp():
        message = "The access token expiry UTC time is earlier than current UTC time."
        return _challenge(tenant, "ExpiredAuthenticationToken", message, "The access token expired.")
    audience, allowed = str(issued.claims["aud"]), _audiences(tenant)
    if audience.rstrip("/") not in [name.rstrip("/") for name in allowed]:
        message = (
            f"The access token has been obtained for wrong audience or resource '{audience}'. It should exactly match "
            f"with one of the allowed audiences '{','.join(allowed)}'."
        )
        return _challenge(tenant, "InvalidAuthenticationToken", message, "The audience is wrong.")
    return None


def _audiences(tenant: Tenant) -> list[str]:
    return [ARM_RESOURCE, "https://management.azure.com/", f"{tenant.arm}/"]


def _challenge(tenant: Tenant, code: str, message: str, reason: str) -> Response:
    """The refusal of a token, which tells where to get one."""
    refusal = _error(401, code, message)
    return Response(401, {**refusal.headers, **challenges.arm(tenant, reason)}, refusal.body)


def _versioned(request: Request) -> Response | None:
    if request.query.get("api-version"):
        return None
    message = "The api-version query parameter (?api-version=) is required for all requests."
    return _error(400, "MissingApiVersionParameter", message)


def _error(status: int, code: str, message: str) -> Response:
    return answer(status, {"error": {"code": code, "message": message}})


def _cloud(tenant: Tenant) -> dict[str, Any]:
    """What a cloud says of itself; azure-cli reads it where ARM_CLOUD_METADATA_URL names it."""
    return {
        "name": CLOUD,
        "portal": tenant.authority,
        "resourceManager": f"{tenant.arm}/",
        "microsoftGraphResourceId": f"{tenant.graph}/",
        "graphAudience": f"{tenant.graph}/",
        "authentication": {
            "loginEndpoint": f"{tenant.authority}/",
            "audiences": _audiences(tenant),
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "suffixes": {},
    }
