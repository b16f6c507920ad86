"""Azure Resource Manager of the pretend world: as far as a sign-in and an agent's memory need it (H, A7)."""

from __future__ import annotations

from typing import Any, Final

from core.sandbox import challenges
from core.sandbox.arm import access, groups, storage
from core.sandbox.arm.answers import Refused, error
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
    try:
        return _route(tenant, tenant.issued[request.headers["authorization"].partition(" ")[2]].claims, request)
    except Refused as refusal:
        return refusal.response
    except ValueError:
        return error(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized.")


def _route(tenant: Tenant, claims: dict[str, Any], request: Request) -> Response:
    match request.method, request.path:
        case "GET", "/subscriptions":
            found = groups.subscriptions(tenant, claims)
            return answer(200, {"value": found, "count": {"type": "Total", "value": len(found)}})
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
        return _subscribed(tenant, claims, request, groups.subscription(tenant, claims, parts[1]), parts[2:])
    raise Refused(404, "NotFound", f"No route of the sandbox serves '{request.path}'.")


def _subscribed(
    tenant: Tenant, claims: dict[str, Any], request: Request, subscription: dict[str, Any], rest: list[str]
) -> Response:
    """Answer a request below a subscription.

    :param rest: the path behind its id.
    """
    scope, provider, below = request.path.partition(access.PROVIDER)
    if provider:
        return access.handle(tenant, claims, request, scope, below)
    own = subscription["subscriptionId"]
    if not rest and request.method == "GET":
        return answer(200, subscription)
    if rest and rest[0].lower() == "resourcegroups" and len(rest) < 3:
        return groups.handle(tenant, claims, request, own, rest[1] if len(rest) == 2 else "")
    group = rest[1] if len(rest) > 2 and rest[0].lower() == "resourcegroups" else ""
    inside = rest[2:] if group else rest
    if [part.lower() for part in inside[:2]] == ["providers", storage.PROVIDER.lower()]:
        what = [part.lower() for part in inside[2:3]]
        match request.method, what:
            case "GET", []:
                return answer(200, {"namespace": storage.PROVIDER, "registrationState": "Registered"})
            case "POST", ["checknameavailability"]:
                return storage.available(tenant, request)
            case "GET", ["locations"] if len(inside) == 6:
                return storage.operation(tenant, inside[5])
            case "GET", ["storageaccounts"] if len(inside) == 3:
                return storage.listed(tenant, claims, own, group)
            case _, ["storageaccounts"] if group:
                return storage.handle(tenant, claims, request, own, group, inside[3:])
    raise Refused(404, "NotFound", f"No route of the sandbox serves '{request.path}'.")


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
    refusal = error(401, code, message)
    return Response(401, {**refusal.headers, **challenges.arm(tenant, reason)}, refusal.body)


def _versioned(request: Request) -> Response | None:
    if request.query.get("api-version"):
        return None
    message = "The api-version query parameter (?api-version=) is required for all requests."
    return error(400, "MissingApiVersionParameter", message)


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
