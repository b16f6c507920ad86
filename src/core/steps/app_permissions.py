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
from core.entra.removal import remove
from core.errors import GraphError, NetworkError, SetupError
from core.errors.effected import Effected
from core.flow.journal import Effect
from core.flow.plan import PlanRow
from core.flow.step import Done, Left, Needed, Status, Step
from core.steps.context import World
from core.steps.facts import (
    AppRegistration,
    HandOffRequest,
    MachineKey,
    NeedsAdministrator,
    NewApp,
    OpenRun,
    Proof,
    SignedIn,
    Target,
    WantedPermissions,
)
from core.steps.hand_off import handoff

DECLARE: Final = "graph.application.declare"
GRANT: Final = "graph.servicePrincipal.grant"
#: What a permission that is granted already is answered, mostly.
_ALREADY: Final = "InvalidUpdate"
#: How long a new service principal may stay unknown where permissions are granted, in seconds.
REPLICATION: Final = 120.0


class Declare(Step[World]):
    """Declare the permissions on the app registration; what it declares already stays (P2)."""

    name = "declare"
    title = "Declare the permissions"
    needs = (Target, OpenRun, SignedIn, MachineKey)
    maybe = (NewApp, WantedPermissions, HandOffRequest)
    updates = (AppRegistration, NeedsAdministrator)

    def check(self, world: World) -> Status:
        missing = _undeclared(world, world.maybe_app)
        return Needed() if missing else Done(f"{len(world.permissions.wanted)} declared")

    def plan(self, world: World) -> Sequence[PlanRow]:
        app = world.maybe_app
        where = f"app registration '{app.name}'" if app else "the new app registration"
        where += handoff.by_whom(world)
        names = sorted(permissions_of(world, _undeclared(world, app)))
        call = f"PATCH /applications/{app.object_id if app else '…'} requiredResourceAccess"
        return (PlanRow("change", "declared permissions", where, "", f"{len(names)} more", True, call),)

    def apply(self, world: World) -> str:
        graph, app = world.user_graph(), world.app
        fresh = permissions.read_access(graph, app.object_id)
        added = sorted(set(world.permissions.wanted.values()) - permissions.declared_in(fresh))
        with handoff.on_refusal(world), world.log.effect(DECLARE, app.object_id, world.emit, roles=added):
            _declare(world, graph, app, merged(fresh, added), set(added).issubset)
        world.update_app(replace(app, access=tuple(merged(fresh, added))))
        return f"{len(added)} added, none removed"

    def undo(self, world: World) -> Left | None:
        for effect in world.log.standing(DECLARE):
            if not world.new_app.created:  # else it goes with the app
                graph, roles = world.user_graph(), set(effect.data["roles"])
                fresh = permissions.read_access(graph, effect.target)
                _declare(world, graph, world.app, without(fresh, roles), roles.isdisjoint)
            world.log.undone(effect)
        return None


class GrantRoles(Step[World]):
    """Grant the permissions: the difference between what is wanted and what is granted, role by role (P6)."""

    name = "grant"
    title = "Grant the permissions"
    needs = (Target, OpenRun, SignedIn, MachineKey)
    maybe = (NewApp, WantedPermissions, HandOffRequest)
    updates = (AppRegistration, Proof, NeedsAdministrator)

    def check(self, world: World) -> Status:
        if not _ungranted(world):
            return Done(f"{len(world.permissions.wanted)} granted")
        confirm(world)
        return Needed()

    def plan(self, world: World) -> Sequence[PlanRow]:
        names = permissions_of(world, _ungranted(world))
        taking = permissions.takeover(names)  # the most dangerous ones first
        call = f"POST /servicePrincipals/{world.permissions.resource_id}/appRoleAssignedTo"
        where = f"service principal of '{app.name if (app := world.maybe_app) else world.app_name}'"
        where += handoff.by_whom(world)
        return tuple(
            PlanRow(
                "add",
                "permission",
                where,
                "",
                name + (" (can take over the tenant)" if name in taking else ""),
                True,
                call,
            )
            for name in sorted(names, key=lambda name: (name not in taking, name))
        )

    def apply(self, world: World) -> str:
        missing, resource_id = _ungranted(world), world.permissions.resource_id
        details = {"roles": missing, "resource": resource_id}
        try:
            with world.log.effect(GRANT, world.app.principal_id, world.emit, **details) as effect:
                _grant(world, missing, effect)
        except GraphError as error:
            if not error.lacks_rights:
                raise
            role = "Privileged Role Administrator (to grant permissions), or Global Administrator"
            refusal = error.copy(role=role)
            if world.flow.hands_off_grants:
                handoff.hand_over_instead(world, refusal)
            raise refusal from None
        fresh = tuple(application.Grant("", role, resource_id) for role in world.permissions.wanted.values())
        world.update_app(replace(world.app, grants=(*world.app.grants, *fresh)))
        world.facts.drop(Proof)  # a token that was minted before does not carry them
        return f"{len(missing)} granted"

    def undo(self, world: World) -> Left | None:
        for effect in world.log.standing(GRANT):
            # also from an app that is about to be deleted: whoever restored it would have them again
            _take_back(world, effect)
            world.log.undone(effect)
        return None


