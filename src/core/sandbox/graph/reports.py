"""When each credential of an app was last used, from the sign-ins at the token endpoint (entra-protocol B.7)."""

from __future__ import annotations

import base64
from typing import Final

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import rights, roles, views
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response

KIND: Final = "appCredentialSignInActivity"
PATH: Final = "/reports/appCredentialSignInActivities"
PERMISSION: Final = "AuditLog.Read.All"
_LISTS: Final = ("keyCredentials", "passwordCredentials")
_READERS: Final = frozenset(
    {roles.REPORTS_READER, roles.SECURITY_READER, roles.GLOBAL_READER, roles.GLOBAL_ADMINISTRATOR}
)


def note(tenant: Tenant, app: State, principal: State, entry: State, stamp: str = "", resource_id: str = "") -> None:
    """Note that somebody signed in with a credential.

    :param entry: the key or password, which is on either object.
    :param stamp: when; empty: now.
    :param resource_id: object id of the service principal that the token is for.
    """
    own = any(entry["keyId"] == other["keyId"] for name in _LISTS for other in principal[name])
    origin = "servicePrincipal" if own else "application"
    row = {
        "id": base64.b64encode(f"{entry['keyId']}|{origin}".encode()).decode(),
        "keyId": entry["keyId"],
        "keyType": "certificate" if "key" in entry else "clientSecret",
        "keyUsage": "verify",
        "appId": app["appId"],
        "appObjectId": app["id"],
        "servicePrincipalObjectId": principal["id"],
        "resourceId": resource_id or None,
        "credentialOrigin": origin,
        "createdDateTime": entry.get("startDateTime"),
        "expirationDateTime": entry.get("endDateTime"),
        "signInActivity": {"lastSignInDateTime": stamp or tenant.stamp(), "lastSignInRequestId": tenant.passing_id()},
    }
    tenant.commit(KIND, row["id"], row)


def listed(tenant: Tenant, caller: Caller, request: Request) -> Response:
    """The rows; a credential that was never used has none.

    :raises Refused: 403, also in a tenant without the licence.
    """
    if not caller.holds(PERMISSION, _READERS):
        raise rights.denied()
    if not tenant.switches.premium:
        message = "Neither tenant is B2C or tenant doesn't have premium license"
        raise Refused(403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", message)
    rows = tenant.all_seen(KIND, caller.replica)
    return views.page(tenant, request, rows, "reports/appCredentialSignInActivities")
