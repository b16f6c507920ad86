"""App registrations and service principals of the pretend Graph: made, changed, given passwords (A.2, A.6, B)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from core.sandbox.directory import defaults, registrations
from core.sandbox.directory.registrations import Refused, moment
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import chain, grants, members, microsofts, policies, rights, views
from core.sandbox.graph.permissions import BLUEPRINT, IDENTITY, agent_of, parts
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response, answer
from core.secret import Secret

#: The service's own words for an app that was made a moment ago; the Azure CLI waits when it reads them.
_NOT_HERE: Final = (
    "When using this permission, the backing application of the service principal being created must in the "
    "local tenant"
)
_PASSWORDS: Final = "passwordCredentials"
COLLECTIONS: Final = {
    "application": "applications",
    "servicePrincipal": "servicePrincipals",
    "user": "users",
    "group": "groups",
}
#: Kind of the names that apps had which were purged: they are taken as long as those of deleted apps.
RESERVED: Final = "reservedName"
_KEPT: Final = timedelta(days=30)


def create(tenant: Tenant, caller: Caller, kind: str, body: dict[str, Any]) -> Response:
    """POST of an application or of a service principal; a person who creates it owns it.

    :raises Refused: 403, 400; 409 when the app has its service principal already.
    """
    if kind == "application":
        rights.check_create(tenant, caller)
        return _register(tenant, caller, body, None)
    if body.get("appId") in microsofts.OWN:
        return _instantiate(tenant, caller, str(body["appId"]))
    app = backing(tenant, caller, body, tenant.switches.principal_too_early)
    rights.check_write(tenant, caller, app)
    if app.get("@odata.type") == BLUEPRINT:
        message = "The service principal of an agent identity blueprint is an agentIdentityBlueprintPrincipal."
        raise Refused(400, "Request_BadRequest", message)
    state = registrations.new_principal(tenant, app, _owner(caller))
    apply(tenant, kind, state, {name: value for name, value in body.items() if name != "appId"})
    tenant.commit(kind, state["id"], state)
    return views.created(tenant, state, COLLECTIONS[kind])


def _instantiate(tenant: Tenant, caller: Caller, app_id: str) -> Response:
    """A service principal of one of Microsoft's own applications, which are registered elsewhere."""
    rights.check_write(tenant, caller, None)
    check_single(tenant, app_id)
    state = microsofts.principal(tenant, app_id)
    tenant.commit("servicePrincipal", state["id"], state)
    return views.created(tenant, state, COLLECTIONS["servicePrincipal"])


def backing(tenant: Tenant, caller: Caller, body: dict[str, Any], too_early: int) -> State:
    """The application that a new service principal stands for.

    :param too_early: status of the refusal when this replica does not know it yet.
    :raises Refused: 400: it is not there; 409: it has its service principal.
    """
    app_id = chain.text(body, "appId")
    app = tenant.find("application", "appId", app_id, caller.replica)
    if app is None:
        raise _without_app(tenant, app_id, too_early)
    check_single(tenant, app["appId"])
    return app


def _without_app(tenant: Tenant, app_id: str, status: int) -> Refused:
    """The refusal of a service principal whose app is nowhere, or, with one of three faces, not on this replica yet."""
    if status == 400 or tenant.find("application", "appId", app_id) is None:
        message = f"The appId '{app_id}' of the service principal does not reference a valid application object."
        return Refused(400, "Request_BadRequest", message)
    return Refused(403, "Authorization_RequestDenied", _NOT_HERE) if status == 403 else rights.missing(app_id)


def check_single(tenant: Tenant, app_id: str) -> None:
    """Whether an app is still without a service principal.

    :raises Refused: 409.
    """
    if tenant.find("servicePrincipal", "appId", app_id) is not None:
        message = f"The service principal name {app_id} is already in use."
        raise Refused(409, "Request_MultipleObjectsWithSameKeyValue", message)


def upsert(tenant: Tenant, caller: Caller, request: Request, name: str, body: dict[str, Any]) -> Response:
    """PATCH by `uniqueName`: with `Prefer: create-if-missing` it creates what is not there (GD "Upsert application").

    The name is looked up where writes go, not on a replica: no lag makes a second app of one name.

    :raises Refused: 403, 400; 404 without the header.
    """
    state = tenant.find("application", "uniqueName", name)
    if state is not None:
        rights.check_write(tenant, caller, state)
        return _change(tenant, "application", state, body)
    check_absent(tenant, request, name)
    rights.check_create(tenant, caller)
    return _register(tenant, caller, body, name)


