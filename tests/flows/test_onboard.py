"""Provisioning against the sandbox over TLS: from nothing, beside others, repairing, and everything that stops it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from core.config.cloud import GRAPH_APP_ID
from core.entra import certificates
from core.entra.tokens import mint
from core.errors import GraphError
from core.events import ChangePlanned, Finding, Question, StepFinished
from core.flow import engine
from core.flow.engine import Result
from core.flows import interrupted, onboard
from core.sandbox.directory import registrations, users
from core.sandbox.faults import Fault
from core.sandbox.graph import deleted, grants, policies, roles
from core.sandbox.lab import Lab
from core.sandbox.scenarios import catalogue as scenarios
from core.secret import Secret
from core.steps.facts import Target
from tests.machine import PROFILE, Crash, Machine, Snapshot, VirtualClock
from tests.provisioning import (
    NAME,
    ROLES,
    apps,
    complete,
    declared,
    give,
    granted,
    make,
    nothing,
    principals,
    unchanged,
)


@pytest.fixture
def fresh(start_lab: Callable[[str], Lab], clock: VirtualClock) -> Machine:
    return Machine(start_lab("fresh"), clock)


@pytest.fixture
def drift(start_lab: Callable[[str], Lab], clock: VirtualClock) -> Machine:
    machine = Machine(start_lab("drift"), clock)
    user(machine, "dana", roles.GLOBAL_ADMINISTRATOR)
    return machine


def stopped(result: Result, id: str, code: int) -> str:
    """The message of the first error, which must be this one."""
    assert (result.errors[0]["id"], result.exit_code) == (id, code), result.errors
    return f"{result.errors[0]['message']}\n{result.errors[0]['remedy']}"


def found(machine: Machine, id: str) -> list[Finding]:
    return [event for event in machine.events if isinstance(event, Finding) and event.id == id]


def rows(machine: Machine) -> list[ChangePlanned]:
    return [event for event in machine.events if isinstance(event, ChangePlanned)]


def stop_after(machine: Machine, step: str, how: Callable[[], None]) -> None:
    def watch(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == step and event.state == "done":
            machine.watch = None
            how()

    machine.watch = watch


def cancel(machine: Machine) -> None:
    """Ctrl-C."""
    assert machine.ctx is not None
    machine.ctx.cancel.ask(2)


def crash_after(machine: Machine, step: str, **options: Any) -> None:
    """Kill a run at the end of a step."""

    def crash() -> None:
        raise Crash

    stop_after(machine, step, crash)
    with pytest.raises(Crash):
        machine.onboard(**options)
    machine.watch = None


def user(machine: Machine, name: str, *directory_roles: str) -> None:
    person = users.find(machine.tenant, name) | {"_roles": list(directory_roles)}
    machine.tenant.commit("user", person["id"], person)


# --- from nothing


def test_P1_P6_a_provisioner_from_nothing(fresh: Machine) -> None:
    result = fresh.onboard()
    assert (result.outcome, result.exit_code, result.errors) == ("changed", 0, [])
    complete(fresh)
    assert fresh.state["CLOUD"] == "sandbox"
    if os.name == "posix":
        assert fresh.state_file.stat().st_mode & 0o777 == 0o600
    assert fresh.app["signInAudience"] == "AzureADMyOrg"
    key_pair = certificates.parse(fresh.keystore.read(fresh.service, fresh.tenant.id) or Secret(""), "")
    token = mint(fresh.session, fresh.cloud, fresh.tenant.id, fresh.app_id, key_pair)
    assert token.roles == set(ROLES)
    assert fresh.verify().exit_code == 0
    assert "26 permissions" in result.summary[0]


def test_P9_a_second_run_changes_nothing_in_four_requests_and_a_migration_finds_nothing(fresh: Machine) -> None:
    fresh.onboard()
    before = Snapshot.of(fresh)
    fresh.tenant.faults.log.clear()
    result = unchanged(fresh)
    assert "Nothing to do" in result.summary[0]
    assert result.plan is not None
    assert result.plan.empty
    assert len(fresh.tenant.faults.log) <= 4, fresh.tenant.faults.log
    migrated = fresh.migrate()
    assert (migrated.outcome, migrated.exit_code) == ("unchanged", 0), migrated.errors
    assert fresh.untouched(before)


def test_P1_a_fresh_run_takes_seven_round_trips_and_a_last_look(fresh: Machine) -> None:
    fresh.onboard()
    *log, last = fresh.tenant.faults.log
    assert last.startswith("GET /v1.0/applications/"), "whether the certificate is still there"
    first = [line for line in log if line.startswith("GET /v1.0") or line == "POST /v1.0/$batch"]
    assert len(first) == 3, "the first looks run together"
    assert set(first) <= set(log[:4]), "and discovery with them"
    assert len(log) - len(first) + 1 <= 7, log
    assert fresh.clock.waited == 0


@pytest.mark.parametrize("scenario", ["fresh", "drift"])
def test_M2_a_dry_run_changes_nothing(start_lab: Callable[[str], Lab], clock: VirtualClock, scenario: str) -> None:
    machine = Machine(start_lab(scenario), clock)
    before = [json.dumps(list(machine.tenant.all_latest(kind))) for kind in ("application", grants.KIND)]
    result = machine.onboard(dry_run=True, yes=False)
    assert (result.outcome, result.exit_code) == ("planned", 0)
    what = [row.what for row in rows(machine)]
    assert what.count("permission") == (26 if scenario == "fresh" else 5)
    assert ("app registration" in what) == (scenario == "fresh")
    assert before == [json.dumps(list(machine.tenant.all_latest(kind))) for kind in ("application", grants.KIND)]
    assert machine.keystore.accounts(machine.service) == []
    assert not list(machine.lab.project.glob("*request*"))
    assert scenario == "drift" or nothing(machine)


def test_M2_a_no_changes_nothing(fresh: Machine) -> None:
    asked: list[Question] = []

    def no(question: Question) -> bool:
        asked.append(question)
        return False

    stopped(fresh.onboard(no, yes=False), "flow.no", 4)
    assert "with 26 permission(s) to grant" in asked[0].text
    assert nothing(fresh)


def test_P1_an_app_that_appears_while_the_plan_is_read_is_not_doubled(fresh: Machine) -> None:
    def slowly(question: Question) -> bool:
        make(fresh)
        return True

    stopped(fresh.onboard(slowly, yes=False), "app.adopt-or-new", 4)
    assert len(apps(fresh)) == 1
    assert fresh.keystore.accounts(fresh.service) == []


def test_M16_a_job_or_container_is_stopped_before_any_change(fresh: Machine) -> None:
    ctx = fresh.build()
    ctx.lifetime = ("CI: the variable CI is set",)
    result = engine.run(onboard.FLOW, ctx, ctx.run_id)
    ctx.close()
    stopped(result, "platform.short-lived", 3)
    assert nothing(fresh)
    assert ctx.journal is None


# --- other apps


def test_P1_an_app_of_that_name_is_shown_and_not_taken(start_lab: Callable[[str], Lab], clock: VirtualClock) -> None:
    machine = Machine(start_lab("taken"), clock)
    (theirs,) = apps(machine)
    before = json.dumps(theirs)
    said = stopped(machine.onboard(), "app.adopt-or-new", 4)
    for part in ("mallory@", theirs["createdDateTime"][:10], theirs["appId"], "--new"):
        assert part in said
    said = stopped(machine.onboard(app_id=theirs["appId"]), "app.has-secrets", 4)
    assert "backdoor" in said
    assert machine.keystore.accounts(machine.service) == []

    assert machine.onboard(new=True).exit_code == 0
    assert len(apps(machine)) == 2
    assert machine.app_id != theirs["appId"]
    assert granted(machine) == sorted(ROLES)
    assert json.dumps(next(app for app in apps(machine) if app["id"] == theirs["id"])) == before
    unchanged(machine)
    unchanged(machine, new=True)
    assert len(apps(machine)) == 2


def test_P1_two_apps_of_the_name_are_listed(fresh: Machine) -> None:
    twins = [make(fresh), make(fresh)]
    said = stopped(fresh.onboard(), "app.several", 4)
    assert all(twin["appId"] in said for twin in twins)


def test_P1_an_app_whose_name_merely_starts_with_ours_is_another(fresh: Machine) -> None:
    make(fresh, f"{NAME} (old)")
    assert fresh.onboard().exit_code == 0
    complete(fresh)


def test_P1_P2_an_app_given_by_its_id_is_set_up_without_losing_anything(fresh: Machine) -> None:
    foreign = [{"id": "11111111-2222-4333-8444-555555555555", "type": "Role"}]
    other = {"resourceAppId": "00000002-0000-0000-c000-000000000000", "resourceAccess": foreign}
    scope = {"id": roles.BASE["User.ReadWrite.All"], "type": "Scope"}
    mine = {"resourceAppId": GRAPH_APP_ID, "resourceAccess": [scope]}
    app = make(fresh, "Our own name", requiredResourceAccess=[mine, other])
    fresh.chosen = app["appId"]
    stopped(fresh.onboard(app_id="11111111-2222-4333-8444-555555555555"), "app.missing", 3)
    result = fresh.onboard(app_id=app["appId"])
    assert result.exit_code == 0, result.errors
    assert fresh.app["displayName"] == "Our own name"
    assert other in fresh.app["requiredResourceAccess"]
    graph = [item for item in fresh.app["requiredResourceAccess"] if item["resourceAppId"] == GRAPH_APP_ID]
    assert len(graph) == 1
    assert scope in graph[0]["resourceAccess"]
    assert declared(fresh) == sorted(ROLES.values())
    assert granted(fresh) == sorted(ROLES)


def test_P1_a_stale_id_is_said_and_a_new_app_is_created(fresh: Machine) -> None:
    gone = "11111111-2222-4333-8444-555555555555"
    fresh.state_file.write_text(json.dumps({"CLOUD": "sandbox", PROFILE.client_id_member: gone, "MINE": "1"}))
    result = fresh.onboard()
    assert result.exit_code == 0, result.errors
    assert gone in found(fresh, "app.stale")[0].message
    assert fresh.clock.waited > 50, "a 404 is believed when it lasts"
    fresh.chosen = ""
    complete(fresh)
    assert fresh.state["MINE"] == "1"
    unchanged(fresh)


def test_P1_the_key_of_an_app_that_is_gone_for_good_is_replaced(fresh: Machine) -> None:
    fresh.onboard()
    first, key = fresh.app_id, fresh.keystore.read(fresh.service, fresh.tenant.id)
    fresh.tenant.commit("servicePrincipal", fresh.principal["id"], None)
    fresh.tenant.commit("application", fresh.app["id"], None)
    assert fresh.onboard().exit_code == 0
    complete(fresh)
    assert fresh.app_id != first
    assert fresh.keystore.read(fresh.service, fresh.tenant.id) != key
    unchanged(fresh)


def test_P1_a_deleted_app_that_can_be_restored_stops_the_run(fresh: Machine) -> None:
    fresh.onboard()
    deleted._bin(fresh.tenant, "servicePrincipal", fresh.principal)
    deleted._bin(fresh.tenant, "application", fresh.app)
    stopped(fresh.onboard(), "app.deleted", 3)
    assert apps(fresh) == []


def test_M18_a_blueprint_is_refused(fresh: Machine) -> None:
    app = make(fresh, **{"@odata.type": "#microsoft.graph.agentIdentityBlueprint"})
    before = json.dumps(apps(fresh))
    stopped(fresh.onboard(app_id=app["appId"]), "app.blueprint", 2)
    assert json.dumps(apps(fresh)) == before


@pytest.mark.parametrize("known", [True, False], ids=["app known", "no app known"])
def test_P1_a_state_file_with_a_secret_belongs_to_the_migration(fresh: Machine, known: bool) -> None:
    members = {"CLOUD": "sandbox", PROFILE.secret_member: fresh.tenant.new_secret().reveal()}
    if known:
        members[PROFILE.client_id_member] = make(fresh)["appId"]
    fresh.state_file.write_text(json.dumps(members))
    assert "migrate" in stopped(fresh.onboard(), "app.has-secrets", 4)
    assert fresh.state == members
    assert len(apps(fresh)) == known


def test_P4_a_key_of_nobody_knows_which_app_is_not_overwritten(fresh: Machine) -> None:
    key_pair = certificates.make("somebody", fresh.clock.now())
    fresh.keystore.write(fresh.service, fresh.tenant.id, key_pair.pem)
    assert "keyring del" in stopped(fresh.onboard(), "keystore.occupied", 4)
    assert apps(fresh) == []
    assert fresh.keystore.read(fresh.service, fresh.tenant.id) == key_pair.pem


def test_P4_an_expired_or_broken_entry_is_no_key(fresh: Machine) -> None:
    fresh.keystore.write(fresh.service, fresh.tenant.id, Secret("not a key at all"))
    assert fresh.onboard().exit_code == 0
    complete(fresh)


def test_P1_a_project_that_creates_a_second_app_later_knows_whose_key_it_holds(fresh: Machine) -> None:
    fresh.onboard()
    first = fresh.app_id
    fresh.state_file.unlink()
    fresh.keystore.delete(fresh.service, fresh.tenant.id)
    assert fresh.onboard(new=True).exit_code == 0
    assert fresh.app_id != first
    unchanged(fresh)


def test_P1_an_app_without_a_service_principal_gets_one_and_loses_it_again_in_an_undo(fresh: Machine) -> None:
    app = make(fresh)
    principal = fresh.tenant.find("servicePrincipal", "appId", app["appId"])
    assert principal is not None
    fresh.tenant.commit("servicePrincipal", principal["id"], None)
    before = json.dumps(apps(fresh))
    stop_after(fresh, "grant", lambda: cancel(fresh))
    result = fresh.onboard(app_id=app["appId"])
    assert (result.outcome, result.exit_code) == ("failed", 130), result.errors
    assert principals(fresh) == []
    assert list(fresh.tenant.all_latest(grants.KIND)) == []
    assert json.dumps(apps(fresh)) == before
    assert fresh.onboard(app_id=app["appId"]).exit_code == 0
    complete(fresh)


def test_P1_a_second_run_at_the_same_time_waits_for_its_turn(fresh: Machine) -> None:
    seen: list[Result] = []

    def meanwhile(question: Question) -> bool:
        seen.append(fresh.onboard())
        return True

    assert fresh.onboard(meanwhile, yes=False).exit_code == 0
    stopped(seen[0], "lock.held", 3)
    complete(fresh)


# --- permissions


def test_P6_drift_is_repaired_after_a_yes_that_names_the_app(drift: Machine) -> None:
    before = Snapshot.of(drift)
    said = stopped(drift.onboard(), "app.roles-unconfirmed", 4)
    assert f"--app-id {drift.app_id}" in said
    assert all(name in said for name in (*scenarios.UNGRANTED, *scenarios.UNDECLARED))
    assert drift.untouched(before)
    drift.tenant.faults.log.clear()
    result = drift.onboard(app_id=drift.app_id)
    assert result.exit_code == 0, result.errors
    complete(drift)
    posts = [line for line in drift.tenant.faults.log if "appRoleAssignedTo" in line]
    assert sum(line.count("appRoleAssignedTo") for line in posts) == 5, "what is granted is not granted again"
    unchanged(drift)


def test_P6_a_failed_read_of_the_grants_is_never_none_granted(drift: Machine) -> None:
    items = "^GET /servicePrincipals.*/appRoleAssignments$"
    for match in (items, "^GET /v1.0/servicePrincipals.*/appRoleAssignments$"):  # the first page, and the next ones
        drift.tenant.faults.add(Fault("status", match, 0, 500))
        before = Snapshot.of(drift)
        result = drift.onboard(app_id=drift.app_id)
        drift.tenant.faults.script.clear()
        assert result.exit_code == 7, result.errors
        assert drift.untouched(before)
    assert len(granted(drift)) == 21


@pytest.mark.parametrize("status", [400, 409])
def test_P6_a_grant_by_another_at_the_same_moment_is_fine(drift: Machine, status: int) -> None:
    drift.tenant.switches.duplicate_grant = status
    stop_after(drift, "declare", lambda: give(drift, drift.app, *scenarios.UNGRANTED))
    assert drift.onboard(app_id=drift.app_id).exit_code == 0
    complete(drift)


def test_P6_what_another_granted_at_the_same_moment_is_not_taken_back(drift: Machine) -> None:
    (theirs, *_) = scenarios.UNGRANTED

    def quicker() -> None:
        give(drift, drift.app, theirs)
        stop_after(drift, "adopt", lambda: cancel(drift))

    stop_after(drift, "declare", quicker)
    result = drift.onboard(app_id=drift.app_id)
    assert (result.outcome, result.exit_code) == ("failed", 130), result.errors
    assert set(granted(drift)) == set(ROLES) - {*scenarios.UNGRANTED, *scenarios.UNDECLARED} | {theirs}


NEW = "AgentIdentity.Brand.New"


def offer(machine: Machine, *names: str, without: bool = False) -> None:
    """Change what Microsoft Graph offers in this tenant."""
    graph = machine.tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
    assert graph is not None
    kept = [role for role in graph["appRoles"] if not (without and role["value"].startswith("Agent"))]
    kept += [graph["appRoles"][0] | {"id": machine.tenant.new_id(), "value": name} for name in names]
    machine.tenant.commit("servicePrincipal", graph["id"], graph | {"appRoles": kept})


def test_P6_an_agent_permission_that_nobody_knows_is_shown_and_asked_for(fresh: Machine) -> None:
    offer(fresh, NEW)
    assert fresh.onboard().exit_code == 0
    assert granted(fresh) == sorted(ROLES)
    assert NEW in found(fresh, "permissions.unknown")[0].message
    assert fresh.onboard(extra_roles=True, app_id=fresh.app_id).exit_code == 0
    assert granted(fresh) == sorted([*ROLES, NEW])
    unchanged(fresh)
    assert not found(fresh, "permissions.unknown"), "it is granted by now"


def test_P6_a_person_is_asked_about_it(fresh: Machine) -> None:
    offer(fresh, NEW)
    asked: list[str] = []

    def yes(question: Question) -> bool:
        asked.append(question.id)
        return True

    assert fresh.onboard(yes, yes=False).exit_code == 0
    assert asked == ["extra-roles", "onboard"]
    assert granted(fresh) == sorted([*ROLES, NEW])


def test_P6_a_tenant_without_agent_permissions_is_told_so(fresh: Machine) -> None:
    offer(fresh, without=True)
    assert fresh.onboard().exit_code == 0
    assert granted(fresh) == sorted(roles.BASE)
    assert "20 of the agent permissions" in found(fresh, "permissions.fewer")[0].message
    unchanged(fresh)


# --- who may


def test_P12_who_may_create_but_not_grant_keeps_the_key_and_gets_a_request(fresh: Machine) -> None:
    user(fresh, "dana", roles.APPLICATION_ADMINISTRATOR)
    said = stopped(fresh.onboard(), "handoff.waiting", 5)
    assert "Privileged Role Administrator" in said
    (request,) = fresh.lab.project.glob("*request*.json")
    assert set(json.loads(request.read_text())["roles"]) == set(ROLES)
    (account,) = fresh.keystore.accounts(fresh.service)
    assert account.startswith(f"{fresh.tenant.id}#")
    assert apps(fresh) == []
    assert "rights.missing" in fresh.findings()

    user(fresh, "dana", roles.GLOBAL_ADMINISTRATOR)
    assert fresh.onboard().exit_code == 0
    complete(fresh)
    assert not request.exists()


def test_P12_a_tenant_that_forbids_people_to_register_apps_gets_a_request(fresh: Machine) -> None:
    user(fresh, "dana", roles.PRIVILEGED_ROLE_ADMINISTRATOR)
    fresh.tenant.switches.users_may_create_apps = False
    stopped(fresh.onboard(), "handoff.waiting", 5)
    assert "Authorization_RequestDenied" in found(fresh, "rights.refused")[0].message
    (request,) = fresh.lab.project.glob("*request*.json")
    assert json.loads(request.read_text())["app_id"] == ""
    assert len(fresh.keystore.accounts(fresh.service)) == 1
    fresh.tenant.switches.users_may_create_apps = True
    assert fresh.onboard().exit_code == 0
    complete(fresh)
    assert not request.exists()


def test_P12_a_refusal_to_grant_that_no_token_told_keeps_the_app_and_asks_for_the_rest(fresh: Machine) -> None:
    fresh.tenant.faults.add(Fault("status", "^POST /servicePrincipals/.*/appRoleAssignedTo", 0, 403))
    result = fresh.onboard()
    fresh.tenant.faults.script.clear()
    stopped(result, "handoff.waiting", 5)
    (app,) = apps(fresh)
    (request,) = fresh.lab.project.glob("*request*.json")
    assert json.loads(request.read_text())["app_id"] == app["appId"]
    assert fresh.run(onboard.FLOW, act=engine.undo).exit_code == 0
    assert nothing(fresh)
    assert not request.exists()


def test_P12_a_run_with_nothing_to_change_needs_no_rights(fresh: Machine) -> None:
    fresh.onboard()
    user(fresh, "dana")
    fresh.change("application", _owners=[])
    unchanged(fresh)
    assert "rights.missing" not in fresh.findings()


def test_M16_a_service_principal_with_the_right_roles_provisions(fresh: Machine) -> None:
    robot = make(fresh, "pipeline")
    give(fresh, robot, "Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All")
    result = fresh.onboard(who=robot["appId"])
    assert result.exit_code == 0, result.errors
    assert granted(fresh) == sorted(ROLES)
    unchanged(fresh, who=robot["appId"])


def test_P12_a_service_principal_without_them_asks_an_administrator(fresh: Machine) -> None:
    robot = make(fresh, "pipeline")
    give(fresh, robot, "Application.Read.All")
    stopped(fresh.onboard(who=robot["appId"]), "handoff.waiting", 5)
    assert apps(fresh) == []


# --- policies


def limit(machine: Machine, days: int = 180) -> None:
    """The tenant's default policy: certificates of so many days."""
    rule = {"restrictionType": "asymmetricKeyLifetime", "maxLifetime": f"P{days}D", "state": "enabled"}
    state = policies._default(machine.tenant)
    state |= {"isEnabled": True, "applicationRestrictions": {"passwordCredentials": [], "keyCredentials": [rule]}}
    machine.tenant.commit(policies.KIND, state["id"], state)


