"""What a struck request is answered: the refusals of each service, and answers that are no answers (A.4, D.1, S3)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from email.utils import format_datetime
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from core.sandbox import challenges, origins
from core.sandbox.directory.store import Tenant
from core.sandbox.faults import Fault
from core.sandbox.http import Request, Response, answer

#: What a proxy or a gateway shows people.
PAGE: Final = b"<html><head><title>%b</title></head><body><h1>%b</h1><hr>gateway</body></html>\n"
_HTML: Final = "text/html; charset=utf-8"
#: What a status is called where the service has no code of its own for it.
_NAMES: Final = {
    301: "MovedPermanently",
    302: "Found",
    307: "TemporaryRedirect",
    400: "BadRequest",
    401: "InvalidAuthenticationToken",
    402: "PaymentRequired",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    408: "RequestTimeout",
    409: "Conflict",
    410: "Gone",
    411: "LengthRequired",
    412: "PreconditionFailed",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    416: "RequestedRangeNotSatisfiable",
    422: "UnprocessableEntity",
    423: "Locked",
    424: "FailedDependency",
    429: "TooManyRequests",
    501: "NotImplemented",
    503: "ServiceUnavailable",
}
_GRAPH: Final = _NAMES | {
    400: "Request_BadRequest",
    403: "Authorization_RequestDenied",
    404: "Request_ResourceNotFound",
    405: "Request_BadRequest",
    409: "Directory_ConcurrencyViolation",
    412: "resourceModified",
    504: "gatewayTimeout",
}
_ARM: Final = _NAMES | {403: "AuthorizationFailed", 502: "BadGateway", 504: "GatewayTimeout"}
_TITLES: Final = {502: b"502 Bad Gateway", 503: b"503 Service Unavailable", 504: b"504 Gateway Time-out"}


def spoiled(fault: Fault, request: Request, response: Response | None, tenant: Tenant) -> Response:
    """The answer to a request that a fault struck; `half-body` gets the whole one.

    :param response: what the service answered, if the request was carried out.
    """
    response = response or Response(200)
    kept = {name: value for name, value in response.headers.items() if name.lower() != "content-type"}
    match fault.kind:
        case "status":
            return refusal(fault, request, tenant)
        case "not-json":
            title = b"Sign in to the network"
            return Response(200, {"Content-Type": _HTML}, PAGE % (title, title))
        case "wrong-type":
            return Response(response.status, {**kept, "Content-Type": _HTML}, response.body)
        case "empty":
            return Response(200, kept)
        case "half-body":  # a 204 has no body, of which there is no half
            status = 200 if response.status == 204 else response.status
            return Response(status, response.headers, response.body or b"{}")
    return response


def _id(fault: Fault, request: Request, tenant: Tenant, what: str) -> str:
    """An id of an answer: the same in every run, in whichever order requests come, and no other's in this run."""
    name = f"{tenant.seed} {what} {request.method} {request.path} {fault.struck}"
    again = tenant.faults.told[name]  # by another fault, or by a bug
    tenant.faults.told[name] += 1
    return str(uuid5(NAMESPACE_URL, f"{name} {again}" if again else name))


def refusal(fault: Fault, request: Request, tenant: Tenant) -> Response:
    """What a `status` fault answers, as the service that was asked words it.

    :param request: to Graph, ARM, or the token endpoint.
    """
    with origins.of(request.host):
        return _refusal(fault, request, tenant)


def _refusal(fault: Fault, request: Request, tenant: Tenant) -> Response:
    headers = {}
    if fault.retry_after is not None:
        when = tenant.now() + timedelta(seconds=fault.retry_after)
        as_date = fault.retry_after_as == "date"
        headers["Retry-After"] = format_datetime(when, usegmt=True) if as_date else str(fault.retry_after)
    if fault.body == "empty":
        return Response(fault.status, headers)
    if fault.body == "html":
        title = _TITLES.get(fault.status, str(fault.status).encode())
        return Response(fault.status, {**headers, "Content-Type": _HTML}, PAGE % (title, title))
    match request.path.split("/")[1:2]:
        case ["v1.0" | "beta"]:
            return _graph(fault, request, tenant, headers)
        case ["api"]:
            return answer(fault.status, {"Message": fault.message}, headers)
        case ["subscriptions" | "tenants" | "metadata"]:
            code = fault.code or _usual(_ARM, fault.status)
            if fault.status == 401:  # the header takes not any text, so the reason is always the same
                headers |= challenges.arm(tenant, "Could not parse it.")
            return answer(fault.status, {"error": {"code": code, "message": fault.message}}, headers)
    return _login(fault, request, tenant, headers)


def _usual(codes: Mapping[int, str], status: int) -> str:
    return codes.get(status, "InternalServerError" if status >= 500 else "UnknownError")


def _graph(fault: Fault, request: Request, tenant: Tenant, headers: dict[str, str]) -> Response:
    request_id = _id(fault, request, tenant, "request")
    echo = request.headers.get("client-request-id", request_id)
    ids = {"request-id": request_id, "client-request-id": echo}
    if fault.status == 401:
        headers |= challenges.graph(tenant, "invalid_token")
    inner = {"date": tenant.now().strftime("%Y-%m-%dT%H:%M:%S"), **ids}
    code = fault.code or _usual(_GRAPH, fault.status)
    return answer(
        fault.status, {"error": {"code": code, "message": fault.message, "innerError": inner}}, {**ids, **headers}
    )


def _login(fault: Fault, request: Request, tenant: Tenant, headers: dict[str, str]) -> Response:
    """RFC 6749, section 5.2, with the AADSTS number of such an answer."""
    secret = b"client_secret=" in request.body
    error, usual = {
        401: ("invalid_client", 7000215 if secret else 700027),
        429: ("temporarily_unavailable", 90055),
    }.get(fault.status, ("temporarily_unavailable", 90033) if fault.status >= 500 else ("invalid_request", 90023))
    given = fault.code.removeprefix("AADSTS")
    number = int(given) if given.isascii() and given.isdecimal() else usual
    trace, correlation = (_id(fault, request, tenant, what) for what in ("trace", "correlation"))
    stamp = tenant.now().strftime("%Y-%m-%d %H:%M:%SZ")
    text = f"AADSTS{number}: {fault.message} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}"
    body = {
        "error": error,
        "error_description": text,
        "error_codes": [number],
        "timestamp": stamp,
        "trace_id": trace,
        "correlation_id": correlation,
    }
    return answer(fault.status, body, {"x-ms-request-id": trace, **headers})
