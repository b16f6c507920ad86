"""Licences: what the tenant has bought, and whose seats they are (entra-protocol A.2 row 29)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import rights, views
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response, answer

KIND: Final = "subscribedSku"
PERMISSION: Final = "LicenseAssignment.ReadWrite.All"
#: The service that lets somebody chat.
TEAMS: Final = "TEAMS1"
#: Products by part number: the id, and the services in them, name to id.
PRODUCTS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "SPE_E5": (
        "06ebc4ee-1bb5-47dd-8120-11324bc54e06",
        {
            TEAMS: "57ff2da0-773e-42df-b2af-ffb7a2317929",
            "EXCHANGE_S_ENTERPRISE": "efb87545-963c-4e0d-99df-69c6916d9eb0",
        },
    ),
    "POWER_BI_STANDARD": (
        "a403ebcc-fae0-4ca2-8c8c-7a907fd6c235",
        {"BI_AZURE_P0": "2049e525-b859-401b-b2a0-e0a31c4b1fe4"},
    ),
}


def buy(tenant: Tenant, product: str, seats: int) -> State:
    """Seats of a product, committed.

    :param product: one of `PRODUCTS`.
    """
    sku_id, services = PRODUCTS[product]
    sku: State = {
        "id": f"{tenant.id}_{sku_id}",
        "accountId": tenant.id,
        "accountName": tenant.name,
        "appliesTo": "User",
        "capabilityStatus": "Enabled",
        "consumedUnits": 0,
        "prepaidUnits": {"enabled": seats, "suspended": 0, "warning": 0, "lockedOut": 0},
        "servicePlans": [
            {
                "servicePlanId": plan_id,
                "servicePlanName": name,
                "provisioningStatus": "Success",
                "appliesTo": "User",
            }
            for name, plan_id in services.items()
        ],
        "skuId": sku_id,
        "skuPartNumber": product,
        "subscriptionIds": [],
    }
    tenant.commit(KIND, sku["id"], sku)
    return sku


def services(tenant: Tenant, user: State) -> set[str]:
    """Names of the services that somebody has a licence for."""
    return {plan["servicePlanName"] for _, plans in _held(tenant, user) for plan in plans}


def assign(tenant: Tenant, caller: Caller, object_id: str, body: dict[str, Any]) -> Response:
    """`assignLicense`: seats taken and given back.

    :raises Refused: 404, 403; 400: no such licence, no seat left, or nobody knows where it is to be used.
    """
    if not caller.holds(PERMISSION, rights.USER_ADMINISTRATORS):
        rights.written(tenant, caller, "user", object_id)
    rights.seen(tenant, caller, "user", object_id)
    user = tenant.latest("user", object_id) or {}
    adds, removes = body.get("addLicenses"), body.get("removeLicenses")
    if not isinstance(adds, list) or not isinstance(removes, list) or not all(isinstance(add, dict) for add in adds):
        raise Refused(400, "Request_BadRequest", "Lists 'addLicenses' and 'removeLicenses' were expected.")
    held = {entry["skuId"]: entry for entry in user.get("assignedLicenses", ())}
    if adds and not user.get("usageLocation"):
        message = "License assignment cannot be done for user with invalid usage location."
        raise Refused(400, "Request_BadRequest", message)
    changed: list[State] = []
    for wanted in removes:
        if wanted not in held:
            raise Refused(400, "Request_BadRequest", "User does not have a corresponding license.")
        del held[wanted]
        changed.append(_moved(tenant, wanted, -1))
    for add in adds:
        disabled = add.get("disabledPlans", [])
        sku = _sku(tenant, add.get("skuId"))
        known = {plan["servicePlanId"] for plan in sku["servicePlans"]}
        if not isinstance(disabled, list) or not set(map(str, disabled)) <= known:
            raise Refused(400, "Request_BadRequest", "Invalid value for 'disabledPlans'.")
        if sku["skuId"] not in held:
            changed.append(_moved(tenant, sku["skuId"], 1))
        held[sku["skuId"]] = {"disabledPlans": disabled, "skuId": sku["skuId"]}
    for sku in changed:
        tenant.commit(KIND, sku["id"], sku)
    user["assignedLicenses"] = list(held.values())
    tenant.commit("user", object_id, user)
    return answer(200, views.context(tenant, "users/$entity") | views.shown(user, "users"))


def details(tenant: Tenant, caller: Caller, request: Request, object_id: str) -> Response:
    """The licences of somebody with their services.

    :raises Refused: 404, 403.
    """
    rights.check_read(caller, "user", object_id)
    user = rights.seen(tenant, caller, "user", object_id)
    rows = []
    for sku, plans in _held(tenant, user):
        ends = UUID(object_id).bytes_le + UUID(sku["skuId"]).bytes_le
        row_id = base64.urlsafe_b64encode(ends).decode().rstrip("=")
        rows.append({"id": row_id, "skuId": sku["skuId"], "skuPartNumber": sku["skuPartNumber"], "servicePlans": plans})
    return views.page(tenant, request, rows, f"users('{object_id}')/licenseDetails")


def _held(tenant: Tenant, user: State) -> Iterator[tuple[State, list[State]]]:
    """The products that somebody has, each with the services of it that are not switched off."""
    for entry in user.get("assignedLicenses", ()):
        sku = _sku(tenant, entry["skuId"])
        yield sku, [plan for plan in sku["servicePlans"] if plan["servicePlanId"] not in entry["disabledPlans"]]


def _moved(tenant: Tenant, sku_id: str, by: int) -> State:
    """A product with a seat more or less taken; not committed yet.

    :raises Refused: 400: no seat is left.
    """
    sku = _sku(tenant, sku_id)
    sku["consumedUnits"] += by
    if sku["consumedUnits"] > sku["prepaidUnits"]["enabled"]:
        message = f"Subscription with SKU {sku_id} does not have any available licenses."
        raise Refused(400, "Request_BadRequest", message)
    return sku


def _sku(tenant: Tenant, sku_id: Any) -> State:
    found = tenant.find(KIND, "skuId", str(sku_id))
    if found is None:
        raise Refused(400, "Request_BadRequest", f"License {sku_id} does not correspond to a valid company License.")
    return found
