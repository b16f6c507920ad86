"""The tenant of an onboarding, behind the product's back: what is there, and what has to hold afterwards."""

from __future__ import annotations

from typing import Any

from core.config.cloud import GRAPH_APP_ID
from core.entra import certificates
from core.flow.engine import Result
from core.sandbox.directory import registrations
from core.sandbox.graph import grants, roles
from core.secret import Secret
from tests.machine import PROFILE, Machine

NAME = PROFILE.app_display_name
#: What the Provisioner is to hold.
ROLES = roles.BASE | roles.AGENT


def apps(machine: Machine, name: str = NAME) -> list[dict[str, Any]]:
    """App registrations of a name."""
    return [app for app in machine.tenant.all_latest("application") if app["displayName"] == name]


def principals(machine: Machine) -> list[dict[str, Any]]:
    """Service principals but Microsoft Graph's own."""
    return [sp for sp in machine.tenant.all_latest("servicePrincipal") if sp["appId"] != GRAPH_APP_ID]


def graph_principal(machine: Machine) -> dict[str, Any]:
    """Microsoft Graph's own service principal."""
    found = machine.tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
    assert found is not None
    return found


def granted(machine: Machine, app_id: str = "") -> list[str]:
    """Names of the permissions that the principal of the app was granted, in order, each as often as it is there."""
    principal = machine.tenant.find("servicePrincipal", "appId", app_id or machine.app_id)
    assert principal is not None
    names = {role["id"]: role["value"] for role in graph_principal(machine)["appRoles"]}
    found = machine.tenant.all_latest(grants.KIND)
    return sorted(names[grant["appRoleId"]] for grant in found if grant["principalId"] == principal["id"])


def declared(machine: Machine) -> list[str]:
    """Ids of the Microsoft Graph roles that the app declares, each as often as it is there."""
    return sorted(
        entry["id"]
        for item in machine.app["requiredResourceAccess"]
        if item["resourceAppId"] == GRAPH_APP_ID
        for entry in item["resourceAccess"]
        if entry["type"] == "Role"
    )


def make(machine: Machine, name: str = NAME, **values: Any) -> dict[str, Any]:
    """Another app with its principal, as somebody else's."""
    app = registrations.new_application(machine.tenant, name) | values
    principal = registrations.new_principal(machine.tenant, app)
    machine.tenant.commit("application", app["id"], app)
    machine.tenant.commit("servicePrincipal", principal["id"], principal)
    return app


def give(machine: Machine, app: dict[str, Any], *names: str) -> None:
    """Grant an app permissions, as an administrator would."""
    principal = machine.tenant.find("servicePrincipal", "appId", app["appId"])
    assert principal is not None
    for name in names:
        state = grants.new_grant(machine.tenant, principal, graph_principal(machine), roles.OFFERED[name])
        machine.tenant.commit(grants.KIND, state["id"], state)


def nothing(machine: Machine) -> bool:
    """Whether nothing of ours is there: no app, no principal, no grant, no key, no state file."""
    return not (
        apps(machine)
        or principals(machine)
        or list(machine.tenant.all_latest(grants.KIND))
        or machine.keystore.accounts(machine.service)
        or machine.state_file.exists()
    )


def complete(machine: Machine) -> None:
    """Exactly one app, one certificate whose key is in the keystore, and every permission once."""
    (app,) = apps(machine)
    assert app["appId"] == machine.app_id == machine.state[PROFILE.client_id_member]
    (der,) = machine.keys.values()
    assert machine.keystore.accounts(machine.service) == [machine.tenant.id]
    key_pair = certificates.parse(machine.keystore.read(machine.service, machine.tenant.id) or Secret(""), "")
    assert key_pair.der == der
    assert machine.state[PROFILE.thumbprint_member] == key_pair.thumbprint
    assert granted(machine) == sorted(ROLES)
    assert declared(machine) == sorted(ROLES.values())
    assert len([sp for sp in principals(machine) if sp["appId"] == app["appId"]]) == 1


def unchanged(machine: Machine, **options: Any) -> Result:
    """A further run finds nothing to do."""
    result = machine.onboard(**options)
    assert (result.outcome, result.exit_code) == ("unchanged", 0), result.errors
    assert "journal.resumed" not in machine.findings(), "an undertaking was left open"
    return result
