"""A demo shows its first screen at once, and its sandbox starts behind it (U8, U1)."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.tui.play import Play, play, run
from tests.tui.stand import Stand

HELD = 30.0


def late(act: Callable[[Play, threading.Event], object]) -> None:
    """A play whose sandbox starts when the event is set."""
    gate = threading.Event()

    def prepare(stand: Stand) -> None:
        stand.moves = lambda: gate.wait(HELD)

    async def shown() -> None:
        async with play(prepare=prepare, at_once=False) as play_:
            try:
                await play_.until(lambda: play_.shows("Starting the sandbox"))
                await act(play_, gate)  # type: ignore[misc]
            finally:
                gate.set()

    run(shown())


def test_U8_the_first_screen_is_there_before_the_sandbox_and_what_was_chosen_meanwhile_begins() -> None:
    async def chosen(shown: Play, gate: threading.Event) -> None:
        assert not shown.stand.ready
        assert shown.app.workspace.label in shown.text
        await shown.press("enter")
        assert shown.place == "welcome"
        gate.set()
        await shown.until(lambda: shown.place != "welcome")
        assert shown.app.engine_thread is not None
        assert shown.app.engine_thread.kind == "migrate"

    late(chosen)


def test_U8_when_the_sandbox_is_there_the_first_screen_says_so() -> None:
    async def nothing(shown: Play, gate: threading.Event) -> None:
        gate.set()
        await shown.at("welcome")
        assert not shown.shows("Starting the sandbox")
        assert shown.app.engine_thread is None, "nothing begins by itself"

    late(nothing)
