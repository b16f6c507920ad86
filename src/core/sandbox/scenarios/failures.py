"""Failures that really happened to tools like this one, each as a scenario; `ROW` numbers them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from core.config.profile import Profile
from core.sandbox.directory import registrations, users
from core.sandbox.directory.store import Tenant
from core.sandbox.fake_machine.machine import NOISE, Machine
from core.sandbox.graph import roles
from core.sandbox.scenarios import seeds
from core.sandbox.scenarios.seeds import Scenario

#: Seconds until the sign-in service knows a new certificate in `lagging`; over five minutes have been seen.
LAG: Final = 300.0
NOTE_MEMBER: Final = "PROVISIONER_CLIENT_SECRET_NOTE"
_HERE: Final = "workstation-12"
_OTHER: Final = "build-agent-7"


def _agent_forbidden(tenant: Tenant) -> Machine:
    return _migrated(tenant, roles.BASE | roles.AGENT)


def _overwritten(tenant: Tenant) -> Machine:
    return Machine(_legacy(tenant) | {Profile.secret_member: None})


def _no_keystore(tenant: Tenant) -> Machine:
    note = "No keyring was found, so the secret is kept in this file. Move it when one is available."
    return Machine(_legacy(tenant) | {NOTE_MEMBER: note}, keystore="none")


def _spoofed_keystore(tenant: Tenant) -> Machine:
    return Machine(_legacy(tenant), keystore="spoofed")


def _weak_keystore(tenant: Tenant) -> Machine:
    made = _migrated(tenant)
    return Machine(made.members, made.key_pair, keystore="plaintext", weak=True)


def _broken_install(tenant: Tenant) -> Machine:
    return Machine(_legacy(tenant), broken=("keyring",))


def _replaced_keys(tenant: Tenant) -> Machine:
    return _replaced(tenant, days=2)


def _removed_key(tenant: Tenant) -> Machine:
    return _replaced(tenant, days=100)


def _lagging(tenant: Tenant) -> Machine:
    app, principal = seeds.provisioner(tenant)
    seeds.commit(tenant, app, principal, roles.BASE)
    tenant.lag["login"] = LAG
    key_pair = seeds.with_certificate(tenant, app, _HERE)
    tenant.commit("application", app["id"], app)
    return Machine(seeds.named(tenant, app, key_pair), key_pair)


def _noisy_az(tenant: Tenant) -> Machine:
    made = _migrated(tenant)
    captured = {**made.members, Profile.client_id_member: f"{NOISE}\n{made.members[Profile.client_id_member]}"}
    text = "".join(f"{name}={value}\n" for name, value in captured.items())
    return Machine(made.members, made.key_pair, {".env": text}, az="noisy")


def _small_keystore(tenant: Tenant) -> Machine:
    return Machine(_legacy(tenant), keystore="small")


def _twins(tenant: Tenant) -> Machine:
    members = _legacy(tenant)
    for name, days in ((Profile.app_display_name, 400), (f"{Profile.app_display_name} 2", 30)):
        app = registrations.new_application(tenant, name, owner=users.find(tenant, "alex")["id"])
        app["createdDateTime"] = tenant.stamp(tenant.now() - timedelta(days=days))
        seeds.commit(tenant, app, registrations.new_principal(tenant, app), {})
    del members[Profile.client_id_member]
    return Machine(members)


def _half_done(tenant: Tenant) -> Machine:
    made = _migrated(tenant, password="laptop of Sam")  # noqa: S106  its name
    log = "Certificate uploaded.\nWARNING: 1 client secret could not be deleted, continuing.\nSetup complete!\n"
    return Machine(made.members, made.key_pair, {"setup.log": log})


def _legacy(tenant: Tenant) -> seeds.Members:
    return seeds.with_secrets(tenant, *seeds.provisioner(tenant))


def _migrated(tenant: Tenant, granted: Mapping[str, str] = roles.BASE, password: str = "") -> Machine:
    """A machine that signs in with its certificate.

    :param password: name of a password credential that is still on the app.
    """
    app, principal = seeds.provisioner(tenant, declared=granted)
    key_pair = seeds.with_certificate(tenant, app, _HERE, 40)
    if password:
        seeds.with_passwords(tenant, app, password)
    seeds.commit(tenant, app, principal, granted)
    return Machine(seeds.named(tenant, app, key_pair), key_pair)


def _replaced(tenant: Tenant, days: float) -> Machine:
    """A machine whose certificate of 40 days ago is no longer on the app, and another one's is.

    :param days: how long ago the other one was made.
    """
    app, principal = seeds.provisioner(tenant)
    key_pair = seeds.with_certificate(tenant, app, _HERE, 40)
    app["keyCredentials"] = []
    seeds.with_certificate(tenant, app, _OTHER, days)
    seeds.commit(tenant, app, principal, roles.BASE)
    return Machine(seeds.named(tenant, app, key_pair), key_pair)


#: Their key lies in the keystore, and a real one is never touched.
_DEMO: Final = "; the key itself only in a demo"

FAILURES: Final[dict[str, Scenario]] = {
    "agent-forbidden": Scenario(
        f"all is well, but the Agent ID APIs answer 403 to the Azure CLI's token{_DEMO}", _agent_forbidden
    ),
    "overwritten": Scenario("a re-run put null over the only copy of the secret", _overwritten),
    "no-keystore": Scenario(
        "like legacy, but there is no keystore, and a note says so beside the secret", _no_keystore
    ),
    "spoofed-keystore": Scenario(
        "like legacy, but another class calls itself the system's keystore", _spoofed_keystore
    ),
    "weak-keystore": Scenario("an earlier run left the key in the plain text file of keyrings.alt", _weak_keystore),
    "broken-install": Scenario("like legacy, but the package keyring cannot be imported", _broken_install),
    "replaced-keys": Scenario(f"another machine put its certificate in the place of all others{_DEMO}", _replaced_keys),
    "removed-key": Scenario(f"somebody removed this machine's certificate from the app{_DEMO}", _removed_key),
    "lagging": Scenario(f"the sign-in service does not know the new certificate yet{_DEMO}", _lagging),
    "noisy-az": Scenario(f"the Azure CLI prints warnings between its answers, and one is in .env{_DEMO}", _noisy_az),
    "small-keystore": Scenario(
        "like legacy, but the keystore takes 1,280 characters, as that of Windows does; only in a demo",
        _small_keystore,
    ),
    "twins": Scenario("like legacy, but two apps have the name, a third begins with it, and no id says which", _twins),
    "half-done": Scenario(
        f"the certificate works, a password is still on the app, and the run said success{_DEMO}", _half_done
    ),
}
#: The scenario of each failure that really happened, by its number in their list.
ROW: Final[Mapping[int, str]] = MappingProxyType(
    {
        1: "agent-forbidden",
        2: "overwritten",
        3: "no-keystore",
        4: "spoofed-keystore",
        5: "weak-keystore",
        6: "broken-install",
        7: "replaced-keys",
        8: "removed-key",
        9: "drift",
        10: "lagging",
        11: "noisy-az",
        12: "unprivileged",
        13: "small-keystore",
        14: "twins",
        15: "half-done",
    }
)
