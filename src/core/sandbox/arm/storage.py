"""Storage accounts and their containers in the pretend Azure: cloud memory of an agent (A7)."""

from __future__ import annotations

import re
from typing import Any, Final

from core.sandbox import origins
from core.sandbox.arm import access, groups
from core.sandbox.arm.answers import Refused
from core.sandbox.directory.store import State, Tenant
from core.sandbox.http import Request, Response, answer

KIND, CONTAINER, OPERATION = "storageAccount", "blobContainer", "storageOperation"
PROVIDER: Final = "Microsoft.Storage"
_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER: Final = re.compile(r"(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")
_TYPE: Final = f"{PROVIDER}/storageAccounts"
#: Seconds that a client is asked to wait between two looks at an account that is being made.
_RETRY_AFTER: Final = 17


def available(tenant: Tenant, request: Request) -> Response:
    """`checkNameAvailability`: account names are taken all over the world."""
    name = str(request.json().get("name", ""))
    if not _ACCOUNT.fullmatch(name):
        message = (
            f"{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in "
            "length and use numbers and lower-case letters only."
        )
        return answer(200, {"nameAvailable": False, "reason": "AccountNameInvalid", "message": message})
    if tenant.latest(KIND, name) is not None:
        message = f"The storage account named {name} is already taken."
        return answer(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": message})
    return answer(200, {"nameAvailable": True})


def operation(tenant: Tenant, operation_id: str) -> Response:
    """How far the making of an account is: 202, and at last the account.

    :raises Refused: 404.
    """
    found = tenant.latest(OPERATION, operation_id)
    account = tenant.latest(KIND, found["account"]) if found else None
    if found is None or account is None:
        raise Refused(404, "NotFound", f"The operation '{operation_id}' is not found.")
    if found["left"]:
        tenant.commit(OPERATION, operation_id, found | {"left": found["left"] - 1})
        return answer(202, None, found["headers"])
    return answer(200, _shown(account))


def listed(tenant: Tenant, claims: dict[str, Any], subscription_id: str, group: str) -> Response:
    """The accounts of a subscription or of a resource group.

    :param group: empty: of the subscription.
    :raises Refused: 403, 404.
    """
    scope = f"/subscriptions/{subscription_id}" + (f"/resourceGroups/{group}" if group else "")
    access.check(tenant, claims, scope, f"{_TYPE}/read")
    wanted = groups.group(tenant, subscription_id, group)["id"] if group else ""
    rows = [one for one in tenant.newest(KIND) if one["_group"].startswith(wanted or subscription_id)]
    return answer(200, {"value": [_shown(one) for one in rows]})


def handle(
    tenant: Tenant, claims: dict[str, Any], request: Request, subscription_id: str, group: str, rest: list[str]
) -> Response:
    """Answer a request to an account, or to one of its containers.

    :param rest: the path from the account's name on.
    :raises Refused: 403, 404, 409, 400.
    """
    name = rest[0]
    parent = groups.group(tenant, subscription_id, group)
    where = f"/subscriptions/{subscription_id}/resourceGroups/{parent['name']}/providers/{_TYPE}/{name}"
    verb = {"GET": "read", "DELETE": "delete"}.get(request.method, "write")
    parts = [part.lower() for part in rest[1:4]]
    if len(rest) == 1:
        access.check(tenant, claims, where, f"{_TYPE}/{verb}")
        if request.method == "PUT":
            return _put(tenant, request, parent, where, name)
        account = _account(tenant, parent, name)
        if request.method == "GET":
            return answer(200, _shown(account))
        if request.method == "DELETE":
            for one in list(tenant.newest(CONTAINER)):
                if one["_account"] == name:
                    tenant.commit(CONTAINER, one["id"], None)
            tenant.commit(KIND, name, None)
            return answer(200)
    elif parts[:2] == ["blobservices", "default"] and parts[2:] in ([], ["containers"]) and len(rest) in (4, 5):
        access.check(tenant, claims, where, f"{_TYPE}/blobServices/containers/{verb}")
        account = _account(tenant, parent, name)
        held = [one for one in tenant.newest(CONTAINER) if one["_account"] == name]
        if len(rest) == 4 and request.method == "GET":
            return answer(200, {"value": [_container(account, one) for one in held]})
        if len(rest) == 5:
            return _one_container(tenant, request, account, rest[4])
    raise Refused(404, "NotFound", f"No route of the sandbox serves '{request.method} {request.path}'.")


def make_container(tenant: Tenant, account: str, name: str) -> State:
    """A container, committed; whether it may be made is for others to see.

    :raises Refused: 400.
    """
    if not _CONTAINER.fullmatch(name):
        message = "The specified resource name contains invalid characters."
        raise Refused(400, "InvalidResourceName", message)
    made: State = {"id": f"{account}/{name}", "name": name, "_account": account, "_made": tenant.stamp(), "_blobs": {}}
    tenant.commit(CONTAINER, made["id"], made)
    return made


def scope_of(tenant: Tenant, account: str, container: str = "") -> str:
    """Where in Azure an account, or a container, is; empty: there is no such account."""
    found = tenant.latest(KIND, account)
    if found is None:
        return ""
    return f"{found['_scope']}/blobServices/default/containers/{container}" if container else str(found["_scope"])


def _one_container(tenant: Tenant, request: Request, account: State, name: str) -> Response:
    found = tenant.latest(CONTAINER, f"{account['id']}/{name}")
    if request.method == "PUT":
        made = found or make_container(tenant, account["id"], name)
        return answer(200 if found else 201, _container(account, made))
    if found is None and request.method == "DELETE":
        return answer(204)
    if found is None:
        raise Refused(404, "ContainerNotFound", "The specified container does not exist.")
    if request.method == "DELETE":
        tenant.commit(CONTAINER, found["id"], None)
        return answer(200)
    return answer(200, _container(account, found))


def _put(tenant: Tenant, request: Request, parent: State, where: str, name: str) -> Response:
    body = request.json()
    if not _ACCOUNT.fullmatch(name):
        raise Refused(400, "AccountNameInvalid", f"{name} is not a valid storage account name.")
    old = tenant.latest(KIND, name)
    if old is not None and old["_group"] != parent["id"]:
        raise Refused(409, "StorageAccountAlreadyTaken", f"The storage account named {name} is already taken.")
    sku = body.get("sku")
    if not isinstance(sku, dict) or not sku.get("name") or not body.get("kind"):
        raise Refused(400, "InvalidRequestPropertyMissing", "Properties 'sku' and 'kind' are required.")
    given = body.get("properties")
    account = {
        "id": name,
        "sku": {"name": sku["name"], "tier": str(sku["name"]).partition("_")[0]},
        "kind": body["kind"],
        "location": groups.located(body),
        "tags": body.get("tags") or {},
        "_given": given if isinstance(given, dict) else {},
        "_group": parent["id"],
        "_scope": where,
        "_made": old["_made"] if old else tenant.stamp(),
    }
    tenant.commit(KIND, name, account)
    if old is not None:
        return answer(200, _shown(account))
    operation_id = tenant.passing_id()
    place = (
        f"{tenant.arm}/subscriptions/{parent['_subscription']}/providers/{PROVIDER}/locations/{account['location']}"
        f"/asyncoperations/{operation_id}?monitor=true&api-version={request.query.get('api-version', '')}"
    )
    headers = {"Location": place, "Retry-After": str(_RETRY_AFTER), "Content-Type": "text/plain; charset=utf-8"}
    left = tenant.switches.storage_polls
    note = {"id": operation_id, "account": name, "left": left, "headers": headers}
    tenant.commit(OPERATION, operation_id, note)
    return answer(202, None, headers)


def _account(tenant: Tenant, parent: State, name: str) -> State:
    found = tenant.latest(KIND, name)
    if found is None or found["_group"] != parent["id"]:
        message = (
            f"The Resource '{_TYPE}/{name}' under resource group '{parent['name']}' was not found. For more details "
            "please go to https://aka.ms/ARMResourceNotFoundFix"
        )
        raise Refused(404, "ResourceNotFound", message)
    return found


def _shown(one: State) -> State:
    return {
        "sku": one["sku"],
        "kind": one["kind"],
        "id": one["_scope"],
        "name": one["id"],
        "type": _TYPE,
        "location": one["location"],
        "tags": one["tags"],
        "properties": {
            **one["_given"],
            "provisioningState": "Succeeded",
            "creationTime": one["_made"],
            "primaryLocation": one["location"],
            "statusOfPrimary": "available",
            "primaryEndpoints": {"blob": f"https://{one['id']}{origins.BLOB}/"},
        },
    }


def _container(account: State, one: State) -> State:
    return {
        "id": f"{account['_scope']}/blobServices/default/containers/{one['name']}",
        "name": one["name"],
        "type": f"{_TYPE}/blobServices/containers",
        "properties": {
            "publicAccess": "None",
            "leaseStatus": "Unlocked",
            "leaseState": "Available",
            "lastModifiedTime": one["_made"],
            "hasImmutabilityPolicy": False,
            "hasLegalHold": False,
        },
    }