def named(world: World) -> bool:
    """Whether the person named the app by the flag (P1)."""
    app = world.maybe_app
    return app is not None and world.settings.named(app.app_id)


def confirm(world: World) -> None:
    """`--yes` grants no role to an app that this run neither created nor was given by --app-id (P1).

    :raises SetupError: `app.roles-unconfirmed`.
    """
    app = world.maybe_app
    if app is None or world.new_app.created or not world.settings.yes or named(world):
        return
    if world.facts.maybe(NeedsAdministrator) is not None:
        return  # an administrator will decide
    names = sorted(name for name, role in world.permissions.wanted.items() if role not in app.granted)
    if names:
        listing = f"{app.describe()}\n  to grant {', '.join(names)}"
        raise SetupError("app.roles-unconfirmed", count=len(names), listing=listing, app_id=app.app_id)


def merged(access: Sequence[dict[str, Any]], roles: Iterable[str]) -> list[dict[str, Any]]:
    """`requiredResourceAccess` with these Microsoft Graph roles added; nothing is removed."""
    rest = [item for item in access if item.get("resourceAppId") != GRAPH_APP_ID]
    graph = [
        dict(entry)
        for item in access
        if item.get("resourceAppId") == GRAPH_APP_ID
        for entry in item.get("resourceAccess") or ()
    ]
    here = {entry.get("id") for entry in graph if entry.get("type") == "Role"}
    graph += [{"id": role, "type": "Role"} for role in roles if role not in here]
    return [*rest, {"resourceAppId": GRAPH_APP_ID, "resourceAccess": graph}] if graph else rest


def without(access: Sequence[dict[str, Any]], roles: set[str]) -> list[dict[str, Any]]:
    """`requiredResourceAccess` without these Microsoft Graph roles."""
    kept = []
    for item in access:
        if item.get("resourceAppId") == GRAPH_APP_ID:
            left = [
                e for e in item.get("resourceAccess") or () if not (e.get("type") == "Role" and e.get("id") in roles)
            ]
            if left:
                kept.append({**item, "resourceAccess": left})
        else:
            kept.append(item)
    return kept


def permissions_of(world: World, roles: Sequence[str]) -> list[str]:
    """Names of role ids."""
    names = {role: name for name, role in world.permissions.wanted.items()}
    return [names.get(role) or permissions.name_of(role) for role in roles]


def _undeclared(world: World, app: App | None) -> list[str]:
    return sorted(set(world.permissions.wanted.values()) - (app.declared if app else frozenset()))


def _ungranted(world: World) -> list[str]:
    app, resource = world.maybe_app, world.permissions.resource_id
    granted = {grant.role_id for grant in app.grants if grant.resource_id == resource} if app else set()
    return sorted(set(world.permissions.wanted.values()) - granted)


