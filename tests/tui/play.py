"""The app under a pilot's hands: keys in, what the screen shows out, and waiting for conditions instead of time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from textual.pilot import Pilot
from textual.widgets import Input

import wizard
from core.clock import Clock, SystemClock
from core.config.settings import Settings
from tests.tui.stand import Stand, standing
from tests.tui.still import Watch
from wizard.replay import Pace, load
from wizard.tui.app import Wizard
from wizard.tui.engine_thread import Moved
from wizard.tui.job import Told
from wizard.tui.replay import Recorded, Replay

_PATIENCE: Final = 30.0


class Pose(Wizard):
    """A wizard that tells when something happened, and is drawn the same every time."""

    CSS_PATH = str(Path(wizard.__file__).with_name("tui") / "wizard.tcss")
    READING = 0.0  # nobody reads
    normal: Callable[[str], str]

    def pose(self, normal: Callable[[str], str]) -> None:
        """Hold still.

        :param normal: takes what is left of chance out of a picture.
        """
        self.normal = normal
        self.stirred = asyncio.Event()
        self.animation_level = "none"

    def on_moved(self, message: Moved) -> None:
        """The wizard's own handler runs too."""
        self.call_next(self.stirred.set)

    def on_told(self, message: Told) -> None:
        """The wizard's own handler runs too."""
        self.call_next(self.stirred.set)

    def export_screenshot(self, *, title: str | None = None, simplify: bool = False) -> str:
        """A picture without chance in it."""
        for field in self.screen.query(Input):
            field.cursor_blink = False
        return self.normal(super().export_screenshot(title=title or "entraclaw-setup", simplify=simplify))


class Posed(Pose):
    """The wizard on a stand."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand, Watch(stand.time))
        self.pose(stand.normal)


class PosedReplay(Pose, Replay):
    """The wizard that shows a recording."""

    def __init__(self, workspace: Recorded, normal: Callable[[str], str]) -> None:
        Replay.__init__(self, workspace)
        self.pose(normal)


Posed.__module__ = PosedReplay.__module__ = Pose.__module__ = Wizard.__module__  # what is ours is known by it


class Play:
    """A person in front of the wizard."""

    def __init__(self, app: Pose, pilot: Pilot[Any], stand: Stand) -> None:
        self.app, self.pilot, self.stand = app, pilot, stand

    async def until(self, condition: Callable[[], object]) -> None:
        """Go on as soon as it holds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _PATIENCE
        while True:
            self.app.stirred.clear()
            await self.pilot.pause()
            if condition():
                break
            assert loop.time() < end, f"it never came to that; the screen shows\n{self.text}"
            try:
                await asyncio.wait_for(self.app.stirred.wait(), 0.02)
            except TimeoutError:
                continue
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def click(self, selector: str) -> None:
        """Click with the mouse."""
        assert await self.pilot.click(selector), f"nothing to click at {selector}:\n{self.text}"
        await self.pilot.pause()

    async def at(self, place: str) -> None:
        """Wait for a screen on which the wizard waits for a person."""
        await self.until(lambda: self.place == place and self.settled)

    async def on(self, dialog: type[object]) -> None:
        """Wait for something on top of the screen."""
        await self.until(lambda: isinstance(self.app.screen, dialog))

    @property
    def place(self) -> str:
        """The screen below any dialog."""
        screen = self.app.base_screen
        return str(getattr(screen, "place", "")) or type(screen).__name__.lower()

    @property
    def settled(self) -> bool:
        """Whether nothing happens before a person does something."""
        app, model = self.app, self.app.model
        match self.place:
            case "welcome":
                return app.survey is not None and not app.moving
            case "verify":
                return app.proof.ended is not None
            case "review":
                return model.question is not None or model.pause == "review" or model.ended is not None
            case "progress" | "diagnose":
                return model.ended is not None
            case "summary":
                return True
            case place:
                return model.pause == place or model.ended is not None or model.stage != place

    @property
    def text(self) -> str:
        """What can be read."""
        screen = self.app.screen
        return "\n".join(strip.text.rstrip() for strip in screen._compositor.render_strips(self.app.size))

    def shows(self, text: str) -> bool:
        """Whether it can be read, however it is wrapped."""
        return " ".join(text.split()) in " ".join(self.text.replace("│", " ").split())

    async def through(self, place: str) -> None:
        """Enter, until a screen before the changes, or the screen on which the changes are over."""
        for _ in range(12):
            await self.until(lambda: self.settled or self.app.screen.is_modal)
            if self.place == place:
                return
            await self.press("enter")
        raise AssertionError(f"{place} was not reached:\n{self.text}")


@asynccontextmanager
async def play(
    scenario: str = "legacy",
    *,
    real: bool = False,
    size: tuple[int, int] = (80, 24),
    prepare: Callable[[Stand], object] | None = None,
    **how: Any,
) -> AsyncIterator[Play]:
    """The wizard on its first screen.

    :param prepare: what was there before it was opened.
    :param how: further parameters of `Stand`.
    """
    with standing(scenario, real=real, **how) as stand:
        if prepare is not None:
            prepare(stand)
        app = Posed(stand)
        async with app.run_test(size=size) as pilot:
            try:
                yield Play(app, pilot, stand)
            finally:
                stop(app, stand)


@asynccontextmanager
async def replay(
    path: Path, stand: Stand, *, speed: float = 0.0, clock: Clock | None = None, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Play]:
    """A recording in the wizard.

    :param stand: where it was made.
    """
    tape = load(path)
    workspace = Recorded(tape, Settings(), Pace(clock or SystemClock(), speed, tape.started))
    app = PosedReplay(workspace, stand.normal)
    async with app.run_test(size=size) as pilot:
        try:
            yield Play(app, pilot, stand)
        finally:
            stop(app, stand)


def stop(app: Wizard, stand: Stand) -> None:
    """End what still runs, as its folder is about to go."""
    stand.release()
    app.stop_job()
    if app.engine_thread is not None and app.engine_thread.running:
        app.engine_thread.stop()
        app.engine_thread.join(20)
    if app._job is not None:
        app._job.join(20)


def run(play: Coroutine[Any, Any, None]) -> None:
    """Run a play to its end."""
    asyncio.run(play)
