"""What a sandbox holds and what it was asked, as data for a page or a program; never a secret.

Members are picked one by one: what a tenant keeps for itself, like the digest of a secret, cannot slip through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from core import __version__
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import chain, consents, grants, reports, roles
from core.sandbox.logs import Served
from core.sandbox.switches import Switches
from core.secret import redacted

#: Requests that are shown.
SHOWN: Final = 200
_ROLES: Final = {
    value: name.replace("_", " ").capitalize()
    for name, value in vars(roles).items()
    if name.isupper() and isinstance(value, str)
}
#: Kinds with a place of their own.
_ELSEWHERE: Final = frozenset({"user", grants.KIND, consents.KIND, reports.KIND, *chain.BINS.values()})


def of(tenant: Tenant, served: Sequence[Served]) -> dict[str, Any]:
    """All of it.

    :param served: what was answered, oldest first.
    """
    usual, live = asdict(Switches()), _tokens(tenant)
    found = {
        "product": f"entraclaw-setup {__version__}",
        "pretend": True,
        "scenario": tenant.scenario,
        "seed": tenant.seed,
        "tenant": {"id": tenant.id, "name": tenant.name, "domain": tenant.domain},
        "now": tenant.stamp(),
        "origins": {"authority": tenant.authority, "graph": tenant.graph, "arm": tenant.arm},
        "switches": {name: value for name, value in asdict(tenant.switches).items() if value != usual[name]},
        "lag": dict(tenant.lag),
        "people": [_person(tenant, user, live) for user in tenant.all_latest("user")],
        "objects": [
            _object(tenant, kind, state, live)
            for kind in sorted(set(tenant.kinds()) - _ELSEWHERE)
            for state in tenant.all_latest(kind)
        ],
        "deleted": [
            {"kind": was, "id": state["id"], "name": _text(state.get("displayName"))}
            for was, kind in chain.BINS.items()
            for state in tenant.all_latest(kind)
        ],
        "grants": [*_roles(tenant), *_scopes(tenant)],
        "pending": [
            {
                "kind": change.kind,
                "id": change.id,
                "name": _text((change.state or {}).get("displayName")),
                "deleted": change.state is None,
                "replicas": [round(seconds, 1) for seconds in change.replicas],
                "login": round(change.login, 1),
            }
            for change in tenant.pending()
        ],
        "faults": [{"fault": str(fault), "struck": fault.struck} for fault in list(tenant.faults.script)],
        "requests": {"answered": len(served), "newest": [_request(one) for one in reversed(served[-SHOWN:])]},
    }
    cleaned: dict[str, Any] = redacted(found)  # a client may have written a secret where it does not belong
    return cleaned


def _person(tenant: Tenant, user: State, live: Mapping[str, int]) -> State:
    return {
        "id": user["id"],
        "name": _text(user.get("displayName")),
        "userPrincipalName": _text(user.get("userPrincipalName")),
        "type": _text(user.get("userType")),
        "enabled": user.get("accountEnabled") is not False,
        "roles": [_ROLES.get(role, _text(role)) for role in user.get("_roles", ())],
        "signed_in": user["id"] == tenant.signed_in_user,
        "tokens": live[user["id"]],
    }


def _object(tenant: Tenant, kind: str, state: State, live: Mapping[str, int]) -> State:
    names = ((_find(tenant, oid) or {}).get("displayName") or oid for oid in state.get("_owners", ()))
    return {
        "kind": _text(state.get("@odata.type", kind)).removeprefix("#microsoft.graph."),
        "id": _text(state.get("id")),
        "appId": _text(state.get("appId")),
        "name": _text(state.get("displayName")),
        "created": _text(state.get("createdDateTime")),
        "owners": [_text(name) for name in names],
        "credentials": [
            _credential(tenant, what, entry)
            for what, member in (("key", "keyCredentials"), ("password", "passwordCredentials"))
            for entry in state.get(member) or ()
        ],
        "federated": [_text(entry.get("name")) for entry in state.get("_federated") or ()],
        "tokens": live[_text(state.get("id"))],
    }


def _credential(tenant: Tenant, what: str, entry: State) -> State:
    end = _text(entry.get("endDateTime"))
    left = _days_left(tenant, end)
    used = (tenant.find(reports.KIND, "keyId", _text(entry.get("keyId"))) or {}).get("signInActivity", {})
    shown = {
        "what": what,
        "keyId": _text(entry.get("keyId")),
        "name": _text(entry.get("displayName")),
        "start": _text(entry.get("startDateTime")),
        "end": end,
        "last_used": _text(used.get("lastSignInDateTime")),
        "days_left": left,
        "expired": left is not None and left < 0,
    }
    if what == "password":
        return shown | {"hint": _text(entry.get("hint"))}
    return shown | {"thumbprint": _text(entry.get("customKeyIdentifier")), "usage": _text(entry.get("usage"))}


def _days_left(tenant: Tenant, stamp: str) -> int | None:
    """Whole days; negative when it is over."""
    try:
        return (datetime.fromisoformat(stamp.replace("Z", "+00:00")) - tenant.now()).days
    except (ValueError, TypeError):  # no date, or one without a zone
        return None


def _roles(tenant: Tenant) -> Iterable[State]:
    for grant in tenant.all_latest(grants.KIND):
        resource = tenant.latest("servicePrincipal", grant["resourceId"]) or {}
        names: Mapping[str, str] = {role["id"]: role["value"] or role["id"] for role in resource.get("appRoles", ())}
        yield {
            "to": _text(grant["principalDisplayName"]),
            "to_id": grant["principalId"],
            "of": _text(grant["resourceDisplayName"]),
            "what": "role",
            "names": [names.get(grant["appRoleId"], grant["appRoleId"])],
        }


def _scopes(tenant: Tenant) -> Iterable[State]:
    for grant in tenant.all_latest(consents.KIND):
        ends = [(_find(tenant, _text(grant.get(name))) or {}) for name in ("clientId", "resourceId")]
        yield {
            "to": _text(ends[0].get("displayName") or grant.get("clientId")),
            "to_id": _text(grant.get("clientId")),
            "of": _text(ends[1].get("displayName") or grant.get("resourceId")),
            "what": f"scope, {_text(grant.get('consentType'))}",
            "names": _text(grant.get("scope")).split(),
        }


def _tokens(tenant: Tenant) -> Counter[str]:
    """How many access tokens of each person and service principal are still good."""
    now = tenant.now().timestamp()
    claims = [issued.claims for issued in list(tenant.issued.values()) if issued.kind == "access"]
    return Counter(str(held.get("oid")) for held in claims if held.get("exp", 0) > now)


def _find(tenant: Tenant, object_id: str) -> State | None:
    return next(filter(None, (tenant.latest(kind, object_id) for kind in ("user", "servicePrincipal"))), None)


def _request(one: Served) -> State:
    method, _, path = one.line.partition(" ")
    return {
        "at": one.at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "method": method,
        "path": path,
        "items": list(one.items),
        "status": one.status,
        "ms": round((one.end - one.start) * 1000, 1),
        "fault": one.fault,
    }


def _text(value: Any) -> str:
    """What a client may have written as anything at all."""
    return "" if value is None else str(value)
