"""Who and what else can act as this app, and what the app can do (M14, M17)."""

from __future__ import annotations

from collections.abc import Iterator

from core.display import one_line, quoted
from core.entra import permissions
from core.entra.application import App, Key
from core.events import Finding
from core.steps.context import Context
from core.steps.facts import SignedIn


def unacknowledged(ctx: Context, app: App, made_here: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """What else can sign in as the app, or give itself the means to (M17).

    :param made_here: thumbprints of further certificates of this machine, such as one that is not in use yet.
    """
    key_pair, signed_in = ctx.maybe_key_pair, ctx.facts.maybe(SignedIn)
    known = {part.strip().lower() for part in ctx.settings.acknowledge.split(",") if part.strip()}
    note = "If it is known, pass --acknowledge {id}; if nobody knows it, remove it."

    def finding(id: str, message: str, what: str) -> Finding:
        return Finding(id, "warning", message, note.format(id=what))

    for holder, keys in (("app registration", app.keys), ("service principal", app.principal_keys)):
        for key in keys:
            ours = key_pair is not None and (key.der == key_pair.der or key.thumbprint == key_pair.thumbprint)
            ours = ours or key.thumbprint in made_here
            if not ours and not {key.id.lower(), key.thumbprint.lower()} & known and not key.signs:
                yield finding("app.foreign-key", f"{_key(key)} on the {holder} is not this machine's.", key.id)
    for federated in app.federated:
        name = str(federated.get("id") or federated.get("name"))
        if not {name.lower(), str(federated.get("name")).lower()} & known:
            issued = ", ".join(quoted(str(federated.get(part)), 200) for part in ("issuer", "subject"))
            message = f"The app also trusts the federated credential {quoted(str(federated.get('name')))} ({issued})."
            yield finding("app.federated", message, name)
    if signed_in is None:
        return  # nobody knows which of the owners is at work here
    me = signed_in.token.claims.get("oid")
    owners = {str(owner.get("id")): owner for owner in (*app.owners, *app.principal_owners)}
    for id, owner in owners.items():
        if id not in (me, app.principal_id) and id.lower() not in known:
            name = one_line(owner.get("userPrincipalName") or owner.get("displayName") or id)
            yield finding("app.owner", f"{name} also owns the app and can add credentials to it.", id)


def roles(app: App) -> Finding:
    """The least-privilege report: every role granted, what is more than needed, what amounts to a takeover (M14)."""
    names = sorted(permissions.name_of(role) for role in app.granted)
    if not names:
        return Finding("app.roles", "info", "The app was granted no application permission.")
    message = f"The app was granted {len(names)} application permission(s): {', '.join(names)}."
    if taking := permissions.takeover(names):
        message += f" With {', '.join(taking)} whoever holds its credential can take over the tenant."
    more = [name for name in names if name not in permissions.KNOWN]
    remedy = f"More than the Provisioner needs: {', '.join(more)}. Revoke what nothing uses." if more else ""
    return Finding("app.roles", "warning" if taking or more else "info", message, remedy)


def drift(app: App) -> list[str]:
    """Ids of Microsoft Graph permissions that the app declares and was not granted (P6)."""
    return sorted(app.declared - app.granted)


def _key(key: Key) -> str:
    begins = str(key.entry.get("startDateTime") or "?")[:10]
    return f"The certificate {key.thumbprint or key.id} '{key.name}' ({begins} to {key.end_date}, keyId {key.id})"
