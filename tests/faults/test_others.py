"""Kill the process at every line of the journal, where an own and a foreign certificate have expired (P8, M8)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from core.entra import certificates, credentials
from core.sandbox.directory import registrations
from core.sandbox.lab import Lab
from tests.faults.test_matrix import MOST
from tests.machine import PROFILE, Machine, VirtualClock, killed


def expired(machine: Machine) -> None:
    """This machine's certificate and somebody else's have ended, and both keep another one from being added."""
    ago = machine.clock.now() - timedelta(days=400)
    mine, theirs = certificates.make(PROFILE.subject, ago, app_id=machine.app_id), certificates.make("gone", ago)
    machine.keystore.write(machine.service, machine.tenant.id, mine.pem)
    entries = [credentials.entry_of(one, machine.tenant.new_id(), "old") for one in (mine, theirs)]
    keys = [*machine.app["keyCredentials"], *registrations.keys_of(machine.tenant, entries)]
    machine.change("application", keyCredentials=keys)
    machine.tenant.switches.expired_entry_blocks = True


@pytest.mark.timeout(600)
def test_P8_M8_a_crash_while_expired_certificates_go_leaves_one_of_this_machine(
    start_lab: Callable[[str], Lab],
) -> None:
    for nth in range(1, MOST):
        machine = Machine(start_lab("legacy"), VirtualClock())
        others = machine.keys
        expired(machine)
        crashed = killed(nth, lambda machine=machine: machine.migrate(drop_expired=True))  # type: ignore[misc]
        if crashed:
            assert machine.usable(), "zero usable credentials"
            assert machine.migrate(drop_expired=True).exit_code == 0
        (ours,) = {der for key_id, der in machine.keys.items() if key_id not in others}
        assert others.items() <= machine.keys.items()
        assert certificates.thumbprint(ours) == machine.state[PROFILE.thumbprint_member]
        assert machine.keystore.accounts(machine.service) == [machine.tenant.id]
        assert machine.verify().exit_code == 0
        machine.session.close()
        machine.lab.close()
        if not crashed:
            assert nth > 10
            return
    pytest.fail(f"a migration writes more than {MOST} lines")
