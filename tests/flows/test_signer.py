"""A key that stays in hardware goes the whole way: the keystore keeps its certificate and what leads to it (T2, T6)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.entra.keys import Keys
from core.events import StepFinished
from core.flows.access_token import token
from core.sandbox.faults import Fault
from core.sandbox.lab import Lab
from core.signer import Signer
from tests.flows.test_interrupted import killed_at
from tests.hardware import FakeHardware
from tests.machine import PROFILE, Machine, Snapshot, VirtualClock

pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def chip() -> FakeHardware:
    return FakeHardware()


@pytest.fixture
def machine(start_lab: Callable[[str], Lab], clock: VirtualClock, chip: FakeHardware) -> Machine:
    """A legacy machine with hardware that holds keys."""
    return Machine(start_lab("legacy"), clock, hardware=chip)


def own(machine: Machine) -> Signer:
    """This machine's key."""
    entry = machine.keystore.read(machine.service, machine.tenant.id)
    assert entry is not None
    return Keys(machine.hardware).open(entry, machine.tenant.id)


def test_T2_a_machine_is_migrated_and_its_key_never_leaves_the_hardware(machine: Machine, chip: FakeHardware) -> None:
    others = machine.keys
    result = machine.migrate()
    assert (result.outcome, result.exit_code, result.errors) == ("changed", 0, [])
    assert result.plan is not None
    (row,) = [row for row in result.plan.changes if row.what == "private key"]
    assert chip.where in row.after
    assert machine.passwords == []
    assert machine.try_secret().state == "dead"
    assert others.items() <= machine.keys.items(), "another machine's certificate must stay byte for byte (P8)"
    assert PROFILE.secret_member not in machine.state
    assert machine.keystore.accounts(machine.service) == [machine.tenant.id], "no pending entry is left"
    signer = own(machine)
    assert not signer.exportable
    assert "PRIVATE KEY" not in signer.entry.reveal()
    assert machine.state[PROFILE.thumbprint_member] == signer.thumbprint
    assert signer.der in machine.keys.values()
    (key,) = chip.keys.values()
    assert key.signatures > 1, "the certificate, and each proof"


def test_P9_P10_afterwards_verify_and_token_hold_and_a_second_run_changes_nothing(
    machine: Machine, chip: FakeHardware
) -> None:
    machine.migrate()
    before = Snapshot.of(machine)
    assert machine.verify().exit_code == 0
    (key,) = [event for event in machine.events if isinstance(event, StepFinished) and event.step == "key"]
    assert f"whose key lies {chip.where}" in key.detail
    ctx = machine.build()
    try:
        assert token(ctx).claims["appid"] == machine.app_id
    finally:
        ctx.close()
    again = machine.migrate()
    assert (again.outcome, again.exit_code) == ("unchanged", 0)
    assert machine.untouched(before)
    assert len(chip.keys) == 1


def test_T6_hardware_that_is_not_there_leads_to_no_new_key(machine: Machine, chip: FakeHardware) -> None:
    machine.migrate()
    before = Snapshot.of(machine)
    chip.absent = True
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (3, "hardware.key")
    assert machine.verify().exit_code == 8
    assert machine.untouched(before)
    assert len(chip.keys) == 1
    chip.absent, machine.hardware = False, None
    assert machine.migrate().errors[0]["id"] == "hardware.key"
    assert machine.untouched(before)


def test_M7_a_failure_is_undone_and_nothing_of_the_key_stays_in_the_keystore(machine: Machine) -> None:
    before = Snapshot.of(machine)
    machine.tenant.faults.add(Fault("status", "PATCH .*/applications/.*", nth=0, status=400))
    result = machine.migrate()
    assert result.exit_code in (1, 7), result.errors
    assert machine.untouched(before)


def test_M8_an_interrupted_run_goes_on_with_the_same_key(machine: Machine, chip: FakeHardware) -> None:
    killed_at(machine, "register")
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("changed", 0)
    assert machine.passwords == []
    (key,) = chip.keys.values()
    assert key.reference in own(machine).entry.reveal()


def test_M1_a_software_key_of_before_stays_in_use(machine: Machine, chip: FakeHardware) -> None:
    machine.hardware = None
    machine.migrate()
    machine.hardware = chip
    assert machine.migrate().outcome == "unchanged"
    assert own(machine).exportable
    assert chip.keys == {}
