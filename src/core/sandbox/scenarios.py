"""What a sandbox starts with: a seeded tenant and the project folder of one machine (U8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final, NamedTuple

from core.entra import certificates, credentials
from core.errors import SetupError
from core.profile import Profile
from core.sandbox import directory, grants, policies, reports, roles
from core.sandbox.tenant import GRAPH_APP_ID, State, Tenant

Members = dict[str, str]
#: Roles that the scenario `drift` declares without a grant, and roles that it has not even declared.
UNGRANTED: Final = ("AgentIdentity.Create.All", "AgentIdentityBlueprint.Create", "AgentIdUser.ReadWrite.All")
UNDECLARED: Final = ("AgentIdentity.DeleteRestore.All", "AgentIdentityBlueprintPrincipal.Create")


class Scenario(NamedTuple):
    """One scenario.

    :param summary: what it holds, for a list of scenarios.
    :param fill: fills a tenant that has its people and Microsoft Graph; gives the state file's members, or none
        when the machine has no state file.
    """

    summary: str
    fill: Callable[[Tenant], Members]


def seed(name: str, tenant: Tenant) -> Members:
    """Fill a tenant.

    :param name: one of `SCENARIOS`.
    :returns: the members of the machine's state file; empty: there is none.
    :raises SetupError: `sandbox.scenario`.
    """
    try:
        scenario = SCENARIOS[name]
    except KeyError:
        raise SetupError("sandbox.scenario", name=name, known=", ".join(SCENARIOS)) from None
    tenant.signed_in_user = _person(tenant, "Dana Developer", roles.APPLICATION_ADMINISTRATOR)["id"]
    _person(tenant, "Alex Admin", roles.GLOBAL_ADMINISTRATOR)
    microsoft_graph = directory.new_principal(tenant, {"appId": GRAPH_APP_ID, "displayName": "Microsoft Graph"})
    microsoft_graph["appRoles"] = roles.app_roles()
    tenant.commit("servicePrincipal", microsoft_graph["id"], microsoft_graph)
    return scenario.fill(tenant)


def person(tenant: Tenant, name: str) -> State:
    """Somebody of the tenant.

    :param name: a user principal name, the part before its `@`, or an object id.
    :raises SetupError: `usage.settings`.
    """
    upn = name if "@" in name else f"{name}@{tenant.domain}"
    found = tenant.latest("user", name) or tenant.find("user", "userPrincipalName", upn.lower())
    if found is None:
        known = ", ".join(user["userPrincipalName"].partition("@")[0] for user in tenant.all_latest("user"))
        detail = f"the pretend tenant has no user '{name}'; it has {known}"
        raise SetupError("usage.settings", detail=detail, command="sandbox")
    return found


def _fresh(tenant: Tenant) -> Members:
    user = person(tenant, "dana") | {"_roles": [roles.APPLICATION_ADMINISTRATOR, roles.PRIVILEGED_ROLE_ADMINISTRATOR]}
    tenant.commit("user", user["id"], user)
    return {}


def _taken(tenant: Tenant) -> Members:
    members = _fresh(tenant)
    mallory = _person(tenant, "Mallory Malice")
    app = directory.new_application(tenant, Profile.app_display_name, owner=mallory["id"])
    app["createdDateTime"] = tenant.stamp(tenant.now() - timedelta(days=730))
    _with_passwords(tenant, app, "backdoor")
    _commit(tenant, app, directory.new_principal(tenant, app, owner=mallory["id"]), {})
    return members


def _legacy(tenant: Tenant) -> Members:
    app, principal = _provisioner(tenant)
    return _with_secrets(tenant, app, principal)


def _unprivileged(tenant: Tenant) -> Members:
    user = person(tenant, "dana") | {"_roles": []}
    tenant.commit("user", user["id"], user)
    app, principal = _provisioner(tenant, owner="alex")
    return _with_secrets(tenant, app, principal)


def _saml(tenant: Tenant) -> Members:
    app, principal = _provisioner(tenant)
    name = "CN=SAML signing of Contoso"
    bundle = certificates.make(name.removeprefix("CN="), tenant.now(), timedelta(days=1095))
    entries = [credentials.entry_of(bundle, tenant.new_id(), name) | {"usage": usage} for usage in ("Sign", "Verify")]
    principal["keyCredentials"] = directory.keys_of(tenant, entries)
    # the directory keeps the private key's password under the signing key's own ids
    signing = principal["keyCredentials"][0]
    password, _ = directory.new_password(tenant, name, signing["startDateTime"], signing["endDateTime"])
    paired = {key: signing[key] for key in ("keyId", "customKeyIdentifier")}
    principal["passwordCredentials"] = [password | paired]
    return _with_secrets(tenant, app, principal)


def _policy(tenant: Tenant) -> Members:
    app, principal = _provisioner(tenant)
    members = _with_secrets(tenant, app, principal)
    restrictions = {
        "passwordCredentials": [{"restrictionType": "passwordAddition", "maxLifetime": None}],
        "keyCredentials": [{"restrictionType": "asymmetricKeyLifetime", "maxLifetime": "P180D"}],
    }
    policy = policies.new_policy(tenant, "Short certificates, no secrets", restrictions, (app["id"], principal["id"]))
    tenant.commit(policies.KIND, policy["id"], policy)
    return members


def _clean(tenant: Tenant) -> Members:
    app, principal = _provisioner(tenant)
    _commit(tenant, app, principal, roles.BASE)
    return _named(tenant, app)


def _drift(tenant: Tenant) -> Members:
    tenant.switches.page_size = 10
    declared = {name: value for name, value in (roles.BASE | roles.AGENT).items() if name not in UNDECLARED}
    app, principal = _provisioner(tenant, declared=declared)
    _commit(tenant, app, principal, {name: value for name, value in declared.items() if name not in UNGRANTED})
    return _named(tenant, app)


def _provisioner(tenant: Tenant, owner: str = "dana", declared: Mapping[str, str] = roles.BASE) -> tuple[State, State]:
    """The Provisioner with its permissions declared; not committed yet."""
    app = directory.new_application(tenant, Profile.app_display_name, owner=person(tenant, owner)["id"])
    access = [{"id": role_id, "type": "Role"} for role_id in declared.values()]
    app["requiredResourceAccess"] = [{"resourceAppId": GRAPH_APP_ID, "resourceAccess": access}]
    return app, directory.new_principal(tenant, app, owner=person(tenant, owner)["id"])


def _with_secrets(tenant: Tenant, app: State, principal: State) -> Members:
    """The machine before its migration: passwords on both objects, another machine's certificate, a live secret."""
    secrets = _with_passwords(tenant, app, "setup 2024", "laptop of Sam", "pipeline")
    _with_passwords(tenant, principal, "added by a script")
    subject = Profile.subject
    other = certificates.make(subject, tenant.now(), timedelta(days=200))
    key = credentials.entry_of(other, tenant.new_id(), f"{subject} build-agent-7")
    app["keyCredentials"] = directory.keys_of(tenant, [key])
    _commit(tenant, app, principal, roles.BASE)
    for entry, days in zip(app["passwordCredentials"], (3, 400), strict=False):  # the pipeline's was never used
        reports.note(tenant, app, principal, entry, tenant.stamp(tenant.now() - timedelta(days=days)))
    return {**_named(tenant, app), Profile.secret_member: secrets[0]}


