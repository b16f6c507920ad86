"""Who else can act as the app, what it may do, when its secrets were used, and closing the door (M13-M15, M17)."""

from __future__ import annotations

import json

import pytest

from core.config import cloud as clouds
from core.config.cloud import GRAPH_APP_ID, Cloud
from core.errors import GraphError
from core.events import ChangePlanned, Finding, StepFinished
from core.sandbox.directory import registrations
from core.sandbox.graph import grants, roles
from core.sandbox.graph.policies import new_policy
from core.steps.facts import Target
from tests.machine import Machine, Snapshot


def found(machine: Machine, id: str) -> list[Finding]:
    return [event for event in machine.events if isinstance(event, Finding) and event.id == id]


def test_M17_plan_and_verify_list_what_is_neither_ours_nor_acknowledged(machine: Machine) -> None:
    mallory = machine.tenant.new_id()
    machine.tenant.commit("user", mallory, {"id": mallory, "userPrincipalName": "mallory@elsewhere"})
    trusted = {"id": "f1", "name": "ci", "issuer": "https://ci.example", "subject": "repo:x", "audiences": ["a"]}
    machine.change("application", _owners=[*machine.app["_owners"], mallory], _federated=[trusted])
    (other,) = machine.app["keyCredentials"]
    assert machine.migrate().exit_code == 0
    (key,) = found(machine, "app.foreign-key")
    assert other["keyId"] in key.message
    assert other["endDateTime"][:10] in key.message
    assert other["startDateTime"][:10] in key.message
    assert "https://ci.example" in found(machine, "app.federated")[0].message
    assert "mallory@elsewhere" in found(machine, "app.owner")[0].message

    result = machine.verify()
    assert result.exit_code == 0, "they are findings"
    (check,) = [e for e in machine.events if isinstance(e, StepFinished) and e.step == "others"]
    assert check.state == "skipped"
    assert other["keyId"] in check.detail
    assert "ci" in check.detail
    assert machine.verify(strict=True).exit_code == 8

    acknowledged = f"{other['keyId'].upper()}, f1"
    assert machine.verify(strict=True, acknowledge=acknowledged).exit_code == 0
    machine.migrate(acknowledge=f"{acknowledged},{mallory}")
    assert {"app.foreign-key", "app.federated", "app.owner"}.isdisjoint(machine.findings())


def test_M14_the_plan_says_what_the_credential_can_do(machine: Machine) -> None:
    machine.migrate(dry_run=True)
    (report,) = found(machine, "app.roles")
    assert report.severity == "warning"
    assert all(name in report.message for name in roles.BASE)
    taking = report.message.partition(". With ")[2]
    assert "Application.ReadWrite.All" in taking
    assert "Organization.Read.All" not in taking


def test_M15_the_plan_says_when_each_secret_was_last_used(machine: Machine) -> None:
    user = machine.tenant.latest("user", machine.tenant.signed_in_user)
    assert user is not None
    machine.tenant.commit("user", user["id"], user | {"_roles": [*user["_roles"], roles.REPORTS_READER]})
    machine.migrate(dry_run=True)
    rows = {e.before for e in machine.events if isinstance(e, ChangePlanned) and e.what == "password credential"}
    assert sum("last used 20" in row for row in rows) >= 2
    assert any("'pipeline'" in row and "no use reported" in row for row in rows)
    assert found(machine, "secret.activity") == []


def test_M15_where_rights_or_licence_do_not_allow_it_the_plan_says_that_it_is_unknown(machine: Machine) -> None:
    machine.migrate(dry_run=True)
    assert "Authorization_RequestDenied" in found(machine, "secret.activity")[0].message
    machine.tenant.switches.premium = False
    machine.migrate(dry_run=True)
    assert "unknown" in found(machine, "secret.activity")[0].message
    rows = [e for e in machine.events if isinstance(e, ChangePlanned) and e.what == "password credential"]
    assert all("last use unknown" in row.before for row in rows)
    assert any("stops working" in finding.message for finding in found(machine, "plan.others"))


