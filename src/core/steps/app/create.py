"""The app registration and its service principal from nothing (P1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar
from uuid import uuid4

from core.clock import wait_until
from core.entra import application, creation, credentials
from core.entra.graph import Graph
from core.errors import GraphError, SetupError
from core.flow.journal import Effect
from core.flow.step import Done, Left, Needed, PlanRow, Status, Step
from core.steps import facts
from core.steps.app_permissions import merged
from core.steps.certificate.certificate import chosen_key_id, key_name, lifetime, refuse_forbidden
from core.steps.context import Context
from core.steps.hand_off import handoff

T = TypeVar("T")
CREATE: Final = "graph.application.create"
PRINCIPAL: Final = "graph.servicePrincipal.create"
#: How long a new object may stay unknown to other parts of the directory, in seconds.
REPLICATION: Final = 120.0


class CreateApp(Step[Context]):
    """Create the app registration with certificate and declared permissions, in one request.

    It is an upsert by a `uniqueName` that the journal holds before the request is sent: repeating it after a lost
    answer cannot make a second app (GD "Upsert application").
    """

    name = "create-app"
    title = "Create the app registration"
    needs = (facts.OpenRun, facts.SignedIn, facts.MachineKey)
    maybe = (facts.WantedPermissions, facts.HandOffRequest)
    gives = (facts.AppRegistration,)
    updates = (facts.Target, facts.NewApp, facts.NeedsAdministrator)

    def check(self, ctx: Context) -> Status:
        app = ctx.maybe_app
        if app is not None:
            return Done(f"'{app.name}' ({app.app_id})")
        refuse_forbidden(ctx)
        return Needed()

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        whose, key_pair = handoff.by_whom(ctx), ctx.maybe_key_pair
        what, call = f"'{ctx.app_name}', single tenant", "PATCH /applications(uniqueName='…')"
        days, why = lifetime(ctx)
        certificate = key_pair.thumbprint if key_pair else f"valid {days.days} days{why}"
        app = f"the new app registration{whose}"
        return (
            PlanRow("add", "app registration", f"tenant {ctx.target.tenant}{whose}", "", what, True, call),
            PlanRow("add", "certificate", app, "", certificate, True, "in the same request"),
        )

    def apply(self, ctx: Context) -> str:
        earlier = ctx.log.standing(CREATE)
        try:
            return self._create(ctx, earlier)
        except GraphError as error:
            if not earlier or "ObjectConflict" not in error.inner_codes:
                raise
            if _by_unique_name(ctx, ctx.user_graph(), earlier[0].target) is not None:
                raise  # it is there, and a replica did not know it yet: the next run finds it, and none makes a second
        for effect in earlier:  # it was deleted by an undo that was cut short; its uniqueName stays taken for 30 days
            ctx.log.undone(effect)
        ctx.facts.put(replace(ctx.new_app, unique_name=""))
        return self._create(ctx, [])

    def _create(self, ctx: Context, earlier: Sequence[Effect]) -> str:
        key_pair = ctx.key_pair
        unique = earlier[0].target if earlier else ctx.new_app.unique_name or f"{ctx.profile.name}-{uuid4()}"
        # the keyId of an interrupted run, so that its late write and ours are the same entry
        same = [effect.data["key_id"] for effect in earlier if effect.data["thumbprint"] == key_pair.thumbprint]
        key_id = same[0] if same else chosen_key_id(ctx)
        ctx.facts.put(replace(ctx.new_app, unique_name=unique))
        entry = credentials.entry_of(key_pair, key_id, key_name(ctx))
        body = {
            "displayName": ctx.app_name,
            "signInAudience": "AzureADMyOrg",
            "keyCredentials": [entry],
            "requiredResourceAccess": merged((), ctx.permissions.wanted.values()),
        }
        details = {"key_id": key_id, "thumbprint": key_pair.thumbprint}
        graph = ctx.user_graph()
        with handoff.on_refusal(ctx), ctx.log.effect(CREATE, unique, ctx.emit, **details) as effect:
            created = creation.upsert(graph, unique, body)
            if "appId" not in created:  # it was there already: the first answer was lost
                created = _by_unique_name(ctx, graph, unique) or {}
                # or somebody who had read the request was faster
                if created and ctx.facts.maybe(facts.HandOffRequest) is not None:
                    self._ours(ctx, graph, str(created["appId"]))
            if "appId" not in created:
                raise SetupError("app.not-created", name=ctx.app_name)
            effect.data.update(object_id=created["id"], app_id=created["appId"])
        app = replace(creation.of_answer(created | body), policy=ctx.new_app.policy)
        ctx.facts.put(facts.AppRegistration(app))
        ctx.facts.put(replace(ctx.new_app, created=True))
        ctx.facts.put(replace(ctx.target, app_id=app.app_id))
        return f"'{app.name}' ({app.app_id})"

    @staticmethod
    def _ours(ctx: Context, graph: Graph, app_id: str) -> None:
        app = _seen(graph, lambda: application.read(graph, app_id))
        if app is None or not untouched(ctx, app):
            raise SetupError("app.appeared", app_id=app_id, listing=app.describe() if app else "  unknown")

    def undo(self, ctx: Context) -> Left | None:
        effects = ctx.log.standing(CREATE)  # of one app, under one name
        if not effects:
            return None
        graph = ctx.user_graph()
        found = _by_unique_name(ctx, graph, effects[0].target)
        if found is not None:
            object_id, key_pair = str(found["id"]), ctx.maybe_key_pair
            keys = _seen(graph, lambda: application.read_keys(graph, object_id)) or ()
            ours = {key.thumbprint for key in keys} & {effect.data["thumbprint"] for effect in effects}
            if key_pair is None or key_pair.thumbprint not in ours:
                what = f"app registration {found['appId']}, which is not provably ours"
                return Left(what, f"az ad app delete --id {found['appId']}")
            graph.remove(f"/applications/{object_id}", "delete the app again")
        for effect in effects:
            ctx.log.undone(effect)
        ctx.facts.drop(facts.AppRegistration)
        ctx.facts.put(replace(ctx.new_app, created=False))
        return None


class CreatePrincipal(Step[Context]):
    """Give the app a service principal in this tenant; without one it cannot sign in."""

    name = "create-principal"
    title = "Create its service principal"
    needs = (facts.Target, facts.OpenRun, facts.SignedIn, facts.MachineKey)
    maybe = handoff.REQUEST
    updates = (facts.AppRegistration, facts.NeedsAdministrator)

    def check(self, ctx: Context) -> Status:
        app = ctx.maybe_app
        return Done(app.principal_id) if app is not None and app.principal_id else Needed()

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        where = f"tenant {ctx.target.tenant}{handoff.by_whom(ctx)}"
        return (
            PlanRow("add", "service principal", where, "", "of the app registration", True, "POST /servicePrincipals"),
        )

    def apply(self, ctx: Context) -> str:
        graph, app = ctx.user_graph(), ctx.app
        found: dict[str, Any] = {}
        last: GraphError | None = None

        def there() -> bool:
            path = f"/servicePrincipals(appId='{app.app_id}')?$select=id"
            found.update(graph.find(path, "look for the service principal") or {})
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
                if not (error.explains_new if ctx.new_app.created else error.status == 404):
                    raise
                last = error  # the app has not arrived everywhere yet; the service also calls that 400 and 403
                return None

        with handoff.on_refusal(ctx), ctx.log.effect(PRINCIPAL, app.app_id, ctx.emit) as effect:
            reason = "the new app registration to be known everywhere"
            if not wait_until(create, ctx, reason, expected=10, deadline=REPLICATION):
                raise last or SetupError("app.no-principal", app_id=app.app_id, tenant=ctx.target.tenant)
            effect.data["principal_id"] = found["id"]
        ctx.update_app(replace(app, principal_id=str(found["id"])))
        return str(found["id"])

    def undo(self, ctx: Context) -> Left | None:
        effects = ctx.log.standing(PRINCIPAL)
        if effects and not ctx.log.standing(CREATE):  # else it goes with the app that this undertaking made
            graph = ctx.user_graph()
            path = f"/servicePrincipals(appId='{effects[0].target}')?$select=id"
            certain = any(effect.state == "done" for effect in effects)
            found = _seen(graph, lambda: graph.get(path, "look for the service principal"), diagnosis=certain)
            if found is not None:
                path = f"/servicePrincipals/{found['id']}"
                graph.remove(path, "delete the service principal again")
        for effect in effects:
            ctx.log.undone(effect)
        return None


def untouched(ctx: Context, app: application.App) -> bool:
    """Whether an app that answers to our name was made by the signed-in principal, and holds nothing of others.

    The name stands in a request that anybody may have read, so somebody else may have made an app under it (P1).
    """
    key_pair = ctx.maybe_key_pair
    me = str(ctx.facts.get(facts.SignedIn).token.claims.get("oid"))
    others = {key.thumbprint for key in app.keys} - {key_pair.thumbprint if key_pair else ""}
    return {str(owner.get("id")) for owner in app.owners} == {me} and not (others or app.all_passwords or app.federated)


def created_here(ctx: Context) -> Effect | None:
    """The note of the app that this undertaking created, or may have created."""
    return next(iter(ctx.standing(CREATE)), None)


def find_created(ctx: Context, effect: Effect) -> str | None:
    """App id of the app that an interrupted run created; None when it was never created."""
    graph = ctx.user_graph()
    found = _by_unique_name(ctx, graph, effect.target, diagnosis=effect.state == "done")
    return str(found["appId"]) if found else None


def _by_unique_name(ctx: Context, graph: Graph, unique: str, *, diagnosis: bool = True) -> dict[str, Any] | None:
    """The app of a `uniqueName`; one that was made a moment ago may take a while to be seen."""
    path = f"/applications(uniqueName='{unique}')?$select=id,appId,displayName"
    return _seen(graph, lambda: graph.get(path, "look for the new app"), diagnosis=diagnosis)


def _seen(graph: Graph, read: Callable[[], T | None], *, diagnosis: bool = True) -> T | None:
    return graph.once_known(read, "a new object to be seen", REPLICATION if diagnosis else REPLICATION / 4)
