"""Service principals of Microsoft's own applications: in every tenant, or made when somebody asks (A.2 row 9)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from core.sandbox.directory import registrations
from core.sandbox.directory.store import GRAPH_APP_ID, MICROSOFT, State, Tenant
from core.sandbox.graph import roles

STORAGE_APP_ID: Final = "e406a681-f3d4-42a8-90b6-c2b029497af1"


class Own(NamedTuple):
    """One of Microsoft's applications.

    :param names: by which tokens for it are asked, besides its app id.
    """

    name: str
    names: tuple[str, ...]
    app_roles: list[dict[str, Any]]
    scopes: list[dict[str, Any]]


OWN: Final = {
    GRAPH_APP_ID: Own("Microsoft Graph", (), roles.app_roles(), roles.scopes()),
    STORAGE_APP_ID: Own(
        "Azure Storage",
        ("https://storage.azure.com", "https://storage.azure.com/"),
        [],
        roles.scopes(roles.STORAGE_SCOPES),
    ),
}


def principal(tenant: Tenant, app_id: str) -> State:
    """The service principal of one of `OWN`; not committed yet."""
    own = OWN[app_id]
    made = registrations.new_principal(tenant, {"appId": app_id, "displayName": own.name})
    return made | {
        "appOwnerOrganizationId": MICROSOFT,
        "servicePrincipalNames": [*made["servicePrincipalNames"], *own.names],
        "appRoles": own.app_roles,
        "oauth2PermissionScopes": own.scopes,
    }
