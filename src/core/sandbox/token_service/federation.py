"""Tokens that are passed on as a credential: T1 and T2 of the three hops, and those of other issuers (D.4)."""

from __future__ import annotations

from typing import Any, Final

from core.sandbox import origins
from core.sandbox.directory.store import State, Tenant
from core.sandbox.token_service import assertion, resources
from core.sandbox.token_service.refusals import Refused, refuse

#: Whose name the public cloud's v1 tokens carry; nothing answers there.
_STS: Final = "https://sts.windows.net"
_SPECIFIC: Final = {"issuer": 700211, "audience": 700212, "subject": 700213}


def issuers(tenant: Tenant, name: str = "") -> tuple[str, str]:
    """The `iss` of this tenant's v1 and v2 tokens; on loopback v1 has no host of its own.

    :param name: what stands for the tenant; empty: its id.
    """
    name = name or tenant.id
    return f"{_STS if origins.asked() else tenant.authority}/{name}/", f"{tenant.authority}/{name}/v2.0"


def foreign(tenant: Tenant, client_id: str, name: str, trusted: list[State], token: str) -> Refused:
    """Why a token of another issuer is no credential of an app. The sandbox can ask nobody for that issuer's keys.

    :param trusted: the app's federated credentials.
    """
    _, claims = assertion.parts_of(token)
    if not trusted:
        return refuse(70025, app=client_id, name=name)
    audiences = claims.get("aud")
    for part, found in (
        ("issuer", [one for one in trusted if one.get("issuer") == claims.get("iss")]),
        ("audience", [one for one in trusted if audiences in one.get("audiences", ())]),
        ("subject", [one for one in trusted if one.get("subject") == claims.get("sub")]),
    ):
        if not found:
            return mismatch(tenant, part, claims)
        trusted = [one for one in trusted if one in found]
    return refuse(50013, reason="The signing key of the issuer was not found")


def mismatch(tenant: Tenant, part: str, claims: dict[str, Any]) -> Refused:
    """No federated credential fits.

    :param part: what does not fit: `issuer`, `audience`, `subject`; any other word: nothing that has a code of its own.
    """
    number = _SPECIFIC.get(part, 70021) if tenant.switches.federation_detail else 70021
    facts = {"issuer": "iss", "audience": "aud", "subject": "sub"}
    return refuse(number, **{name: str(claims.get(claim)) for name, claim in facts.items()})


def first_hop(tenant: Tenant, agent: State, token: str) -> dict[str, Any]:
    """The claims of T1, which proves that an Agent Identity's Blueprint vouches for it.

    :raises Refused: it does not.
    """
    claims = _passed_on(tenant, token)
    if not claims.get("_fmi"):
        raise mismatch(tenant, "issuer", claims)
    if claims["_fmi"] != agent["appId"]:
        raise mismatch(tenant, "subject", claims)
    if claims["azp"] != agent.get("agentIdentityBlueprintId"):
        raise mismatch(tenant, "parent", claims)
    return claims


def second_hop(tenant: Tenant, agent: State, token: str) -> dict[str, Any]:
    """The claims of T2, with which an Agent Identity speaks for its Agent User.

    :raises Refused: it is none, or another's.
    """
    claims = _passed_on(tenant, token)
    if claims["azp"] != agent["appId"]:
        raise mismatch(tenant, "subject", claims)
    return claims


def _passed_on(tenant: Tenant, token: str) -> dict[str, Any]:
    """What this tenant issued for the exchange, to an app, and is still in time; with `_fmi`, what T1 was asked for."""
    _, claims = assertion.parts_of(token)
    if claims.get("iss") not in issuers(tenant):
        raise mismatch(tenant, "issuer", claims)
    issued = tenant.issued.get(token)
    if issued is None or issued.kind != "access":
        raise refuse(50013, reason="The signature is invalid")
    if issued.claims["exp"] <= tenant.now().timestamp():
        raise refuse(500133, now=tenant.stamp())
    if issued.claims["idtyp"] != "app":
        raise refuse(700229)
    if resources.app_id_of(tenant, issued.claims["aud"]) != resources.EXCHANGE_APP_ID:
        raise mismatch(tenant, "audience", claims)
    marker, _, path = str(issued.claims["sub"]).rpartition("/")
    return issued.claims | {"_fmi": path if marker else ""}
