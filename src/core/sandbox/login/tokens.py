"""Tokens of the pretend world: their claims, their signature, and the list of those that were issued (D.1, D.2)."""

from __future__ import annotations

import json
from typing import Any, Final

from core.sandbox.graph import grants
from core.sandbox.tenant import GRAPH_APP_ID, Issued, State, Tenant

AZURE_CLI: Final = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
LIFETIME: Final = 3599
#: What the Azure CLI's Graph token was seen to carry (entra-protocol A.7).
CLI_SCOPES: Final = (
    "Application.ReadWrite.All AppRoleAssignment.ReadWrite.All AuditLog.Read.All "
    "DelegatedPermissionGrant.ReadWrite.All Directory.AccessAsUser.All Group.ReadWrite.All User.Read.All "
    "User.ReadWrite.All email openid profile"
)


def user_token(tenant: Tenant, user: State, resource: str, client_id: str) -> str:
    """An access token of a signed-in person.

    :param resource: its audience.
    """
    claims = _claims(tenant, resource, client_id, user["id"]) | {
        "idtyp": "user",
        "upn": user["userPrincipalName"],
        "unique_name": user["userPrincipalName"],
        "name": user["displayName"],
        "scp": CLI_SCOPES if resource.rstrip("/") == tenant.graph else "user_impersonation",
        "wids": list(user.get("_roles", ())),
        "appidacr": "0",
    }
    return _issue(tenant, claims)


def app_token(tenant: Tenant, principal: State, resource: str, replica: int, strength: str = "2") -> str:
    """An access token of an app.

    :param principal: its service principal.
    :param resource: its audience.
    :param replica: whose grants it carries.
    :param strength: what it signed in with: `1` a secret, `2` an assertion.
    """
    held = _claims(tenant, resource, principal["appId"], principal["id"]) | {"idtyp": "app", "appidacr": strength}
    if resource.rstrip("/") == tenant.graph:
        held["roles"] = grants.granted(tenant, principal["id"], GRAPH_APP_ID, replica)
    return _issue(tenant, held)


def _claims(tenant: Tenant, resource: str, client_id: str, oid: str) -> dict[str, Any]:
    now = int(tenant.now().timestamp())
    return {
        "aud": resource,
        "iss": f"{tenant.authority}/{tenant.id}/",
        "iat": now,
        "nbf": now,
        "exp": now + LIFETIME,
        "appid": client_id,
        "oid": oid,
        "sub": oid,
        "tid": tenant.id,
        "uti": tenant.new_id(),
        "ver": "1.0",
    }


def _issue(tenant: Tenant, claims: dict[str, Any]) -> str:
    token = sign(tenant, claims)
    tenant.issued[token] = Issued(claims, "access")
    return token


def sign(tenant: Tenant, claims: dict[str, Any]) -> str:
    """A JWT, signed with the tenant's key."""
    import jwt

    return jwt.encode(claims, tenant.signing_key(), algorithm="RS256", headers={"kid": "sandbox"})


def jwk(tenant: Tenant) -> dict[str, Any]:
    """The public key that goes with it."""
    from jwt.algorithms import RSAAlgorithm

    public: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(tenant.signing_key().public_key()))
    return public | {"kid": "sandbox", "use": "sig"}