def _with_passwords(tenant: Tenant, holder: State, *names: str) -> list[str]:
    """Add passwords to an object that is not committed yet; their values."""
    start, end = (tenant.stamp(tenant.now() + timedelta(days=days)) for days in (-500, 230))
    made = [directory.new_password(tenant, name, start, end) for name in names]
    holder["passwordCredentials"] = [*holder["passwordCredentials"], *(entry for entry, _ in made)]
    return [secret.reveal() for _, secret in made]


def _named(tenant: Tenant, app: State) -> Members:
    return {Profile.tenant_member: tenant.id, Profile.client_id_member: app["appId"]}


def _commit(tenant: Tenant, app: State, principal: State, granted: Mapping[str, str]) -> None:
    resource = tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
    assert resource is not None
    for role_id in granted.values():
        grant = grants.new_grant(tenant, principal, resource, role_id)
        tenant.commit(grants.KIND, grant["id"], grant)
    tenant.commit("application", app["id"], app)
    tenant.commit("servicePrincipal", principal["id"], principal)


def _person(tenant: Tenant, name: str, *directory_roles: str) -> State:
    given, _, surname = name.partition(" ")
    user = {
        "id": tenant.new_id(),
        "displayName": name,
        "givenName": given,
        "surname": surname,
        "userPrincipalName": f"{given.lower()}@{tenant.domain}",
        "mail": f"{given.lower()}@{tenant.domain}",
        "userType": "Member",
        "accountEnabled": True,
        "businessPhones": [],
        "jobTitle": None,
        "mobilePhone": None,
        "officeLocation": None,
        "preferredLanguage": None,
        "_roles": list(directory_roles),
    }
    tenant.commit("user", str(user["id"]), user)
    return user


SCENARIOS: Final[dict[str, Scenario]] = {
    "legacy": Scenario(
        "a live secret in the state file, three passwords on the app, one on its service principal, and another "
        "machine's certificate",
        _legacy,
    ),
    "clean": Scenario("the app without any credential; the state file names it", _clean),
    "fresh": Scenario("no app and no state file; the user may create one and grant its roles", _fresh),
    "taken": Scenario("like fresh, but a stranger's app has the name already", _taken),
    "unprivileged": Scenario("like legacy, but the user neither owns the app nor is an administrator", _unprivileged),
    "drift": Scenario("like clean, but three roles are declared and not granted, two neither; short pages", _drift),
    "policy": Scenario("like legacy, and a policy forbids new passwords and certificates of over 180 days", _policy),
    "saml": Scenario("like legacy, and the service principal signs SAML with a key and its password", _saml),
}
