"""What a result says of an app besides (docs/reference/exit-codes.md); what a flow itself adds stands in its module."""

from __future__ import annotations

from typing import Any

from core.entra.application import App
from core.entra.permissions import TAKEOVER, name_of


def permissions(app: App) -> list[dict[str, Any]]:
    """What the app was granted by name, and which of it lets whoever holds it take over the tenant."""
    return [{"name": name, "takeover": name in TAKEOVER} for name in sorted(map(name_of, app.granted))]
