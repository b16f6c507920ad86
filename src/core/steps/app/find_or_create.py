"""Which app registration an onboarding is about: the known one, or one to be created; none by its name alone (P1)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from core.clock import together, wait_until
from core.entra import application, creation, permissions
from core.entra.application import App
from core.entra.tokens import discover
from core.errors import GraphError, SetupError
from core.events import Finding
from core.flow.step import Needed, Status, Step
from core.steps import prerequisites
from core.steps.app import find
from core.steps.app.create import REPLICATION, created_here, find_created
from core.steps.context import World
from core.steps.facts import (
    AppRegistration,
    HandOffRequest,
    NewApp,
    OpenRun,
    Project,
    SignedIn,
    Target,
    WantedPermissions,
)
from core.steps.hand_off import handoff


class OpenJournal(prerequisites.OpenJournal):
    """Lock and journal: those of the app, or of the project while the app that it is making is not finished."""

    def apply(self, world: World) -> str:
        return prerequisites.open_of_project(world) if prerequisites.unfinished(world) else super().apply(world)


class FindOrCreate(Step[World]):
    """By the id that is known, else by exact name, else to be created."""

    name = "app"
    title = "Find the app registration"
    maybe = (Project, SignedIn, HandOffRequest)
    gives = (WantedPermissions,)
    updates = (Target, OpenRun, AppRegistration, NewApp)

    def check(self, world: World) -> Status:
        return Needed()

    def apply(self, world: World) -> str:
        if world.project.secret or world.statefile.read_or_empty().present:
            raise SetupError("app.has-secrets", listing="the state file holds one")
        world.facts.put(replace(world.target, app_id=self._interrupted(world) or world.target.app_id))
        tell = partial(discover, world.session, world.cloud, world.target.tenant)
        app, *_ = together(lambda: self._look(world), lambda: _offered(world), lambda: _policy(world), tell)
        if app is None and world.target.app_id:
            app = self._gone(world)
        world.facts.drop(AppRegistration)
        if app is None:
            return f"there is none; '{world.profile.app_display_name}' will be created"
        world.facts.put(replace(world.target, app_id=app.app_id))
        world.facts.put(AppRegistration(app))
        find.refuse_another_name(world, app)
        if app.saml_passwords:
            raise SetupError("app.saml", key_ids=", ".join(p.id for p in app.saml_passwords))
        if app.all_passwords:
            raise SetupError("app.has-secrets", listing="; ".join(str(password) for password in app.all_passwords))
        return f"'{app.name}' ({app.app_id}), created {app.created[:10]}"

    def still_none(self, world: World) -> None:
        """See that nobody made an app of that name while the plan was being read.

        :raises SetupError: `app.adopt-or-new`, `app.several`.
        """
        if world.maybe_app is None:
            self._by_name(world)

    def _interrupted(self, world: World) -> str:
        """App id of the app that an interrupted run created, or that an administrator created for it."""
        if (effect := created_here(world)) is not None:
            world.facts.put(replace(world.new_app, unique_name=effect.target, created=True))
            return find_created(world, effect) or ""
        request = handoff.written(world)
        if request is not None and request.data["unique_name"]:
            unique = str(request.data["unique_name"])
            world.facts.put(replace(world.new_app, unique_name=unique))
            return creation.by_unique_name(world.user_graph(), unique) or ""
        return ""

    def _look(self, world: World) -> App | None:
        """The app. That there is none is believed when it lasts: a replica may not know a new one yet."""
        graph = world.user_graph()
        if not world.target.app_id:
            return self._by_name(world)

        def look() -> App | None:
            try:
                return application.read(graph, world.target.app_id)
            except GraphError as error:
                if error.status == 404:  # a part of it
                    return None
                raise

        return wait_until(
            look,
            clock=world.clock,
            emit=world.emit,
            reason="the app registration to be seen",
            expected=10,
            deadline=REPLICATION / (8 if world.settings.app_id else 1 if world.new_app.created else 2),
        )

    def _by_name(self, world: World) -> App | None:
        """None, unless it is the very one that this undertaking made.

        :raises SetupError: `app.adopt-or-new`, `app.several`.
        """
        graph, unique, new = world.user_graph(), world.new_app.unique_name, world.settings.new
        found = find.of_that_name(world) if unique or not new else []
        for ours in found:
            if unique and ours.get("uniqueName") == unique:
                return application.read(graph, str(ours["appId"]))
        if new or not found:
            return None
        app = application.read(graph, str(found[0]["appId"])) if len(found) == 1 else None
        if app is not None:
            raise SetupError("app.adopt-or-new", listing=app.describe(), app_id=app.app_id)
        raise find.Several(world, found)

    def _gone(self, world: World) -> App | None:
        """A definite 404 makes an id stale; a deleted app that can be restored stops the run."""
        target = world.target
        find.refuse_deleted(world, target.app_id)
        if world.settings.app_id:
            raise SetupError("app.missing", app_id=target.app_id, tenant=target.tenant, path=world.statefile.path)
        if not world.new_app.created:
            message = f"The app {target.app_id} of the state file does not exist any more; a new one will be created."
            world.emit(Finding("app.stale", "warning", message))
            prerequisites.open_of_project(world)  # from here on it is about a new app
            app_id = self._interrupted(world)
        else:
            app_id = ""
        world.facts.put(replace(world.target, app_id=app_id))
        _policy(world)
        return self._look(world)


def _offered(world: World) -> None:
    resource_id, offered = permissions.read_offered(world.user_graph())
    world.facts.put(WantedPermissions(resource_id=resource_id, offered=offered))


def _policy(world: World) -> None:
    """What the tenant's policy will say of a new app; az's token may mostly not read it."""
    if not world.target.app_id:
        created = world.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        policy = application.read_default_policy(world.user_graph(), created)
        world.facts.put(replace(world.new_app, policy=policy))
