"""The backup of the state file that `migrate` makes before it changes it (M10)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from core import paths
from core.events import ChangePlanned, StepFinished
from core.sandbox.faults import Fault
from tests.machine import PROFILE, Crash, Machine, Snapshot

MEMBER = PROFILE.secret_member
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX modes")


def backups() -> list[Path]:
    """All of them, oldest first."""
    return sorted(paths.state_folder(PROFILE).glob("backup/*"))


def test_M10_the_backup_of_the_state_file_omits_every_secret(machine: Machine) -> None:
    secret, foreign = machine.secret.reveal(), machine.tenant.new_secret().reveal()
    pem = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"
    extra = {"OLD_COPY": secret, "nested": [1, {"a": secret}], "FOREIGN": foreign, "pem": pem, "kept": ["a", {"b": 1}]}
    machine.state_file.write_text(json.dumps(machine.state | extra))
    before = machine.state
    assert machine.migrate().exit_code == 0
    (backup,) = backups()
    text = backup.read_text()
    assert secret not in text
    assert foreign not in text
    assert "PRIVATE KEY" not in text
    omitted = {MEMBER, "OLD_COPY", "nested", "FOREIGN", "pem"}
    assert json.loads(text) == {name: value for name, value in before.items() if name not in omitted}
    assert machine.tenant.id in backup.name
    assert machine.app_id in backup.name
    assert any(e.what == "backup of the state file" for e in machine.events if isinstance(e, ChangePlanned))
    assert machine.migrate().exit_code == 0
    assert backups() == [backup], "a run that does not change the file needs none (P9)"


@posix
def test_M10_the_backup_is_private(machine: Machine) -> None:
    folder = paths.state_folder(PROFILE) / "backup"
    folder.mkdir(parents=True, mode=0o755)
    assert machine.migrate().exit_code == 0
    assert folder.stat().st_mode & 0o777 == 0o700
    assert backups()[0].stat().st_mode & 0o777 == 0o600


def test_M10_the_last_five_backups_of_an_app_are_kept(machine: Machine) -> None:
    assert machine.migrate().exit_code == 0
    (first,) = backups()
    foreign = first.with_name(first.name.replace(machine.app_id, "another-app"))
    foreign.write_text("{}")
    made = [first]
    for _ in range(6):
        machine.clock.waited += 60
        machine.state_file.write_text(json.dumps(machine.state | {MEMBER: machine.secret.reveal()}))
        assert machine.migrate().exit_code == 0
        made.append(max(set(backups()) - {foreign}))
    assert set(backups()) == {foreign, *made[-5:]}


def test_M5_M10_a_migration_that_is_undone_leaves_no_backup(machine: Machine) -> None:
    machine.tenant.faults.add(Fault("status", "removePassword", nth=0, status=403))
    assert machine.migrate().exit_code == 5
    assert machine.steps()["backup"] == "undone"
    assert backups() == []


def test_M10_without_a_backup_the_state_file_is_not_changed(machine: Machine) -> None:
    before = Snapshot.of(machine)
    folder = paths.state_folder(PROFILE)
    folder.mkdir(parents=True)
    (folder / "backup").write_text("in the way")
    result = machine.migrate()
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("failed", 1, "rollback.backup")
    assert machine.untouched(before)


def test_M8_M10_a_crash_before_the_purge_keeps_the_first_backup(machine: Machine) -> None:
    def kill(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "marker":
            raise Crash

    machine.watch = kill
    with pytest.raises(Crash):
        machine.migrate()
    machine.watch = None
    made = backups()
    assert machine.migrate().exit_code == 0
    assert backups() == made
