"""The app registration and its service principal from nothing (P1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

from core.entra import application, credentials
from core.entra.graph import Graph
from core.errors import GraphError, SetupError
from core.flow.journal import Effect
from core.flow.plan import Change
from core.flow.step import Check, Done, Left, Needed, Step
from core.flow.wait import wait_until
from core.stages import handoff
from core.stages.certificate import key_name
from core.stages.roles import merged
from core.stages.world import World

CREATE: Final = "graph.application.create"
PRINCIPAL: Final = "graph.servicePrincipal.create"
#: How long a new object may stay unknown to other parts of the directory, in seconds.
REPLICATION: Final = 120.0


class CreateApp(Step[World]):
    """Create the app registration with certificate and declared permissions, in one request.

    It is an upsert by a `uniqueName` that the journal holds before the request is sent: repeating it after a lost
    answer cannot make a second app (GD "Upsert application").
    """

    name = "create-app"
    title = "Create the app registration"

    def check(self, world: World) -> Check:
        app = world.known.app
        return Done(f"'{app.name}' ({app.app_id})") if app is not None else Needed()

    def plan(self, world: World) -> Sequence[Change]:
        where = f"tenant {world.known.tenant}"
        where += handoff.by_whom(world)
        what = f"'{world.app_name}', single tenant"
        return (Change("add", "app registration", where, "", what, True, "PATCH /applications(uniqueName='…')"),)

    def apply(self, world: World) -> str:
        known, bundle = world.known, world.bundle
        earlier = world.log.standing(CREATE)
        unique = earlier[0].data["unique_name"] if earlier else known.unique_name or f"{world.profile.name}-{uuid4()}"
        key_id = earlier[0].data["key_id"] if earlier else known.key_id or str(uuid4())
        known.unique_name = unique
        entry = credentials.entry_of(bundle, key_id, key_name(world))
        body = {
            "displayName": world.app_name,
            "signInAudience": "AzureADMyOrg",
            "keyCredentials": [entry],
            "requiredResourceAccess": merged((), known.wanted.values()),
        }
        facts = {"unique_name": unique, "key_id": key_id, "thumbprint": bundle.thumbprint}
        graph = world.user_graph()
        with handoff.on_refusal(world), world.log.effect(CREATE, unique, world.emit, **facts) as effect:
            created = application.upsert(graph, unique, body)
            if "appId" not in created:  # it was there already: the first answer was lost
                created = _by_unique_name(world, graph, unique) or {}
            if "appId" not in created:
                raise SetupError("app.not-created", name=world.app_name)
            effect.data.update(object_id=created["id"], app_id=created["appId"])
        known.app = application.of_answer(created | body)
        known.app_id, known.created = known.app.app_id, True
        return f"'{known.app.name}' ({known.app_id})"

    def undo(self, world: World) -> Left | None:
        graph = world.user_graph()
        for effect in world.log.standing(CREATE):
            found = _by_unique_name(world, graph, effect.target)
            if found is not None:
                path = f"/applications/{found['id']}"
                by_hand = f"az ad app delete --id {found['appId']}"
                keys = application.read_keys(graph, found["id"])
                ours = any(key.thumbprint == effect.data["thumbprint"] for key in keys)
                held = world.known.bundle is not None and world.known.bundle.thumbprint == effect.data["thumbprint"]
                if not (ours and held):
                    return Left(f"app registration {found['appId']}, which is not provably ours", by_hand)

                def gone(path: str = path) -> bool | None:
                    try:
                        graph.get(f"{path}?$select=id", "see whether the app is gone")
                    except GraphError as error:
                        if error.status == 404:
                            return True
                        raise
                    return None

                graph.write("DELETE", path, None, "delete the app again", lambda: gone() is not None)
                reason = "the app registration to disappear"
                if not wait_until(
                    gone, clock=world.clock, emit=world.emit, reason=reason, expected=10, deadline=REPLICATION
                ):
                    return Left(f"app registration {found['appId']}", by_hand)
            world.log.undone(effect)
            world.known.app, world.known.created = None, False
        return None


class CreatePrincipal(Step[World]):
    """Give the app a service principal in this tenant; without one it cannot sign in."""

    name = "create-principal"
    title = "Create its service principal"

    def check(self, world: World) -> Check:
        app = world.known.app
        return Done(app.principal_id) if app is not None and app.principal_id else Needed()

    def plan(self, world: World) -> Sequence[Change]:
        where = f"tenant {world.known.tenant}{handoff.by_whom(world)}"
        return (
            Change("add", "service principal", where, "", "of the app registration", True, "POST /servicePrincipals"),
        )

    def apply(self, world: World) -> str:
        graph, app = world.user_graph(), world.app
        found: dict[str, Any] = {}
        last: GraphError | None = None

        def there() -> bool:
            found.update(_principal(graph, app.app_id) or {})
            return bool(found)

        def create() -> bool | None:
            nonlocal last
            try:
                answer = graph.write("POST", "/servicePrincipals", {"appId": app.app_id}, "create the principal", there)
                found.update(answer)
                return True
            except GraphError as error:
                if error.status == 409:  # an earlier try was carried out after all
                    return there() or None
                if error.status not in (400, 404):
                    raise
                last = error  # the app has not arrived at this replica yet
                return None

        with handoff.on_refusal(world), world.log.effect(PRINCIPAL, app.app_id, world.emit) as effect:
            if not wait_until(
                create,
                clock=world.clock,
                emit=world.emit,
                reason="the new app registration to be known everywhere",
                expected=10,
                deadline=REPLICATION,
            ):
                raise last or SetupError("app.no-principal", app_id=app.app_id, tenant=world.known.tenant)
            effect.data["principal_id"] = found["id"]
        world.known.app = replace(app, principal_id=str(found["id"]))
        return str(found["id"])

    def undo(self, world: World) -> Left | None:
        with_app = bool(world.log.standing(CREATE))  # it goes with the app that this undertaking made
        for effect in world.log.standing(PRINCIPAL):
            if not with_app:
                graph = world.user_graph()
                found = _principal(graph, effect.target)
                if found is not None:
                    path = f"/servicePrincipals/{found['id']}"

                    def gone(graph: Graph = graph, app_id: str = effect.target) -> bool:
                        return _principal(graph, app_id) is None

                    graph.write("DELETE", path, None, "delete the service principal again", gone)
            world.log.undone(effect)
        return None


def created_here(world: World) -> Effect | None:
    """The note of the app that this undertaking created, or may have created."""
    journal = world.journal
    effects = journal.standing(CREATE) if journal is not None else []
    return effects[0] if effects else None


def find_created(world: World, effect: Effect) -> str | None:
    """App id of the app that an interrupted run created; None when it was never created."""
    graph = world.user_graph()
    found = _by_unique_name(world, graph, effect.target, patient=effect.state == "done")
    return str(found["appId"]) if found else None


def _principal(graph: Graph, app_id: str) -> dict[str, Any] | None:
    try:
        return graph.get(f"/servicePrincipals(appId='{app_id}')?$select=id", "look for the service principal")
    except GraphError as error:
        if error.status == 404:
            return None
        raise


def _by_unique_name(world: World, graph: Graph, unique: str, *, patient: bool = True) -> dict[str, Any] | None:
    """The app of a `uniqueName`; one that was made a moment ago may take a while to be seen."""

    def look() -> dict[str, Any] | None:
        try:
            return graph.get(
                f"/applications(uniqueName='{unique}')?$select=id,appId,displayName", "look for the new app"
            )
        except GraphError as error:
            if error.status == 404:
                return None
            raise

    return wait_until(
        look,
        clock=world.clock,
        emit=world.emit,
        reason="the new app registration to be seen",
        expected=10,
        deadline=REPLICATION if patient else REPLICATION / 4,
    )
