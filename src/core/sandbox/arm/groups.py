"""Subscriptions and resource groups of the pretend Azure (A7)."""

from __future__ import annotations

import re
from typing import Any, Final

from core.sandbox.arm import access
from core.sandbox.arm.answers import Refused
from core.sandbox.directory.store import State, Tenant
from core.sandbox.http import Request, Response, answer

SUBSCRIPTION: Final = "subscription"
KIND: Final = "resourceGroup"
_NAME: Final = re.compile(r"[\w().-]{1,90}(?<!\.)")
#: Regions that are known here.
LOCATIONS: Final = ("eastus", "germanywestcentral", "northeurope", "westeurope", "westus2")


def subscribe(tenant: Tenant, name: str, owner_id: str) -> State:
    """A subscription that somebody owns, committed."""
    one = {"id": tenant.new_id(), "name": name}
    tenant.commit(SUBSCRIPTION, one["id"], one)
    access.give(tenant, owner_id, access.OWNER, f"/subscriptions/{one['id']}", tenant.new_id())
    return one


def subscriptions(tenant: Tenant, claims: dict[str, Any]) -> list[State]:
    """Those in which somebody has any role."""
    return [
        _subscription(tenant, one)
        for one in tenant.newest(SUBSCRIPTION)
        if access.held(tenant, str(claims["oid"]), f"/subscriptions/{one['id']}")
    ]


def subscription(tenant: Tenant, claims: dict[str, Any], subscription_id: str) -> State:
    """One of them.

    :raises Refused: 404.
    """
    for one in subscriptions(tenant, claims):
        if one["subscriptionId"] == subscription_id.lower():
            return one
    message = f"The subscription '{subscription_id}' could not be found."
    raise Refused(404, "SubscriptionNotFound", message)


def handle(tenant: Tenant, claims: dict[str, Any], request: Request, subscription_id: str, name: str) -> Response:
    """Answer a request to a resource group, or for the list of them.

    :param name: empty: all.
    :raises Refused: 403, 404, 400.
    """
    scope = f"/subscriptions/{subscription_id}"
    where = f"{scope}/resourceGroups/{name}" if name else scope
    verb = {"GET": "read", "HEAD": "read", "DELETE": "delete"}.get(request.method, "write")
    access.check(tenant, claims, where, f"Microsoft.Resources/subscriptions/resourceGroups/{verb}")
    mine = [one for one in tenant.newest(KIND) if one["_subscription"] == subscription_id]
    match request.method, bool(name):
        case "GET", False:
            return answer(200, {"value": [_shown(one) for one in mine]})
        case "PUT", True:
            return _put(tenant, subscription_id, name, request.json())
        case "HEAD", True:
            return answer(204 if any(one["id"] == _key(subscription_id, name) for one in mine) else 404)
        case "GET", True:
            return answer(200, _shown(group(tenant, subscription_id, name)))
        case "DELETE", True:
            group(tenant, subscription_id, name)
            for kind in tenant.kinds():
                for one in list(tenant.newest(kind)):
                    if str(one.get("_group", "")) == _key(subscription_id, name):
                        tenant.commit(kind, one["id"], None)
            tenant.commit(KIND, _key(subscription_id, name), None)
            return answer(200)
    raise Refused(405, "MethodNotAllowed", "The method is not allowed here.")


def group(tenant: Tenant, subscription_id: str, name: str) -> State:
    """A resource group.

    :raises Refused: 404.
    """
    found = tenant.latest(KIND, _key(subscription_id, name))
    if found is None:
        raise Refused(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
    return found


def located(body: dict[str, Any]) -> str:
    """The region that a body names.

    :raises Refused: 400.
    """
    found = str(body.get("location", "")).lower().replace(" ", "")
    if not found:
        raise Refused(400, "LocationRequired", "The location property is required for this definition.")
    if found not in LOCATIONS:
        message = f"The provided location '{found}' is not available for resource group."
        raise Refused(400, "LocationNotAvailableForResourceGroup", message)
    return found


def _put(tenant: Tenant, subscription_id: str, name: str, body: dict[str, Any]) -> Response:
    if not _NAME.fullmatch(name):
        raise Refused(400, "InvalidResourceGroup", f"The resource group name '{name}' is not valid.")
    key, location = _key(subscription_id, name), located(body)
    old = tenant.latest(KIND, key)
    if old is not None and old["location"] != location:
        message = f"Invalid resource group location '{location}'. The Resource group already exists in another one."
        raise Refused(409, "InvalidResourceGroupLocation", message)
    new = {
        "id": key,
        "name": old["name"] if old else name,
        "location": location,
        "tags": body.get("tags") or {},
        "_subscription": subscription_id,
    }
    tenant.commit(KIND, key, new)
    return answer(200 if old else 201, _shown(new))


def _key(subscription_id: str, name: str) -> str:
    return f"{subscription_id}/{name.lower()}"


def _shown(one: State) -> State:
    return {
        "id": f"/subscriptions/{one['_subscription']}/resourceGroups/{one['name']}",
        "name": one["name"],
        "type": "Microsoft.Resources/resourceGroups",
        "location": one["location"],
        "tags": one["tags"],
        "properties": {"provisioningState": "Succeeded"},
    }


def _subscription(tenant: Tenant, one: State) -> State:
    return {
        "id": f"/subscriptions/{one['id']}",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": one["id"],
        "tenantId": tenant.id,
        "displayName": one["name"],
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    }
