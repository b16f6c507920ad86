"""Pictures of the wizard for people: `python -m tests.tui.pictures` writes `screenshots/`, and a test compares them."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.tui.play import Play
from tests.tui.scenes import LARGE, NARROW, NORMAL, REELS, Reel, Scene

FOLDER: Final = Path(__file__).resolve().parents[2] / "screenshots"
THEMES: Final = ("textual-light", "ansi-dark", "ansi-light")
_HEAD: Final = """\
# Screens of the wizard

Written by `make screenshots` from the sandbox; a test compares them with what the wizard shows. Each is there with
80 x 24 and with 120 x 36 characters.

![A migration, replayed](migration.svg)
"""
_FONT: Final = re.compile(r"@font-face\s*\{[^}]*\}\s*")
_MAKER: Final = re.compile(r"[ ]*<!--.*?-->\n")
_IDENTITY: Final = re.compile(r"\bterminal-\d+")


def clean(svg: str) -> str:
    """A picture that loads nothing from anywhere, with the same ids every time."""
    svg = _IDENTITY.sub("terminal", _FONT.sub("", _MAKER.sub("", svg)))
    svg = (
        svg.replace("Fira Code, monospace", "monospace")
        .replace("Fira Code", "monospace")
        .replace("arial", "sans-serif")
    )
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


async def shot(play: Play, size: tuple[int, int]) -> str:
    """A picture of what is there now in a terminal of that size, which it keeps."""
    if tuple(play.app.size) != size:
        await play.pilot.resize_terminal(*size)
        await play.until(lambda: tuple(play.app.screen.size) == size)
    return await still(play)


async def still(play: Play) -> str:
    """A picture that the next one repeats: on a busy machine a table may be measured once more after it was drawn."""
    before, picture = "", clean(play.app.export_screenshot())
    while picture != before:
        await play.pilot.pause()
        before, picture = picture, clean(play.app.export_screenshot())
    return picture


async def shots(reel: Reel, take: Callable[[str, str], object]) -> None:
    """Every picture of a reel.

    :param take: receives its name and itself.
    """

    async def look(scene: Scene, play: Play) -> None:
        if not scene.still:
            return
        usual = (play.app.size.width, play.app.size.height)
        if not scene.text:
            take(scene.name, await still(play))
            return
        for size in (NORMAL, LARGE, *((NARROW,) if scene.narrow else ())):
            take(f"{scene.name}-{size[0]}x{size[1]}", await shot(play, size))
        await shot(play, usual)
        for theme in THEMES if scene.themes else ():
            await play.press("f2")
            take(f"{scene.name}-{theme}", await still(play))
        if scene.themes:
            await play.press("f2")

    await reel.roll(look)


def published(name: str) -> bool:
    """Whether a picture belongs into `screenshots/`."""
    return name.endswith((f"-{NORMAL[0]}x{NORMAL[1]}", f"-{LARGE[0]}x{LARGE[1]}"))


def index() -> str:
    """The page that shows them."""
    parts = [_HEAD]
    for reel in REELS:
        for scene in reel.scenes:
            if scene.text:
                small, large = (f"{scene.name}-{width}x{height}.svg" for width, height in (NORMAL, LARGE))
                parts.append(f"## {scene.name}\n\n{scene.text}\n\n![{scene.name}]({small})\n\n[larger]({large})\n")
    return "\n".join(parts)


async def _write(folder: Path) -> None:
    from tests.tui import film  # which needs this module

    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    (folder / "README.md").write_text(index(), encoding="utf-8")

    def keep(name: str, svg: str) -> None:
        if published(name):
            (folder / f"{name}.svg").write_text(svg, encoding="utf-8")

    for reel in REELS:
        if any(scene.text for scene in reel.scenes):
            await shots(reel, keep)
    (folder / film.NAME).write_text(film.film(await film.shoot()), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(_write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
