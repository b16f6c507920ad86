"""App management policies: what credentials an app may be given from now on (entra-protocol B.6).

A policy stops new credentials only. An object's own policy counts instead of the tenant's default one.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509

from core.sandbox.directory.registrations import Refused, life_of, moment
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import rights, roles, views
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Request, Response, answer

KIND: Final = "appManagementPolicy"
PATH: Final = "/policies/appManagementPolicies"
DEFAULT_PATH: Final = "/policies/defaultAppManagementPolicy"
WRITE: Final = "Policy.ReadWrite.ApplicationConfiguration"
_READ: Final = (WRITE, "Policy.Read.ApplicationConfiguration", "Policy.Read.All")
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
_AUTHORITY: Final = "trustedCertificateAuthority"  # of an evolvable enumeration: shown by name to whoever asks for it
_TYPES: Final = {
    "passwordCredentials": (
        "passwordAddition",
        "passwordLifetime",
        "customPasswordAddition",
        "symmetricKeyAddition",
        "symmetricKeyLifetime",
    ),
    "keyCredentials": ("asymmetricKeyLifetime", _AUTHORITY),
}
_DURATION: Final = re.compile(r"^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$")
#: A service principal without a creation date counts as created then (GD "Create appManagementPolicy").
_UNDATED: Final = datetime(2019, 1, 1, tzinfo=UTC)


def new_policy(tenant: Tenant, name: str, restrictions: State, applies_to: tuple[str, ...] = ()) -> State:
    """A policy; not committed yet.

    :param restrictions: `passwordCredentials` and `keyCredentials`, lists of restrictions.
    :param applies_to: object ids of applications and service principals.
    """
    return {
        "id": tenant.new_id(),
        "displayName": name,
        "description": name,
        "isEnabled": True,
        "restrictions": {"passwordCredentials": [], "keyCredentials": [], **restrictions},
        "_applies_to": list(applies_to),
    }


def handle(tenant: Tenant, caller: Caller, request: Request, path: str, body: State) -> Response:
    """Answer a request below `/policies`.

    :raises Refused: 403, 404, 400.
    """
    _check(caller, request.method)
    if path == DEFAULT_PATH:
        state = _default(tenant)
        if request.method == "PATCH":
            return _change(tenant, state, body)
        if request.method == "GET":
            return views.one(tenant, request, _shown(request, state), "policies/defaultAppManagementPolicy")
    elif path == PATH:
        if request.method == "GET":
            found = [_shown(request, state) for state in _all(tenant, caller)]
            return views.page(tenant, request, found, "policies/appManagementPolicies")
        if request.method == "POST":
            return _create(tenant, body)
    elif path.startswith(f"{PATH}/"):
        policy_id, _, relation = path.removeprefix(f"{PATH}/").partition("/")
        match request.method if not relation else f"{request.method} {relation}":
            case "GET appliesTo":
                held = rights.seen(tenant, caller, KIND, policy_id)["_applies_to"]
                return views.page(tenant, request, _holders(tenant, held), "directoryObjects")
            case "GET":
                state = rights.seen(tenant, caller, KIND, policy_id)
                return views.one(tenant, request, _shown(request, state), "policies/appManagementPolicies")
            case "PATCH":
                return _change(tenant, _newest(tenant, caller, policy_id), body)
            case "DELETE":
                tenant.commit(KIND, _newest(tenant, caller, policy_id)["id"], None)
                return answer(204)
    raise Refused(400, "BadRequest", f"Resource not found for the segment '{path.strip('/')}'.")


def handle_assigned(
    tenant: Tenant, caller: Caller, request: Request, kind: str, object_id: str, rest: str, body: State
) -> Response:
    """Answer a request below `/applications/{id}/appManagementPolicies`, or below a service principal's.

    :param rest: what follows: nothing, `$ref`, or a policy's id and `$ref`.
    :raises Refused: 403, 404, 400.
    """
    _check(caller, request.method)
    if request.method != "GET" and not caller.permissions & {"Application.Read.All", rights.WRITE}:
        raise rights.denied()
    rights.seen(tenant, caller, kind, object_id)
    match request.method, rest.split("/"):
        case "GET", [""]:
            found = [_shown(request, state) for state in assigned(tenant, caller, object_id)]
            return views.page(tenant, request, found, "appManagementPolicies")
        case "POST", ["$ref"]:
            return _assign(tenant, caller, object_id, body)
        case "DELETE", [policy_id, "$ref"]:
            policy = tenant.latest(KIND, policy_id)
            if policy is None or object_id not in policy["_applies_to"]:
                raise rights.missing(policy_id)
            policy["_applies_to"].remove(object_id)
            tenant.commit(KIND, policy_id, policy)
            return answer(204)
    raise Refused(400, "BadRequest", f"Resource not found for the segment '{rest or 'appManagementPolicies'}'.")


def assigned(tenant: Tenant, caller: Caller, object_id: str) -> list[State]:
    """The policies of an application or service principal."""
    return [policy for policy in _all(tenant, caller) if object_id in policy["_applies_to"]]


def check_password(tenant: Tenant, kind: str, state: State, entry: State) -> None:
    """Whether an object may be given this password.

    :raises Refused: 400.
    """
    for restriction in _restrictions(tenant, kind, state, "passwordCredentials"):
        if restriction["restrictionType"] == "passwordAddition":
            message = "Credential type not allowed as per assigned policy."
            raise Refused(400, "CredentialTypeNotAllowedAsPerAppPolicy", message)
        if restriction["restrictionType"] == "passwordLifetime":
            _check_lifetime(restriction, entry, [])


def check_key(tenant: Tenant, kind: str, state: State, entry: State) -> None:
    """Whether an object may be given this certificate.

    :raises Refused: 400.
    """
    details = [{"code": "InvalidKeyEndDate", "message": "Credential end date is too late.", "target": "EndDate"}]
    for restriction in _restrictions(tenant, kind, state, "keyCredentials"):
        if restriction["restrictionType"] == "asymmetricKeyLifetime":
            _check_lifetime(restriction, entry, details)
        elif restriction["restrictionType"] == _AUTHORITY and _self_signed(entry):
            message = "Credential type not allowed as per assigned policy: no trusted authority issued the certificate."
            raise Refused(400, "CredentialTypeNotAllowedAsPerAppPolicy", message)


def _self_signed(entry: State) -> bool:
    """Whether an entry's certificate names itself as issuer; which authorities are trusted nobody says here."""
    certificate = x509.load_der_x509_certificate(base64.b64decode(entry["key"]))
    return certificate.issuer == certificate.subject


