"""Tokens of the pretend world: their claims, and the list of those that were issued (D.1-D.4)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final
from uuid import UUID

from core.sandbox.directory.store import GRAPH_APP_ID, Issued, State, Tenant
from core.sandbox.graph import grants
from core.sandbox.token_service import federation, signing
from core.sandbox.token_service.resources import Resource, app_id_of

AZURE_CLI: Final = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
LIFETIME: Final = 3599
#: What the Azure CLI's Graph token was seen to carry (entra-protocol A.7).
CLI_SCOPES: Final = (
    "Application.ReadWrite.All AppRoleAssignment.ReadWrite.All AuditLog.Read.All "
    "DelegatedPermissionGrant.ReadWrite.All Directory.AccessAsUser.All Group.ReadWrite.All User.Read.All "
    "User.ReadWrite.All email openid profile"
)
#: When the pretend tenant was made, in seconds since 1970 (`xms_tcdt`).
FOUNDED: Final = 1577836800


def user_token(
    tenant: Tenant,
    user: State,
    resource: str,
    client_id: str,
    scopes: str | None = None,
    **more: Any,
) -> str:
    """An access token of a signed-in person, or of an Agent User.

    :param resource: its audience.
    :param scopes: its `scp`; None: what the Azure CLI gets.
    :param more: further claims, and those that differ.
    """
    own = CLI_SCOPES if app_id_of(tenant, resource) == GRAPH_APP_ID else "user_impersonation"
    claims = _claims(tenant, resource, client_id, user["id"]) | {
        "sub": pairwise(user["id"], client_id),
        "acr": "1",
        "amr": ["pwd", "mfa"],
        "idtyp": "user",
        "upn": user["userPrincipalName"],
        "unique_name": user["userPrincipalName"],
        "name": user["displayName"],
        "scp": own if scopes is None else scopes,
        "wids": list(user.get("_roles", ())),
        "appidacr": "0",
        "xms_idrel": "1",
    }
    for claim, member in (("given_name", "givenName"), ("family_name", "surname")):
        if user.get(member):
            claims[claim] = user[member]
    return _issue(tenant, claims | more)


def app_token(
    tenant: Tenant, principal: State, resource: str, replica: int, strength: str = "2", app_id: str = "", **more: Any
) -> str:
    """An access token of an app.

    :param principal: its service principal.
    :param resource: its audience.
    :param replica: whose grants it carries.
    :param strength: what it signed in with: `1` a secret, `2` an assertion.
    :param app_id: of the resource, if `resource` is none of Microsoft's.
    :param more: further claims, and those that differ.
    """
    held = _claims(tenant, resource, principal["appId"], principal["id"])
    held |= {"idtyp": "app", "appidacr": strength, "app_displayname": principal["displayName"], "xms_idrel": "7"}
    roles = grants.granted(tenant, principal["id"], app_id or app_id_of(tenant, resource), replica)
    if roles:  # a token without any has no such claim
        held["roles"] = roles
    return _issue(tenant, held | more)


def exchange_token(tenant: Tenant, principal: State, resource: Resource, strength: str, **more: Any) -> str:
    """A token to be passed on to this service (T1, T2): a v2.0 one.

    :param principal: of whoever gets it.
    :param more: further claims, and those that differ.
    """
    claims = _claims(tenant, resource.audience, principal["appId"], principal["id"])
    for name in ("appid", "appidacr", "idp"):
        claims.pop(name, None)
    claims |= {
        "iss": federation.issuers(tenant)[1],
        "azp": principal["appId"],
        "azpacr": strength,
        "idtyp": "app",
        "ver": "2.0",
        "xms_idrel": "7",
    }
    return _issue(tenant, claims | more)


def id_token(tenant: Tenant, user: State, client_id: str, nonce: str = "") -> str:
    """Who signed in, for the client; no access token."""
    now = int(tenant.now().timestamp())
    claims = {
        "aud": client_id,
        "iss": federation.issuers(tenant)[1],
        "iat": now,
        "nbf": now,
        "exp": now + LIFETIME,
        "name": user["displayName"],
        "oid": user["id"],
        "preferred_username": user["userPrincipalName"],
        "sub": pairwise(user["id"], client_id),
        "tid": tenant.id,
        "ver": "2.0",
    }
    return signing.sign(claims | ({"nonce": nonce} if nonce else {}))


def pairwise(user_id: str, client_id: str) -> str:
    """What one client knows a person by."""
    digest = hashlib.sha256(f"{user_id}|{client_id}".encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _claims(tenant: Tenant, resource: str, client_id: str, oid: str) -> dict[str, Any]:
    now = int(tenant.now().timestamp())
    issuer = federation.issuers(tenant)[0]
    unique = base64.urlsafe_b64encode(UUID(tenant.passing_id()).bytes).decode().rstrip("=")
    return {
        "aud": resource,
        "iss": issuer,
        "iat": now,
        "nbf": now,
        "exp": now + LIFETIME,
        "appid": client_id,
        "idp": issuer,
        "oid": oid,
        "sub": oid,
        "tenant_region_scope": "NA",
        "tid": tenant.id,
        "uti": unique,
        "ver": "1.0",
        "xms_ftd": unique[::-1],
        "xms_tcdt": FOUNDED,
        "xms_tnt_fct": "2 3",
    }


def _issue(tenant: Tenant, claims: dict[str, Any]) -> str:
    token = signing.sign(claims)
    tenant.issued[token] = Issued(claims, "access")
    return token
