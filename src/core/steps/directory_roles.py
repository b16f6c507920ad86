"""What the signed-in principal may do: what its token tells, or else what a rehearsal without effect finds (P12, P15).

The claim `wids` names built-in roles for the whole tenant alone. A custom role, and one for this app only
(`directoryScopeId`), stand in no token, so that it never proves that somebody may not.
"""

from __future__ import annotations

from typing import Final

from core.entra import credentials, permissions
from core.entra.application import HOLDER_NAME, App, Holder
from core.entra.graph import Graph
from core.steps.context import Context
from core.steps.facts import SignedIn

WRITE: Final = "Application.ReadWrite.All"
ASSIGN: Final = "AppRoleAssignment.ReadWrite.All"
_GLOBAL: Final = "62e90394-69f5-4237-9190-012177145e10"
_APPLICATION: Final = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"
_CLOUD_APPLICATION: Final = "158c047a-c907-4556-b7ef-446551a6b5f7"
_PRIVILEGED_ROLE: Final = "e8611ab8-c189-46e8-94e1-60213ab1f814"
#: Names of the directory roles that matter here, by template id (the `wids` claim).
ROLE_NAMES: Final = {
    _GLOBAL: "Global Administrator",
    _PRIVILEGED_ROLE: "Privileged Role Administrator",
    _APPLICATION: "Application Administrator",
    _CLOUD_APPLICATION: "Cloud Application Administrator",
}
#: What the claim holds for every member, and for every app: no role that anybody was given.
_EVERYBODY: Final = frozenset({"b79fbf4d-3ef9-4689-8143-76b194e85509", "0997a1d0-0d1d-4acb-b408-d5ca73121e90"})
#: Directory roles whose holders may change any app registration.
APP_ADMINS: Final = frozenset({_GLOBAL, _APPLICATION, _CLOUD_APPLICATION})
#: Directory roles whose holders may grant Microsoft Graph application permissions; the other two may not.
ROLE_ADMINS: Final = frozenset({_GLOBAL, _PRIVILEGED_ROLE})
_UNKNOWN: Final = "unknown until it is tried"
_REHEARSED: Final = "a rehearsal was not refused: a custom role, or one for this app alone"


def writer(ctx: Context) -> Graph:
    """Microsoft Graph as the app itself where its own token may write, else as whoever is signed in."""
    proof = ctx.maybe_proof
    return ctx.app_graph() if proof is not None and WRITE in proof.roles else ctx.user_graph()


def may_write(ctx: Context, app: App, holder: Holder = "application") -> str | None:
    """Why the signed-in principal may probably change the app; None when it was refused a rehearsal."""
    reason = told_to_write(ctx, app, holder)
    if reason is not None:
        return reason
    refusal = credentials.refused_removals(ctx.user_graph(), app, (holder,)).get(holder)
    return None if refusal is not None and refusal.lacks_rights else _REHEARSED


def told_to_write(ctx: Context, app: App, holder: Holder = "application") -> str | None:
    """Why the token says that its holder may probably change the app; None when it tells of no reason."""
    user = ctx.facts.get(SignedIn).token
    oid = user.claims.get("oid")
    owns = any(owner.get("id") == oid for owner in app.owners_of(holder))
    if WRITE in user.roles:
        return f"granted {WRITE}"
    delegated = {WRITE, "Directory.AccessAsUser.All"} & user.scopes
    if owns and (delegated or "Application.ReadWrite.OwnedBy" in user.roles):
        return f"owner of the {HOLDER_NAME[holder]}"
    return _by_role(ctx, APP_ADMINS) if delegated else None


def may_create(ctx: Context) -> str | None:
    """Why the signed-in principal may probably create an app; None when its token lacks the permission."""
    user = ctx.facts.get(SignedIn).token
    if {WRITE, "Application.ReadWrite.OwnedBy"} & user.roles:
        return "granted the permission to create apps"
    if WRITE in user.scopes or "Directory.AccessAsUser.All" in user.scopes:
        return "people may create apps, unless the tenant forbids it"
    return None


def may_grant(ctx: Context) -> str | None:
    """Why the signed-in principal may probably grant application permissions; None when it was refused a rehearsal."""
    user = ctx.facts.get(SignedIn).token
    if ASSIGN in user.roles:
        return f"granted {ASSIGN}"
    if {ASSIGN, "Directory.AccessAsUser.All"} & user.scopes and (reason := _by_role(ctx, ROLE_ADMINS)) is not None:
        return reason
    resource_id = ctx.permissions.resource_id
    refusal = permissions.refused_grant(ctx.user_graph(), resource_id) if resource_id else None
    return None if refusal is not None and refusal.lacks_rights else _REHEARSED


def directory_roles(ctx: Context) -> str:
    """The directory roles of the signed-in principal in words, as far as its token tells."""
    user = ctx.facts.get(SignedIn).token
    claim = user.claims.get("wids")
    if not isinstance(claim, list):
        return "unknown: the token does not say"
    held = {str(role).lower() for role in claim} - _EVERYBODY
    names = [name for role, name in ROLE_NAMES.items() if role in held]
    others = len(held) - len(names)
    if others:
        names.append(f"{others} other{'s' if others > 1 else ''}")
    return ", ".join(names) or "none"


def say_unprivileged(ctx: Context, what: str) -> None:
    """Tell that an administrator will be needed."""
    account = ctx.facts.get(SignedIn).account
    remedy = "This run makes and keeps the key, and writes a request that an administrator applies with one command."
    ctx.report("rights.missing", "warning", f"{account.user} may not {what}.", remedy)


def _by_role(ctx: Context, allowed: frozenset[str]) -> str | None:
    user = ctx.facts.get(SignedIn).token
    roles = user.claims.get("wids")
    if not isinstance(roles, list):
        return _UNKNOWN
    return "directory role" if allowed & {str(role) for role in roles} else None
