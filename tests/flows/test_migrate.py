"""The migration against the sandbox over TLS: the order of M4, and everything that stops it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.entra import certificates, credentials
from core.events import ChangePlanned, Event, Finding, Question, StepFinished
from core.flows import migrate
from core.sandbox import http
from core.sandbox.directory import registrations
from core.sandbox.directory.store import Tenant
from core.sandbox.faults import Fault
from core.sandbox.lab import Lab
from core.secret import Secret
from tests.machine import PROFILE, Crash, Machine, Snapshot, VirtualClock

M7 = (
    "Migrated Provisioner from secret-auth to cert-auth. 3 password credentials removed from the app registration. "
    "PROVISIONER_CLIENT_SECRET purged from state file."
)


def test_M1_to_M7_a_legacy_machine_is_migrated(machine: Machine) -> None:
    others = machine.keys
    result = machine.migrate()
    assert (result.outcome, result.exit_code, result.errors) == ("changed", 0, [])
    assert result.summary[0] == M7
    assert result.summary[1] == "1 password credential removed from its service principal."
    assert machine.passwords == []
    assert machine.try_secret().state == "dead"
    assert others.items() <= machine.keys.items(), "another machine's certificate must stay byte for byte (P8)"
    assert PROFILE.secret_member not in machine.state
    thumbprint = machine.state[PROFILE.thumbprint_member]
    assert machine.keystore.accounts(machine.service) == [machine.tenant.id], "no pending entry is left"
    key_pair = certificates.parse(machine.keystore.read(machine.service, machine.tenant.id) or Secret(""), "")
    assert key_pair.thumbprint == thumbprint
    assert key_pair.der in machine.keys.values()
    assert machine.verify().exit_code == 0


def test_M4_the_steps_come_in_the_order_that_never_leaves_a_machine_without_credential(machine: Machine) -> None:
    machine.migrate()
    order = [event.step for event in machine.events if isinstance(event, StepFinished) and event.stage == "migrate"]
    assert order == [
        "store-key", "hand-off", "register", "grant", "prove", "adopt", "deletion-rights", "backup", "marker",
        "delete-passwords", "clean-reads", "prove-again", "purge", "secret-dead", "purge-copies",
        "tidy", "lock", "forget", "retire-exposed", "retire-older", "last-look", "result",
    ]  # fmt: skip


def test_M3_the_old_secret_is_accepted_once_and_used_for_nothing_else(machine: Machine) -> None:
    machine.migrate()
    by_secret = [i for i in machine.tenant.issued.values() if i.claims.get("appidacr") == "1"]
    assert len(by_secret) == 1, "its token was asked for once, at the start, and dropped"
    posts = [line for line in machine.tenant.faults.log if line.startswith("POST") and "/oauth2/" in line]
    assert len(posts) == 4, "the secret, the proof, the proof again, the dead secret"


def test_M4_two_clean_reads_are_at_least_five_seconds_apart(machine: Machine, clock: VirtualClock) -> None:
    moments: list[float] = []

    def watch(event: object) -> None:
        if isinstance(event, StepFinished) and event.step in ("delete-passwords", "clean-reads"):
            moments.append(clock.monotonic())

    machine.watch = watch
    machine.migrate()
    assert moments[1] - moments[0] >= 5


def test_P7_without_lag_a_migration_waits_five_seconds_in_all(machine: Machine, clock: VirtualClock) -> None:
    assert machine.migrate().exit_code == 0
    assert clock.waited <= 5
    looks = [line for line in machine.tenant.faults.log if line.startswith("GET") and "/applications/" in line]
    assert len(looks) >= 4, "it is looked for all the same: at once, between the clean reads, at the end"


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("step", ["prove", "delete-passwords", "clean-reads", "prove-again", "secret-dead"])
def test_P8_a_certificate_that_is_overwritten_when_its_secret_is_gone_is_registered_again(
    machine: Machine, step: str, beside: bool
) -> None:
    """By another machine, which adds its own, or by somebody who writes back what he read before."""
    before = machine.app["keyCredentials"]
    others = {**before[0], "keyId": "0b5e6b5a-0000-4000-8000-000000000001"}

    def overwrite(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == step:
            machine.change("application", keyCredentials=[*before, others] if beside else before)

    machine.watch = overwrite
    result = machine.migrate()
    assert result.exit_code == 0, result.errors
    machine.watch = None
    assert machine.usable() == [machine.tenant.id]
    assert "certificate.dropped" in machine.findings()
    assert len(machine.keys) == len(before) + beside + 1
    assert machine.verify().exit_code == 0


def test_U10_a_secret_that_another_machine_deleted_meanwhile_is_told(machine: Machine) -> None:
    def delete(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "register":
            machine.change("application", passwordCredentials=[])
            machine.change("servicePrincipal", passwordCredentials=[])

    machine.watch = delete
    assert machine.migrate().exit_code == 0
    assert "secret.gone" in machine.findings()


def test_P9_a_second_run_changes_nothing_and_says_so(machine: Machine) -> None:
    machine.migrate()
    before = Snapshot.of(machine)
    machine.tenant.faults.log.clear()
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("unchanged", 0)
    assert "Nothing to do" in result.summary[0]
    assert machine.untouched(before)
    assert result.plan is not None
    assert result.plan.empty
    assert len(machine.tenant.faults.log) <= 4, machine.tenant.faults.log
    assert not [line for line in machine.tenant.faults.log if "PATCH" in line or "Password" in line]


def test_M2_a_dry_run_shows_the_plan_and_changes_nothing(machine: Machine) -> None:
    before = Snapshot.of(machine)
    result = machine.migrate(dry_run=True, yes=False)
    assert (result.outcome, result.exit_code) == ("planned", 0)
    assert machine.untouched(before)
    rows = [event for event in machine.events if isinstance(event, ChangePlanned)]
    assert [row.action for row in rows if row.what == "password credential"] == ["delete"] * 4
    assert all(not row.reversible for row in rows if row.action == "delete")
    assert any(row.action == "keep" and "build-agent-7" in row.before for row in rows)
    shown = json.dumps([row.__dict__ for row in rows])
    assert machine.secret.reveal() not in shown


def test_M2_the_plan_has_a_fingerprint_that_password_credentials_do_not_change(machine: Machine) -> None:
    first = machine.migrate(dry_run=True).plan
    entry, _ = registrations.new_password(machine.tenant, "one more")
    machine.change("application", passwordCredentials=[*machine.app["passwordCredentials"], entry])
    second = machine.migrate(dry_run=True).plan
    other = certificates.make("somebody", machine.clock.now())
    key = registrations.keys_of(machine.tenant, [credentials.entry_of(other, machine.tenant.new_id(), "x")])
    machine.change("application", keyCredentials=[*machine.app["keyCredentials"], *key])
    third = machine.migrate(dry_run=True).plan
    assert first
    assert second
    assert third
    assert first.fingerprint == second.fingerprint != third.fingerprint


def test_M2_a_no_changes_nothing(machine: Machine) -> None:
    before = Snapshot.of(machine)
    asked: list[Question] = []

    def no(question: Question) -> bool:
        asked.append(question)
        return False

    result = machine.migrate(no, yes=False)
    assert (result.exit_code, result.errors[0]["id"]) == (4, "flow.no")
    assert "5 of them cannot be undone" in asked[0].text
    assert machine.untouched(before)


def test_M2_a_plan_that_changed_while_it_was_read_is_not_carried_out(machine: Machine) -> None:
    def slowly(question: Question) -> bool:
        machine.clock.waited += 60
        machine.change("application", keyCredentials=[])
        return True

    result = machine.migrate(slowly, yes=False)
    assert (result.exit_code, result.errors[0]["id"]) == (4, "flow.outdated")
    assert len(machine.passwords) == 4


def test_M2_source_files_that_read_the_secret_are_named(machine: Machine) -> None:
    (machine.lab.project / "job.py").write_text("import os\nkey = state['PROVISIONER_CLIENT_SECRET']\n")
    machine.migrate(dry_run=True)
    message = next(e.message for e in machine.events if isinstance(e, Finding) and e.id == "sources.reader")
    assert message.startswith("job.py:2 uses PROVISIONER_CLIENT_SECRET")


def test_M6_a_password_that_appears_while_we_work_is_deleted_too(machine: Machine) -> None:
    def add(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "delete-passwords":
            entry, _ = registrations.new_password(machine.tenant, "newcomer")
            machine.change("application", passwordCredentials=[entry])

    machine.watch = add
    result = machine.migrate()
    assert (result.exit_code, machine.passwords) == (0, [])
    assert "secret.returned" in machine.findings()
    assert "4 password credentials removed from the app registration." in result.summary[0]


def test_M6_a_secret_that_keeps_coming_back_is_named_and_the_outcome_is_partial(machine: Machine) -> None:
    entry, _ = registrations.new_password(machine.tenant, "saboteur")

    def add(event: object) -> None:
        if getattr(event, "action", "").endswith("removePassword"):
            machine.change("application", passwordCredentials=[entry | {"keyId": machine.tenant.new_id()}])

    machine.watch = add
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("partial", 6)
    assert result.errors[0]["id"] == "migrate.secret-returns"
    assert "dana@" in result.errors[0]["remedy"]
    assert not result.summary, "no sentence of success (M7)"
    machine.watch = None
    assert machine.migrate().exit_code == 0
    assert machine.passwords == []


def test_M15_a_dead_secret_is_no_error(machine: Machine) -> None:
    machine.change("application", passwordCredentials=[])
    machine.change("servicePrincipal", passwordCredentials=[])
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("changed", 0)
    assert "secret.dead" in machine.findings()
    assert result.summary[0] == (
        "Migrated Provisioner from secret-auth to cert-auth. PROVISIONER_CLIENT_SECRET purged from state file."
    ), "no sentence about password credentials, since none was removed (M7)"


def test_M1_passwords_on_the_app_without_a_secret_in_the_file(machine: Machine) -> None:
    members = {key: value for key, value in machine.state.items() if key != PROFILE.secret_member}
    machine.state_file.write_text(json.dumps(members))
    result = machine.migrate()
    assert (result.exit_code, machine.passwords) == (0, [])
    assert "purged" not in result.summary[0]


def test_a_clean_app_gets_a_certificate(start_lab: Callable[[str], Lab], clock: VirtualClock) -> None:
    machine = Machine(start_lab("clean"), clock)
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("changed", 0)
    assert len(machine.keys) == 1
    assert all("Migrated" not in sentence for sentence in result.summary)


def test_P7_replication_lag_is_waited_for(machine: Machine, clock: VirtualClock) -> None:
    machine.tenant.lag = {"application": 40.0, "servicePrincipal": 40.0}
    result = machine.migrate()
    assert result.exit_code == 0, result.errors
    assert clock.waited > 5
    machine.tenant.lag = {}
    clock.waited += 60
    assert machine.verify().exit_code == 0


def test_P8_a_key_that_somebody_removed_is_replaced_and_that_is_said(machine: Machine) -> None:
    machine.migrate()
    gone = machine.state[PROFILE.thumbprint_member]
    machine.change("application", keyCredentials=[])
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("changed", 0)
    assert "certificate.gone" in machine.findings()
    assert machine.state[PROFILE.thumbprint_member] != gone
    assert machine.keystore.accounts(machine.service) == [machine.tenant.id], "the former bundle went at the end"
    assert machine.verify().exit_code == 0


def test_P8_an_expired_entry_that_blocks_the_write_is_dropped_only_after_a_yes(machine: Machine) -> None:
    expired = certificates.make("gone", machine.clock.now() - timedelta(days=400))
    entry = credentials.entry_of(expired, machine.tenant.new_id(), "old laptop")
    machine.tenant.switches.expired_entry_blocks = True
    machine.change(
        "application", keyCredentials=[*machine.app["keyCredentials"], *registrations.keys_of(machine.tenant, [entry])]
    )
    before = Snapshot.of(machine)
    refused = machine.migrate()
    assert (refused.exit_code, refused.errors[0]["id"]) == (4, "app.expired-entry")
    assert machine.untouched(before)
    assert machine.migrate(drop_expired=True).exit_code == 0
    assert entry["keyId"] not in machine.keys


def test_P8_an_expired_entry_that_does_not_block_stays(machine: Machine) -> None:
    expired = certificates.make("gone", machine.clock.now() - timedelta(days=400))
    entry = credentials.entry_of(expired, machine.tenant.new_id(), "old laptop")
    machine.change(
        "application", keyCredentials=[*machine.app["keyCredentials"], *registrations.keys_of(machine.tenant, [entry])]
    )
    assert machine.migrate().exit_code == 0
    assert entry["keyId"] in machine.keys


def test_P8_a_writer_that_replaces_the_list_is_noticed_and_repaired(machine: Machine) -> None:
    old = machine.app["keyCredentials"]
    struck: list[bool] = []

    def replace(event: object) -> None:
        # the first thing after the certificate was seen on the app
        if len(machine.keys) == 2 and not struck:
            struck.append(True)
            machine.change("application", keyCredentials=old)

    inner_wait = machine.clock.wait

    def wait(seconds: float) -> None:
        replace(None)
        inner_wait(seconds)

    machine.clock.wait = wait  # type: ignore[method-assign]
    assert machine.migrate().exit_code == 0
    assert struck
    assert len(machine.keys) == 2


def test_M5_a_run_that_cannot_prove_its_certificate_leaves_everything_as_it_was(machine: Machine) -> None:
    before = Snapshot.of(machine)
    machine.tenant.faults.add(Fault("status", r"^POST /[^/]+/oauth2/v2.0/token", nth=0, status=503))
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("failed", 7)
    assert result.errors[0]["id"] == "migrate.unproven"
    machine.tenant.faults.script.clear()
    assert machine.untouched(before)
    assert machine.usable() == ["secret"]
    assert machine.steps()["register"] == "undone"


def test_M5_a_first_deletion_that_is_refused_takes_the_marker_back_and_undoes_the_run(machine: Machine) -> None:
    before = Snapshot.of(machine)
    machine.tenant.faults.add(Fault("status", "removePassword", nth=0, status=403))
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("failed", 5)
    assert "owner of the app" in result.errors[0]["remedy"]
    machine.tenant.faults.script.clear()
    assert machine.untouched(before)


def test_M5_a_later_deletion_that_is_refused_is_only_forward(machine: Machine) -> None:
    fault = machine.tenant.faults.add(Fault("status", "removePassword", nth=0, status=403))
    fault.seen = -1

    def strikes(line: str) -> bool:
        if "removePassword" not in line:
            return False
        fault.seen += 1
        return fault.seen > 2  # after the rehearsal of both, and one deletion

    fault.strikes = strikes  # type: ignore[method-assign]
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("partial", 6)
    assert machine.usable(), "this machine never has zero usable credentials"
    machine.tenant.faults.script.clear()
    again = machine.migrate()
    assert (again.outcome, again.exit_code) == ("changed", 0)
    assert again.summary[0] == M7, "the count is that of the whole undertaking, over both runs"


def test_M5_nothing_is_undone_when_a_password_vanished_meanwhile(machine: Machine) -> None:
    def vanish(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "register":
            machine.change("application", passwordCredentials=machine.app["passwordCredentials"][1:])
            machine.tenant.faults.add(Fault("status", r"^POST /[^/]+/oauth2/v2.0/token", nth=0, status=503))

    machine.watch = vanish
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("partial", 6)
    assert result.errors[-1]["id"] == "migrate.vanished"
    assert len(machine.keys) == 2, "the certificate stays: it may be the only credential left"
    machine.watch = None
    machine.tenant.faults.script.clear()
    assert machine.migrate().exit_code == 0
    assert machine.passwords == []


def test_M5_an_undo_that_fails_says_exactly_what_is_left(machine: Machine) -> None:
    def break_everything(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "register":
            machine.tenant.faults.add(Fault("status", r"^POST /[^/]+/oauth2/v2.0/token", nth=0, status=503))
            machine.tenant.faults.add(Fault("status", "^PATCH", nth=0, status=403))

    machine.watch = break_everything
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("partial", 6)
    error = result.errors[-1]
    key_id = next(iter(set(machine.keys) - {machine.app["keyCredentials"][0]["keyId"]}))
    assert error["id"] == "flow.undo-failed"
    assert f"az ad app credential delete --id {machine.app_id} --key-id {key_id} --cert" in error["remedy"]
    machine.watch = None
    machine.tenant.faults.script.clear()
    assert machine.migrate().exit_code == 0, "the next run converges"


def test_M4_a_password_paired_with_a_saml_signing_key_stops_the_run(machine: Machine) -> None:
    signing = certificates.make("saml", machine.clock.now())
    entry = credentials.entry_of(signing, machine.tenant.new_id(), "saml") | {"usage": "Sign"}
    keys = registrations.keys_of(machine.tenant, [entry])
    password, _ = registrations.new_password(machine.tenant, "saml")
    password["customKeyIdentifier"] = keys[0]["customKeyIdentifier"]
    machine.change("servicePrincipal", keyCredentials=keys, passwordCredentials=[password])
    before = Snapshot.of(machine)
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (3, "app.saml")
    assert password["keyId"] in result.errors[0]["message"]
    assert machine.untouched(before)


def test_M18_a_blueprint_is_refused(machine: Machine) -> None:
    machine.change("application", **{"@odata.type": "#microsoft.graph.agentIdentityBlueprint"})
    before = Snapshot.of(machine)
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (2, "app.blueprint")
    assert machine.untouched(before)


def test_M18_permissions_are_never_changed(machine: Machine) -> None:
    declared = machine.app["requiredResourceAccess"]
    machine.migrate()
    assert machine.app["requiredResourceAccess"] == declared


def _without_rights(machine: Machine, **owners: list[str]) -> None:
    """A Provisioner without roles, and a user without a directory role who owns what is named."""
    for grant in list(machine.tenant.all_seen("appRoleAssignment", 0)):
        machine.tenant.commit("appRoleAssignment", grant["id"], None)
    user = machine.tenant.latest("user", machine.tenant.signed_in_user)
    assert user is not None
    machine.tenant.commit("user", user["id"], user | {"_roles": []})
    machine.change("application", _owners=owners.get("application", []))
    machine.change("servicePrincipal", _owners=owners.get("servicePrincipal", []))


def test_M4_an_owner_of_app_and_principal_deletes_what_the_provisioner_may_not(machine: Machine) -> None:
    me = [machine.tenant.signed_in_user]
    _without_rights(machine, application=me, servicePrincipal=me)
    assert machine.migrate().exit_code == 0
    assert machine.passwords == []


def test_M4_a_saml_password_that_appears_during_the_run_is_not_deleted(machine: Machine) -> None:
    signing = certificates.make("saml", machine.clock.now())
    entry = credentials.entry_of(signing, machine.tenant.new_id(), "saml") | {"usage": "Sign"}
    keys = registrations.keys_of(machine.tenant, [entry])
    password, _ = registrations.new_password(machine.tenant, "saml")
    password["customKeyIdentifier"] = keys[0]["customKeyIdentifier"]

    def add(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "delete-passwords":
            machine.change("servicePrincipal", keyCredentials=keys, passwordCredentials=[password])

    machine.watch = add
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (6, "app.saml")
    assert [found["keyId"] for found in machine.passwords] == [password["keyId"]]


def test_M5_the_purge_has_the_marker_before_it_even_where_nothing_is_deleted(machine: Machine) -> None:
    machine.change("application", passwordCredentials=[])
    machine.change("servicePrincipal", passwordCredentials=[])

    def stop(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "purge":
            assert machine.ctx is not None
            machine.ctx.cancel.ask(2)

    machine.watch = stop
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("partial", 130)
    assert machine.usable(), "the certificate stays: the secret is gone from the file"
    assert PROFILE.secret_member not in machine.state
    machine.watch = None
    assert machine.migrate().exit_code == 0


def test_M4_that_the_state_file_can_be_rewritten_is_known_before_the_marker(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Snapshot.of(machine)

    real = tempfile.mkstemp

    def read_only(**given: Any) -> Any:
        if given["dir"] == machine.lab.project:
            raise OSError(30, "Read-only file system")
        return real(**given)

    monkeypatch.setattr("core.files.tempfile.mkstemp", read_only)
    result = machine.migrate()
    monkeypatch.undo()
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("failed", 1, "statefile.io")
    assert machine.untouched(before)
    assert machine.usable() == ["secret"]


def test_M5_a_half_way_stop_says_what_is_left(machine: Machine) -> None:
    fault = Fault("status", "removePassword", 3, 500)

    def strikes(line: str) -> bool:
        fault.seen += "removePassword" in line
        return fault.seen >= 3

    fault.strikes = strikes  # type: ignore[method-assign]
    machine.tenant.faults.add(fault)
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("partial", 6)
    remedy = result.errors[-1]["remedy"]
    assert f"{PROFILE.secret_member} in" in remedy
    for password in machine.passwords:
        assert password["keyId"] in remedy


def test_M7_a_refusal_that_was_not_proven_is_said(machine: Machine) -> None:
    def start(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "marker":
            machine.tenant.faults.add(Fault("status", "^POST /[^/]+/oauth2", 2, 503))

    machine.watch = start
    result = machine.migrate()
    machine.watch = None
    assert result.exit_code == 0
    assert any("NOT proven" in sentence for sentence in result.summary)


def test_a_copy_of_the_secret_under_another_name_is_removed_too(machine: Machine) -> None:
    secret = machine.secret.reveal()
    machine.state_file.write_text(json.dumps(machine.state | {"OLD_COPY": secret}))
    assert machine.migrate().exit_code == 0
    assert secret not in machine.state_file.read_text()
    assert "statefile.copy" in machine.findings()


def test_a_hard_link_that_keeps_the_secret_is_named(machine: Machine) -> None:
    (machine.lab.project / "backup").hardlink_to(machine.state_file)
    assert machine.migrate().exit_code == 0
    assert "statefile.linked" in machine.findings()


@pytest.mark.parametrize("value", [12, ["a"], {"b": 1}, "", "   ", "short", "with space in the middle"])
def test_what_cannot_be_a_secret_is_removed_and_not_tried(machine: Machine, value: object) -> None:
    machine.state_file.write_text(json.dumps({**machine.state, PROFILE.secret_member: value}))
    result = machine.migrate()
    assert result.exit_code == 0, result.errors
    assert PROFILE.secret_member not in machine.state
    assert "statefile.unusable" in machine.findings()


def test_a_secret_that_equals_the_tenant_id_breaks_nothing(machine: Machine) -> None:
    machine.state_file.write_text(json.dumps({**machine.state, PROFILE.secret_member: machine.tenant.id}))
    assert machine.migrate().exit_code == 0


def test_P1_owners_other_than_the_signed_in_user_are_findings(machine: Machine) -> None:
    stranger = {"id": machine.tenant.new_id(), "displayName": "Mallory", "userPrincipalName": "mallory@x.test"}
    machine.tenant.commit("user", stranger["id"], stranger)
    machine.change("application", _owners=[machine.tenant.signed_in_user, stranger["id"]])
    machine.migrate(dry_run=True)
    assert "app.owner" in machine.findings()


def test_P1_an_app_found_by_its_name_is_used_only_after_a_yes_that_names_its_id(machine: Machine) -> None:
    members = {key: value for key, value in machine.state.items() if key != PROFILE.client_id_member}
    machine.state_file.write_text(json.dumps(members))
    before = Snapshot.of(machine)
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (4, "app.adopt")
    assert f"--app-id {machine.app_id}" in result.errors[0]["remedy"]
    assert "dana@" in result.errors[0]["message"], "its owners are shown"
    assert machine.untouched(before)
    assert machine.migrate(app_id=machine.app_id).exit_code == 0
    assert machine.state[PROFILE.client_id_member] == machine.app_id


def test_P1_two_apps_of_one_name_are_listed(machine: Machine) -> None:
    members = {key: value for key, value in machine.state.items() if key != PROFILE.client_id_member}
    machine.state_file.write_text(json.dumps(members))
    twin = registrations.new_application(machine.tenant, PROFILE.app_display_name)
    machine.tenant.commit("application", twin["id"], twin)
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (4, "app.several")
    assert twin["appId"] in result.errors[0]["message"]


def test_P1_another_display_name_needs_the_id_too(machine: Machine) -> None:
    machine.change("application", displayName="Something else")
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (4, "app.adopt")
    assert machine.migrate(app_id=machine.app_id).exit_code == 0
    assert machine.app["displayName"] == "Something else", "it is never renamed (P2)"


def test_P1_a_deleted_app_is_said_to_be_restorable(machine: Machine) -> None:
    app = machine.app
    machine.tenant.commit("application", app["id"], None)
    deleted = {"id": app["id"], "appId": app["appId"], "deletedDateTime": "2026-11-01T00:00:00Z"}
    machine.tenant.commit("deletedApplication", app["id"], deleted)
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (3, "app.deleted")
    assert "2026-11-01" in result.errors[0]["message"]


def test_C1_a_state_file_of_another_cloud_is_refused_before_any_request(machine: Machine) -> None:
    machine.state_file.write_text(json.dumps(machine.state | {"CLOUD": "usgov"}))
    machine.tenant.faults.log.clear()
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (2, "usage.other-cloud")
    assert machine.tenant.faults.log == []


def test_C2_the_keystore_service_of_a_custom_cloud_has_its_own_name(machine: Machine) -> None:
    machine.migrate()
    assert machine.service == f"entraclaw-provisioner-cert@127.0.0.1:{machine.tenant.port}"


def test_a_foreign_secret_in_the_state_file_is_kept_and_reported(machine: Machine) -> None:
    foreign = machine.tenant.new_secret().reveal()
    machine.state_file.write_text(
        json.dumps({"BLUEPRINT_SECRET": foreign} | machine.state | {"other": [1, {"a": None}]})
    )
    assert machine.migrate().exit_code == 0
    assert machine.state["BLUEPRINT_SECRET"] == foreign
    assert json.loads(machine.state_file.read_text())["other"] == [1, {"a": None}]
    assert "statefile.foreign-secret" in machine.findings()


def test_M7_a_state_file_that_still_holds_what_looks_like_a_secret_is_not_said_to_hold_none(machine: Machine) -> None:
    secret = machine.state[PROFILE.secret_member]
    machine.state_file.write_text(json.dumps(machine.state | {"NOTE": {"old": [secret]}}))
    assert machine.migrate().exit_code == 0
    (said,) = [e.detail for e in machine.events if isinstance(e, StepFinished) and e.step == "result"]
    assert "no secret in the state file" not in said
    assert "NOTE" in said


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
def test_the_state_file_is_private_afterwards(machine: Machine) -> None:
    machine.state_file.chmod(0o644)
    machine.migrate()
    assert machine.state_file.stat().st_mode & 0o777 == 0o600


def test_M5_a_marker_of_an_earlier_run_is_never_taken_back(machine: Machine) -> None:
    """The earlier run purged the state file: undoing now would take this machine's only credential."""
    machine.change("application", passwordCredentials=[])
    machine.change("servicePrincipal", passwordCredentials=[])

    def kill(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "purge":
            raise Crash

    machine.watch = kill
    with pytest.raises(Crash):
        machine.migrate()
    machine.watch = None
    entry, _ = registrations.new_password(machine.tenant, "newcomer")
    machine.change("application", passwordCredentials=[entry])
    machine.tenant.faults.add(Fault("status", "removePassword", 0, 403))
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("partial", 6)
    assert machine.usable(), "zero usable credentials"
    machine.tenant.faults.script.clear()
    assert machine.migrate().exit_code == 0


@pytest.mark.parametrize("status", [429, 409, 503])
def test_P8_a_list_of_keys_is_read_again_before_it_is_sent_again(machine: Machine, status: int) -> None:
    """Whoever was served while we were told to wait has a certificate there that our list does not know."""
    other = certificates.make("late", machine.clock.now())
    entry = credentials.entry_of(other, machine.tenant.new_id(), "a late machine")
    key = registrations.keys_of(machine.tenant, [entry])[0]
    fault = machine.tenant.faults.add(Fault("status", "^PATCH", 1, status, retry_after=20))
    wait = machine.clock.wait

    def meanwhile(seconds: float) -> None:
        wait(seconds)
        if fault.reached.is_set() and key["keyId"] not in machine.keys:
            machine.change("application", keyCredentials=[*machine.app["keyCredentials"], key])

    machine.clock.wait = meanwhile  # type: ignore[method-assign]
    assert machine.migrate().exit_code == 0
    assert key["keyId"] in machine.keys
    assert len(machine.keys) == 3


def test_P4_a_second_app_of_the_tenant_does_not_overwrite_the_first_ones_key(machine: Machine) -> None:
    assert machine.migrate().exit_code == 0
    first = Snapshot.of(machine)
    second = registrations.new_application(machine.tenant, PROFILE.app_display_name, machine.tenant.signed_in_user)
    principal = registrations.new_principal(machine.tenant, second, machine.tenant.signed_in_user)
    machine.tenant.commit("application", second["id"], second)
    machine.tenant.commit("servicePrincipal", principal["id"], principal)
    before = machine.state_file.read_text()
    members = {"CLOUD": "sandbox", PROFILE.tenant_member: machine.tenant.id, PROFILE.client_id_member: second["appId"]}
    machine.state_file.write_text(json.dumps(members))
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (3, "keystore.other-app")
    assert machine.app_id in result.errors[0]["message"]
    machine.state_file.write_text(before)
    assert machine.untouched(first)
    assert machine.verify().exit_code == 0


def test_M5_a_look_that_fails_over_an_open_undertaking_is_half_way(machine: Machine) -> None:
    def kill(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "register":
            raise Crash

    machine.watch = kill
    with pytest.raises(Crash):
        machine.migrate()
    machine.watch = None
    machine.tenant.faults.add(Fault("status", "batch", 0, 503))
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("partial", 6)
    assert result.errors[-1]["id"] == "flow.open"
    machine.tenant.faults.script.clear()
    assert machine.migrate().exit_code == 0


def test_M7_what_an_undertaking_did_is_said_also_when_its_last_run_had_nothing_left_to_do(machine: Machine) -> None:
    def kill(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "tidy":
            raise Crash

    machine.watch = kill
    with pytest.raises(Crash):
        machine.migrate()
    machine.watch = None
    result = machine.migrate()
    assert result.exit_code == 0
    assert result.summary[0] == M7


def test_M5_a_certificate_that_another_machine_brings_back_is_removed_again(machine: Machine) -> None:
    """It had read the list before the undo, and writes it with its own certificate after it."""
    before, handle = machine.app["keyCredentials"], machine.lab.server.handle
    theirs = {**before[0], "keyId": "0b5e6b5a-0000-4000-8000-000000000001"}
    removed: list[str] = []

    def late(tenant: Tenant, request: http.Request) -> http.Response:
        list_before = machine.app["keyCredentials"]
        response = handle(tenant, request)
        if request.method == "PATCH" and len(machine.app["keyCredentials"]) < len(list_before):
            removed.append(request.path)
            if len(removed) == 1:
                machine.change("application", keyCredentials=[*list_before, theirs])
        return response

    def disable(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "register":
            machine.change("servicePrincipal", accountEnabled=False)

    machine.lab.server.handle, machine.watch = late, disable
    result = machine.migrate()
    assert (result.outcome, len(removed)) == ("failed", 2), result.errors
    assert [entry["keyId"] for entry in machine.app["keyCredentials"]] == [before[0]["keyId"], theirs["keyId"]]
    assert machine.keystore.accounts(machine.service) == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the file system takes no such name")
def test_M5_a_project_whose_path_is_no_utf8_is_migrated(machine: Machine, tmp_path: Path) -> None:
    project = Path(os.fsdecode(os.fsencode(tmp_path) + b"/pr\xff\xe4"))
    shutil.copytree(machine.lab.project, project)
    result = machine.migrate(project=str(project))
    assert result.exit_code == 0, result.errors
    assert PROFILE.secret_member not in json.loads(project.joinpath(PROFILE.state_file).read_text())
    assert machine.run(migrate.FLOW, project=str(project)).outcome == "unchanged"


def test_M7_a_certificate_that_is_replaced_after_the_last_proof_is_registered_again_and_told(machine: Machine) -> None:
    others = machine.keys
    theirs = machine.app["keyCredentials"]

    def replace(event: Event) -> None:
        if isinstance(event, StepFinished) and event.step == "secret-dead":
            machine.change("application", keyCredentials=theirs)

    machine.watch = replace
    result = machine.migrate()
    assert result.exit_code == 0, result.errors
    assert "certificate.dropped" in {event.id for event in machine.events if isinstance(event, Finding)}
    assert len(machine.keys) == len(others) + 1
    assert machine.usable()


def test_M7_a_certificate_that_cannot_be_registered_again_at_the_end_is_told(machine: Machine) -> None:
    theirs = machine.app["keyCredentials"]

    def replace(event: Event) -> None:
        if isinstance(event, StepFinished) and event.step == "forget":
            machine.change("application", keyCredentials=theirs)
            machine.tenant.faults.add(Fault("status", "^PATCH .*/applications/", nth=0, status=403))

    machine.watch = replace
    result = machine.migrate()
    assert (result.outcome, result.exit_code, result.summary) == ("partial", 6, ())
    assert [error["id"] for error in result.errors] == ["handoff.waiting", "flow.half-way"], result.errors


def test_M7_onboarding_registers_its_certificate_again_when_it_is_replaced_at_the_end(
    start_lab: Callable[[str], Lab], clock: VirtualClock
) -> None:
    machine = Machine(start_lab("fresh"), clock)

    def replace(event: Event) -> None:
        if isinstance(event, StepFinished) and event.step == "tidy":
            machine.change("application", keyCredentials=[])

    machine.watch = replace
    result = machine.onboard()
    assert result.exit_code == 0, result.errors
    assert "certificate.dropped" in {event.id for event in machine.events if isinstance(event, Finding)}
    assert machine.usable()
