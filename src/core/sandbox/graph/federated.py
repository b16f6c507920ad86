"""Federated credentials of an app: tokens of other issuers that it signs in with (GD "federatedIdentityCredential")."""

from __future__ import annotations

import re
from typing import Any, Final

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import chain, rights, views
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response, answer

NAME: Final = "federatedIdentityCredentials"
_MOST: Final = 20
_LONGEST: Final = 600
_FORM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,119}")
_KEYED: Final = re.compile(rf"{NAME}\(name='((?:[^']|'')+)'\)")


def handle(tenant: Tenant, caller: Caller, request: Request, object_id: str, rest: str, body: State) -> Response:
    """Answer a request to the federated credentials of an application.

    :param rest: the path from their name on; one of them is named by its id or its name.
    :raises Refused: 403, 404, 409, 400.
    """
    collection = f"applications('{object_id}')/{NAME}"
    keyed = _KEYED.fullmatch(rest)
    name = keyed[1].replace("''", "'") if keyed else rest.removeprefix(NAME).strip("/")
    if request.method == "GET":
        rights.check_read(caller, "application", object_id)
        held = rights.seen(tenant, caller, "application", object_id)["_federated"]
        if not name:
            return views.page(tenant, request, held, collection)
        return views.one(tenant, request, _named(held, name), collection)
    state = rights.written(tenant, caller, "application", object_id, "keys")
    held = state["_federated"]
    if request.method == "POST" and not name:
        return _add(tenant, state, body, collection)
    if request.method == "PATCH" and name:
        wanted = "create-if-missing" in request.headers.get("prefer", "").lower()
        if keyed and wanted and not any(one["name"] == name for one in held):
            return _add(tenant, state, body | {"name": name}, collection)
        old = _named(held, name)
        new = _checked([one for one in held if one is not old], old | body)
        if new["id"] != old["id"] or new["name"] != old["name"]:
            raise Refused(400, "Request_BadRequest", "Property 'name' is read-only and cannot be set.")
        return _set(tenant, state, [new if one is old else one for one in held])
    if request.method == "DELETE" and name:
        gone = _named(held, name)
        return _set(tenant, state, [one for one in held if one is not gone])
    raise Refused(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")


def _add(tenant: Tenant, state: State, body: State, collection: str) -> Response:
    if len(state["_federated"]) >= _MOST:
        message = f"The number of federated identity credentials cannot exceed {_MOST}."
        raise Refused(400, "Request_BadRequest", message)
    new = _checked(state["_federated"], {"id": tenant.new_id(), "description": None, **body})
    _set(tenant, state, [*state["_federated"], new])
    return views.created(tenant, new, collection)


def _checked(others: list[State], given: dict[str, Any]) -> State:
    """A federated credential, whose name and whose issuer with subject no other of the app has."""
    for name in given:
        if not name.startswith("@") and name not in ("id", "name", "issuer", "subject", "description", "audiences"):
            raise Refused(400, "Request_BadRequest", f"Invalid property '{name}'.")
    name, issuer, subject = (chain.text(given, part) for part in ("name", "issuer", "subject"))
    if not _FORM.fullmatch(name) or not issuer.startswith("https://") or len(issuer + subject) > 2 * _LONGEST:
        raise Refused(400, "Request_BadRequest", "Invalid value for 'name', 'issuer' or 'subject'.")
    audiences = given.get("audiences")
    if not isinstance(audiences, list) or len(audiences) != 1 or not isinstance(audiences[0], str):
        raise Refused(400, "Request_BadRequest", "Property 'audiences' must hold a single value.")
    if not isinstance(given.get("description"), str | None):
        raise Refused(400, "Request_BadRequest", "Invalid value for 'description'.")
    for other in others:
        if other["name"] == name:
            message = f"FederatedIdentityCredential with name {name} already exists."
            raise Refused(409, "Request_MultipleObjectsWithSameKeyValue", message)
        if (other["issuer"], other["subject"]) == (issuer, subject):
            message = "FederatedIdentityCredential with matching issuer and subject already exists."
            raise Refused(409, "Request_MultipleObjectsWithSameKeyValue", message)
    names = ("id", "name", "issuer", "subject", "description", "audiences")
    return {each: given[each] for each in names}


def _named(held: list[State], name: str) -> State:
    found = next((one for one in held if name in (one.get("id"), one.get("name"))), None)
    if found is None:
        raise rights.missing(name)
    return found


def _set(tenant: Tenant, state: State, held: list[State]) -> Response:
    tenant.commit("application", state["id"], state | {"_federated": held})
    return answer(204)