def test_P3_a_policy_that_cannot_be_read_is_met_by_saying_what_to_do(fresh: Machine) -> None:
    limit(fresh)
    result = fresh.onboard()
    assert "--certificate-days" in stopped(result, "graph.refused", 5)
    assert "CredentialInvalidLifetimeAsPerAppPolicy" in result.errors[0]["message"]
    assert nothing(fresh)
    assert fresh.onboard(certificate_days=180).exit_code == 0
    complete(fresh)


def pipeline(machine: Machine, *names: str) -> str:
    """The app id of a pipeline that may provision and what is named."""
    robot = make(machine, "pipeline")
    give(machine, robot, "Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All", *names)
    return str(robot["appId"])


def test_P3_a_policy_that_can_be_read_shortens_the_certificate_by_itself(fresh: Machine) -> None:
    limit(fresh)
    result = fresh.onboard(who=pipeline(fresh, "Policy.Read.All"))
    assert result.exit_code == 0, result.errors
    assert any("180 days" in row.after and "policy" in row.after for row in rows(fresh))
    (entry,) = fresh.app["keyCredentials"]
    assert registrations.moment(entry["endDateTime"]) - registrations.moment(entry["startDateTime"]) == timedelta(
        days=180
    )


def test_M13_without_the_permission_lock_prints_the_exact_requests(fresh: Machine) -> None:
    assert fresh.onboard(lock=True).exit_code == 0
    (request,) = found(fresh, "lock.request")
    assert f"POST /applications/{fresh.app['id']}/appManagementPolicies/$ref" in request.remedy
    complete(fresh)