def creates(request: Request) -> bool:
    """Whether a PATCH by another key than the id may create what is not there."""
    return "create-if-missing" in {item.strip().lower() for item in request.headers.get("prefer", "").split(",")}


def check_absent(tenant: Tenant, request: Request, name: str) -> None:
    """Whether an upsert may create what is not there: it has to ask for it, and a name stays taken for a while.

    :raises Refused: 404 without the header; 400: an app that had the name was deleted less than 30 days ago.
    """
    if not creates(request):
        raise rights.missing(name)
    gone = tenant.find(chain.BINS["application"], "uniqueName", name) or tenant.latest(RESERVED, name)
    if gone is not None and moment(gone["deletedDateTime"]) + _KEPT > tenant.now():
        message = "Another object with the same value for property uniqueName already exists."
        raise Refused(400, "Request_BadRequest", message, details=[registrations.taken("uniqueName")])


def change(tenant: Tenant, caller: Caller, kind: str, object_id: str, body: dict[str, Any]) -> Response:
    """PATCH of an application or of a service principal.

    :raises Refused: 404, 403, 400.
    """
    operations = parts(agent_of(rights.seen(tenant, caller, kind, object_id)), body)
    return _change(tenant, kind, rights.written(tenant, caller, kind, object_id, *operations), body)


def add_password(tenant: Tenant, caller: Caller, kind: str, object_id: str, body: dict[str, Any]) -> Response:
    """A new password, whose value is in this answer and in no other.

    :raises Refused: 404, 403, 400.
    """
    state = rights.written(tenant, caller, kind, object_id, "keys")
    check_holder(state)
    check_lock(tenant, kind, state, _PASSWORDS)
    secret = _give_password(tenant, kind, state, body.get("passwordCredential"))
    tenant.commit(kind, object_id, state)
    shown = views.shown(state, COLLECTIONS[kind])[_PASSWORDS][-1]
    described = views.context(tenant, "microsoft.graph.passwordCredential")
    return answer(200, described | shown | {"secretText": secret})


def remove_password(tenant: Tenant, caller: Caller, kind: str, object_id: str, body: dict[str, Any]) -> Response:
    """Delete a password by its keyId.

    :raises Refused: 404, 403, 400.
    """
    state = rights.written(tenant, caller, kind, object_id, "keys")
    check_lock(tenant, kind, state, _PASSWORDS)
    key_id = chain.text(body, "keyId")
    rest = [entry for entry in state[_PASSWORDS] if entry["keyId"] != key_id]
    if len(rest) == len(state[_PASSWORDS]):
        raise Refused(400, "Request_BadRequest", f"No password credential found with keyId '{key_id}'.")
    state[_PASSWORDS] = rest
    tenant.commit(kind, object_id, state)
    return answer(204)


def _give_password(tenant: Tenant, kind: str, state: State, wanted: Any) -> Secret:
    """Put a new password on an object that is not committed yet.

    :param wanted: its name and dates, all of which may be left out.
    :raises Refused: 400.
    """
    wanted = {} if wanted is None else wanted
    if not isinstance(wanted, dict) or not isinstance(wanted.get("displayName"), str | None):
        raise Refused(400, "Request_BadRequest", "Invalid value for 'passwordCredential'.")
    start, end = wanted.get("startDateTime"), wanted.get("endDateTime")
    entry, secret = registrations.new_password(tenant, wanted.get("displayName") or "", start, end)
    if moment(entry["endDateTime"]) <= max(moment(entry["startDateTime"]), tenant.now()):
        raise Refused(400, "Request_BadRequest", "Password credential end date is invalid.")
    policies.check_password(tenant, kind, state, entry)
    state[_PASSWORDS].append(entry)
    return secret


def check_holder(state: State) -> None:
    """Whether an object may hold credentials: an Agent Identity holds none.

    :raises Refused: 400.
    """
    if state.get("@odata.type") == IDENTITY:
        message = "Credentials are not supported on an agent identity."
        raise Refused(400, "AgentIdentity_CredentialsNotSupported", message)


