"""Flows where the keystore is not what it should be: weak leftovers, and machines that do not last (K3, M16)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.events import Finding, StepFinished
from core.flow.engine import Result
from core.flow.engine import run as run_flow
from core.flows.migrate import FLOW
from tests.machine import Machine, Snapshot
from tests.unit.test_weakfiles import store

SEEN = ("CI: the variable CI is set", "container: /.dockerenv exists")
OTHER = "11111111-2222-4333-8444-555555555555"


def migrate_in_a_job(machine: Machine, **options: Any) -> Result:
    ctx = machine.build(**options)
    assert ctx.lifetime == (), "a demo is never stopped, wherever it runs"
    ctx.lifetime = SEEN
    try:
        return run_flow(FLOW, ctx, ctx.run_id, dry_run=ctx.settings.dry_run)
    finally:
        ctx.close()


def finding(machine: Machine, id: str) -> Finding:
    (found,) = (event for event in machine.events if isinstance(event, Finding) and event.id == id)
    return found


@pytest.mark.parametrize("dry_run", [False, True])
def test_M16_nothing_is_changed_where_the_key_would_not_outlive_the_job(
    machine: Machine, home: Path, dry_run: bool
) -> None:
    before = Snapshot.of(machine)
    result = migrate_in_a_job(machine, dry_run=dry_run)
    assert (result.exit_code, result.errors[0]["id"]) == (3, "platform.short-lived")
    for seen in SEEN:
        assert seen in result.errors[0]["message"]
    assert machine.untouched(before)
    assert machine.ctx is not None
    assert machine.ctx.journal is None
    assert not list(home.rglob("*.lock"))


def test_M16_an_operator_who_knows_better_is_believed_loudly(machine: Machine) -> None:
    result = migrate_in_a_job(machine, key_outlives_job=True, origin={"key_outlives_job": "environment"})
    assert result.exit_code == 0, result.errors
    said = finding(machine, "platform.short-lived")
    assert said.severity == "warning"
    assert all(seen in said.message for seen in SEEN)
    (step,) = (event for event in machine.events if isinstance(event, StepFinished) and event.step == "lifetime")
    assert "environment" in step.detail


def evidence(machine: Machine) -> tuple[str, str]:
    """State and evidence of verify's check."""
    (step,) = (event for event in machine.events if isinstance(event, StepFinished) and event.step == "weak-files")
    return step.state, step.detail


def test_K3_a_weak_file_with_this_tenants_key_is_a_failure_until_its_section_is_deleted(
    machine: Machine, home: Path
) -> None:
    path = store(home / ".local/share", machine.service, machine.tenant.id)
    result = machine.migrate()
    said = finding(machine, "keystore.weak-file")
    assert said.severity == "failure"
    assert str(path) in said.message
    assert "rotate now" in said.message
    assert result.exit_code == 0, "the migration is the cure, so it is not stopped"
    section = path.read_text().splitlines()[0]
    assert any(sentence.startswith(f"Delete {section} from {path}") for sentence in result.summary)

    verified = machine.verify()
    assert (verified.exit_code, verified.errors[0]["checks"]) == (8, ["weak-files"])
    assert section in evidence(machine)[1]
    path.write_text("")
    assert machine.verify().exit_code == 0
    assert evidence(machine) == ("unchanged", "none found")


def test_K3_the_key_of_another_tenant_is_named_and_fails_nothing(machine: Machine, home: Path) -> None:
    path = store(home / ".local/share", machine.service, OTHER)
    result = machine.migrate()
    assert finding(machine, "keystore.weak-file").severity == "failure"
    assert not any(str(path) in sentence for sentence in result.summary)
    assert machine.verify().exit_code == 0
    assert str(path) in evidence(machine)[1]


def test_K3_a_weak_file_that_cannot_be_read_is_not_taken_for_a_good_one(machine: Machine, home: Path) -> None:
    path = store(home / ".local/share", "something else", "somebody")
    assert machine.migrate().exit_code == 0
    assert "keystore.weak-file" not in machine.findings()
    assert machine.verify().exit_code == 0
    path.write_bytes(b"\xff\xfe")
    machine.migrate()
    assert finding(machine, "keystore.weak-file").severity == "warning"
    assert machine.verify().errors[0]["checks"] == ["weak-files"]
    assert f"{path} could not be read" in evidence(machine)[1]
