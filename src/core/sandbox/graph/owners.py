"""Owners and sponsors in the pretend Graph: people and others that are named by reference (A.1, A.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import chain, rights
from core.sandbox.graph.permissions import agent_of
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Response, answer

#: The lists that are written by reference.
LISTS: Final = ("owners", "sponsors")


def typed(tenant: Tenant, ids: Iterable[str]) -> Iterator[State]:
    """The objects of these ids, each with its type: a list may hold people, groups and service principals."""
    for object_id in ids:
        for kind in ("user", "servicePrincipal", "group"):
            state = tenant.latest(kind, object_id)
            if state is not None:
                yield {"@odata.type": f"#microsoft.graph.{kind}", **state}


def add(tenant: Tenant, caller: Caller, kind: str, object_id: str, name: str, body: dict[str, Any]) -> Response:
    """POST of `owners/$ref` or `sponsors/$ref`.

    :raises Refused: 404, 403; 400 for whoever is one already, and for whoever may not sponsor.
    """
    state = _written(tenant, caller, kind, object_id, name)
    one = chain.named(str(body.get("@odata.id")))
    if name == "sponsors":
        chain.check_sponsor(tenant, caller, one)
        chain.check_number(tenant, [*state["_sponsors"], one])
    elif tenant.latest("user", one) is None and tenant.latest("servicePrincipal", one) is None:
        raise rights.missing(one)
    if one in state[f"_{name}"]:
        message = f"One or more added object references already exist for the following modified properties: '{name}'."
        raise Refused(400, "Request_BadRequest", message)
    return _set(tenant, kind, state, name, [*state[f"_{name}"], one])


def remove(tenant: Tenant, caller: Caller, kind: str, object_id: str, name: str, one: str) -> Response:
    """DELETE of `owners/{id}/$ref` or `sponsors/{id}/$ref`.

    :raises Refused: 404, 403.
    """
    state = _written(tenant, caller, kind, object_id, name)
    if one not in state[f"_{name}"]:
        raise rights.missing(one)
    return _set(tenant, kind, state, name, [other for other in state[f"_{name}"] if other != one])


def _written(tenant: Tenant, caller: Caller, kind: str, object_id: str, name: str) -> State:
    operation = "sponsors" if name == "sponsors" else "change"
    state = rights.written(tenant, caller, kind, object_id, operation)
    if f"_{name}" not in state or (name == "sponsors" and not agent_of(state)):
        raise Refused(400, "BadRequest", f"Resource not found for the segment '{name}'.")
    return state


def _set(tenant: Tenant, kind: str, state: State, name: str, ids: list[str]) -> Response:
    tenant.commit(kind, state["id"], state | {f"_{name}": ids})
    return answer(204)
