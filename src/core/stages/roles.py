"""The permissions that the app needs: declared on the app registration *and* granted to its principal (P2, P6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from core.cloud import GRAPH_APP_ID
from core.entra import application, permissions
from core.entra.application import App
from core.entra.graph import Graph
from core.errors import GraphError, NetworkError, SetupError
from core.flow.plan import Change
from core.flow.step import Check, Done, Left, Needed, Step
from core.flow.wait import wait_until
from core.stages import handoff, rights
from core.stages.world import World

DECLARE: Final = "graph.application.declare"
GRANT: Final = "graph.servicePrincipal.grant"
#: How long a new service principal may stay unknown where permissions are granted, in seconds.
REPLICATION: Final = 120.0


class Declare(Step[World]):
    """Declare the permissions on the app registration; what it declares already stays (P2)."""

    name = "declare"
    title = "Declare the permissions"

    def check(self, world: World) -> Check:
        missing = _undeclared(world, world.known.app)
        return Needed() if missing else Done(f"{len(world.known.wanted)} declared")

    def plan(self, world: World) -> Sequence[Change]:
        app = world.known.app
        where = f"app registration '{app.name}'" if app else "the new app registration"
        where += handoff.by_whom(world)
        names = sorted(permissions_of(world, _undeclared(world, app)))
        call = f"PATCH /applications/{app.object_id if app else '…'} requiredResourceAccess"
        return (Change("change", "declared permissions", where, "", f"{len(names)} more", True, call),)

    def apply(self, world: World) -> str:
        graph, app = world.user_graph(), world.app
        fresh = application.read_access(graph, app.object_id)
        added = sorted(set(world.known.wanted.values()) - application.declared_in(fresh))
        with handoff.on_refusal(world), world.log.effect(DECLARE, app.object_id, world.emit, roles=added):
            _declare(world, graph, app, merged(fresh, added), set(added).issubset)
        world.known.app = replace(app, access=tuple(merged(fresh, added)))
        return f"{len(added)} added, none removed"

    def undo(self, world: World) -> Left | None:
        for effect in world.log.standing(DECLARE):
            if not world.known.created:  # else it goes with the app
                graph, roles = world.user_graph(), set(effect.data["roles"])
                fresh = application.read_access(graph, effect.target)
                _declare(world, graph, world.app, without(fresh, roles), roles.isdisjoint)
            world.log.undone(effect)
        return None


class GrantRoles(Step[World]):
    """Grant the permissions: the difference between what is wanted and what is granted, role by role (P6)."""

    name = "grant"
    title = "Grant the permissions"

    def check(self, world: World) -> Check:
        missing = _ungranted(world)
        return Needed() if missing else Done(f"{len(world.known.wanted)} granted")

    def plan(self, world: World) -> Sequence[Change]:
        names = permissions_of(world, _ungranted(world))
        taking = permissions.takeover(names)
        call = f"POST /servicePrincipals/{world.known.resource_id}/appRoleAssignedTo"
        where = f"service principal of '{world.known.app.name if world.known.app else world.app_name}'"
        where += handoff.by_whom(world)
        return tuple(
            Change(
                "add",
                "permission",
                where,
                "",
                name + (" (can take over the tenant)" if name in taking else ""),
                True,
                call,
            )
            for name in sorted(names)
        )

    def apply(self, world: World) -> str:
        graph, known = world.user_graph(), world.known
        missing = _ungranted(world)
        last: GraphError | NetworkError | None = None
        doubtful = False

        def grant() -> bool | None:
            nonlocal last, missing, doubtful
            for first in range(0, len(missing), 20):
                chunk = missing[first : first + 20]
                try:
                    answers = graph.batch_once([_assignment(world, role) for role in chunk])
                except (GraphError, NetworkError) as error:
                    if isinstance(error, GraphError) and not error.transient:
                        raise
                    if error.id in ("network.origin", "network.untrusted"):
                        raise
                    last, doubtful = error, True
                    continue
                forbidden: GraphError | None = None
                for role, answer in zip(chunk, answers, strict=True):
                    if not isinstance(answer, GraphError):
                        got.add(role)
                    elif answer.status == 403:
                        forbidden = answer
                    else:
                        last, doubtful = answer, True  # granted by another at this moment, or not known here yet
                if forbidden is not None:
                    forbidden.refused = not (got or doubtful)
                    raise forbidden
            if doubtful:
                got.update(grant.role_id for grant in application.read_grants(graph, world.app.principal_id))
            missing = [role for role in missing if role not in got]
            return None if missing else True

        got: set[str] = set()
        count = len(missing)
        facts = {"roles": missing, "resource": known.resource_id}
        with handoff.on_refusal(world), world.log.effect(GRANT, world.app.principal_id, world.emit, **facts):
            if not wait_until(
                grant,
                clock=world.clock,
                emit=world.emit,
                reason="the service principal to be known where permissions are granted",
                expected=15,
                deadline=REPLICATION,
            ):
                assert last is not None
                raise last
        fresh = tuple(application.Grant("", role, known.resource_id) for role in known.wanted.values())
        known.app = replace(world.app, grants=(*world.app.grants, *fresh))
        known.proof = None  # a token that was minted before does not carry them
        return f"{count} granted"

    def undo(self, world: World) -> Left | None:
        for effect in world.log.standing(GRANT):
            if not world.known.created:
                graph, roles = world.user_graph(), set(effect.data["roles"])
                for grant in application.read_grants(graph, effect.target):
                    if grant.role_id in roles and grant.resource_id == effect.data["resource"]:
                        path = f"/servicePrincipals/{effect.target}/appRoleAssignments/{grant.id}"
                        graph.write("DELETE", path, None, "take a permission back", lambda: False)
            world.log.undone(effect)
        return None


def confirm(world: World) -> None:
    """`--yes` grants no role to an app that this run neither created nor was given by --app-id (P1).

    :raises SetupError: `app.roles-unconfirmed`.
    """
    known, app = world.known, world.known.app
    if app is None or known.created or not world.settings.yes or world.settings.app_id == app.app_id:
        return
    if rights.may_grant(world) is None:
        return  # it will be an administrator's decision
    names = sorted(name for name, role in known.wanted.items() if role not in app.granted)
    if names:
        listing = f"{app.describe()}\n  to grant {', '.join(names)}"
        raise SetupError("app.roles-unconfirmed", count=len(names), listing=listing, app_id=app.app_id)


def merged(access: Sequence[dict[str, Any]], roles: Iterable[str]) -> list[dict[str, Any]]:
    """`requiredResourceAccess` with these Microsoft Graph roles added; nothing is removed."""
    rest = [item for item in access if item.get("resourceAppId") != GRAPH_APP_ID]
    graph = [
        dict(entry) for item in access if item.get("resourceAppId") == GRAPH_APP_ID for entry in item["resourceAccess"]
    ]
    here = {entry.get("id") for entry in graph if entry.get("type") == "Role"}
    graph += [{"id": role, "type": "Role"} for role in roles if role not in here]
    return [*rest, {"resourceAppId": GRAPH_APP_ID, "resourceAccess": graph}] if graph else rest


def without(access: Sequence[dict[str, Any]], roles: set[str]) -> list[dict[str, Any]]:
    """`requiredResourceAccess` without these Microsoft Graph roles."""
    kept = []
    for item in access:
        if item.get("resourceAppId") == GRAPH_APP_ID:
            left = [e for e in item["resourceAccess"] if not (e.get("type") == "Role" and e.get("id") in roles)]
            if left:
                kept.append({**item, "resourceAccess": left})
        else:
            kept.append(item)
    return kept


def permissions_of(world: World, roles: Sequence[str]) -> list[str]:
    """Names of role ids."""
    names = {role: name for name, role in world.known.wanted.items()}
    return [names.get(role) or permissions.name_of(role) for role in roles]


def _undeclared(world: World, app: App | None) -> list[str]:
    return sorted(set(world.known.wanted.values()) - (app.declared if app else frozenset()))


def _ungranted(world: World) -> list[str]:
    app, resource = world.known.app, world.known.resource_id
    granted = {grant.role_id for grant in app.grants if grant.resource_id == resource} if app else set()
    return sorted(set(world.known.wanted.values()) - granted)


def _assignment(world: World, role: str) -> tuple[str, str, Any, str]:
    resource = world.known.resource_id
    body = {"principalId": world.app.principal_id, "resourceId": resource, "appRoleId": role}
    return "POST", f"/servicePrincipals/{resource}/appRoleAssignedTo", body, f"grant {permissions_of(world, [role])[0]}"


def _declare(
    world: World, graph: Graph, app: App, access: list[dict[str, Any]], holds: Callable[[frozenset[str]], bool]
) -> None:
    def seen() -> bool | None:
        return holds(application.declared_in(application.read_access(graph, app.object_id))) or None

    body = {"requiredResourceAccess": access}
    graph.write("PATCH", f"/applications/{app.object_id}", body, "declare permissions", lambda: bool(seen()))
    if not wait_until(
        seen, clock=world.clock, emit=world.emit, reason="the declared permissions to be seen", expected=5,
        deadline=REPLICATION,
    ):  # fmt: skip
        raise SetupError("permissions.not-declared", app=app.name)
