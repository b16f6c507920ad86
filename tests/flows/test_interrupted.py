"""What was interrupted: found again, continued, or taken back (U2, M5, M8)."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from core.entra.tokens import Token
from core.errors import Interrupted, SetupError
from core.events import ChangeMade, Question, StepFinished
from core.flow import engine
from core.flow.engine import Result
from core.flow.journal import Journal
from core.flows import interrupted, migrate, onboard
from core.sandbox.fake_machine.az import SandboxSignIn
from core.sandbox.faults import Fault
from core.sandbox.lab import Lab
from tests.machine import PROFILE, Crash, Machine, Snapshot, VirtualClock, killed


def killed_at(machine: Machine, step: str) -> None:
    """Run a migration that is killed right after a step."""

    def kill(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == step:
            raise Crash

    machine.watch = kill
    with pytest.raises(Crash):
        machine.migrate()
    machine.watch = None


def find(machine: Machine, **options: Any) -> interrupted.Open | None:
    ctx = machine.build(**options)
    try:
        return interrupted.find(ctx)
    finally:
        ctx.close()


def undo(machine: Machine, answer: Callable[[Question], bool] | None = None, **options: object) -> Result:
    return machine.run(migrate.FLOW, answer, engine.undo, **options)


def test_U2_nothing_is_open_where_nothing_ran_or_a_run_ended(machine: Machine) -> None:
    assert find(machine) is None
    result = undo(machine)
    assert (result.outcome, result.exit_code, result.errors) == ("unchanged", 0, [])
    assert machine.migrate().exit_code == 0
    assert find(machine) is None
    assert undo(machine).outcome == "unchanged"
    assert machine.verify().exit_code == 0


@pytest.mark.parametrize("step", ["store-key", "register", "prove", "adopt", "deletion-rights"])
def test_U2_before_the_point_of_no_return_it_is_continued_or_taken_back(machine: Machine, step: str) -> None:
    before = Snapshot.of(machine)
    killed_at(machine, step)
    found = find(machine)
    assert found is not None
    assert (found.flow, found.marked, found.request) == ("migrate", False, "")
    assert any("keystore.write" in line for line in found.done)

    planned = undo(machine, dry_run=True)
    assert (planned.outcome, planned.exit_code) == ("planned", 0)
    assert "keystore.write" in planned.summary[0]
    assert find(machine) is not None

    asked: list[Question] = []

    def no(question: Question) -> bool:
        asked.append(question)
        return False

    refused = undo(machine, no, yes=False)
    assert (refused.outcome, refused.exit_code, refused.errors[0]["id"]) == ("failed", 4, "flow.no")
    assert "keystore.write" in asked[0].text
    assert find(machine) is not None

    result = undo(machine)
    assert (result.outcome, result.exit_code, result.errors) == ("changed", 0, [])
    assert machine.untouched(before)
    assert find(machine) is None
    killed_at(machine, step)
    assert machine.migrate().exit_code == 0
    assert machine.verify().exit_code == 0


@pytest.mark.parametrize("step", ["marker", "delete-passwords", "purge", "tidy"])
def test_U2_M5_after_it_there_is_no_way_back(machine: Machine, step: str) -> None:
    killed_at(machine, step)
    found = find(machine)
    assert found is not None
    assert found.marked
    before = Snapshot.of(machine)
    for dry_run in (False, True):
        result = undo(machine, dry_run=dry_run)
        assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("partial", 6, "flow.no-way-back")
        assert "entraclaw-setup resume" in result.errors[0]["remedy"]
    if step in ("marker", "delete-passwords"):
        assert f"{PROFILE.secret_member} in {machine.state_file}" in result.errors[0]["message"]
    assert machine.untouched(before)
    assert machine.usable()
    assert machine.migrate().exit_code == 0
    assert find(machine) is None


def test_U2_another_flow_is_named_and_not_taken_for_this_one(machine: Machine) -> None:
    killed_at(machine, "register")
    before = Snapshot.of(machine)
    for result in (machine.onboard(), machine.run(onboard.FLOW, act=engine.undo)):
        assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("failed", 4, "journal.other-flow")
    assert machine.untouched(before)
    assert undo(machine).exit_code == 0
    assert machine.onboard().errors[0]["id"] == "app.has-secrets", "the way is free again"


def test_U2_a_journal_whose_effects_were_all_reversed_is_not_open(machine: Machine) -> None:
    """Killed between the last undo and the closing line."""
    killed_at(machine, "store-key")

    def kill(journal: Journal, outcome: str) -> None:
        raise Crash

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "close", kill)
        with pytest.raises(Crash):
            undo(machine)
    assert find(machine) is None
    assert machine.onboard().errors[0]["id"] == "app.has-secrets", "it does not stand in another flow's way"
    assert machine.migrate().exit_code == 0
    assert "journal.resumed" not in machine.findings()


@pytest.mark.parametrize("step", ["register", "adopt"])
def test_M8_an_undo_that_is_killed_is_finished_by_the_next(machine: Machine, step: str) -> None:
    before = Snapshot.of(machine)
    for nth in range(1, 20):
        killed_at(machine, step)
        crashed = killed(nth, lambda: undo(machine))
        assert undo(machine).exit_code == 0
        assert machine.untouched(before)
        if not crashed:
            assert nth > 2
            return
    pytest.fail("an undo writes more lines than that")


def test_U2_a_broken_journal_is_named_and_left_alone(machine: Machine) -> None:
    killed_at(machine, "register")
    found = find(machine)
    assert found is not None
    content = b"no journal\n" + found.path.read_bytes()
    found.path.write_bytes(content)
    before = Snapshot.of(machine)
    with pytest.raises(SetupError) as caught:
        find(machine)
    assert caught.value.id == "journal.broken"
    result = undo(machine)
    assert (result.exit_code, result.errors[0]["id"]) == (3, "journal.broken")
    assert str(found.path) in result.errors[0]["message"]
    assert machine.untouched(before)
    assert found.path.read_bytes() == content
    assert machine.verify().exit_code == 8, "a look at the end state is still possible"
    assert "journal.broken" in machine.findings()
    found.path.unlink()
    assert machine.migrate().exit_code == 0


def test_U2_an_app_that_only_a_flag_names(machine: Machine) -> None:
    members = {name: value for name, value in machine.state.items() if name != PROFILE.client_id_member}
    machine.state_file.write_text(json.dumps(members))
    before = Snapshot.of(machine)

    def kill(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "register":
            raise Crash

    machine.watch = kill
    with pytest.raises(Crash):
        machine.migrate(app_id=machine.app_id)
    machine.watch = None
    with pytest.raises(SetupError) as caught:
        find(machine)
    assert (caught.value.exit_code, f"--app-id {machine.app_id}" in caught.value.summary) == (2, True)
    assert find(machine, app_id=machine.app_id) is not None
    assert undo(machine, app_id=machine.app_id).exit_code == 0
    assert machine.untouched(before)
    assert find(machine) is None


@pytest.mark.parametrize(("step", "left"), [("register", "flow.open"), ("marker", "flow.no-way-back")])
def test_U2_an_undo_without_a_sign_in_loses_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, step: str, left: str
) -> None:
    killed_at(machine, step)
    before = Snapshot.of(machine)

    def missing(sign_in: SandboxSignIn, tenant: str) -> Token:
        raise SetupError("az.missing")

    with monkeypatch.context() as patch:
        patch.setattr(SandboxSignIn, "graph_token", missing)
        result = undo(machine)
    assert (result.outcome, result.exit_code) == ("partial", 6)
    assert [error["id"] for error in result.errors] == ["az.missing", left]
    assert machine.untouched(before)
    assert find(machine) is not None
    assert machine.migrate().exit_code == 0


def test_U2_an_undo_that_the_service_refuses_says_what_is_left(machine: Machine) -> None:
    killed_at(machine, "register")
    before = Snapshot.of(machine)
    machine.tenant.faults.add(Fault("status", "^PATCH", 0, 403))
    result = undo(machine)
    machine.tenant.faults.script.clear()
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("partial", 6, "flow.undo-failed")
    assert "az ad app credential delete" in result.errors[0]["remedy"]
    assert machine.untouched(before), "the key stays while its certificate does"
    assert undo(machine).exit_code == 0


def test_U2_an_onboarding_that_was_interrupted_belongs_to_its_project(
    start_lab: Callable[[str], Lab], clock: VirtualClock, tmp_path: Path
) -> None:
    machine = Machine(start_lab("fresh"), clock)

    def kill(event: object) -> None:
        if isinstance(event, ChangeMade) and event.action == "graph.application.create":
            raise Crash

    machine.watch = kill
    with pytest.raises(Crash):
        machine.onboard()
    machine.watch = None
    found = find(machine)
    assert found is not None
    assert found.flow == "onboard"
    assert find(machine, project=str(tmp_path)) is None
    result = machine.run(onboard.FLOW, act=engine.undo)
    assert (result.outcome, result.exit_code, result.errors) == ("changed", 0, [])
    assert list(machine.tenant.all_latest("application")) == []
    assert machine.keystore.accounts(machine.service) == []
    assert not machine.state_file.exists()
    assert find(machine) is None


def test_U2_a_request_to_stop_is_no_result_of_a_verification(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come while a check waits for the service."""

    def stopped(*_: object) -> NoReturn:
        assert machine.ctx is not None
        machine.ctx.cancel.ask(signal.SIGINT)
        raise Interrupted(signal.SIGINT)

    assert machine.migrate().exit_code == 0
    monkeypatch.setattr("core.checks.app.mint", stopped)
    with pytest.raises(Interrupted):
        machine.verify()
