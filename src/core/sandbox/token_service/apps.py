"""Tokens without a person: client credentials, with the first two of the three hops (entra-protocol D.2, D.4)."""

from __future__ import annotations

from typing import Any

from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import reports
from core.sandbox.http import Response, answer
from core.sandbox.token_service import clients, federation, resources, tokens
from core.sandbox.token_service.clients import Client, Proof
from core.sandbox.token_service.refusals import refuse
from core.sandbox.token_service.resources import Resource


def grant(tenant: Tenant, directory: str, form: dict[str, str]) -> Response:
    """Answer `grant_type=client_credentials`.

    :param directory: the tenant as the path names it.
    :raises Refused: see `resources.asked`, `clients.find` and `clients.prove`; 82001, 70021.
    """
    resource = resources.asked(tenant, form.get("scope", ""), app_only=True)
    replica = tenant.replica()
    client = clients.find(tenant, form["client_id"], replica, directory)
    if client.kind == "blueprint" and not resource.exchange:
        raise refuse(82001, app=client.id)
    proof = clients.prove(tenant, client, form)
    assert client.principal is not None  # only Microsoft's own have none, and they prove nothing
    if resource.exchange:
        token = _passed_on(tenant, client, client.principal, proof, resource, form.get("fmi_path", "").lower(), replica)
    else:
        more = resources.wished(form) | (_vouched(proof) if client.kind == "agent" else {})
        token = tokens.app_token(
            tenant, client.principal, resource.audience, replica, proof.strength, resource.app_id, **more
        )
    if proof.used is not None and client.app is not None:
        graph = resource.principal["id"] if resource.principal else ""
        reports.note(tenant, client.app, client.principal, proof.used, resource_id=graph)
    life = tokens.LIFETIME
    return answer(200, {"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token})


def _passed_on(
    tenant: Tenant, client: Client, principal: State, proof: Proof, resource: Resource, child: str, replica: int
) -> str:
    """T1 of a Blueprint, T2 of an Agent Identity; any other app gets a token that nobody takes."""
    if client.kind == "agent":
        return tokens.exchange_token(tenant, principal, resource, proof.strength, **_vouched(proof))
    if client.kind == "app" or not child:
        return tokens.exchange_token(tenant, principal, resource, proof.strength)
    found = tenant.find("servicePrincipal", "appId", child, replica, login=True)
    subject = f"/eid1/c/pub/t/{tenant.id}/a/{client.id}/{child}"
    if found is None or found.get("agentIdentityBlueprintId") != client.id:
        raise refuse(70021, issuer=federation.issuers(tenant)[1], subject=subject)
    return tokens.exchange_token(tenant, principal, resource, proof.strength, sub=subject)


def _vouched(proof: Proof) -> dict[str, Any]:
    """What tokens of an Agent Identity say of it."""
    assert proof.vouched is not None
    return {"xms_par_app_azp": proof.vouched["azp"], "xms_act_fct": "3 9 11", "xms_sub_fct": "2 9 11"}
