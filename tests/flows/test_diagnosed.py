"""Fifteen failures that really happened, each a scenario: the diagnosis names cause and remedy (D1, K3, P6, P7).

`ROW` numbers them. Each row says which line names it, with which state, and what the line must tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import pytest

from core.checks import doctor
from core.errors import SetupError
from core.events import Checked
from core.sandbox.lab import Lab
from core.sandbox.scenarios.failures import ROW
from tests.machine import Machine, VirtualClock


class Named(NamedTuple):
    """How a failure is named: the check, its state, and words of cause and remedy."""

    check: str
    state: str
    cause: str
    remedy: str


NAMED = {
    1: Named("agent-apis", "ok", r"answer 403 to every token that carries Directory\.AccessAsUser\.All", "setup token"),
    2: Named("state-file", "failure", r"PROVISIONER_CLIENT_SECRET .* is null: .* overwrote", "migrate"),
    3: Named("backend", "failure", r"fail\.Keyring.*keystore\.insecure", "dbus-run-session"),
    4: Named("backend", "failure", r"it only calls itself that", "PYTHON_KEYRING_BACKEND"),
    5: Named("weak-files", "failure", r"earlier run kept a key in a weak keystore.*keyring_pass\.cfg", "Rotate now"),
    6: Named("packages", "failure", r"keyring.*cannot be imported", "pipx reinstall"),
    7: Named(
        "certificate", "failure", r"no longer on the app.*replaces the whole list", "makes a new key and registers it"
    ),
    8: Named("certificate", "failure", r"no longer on the app: somebody removed it.*AADSTS700027", "migrate"),
    9: Named("permissions", "failure", r"3 declared by the app and not granted.*consent drift", "onboard"),
    10: Named("certificate", "warning", r"does not know it yet \(replication", "Wait some minutes"),
    11: Named("azure-cli", "failure", r"does not tell its version", "az|Azure CLI"),
    12: Named("rights", "failure", r"Nothing tells .* may change .*Application Admin.* Its owners: alex", "apply FILE"),
    13: Named("backend", "failure", r"up to 1280 characters.*1783", "macOS or Linux"),
    14: Named("app", "failure", r"app\.several", "--app-id"),
    15: Named("passwords", "failure", r"1 left, although the state file looks migrated", "migrate"),
}


def examined(lab: Lab, clock: VirtualClock) -> dict[str, Checked]:
    """What a diagnosis on a scenario's computer tells."""
    machine = Machine(lab, clock)
    lab.move_in()
    ctx = machine.build()
    ctx.keystore = lab.keystore()
    try:
        result = doctor.diagnose(ctx)
    finally:
        ctx.close()
    seen = {event.check: event for event in machine.events if isinstance(event, Checked)}
    assert result.exit_code == (8 if any(each.state == "failure" for each in seen.values()) else 0)
    return seen


def test_every_failure_has_its_row() -> None:
    assert NAMED.keys() == ROW.keys() == set(range(1, 16))


@pytest.mark.parametrize("row", ROW)
def test_D1_the_cause_and_the_remedy_are_named(row: int, start_lab: Callable[[str], Lab], clock: VirtualClock) -> None:
    named = NAMED[row]
    seen = examined(start_lab(ROW[row]), clock)
    line = seen[named.check]
    assert line.state == named.state, line
    assert re.search(named.cause, line.evidence, re.S), line.evidence
    assert re.search(named.remedy, line.remedy), line.remedy


@pytest.mark.parametrize("row", ROW)
def test_D1_whatever_is_not_ok_comes_with_a_remedy(
    row: int, start_lab: Callable[[str], Lab], clock: VirtualClock
) -> None:
    for line in examined(start_lab(ROW[row]), clock).values():
        assert line.evidence
        assert line.remedy or line.state in ("ok", "unseen"), line
        assert "bug.internal" not in line.evidence


def test_D1_a_failed_read_of_the_permissions_is_no_answer(start_lab: Callable[[str], Lab], clock: VirtualClock) -> None:
    """Row 9: it must not look as if nothing, or everything, were granted."""
    from core.sandbox.faults import Fault

    lab = start_lab("drift")
    lab.tenant.faults.add(Fault("status", "appRoleAssignments", nth=0, status=403))
    seen = examined(lab, clock)
    assert seen["app"].state == "failure"
    assert seen["permissions"].state == "unseen"


def test_D1_a_healthy_machine_has_none_of_them(start_lab: Callable[[str], Lab], clock: VirtualClock) -> None:
    lab = start_lab("legacy")
    machine = Machine(lab, clock)
    assert machine.migrate().exit_code == 0
    ctx = machine.build()
    try:
        doctor.diagnose(ctx)
    except SetupError as error:
        raise AssertionError(error) from error
    finally:
        ctx.close()
    seen = {event.check: event for event in machine.events if isinstance(event, Checked)}
    for named in NAMED.values():
        line = seen[named.check]
        assert not re.search(named.cause, line.evidence, re.S) or named.check == "agent-apis"
