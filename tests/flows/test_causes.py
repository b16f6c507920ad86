"""What can refuse is asked before the point of no return (M4); a refusal is told by code and cause (P7, P11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from core.events import Finding, StepFinished
from core.flow import engine
from core.flows import migrate
from core.sandbox.directory import users
from core.sandbox.faults import Fault
from core.sandbox.graph import roles
from core.sandbox.lab import Lab
from tests.machine import PROFILE, Machine, Snapshot, VirtualClock
from tests.provisioning import complete, nothing

FULL: Final = "Directory_ResourceSizeExceeded"
LOCKED: Final = "CannotUpdateLockedServicePrincipalProperty"
REVOKED: Final = (
    "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: "
    "TokenIssuedBeforeRevocationTimestamp"
)
REMOVAL: Final = r"^POST (/v1.0)?/{}/[^/]+/removePassword"


@pytest.fixture
def fresh(start_lab: Callable[[str], Lab], clock: VirtualClock) -> Machine:
    return Machine(start_lab("fresh"), clock)


def requests_left(machine: Machine) -> list[str]:
    return [path.name for path in machine.lab.project.glob("*-request-*")]


# before the marker, not after it


@pytest.mark.parametrize("member", ["allProperties", "credentialsWithUsageVerify"])
def test_M4_a_lock_of_the_service_principal_is_read_before_anything_is_changed(machine: Machine, member: str) -> None:
    machine.change("application", servicePrincipalLockConfiguration={"isEnabled": True, member: True})
    before = Snapshot.of(machine)
    result = machine.migrate()
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("failed", 3, "app.locked-principal")
    assert "servicePrincipalLockConfiguration" in result.errors[0]["message"]
    assert f"az ad app update --id {machine.app_id} --set servicePrincipalLock" in result.errors[0]["remedy"]
    assert machine.untouched(before)
    assert "store-key" not in machine.steps()
    machine.change("application", servicePrincipalLockConfiguration={"isEnabled": False, member: True})
    assert machine.migrate().exit_code == 0, "the remedy helps"


@pytest.mark.parametrize(
    "lock",
    [
        {"isEnabled": True, "credentialsWithUsageSign": True},
        {"isEnabled": False, "allProperties": True},
        {"isEnabled": True, "tokenEncryptionKeyId": True},
    ],
)
def test_M4_a_lock_of_something_else_stops_nobody(machine: Machine, lock: dict[str, bool]) -> None:
    machine.change("application", servicePrincipalLockConfiguration=lock)
    assert machine.migrate().exit_code == 0


def test_M4_a_lock_stops_nobody_where_the_service_principal_has_no_password(machine: Machine) -> None:
    machine.change("servicePrincipal", passwordCredentials=[])
    machine.change("application", servicePrincipalLockConfiguration={"isEnabled": True, "allProperties": True})
    assert machine.migrate().exit_code == 0


@pytest.mark.parametrize("holder", ["servicePrincipals", "applications"])
@pytest.mark.parametrize("status", [400, 403])
def test_M4_M5_a_deletion_that_one_object_refuses_is_met_before_the_marker(
    machine: Machine, holder: str, status: int
) -> None:
    """The lock may be one that nobody can read; then the removal of a password that does not exist meets it."""
    before = Snapshot.of(machine)
    match = REMOVAL.format(holder)
    machine.tenant.faults.add(Fault("status", match, 0, status, code=LOCKED, message="Property is invalid."))
    result = machine.migrate()
    assert (result.outcome, len(result.errors)) == ("failed", 1), result.errors
    assert LOCKED in result.errors[0]["message"]
    assert "servicePrincipalLockConfiguration" in result.errors[0]["remedy"]
    assert machine.steps()["marker"] == "failed"
    assert machine.clock.waited < 60, "a definite refusal is not waited for (P7)"
    machine.tenant.faults.script.clear()
    assert machine.untouched(before)
    assert machine.run(migrate.FLOW, act=engine.undo).outcome == "unchanged"
    assert machine.migrate().exit_code == 0


@pytest.mark.parametrize("code", ["", LOCKED])
@pytest.mark.parametrize("status", [400, 403])
def test_M5_a_first_deletion_that_is_refused_although_the_rehearsal_was_not_undoes_the_run(
    machine: Machine, status: int, code: str
) -> None:
    before = Snapshot.of(machine)
    fault = machine.tenant.faults.add(Fault("status", "removePassword", 0, status, code=code, message="No."))
    strikes, asked = fault.strikes, 0

    def after_the_rehearsal(line: str) -> bool:
        nonlocal asked
        asked += "removePassword" in line
        return asked > 2 and strikes(line)

    fault.strikes = after_the_rehearsal  # type: ignore[method-assign]
    result = machine.migrate()
    assert result.outcome == "failed", result.errors
    assert machine.steps()["marker"] == "done"
    assert machine.clock.waited < 60, "a 403 or 400 of removePassword is never lag (P7)"
    machine.tenant.faults.script.clear()
    assert machine.untouched(before)


def test_M4_nobody_may_delete_for_the_app_but_the_signed_in_person_may(machine: Machine) -> None:
    fault = machine.tenant.faults.add(Fault("status", "removePassword", 0, 403))
    strikes, asked = fault.strikes, 0

    def the_app(line: str) -> bool:
        nonlocal asked
        asked += "removePassword" in line
        return asked <= 2 and strikes(line)

    fault.strikes = the_app  # type: ignore[method-assign]
    assert machine.migrate().exit_code == 0
    assert asked == 2 + 2 + 4, "the deletions themselves go to who may"


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("application", {"isDisabled": True}),
        ("servicePrincipal", {"isDisabled": True}),
        ("servicePrincipal", {"accountEnabled": False}),
    ],
)
def test_M4_an_app_that_is_disabled_is_named_with_the_plan(
    machine: Machine, kind: str, values: dict[str, bool]
) -> None:
    machine.change(kind, **values)
    before = Snapshot.of(machine)
    result = machine.migrate()
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("failed", 5, "app.disabled")
    assert machine.app_id in result.errors[0]["message"]
    assert machine.untouched(before)


def test_M4_a_cloud_that_knows_none_of_the_newer_properties_is_migrated_all_the_same(machine: Machine) -> None:
    newer = {"isDisabled", "servicePrincipalLockConfiguration"}
    for kind, state in (("application", machine.app), ("servicePrincipal", machine.principal)):
        older = {name: value for name, value in state.items() if name not in newer}
        machine.tenant.commit(kind, state["id"], older)
    assert machine.migrate().exit_code == 0


# the code decides


def test_P11_a_403_that_is_not_about_rights_asks_no_administrator(machine: Machine) -> None:
    before = Snapshot.of(machine)
    machine.tenant.faults.add(Fault("status", "^PATCH /v1.0/applications/", 0, 403, code=FULL, message="Too large."))
    result = machine.migrate()
    assert (result.outcome, result.errors[0]["id"]) == ("failed", "graph.refused")
    assert FULL in result.errors[0]["message"]
    assert "certificate" in result.errors[0]["remedy"]
    assert machine.app_id in result.errors[0]["remedy"]
    assert "dministrator" not in result.errors[0]["remedy"]
    assert requests_left(machine) == []
    assert machine.untouched(before)


@pytest.mark.parametrize("code", [FULL, "Directory_QuotaExceeded", "SomethingNew"])
@pytest.mark.parametrize(
    "match",
    ["^PATCH /v1.0/applications", "^POST /v1.0/servicePrincipals$", "appRoleAssignedTo$"],
    ids=["application", "principal", "grant"],
)
def test_P11_what_has_a_code_of_its_own_ends_in_no_request_while_onboarding(
    fresh: Machine, match: str, code: str
) -> None:
    fresh.tenant.faults.add(Fault("status", match, 0, 403, code=code, message="No."))
    result = fresh.onboard()
    assert (result.outcome, code in result.errors[0]["message"]) == ("failed", True), result.errors
    assert requests_left(fresh) == []
    fresh.tenant.faults.script.clear()
    assert nothing(fresh)


def test_P12_a_missing_right_still_ends_in_a_request(machine: Machine) -> None:
    machine.tenant.faults.add(Fault("status", "^PATCH /v1.0/applications/", 0, 403))
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (5, "handoff.waiting")
    assert len(requests_left(machine)) == 1


def test_P11_a_claims_challenge_is_answered_by_a_new_sign_in_to_this_tenant(machine: Machine) -> None:
    fault = Fault("status", "", 0, 401, code="InvalidAuthenticationToken", message=REVOKED, host="localhost")
    machine.tenant.faults.add(fault)
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (4, "graph.challenged")
    assert "TokenIssuedBeforeRevocationTimestamp" in result.errors[0]["message"]
    assert f"az logout, then: az login --tenant {machine.tenant.id}." in result.errors[0]["remedy"]


def test_P11_a_token_that_is_not_accepted_names_the_tenant_that_is_known(machine: Machine) -> None:
    machine.tenant.faults.add(Fault("status", "", 0, 401, host="localhost"))
    result = machine.migrate()
    assert f"az login --tenant {machine.tenant.id}" in result.errors[0]["remedy"]
    assert "<" not in result.errors[0]["remedy"]


@pytest.mark.parametrize(("message", "id"), [(REVOKED, "graph.challenged-app"), ("No.", "graph.unaccepted")])
def test_P11_nobody_is_told_to_sign_in_when_it_is_the_token_of_the_app(machine: Machine, message: str, id: str) -> None:
    def revoke(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "delete-passwords":
            machine.tenant.faults.add(Fault("status", "", 0, 401, host="localhost", message=message))

    machine.watch = revoke
    result = machine.migrate()
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("partial", 6, id)
    assert "az login" not in result.errors[0]["remedy"]
    assert machine.app_id in result.errors[0]["remedy"]


# right after creation


@pytest.mark.parametrize("status", [400, 403, 404])
@pytest.mark.parametrize(
    "match",
    ["^POST /v1.0/servicePrincipals$", "appRoleAssignedTo$", r"^GET /v1.0/servicePrincipals/[^/]+/appRoleAssignments"],
    ids=["principal", "grant", "look"],
)
def test_P7_a_refusal_about_what_was_created_moments_ago_is_lag(fresh: Machine, match: str, status: int) -> None:
    message = "When using this permission, the backing application of the service principal must in the local tenant"
    fresh.tenant.faults.add(Fault("status", match, range=(1, 3), status=status, message=message))
    result = fresh.onboard()
    assert (result.outcome, result.exit_code) == ("changed", 0), result.errors
    complete(fresh)


@pytest.mark.parametrize("status", [400, 403, 404])
def test_M5_P7_what_was_created_moments_ago_is_deleted_although_it_is_refused_at_first(
    fresh: Machine, status: int
) -> None:
    fresh.tenant.faults.add(Fault("status", "^POST /v1.0/servicePrincipals$", 0, 400, code=FULL))
    fresh.tenant.faults.add(Fault("status", "^DELETE /v1.0/applications/", range=(1, 3), status=status))
    result = fresh.onboard()
    assert (result.outcome, len(result.errors)) == ("failed", 1), result.errors
    assert nothing(fresh)


def test_P7_P12_a_refusal_that_lasts_is_one_after_the_deadline(fresh: Machine) -> None:
    fresh.tenant.faults.add(Fault("status", "^POST /v1.0/servicePrincipals$", 0, 403))
    result = fresh.onboard()
    assert (result.exit_code, result.errors[0]["id"]) == (5, "handoff.waiting")
    assert fresh.clock.waited >= 100
    assert len(requests_left(fresh)) == 1


def test_P7_a_refused_grant_to_an_app_that_was_there_already_is_not_waited_for(
    start_lab: Callable[[str], Lab], clock: VirtualClock
) -> None:
    machine = Machine(start_lab("drift"), clock)
    dana = users.find(machine.tenant, "dana") | {"_roles": [roles.GLOBAL_ADMINISTRATOR]}
    machine.tenant.commit("user", dana["id"], dana)
    machine.tenant.faults.add(Fault("status", "appRoleAssignedTo$", 0, 403))
    result = machine.onboard(app_id=machine.app_id, origin={"app_id": "flag"})
    assert (result.exit_code, result.errors[0]["id"]) == (5, "handoff.waiting"), result.errors
    assert clock.waited < 30
    assert any(isinstance(event, Finding) and event.id == "rights.refused" for event in machine.events)
    assert PROFILE.secret_member not in machine.state


# a remedy fits its cause


def test_P11_verify_advises_a_migration_only_where_that_helps(machine: Machine) -> None:
    assert "entraclaw-setup migrate" in machine.verify().errors[0]["remedy"]
    assert machine.migrate().exit_code == 0
    machine.tenant.faults.add(Fault("status", "", 0, 401, host="localhost", message=REVOKED))
    (error,) = machine.verify().errors
    assert "entraclaw-setup migrate" not in error["remedy"]
    assert "'No password credential is left' names its cause and its remedy, then verify again." in error["remedy"]
