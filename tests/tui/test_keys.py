"""Keys, buttons, mouse, palette and sizes: each does what it says where it applies, and nothing elsewhere (U6, U7)."""

from __future__ import annotations

import os
import re

import pytest

from core.events import FlowStarted, StageStarted, StepFinished, StepStarted
from tests.tui.pictures import THEMES
from tests.tui.play import Play, play, run
from tests.tui.scenes import BROKEN, DIAGNOSIS, HALF_WAY, LOCKED, MIGRATION, SIGNED_OUT, UNREAD, UNVERIFIED, Reel, Scene
from tests.tui.test_course import to_review
from wizard.tui.dialogs import Ask, Line, Text, TooSmall
from wizard.tui.engine_thread import EngineThread, Moved

#: Keys that do something on every screen.
ALWAYS = frozenset({"l", "f1", "question_mark", "f2", "q", "ctrl+q", "ctrl+p"})
LOOKING = frozenset({"enter", "ctrl+n", "r", "escape", "b"})
FAILING = frozenset({"r", "escape", "b", "e", "c"})
ACCOUNT = frozenset("wdto")
ENDING = frozenset({"enter", "ctrl+n"})
#: What else does something, by scene.
KEYS: dict[str, frozenset[str]] = {
    "prereqs": LOOKING,
    "signin": LOOKING | ACCOUNT,
    "keystore": LOOKING,
    "hardware": LOOKING,
    "review": LOOKING | {"f", "h", "space"},
    "waiting": frozenset({"x", "escape"}),
    "changed": ENDING,
    "verify": ENDING | {"r"},
    "summary": ENDING | {"s"},
    "prereqs-failed": FAILING,
    "signed-out": FAILING | ACCOUNT,
    "keystore-locked": FAILING,
    "review-failed": FAILING | {"f", "h"},
    "half-way": ENDING | {"e", "c"},
    "summary-half-way": ENDING | {"e", "c"},
    "verify-failed": ENDING | {"r", "e", "c"},
    "summary-verify-failed": ENDING | {"e", "c"},
    "diagnosis": frozenset({"space", "n", "r", "c", "a", "escape", "b"}),
}
#: What a picture draws around the terminal.
WINDOW = {(255, 95, 87), (254, 188, 46), (40, 200, 64), (41, 41, 41)}
OURS = frozenset("abcdefghijklmnopqrstuvwxyz") | {"enter", "escape", "ctrl+n", "space"}


def enabled(play: Play) -> set[str]:
    """Keys of ours that do something here."""
    return {
        key
        for key, active in play.app.screen.active_bindings.items()
        if active.enabled and key in OURS and type(active.node).__module__.startswith("wizard.")
    }


@pytest.mark.parametrize(
    "reel", [MIGRATION, SIGNED_OUT, BROKEN, LOCKED, UNREAD, HALF_WAY, UNVERIFIED, DIAGNOSIS], ids=lambda reel: reel.name
)
def test_U2_U6_the_keys_of_every_screen(reel: Reel) -> None:
    """What is not offered does nothing: the screen stays, and nothing opens on top of it."""

    async def look(scene: Scene, shown: Play) -> None:
        if scene.name not in KEYS:
            return
        wanted = (KEYS[scene.name] | ALWAYS) & OURS
        assert enabled(shown) - {"enter"} == wanted - {"enter"}, scene.name
        screen, engine_thread = shown.app.screen, shown.app.engine_thread
        await shown.press(*sorted(OURS - wanted - {"enter", "escape"}))
        assert shown.app.screen is screen, scene.name
        assert shown.app.engine_thread is engine_thread, scene.name
        if reel is MIGRATION and scene.name in ("review", "summary"):
            await _offers(shown)

    run(reel.roll(look, [scene.name for scene in reel.scenes if scene.name in KEYS][-1]))


async def _offers(shown: Play) -> None:
    """The palette offers what applies and the themes, and nothing else."""
    place = shown.place
    await shown.press("ctrl+p")
    await shown.until(lambda: shown.shows("Log key l"))
    assert shown.shows("Row key space") == (place == "review")
    assert shown.shows("Save answers key s") == (place == "summary")
    assert not shown.shows("Explain")
    assert not shown.shows("Focus")
    await shown.press("escape")
    await shown.until(lambda: shown.place == place and not shown.app.screen.is_modal)