LOCKER = ("Policy.ReadWrite.ApplicationConfiguration",)


def add_password(machine: Machine) -> None:
    ctx = machine.build(who="alex")
    ctx.facts.put(Target(machine.tenant.id))
    body = {"passwordCredential": {"displayName": "again"}}
    try:
        ctx.user_graph().write("POST", f"/applications/{machine.app['id']}/addPassword", body, "add a password")
    finally:
        ctx.close()


def test_M13_with_the_permission_lock_locks(fresh: Machine) -> None:
    robot = pipeline(fresh, *LOCKER)
    result = fresh.onboard(lock=True, who=robot)
    assert result.exit_code == 0, result.errors
    with pytest.raises(GraphError, match="CredentialTypeNotAllowedAsPerAppPolicy"):
        add_password(fresh)
    unchanged(fresh, lock=True, who=robot)
    assert len(list(fresh.tenant.all_latest(policies.KIND))) == 1


def test_M5_M13_a_lock_that_fails_is_taken_back_with_everything_else(fresh: Machine) -> None:
    robot = pipeline(fresh, *LOCKER)
    fresh.tenant.faults.add(Fault("status", r"appManagementPolicies/\$ref", 1, 403))
    result = fresh.onboard(lock=True, who=robot)
    assert (result.outcome, result.exit_code) == ("failed", 5), result.errors
    assert apps(fresh) == []
    assert list(fresh.tenant.all_latest(policies.KIND)) == []
    assert fresh.keystore.accounts(fresh.service) == []


