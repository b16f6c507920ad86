"""What the result object of a command holds besides (docs/reference/exit-codes.md); rows of the registry name these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.flow.engine import Result
    from core.steps.context import World


def removed(world: World, result: Result) -> dict[str, Any]:
    """How many password credentials were removed, of the app and of its service principal."""
    return {"removed": {holder: len(ids) for holder, ids in world.known.removed.items()}}


def migrated(world: World, result: Result) -> dict[str, Any]:
    """That, and what became of the old secret."""
    known = world.known
    return {**removed(world, result), "purged": known.purged, "secret_refusal_unproven": known.unproven}
