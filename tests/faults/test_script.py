"""A migration under every kind of fault of a scenario file: the invariants of the matrix hold (M5, M8, P7, P11, S3).

Each kind strikes every fourth request, and each begins at another one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.sandbox.lab import Lab
from tests.faults.test_matrix import MOST, converges, invariants
from tests.machine import PROFILE, Machine, Snapshot, VirtualClock

STEP = 4
#: What a migration comes through: it is repeated, or looked after first.
SURVIVED = (
    'kind = "status"\nstatus = 502\nbody = "html"',
    'kind = "status"\nstatus = 504\neffect = true',
    'kind = "status"\nstatus = 503\nbody = "empty"\nretry_after = 5',
    'kind = "status"\nstatus = 429\nretry_after = 30\nretry_after_as = "date"',
    'kind = "status"\nstatus = 401',
    'kind = "status"\nstatus = 409\nmatch = "/v1.0/"',
    'kind = "half-body"',
    'kind = "half-body"\neffect = false',
    'kind = "not-json"',
    'kind = "not-json"\neffect = false',
    'kind = "empty"',
    'kind = "empty"\neffect = false',
    'kind = "wrong-type"',
    'kind = "tls-handshake"',
    'kind = "stale"\nof = "application"\nseconds = 90',
    'kind = "stale"\nof = "servicePrincipal"\nseconds = 90',
)
#: What ends it, because no second try would be better.
FINAL = ('kind = "status"\nstatus = 200\ncode = "Odd_Success"\neffect = true', 'kind = "tls-stranger"')
FAULTS = (*SURVIVED, *FINAL)
Start = Callable[[str], Machine]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A machine in front of a sandbox that a scenario file describes."""
    machines: list[Machine] = []

    def begin(text: str) -> Machine:
        path = tmp_path / "scenario.toml"
        path.write_text(text, encoding="utf-8")
        clock = VirtualClock()
        machines.append(Machine(Lab.start(str(path), clock=clock, sign_in=False), clock))
        return machines[-1]

    yield begin
    for machine in machines:
        machine.session.close()
        machine.lab.close()


def run(machine: Machine) -> int:
    """Migrate, look at the invariants, and let a clean run end what was not finished; the exit code of the first."""
    others, before = machine.keys, Snapshot.of(machine)
    result = machine.migrate()
    script = list(machine.tenant.faults.script)
    machine.tenant.faults.script.clear()
    invariants(machine, result, before)
    if result.exit_code:
        error = result.errors[0]
        assert error["remedy"], error
        converges(machine, others)
    machine.tenant.faults.script.extend(script)
    return result.exit_code


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(len(FAULTS)), ids=lambda n: FAULTS[n].replace("\n", ", "))
def test_M5_P11_one_fault_at_every_fourth_request(start: Start, number: int) -> None:
    for nth in range(1 + number % STEP, MOST, STEP):
        machine = start(f"[[fault]]\n{FAULTS[number]}\nnth = {nth}\n")
        code = run(machine)
        assert code == 0 or FAULTS[number] in FINAL, machine.tenant.faults.log
        if not machine.tenant.faults.script[0].struck:
            assert code == 0
            assert nth > 10, "the migration makes more requests than that"
            return
    pytest.fail(f"a migration made more than {MOST} requests")


@pytest.mark.parametrize("fault", [fault for fault in SURVIVED if not re.search("stale|tls|match", fault)])
def test_P11_what_the_authority_says_of_itself_is_asked_again(start: Start, fault: str) -> None:
    """One answer serves a whole run, so a spoiled one must not."""
    for nth in (1, 2):
        machine = start(f'[[fault]]\n{fault}\nnth = {nth}\nmatch = "openid-configuration"\n')
        assert run(machine) == 0, machine.tenant.faults.log


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(6))
def test_M5_P7_a_bad_day(start: Start, seed: int) -> None:
    """Throttling, gateways, cuts, late answers and lag at once; whatever comes of it is true."""
    text = f"""
seed = {seed}
[lag]
application = 20
servicePrincipal = 20
[[fault]]
kind = "latency"
seconds = [0.0, 0.05]
chance = 0.3
[[fault]]
kind = "status"
status = 429
retry_after = 10
chance = 0.1
[[fault]]
kind = "status"
status = 502
body = "html"
chance = 0.05
[[fault]]
kind = "cut-after"
chance = 0.05
"""
    machine = start(text)
    others = machine.keys
    result = machine.migrate()
    assert [fault.struck for fault in machine.tenant.faults.script] != [0, 0, 0, 0]
    machine.tenant.faults.script.clear()
    machine.tenant.lag.clear()
    machine.clock.wait(60)
    assert machine.usable(), "zero usable credentials"
    assert result.exit_code in (0, 5, 6, 7), result.errors
    if result.exit_code == 0:
        assert machine.passwords == []
        assert PROFILE.secret_member not in machine.state
    converges(machine, others) if result.exit_code else None


def test_M2_a_password_that_a_saboteur_adds_is_deleted_too(start: Start) -> None:
    deed = 'when = "after"\ndo = "add-password"\nmatch = "removePassword"'
    machine = start(f'[[saboteur]]\n{deed}\n[[saboteur]]\n{deed}\non = "servicePrincipal"\n')
    result = machine.migrate()
    assert result.exit_code == 0, result.errors
    assert [fault.struck for fault in machine.tenant.faults.script] == [1, 1]
    assert machine.passwords == []
    assert machine.verify().exit_code == 0


@pytest.mark.parametrize(
    ("do", "match"),
    [
        ("replace-keys", "^PATCH"),
        ("replace-keys", "removePassword"),
        ("remove-key", "^PATCH"),
        ("remove-key", "removePassword"),
    ],
)
def test_P8_a_certificate_that_a_saboteur_takes_away_is_never_called_proven(start: Start, do: str, match: str) -> None:
    machine = start(f'[[saboteur]]\nwhen = "after"\ndo = "{do}"\nmatch = "{match}"\n')
    result = machine.migrate()
    (fault,) = machine.tenant.faults.script
    assert fault.struck == 1
    machine.tenant.faults.script.clear()
    if result.exit_code == 0:
        assert machine.passwords == []
        assert machine.usable() == [machine.tenant.id]
        assert machine.verify().exit_code == 0
        return
    assert result.errors[-1]["remedy"]
    if result.exit_code != 6:
        assert machine.usable(), "undone, and the secret still works"
    assert machine.migrate().exit_code == 0, "the next run registers again"
    assert machine.usable() == [machine.tenant.id]


def test_M5_an_app_that_a_saboteur_deletes_is_named(start: Start) -> None:
    machine = start('[[saboteur]]\nwhen = "before"\ndo = "delete-app"\nmatch = "^PATCH"\n')
    state = machine.state_file.read_bytes()
    result = machine.migrate()
    assert machine.tenant.find("application", "appId", machine.app_id) is None
    assert (result.outcome, result.exit_code in (1, 6, 7)) == ("failed", True), result.errors
    assert result.errors[-1]["remedy"]
    assert machine.state_file.read_bytes() == state


@pytest.mark.parametrize(("minutes", "code"), [(-30, 3), (-4, 0), (4, 0), (30, 3)])
def test_D1_a_tenant_whose_clock_is_wrong(start: Start, minutes: int, code: int) -> None:
    machine = start(f"clock_skew = {minutes * 60}\n")
    before = Snapshot.of(machine)
    result = machine.migrate()
    assert result.exit_code == code, result.errors
    if code:
        assert [error["id"] for error in result.errors] == ["platform.clock"]
        assert machine.untouched(before)
