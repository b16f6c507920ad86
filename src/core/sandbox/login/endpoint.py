"""The token endpoint of the pretend world (entra-protocol D): discovery, device code, client credentials."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from core.sandbox import consent
from core.sandbox.graph import reports
from core.sandbox.graph.directory import moment
from core.sandbox.login import assertion, tokens
from core.sandbox.login.assertion import Refused
from core.sandbox.login.tokens import LIFETIME, user_token
from core.sandbox.tenant import ARM_RESOURCE, GRAPH_APP_ID, DeviceCode, Issued, State, Tenant
from core.sandbox.wire import Request, Response, answer, not_found

DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"


def handle(tenant: Tenant, request: Request) -> Response:
    """Answer a request to the authority."""
    parts = request.path.strip("/").split("/")
    directory, rest = parts[0], "/".join(parts[1:])
    try:
        match request.method, rest:
            case "GET", "discovery/instance":
                return _instance(tenant, request)
            case "GET", "v2.0/.well-known/openid-configuration" | ".well-known/openid-configuration":
                return _metadata(tenant, _known(tenant, directory))
            case "GET", "discovery/v2.0/keys":
                return answer(200, {"keys": [tokens.jwk(tenant)]})
            case "POST", "oauth2/v2.0/devicecode":
                _known(tenant, directory)
                return _device_code(tenant, request.form())
            case "POST", "oauth2/v2.0/token":
                _known(tenant, directory)
                return _token(tenant, request.form())
    except Refused as refusal:
        return _error(tenant, refusal)
    return not_found()


def _instance(tenant: Tenant, request: Request) -> Response:
    asked = request.query.get("authorization_endpoint", "")
    if not asked.startswith(f"{tenant.authority}/"):
        return answer(400, {"error": "invalid_instance", "error_description": "AADSTS50049: Unknown instance."})
    host = tenant.authority.removeprefix("https://")
    return answer(
        200,
        {
            "tenant_discovery_endpoint": f"{tenant.authority}/{tenant.id}/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
        },
    )


def _known(tenant: Tenant, directory: str) -> str:
    if directory.lower() in (tenant.id, tenant.domain, "organizations", "common"):
        return tenant.id if directory.lower() in (tenant.id, tenant.domain) else directory.lower()
    text = f"Tenant '{directory}' not found. Check to make sure you have the correct tenant ID."
    raise Refused(400, "invalid_request", 90002, text)


def _metadata(tenant: Tenant, directory: str) -> Response:
    base = f"{tenant.authority}/{directory}"
    return answer(
        200,
        {
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "response_types_supported": ["code", "id_token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "tenant_region_scope": "NA",
        },
    )


def _device_code(tenant: Tenant, form: dict[str, str]) -> Response:
    _required(form, "client_id", "scope")
    code = _opaque(tenant)
    user_code = hashlib.sha256(code.encode()).hexdigest()[:9].upper()
    expires = tenant.now() + timedelta(seconds=900)
    tenant.device_codes[code] = DeviceCode(form["client_id"], form["scope"], expires, user_code)
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


def _token(tenant: Tenant, form: dict[str, str]) -> Response:
    _required(form, "grant_type", "client_id")
    match form["grant_type"]:
        case "client_credentials":
            return _client_credentials(tenant, form)
        case grant if grant == DEVICE_GRANT:
            return _poll(tenant, form)
        case "refresh_token":
            _required(form, "refresh_token")
            issued = tenant.issued.get(form["refresh_token"])
            if issued is None or issued.kind != "refresh":
                raise Refused(400, "invalid_grant", 70000, "The provided value for 'refresh_token' is not valid.")
            return _delegated(tenant, issued.claims["oid"], form["client_id"], form.get("scope", ""))
        case grant:
            raise Refused(
                400, "unsupported_grant_type", 70003, f"The app requested an unsupported grant type '{grant}'."
            )


def _poll(tenant: Tenant, form: dict[str, str]) -> Response:
    _required(form, "device_code")
    code = tenant.device_codes.get(form["device_code"])
    if code is None:
        raise Refused(400, "bad_verification_code", 70018, "Invalid verification code.")
    if tenant.now() > code.expires:
        raise Refused(400, "expired_token", 70019, "Verification code expired.")
    code.polls += 1
    if not code.approved_by and code.polls <= tenant.switches.pending_polls:
        raise Refused(400, "authorization_pending", 70016, "OAuth 2.0 device flow error. Authorization is pending.")
    del tenant.device_codes[form["device_code"]]
    return _delegated(tenant, code.approved_by or tenant.signed_in_user, code.client_id, code.scope)


def _delegated(tenant: Tenant, user_id: str, client_id: str, scope: str) -> Response:
    user = tenant.latest("user", user_id)
    if user is None:
        raise Refused(400, "invalid_grant", 50034, "The user account does not exist in the directory.")
    resource = _resource(tenant, scope)
    refresh = _opaque(tenant)
    tenant.issued[refresh] = Issued({"oid": user_id}, "refresh")
    now = int(tenant.now().timestamp())
    identity = {
        "aud": client_id,
        "iss": f"{tenant.authority}/{tenant.id}/v2.0",
        "iat": now,
        "nbf": now,
        "exp": now + LIFETIME,
        "name": user["displayName"],
        "oid": user_id,
        "sub": user_id,
        "preferred_username": user["userPrincipalName"],
        "tid": tenant.id,
        "ver": "2.0",
    }
    client_info = (
        base64.urlsafe_b64encode(json.dumps({"uid": user_id, "utid": tenant.id}).encode()).decode().rstrip("=")
    )
    return answer(
        200,
        {
            "token_type": "Bearer",
            "scope": scope,
            "expires_in": LIFETIME,
            "ext_expires_in": LIFETIME,
            "access_token": user_token(tenant, user, resource, client_id),
            "refresh_token": refresh,
            "id_token": tokens.sign(tenant, identity),
            "client_info": client_info,
        },
    )


def _client_credentials(tenant: Tenant, form: dict[str, str]) -> Response:
    client_id = form["client_id"]
    resource = _resource(tenant, form.get("scope", ""))
    replica = tenant.replica()
    app = tenant.find("application", "appId", client_id, replica, login=True)
    if app is None:
        text = f"Application with identifier '{client_id}' was not found in the directory '{tenant.name}'."
        raise Refused(400, "unauthorized_client", 700016, text)
    principal = tenant.find("servicePrincipal", "appId", client_id, replica, login=True)
    if principal is None:
        text = f"The client application {client_id} is missing service principal in the tenant {tenant.id}."
        raise Refused(401, "invalid_client", 7000229, text)
    if not principal.get("accountEnabled", True):
        raise Refused(
            400, "unauthorized_client", 7000112, f"Application '{client_id}'({app['displayName']}) is disabled."
        )
    if "client_assertion" in form:
        used = assertion.check(tenant, client_id, form, (app, principal))
        strength = "2"
    elif "client_secret" in form:
        used = _check_secret(tenant, client_id, form["client_secret"], (app, principal))
        strength = "1"
    else:
        text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
        raise Refused(401, "invalid_client", 7000218, text)
    token = tokens.app_token(tenant, principal, resource, replica, strength)
    graph = tenant.find("servicePrincipal", "appId", GRAPH_APP_ID) if resource.rstrip("/") == tenant.graph else None
    reports.note(tenant, app, principal, used, resource_id=str(graph["id"]) if graph else "")
    return answer(
        200, {"token_type": "Bearer", "expires_in": LIFETIME, "ext_expires_in": LIFETIME, "access_token": token}
    )


def _check_secret(tenant: Tenant, client_id: str, given: str, holders: Iterable[State]) -> State:
    digest = hashlib.sha256(given.encode()).hexdigest()
    for holder in holders:
        for entry in holder["passwordCredentials"]:
            if hmac.compare_digest(entry["_digest"], digest):
                if moment(entry["endDateTime"]) <= tenant.now():
                    text = f"The provided client secret keys for app '{client_id}' are expired."
                    raise Refused(401, "invalid_client", 7000222, text)
                found: State = entry
                return found
    text = (
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
        f"not the client secret ID, for a secret added to app '{client_id}'."
    )
    raise Refused(401, "invalid_client", 7000215, text)


def _resource(tenant: Tenant, scope: str) -> str:
    """The audience that a v2 scope asks for; exactly one resource per request."""
    names = [part for part in scope.split() if part not in ("openid", "profile", "offline_access", "email")]
    if not names:
        raise Refused(400, "invalid_scope", 70011, "The provided value for the input parameter 'scope' is not valid.")
    resources = {name.rsplit("/", 1)[0] for name in names}
    if len(resources) > 1:
        raise Refused(400, "invalid_request", 28000, "More than one resource was asked for.")
    resource = resources.pop()
    if resource.rstrip("/") in (tenant.graph, tenant.arm, ARM_RESOURCE.rstrip("/"), consent.RESOURCE):
        return resource
    text = f"The resource principal named {resource} was not found in the tenant named {tenant.name}."
    raise Refused(400, "invalid_resource", 500011, text)


def _opaque(tenant: Tenant) -> str:
    return f"0.{tenant.new_id()}{tenant.new_id()}".replace("-", "")


def _required(form: dict[str, str], *names: str) -> None:
    for name in names:
        if not form.get(name):
            text = f"The request body must contain the following parameter: '{name}'."
            raise Refused(400, "invalid_request", 900144, text)


def _error(tenant: Tenant, refusal: Refused) -> Response:
    trace, correlation = tenant.new_id(), tenant.new_id()
    stamp = tenant.now().strftime("%Y-%m-%d %H:%M:%SZ")
    text = f"AADSTS{refusal.code}: {refusal.text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}"
    return answer(
        refusal.status,
        {
            "error": refusal.error,
            "error_description": text,
            "error_codes": [refusal.code],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"{tenant.authority}/error?code={refusal.code}",
        },
        {"x-ms-request-id": trace},
    )
