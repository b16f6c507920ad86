"""What Microsoft Graph knows of the tenant itself: organization, domains, licences (entra-protocol A.2 rows 28, 29)."""

from __future__ import annotations

from typing import Final

from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import licences, resource, rights, views
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response

UNVERIFIED: Final = "contoso.example"
#: Who may read what; the Azure CLI's token acts as the user and may.
_READERS: Final = {
    "/organization": ("Organization.Read.All", "Organization.ReadWrite.All", "Directory.Read.All"),
    "/domains": ("Domain.Read.All", "Directory.Read.All"),
    "/subscribedSkus": ("Organization.Read.All", "LicenseAssignment.Read.All", "Directory.Read.All"),
}
#: How the paths begin.
PATHS: Final = tuple(_READERS)


def handle(tenant: Tenant, caller: Caller, request: Request, path: str) -> Response:
    """Answer a GET of one of the lists, or of one of its objects.

    :raises Refused: 403, 404; 400 for what is below such an object.
    """
    collection, _, one = path[1:].partition("/")
    path = f"/{collection}"
    if path not in PATHS or "/" in one:
        raise resource.unserved(request)
    readers = _READERS[path]
    if path == "/domains" and tenant.switches.organization_reads_domains:
        readers += ("Organization.Read.All",)
    if not caller.may(*readers):
        raise rights.denied()
    match path:
        case "/organization":
            found = [_organization(tenant)]
        case "/domains":
            found = _domains(tenant)
        case _:
            found = list(tenant.all_seen(licences.KIND, caller.replica))
    if not one:
        return views.page(tenant, request, found, collection)
    state = next((each for each in found if each["id"] == one), None)
    if state is None:
        raise rights.missing(one)
    return views.one(tenant, request, state, collection)


def _domains(tenant: Tenant) -> list[State]:
    return [
        {
            "id": name,
            "authenticationType": "Managed",
            "availabilityStatus": None,
            "isAdminManaged": True,
            "isDefault": name == tenant.domain,
            "isInitial": name.endswith(".onmicrosoft.com"),
            "isRoot": True,
            "isVerified": name in tenant.verified_domains,
            "supportedServices": ["Email", "OfficeCommunicationsOnline"] if name in tenant.verified_domains else [],
        }
        for name in dict.fromkeys((*tenant.verified_domains, UNVERIFIED))
    ]


def _organization(tenant: Tenant) -> State:
    domains = [
        {
            "name": name,
            "isDefault": name == tenant.domain,
            "isInitial": name.endswith(".onmicrosoft.com"),
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
