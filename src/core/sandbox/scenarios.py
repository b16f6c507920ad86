"""What a sandbox starts with: a seeded tenant and the project folder of one machine (U8)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from core.entra import certificates, credentials
from core.errors import SetupError
from core.profile import Profile
from core.sandbox import directory, grants, roles
from core.sandbox.tenant import GRAPH_APP_ID, State, Tenant

Members = dict[str, str]


def seed(name: str, tenant: Tenant) -> Members:
    """Fill a tenant.

    :param name: one of `SCENARIOS`.
    :returns: the members of the machine's state file.
    :raises SetupError: `sandbox.scenario`.
    """
    try:
        scenario = SCENARIOS[name]
    except KeyError:
        raise SetupError("sandbox.scenario", name=name, known=", ".join(SCENARIOS)) from None
    _sign_in(tenant)
    return scenario(tenant)


def _legacy(tenant: Tenant) -> Members:
    """A live secret in the state file, three passwords on the app, one on the service principal, and another
    machine's certificate."""
    app, principal = _provisioner(tenant)
    profile = Profile()
    members = {profile.tenant_member: tenant.id, profile.client_id_member: app["appId"]}
    for name in ("setup 2024", "laptop of Sam", "pipeline"):
        entry, secret = directory.new_password(tenant, name)
        app["passwordCredentials"].append(entry)
        members.setdefault(profile.secret_member, secret.reveal())
    entry, _ = directory.new_password(tenant, "added by a script")
    principal["passwordCredentials"].append(entry)
    other = certificates.make(profile.subject, tenant.now(), timedelta(days=200))
    key = credentials.entry_of(other, tenant.new_id(), f"{profile.subject} build-agent-7")
    app["keyCredentials"] = directory.keys_of(tenant, [key])
    _commit(tenant, app, principal)
    return members


def _clean(tenant: Tenant) -> Members:
    """An app without any credential, and a state file that names it."""
    app, principal = _provisioner(tenant)
    _commit(tenant, app, principal)
    return {Profile.tenant_member: tenant.id, Profile.client_id_member: app["appId"]}


def _provisioner(tenant: Tenant) -> tuple[State, State]:
    """The Provisioner with its permissions declared and granted; not committed yet."""
    app = directory.new_application(tenant, Profile.app_display_name, owner=tenant.signed_in_user)
    access = [{"id": role_id, "type": "Role"} for role_id in roles.BASE.values()]
    app["requiredResourceAccess"] = [{"resourceAppId": GRAPH_APP_ID, "resourceAccess": access}]
    return app, directory.new_principal(tenant, app, owner=tenant.signed_in_user)


def _commit(tenant: Tenant, app: State, principal: State) -> None:
    resource = tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
    assert resource is not None
    for role_id in roles.BASE.values():
        grant = grants.new_grant(tenant, principal, resource, role_id)
        tenant.commit(grants.KIND, grant["id"], grant)
    tenant.commit("application", app["id"], app)
    tenant.commit("servicePrincipal", principal["id"], principal)


def _sign_in(tenant: Tenant) -> None:
    """A developer who is Application Administrator, and Microsoft Graph's own principal."""
    user = {
        "id": tenant.new_id(),
        "displayName": "Dana Developer",
        "givenName": "Dana",
        "surname": "Developer",
        "userPrincipalName": f"dana@{tenant.domain}",
        "mail": f"dana@{tenant.domain}",
        "userType": "Member",
        "accountEnabled": True,
        "businessPhones": [],
        "jobTitle": None,
        "mobilePhone": None,
        "officeLocation": None,
        "preferredLanguage": None,
        "_roles": [roles.APPLICATION_ADMINISTRATOR],
    }
    tenant.commit("user", str(user["id"]), user)
    tenant.signed_in_user = str(user["id"])
    microsoft_graph = directory.new_principal(tenant, {"appId": GRAPH_APP_ID, "displayName": "Microsoft Graph"})
    microsoft_graph["appRoles"] = roles.app_roles()
    tenant.commit("servicePrincipal", microsoft_graph["id"], microsoft_graph)


SCENARIOS: Final[dict[str, Callable[[Tenant], Members]]] = {"legacy": _legacy, "clean": _clean}