def test_U7_what_stands_aside_opens_and_closes() -> None:
    async def scene() -> None:
        async with play() as shown:
            await to_review(shown)
            for key, said in (
                ("l", "Log"),
                ("f1", "Help"),
                ("f", "Findings"),
                ("h", "migrate"),
                ("question_mark", "Help"),
            ):
                await shown.press(key)
                await shown.on(Text)
                assert shown.shows(said)
                for ignored in ("f", "r", "x", "y"):
                    await shown.press(ignored)
                    assert isinstance(shown.app.screen, Text), "a dialog covers the keys of its screen"
                await shown.press("escape")
                assert not shown.app.screen.is_modal
            again = "entraclaw-setup demo --scenario legacy --yes"
            assert shown.app.clipboard == again, "h puts the command on the clipboard too, and it leads back here (U10)"

    run(scene())


def test_U6_mouse_and_arrows() -> None:
    async def scene() -> None:
        async with play() as shown:
            await to_review(shown)
            await shown.click("#back")
            await shown.at("hardware")
            for key, wanted in (("right", "again"), ("right", "back"), ("left", "again"), ("left", "forward")):
                await shown.press(key)
                assert shown.app.focused is not None
                assert shown.app.focused.id == wanted
            await shown.click("#forward")
            await shown.at("review")
            await shown.click("#forward")
            await shown.on(Ask)
            await shown.click("#no")
            assert not shown.app.screen.is_modal
            await shown.click("#forward")
            await shown.on(Ask)
            await shown.click("#yes")
            await shown.at("progress")
            await shown.click("#forward")
            await shown.at("verify")
            await shown.click("#again")
            await shown.at("verify")
            await shown.click("#forward")
            await shown.at("summary")
            await shown.click("#save")
            await shown.on(Line)
            await shown.press("escape")
            await shown.click("#start")
            await shown.at("welcome")

    run(scene())


def test_U6_themes_sizes_and_a_terminal_that_is_too_small() -> None:
    async def scene() -> None:
        async with play(size=(50, 15)) as shown:
            await shown.on(TooSmall)
            await shown.press("enter", "y", "down", "enter")
            assert isinstance(shown.app.screen, TooSmall)
            assert shown.app.engine_thread is None, "nothing was started"
            await shown.pilot.resize_terminal(80, 24)
            await shown.until(lambda: not shown.app.screen.is_modal)
            first = shown.app.theme
            for theme in (*THEMES, first):
                await shown.press("f2")
                assert shown.app.theme == theme
            await to_review(shown)
            await shown.press("enter")
            await shown.on(Ask)
            await shown.pilot.resize_terminal(59, 24)
            await shown.on(TooSmall)
            await shown.press("y", "right", "enter")
            assert shown.app.model.question is not None, "a yes that nobody could read"
            await shown.pilot.resize_terminal(60, 20)
            await shown.on(Ask)

    run(scene())


def test_U6_without_colour() -> None:
    async def scene() -> None:
        async with play(prepare=lambda stand: os.environ.update(NO_COLOR="1")) as shown:
            await to_review(shown)
            assert shown.app.no_color
            painted = re.findall(r"(?:fill|color): ?#([0-9a-f]{6})", shown.app.export_screenshot())
            colours = {tuple(bytes.fromhex(value)) for value in painted}
            assert len(colours) > 2
            assert {colour for colour in colours if max(colour) - min(colour) > 8} <= WINDOW
            assert shown.shows("- delete !"), "words and signs say what the colours would"

    run(scene())


def test_U7_a_flood_of_events_is_shown_in_few_moves() -> None:
    """Thousands of events are one message while nobody has looked: what is drawn follows what can be seen."""

    async def scene() -> None:
        async with play() as shown:
            await to_review(shown)
            engine_thread, moved = shown.app.engine_thread, 0
            assert isinstance(engine_thread, EngineThread)
            taken = engine_thread.take

            def counted(most: int = 0) -> list[object]:
                nonlocal moved
                moved += 1
                return taken(most)  # type: ignore[return-value]

            engine_thread.take = counted  # type: ignore[method-assign,assignment]
            shown.app.model.question = None
            engine_thread._emit(FlowStarted("migrate", "flood"))
            engine_thread._stage = "x"
            engine_thread._emit(StageStarted("x", "Flood"))
            for number in range(2_000):
                engine_thread._emit(StepStarted("x", f"s{number % 20}", "Step"))
                engine_thread._emit(StepFinished("x", f"s{number % 20}", "Step", "done", str(number)))
            await shown.until(lambda: any(row.detail == "1999" for row in shown.app.model.rows(["x"])))
            assert moved < 100, "one move for many events"
            first, second = Moved(engine_thread), Moved(engine_thread)
            assert second.can_replace(first)
            await shown.press("l")
            await shown.on(Text)

    run(scene())