def check_lock(tenant: Tenant, kind: str, state: State, name: str) -> None:
    """Whether the credentials of a service principal may be changed, which its app may forbid.

    :param name: of the property.
    :raises Refused: 400.
    """
    app = tenant.find("application", "appId", state["appId"]) if kind == "servicePrincipal" else None
    lock = (app or {}).get("servicePrincipalLockConfiguration") or {}
    if lock.get("isEnabled") and (lock.get("allProperties") or lock.get("credentialsWithUsageVerify")):
        raise Refused(400, "CannotUpdateLockedServicePrincipalProperty", f"Property {name} is invalid.")


def _register(tenant: Tenant, caller: Caller, body: dict[str, Any], unique_name: str | None) -> Response:
    """A new app; one that is created by POST may be given passwords, whose values are in this answer alone."""
    if not isinstance(body.get("displayName"), str) or not body["displayName"]:
        raise Refused(400, "Request_BadRequest", "Property 'displayName' is required.")
    state = registrations.new_application(tenant, body["displayName"], _owner(caller))
    state["uniqueName"] = unique_name
    state["signInAudience"] = body.get("signInAudience", defaults.AUDIENCES[0])
    if state["signInAudience"] == defaults.AUDIENCES[2]:
        state["api"]["requestedAccessTokenVersion"] = 2  # as people without a tenant need it
    wanted = body.get(_PASSWORDS) or [] if unique_name is None else []
    apply(tenant, "application", state, {name: body[name] for name in body if not wanted or name != _PASSWORDS})
    if not isinstance(wanted, list):
        raise members.invalid("application", _PASSWORDS)
    secrets = [_give_password(tenant, "application", state, each) for each in wanted]
    tenant.commit("application", state["id"], state)
    told = views.shown(state)
    for entry, secret in zip(told[_PASSWORDS], secrets, strict=True):
        entry["secretText"] = secret
    return views.created(tenant, told, "applications")


def _owner(caller: Caller) -> str:
    """Who owns what this caller makes; an app with Application.ReadWrite.All would not need to."""
    return caller.oid if caller.person or rights.WRITE not in caller.permissions else ""


def _change(tenant: Tenant, kind: str, state: State, body: dict[str, Any]) -> Response:
    for name in ("id", "appId"):
        if name in body and body[name] != state[name]:
            raise Refused(400, "Request_BadRequest", f"Property '{name}' is read-only and cannot be set.")
    before = defaults.mirrored(state)
    apply(tenant, kind, state, body)
    tenant.commit(kind, state["id"], state)
    if kind == "application":
        _mirror(tenant, before, state)
    return answer(204)


def _mirror(tenant: Tenant, before: State, app: State) -> None:
    """Change in a service principal what it has from its app, which has changed."""
    changed = {name: value for name, value in defaults.mirrored(app).items() if value != before[name]}
    principal = tenant.find("servicePrincipal", "appId", app["appId"]) if changed else None
    if principal is not None:
        tenant.commit("servicePrincipal", principal["id"], principal | changed)


def apply(tenant: Tenant, kind: str, state: State, body: dict[str, Any]) -> None:
    """Write the members of a body into an object that is not committed yet, each checked.

    :raises Refused: 400.
    """
    if body.get(_PASSWORDS) or body.get("keyCredentials"):
        check_holder(state)
    for name, value in body.items():
        if name.startswith(("@", "_")) or name in ("id", "appId"):
            continue
        if name not in state:
            raise members.unknown(kind, name)
        fixed = name in members.READ_ONLY or (kind, name) == ("servicePrincipal", "signInAudience")
        if fixed and value != state[name]:
            raise Refused(400, "Request_BadRequest", f"Property '{name}' is read-only and cannot be set.")
        if name == _PASSWORDS:
            if value not in (state[name], views.shown(state, COLLECTIONS[kind])[name]):
                raise Refused(400, "Request_BadRequest", f"Property '{name}' is read-only; use addPassword.")
            continue
        if name == "keyCredentials":
            check_lock(tenant, kind, state, name)
        if name == "requiredResourceAccess":
            grants.check_declared(tenant, value)
        if name == "keyCredentials":
            state[name] = _merged(tenant, kind, state, value)
        else:
            state[name] = members.merged(tenant, kind, state, name, value)


def _merged(tenant: Tenant, kind: str, state: State, entries: Any) -> list[State]:
    """The new list of keys; policies look at what is new in it."""
    merged = registrations.merged(tenant, state, entries)
    known = {entry["keyId"] for entry in state["keyCredentials"]}
    for entry in merged:
        if entry["keyId"] not in known:
            policies.check_key(tenant, kind, state, entry)
    return merged
