"""Agent Identities and Agent Users: whose child each is, and what neither may hold (A.1, A.2 rows 20-25)."""

from __future__ import annotations

from typing import Any, Final

from core.sandbox.directory.registrations import Refused, taken
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import chain, members, objects, rights, views
from core.sandbox.graph.permissions import AGENT_USER, BLUEPRINT, IDENTITY, PRINCIPAL
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Response

_CREDENTIALS: Final = ("passwordProfile", "passwordPolicies", "onPremisesImmutableId")


def create_identity(tenant: Tenant, caller: Caller, body: dict[str, Any]) -> Response:
    """POST of an Agent Identity under a Blueprint that has its service principal; its id is its app id.

    :raises Refused: 403, 400.
    """
    blueprint_id = chain.text(body, "agentIdentityBlueprintId")
    _check_creator(tenant, caller, blueprint_id)
    rights.check_agent(caller, IDENTITY, "create")
    name = chain.text(body, "displayName")
    parent = tenant.find("application", "appId", blueprint_id, caller.replica)
    if parent is None:
        raise Refused(400, "Request_BadRequest", f"Object with id '{blueprint_id}' not found.")
    if parent.get("@odata.type") != BLUEPRINT:
        message = f"The application '{blueprint_id}' is not an agent identity blueprint."
        raise Refused(400, "AgentIdentity_IncompatibleParentType", message)
    principal = tenant.find("servicePrincipal", "appId", blueprint_id, caller.replica)
    if principal is None:
        message = f"The agent blueprint principal for '{blueprint_id}' does not exist."
        raise Refused(400, "AgentIdentity_AgentBlueprintPrincipalDoesNotExist", message)
    sponsors = chain.sponsors(tenant, caller, body)
    chain.check_limit(tenant, IDENTITY, blueprint_id)
    state = new_identity(tenant, name, blueprint_id, caller.claims["appid"], sponsors)
    given = ("agentIdentityBlueprintId", "servicePrincipalType")
    objects.apply(tenant, "servicePrincipal", state, {name: body[name] for name in body if name not in given})
    tenant.commit("servicePrincipal", state["id"], state)
    return views.created(tenant, state, "servicePrincipals")


def create_user(tenant: Tenant, caller: Caller, body: dict[str, Any]) -> Response:
    """POST of an Agent User: one per Agent Identity, in a verified domain, without a password.

    :raises Refused: 403, 400.
    """
    rights.check_agent(caller, AGENT_USER, "create")
    for name in _CREDENTIALS:
        if name in body:
            message = f"Property '{name}' is not compatible with an agent user."
            raise Refused(400, "PropertyNotCompatibleWithAgentIdentity", message)
    name, nickname, upn = (chain.text(body, part) for part in ("displayName", "mailNickname", "userPrincipalName"))
    if not isinstance(body.get("accountEnabled"), bool):
        raise Refused(400, "Request_BadRequest", "Property 'accountEnabled' is required.")
    if not members.fits("displayName", name):
        raise Refused(400, "Request_BadRequest", "Invalid value for property 'displayName'.")
    parent = _parent(tenant, caller, body)
    if not rights.any_of(caller, AGENT_USER, "change") and parent["agentIdentityBlueprintId"] != caller.claims["appid"]:
        raise rights.denied()  # IdentityParentedBy reaches the children of the caller's own Blueprint
    _check_name(tenant, upn)
    if any(user.get("identityParentId") == parent["id"] for user in tenant.all_latest("user")):
        message = "An agent user already exists for the agent identity."
        raise Refused(400, "Request_BadRequest", message, details=[taken("identityParentId")])
    chain.check_limit(tenant, AGENT_USER)
    state = new_user(tenant, name, nickname, upn, parent["id"]) | {"accountEnabled": body["accountEnabled"]}
    tenant.commit("user", state["id"], state)
    return views.created(tenant, state, "users")