def _shown(request: Request, state: State) -> State:
    """A policy as it is shown: a newer member of an enumeration by name only to whoever prefers that."""
    if "include-unknown-enum-members" in request.headers.get("prefer", ""):
        return state
    text = json.dumps(state).replace(f'"{_AUTHORITY}"', '"unknownFutureValue"')
    shown: State = json.loads(text)
    return shown


def _check_lifetime(restriction: State, entry: State, details: list[dict[str, str]]) -> None:
    longest = _duration(restriction["maxLifetime"])
    begins, ends = life_of(entry)
    if longest is not None and ends - begins > longest:
        message = "Credential lifetime exceeds the max value allowed as per assigned policy."
        raise Refused(400, "CredentialInvalidLifetimeAsPerAppPolicy", message, details=details)


def _restrictions(tenant: Tenant, kind: str, state: State, credential: str) -> Iterator[State]:
    """The restrictions that count for an object: of its own policy, else of the tenant's."""
    own = [policy for policy in tenant.all_latest(KIND) if state["id"] in policy["_applies_to"] and policy["isEnabled"]]
    if own:
        holder = own[0]["restrictions"]
    else:
        default = _default(tenant)
        part = "applicationRestrictions" if kind == "application" else "servicePrincipalRestrictions"
        holder = default[part] if default["isEnabled"] else {}
    created = moment(state["createdDateTime"]) if state.get("createdDateTime") else _UNDATED
    for restriction in holder.get(credential, ()):
        since = restriction.get("restrictForAppsCreatedAfterDateTime")
        if restriction.get("state", "enabled") == "enabled" and (not since or created >= moment(since)):
            yield restriction


def _check(caller: Caller, method: str) -> None:
    permissions = _READ if method == "GET" else (WRITE,)
    admins = roles.APP_ADMINISTRATORS | ({roles.GLOBAL_READER} if method == "GET" else set())
    if not any(caller.holds(permission, admins) for permission in permissions):
        raise rights.denied()


