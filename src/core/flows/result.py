"""What the result object of a command holds besides (docs/reference/exit-codes.md); rows of the registry name these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.entra.permissions import TAKEOVER, name_of
from core.steps.facts import SecretUnproven
from core.steps.passwords import delete
from core.steps.state_file.purge import purged

if TYPE_CHECKING:
    from core.entra.application import App
    from core.flow.engine import Result
    from core.steps.context import Context


def removed(ctx: Context, result: Result) -> dict[str, Any]:
    """How many password credentials were removed, of the app and of its service principal."""
    return {"removed": delete.removed(ctx)}


def migrated(ctx: Context, result: Result) -> dict[str, Any]:
    """That, and what became of the old secret."""
    unproven = ctx.facts.maybe(SecretUnproven)
    why = unproven.why if unproven is not None else ""
    return {**removed(ctx, result), "purged": purged(ctx), "secret_refusal_unproven": why}


def permissions(app: App) -> list[dict[str, Any]]:
    """What the app was granted by name, and which of it lets whoever holds it take over the tenant."""
    return [{"name": name, "takeover": name in TAKEOVER} for name in sorted(map(name_of, app.granted))]
