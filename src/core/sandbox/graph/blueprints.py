"""Blueprints and their service principals, which never come by themselves (entra-protocol A.1, A.2 rows 14-19)."""

from __future__ import annotations

from typing import Any

from core.sandbox.directory import registrations
from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import Tenant
from core.sandbox.graph import chain, objects, rights, views
from core.sandbox.graph.permissions import BLUEPRINT, PRINCIPAL, named
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response


def create(tenant: Tenant, caller: Caller, body: dict[str, Any], unique_name: str | None = None) -> Response:
    """POST of a Blueprint: `displayName` and sponsors; whoever creates it owns it.

    :param unique_name: of an upsert.
    :raises Refused: 403, 400.
    """
    rights.check_agent(caller, BLUEPRINT, "create")
    name = chain.text(body, "displayName")
    owners = chain.bound(tenant, caller, body, "owners")
    sponsors = chain.sponsors(tenant, caller, body)
    chain.check_limit(tenant, BLUEPRINT)
    state = registrations.new_application(tenant, name) | {"@odata.type": BLUEPRINT, "uniqueName": unique_name}
    state |= {"_owners": list(dict.fromkeys([caller.oid, *owners])), "_sponsors": sponsors}
    state["createdByAppId"] = caller.claims["appid"]
    objects.apply(tenant, "application", state, body)
    tenant.commit("application", state["id"], state)
    return views.created(tenant, state, "applications", "" if unique_name else BLUEPRINT)


def upsert(tenant: Tenant, caller: Caller, request: Request, name: str, body: dict[str, Any], agent: str) -> Response:
    """PATCH by `uniqueName`, which makes a Blueprint where the path or the body says so.

    :param agent: type of the agent chain that the path names.
    :raises Refused: 403, 400; 404: there is none, or one of another type.
    """
    state = tenant.find("application", "uniqueName", name)
    if state is not None and agent not in ("", state.get("@odata.type")):
        raise rights.missing(name)
    if state is not None or BLUEPRINT not in (agent, named(body.get("@odata.type"))):
        return objects.upsert(tenant, caller, request, name, body)
    objects.check_absent(tenant, request, name)
    return create(tenant, caller, body, name)


def create_principal(tenant: Tenant, caller: Caller, body: dict[str, Any]) -> Response:
    """POST of a Blueprint's service principal.

    :raises Refused: 403; 400 for an app that is none or not known yet; 409 for a second one.
    """
    rights.check_agent(caller, PRINCIPAL, "create")
    app = objects.backing(tenant, caller, body, 400)  # as seen with agents; the 403 is that of a plain one
    if app.get("@odata.type") != BLUEPRINT:
        message = f"The application '{app['appId']}' is not an agent identity blueprint."
        raise Refused(400, "AgentBlueprintPrincipal_RequireAgentBlueprint", message)
    chain.check_limit(tenant, PRINCIPAL)
    state = registrations.new_principal(tenant, app, caller.oid) | {
        "@odata.type": PRINCIPAL,
        "createdByAppId": caller.claims["appid"],
        "createdDateTime": tenant.stamp(),
        "_sponsors": app.get("_sponsors", []),
    }
    objects.apply(tenant, "servicePrincipal", state, {name: value for name, value in body.items() if name != "appId"})
    tenant.commit("servicePrincipal", state["id"], state)
    return views.created(tenant, state, "servicePrincipals", PRINCIPAL)
