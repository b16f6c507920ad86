"""What a flow says and does about hardware keys: warn, be silent, or refuse (T1)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import assemble
from core.clock import Cancel
from core.config.settings import Settings
from core.events import Finding, StepFinished
from core.flow.engine import Result
from core.flow.engine import run as run_flow
from core.flow.step import Flow
from core.flows import migrate, onboard
from core.machine.keys.hardware import Hardware
from core.sandbox.lab import Lab
from core.steps.context import Context
from tests.machine import PROFILE, Machine, Snapshot, VirtualClock

READY = Hardware("tpm2", "TPM 2.0, /dev/tpmrm0", "linux", usable=True)
LOCKED = Hardware("tpm2", "TPM 2.0, tpm0", "linux", why="it is for the group tss", remedy="sudo usermod -aG tss dana")
WSL = Hardware("none", "no TPM", "linux", why="WSL2 has none", remedy="Use Windows itself.", around=("WSL2",))
MAC = Hardware("secure-enclave", "a Secure Enclave", "darwin", why="it makes P-256 keys only")
WINDOWS = Hardware("tpm2", "TPM 2.0, Microsoft Platform Crypto Provider", "win32", usable=True)


def run(machine: Machine, found: Hardware | None, flow: Flow[Context] = migrate.FLOW, **options: Any) -> Result:
    """Run a flow on a computer with this hardware; None: nobody may look."""

    def look() -> Hardware:
        assert found is not None, "nobody may look"
        return found

    machine.events.clear()
    ctx = machine.build(**options)
    ctx.hardware = look
    try:
        return run_flow(flow, ctx, ctx.run_id, dry_run=ctx.settings.dry_run)
    finally:
        ctx.close()


def warning(machine: Machine) -> Finding:
    (found,) = (event for event in machine.events if isinstance(event, Finding) and event.id == "hardware.fallback")
    assert found.severity == "warning"
    return found


def told(machine: Machine) -> StepFinished:
    (step,) = (event for event in machine.events if isinstance(event, StepFinished) and event.step == "holder")
    return step


@pytest.mark.parametrize(
    ("found", "message", "remedy"),
    [
        (READY, "there is TPM 2.0, /dev/tpmrm0, but this version cannot make a key in it yet", ""),
        (LOCKED, "TPM 2.0, tpm0: it is for the group tss", "a version that can use it: sudo usermod -aG tss dana"),
        (WSL, "no TPM (WSL2); WSL2 has none", "Use Windows itself."),
        (MAC, "a Secure Enclave: it makes P-256 keys only", ""),
    ],
    ids=["usable", "refused", "none", "mac"],
)
def test_T1_a_fallback_to_the_keystore_warns_with_its_reason(
    machine: Machine, found: Hardware, message: str, remedy: str
) -> None:
    result = run(machine, found, dry_run=True)
    assert (result.outcome, result.exit_code) == ("planned", 0)
    said = warning(machine)
    assert message in said.message
    assert "A software key in the keystore is used." in said.message
    assert "--hardware off" in said.remedy
    assert said.remedy.endswith(remedy or "--hardware off.")
    step = told(machine)
    assert step.state == "unchanged"
    assert f"found: {found.found}" in step.detail
    assert "not from code that runs as you" in step.detail, "what a software key is worth is said honestly"


def test_T1_the_migration_goes_on_after_the_warning(machine: Machine) -> None:
    assert run(machine, LOCKED).exit_code == 0
    warning(machine)
    assert machine.verify().exit_code == 0
    assert machine.keystore.accounts(machine.service) == [machine.tenant.id]


def test_T1_off_looks_for_nothing_and_warns_of_nothing(machine: Machine) -> None:
    assert run(machine, None, hardware="off").exit_code == 0
    assert "hardware.fallback" not in machine.findings()
    step = told(machine)
    assert "hardware is not looked for (--hardware off)" in step.detail
    assert "not from code that runs as you" in step.detail


@pytest.mark.parametrize("found", [READY, LOCKED, WSL, MAC], ids=["usable", "refused", "none", "mac"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_T1_require_refuses_before_any_change(machine: Machine, home: Path, found: Hardware, dry_run: bool) -> None:
    before, served = Snapshot.of(machine), len(machine.lab.server.served)
    result = run(machine, found, hardware="require", dry_run=dry_run)
    assert (result.outcome, result.exit_code) == ("failed", 3)
    (error,) = result.errors
    assert error["id"] == "hardware.required"
    assert found.found in error["message"]
    assert (found.why or "cannot make a key in it yet") in error["message"]
    assert error["remedy"].startswith("Nothing was changed.")
    assert "--hardware prefer" in error["remedy"]
    assert found.remedy in error["remedy"]
    assert "hardware.fallback" not in machine.findings()

    assert machine.untouched(before)
    assert not list(home.rglob("*.jsonl")), "no journal"
    assert machine.keystore.accounts(machine.service) == []
    asked = [request.line for request in machine.lab.server.served[served:]]
    assert not [line for line in asked if not line.startswith(("GET ", "POST /v1.0/$batch "))], asked
    assert run(machine, found).exit_code == 0, "the remedy helps"


def test_T1_require_refuses_to_onboard(start_lab: Callable[[str], Lab], clock: VirtualClock, home: Path) -> None:
    machine = Machine(start_lab("fresh"), clock)
    result = run(machine, READY, onboard.FLOW, hardware="require")
    assert (result.exit_code, result.errors[0]["id"]) == (3, "hardware.required")
    assert not machine.state_file.exists()
    assert not list(home.rglob("*.jsonl"))
    assert machine.keystore.accounts(machine.service) == []
    assert not [
        app for app in machine.tenant.all_latest("application") if app["displayName"] == PROFILE.app_display_name
    ]
    assert run(machine, READY, onboard.FLOW).exit_code == 0
    warning(machine)


def test_P4_on_windows_it_says_that_nothing_can_hold_the_key(machine: Machine) -> None:
    run(machine, WINDOWS, dry_run=True)
    assert "no key bundle fits Credential Manager" in warning(machine).message
    assert "migrate stops" in told(machine).detail
    assert "software key in the keystore" not in warning(machine).message


def test_U8_a_demo_has_a_computer_of_its_own(machine: Machine) -> None:
    assert machine.migrate(dry_run=True).exit_code == 0
    assert "the pretend computer of the sandbox has none" in warning(machine).message


def test_T1_a_world_looks_once(machine: Machine) -> None:
    ctx = assemble.real(Settings(project=str(machine.lab.project)), Cancel(), print, lambda question: False)
    try:
        assert ctx.hardware() is ctx.hardware()
    finally:
        ctx.close()
