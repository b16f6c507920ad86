"""Machines that the original really made are taken over as they are (M19, M20, A8, A14, C3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.config.profile import BUILT_IN, Profile
from core.entra import certificates
from core.events import Checked, Finding
from core.flow.engine import Result
from core.sandbox.lab import Lab
from core.secret import Secret
from tests.flows.test_doctor import diagnose
from tests.machine import Machine, VirtualClock
from tests.originals import ENTRABOT, ENTRACLAW, Original, certificate_era, half_purged, secret_era

Start = Callable[[str], Lab]


@pytest.fixture
def renamed(start_lab: Start, clock: VirtualClock, home: Path) -> Original:
    """A machine whose state file was renamed by hand: the current names, and a live secret."""
    return secret_era(start_lab("legacy"), clock, home, ENTRABOT)


def told(machine: Machine, id: str) -> str:
    """What the last run said in findings of a kind."""
    return "\n".join(event.message for event in machine.events if isinstance(event, Finding) and event.id == id)


def checked(machine: Machine, name: str) -> Checked:
    """What the last diagnosis said of one thing."""
    return next(event for event in machine.events if isinstance(event, Checked) and event.check == name)


def test_M19_the_state_file_of_a_built_in_profile_needs_no_flag(renamed: Original) -> None:
    machine = renamed.machine
    result = machine.migrate()
    assert (result.outcome, result.errors) == ("changed", [])
    assert not (renamed.project / ENTRACLAW.state_file).exists(), "nothing is made beside it"
    assert ENTRABOT.secret_member not in machine.state
    entry = machine.keystore.read(machine.cloud.keystore_service("entrabot-provisioner-cert"), machine.tenant.id)
    assert certificates.parse(entry or Secret(""), "").thumbprint == machine.state[ENTRABOT.thumbprint_member]
    assert machine.verify().exit_code == 0


@pytest.mark.parametrize("run", [Machine.migrate, Machine.onboard])
def test_M19_none_is_made_beside_a_state_file_of_the_same_product(
    renamed: Original, run: Callable[..., Result]
) -> None:
    machine = renamed.machine
    result = run(machine, profile="entraclaw", origin={"profile": "flag"})
    assert [error["id"] for error in result.errors] == ["usage.other-profile"]
    assert renamed.changed() == set()
    assert machine.keystore._entries == renamed.entries


def test_M19_a_profile_that_was_named_wins_and_the_other_file_is_told(renamed: Original) -> None:
    machine = renamed.machine
    (renamed.project / ENTRACLAW.state_file).write_text(json.dumps({"TENANT_ID": machine.tenant.id}))
    machine.migrate(profile="entrabot", origin={"profile": "environment"}, dry_run=True)
    message = told(machine, "statefile.other-profile")
    assert ".entraclaw-state.json lies in the project, too" in message
    assert "entrabot (from: environment)" in message


def test_C3_a_project_selects_a_built_in_profile_and_defines_none(machine: Machine) -> None:
    project = machine.lab.project
    for name in ("profile.toml", "entrabot.toml", "entraclaw"):
        (project / name).write_text('name = "evil"\nstate_file = ".evil.json"\nkeystore_service = "e"\n')
    machine.migrate(dry_run=True)
    assert machine.ctx is not None
    assert machine.ctx.profile == ENTRACLAW


def test_M20_a_blueprint_s_own_file_is_recognised_and_left_alone(start_lab: Start, clock: VirtualClock) -> None:
    lab = start_lab("fresh")
    path = lab.project / BUILT_IN["a365"].state_file
    path.write_text("not even JSON")  # nothing of it is read (M18)
    machine = Machine(lab, clock)
    for run in (machine.migrate, machine.onboard):
        errors = run().errors
        assert [error["id"] for error in errors] == ["usage.blueprint-profile"]
    diagnose(machine, ["state-file"])
    assert "a365" in checked(machine, "state-file").evidence
    assert machine.onboard(profile="entraclaw", origin={"profile": "flag"}).outcome == "changed", "the way round"
    assert path.read_text() == "not even JSON"


def test_M19_a_half_purged_machine_ends_with_a_proven_certificate(
    start_lab: Start, clock: VirtualClock, home: Path
) -> None:
    original = half_purged(start_lab("legacy"), clock, home)
    assert original.machine.migrate().errors == []
    assert original.machine.passwords == []
    assert original.members_kept(ENTRABOT.state_file)
    assert original.read_as_they_do()


@pytest.mark.parametrize("profile", [ENTRACLAW, ENTRABOT], ids=lambda profile: profile.name)
def test_A14_the_original_s_own_certificate_stays(
    start_lab: Start, clock: VirtualClock, home: Path, profile: Profile
) -> None:
    original = certificate_era(start_lab("clean"), clock, home, profile)
    machine = original.machine
    for run in (machine.migrate, machine.onboard):
        result = run()
        assert (result.outcome, result.errors) == ("unchanged", [])
    assert original.read_as_they_do()
    assert original.changed() == set()
    assert machine.keystore._entries == original.entries
    assert machine.verify().exit_code == 0
    diagnose(machine)
    assert checked(machine, "state-file").state in ("ok", "warning"), "0644 is what the original leaves"
