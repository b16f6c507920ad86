"""Every screen in its normal, failing and narrow form, and in every theme, is as somebody has seen it (U1, U6, U7)."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tui import film, pictures
from tests.tui.play import run
from tests.tui.scenes import REELS, Reel


def words(svg: str) -> str:
    """The text of a picture, a line a line."""
    lines: dict[float, list[str]] = {}
    for y, text in re.findall(r'<text class="[^"]*" x="[^"]*" y="([\d.]+)"[^>]*>([^<]*)</text>', svg):
        lines.setdefault(float(y), []).append(html.unescape(text).replace("\xa0", " "))
    return "\n".join(" ".join(parts) for _, parts in sorted(lines.items()))


@pytest.mark.parametrize("reel", REELS, ids=lambda reel: reel.name)
def test_U6_U7_pictures_are_fresh(reel: Reel, kept: Callable[[str, str], bool]) -> None:
    wrong: list[str] = []

    def compare(name: str, svg: str) -> None:
        if pictures.published(name):
            path = pictures.FOLDER / f"{name}.svg"
            same = path.is_file() and path.read_text(encoding="utf-8") == svg
        else:
            same = kept(name, svg)
        if not same:
            wrong.append(f"{name}:\n{words(svg)}")

    run(pictures.shots(reel, compare))
    told = "'make screenshots' and 'pytest tests/tui --snapshot-update' draw anew; look at what they changed"
    assert not wrong, "\n\n".join([*wrong, told])


def test_U6_U7_the_moving_picture_is_fresh_small_and_needs_nothing_but_styles() -> None:
    path = pictures.FOLDER / film.NAME
    kept = path.read_text(encoding="utf-8")
    assert len(kept) < 1_500_000
    assert re.findall(r"<script|<foreignObject|@import|@font-face|<image|\bon[a-z]+=|url\((?!#)", kept) == []
    assert 10 <= kept.count("{transform:translateY(") <= 300

    async def shot() -> None:
        assert film.film(await film.shoot()) == kept, "'make screenshots' draws it anew; look at what changed"

    run(shot())


def test_U8_the_readme_shows_the_moving_picture_and_says_what_is_in_it() -> None:
    readme = (pictures.FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert f"![{film.ALT}](screenshots/{film.NAME})" in readme


def test_U8_the_index_names_every_picture() -> None:
    assert (pictures.FOLDER / "README.md").read_text(encoding="utf-8") == pictures.index()
    named = set(re.findall(r"\(([\w-]+\.svg)\)", pictures.index()))
    assert named == {path.name for path in pictures.FOLDER.glob("*.svg")}


def test_pictures_load_nothing_from_elsewhere() -> None:
    found: list[Path] = list(pictures.FOLDER.glob("*.svg"))
    assert len(found) >= 28
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"https?://[\w./-]+", text)) <= {"http://www.w3.org/2000/svg"} | _shown(text), path
        assert "@font-face" not in text


def _shown(svg: str) -> set[str]:
    """Addresses that are text on the screen."""
    return set(re.findall(r"https?://[\w./-]+", words(svg)))
