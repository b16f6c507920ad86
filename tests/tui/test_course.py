"""The way through the wizard does what it promises, seen from the tenant and this machine (U1, U2, M5)."""

from __future__ import annotations

from functools import partial

import pytest
from textual.events import Key

from core.clock import Cancel
from core.sandbox.graph.roles import AGENT, BASE
from tests.machine import PROFILE, Snapshot
from tests.provisioning import granted
from tests.tui.play import Play, play, run
from tests.tui.scenes import fail, hold, interrupted, waiting
from tests.tui.stand import Stand
from wizard import runs
from wizard.tui.dialogs import Ask, Line, Text
from wizard.tui.state import LOOK


def verified(stand: Stand) -> int:
    """Exit code of a verification that knows nothing of the wizard."""
    events = runs.Events(lambda event: None)
    context = partial(stand.context, Cancel(), events, lambda question: False)
    return runs.carry_out(runs.Order("verify"), context, events).result.exit_code


def migrated(stand: Stand) -> bool:
    """Whether no secret is left, and the certificate works."""
    machine = stand.machine
    key = machine.keystore.accounts(machine.service) == [machine.tenant.id]
    return not machine.passwords and PROFILE.secret_member not in machine.state and key and verified(stand) == 0


async def to_review(play: Play) -> None:
    """Start what is marked; the screens before the plan are passed by themselves."""
    await play.until(lambda: play.settled)
    play.app._open_doors = frozenset(LOOK - {"review"})
    await play.press("enter")
    await play.at("review")


async def to_waiting(play: Play, reason: str) -> None:
    """Past the yes, up to a wait."""
    await to_review(play)
    if "appear" in reason:
        play.stand.lab.tenant.lag = {"application": 20.0}
    await play.press("enter")
    await play.on(Ask)
    hold(play.stand, reason)
    await play.press("y")
    await waiting(play, reason)
    play.stand.lab.tenant.lag = {}


BEFORE, AFTER = "the certificate to appear", "second clean read"


@pytest.mark.parametrize(("scenario", "down"), [("legacy", 0), ("fresh", 1)])
def test_U1_enter_alone_leads_through(scenario: str, down: int) -> None:
    """Only the yes takes an arrow: Enter never means an irreversible yes by itself."""

    async def scene() -> None:
        async with play("legacy") as shown:
            await shown.at("welcome")
            await shown.press(*["down"] * down, "enter")
            await shown.at("prereqs")
            await shown.through("review")
            await shown.press("enter")
            await shown.on(Ask)
            assert shown.app.focused is not None
            assert shown.app.focused.id == "no"
            await shown.press("right", "enter")
            await shown.at("progress")
            assert (shown.app.exit_code, shown.app.outcome) == (0, "changed")
            await shown.press("enter")
            await shown.at("verify")
            await shown.press("enter")
            await shown.at("summary")
            assert shown.app.exit_code == 0
            assert shown.shows("Verified: no password credential is left")
            assert migrated(shown.stand)
            if scenario == "fresh":
                assert granted(shown.stand.machine) == sorted(BASE | AGENT)
            await shown.press("q")
            assert shown.app.return_code == 0

    run(scene())


def test_U2_a_no_changes_nothing_and_leaves_the_plan_open() -> None:
    async def scene() -> None:
        async with play() as shown:
            before = Snapshot.of(shown.stand.machine)
            await to_review(shown)
            for key in ("n", "escape", "enter"):
                await shown.press("enter")
                await shown.on(Ask)
                await shown.press(key)
                await shown.at("review")
                assert not shown.app.screen.is_modal
                assert shown.app.model.question is not None
            assert shown.stand.machine.untouched(before)
            await shown.press("q")
            await shown.on(Ask)
            assert shown.shows("Stopping now leaves everything as it is")
            await shown.press("y")
            assert shown.app.return_code == 130
            assert shown.stand.machine.untouched(before)

    run(scene())


def test_U2_back_forward_and_again() -> None:
    async def scene() -> None:
        async with play() as shown:
            await shown.at("welcome")
            await shown.press("enter")
            await shown.at("prereqs")
            await shown.through("hardware")
            asked = len(shown.stand.lab.tenant.faults.log)
            for place in ("keystore", "signin", "prereqs"):
                await shown.press("escape")
                await shown.at(place)
            for place in ("signin", "keystore"):
                await shown.press("enter")
                await shown.at(place)
            assert len(shown.stand.lab.tenant.faults.log) == asked, "looking at what was seen asks nobody"
            engine_thread = shown.app.engine_thread
            await shown.press("r")
            await shown.at("keystore")
            assert shown.app.engine_thread is not engine_thread
            assert shown.app.model.pause == "keystore", "the screens before were passed by themselves"
            await shown.press("escape")
            await shown.at("signin")
            await shown.press("escape", "escape")
            await shown.on(Ask)
            await shown.press("y")
            await shown.at("welcome")
            assert shown.app.engine_thread is None

    run(scene())


def test_U2_M5_stopping_before_the_marker_undoes_everything() -> None:
    async def scene() -> None:
        async with play() as shown:
            before = Snapshot.of(shown.stand.machine)
            await to_waiting(shown, BEFORE)
            assert not shown.stand.machine.untouched(before)
            await shown.press("x")
            await shown.on(Ask)
            assert shown.shows("Stopping now undoes what this run has done so far")
            await shown.press("n")
            assert shown.app.engine_thread is not None
            assert shown.app.engine_thread.running
            await shown.press("x")
            await shown.on(Ask)
            await shown.press("y")
            shown.stand.release()
            await shown.at("progress")
            assert shown.app.exit_code == 130
            assert shown.stand.machine.untouched(before)
            await shown.press("enter")
            await shown.at("summary")
            await shown.press("enter")
            await shown.at("welcome")
            assert shown.app.survey is not None
            assert shown.app.survey.open is None

    run(scene())


