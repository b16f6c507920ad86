"""The command palette: what applies on this screen now, and the themes (U6)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from textual.command import DiscoveryHit, Hit, Hits, Provider

THEMES: Final = ("textual-dark", "textual-light", "ansi-dark", "ansi-light")
#: What every screen of the framework binds.
_FRAMEWORK: Final = frozenset({"app.focus_next", "app.focus_previous", "screen.copy_text", "command_palette"})


class Offers(Provider):
    """The enabled actions of the screen and the app, under the words of their keys."""

    async def discover(self) -> Hits:
        for title, told, run in self._offers():
            yield DiscoveryHit(title, run, help=told)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, told, run in self._offers():
            if (score := matcher.match(title)) > 0:
                yield Hit(score, matcher.highlight(title), run, help=told)

    def _offers(self) -> list[tuple[str, str, Callable[[], Any]]]:
        app = self.app
        offers: dict[str, tuple[str, str, Callable[[], Any]]] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            ours = type(active.node).__module__.startswith("wizard.") and binding.action not in _FRAMEWORK
            if ours and active.enabled and binding.description:
                told = f"key {binding.key_display or binding.key}"
                run = partial(app.run_action, binding.action, active.node)
                offers.setdefault(binding.action, (binding.description, told, run))
        themes = [(f"Theme: {name}", "", partial(setattr, app, "theme", name)) for name in THEMES if name != app.theme]
        return [*offers.values(), *themes]
