"""What clients are told of the sign-in service before they sign in (D.1): only what is served here, and true."""

from __future__ import annotations

from typing import Any

from core.sandbox import origins
from core.sandbox.directory.store import Tenant
from core.sandbox.http import Request, Response, answer
from core.sandbox.token_service import federation
from core.sandbox.token_service.refusals import refuse


def known(tenant: Tenant, directory: str, error: str = "") -> str:
    """The tenant that a path names, this one or a neighbour, by its id or as `common` or `organizations`.

    :param error: what OAuth calls an unknown one, where it is not an invalid request.
    :raises Refused: 90002.
    """
    name = directory.lower()
    if name == tenant.id or name in tenant.verified_domains:
        return tenant.id
    if name in tenant.neighbours or name in tenant.neighbours.values():
        return tenant.neighbours.get(name, name)
    if name in ("organizations", "common"):
        return name
    refusal = refuse(90002, tenant=directory)
    refusal.error = error or refusal.error
    raise refusal


def instance(tenant: Tenant, request: Request) -> Response:
    """Whether a host is one of the cloud's, and under which other names it is known."""
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


def document(tenant: Tenant, directory: str) -> Response:
    """The metadata of v2.0.

    :raises Refused: 90002.
    """
    name = known(tenant, directory, "invalid_tenant")
    base = f"{tenant.authority}/{name}"
    return answer(
        200,
        {
            "issuer": federation.issuers(tenant, _placeholder(tenant, name))[1],
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "form_post"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            **_common(tenant, name),
        },
    )


def document_v1(tenant: Tenant, directory: str) -> Response:
    """The metadata of v1, for whoever checks tokens: nobody gets any at a v1 endpoint here.

    :raises Refused: 90002.
    """
    name = known(tenant, directory, "invalid_tenant")
    return answer(
        200,
        {
            "issuer": federation.issuers(tenant, _placeholder(tenant, name))[0],
            "jwks_uri": f"{tenant.authority}/common/discovery/keys",
            **_common(tenant, name),
        },
    )


def _placeholder(tenant: Tenant, name: str) -> str:
    return "{tenantid}" if name in ("organizations", "common") else name


def _common(tenant: Tenant, name: str) -> dict[str, Any]:
    cloud = {"cloud_instance_name": "microsoftonline.com"} if origins.asked() else {}
    return {
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "request_uri_parameter_supported": False,
        "tenant_region_scope": "NA" if name == tenant.id else None,
        "msgraph_host": tenant.graph.removeprefix("https://"),
        **cloud,
    }
