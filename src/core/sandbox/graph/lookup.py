"""Directory objects by their ids, whatever their type: what the Azure CLI names people and apps by (GD "getByIds")."""

from __future__ import annotations

from typing import Any, Final

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import payload, rights, views
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response, answer

PATH: Final = "/directoryObjects/getByIds"
_KINDS: Final = ("user", "servicePrincipal", "application", "group")
_EVERY: Final = "directoryobject"
_MOST: Final = 1000


def by_ids(tenant: Tenant, caller: Caller, request: Request) -> Response:
    """The objects with these ids, with every property; an id that nobody has is left out.

    :raises Refused: 403, 400.
    """
    if not caller.may("Directory.Read.All", "Directory.ReadWrite.All"):
        raise rights.denied()
    body = payload.body(request)
    ids, types = _texts(body, "ids"), _texts(body, "types") if "types" in body else [_EVERY]
    if not 1 <= len(ids) <= _MOST:
        raise Refused(400, "Request_BadRequest", f"Between 1 and {_MOST} 'ids' were expected.")
    wanted = {name.lower() for name in types}
    kinds = _KINDS if _EVERY in wanted else [kind for kind in _KINDS if kind.lower() in wanted]
    found: list[State] = []
    for object_id in dict.fromkeys(ids):
        for kind in kinds:
            state = tenant.seen(kind, object_id, caller.replica)
            if state is not None:
                found.append({"@odata.type": f"#microsoft.graph.{kind}", **state})
    shown = [views.shown(state, everything=True) for state in found]
    return answer(200, views.context(tenant, "directoryObjects") | {"value": shown})


def _texts(body: dict[str, Any], name: str) -> list[str]:
    value = body.get(name)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Refused(400, "Request_BadRequest", f"Invalid value for '{name}': a list of texts was expected.")
    return value
