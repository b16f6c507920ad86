"""The permissions that the app needs: declared on the app registration *and* granted to its principal (P2, P6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from core.clock import wait_until
from core.config.cloud import GRAPH_APP_ID
from core.entra import application, permissions
from core.entra.application import App
from core.entra.graph import Graph
from core.errors import Effected, GraphError, NetworkError, SetupError
from core.flow.journal import Effect
from core.flow.step import Done, Left, Needed, PlanRow, Status, Step
from core.steps import facts
from core.steps.context import Context
from core.steps.hand_off import handoff

DECLARE: Final = "graph.application.declare"
GRANT: Final = "graph.servicePrincipal.grant"
#: What a permission that is granted already is answered, mostly.
_ALREADY: Final = "InvalidUpdate"
#: How long a new service principal may stay unknown where permissions are granted, in seconds.
REPLICATION: Final = 120.0


class Declare(Step[Context]):
    """Declare the permissions on the app registration; what it declares already stays (P2)."""

    name = "declare"
    title = "Declare the permissions"
    needs = (facts.Target, facts.OpenRun, facts.SignedIn, facts.MachineKey)
    maybe = handoff.REQUEST
    updates = (facts.AppRegistration, facts.NeedsAdministrator)

    def check(self, ctx: Context) -> Status:
        missing = _undeclared(ctx, ctx.maybe_app)
        return Needed() if missing else Done(f"{len(ctx.permissions.wanted)} declared")

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        app = ctx.maybe_app
        where = f"app registration '{app.name}'" if app else "the new app registration"
        where += handoff.by_whom(ctx)
        names = sorted(permissions_of(ctx, _undeclared(ctx, app)))
        call = f"PATCH /applications/{app.object_id if app else '…'} requiredResourceAccess"
        return (PlanRow("change", "declared permissions", where, "", f"{len(names)} more", True, call),)

    def apply(self, ctx: Context) -> str:
        graph, app = ctx.user_graph(), ctx.app
        fresh = permissions.read_access(graph, app.object_id)
        added = sorted(set(ctx.permissions.wanted.values()) - permissions.declared_in(fresh))
        with handoff.on_refusal(ctx), ctx.log.effect(DECLARE, app.object_id, ctx.emit, roles=added):
            _declare(ctx, graph, app, merged(fresh, added), set(added).issubset)
        ctx.update_app(replace(app, access=tuple(merged(fresh, added))))
        return f"{len(added)} added, none removed"

    def undo(self, ctx: Context) -> Left | None:
        for effect in ctx.log.standing(DECLARE):
            if not ctx.new_app.created:  # else it goes with the app
                graph, roles = ctx.user_graph(), set(effect.data["roles"])
                fresh = permissions.read_access(graph, effect.target)
                _declare(ctx, graph, ctx.app, without(fresh, roles), roles.isdisjoint)
            ctx.log.undone(effect)
        return None


class GrantRoles(Step[Context]):
    """Grant the permissions: the difference between what is wanted and what is granted, role by role (P6)."""

    name = "grant"
    title = "Grant the permissions"
    needs = (facts.Target, facts.OpenRun, facts.SignedIn, facts.MachineKey)
    maybe = handoff.REQUEST
    updates = (facts.AppRegistration, facts.Proof, facts.NeedsAdministrator)

    def check(self, ctx: Context) -> Status:
        if not _ungranted(ctx):
            return Done(f"{len(ctx.permissions.wanted)} granted")
        confirm(ctx)
        return Needed()

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        names = permissions_of(ctx, _ungranted(ctx))
        taking = permissions.takeover(names)  # the most dangerous ones first
        call = f"POST /servicePrincipals/{ctx.permissions.resource_id}/appRoleAssignedTo"
        where = f"service principal of '{app.name if (app := ctx.maybe_app) else ctx.app_name}'"
        where += handoff.by_whom(ctx)
        names = sorted(names, key=lambda name: (name not in taking, name))
        shown = [name + (" (can take over the tenant)" if name in taking else "") for name in names]
        return tuple(PlanRow("add", "permission", where, "", name, True, call) for name in shown)

    def apply(self, ctx: Context) -> str:
        missing, resource_id = _ungranted(ctx), ctx.permissions.resource_id
        details = {"roles": missing, "resource": resource_id}
        try:
            with ctx.log.effect(GRANT, ctx.app.principal_id, ctx.emit, **details) as effect:
                _grant(ctx, missing, effect)
        except GraphError as error:
            if not error.lacks_rights:
                raise
            role = "Privileged Role Administrator (to grant permissions), or Global Administrator"
            refusal = error.copy(role=role)
            if ctx.flow.hands_off_grants:
                handoff.hand_over_instead(ctx, refusal)
            raise refusal from None
        fresh = tuple(application.Grant("", role, resource_id) for role in ctx.permissions.wanted.values())
        ctx.update_app(replace(ctx.app, grants=(*ctx.app.grants, *fresh)))
        ctx.facts.drop(facts.Proof)  # a token that was minted before does not carry them
        return f"{len(missing)} granted"

    def undo(self, ctx: Context) -> Left | None:
        for effect in ctx.log.standing(GRANT):
            # also from an app that is about to be deleted: whoever restored it would have them again
            _take_back(ctx, effect)
            ctx.log.undone(effect)
        return None


def named(ctx: Context) -> bool:
    """Whether the person named the app by the flag (P1)."""
    return (app := ctx.maybe_app) is not None and ctx.settings.named(app.app_id)


def confirm(ctx: Context) -> None:
    """`--yes` grants no role to an app that this run neither created nor was given by --app-id (P1).

    :raises SetupError: `app.roles-unconfirmed`.
    """
    app = ctx.maybe_app
    if app is None or ctx.new_app.created or not ctx.settings.yes or named(ctx):
        return
    if ctx.facts.maybe(facts.NeedsAdministrator) is not None:
        return  # an administrator will decide
    names = sorted(name for name, role in ctx.permissions.wanted.items() if role not in app.granted)
    if names:
        listing = f"{app.describe()}\n  to grant {', '.join(names)}"
        raise SetupError("app.roles-unconfirmed", count=len(names), listing=listing, app_id=app.app_id)


def merged(access: Sequence[dict[str, Any]], roles: Iterable[str]) -> list[dict[str, Any]]:
    """`requiredResourceAccess` with these Microsoft Graph roles added; nothing is removed."""
    rest = [item for item in access if item.get("resourceAppId") != GRAPH_APP_ID]
    own = [item.get("resourceAccess") or () for item in access if item.get("resourceAppId") == GRAPH_APP_ID]
    graph = [dict(entry) for entries in own for entry in entries]
    here = {entry.get("id") for entry in graph if entry.get("type") == "Role"}
    graph += [{"id": role, "type": "Role"} for role in roles if role not in here]
    return [*rest, {"resourceAppId": GRAPH_APP_ID, "resourceAccess": graph}] if graph else rest


def without(access: Sequence[dict[str, Any]], roles: set[str]) -> list[dict[str, Any]]:
    """`requiredResourceAccess` without these Microsoft Graph roles."""
    kept = []
    for item in access:
        if item.get("resourceAppId") == GRAPH_APP_ID:
            there = item.get("resourceAccess") or ()
            left = [entry for entry in there if not (entry.get("type") == "Role" and entry.get("id") in roles)]
            if left:
                kept.append({**item, "resourceAccess": left})
        else:
            kept.append(item)
    return kept


def permissions_of(ctx: Context, roles: Sequence[str]) -> list[str]:
    """Names of role ids."""
    names = {role: name for name, role in ctx.permissions.wanted.items()}
    return [names.get(role) or permissions.name_of(role) for role in roles]


def _undeclared(ctx: Context, app: App | None) -> list[str]:
    return sorted(set(ctx.permissions.wanted.values()) - (app.declared if app else frozenset()))


def _ungranted(ctx: Context) -> list[str]:
    app, resource = ctx.maybe_app, ctx.permissions.resource_id
    granted = {grant.role_id for grant in app.grants if grant.resource_id == resource} if app else set()
    return sorted(set(ctx.permissions.wanted.values()) - granted)


def _grant(ctx: Context, wanted: Sequence[str], effect: Effect) -> None:
    """Grant roles, 20 in a request, until each is there.

    :param effect: its `roles` become those that this run granted, as far as is known: another may have been quicker.
    :raises GraphError: the service refused.
    """
    graph, missing = ctx.user_graph(), list(wanted)
    doubtful: set[str] = set()  # roles that an answer nobody received may have granted
    refused: dict[str, GraphError] = {}
    last: GraphError | NetworkError | None = None

    def granted(seen: set[str]) -> None:
        missing[:] = [role for role in missing if role not in seen]

    def of_all(error: SetupError) -> Effected:
        """What the answer about some roles says of all of them."""
        return error.effected if missing == list(wanted) and not doubtful else Effected.UNKNOWN

    def grant() -> bool | None:
        nonlocal last
        for chunk in [missing[first : first + 20] for first in range(0, len(missing), 20)]:
            try:
                answers = graph.batch_once([_assignment(ctx, role) for role in chunk])
            except (GraphError, NetworkError) as error:
                if not error.transient:
                    raise error.copy(effected=of_all(error)) from None
                last = error
                doubtful.update(chunk)
                continue
            pairs = list(zip(chunk, answers, strict=True))
            granted({role for role, answer in pairs if not isinstance(answer, GraphError)})
            for role, answer in pairs:
                if isinstance(answer, GraphError):
                    last = answer
                    refused[role] = answer
                    if answer.status >= 500:
                        doubtful.add(role)
        if missing and last is not None:  # granted by another at this moment, or not known here yet
            there = {grant.role_id for grant in _grants(ctx, graph, ctx.app.principal_id, ctx.permissions.resource_id)}
            others = there & set(missing) - doubtful
            effect.data["roles"] = [role for role in effect.data["roles"] if role not in others]
            granted(there)
        for role in missing:
            if (refusal := refused.get(role)) is not None and _final(ctx, refusal):
                raise refusal.copy(effected=of_all(refusal))
        return None if missing else True

    reason = "the service principal to be known where permissions are granted"
    if not wait_until(grant, ctx, reason, expected=15, deadline=REPLICATION):
        assert last is not None
        raise last.copy(effected=of_all(last))


def _final(ctx: Context, refusal: GraphError) -> bool:
    """Whether a refusal is one: neither lag about an object of this undertaking (P7), nor "it is granted already"."""
    if refusal.transient or refusal.status in (401, 404, 409) or refusal.code == _ALREADY:
        return False
    return not refusal.explains_new or (refusal.status == 403 and not ctx.new_app.created)


def _grants(ctx: Context, graph: Graph, principal_id: str, resource_id: str) -> list[application.Grant]:
    """What was granted for one resource; nothing while the principal is not known here yet."""
    try:
        found = application.read_grants(graph, principal_id)
    except GraphError as error:
        if error.status == 404 or (ctx.new_app.created and error.explains_new):
            return []
        raise
    return [grant for grant in found if grant.resource_id == resource_id]


def _take_back(ctx: Context, effect: Effect) -> None:
    """Take back what an effect granted: 20 in a request, then one by one whatever was not confirmed."""
    graph, action = ctx.user_graph(), "take a permission back"
    grants = _granted_by(ctx, graph, effect)
    paths = [f"/servicePrincipals/{effect.target}/appRoleAssignments/{grant.id}" for grant in grants]
    for first in range(0, len(paths), 20):
        chunk = paths[first : first + 20]
        try:
            answers: Sequence[object] = graph.batch_once([("DELETE", path, None, action) for path in chunk])
        except (GraphError, NetworkError) as error:
            answers = [error] * len(chunk)
        for path, answer in zip(chunk, answers, strict=True):
            if isinstance(answer, SetupError):
                graph.remove(path, action)


def _granted_by(ctx: Context, graph: Graph, effect: Effect) -> list[application.Grant]:
    """The grants of an effect, once all of them are seen, or as many as show themselves in time."""
    found: dict[str, application.Grant] = {}

    def look() -> bool | None:
        here = _grants(ctx, graph, effect.target, effect.data["resource"])
        found.update({grant.id: grant for grant in here if grant.role_id in effect.data["roles"]})
        return {grant.role_id for grant in found.values()} >= set(effect.data["roles"]) or None

    deadline = REPLICATION if effect.state == "done" else REPLICATION / 4
    reason = "the permissions to be seen, so that they can be taken back"
    wait_until(look, ctx, reason, expected=5, deadline=deadline)
    return list(found.values())


def _assignment(ctx: Context, role: str) -> tuple[str, str, Any, str]:
    resource = ctx.permissions.resource_id
    body = {"principalId": ctx.app.principal_id, "resourceId": resource, "appRoleId": role}
    return "POST", f"/servicePrincipals/{resource}/appRoleAssignedTo", body, f"grant {permissions_of(ctx, [role])[0]}"


def _declare(
    ctx: Context, graph: Graph, app: App, access: list[dict[str, Any]], holds: Callable[[frozenset[str]], bool]
) -> None:
    def seen() -> bool | None:
        return holds(permissions.declared_in(permissions.read_access(graph, app.object_id))) or None

    body = {"requiredResourceAccess": access}
    graph.write("PATCH", f"/applications/{app.object_id}", body, "declare permissions", lambda: bool(seen()))
    if not wait_until(seen, ctx, "the declared permissions to be seen", expected=5, deadline=REPLICATION):
        raise SetupError("permissions.not-declared", app=app.name)