def new_identity(tenant: Tenant, name: str, blueprint_id: str, creator: str, sponsors: list[str]) -> State:
    """An Agent Identity; not committed yet.

    :param blueprint_id: app id of its Blueprint.
    :param creator: app id of whoever makes it.
    """
    object_id = tenant.new_id()
    return {
        "@odata.type": IDENTITY,
        "id": object_id,
        "appId": object_id,
        "displayName": name,
        "accountEnabled": True,
        "agentIdentityBlueprintId": blueprint_id,
        "appOwnerOrganizationId": tenant.id,
        "servicePrincipalType": "ServiceIdentity",
        "servicePrincipalNames": [object_id],
        "createdByAppId": creator,
        "createdDateTime": tenant.stamp(),
        "deletedDateTime": None,
        "notes": None,
        "appRoles": [],
        "keyCredentials": [],
        "passwordCredentials": [],
        "tags": [],
        "_owners": [],
        "_sponsors": sponsors,
    }


def new_user(tenant: Tenant, name: str, nickname: str, upn: str, parent_id: str) -> State:
    """An Agent User; not committed yet.

    :param parent_id: object id of its Agent Identity.
    """
    return {
        "@odata.type": AGENT_USER,
        "id": tenant.new_id(),
        "displayName": name,
        "givenName": None,
        "surname": None,
        "mailNickname": nickname,
        "userPrincipalName": upn,
        "identityParentId": parent_id,
        "mail": None,
        "userType": "Member",
        "accountEnabled": True,
        "usageLocation": None,
        "createdDateTime": tenant.stamp(),
        "deletedDateTime": None,
        "businessPhones": [],
        "jobTitle": None,
        "mobilePhone": None,
        "officeLocation": None,
        "preferredLanguage": None,
        "_roles": [],
    }


def _check_creator(tenant: Tenant, caller: Caller, blueprint_id: str) -> None:
    """An Agent Identity makes no other, and a Blueprint none for another Blueprint."""
    creator = tenant.latest("servicePrincipal", caller.oid) or {}
    if creator.get("@odata.type") == IDENTITY:
        message = "Agent identities are not allowed to create agent identities."
        raise Refused(403, "Error_AgentIdentitiesCreatingAgentIdentitiesNotAllowed", message)
    if creator.get("@odata.type") == PRINCIPAL and creator["appId"] != blueprint_id:
        message = "The agent blueprint cannot create an agent identity that is associated with another one."
        raise Refused(403, "Error_AgentBlueprintCannotCreateAssociatedIdentity", message)


def _parent(tenant: Tenant, caller: Caller, body: dict[str, Any]) -> State:
    """The Agent Identity that a body names, in either of its two spellings."""
    nested = body.get("identityParent")
    parent_id = body.get("identityParentId") or (nested.get("id") if isinstance(nested, dict) else None)
    if not isinstance(parent_id, str):
        raise Refused(400, "Request_BadRequest", "Property 'identityParentId' is required.")
    state = tenant.seen("servicePrincipal", parent_id, caller.replica)
    if state is None:
        raise Refused(400, "Request_BadRequest", f"Object with id '{parent_id}' not found.")
    if state.get("@odata.type") != IDENTITY:
        raise Refused(400, "Request_BadRequest", "The identity parent of an agent user must be an agent identity.")
    return state


def _check_name(tenant: Tenant, upn: str) -> None:
    local, _, domain = upn.rpartition("@")
    if not local or domain.lower() not in tenant.verified_domains:
        message = (
            "The domain portion of the userPrincipalName property is invalid. "
            "You must use one of the verified domain names in your organization."
        )
        raise Refused(400, "Request_BadRequest", message)
    if any(user["userPrincipalName"].lower() == upn.lower() for user in tenant.all_latest("user")):
        message = "Another object with the same value for property userPrincipalName already exists."
        raise Refused(400, "Request_BadRequest", message, details=[taken("userPrincipalName")])
