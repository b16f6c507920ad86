"""Chats of whoever is signed in, as the smoke test of an agent asks for them (`/me/chats`)."""

from __future__ import annotations

from typing import Final

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import Tenant
from core.sandbox.graph import licences, rights, views
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response

KIND: Final = "chat"
PATH: Final = "/me/chats"
_SCOPES: Final = ("Chat.ReadBasic", "Chat.Read", "Chat.ReadWrite")


def listed(tenant: Tenant, caller: Caller, request: Request) -> Response:
    """The chats of the signed-in person or Agent User, who has to have a licence for Teams.

    :raises Refused: 400 for an app, 403.
    """
    if not caller.person:
        raise Refused(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
    if not caller.permissions & set(_SCOPES):
        message = f"Missing scope permissions on the request. API requires one of '{', '.join(_SCOPES)}'. "
        raise Refused(403, "Forbidden", f"{message}Scopes on the request '{', '.join(sorted(caller.permissions))}'")
    user = rights.seen(tenant, caller, "user", caller.oid)
    if licences.TEAMS not in licences.services(tenant, user):
        message = "Failed to get license information for the user. "
        message += "Ensure user has a valid Office365 license assigned to them."
        raise Refused(403, "Forbidden", message)
    found = [chat for chat in tenant.all_seen(KIND, caller.replica) if caller.oid in chat["_members"]]
    return views.page(tenant, request, found, "chats")
