"""What Microsoft Graph knows of the tenant itself: organization, domains, licences (entra-protocol A.2 rows 28, 29)."""

from __future__ import annotations

from typing import Final

from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import rights, views
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response

UNVERIFIED: Final = "contoso.example"
#: Who may read what; the Azure CLI's token acts as the user and may.
_READERS: Final = {
    "/organization": ("Organization.Read.All", "Organization.ReadWrite.All", "Directory.Read.All"),
    "/domains": ("Domain.Read.All", "Directory.Read.All"),
    "/subscribedSkus": ("Organization.Read.All", "LicenseAssignment.Read.All", "Directory.Read.All"),
}
PATHS: Final = frozenset(_READERS)
#: Of one organization, by its id.
ONE: Final = "/organization/"


def one(tenant: Tenant, caller: Caller, request: Request, object_id: str) -> Response:
    """Answer a GET of the organization itself.

    :raises Refused: 403, 404.
    """
    if not caller.may(*_READERS["/organization"]):
        raise rights.denied()
    if object_id != tenant.id:
        raise rights.missing(object_id)
    return views.one(tenant, request, _organization(tenant), "organization")


def handle(tenant: Tenant, caller: Caller, request: Request, path: str) -> Response:
    """Answer a GET of one of the `PATHS`.

    :raises Refused: 403.
    """
    if not caller.may(*_READERS[path]):
        raise rights.denied()
    found = {"/organization": [_organization(tenant)], "/domains": _domains(tenant), "/subscribedSkus": []}
    return views.page(tenant, request, found[path], path.removeprefix("/"))


def _domains(tenant: Tenant) -> list[State]:
    return [
        {
            "id": name,
            "authenticationType": "Managed",
            "isAdminManaged": True,
            "isDefault": name == tenant.domain,
            "isInitial": name == tenant.domain,
            "isRoot": True,
            "isVerified": name in tenant.verified_domains,
        }
        for name in dict.fromkeys((*tenant.verified_domains, UNVERIFIED))
    ]


def _organization(tenant: Tenant) -> State:
    domains = [
        {
            "name": name,
            "isDefault": name == tenant.domain,
            "isInitial": name == tenant.domain,
            "type": "Managed",
            "capabilities": "Email",
        }
        for name in tenant.verified_domains
    ]
    return {
        "id": tenant.id,
        "displayName": tenant.name,
        "tenantType": "AAD",
        "countryLetterCode": "US",
        "verifiedDomains": domains,
    }