def _all(tenant: Tenant, caller: Caller) -> list[State]:
    return [policy for policy in tenant.all_seen(KIND, caller.replica) if policy["id"] != _NOBODY]


def _holders(tenant: Tenant, ids: list[str]) -> Iterator[State]:
    """The applications and service principals of these object ids, each with its type."""
    for object_id in ids:
        for kind in ("application", "servicePrincipal"):
            state = tenant.latest(kind, object_id)
            if state is not None:
                yield {"@odata.type": f"#microsoft.graph.{kind}", **state}


def _default(tenant: Tenant) -> State:
    nothing: State = {"passwordCredentials": [], "keyCredentials": []}
    return tenant.latest(KIND, _NOBODY) or {
        "id": _NOBODY,
        "displayName": "Default app management tenant policy",
        "description": "Default tenant policy that enforces app management restrictions.",
        "isEnabled": False,
        "applicationRestrictions": nothing,
        "servicePrincipalRestrictions": dict(nothing),
        "_applies_to": [],
    }


def _create(tenant: Tenant, body: State) -> Response:
    if not isinstance(body.get("displayName"), str):
        raise Refused(400, "Request_BadRequest", "Property 'displayName' is required.")
    state = new_policy(tenant, body["displayName"], {})
    _apply(state, body)
    tenant.commit(KIND, state["id"], state)
    return views.created(tenant, state, "policies/appManagementPolicies")


def _change(tenant: Tenant, state: State, body: State) -> Response:
    _apply(state, body)
    tenant.commit(KIND, state["id"], state)
    return answer(204)


def _apply(state: State, body: State) -> None:
    for name, value in body.items():
        if name.startswith("@"):
            continue
        if name == "id" or name.startswith("_") or name not in state or not isinstance(value, type(state[name])):
            raise Refused(400, "Request_BadRequest", f"Invalid property '{name}'.")
        if isinstance(value, dict):
            _check_restrictions(value)
            state[name] = {"passwordCredentials": [], "keyCredentials": [], **value}
        else:
            state[name] = value


def _check_restrictions(value: State) -> None:
    for credential, restrictions in value.items():
        if credential.startswith("@"):
            continue
        if credential not in _TYPES or not isinstance(restrictions, list):
            raise Refused(400, "Request_BadRequest", f"Invalid property '{credential}'.")
        for restriction in restrictions:
            kind = restriction.get("restrictionType") if isinstance(restriction, dict) else None
            if kind not in _TYPES[credential]:
                raise Refused(400, "Request_BadRequest", f"Invalid value '{kind}' for 'restrictionType'.")
            if (_duration(restriction.get("maxLifetime")) is None) == kind.endswith("Lifetime"):
                raise Refused(400, "Request_BadRequest", f"Invalid value for 'maxLifetime' of '{kind}'.")
            if restriction.get("restrictForAppsCreatedAfterDateTime"):
                moment(restriction["restrictForAppsCreatedAfterDateTime"])


def _assign(tenant: Tenant, caller: Caller, object_id: str, body: State) -> Response:
    policy = _newest(tenant, caller, str(body.get("@odata.id", "")).rpartition("/")[2])
    if any(object_id in other["_applies_to"] for other in tenant.all_latest(KIND)):
        message = "One or more added object references already exist for: 'appManagementPolicies'."
        raise Refused(400, "Request_BadRequest", message)
    policy["_applies_to"].append(object_id)
    tenant.commit(KIND, policy["id"], policy)
    return answer(204)


def _newest(tenant: Tenant, caller: Caller, policy_id: str) -> State:
    """The newest version of a policy that this replica has seen; the tenant's own is not one of the list."""
    state = None if policy_id == _NOBODY else tenant.latest(KIND, policy_id)
    if state is None or tenant.seen(KIND, policy_id, caller.replica) is None:
        raise rights.missing(policy_id)
    return state


def _duration(text: Any) -> timedelta | None:
    """A time span as ISO 8601 writes it, or None where there is none; a year has 365 days, a month 30."""
    matched = _DURATION.match(text) if isinstance(text, str) and text not in ("P", "PT") else None
    if matched is None:
        return None
    try:
        years, months, days, hours, minutes, seconds = (int(part or 0) for part in matched.groups())
        return timedelta(days=years * 365 + months * 30 + days, hours=hours, minutes=minutes, seconds=seconds)
    except (ValueError, OverflowError):  # longer than any time
        return None