# --- the project


def unwritable(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_M5_that_the_state_file_can_be_written_is_known_before_anything_is_created(
    fresh: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("core.files.tempfile.mkstemp", unwritable)
        result = fresh.onboard()
    assert "No space left" in stopped(result, "statefile.io", 1)
    assert result.outcome == "failed"
    assert not [line for line in fresh.tenant.faults.log if "PATCH" in line]
    assert nothing(fresh)
    assert fresh.onboard().exit_code == 0
    assert "journal.resumed" not in fresh.findings()


def test_M5_a_disk_that_is_full_at_the_state_file_undoes_everything(
    fresh: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(fresh, "adopt", lambda: patch.setattr("core.files.tempfile.mkstemp", unwritable))
        result = fresh.onboard()
    stopped(result, "statefile.io", 1)
    assert nothing(fresh)
    assert fresh.onboard().exit_code == 0
    complete(fresh)
    unchanged(fresh)


def test_M5_nothing_half_way_is_claimed_where_nothing_was_done(drift: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert drift.onboard(app_id=drift.app_id).exit_code == 0
    drift.state_file.write_text(json.dumps(drift.state | {PROFILE.thumbprint_member: ""}))
    with monkeypatch.context() as patch:
        patch.setattr("core.files.tempfile.mkstemp", unwritable)
        stopped(drift.onboard(), "statefile.io", 1)
    assert drift.onboard().exit_code == 0
    assert "journal.resumed" not in drift.findings()


def test_M5_undoing_the_state_file_keeps_what_others_wrote(fresh: Machine) -> None:
    def meanwhile() -> None:
        fresh.state_file.write_text(json.dumps(fresh.state | {"MINE": "theirs"}))
        cancel(fresh)

    stop_after(fresh, "record", meanwhile)
    result = fresh.onboard()
    assert (result.outcome, result.exit_code) == ("failed", 130)
    assert fresh.state == {"MINE": "theirs"}
    assert apps(fresh) == []


def test_M5_undoing_the_state_file_brings_back_what_was_there(drift: Machine) -> None:
    before = drift.state
    stop_after(drift, "record", lambda: cancel(drift))
    assert drift.onboard(app_id=drift.app_id).exit_code == 130
    assert drift.state == before
    assert len(granted(drift)) == 21


def test_P1_another_tenant_does_not_continue_what_was_begun_in_this_one(fresh: Machine) -> None:
    crash_after(fresh, "create-app")
    home, fresh.tenant.id = fresh.tenant.id, "99999999-2222-4333-8444-555555555555"
    said = stopped(fresh.onboard(), "az.wrong-tenant", 4)
    assert home in said
    fresh.tenant.id = home
    assert fresh.onboard().exit_code == 0
    complete(fresh)


# --- resume and undo


@pytest.mark.parametrize("step", ["store-key", "create-app", "create-principal", "grant", "adopt", "record", "tidy"])
def test_U2_an_interrupted_run_is_resumed(fresh: Machine, step: str) -> None:
    crash_after(fresh, step)
    ctx = fresh.build()
    opened = interrupted.find(ctx)
    ctx.close()
    assert opened is not None
    assert (opened.flow, opened.marked) == ("onboard", False)
    result = fresh.onboard()
    assert result.exit_code == 0, result.errors
    complete(fresh)
    unchanged(fresh)
    ctx = fresh.build()
    assert interrupted.find(ctx) is None
    ctx.close()


@pytest.mark.parametrize("step", ["store-key", "create-app", "create-principal", "grant", "adopt", "record", "tidy"])
def test_U2_an_interrupted_run_is_undone(fresh: Machine, step: str) -> None:
    crash_after(fresh, step)
    planned = fresh.run(onboard.FLOW, act=engine.undo, dry_run=True)
    assert planned.outcome == "planned"
    result = fresh.run(onboard.FLOW, act=engine.undo)
    assert (result.outcome, result.exit_code) == ("changed", 0), result.errors
    assert nothing(fresh)
    assert fresh.run(onboard.FLOW, act=engine.undo).outcome == "unchanged"
    assert fresh.onboard().exit_code == 0
    complete(fresh)


@pytest.mark.parametrize("step", ["declare", "grant", "adopt"])
def test_U2_an_interrupted_repair_is_undone(drift: Machine, step: str) -> None:
    before = Snapshot.of(drift)
    crash_after(drift, step, app_id=drift.app_id)
    result = drift.run(onboard.FLOW, act=engine.undo)
    assert result.exit_code == 0, result.errors
    assert drift.untouched(before)
    assert len(granted(drift)) == 21


def test_U2_a_run_with_a_stale_id_is_resumed_and_undone_too(fresh: Machine) -> None:
    stale = {"CLOUD": "sandbox", PROFILE.client_id_member: "11111111-2222-4333-8444-555555555555"}
    for step in ("create-app", "record"):
        fresh.state_file.write_text(json.dumps(stale))
        crash_after(fresh, step)
        assert fresh.run(onboard.FLOW, act=engine.undo).exit_code == 0
        assert fresh.state == stale
        assert apps(fresh) == []
    crash_after(fresh, "record")
    assert fresh.onboard().exit_code == 0
    fresh.chosen = ""
    complete(fresh)
    unchanged(fresh)


def test_U2_another_app_that_the_state_file_names_by_now_is_not_mixed_up(fresh: Machine) -> None:
    crash_after(fresh, "create-app")
    other = make(fresh)
    fresh.state_file.write_text(json.dumps({"CLOUD": "sandbox", PROFILE.client_id_member: other["appId"]}))
    stopped(fresh.onboard(), "app.roles-unconfirmed", 4)
    assert granted(fresh, other["appId"]) == []
