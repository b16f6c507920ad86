"""What the scenarios are made of: people, an app with its credentials and grants, and what names them (U8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from core.config.profile import Profile
from core.entra import certificates, credentials
from core.entra.certificates import KeyPair
from core.sandbox.directory import registrations, users
from core.sandbox.directory.store import GRAPH_APP_ID, State, Tenant
from core.sandbox.fake_machine.machine import Machine
from core.sandbox.graph import grants, reports, roles
from core.secret import Secret

Members = dict[str, Any]


class Scenario(NamedTuple):
    """One scenario.

    :param summary: what it holds, for a list of scenarios.
    :param fill: fills a tenant that has its people and Microsoft Graph; gives the computer that goes with it.
    :param begin: lets its life begin, when all is there: from here on it lags and fails.
    """

    summary: str
    fill: Callable[[Tenant], Machine]
    begin: Callable[[Tenant], object] = lambda tenant: None


def provisioner(tenant: Tenant, owner: str = "dana", declared: Mapping[str, str] = roles.BASE) -> tuple[State, State]:
    """The Provisioner with its permissions declared; not committed yet."""
    app = registrations.new_application(tenant, Profile.app_display_name, owner=users.find(tenant, owner)["id"])
    access = [{"id": role_id, "type": "Role"} for role_id in declared.values()]
    app["requiredResourceAccess"] = [{"resourceAppId": GRAPH_APP_ID, "resourceAccess": access}]
    return app, registrations.new_principal(tenant, app, owner=users.find(tenant, owner)["id"])


def with_secrets(tenant: Tenant, app: State, principal: State) -> Members:
    """The machine before its migration: passwords on both objects, another machine's certificate, a live secret."""
    secrets = with_passwords(tenant, app, "setup 2024", "laptop of Sam", "pipeline")
    with_passwords(tenant, principal, "added by a script")
    subject = Profile.subject
    other = certificates.make(subject, tenant.now(), timedelta(days=200))
    key = credentials.entry_of(other, tenant.new_id(), f"{subject} build-agent-7")
    app["keyCredentials"] = registrations.keys_of(tenant, [key])
    commit(tenant, app, principal, roles.BASE)
    for entry, days in zip(app["passwordCredentials"], (3, 400), strict=False):  # the pipeline's was never used
        reports.note(tenant, app, principal, entry, tenant.stamp(tenant.now() - timedelta(days=days)))
    return {**named(tenant, app), Profile.secret_member: secrets[0]}


def with_certificate(tenant: Tenant, holder: State, name: str, days: float = 0) -> KeyPair:
    """Add a certificate to an object that is not committed yet; its key.

    :param name: of the machine whose key it is.
    :param days: how long ago it was made.
    """
    made = certificates.make(Profile.subject, tenant.now() - timedelta(days=days))
    entry = credentials.entry_of(made, tenant.new_id(), f"{Profile.subject} {name}")
    holder["keyCredentials"] = [*holder["keyCredentials"], *registrations.keys_of(tenant, [entry])]
    return made


def with_passwords(tenant: Tenant, holder: State, *names: str) -> list[Secret]:
    """Add passwords to an object that is not committed yet; their values."""
    start, end = (tenant.stamp(tenant.now() + timedelta(days=days)) for days in (-500, 230))
    made = [registrations.new_password(tenant, name, start, end) for name in names]
    holder["passwordCredentials"] = [*holder["passwordCredentials"], *(entry for entry, _ in made)]
    return [secret for _, secret in made]


def named(tenant: Tenant, app: State, key_pair: KeyPair | None = None) -> Members:
    """Members of a state file that names an app, and the certificate of this machine if it has one."""
    known = {} if key_pair is None else {Profile.thumbprint_member: key_pair.thumbprint}
    return {Profile.tenant_member: tenant.id, Profile.client_id_member: app["appId"], **known}


def commit(tenant: Tenant, app: State, principal: State, granted: Mapping[str, str]) -> None:
    """Commit an app and its service principal, with roles of Microsoft Graph granted, name to id."""
    resource = tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
    assert resource is not None
    for role_id in granted.values():
        grant = grants.new_grant(tenant, principal, resource, role_id)
        tenant.commit(grants.KIND, grant["id"], grant)
    tenant.commit("application", app["id"], app)
    tenant.commit("servicePrincipal", principal["id"], principal)