@pytest.mark.parametrize("name", ["usgov", "china"])
def test_a_national_cloud_is_used_by_its_name_and_has_no_report(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    lab = machine.cloud
    pretend = Cloud(name, lab.authority, lab.graph, lab.arm, lab.ca_bundle, built_in=True, az_name="X")
    monkeypatch.setitem(clouds.BUILT_IN, name, pretend)
    machine.state_file.write_text(json.dumps(machine.state | {"CLOUD": name}))
    result = machine.migrate(cloud=name)
    assert (result.exit_code, result.errors) == (0, [])
    assert "no such report" in found(machine, "secret.activity")[0].message
    assert not [line for line in machine.tenant.faults.log if "/reports/" in line]
    assert machine.keystore.accounts("entraclaw-provisioner-cert") == [machine.tenant.id], "no suffix (C2)"
    assert machine.migrate(cloud="public").exit_code == 2, "the state file belongs to its cloud (C1)"


def test_M13_without_the_permission_lock_prints_the_exact_requests(machine: Machine) -> None:
    result = machine.migrate(lock=True)
    assert result.exit_code == 0
    (request,) = found(machine, "lock.request")
    assert "Policy.ReadWrite.ApplicationConfiguration" in request.message
    assert "POST /policies/appManagementPolicies" in request.remedy
    assert f"POST /applications/{machine.app['id']}/appManagementPolicies/$ref" in request.remedy
    assert "passwordAddition" in request.remedy
    assert machine.steps()["lock"] == "done"


def test_M13_a_provisioner_that_may_write_policies_locks_itself(machine: Machine) -> None:
    grant(machine, "Policy.ReadWrite.ApplicationConfiguration", "Application.Read.All")
    assert machine.migrate(lock=True).exit_code == 0
    assert found(machine, "lock.lift")
    ctx = machine.build(who="alex")
    graph = ctx.user_graph()
    ctx.facts.put(Target(machine.tenant.id))
    body = {"passwordCredential": {"displayName": "again"}}
    with pytest.raises(GraphError, match="CredentialTypeNotAllowedAsPerAppPolicy"):
        graph.write("POST", f"/applications/{machine.app['id']}/addPassword", body, "add a password")
    ctx.close()
    assert machine.passwords == []


def grant(machine: Machine, *names: str) -> None:
    """Grant the Provisioner more permissions, as another administrator would."""
    resource = machine.tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
    assert resource is not None
    for name in names:
        made = grants.new_grant(machine.tenant, machine.principal, resource, roles.OFFERED[name])
        machine.tenant.commit(grants.KIND, made["id"], made)


def short_lives(machine: Machine) -> None:
    """A policy that allows this app certificates of 90 days."""
    rule = {"restrictionType": "asymmetricKeyLifetime", "state": "enabled", "maxLifetime": "P90D"}
    policy = new_policy(machine.tenant, "short lives", {"keyCredentials": [rule]}, (machine.app["id"],))
    machine.tenant.commit("appManagementPolicy", policy["id"], policy)


def days(machine: Machine) -> int:
    """Life of this machine's certificate on the app."""
    (key,) = [e for e in machine.app["keyCredentials"] if "build-agent-7" not in e["displayName"]]
    return (registrations.moment(key["endDateTime"]) - registrations.moment(key["startDateTime"])).days


def test_M13_a_policy_that_az_may_not_read_refuses_and_the_remedy_names_the_option(machine: Machine) -> None:
    short_lives(machine)
    before = Snapshot.of(machine)
    refused = machine.migrate()
    assert (refused.outcome, refused.exit_code) == ("failed", 5)
    assert "--certificate-days" in refused.errors[0]["remedy"]
    assert machine.untouched(before)
    assert machine.migrate(certificate_days=90).exit_code == 0
    assert days(machine) == 90


def test_M13_a_policy_that_can_be_read_shortens_the_certificate_and_the_plan_says_so(machine: Machine) -> None:
    short_lives(machine)
    grant(machine, "Policy.Read.All")
    result = machine.migrate(who=machine.app_id)
    assert (result.exit_code, result.errors) == (0, [])
    (row,) = [
        e for e in machine.events if isinstance(e, ChangePlanned) and (e.action, e.what) == ("add", "certificate")
    ]
    assert "90 days" in row.after
    assert "short lives" in row.after
    assert days(machine) == 90