def test_U2_quitting_before_the_marker_undoes_and_then_ends() -> None:
    async def scene() -> None:
        async with play() as shown:
            before = Snapshot.of(shown.stand.machine)
            await to_waiting(shown, BEFORE)
            await shown.press("q")
            await shown.on(Ask)
            await shown.press("y")
            shown.stand.release()
            await shown.until(lambda: shown.app.return_code is not None)
            assert shown.app.return_code == 130
            assert shown.stand.machine.untouched(before)

    run(scene())


def test_U2_M5_stopping_after_the_marker_is_half_way_and_resume_finishes_it() -> None:
    async def scene() -> None:
        async with play() as shown:
            await to_waiting(shown, AFTER)
            await shown.press("x")
            await shown.on(Ask)
            assert shown.shows("The point of no return is behind")
            await shown.press("y")
            await shown.at("progress")
            assert shown.app.exit_code in (6, 130)
            assert shown.app.model.failed
            shown.stand.release()
            await shown.press("enter")
            await shown.at("summary")
            await shown.press("enter")
            await shown.at("welcome")
            assert shown.shows("Resume continue the interrupted migrate (after the point of no return)")
            assert not shown.shows("take back")
            await shown.press("enter")
            await shown.until(lambda: shown.place != "welcome")
            for _ in range(12):
                await shown.until(lambda: shown.settled or shown.app.screen.is_modal)
                if shown.place == "summary":
                    break
                await shown.press("y" if shown.app.screen.is_modal else "enter")
            assert shown.app.exit_code == 0
            assert migrated(shown.stand)

    run(scene())


def test_U2_an_interrupted_run_is_taken_back() -> None:
    async def scene() -> None:
        before: list[Snapshot] = []

        def prepare(stand: Stand) -> None:
            before.append(Snapshot.of(stand.machine))
            interrupted(5)(stand)

        async with play(prepare=prepare) as shown:
            assert not shown.stand.machine.untouched(before[0])
            await shown.at("welcome")
            assert shown.shows("Undo take back what the interrupted migrate did")
            await shown.press("down", "enter")
            await shown.on(Ask)
            assert shown.shows("Undo what the interrupted migrate did")
            await shown.press("y")
            await shown.at("progress")
            assert shown.app.exit_code == 0
            assert shown.stand.machine.untouched(before[0])
            await shown.press("enter")
            await shown.at("summary")
            assert shown.shows("Undone: what the interrupted migrate had done.")

    run(scene())


def test_U5_what_failed_half_way_is_6_and_resumed() -> None:
    async def scene() -> None:
        async with play() as shown:
            await to_review(shown)
            fault = fail(shown.stand, "removePassword|DELETE", 500)
            await shown.press("enter")
            await shown.on(Ask)
            await shown.press("y")
            await shown.at("progress")
            assert shown.app.exit_code == 6
            shown.stand.lab.tenant.faults.script.remove(fault)
            await shown.press("enter", "enter")
            await shown.at("welcome")
            assert shown.shows("Resume")

    run(scene())


def test_P1_an_app_that_was_found_by_its_name_takes_its_id_to_be_named() -> None:
    async def scene() -> None:
        async with play("taken", real=True) as shown:
            await shown.at("welcome")
            await shown.press("enter")
            await shown.through("review")
            await shown.until(lambda: shown.app.model.ended is not None)
            assert [error["id"] for error in shown.app.model.failed] == ["app.adopt-or-new"]
            assert shown.app.exit_code == 4
            await shown.press("a")
            await shown.on(Line)
            await shown.press(*"not-an-id", "enter")
            await shown.on(Text)
            assert shown.shows("That is no app id")
            assert not shown.app.workspace.settings.app_id

    run(scene())


def test_M2_an_answer_before_the_question_could_be_read_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with play() as shown:
            before = Snapshot.of(shown.stand.machine)
            await to_review(shown)
            monkeypatch.setattr(type(shown.app), "READING", 3600.0)
            await shown.press("enter")
            await shown.on(Ask)
            await shown.press("y", "right", "enter")
            assert isinstance(shown.app.screen, Ask)
            assert shown.stand.machine.untouched(before)

    run(scene())


def test_M2_the_keys_of_a_question_count_in_their_order() -> None:
    async def scene() -> None:
        async with play() as shown:
            before = Snapshot.of(shown.stand.machine)
            await to_review(shown)
            for keys in (("right", "left", "enter"), ("enter", "y"), ("tab", "up", "enter")):
                await shown.press("enter")
                await shown.on(Ask)
                for key in keys:  # at once, as from a paste: the pilot would wait after each
                    shown.app.post_message(Key(key, key if len(key) == 1 else None))
                await shown.until(lambda: not shown.app.screen.is_modal)
                assert shown.place == "review"
                assert shown.stand.machine.untouched(before)

    run(scene())


def test_U3_signed_out_by_a_key_and_in_again() -> None:
    async def scene() -> None:
        async with play() as shown:
            await shown.at("welcome")
            await shown.press("enter")
            await shown.through("signin")
            await shown.press("o")
            await shown.on(Ask)
            await shown.press("y")
            await shown.until(lambda: bool(shown.app.model.failed) and shown.place == "signin")
            assert [error["id"] for error in shown.app.model.failed] == ["az.signed-out"]
            await shown.press("w")
            await shown.until(lambda: shown.app.model.pause == "signin")
            assert not shown.app.screen.is_modal

    run(scene())
