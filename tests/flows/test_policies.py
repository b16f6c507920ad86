"""What app management policies forbid is known before the yes where they may be read, and else undone (P13)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.events import ChangePlanned, Finding, StepFinished
from core.flow.engine import Result
from core.flows import rollback
from core.sandbox.graph import policies
from tests.flows.test_handoff import Admin, request_of, rights_of
from tests.machine import Machine, Snapshot, VirtualClock
from tests.provisioning import give, make

AUTHORITY: dict[str, Any] = {"restrictionType": "trustedCertificateAuthority", "state": "enabled"}
CAP: dict[str, Any] = {"restrictionType": "asymmetricKeyLifetime", "maxLifetime": "P90D", "state": "enabled"}
SPARED = {"excludeActors": {"customSecurityAttributes": [{"id": "set_name"}]}}


def apply_policy(machine: Machine, *rules: dict[str, Any], credential: str = "keyCredentials") -> None:
    """A policy for this app alone."""
    state = policies.new_policy(machine.tenant, "trusted only", {credential: list(rules)}, (machine.app["id"],))
    machine.tenant.commit(policies.KIND, state["id"], state)


def by_default(machine: Machine, *rules: dict[str, Any]) -> None:
    """The tenant's default policy."""
    state = policies._default(machine.tenant)
    state |= {"isEnabled": True, "applicationRestrictions": {"passwordCredentials": [], "keyCredentials": list(rules)}}
    machine.tenant.commit(policies.KIND, state["id"], state)


def pipeline(machine: Machine, *names: str) -> str:
    """The app id of a pipeline that may do all, and read policies."""
    robot = make(machine, "pipeline")
    wanted = ("Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All", "Policy.Read.All")
    give(machine, robot, *wanted, *names)
    return str(robot["appId"])


def refused(result: Result, error: str) -> str:
    assert (result.outcome, result.exit_code, [e["id"] for e in result.errors]) == ("failed", 5, [error]), result.errors
    return f"{result.errors[0]['message']} {result.errors[0]['remedy']}"


def found(machine: Machine, name: str) -> list[Finding]:
    return [event for event in machine.events if isinstance(event, Finding) and event.id == name]


def test_P13_a_ban_on_self_signed_certificates_stops_a_migration_before_anything_is_touched(machine: Machine) -> None:
    robot = pipeline(machine)
    apply_policy(machine, AUTHORITY)
    before = Snapshot.of(machine)
    told = refused(machine.migrate(who=robot), "policy.self-signed")
    for part in ("trusted only", "self-signed", "later one", "exception", "Premium"):
        assert part in told
    assert machine.untouched(before)
    assert not [event for event in machine.events if isinstance(event, StepFinished) and event.step == "store-key"]


def test_P13_a_ban_stops_an_onboarding_before_anything_is_touched(start_lab: Any, clock: VirtualClock) -> None:
    machine = Machine(start_lab("fresh"), clock)
    robot = pipeline(machine)
    by_default(machine, AUTHORITY)
    refused(machine.onboard(who=robot), "policy.self-signed")
    assert machine.keystore.accounts(machine.service) == []
    assert not machine.state_file.exists()


def test_P13_P12_an_administrator_is_told_of_a_ban_before_an_app_is_made_for_a_request(
    start_lab: Any, clock: VirtualClock, tmp_path: Path
) -> None:
    machine = Machine(start_lab("fresh"), clock)
    rights_of(machine)
    assert machine.onboard().errors[0]["id"] == "handoff.waiting"
    by_default(machine, AUTHORITY)
    made = len(list(machine.tenant.all_latest("application")))
    admin = Admin(machine, tmp_path / "alex", pipeline(machine))
    refused(admin.apply(request_of(machine)), "policy.self-signed")
    assert len(list(machine.tenant.all_latest("application"))) == made + 1, "the pipeline's own"


@pytest.mark.parametrize("when", ["not readable", "after the plan"])
def test_P13_a_ban_that_was_not_seen_is_refused_by_the_write_and_undone(machine: Machine, when: str) -> None:
    before = Snapshot.of(machine)
    if when == "not readable":
        apply_policy(machine, AUTHORITY)
    else:
        machine.watch = lambda event: (
            apply_policy(machine, AUTHORITY) if isinstance(event, StepFinished) and event.step == "store-key" else None
        )
    told = refused(machine.migrate(), "graph.refused")
    assert "CredentialTypeNotAllowedAsPerAppPolicy" in told
    assert "authority" in told
    assert machine.untouched(before)
    assert machine.usable() == ["secret"]


def test_P13_policies_that_may_not_be_read_are_a_finding_and_the_run_goes_on(machine: Machine) -> None:
    assert machine.migrate().exit_code == 0
    (told,) = found(machine, "policy.unread")
    assert told.severity == "info"
    assert "undone" in told.remedy


def test_P13_policies_that_may_be_read_are_no_such_finding(machine: Machine) -> None:
    assert machine.migrate(who=pipeline(machine)).exit_code == 0
    assert not found(machine, "policy.unread")


def test_P13_an_exemption_is_said_and_the_write_decides(machine: Machine) -> None:
    robot = pipeline(machine)
    apply_policy(machine, CAP | SPARED)
    result = machine.migrate(who=robot)
    assert (result.exit_code, result.errors) == (0, [])
    (told,) = found(machine, "policy.uncertain")
    assert "exempts somebody" in told.message
    (row,) = [
        e for e in machine.events if isinstance(e, ChangePlanned) and (e.action, e.what) == ("add", "certificate")
    ]
    assert "90 days" in row.after


def test_P13_a_kept_key_that_outlives_a_newer_cap_is_refused_before_anything_is_touched(
    start_lab: Any, clock: VirtualClock
) -> None:
    machine = Machine(start_lab("unprivileged"), clock)
    assert machine.migrate().errors[0]["id"] == "handoff.waiting"
    robot = pipeline(machine)
    apply_policy(machine, CAP)
    before = Snapshot.of(machine)
    result = machine.migrate(who=robot)
    assert result.errors[0]["id"] == "policy.lifetime"
    assert "90 days" in str(result.errors)
    assert "365" in str(result.errors)
    assert machine.untouched(before)


def test_P13_M10_a_cap_below_the_life_of_a_rollback_is_seen_before_the_plan(machine: Machine) -> None:
    assert machine.migrate().exit_code == 0
    robot = pipeline(machine)
    rule = {"restrictionType": "passwordLifetime", "maxLifetime": "PT10M", "state": "enabled"}
    apply_policy(machine, rule, credential="passwordCredentials")
    before = Snapshot.of(machine)
    refused(machine.run(rollback.FLOW, accept_live_secret=True, who=robot), "rollback.too-long")
    assert machine.untouched(before)
