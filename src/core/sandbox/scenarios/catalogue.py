"""What a sandbox starts with: a seeded tenant and the project folder of one machine (U8)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from core.config.profile import Profile
from core.entra import certificates, credentials
from core.errors import SetupError
from core.sandbox.arm import groups
from core.sandbox.directory import registrations, users
from core.sandbox.directory.store import GRAPH_APP_ID, Tenant
from core.sandbox.fake_machine.machine import Machine
from core.sandbox.faults import Fault
from core.sandbox.graph import licences, microsofts, policies, roles
from core.sandbox.scenarios import seeds
from core.sandbox.scenarios.failures import FAILURES
from core.sandbox.scenarios.seeds import Scenario

#: Roles that the scenario `drift` declares without a grant, and roles that it has not even declared.
UNGRANTED: Final = ("AgentIdentity.Create.All", "AgentIdentityBlueprint.Create", "AgentIdUser.ReadWrite.All")
UNDECLARED: Final = ("AgentIdentity.DeleteRestore.All", "AgentIdentityBlueprintPrincipal.Create")
#: Of the scenario `slow`: seconds until every replica knows a change, and until the sign-in service does (minutes have
#: been seen), seconds that an answer takes, and seconds for which the first change is told to wait.
SLOW_LAG: Final = 15.0
SLOW_SIGN_IN: Final = 45.0
SLOW_ANSWER: Final = (0.2, 1.2)
SLOW_RETRY: Final = 6


def seed(name: str, tenant: Tenant) -> Machine:
    """Fill a tenant.

    :param name: one of `SCENARIOS`.
    :returns: the computer that goes with it.
    :raises SetupError: `sandbox.scenario`.
    """
    try:
        scenario = SCENARIOS[name]
    except KeyError:
        raise SetupError("sandbox.scenario", name=name, known=", ".join(SCENARIOS)) from None
    tenant.signed_in_user = users.add(tenant, "Dana Developer", roles.APPLICATION_ADMINISTRATOR)["id"]
    users.add(tenant, "Alex Admin", roles.GLOBAL_ADMINISTRATOR)
    microsoft_graph = microsofts.principal(tenant, GRAPH_APP_ID)
    tenant.commit("servicePrincipal", microsoft_graph["id"], microsoft_graph)
    return scenario.fill(tenant)


def _fresh(tenant: Tenant) -> Machine:
    user = users.find(tenant, "dana") | {
        "_roles": [roles.APPLICATION_ADMINISTRATOR, roles.PRIVILEGED_ROLE_ADMINISTRATOR]
    }
    tenant.commit("user", user["id"], user)
    return Machine()


def _office(tenant: Tenant) -> Machine:
    machine = _fresh(tenant)
    tenant.verified_domains.append("contoso.com")
    sku = licences.buy(tenant, "SPE_E5", 2)
    licences.buy(tenant, "POWER_BI_STANDARD", 10)
    alex = users.find(tenant, "alex") | {
        "usageLocation": "DE",
        "assignedLicenses": [{"disabledPlans": [], "skuId": sku["skuId"]}],
    }
    tenant.commit("user", alex["id"], alex)
    tenant.commit(licences.KIND, sku["id"], sku | {"consumedUnits": 1})
    users.add_group(tenant, "Agent owners", "Unified")
    users.add_group(tenant, "Everybody", "DynamicMembership", membershipRule="user.accountEnabled")
    users.add_group(tenant, "Printer operators")
    users.invite(tenant, "Robin Roe", "fabrikam.com")
    azure_storage = microsofts.principal(tenant, microsofts.STORAGE_APP_ID)
    tenant.commit("servicePrincipal", azure_storage["id"], azure_storage)
    groups.subscribe(tenant, "Contoso Pay-As-You-Go", tenant.signed_in_user)
    return machine


def _taken(tenant: Tenant) -> Machine:
    machine = _fresh(tenant)
    mallory = users.add(tenant, "Mallory Malice")
    app = registrations.new_application(tenant, Profile.app_display_name, owner=mallory["id"])
    app["createdDateTime"] = tenant.stamp(tenant.now() - timedelta(days=730))
    seeds.with_passwords(tenant, app, "backdoor")
    seeds.commit(tenant, app, registrations.new_principal(tenant, app, owner=mallory["id"]), {})
    return machine


def _legacy(tenant: Tenant) -> Machine:
    app, principal = seeds.provisioner(tenant)
    return Machine(seeds.with_secrets(tenant, app, principal))


def _unprivileged(tenant: Tenant) -> Machine:
    user = users.find(tenant, "dana") | {"_roles": []}
    tenant.commit("user", user["id"], user)
    app, principal = seeds.provisioner(tenant, owner="alex")
    return Machine(seeds.with_secrets(tenant, app, principal))


def _slowly(tenant: Tenant) -> None:
    tenant.lag |= {"application": SLOW_LAG, "servicePrincipal": SLOW_LAG, "login": SLOW_SIGN_IN}
    tenant.faults.add(Fault("latency", nth=0, seconds=SLOW_ANSWER))
    tenant.faults.add(Fault("status", "^PATCH /v1.0/applications/", status=429, retry_after=SLOW_RETRY))


def _saml(tenant: Tenant) -> Machine:
    app, principal = seeds.provisioner(tenant)
    name = "CN=SAML signing of Contoso"
    key_pair = certificates.make(name.removeprefix("CN="), tenant.now(), timedelta(days=1095))
    entries = [credentials.entry_of(key_pair, tenant.new_id(), name) | {"usage": usage} for usage in ("Sign", "Verify")]
    principal["keyCredentials"] = registrations.keys_of(tenant, entries)
    # the directory keeps the private key's password under the signing key's own ids
    signing = principal["keyCredentials"][0]
    password, _ = registrations.new_password(tenant, name, signing["startDateTime"], signing["endDateTime"])
    paired = {key: signing[key] for key in ("keyId", "customKeyIdentifier")}
    principal["passwordCredentials"] = [password | paired]
    return Machine(seeds.with_secrets(tenant, app, principal))


def _policy(tenant: Tenant) -> Machine:
    app, principal = seeds.provisioner(tenant)
    members = seeds.with_secrets(tenant, app, principal)
    restrictions = {
        "passwordCredentials": [{"restrictionType": "passwordAddition", "maxLifetime": None}],
        "keyCredentials": [{"restrictionType": "asymmetricKeyLifetime", "maxLifetime": "P180D"}],
    }
    policy = policies.new_policy(tenant, "Short certificates, no secrets", restrictions, (app["id"], principal["id"]))
    tenant.commit(policies.KIND, policy["id"], policy)
    return Machine(members)


def _clean(tenant: Tenant) -> Machine:
    app, principal = seeds.provisioner(tenant)
    seeds.commit(tenant, app, principal, roles.BASE)
    return Machine(seeds.named(tenant, app))


def _drift(tenant: Tenant) -> Machine:
    tenant.switches.page_size = 10
    declared = {name: value for name, value in (roles.BASE | roles.AGENT).items() if name not in UNDECLARED}
    app, principal = seeds.provisioner(tenant, declared=declared)
    seeds.commit(tenant, app, principal, {name: value for name, value in declared.items() if name not in UNGRANTED})
    return Machine(seeds.named(tenant, app))


#: By name, in the order of a list.
SCENARIOS: Final[dict[str, Scenario]] = {
    "legacy": Scenario(
        "a live secret in the state file, three passwords on the app, one on its service principal, and another "
        "machine's certificate",
        _legacy,
    ),
    "clean": Scenario("the app without any credential; the state file names it", _clean),
    "fresh": Scenario("no app and no state file; the user may create one and grant its roles", _fresh),
    "office": Scenario(
        "like fresh, and two Teams licences (one is free), a domain, groups, a guest, and an Azure subscription",
        _office,
    ),
    "taken": Scenario("like fresh, but a stranger's app has the name already", _taken),
    "slow": Scenario(
        "like legacy, but a change is seen everywhere only after 15 s and by the sign-in after 45 s, answers take up "
        "to 1.2 s, and the first change is told to wait",
        _legacy,
        _slowly,
    ),
    "unprivileged": Scenario("like legacy, but the user neither owns the app nor is an administrator", _unprivileged),
    "drift": Scenario("like clean, but three roles are declared and not granted, two neither; short pages", _drift),
    "policy": Scenario("like legacy, and a policy forbids new passwords and certificates of over 180 days", _policy),
    "saml": Scenario("like legacy, and the service principal signs SAML with a key and its password", _saml),
    **FAILURES,
}