def _grant(world: World, wanted: Sequence[str], effect: Effect) -> None:
    """Grant roles, 20 in a request, until each is there.

    :param effect: its `roles` become those that this run granted, as far as is known: another may have been quicker.
    :raises GraphError: the service refused.
    """
    graph, missing = world.user_graph(), list(wanted)
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
                answers = graph.batch_once([_assignment(world, role) for role in chunk])
            except (GraphError, NetworkError) as error:
                final = isinstance(error, GraphError) and not error.transient
                if final or error.id in ("network.origin", "network.untrusted"):
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
            there = {
                grant.role_id for grant in _grants(world, graph, world.app.principal_id, world.permissions.resource_id)
            }
            others = there & set(missing) - doubtful
            effect.data["roles"] = [role for role in effect.data["roles"] if role not in others]
            granted(there)
        for role in missing:
            if (refusal := refused.get(role)) is not None and _final(world, refusal):
                raise refusal.copy(effected=of_all(refusal))
        return None if missing else True

    reason = "the service principal to be known where permissions are granted"
    if not wait_until(grant, clock=world.clock, emit=world.emit, reason=reason, expected=15, deadline=REPLICATION):
        assert last is not None
        raise last.copy(effected=of_all(last))


def _final(world: World, refusal: GraphError) -> bool:
    """Whether a refusal is one: neither lag about an object of this undertaking (P7), nor "it is granted already"."""
    if refusal.transient or refusal.status in (401, 404, 409) or refusal.code == _ALREADY:
        return False
    return not refusal.explains_new or (refusal.status == 403 and not world.new_app.created)


def _grants(world: World, graph: Graph, principal_id: str, resource_id: str) -> list[application.Grant]:
    """What was granted for one resource; nothing while the principal is not known here yet."""
    try:
        found = application.read_grants(graph, principal_id)
    except GraphError as error:
        if error.status == 404 or (world.new_app.created and error.explains_new):
            return []
        raise
    return [grant for grant in found if grant.resource_id == resource_id]


def _take_back(world: World, effect: Effect) -> None:
    """Take back what an effect granted: 20 in a request, then one by one whatever was not confirmed."""
    graph, action = world.user_graph(), "take a permission back"
    grants = _granted_by(world, graph, effect)
    paths = [f"/servicePrincipals/{effect.target}/appRoleAssignments/{grant.id}" for grant in grants]
    for first in range(0, len(paths), 20):
        chunk = paths[first : first + 20]
        try:
            answers: Sequence[object] = graph.batch_once([("DELETE", path, None, action) for path in chunk])
        except (GraphError, NetworkError) as error:
            answers = [error] * len(chunk)
        for path, answer in zip(chunk, answers, strict=True):
            if isinstance(answer, SetupError):
                remove(graph, path, action, world.clock, world.emit)


def _granted_by(world: World, graph: Graph, effect: Effect) -> list[application.Grant]:
    """The grants of an effect, once all of them are seen, or as many as show themselves in time."""
    found: dict[str, application.Grant] = {}

    def look() -> bool | None:
        here = _grants(world, graph, effect.target, effect.data["resource"])
        found.update({grant.id: grant for grant in here if grant.role_id in effect.data["roles"]})
        return {grant.role_id for grant in found.values()} >= set(effect.data["roles"]) or None

    deadline = REPLICATION if effect.state == "done" else REPLICATION / 4
    reason = "the permissions to be seen, so that they can be taken back"
    wait_until(look, clock=world.clock, emit=world.emit, reason=reason, expected=5, deadline=deadline)
    return list(found.values())


def _assignment(world: World, role: str) -> tuple[str, str, Any, str]:
    resource = world.permissions.resource_id
    body = {"principalId": world.app.principal_id, "resourceId": resource, "appRoleId": role}
    return "POST", f"/servicePrincipals/{resource}/appRoleAssignedTo", body, f"grant {permissions_of(world, [role])[0]}"


def _declare(
    world: World, graph: Graph, app: App, access: list[dict[str, Any]], holds: Callable[[frozenset[str]], bool]
) -> None:
    def seen() -> bool | None:
        return holds(permissions.declared_in(permissions.read_access(graph, app.object_id))) or None

    body = {"requiredResourceAccess": access}
    graph.write("PATCH", f"/applications/{app.object_id}", body, "declare permissions", lambda: bool(seen()))
    if not wait_until(
        seen, clock=world.clock, emit=world.emit, reason="the declared permissions to be seen", expected=5,
        deadline=REPLICATION,
    ):  # fmt: skip
        raise SetupError("permissions.not-declared", app=app.name)
