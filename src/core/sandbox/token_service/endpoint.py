"""The sign-in service of the pretend world (entra-protocol D): paths, device codes, which grant is meant."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qsl
from uuid import UUID

from core.sandbox.directory.store import DeviceCode, Tenant
from core.sandbox.http import Request, Response, answer
from core.sandbox.token_service import apps, clients, discovery, pages, people, signing
from core.sandbox.token_service.clients import Client
from core.sandbox.token_service.refusals import Refused, refuse

DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
ON_BEHALF: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: Seconds after which a client may ask again, where the service is busy.
RETRY_AFTER: Final = 5


def handle(tenant: Tenant, request: Request) -> Response:
    """Answer a request to the authority."""
    parts = request.path.strip("/").split("/")
    directory, rest = parts[0], "/".join(parts[1:])
    page = request.path == "/devicelogin" or rest == "oauth2/v2.0/authorize"
    try:
        match request.method, rest:
            case "GET" | "POST", "" if page:
                return pages.device(tenant, request)
            case "GET", "discovery/instance":
                return discovery.instance(tenant, request)
            case "GET", "v2.0/.well-known/openid-configuration":
                return discovery.document(tenant, directory)
            case "GET", ".well-known/openid-configuration":
                return discovery.document_v1(tenant, directory)
            case "GET", "discovery/v2.0/keys" | "discovery/keys":
                return answer(200, {"keys": [signing.jwk()]})
            case "GET" | "POST", "oauth2/v2.0/authorize":
                return pages.authorize(tenant, _entered(tenant, directory, request), request)
            case "POST", "oauth2/v2.0/devicecode":
                return _device_code(tenant, _entered(tenant, directory, request), _form(request))
            case "POST", "oauth2/v2.0/token":
                return _traced(tenant, request, _token(tenant, _entered(tenant, directory, request), request))
            case "POST", "v2.0/token" if directory == "oauth2":
                raise refuse(90019)
        raise _unserved()
    except Refused as refusal:
        refusal.correlation = request.headers.get("client-request-id", "")
        response = _error(tenant, refusal)
        return pages.refused(response.json()["error_description"]) if page else response


def _entered(tenant: Tenant, directory: str, request: Request) -> str:
    """The tenant that somebody signs in to; a proxy may let only some of them through.

    :raises Refused: 90002, 500021, 9001023; 700016: no app is known to a neighbour.
    """
    if directory.lower() == "consumers":
        raise refuse(9001023)
    known = discovery.known(tenant, directory)
    if known in tenant.neighbours.values():
        raise refuse(700016, app=_form(request).get("client_id", ""), tenant_name=directory)
    allowed = request.headers.get("restrict-access-to-tenants")
    if allowed is not None and not {tenant.id, tenant.domain} & {name.strip() for name in allowed.lower().split(",")}:
        raise refuse(500021, tenant_name=tenant.name)
    return known


def _device_code(tenant: Tenant, directory: str, form: dict[str, str]) -> Response:
    people.required(form, ("client_id", "scope"))
    client = clients.find(tenant, form["client_id"], tenant.replica(), directory)
    code = people.opaque(tenant)
    user_code = hashlib.sha256(code.encode()).hexdigest()[:9].upper()
    expires = tenant.now() + timedelta(seconds=900)
    tenant.device_codes[code] = DeviceCode(client.id, form["scope"], expires, user_code)
    where = f"{tenant.authority}/devicelogin"
    return answer(
        200,
        {
            "device_code": code,
            "user_code": user_code,
            "verification_uri": where,
            "expires_in": 900,
            "interval": 0,
            "message": f"To sign in, use a web browser to open the page {where} and enter the code {user_code} "
            "to authenticate.",
        },
    )


def approve(tenant: Tenant, user_code: str, user_id: str) -> bool:
    """A person types a device code, and agrees.

    :param user_id: the person's object id.
    :returns: whether that code is waited for.
    """
    for code in list(tenant.device_codes.values()):
        if code.user_code == user_code and tenant.now() <= code.expires:
            code.approved_by = user_id
            return True
    return False


def _token(tenant: Tenant, directory: str, request: Request) -> Response:
    form = clients.named(request.headers.get("authorization", ""), _form(request))
    people.required(form, ("grant_type", "client_id"))
    if tenant.switches.login_refuses:
        raise refuse(tenant.switches.login_refuses, app=form["client_id"], tenant=tenant.id, tenant_name=tenant.name)
    _check_loop(tenant, form)
    match form["grant_type"]:
        case "client_credentials":
            return apps.grant(tenant, directory, form)
        case "password":
            people.required(form, ("username", "password"))
            if directory == "common":
                raise refuse(9001023)
            _person_only(people.client_of(tenant, directory, form), form)
            raise people.by_password(tenant, form)
        case grant if grant == DEVICE_GRANT:
            people.required(form, ("device_code",))
            return _poll(tenant, people.client_of(tenant, directory, form), form)
        case "authorization_code":
            people.required(form, ("code",))
            return people.redeemed(tenant, people.client_of(tenant, directory, form), form)
        case "refresh_token":
            people.required(form, ("refresh_token",))
            return people.refreshed(tenant, people.client_of(tenant, directory, form), form)
        case "user_fic":
            return people.third_hop(tenant, people.client_of(tenant, directory, form), form)
        case grant if grant == ON_BEHALF:
            people.required(form, ("assertion",))
            raise people.on_behalf_of(tenant, people.client_of(tenant, directory, form), form)
        case grant:
            raise refuse(70003, grant=grant)


def _form(request: Request) -> dict[str, str]:
    """The fields of a token request, each once.

    :raises Refused: 9002313, 90013, 901002.
    """
    form = request.form()
    names = [name for name, _ in parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)]
    if len(names) != len(form):
        raise refuse(9002313, reason="A parameter stands in it more than once.")
    if any(not value.isprintable() for value in form.values()):
        raise refuse(90013, reason="A value holds characters that cannot be printed.")
    if "resource" in form:
        raise refuse(901002)
    return form


def _check_loop(tenant: Tenant, form: dict[str, str]) -> None:
    """Count equal requests of the last five minutes.

    :raises Refused: 50196.
    """
    if not tenant.switches.loop_limit:
        return
    what = "|".join(form.get(name, "") for name in ("client_id", "grant_type", "scope"))
    now = tenant.now().timestamp()
    recent = [moment for moment in tenant.asked.get(what, []) if moment > now - 300]
    tenant.asked[what] = [*recent, now]
    if len(recent) >= tenant.switches.loop_limit:
        raise refuse(50196)


def _person_only(client: Client, form: dict[str, str]) -> None:
    if client.kind in ("agent", "blueprint"):
        raise refuse(82002, app=client.id, grant=form["grant_type"])


def _poll(tenant: Tenant, client: Client, form: dict[str, str]) -> Response:
    _person_only(client, form)
    code = tenant.device_codes.get(form["device_code"])
    if code is None or code.client_id != client.id:
        raise refuse(70018)
    if tenant.now() > code.expires:
        raise refuse(70019)
    if code.declined:
        raise refuse(90120)
    code.polls += 1
    if not code.approved_by and code.polls <= tenant.switches.pending_polls:
        raise refuse(70016)
    del tenant.device_codes[form["device_code"]]
    return people.sign_in(tenant, code.approved_by or tenant.signed_in_user, client, code.scope, form)


def _traced(tenant: Tenant, request: Request, response: Response) -> Response:
    """Name the request that a token was issued for, as the token's `uti` does in base64."""
    claims = tenant.issued[response.json()["access_token"]].claims
    headers = {"x-ms-request-id": str(UUID(bytes=base64.urlsafe_b64decode(f"{claims['uti']}==")))}
    if correlation := request.headers.get("client-request-id"):
        headers["client-request-id"] = correlation
    return Response(response.status, {**response.headers, **headers}, response.body)


def _unserved() -> Refused:
    refusal = refuse(9002313, reason="Nothing is served at this path.")
    refusal.status = 404
    return refusal


def _error(tenant: Tenant, refusal: Refused) -> Response:
    trace, correlation = tenant.passing_id(), tenant.passing_id()
    correlation = refusal.correlation or correlation
    stamp = tenant.now().strftime("%Y-%m-%d %H:%M:%SZ")
    text = f"AADSTS{refusal.code}: {refusal.text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}"
    body = {
        "error": refusal.error,
        "error_description": text,
        "error_codes": [refusal.code],
        "timestamp": stamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"{tenant.authority}/error?code={refusal.code}",
    }
    if refusal.suberror:
        body["suberror"] = refusal.suberror
    busy = {"Retry-After": str(RETRY_AFTER)} if refusal.status in (429, 503) else {}
    return answer(refusal.status, body, {"x-ms-request-id": trace, "client-request-id": correlation, **busy})
