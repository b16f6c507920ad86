"""A machine with everything that the original may leave, killed at every line of its journal (M8, M19)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.sandbox.faults import Fault, Kind
from core.sandbox.lab import Lab
from tests.flows.test_machines import OLD_SECRET, nowhere, older_app, sign_in_of
from tests.machine import VirtualClock, killed
from tests.originals import ENTRABOT, ENTRACLAW, Original, certify, crossed

#: More lines than the journal of such a run has.
MOST = 60


@pytest.fixture
def make(
    start_lab: Callable[[str], Lab], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Original]]:
    """Makes one: two generations, a secret in copies of both state files, and a key in a file."""
    local = tmp_path / "local"
    monkeypatch.setenv("LOCALAPPDATA", str(local))

    def made() -> Original:
        for name in (".copilot", ".local"):
            shutil.rmtree(home / name, ignore_errors=True)
        shutil.rmtree(local, ignore_errors=True)
        original = crossed(start_lab("clean"), VirtualClock(), home, secret=OLD_SECRET)
        machine, state = original.machine, original.machine.state
        bundle, _ = certify(machine.lab, ENTRABOT, machine.app_id)
        pem = local / "entrabot" / f"provisioner-cert-{machine.tenant.id}.pem"
        pem.parent.mkdir(parents=True)
        pem.write_text(bundle.reveal())
        copy = state | {"PROVISIONER_CLIENT_SECRET": OLD_SECRET}
        (original.project / f"{ENTRABOT.state_file}.bak.20260601-000000").write_text(json.dumps(copy))
        return Original(machine, home, original.foreign)

    yield made


def run(original: Original) -> Callable[[], object]:
    app_id = older_app(original)[0]["appId"]
    return lambda: original.machine.migrate(retire_older=app_id)


def converged(original: Original, local: Path) -> None:
    """One certificate of this machine, no password, no secret in any file, no key in one."""
    machine = original.machine
    result = machine.migrate()  # what was begun is finished without being asked for again
    assert result.exit_code == 0, result.errors
    if sign_in_of(*older_app(original)) != (0, 1):
        result = machine.migrate(retire_older=older_app(original)[0]["appId"])
        assert result.exit_code == 0, result.errors
    assert sign_in_of(*older_app(original)) == (0, 1)
    assert len(machine.keys) == 1
    assert machine.usable() == [machine.tenant.id]
    assert not list(local.rglob("*.pem"))
    nowhere(original, OLD_SECRET)
    assert original.members_kept(ENTRACLAW.state_file)
    assert machine.verify().exit_code == 0


@pytest.mark.timeout(600)
def test_M8_M19_a_kill_at_every_line_of_the_journal(make: Callable[[], Original], tmp_path: Path) -> None:
    for nth in range(1, MOST):
        original = make()
        ended = not killed(nth, run(original))
        assert original.machine.usable(), f"zero usable credentials after line {nth}"
        converged(original, tmp_path / "local")
        original.machine.session.close()
        original.machine.lab.close()
        if ended:
            assert nth > 15, "its journal has more lines than that"
            return
    pytest.fail(f"its journal has more than {MOST} lines")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "status"), [("cut-after", 0), ("status", 500), ("status", 403)], ids=str)
def test_M5_M19_one_fault_at_every_request(
    make: Callable[[], Original], tmp_path: Path, kind: Kind, status: int
) -> None:
    for nth in range(1, MOST):
        original = make()
        machine = original.machine
        fault = machine.tenant.faults.add(Fault(kind, "", nth, status or 500))
        result = machine.migrate(retire_older=older_app(original)[0]["appId"])
        machine.tenant.faults.script.clear()
        assert machine.usable(), f"zero usable credentials after request {nth}"
        assert result.exit_code in (0, 1, 3, 4, 5, 6, 7)
        assert bool(result.summary) == (result.exit_code == 0)
        if result.exit_code not in (0, 6):
            assert original.changed() <= set(), f"exit {result.exit_code} claims that everything was undone"
        converged(original, tmp_path / "local")
        reached = fault.reached.is_set()
        machine.session.close()
        machine.lab.close()
        if not reached:
            assert nth > 10
            return
    pytest.fail(f"such a run made more than {MOST} requests")
