"""A flow that only the registry knows stands on the welcome screen (U1, U2)."""

from __future__ import annotations

import pytest

from tests import dummy
from tests.tui.play import play, run


def test_U1_the_welcome_screen_offers_it_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    dummy.add_flow(monkeypatch)

    async def scene() -> None:
        async with play(real=True) as shown:
            await shown.at("welcome")
            assert shown.shows("Dummy")
            assert shown.shows("leave a mark that nobody needs")
            text = shown.text
            assert text.index("Migrate") < text.index("Dummy") < text.index("Set up")
            await shown.press("down", "enter")
            await shown.until(lambda: shown.app.model.kind == "dummy")
            assert shown.app.subject == "mark"

    run(scene())
