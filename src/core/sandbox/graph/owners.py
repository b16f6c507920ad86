"""Owners of app registrations and service principals in the pretend Graph: added and removed by reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import rights
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Response, answer


def typed(tenant: Tenant, ids: Iterable[str]) -> Iterator[State]:
    """The people and service principals of these object ids, each with its type: a list may hold both."""
    for object_id in ids:
        for kind in ("user", "servicePrincipal"):
            state = tenant.latest(kind, object_id)
            if state is not None:
                yield {"@odata.type": f"#microsoft.graph.{kind}", **state}


def add(tenant: Tenant, caller: Caller, kind: str, object_id: str, body: dict[str, Any]) -> Response:
    """POST of `owners/$ref`.

    :raises Refused: 404, 403; 400 for whoever is an owner already.
    """
    state = rights.written(tenant, caller, kind, object_id)
    try:
        owner = urlsplit(str(body.get("@odata.id"))).path.rpartition("/")[2]
    except ValueError:
        raise Refused(400, "Request_BadRequest", "Invalid value for '@odata.id'.") from None
    if tenant.latest("user", owner) is None and tenant.latest("servicePrincipal", owner) is None:
        raise rights.missing(owner)
    if owner in state["_owners"]:
        message = "One or more added object references already exist for the following modified properties: 'owners'."
        raise Refused(400, "Request_BadRequest", message)
    return _set(tenant, kind, state, [*state["_owners"], owner])


def remove(tenant: Tenant, caller: Caller, kind: str, object_id: str, owner: str) -> Response:
    """DELETE of `owners/{id}/$ref`.

    :raises Refused: 404, 403.
    """
    state = rights.written(tenant, caller, kind, object_id)
    if owner not in state["_owners"]:
        raise rights.missing(owner)
    return _set(tenant, kind, state, [other for other in state["_owners"] if other != owner])


def _set(tenant: Tenant, kind: str, state: State, owners: list[str]) -> Response:
    tenant.commit(kind, state["id"], state | {"_owners": owners})
    return answer(204)
