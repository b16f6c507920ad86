"""A new app registration, made under a name that is known before the request is sent (P1, ADR-0004)."""

from __future__ import annotations

from typing import Any

from core.display import one_line
from core.entra.answers import documented
from core.entra.application import App, keys_of
from core.entra.graph import Graph


def upsert(graph: Graph, unique: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create an app registration under a `uniqueName`, or update the one of that name; safe to repeat.

    :returns: the new application, or nothing when it was there already.
    """
    path = f"/applications(uniqueName='{unique}')"
    headers = {"Prefer": "create-if-missing"}
    return graph.write("PATCH", path, body, "create the app registration", lambda: False, headers=headers)


def by_unique_name(graph: Graph, unique: str) -> str | None:
    """App id of the app of that `uniqueName`, or None."""
    found = graph.find(f"/applications(uniqueName='{unique}')?$select=id,appId", "look for the new app")
    with documented("look for the new app"):
        return str(found["appId"]) if found is not None else None


def of_answer(body: dict[str, Any]) -> App:
    """The app of a creation.

    :param body: the answer, with the keys that were sent, which it does not show.
    """
    with documented("create the app registration"):
        return App(
            object_id=str(body["id"]),
            app_id=str(body["appId"]),
            name=one_line(body.get("displayName")),
            created=str(body.get("createdDateTime") or "unknown"),
            keys=keys_of(body),
            access=tuple(body.get("requiredResourceAccess") or ()),
        )
