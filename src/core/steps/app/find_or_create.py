"""Which app registration an onboarding is about: the known one, or one to be created; none by its name alone (P1)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from core.clock import together, wait_until
from core.entra import application, creation, permissions
from core.entra.tokens import discover
from core.errors import GraphError, SetupError
from core.flow.step import Step
from core.steps import facts, prerequisites
from core.steps.app import find
from core.steps.app.create import REPLICATION, created_here, find_created
from core.steps.context import Context
from core.steps.hand_off import handoff


class OpenJournal(prerequisites.OpenJournal):
    """Lock and journal: those of the app, or of the project while the app that it is making is not finished."""

    def apply(self, ctx: Context) -> str:
        return prerequisites.open_of_project(ctx) if prerequisites.unfinished(ctx) else super().apply(ctx)


class FindOrCreate(Step[Context]):
    """By the id that is known, else by exact name, else to be created."""

    name = "app"
    title = "Find the app registration"
    maybe = (facts.Project, facts.SignedIn, facts.HandOffRequest)
    gives = (facts.WantedPermissions,)
    updates = (facts.Target, facts.OpenRun, facts.AppRegistration, facts.NewApp)

    def apply(self, ctx: Context) -> str:
        if ctx.project.secret or ctx.statefile.read_or_empty().present:
            raise SetupError("app.has-secrets", listing="the state file holds one")
        ctx.facts.put(replace(ctx.target, app_id=self._interrupted(ctx) or ctx.target.app_id))
        tell = partial(discover, ctx.session, ctx.cloud, ctx.target.tenant)
        app, *_ = together(lambda: self._look(ctx), lambda: _offered(ctx), lambda: find.foresee_policy(ctx), tell)
        if app is None and ctx.target.app_id:
            app = self._gone(ctx)
        ctx.facts.drop(facts.AppRegistration)
        if app is None:
            return f"there is none; '{ctx.profile.app_display_name}' will be created"
        ctx.facts.put(replace(ctx.target, app_id=app.app_id))
        ctx.facts.put(facts.AppRegistration(app))
        find.refuse_another_name(ctx, app)
        if app.saml_passwords:
            raise SetupError("app.saml", key_ids=", ".join(p.id for p in app.saml_passwords))
        if app.all_passwords:
            raise SetupError("app.has-secrets", listing="; ".join(str(password) for password in app.all_passwords))
        return f"'{app.name}' ({app.app_id}), created {app.created[:10]}"

    def still_none(self, ctx: Context) -> None:
        """See that nobody made an app of that name while the plan was being read.

        :raises SetupError: `app.adopt-or-new`, `app.several`.
        """
        if ctx.maybe_app is None:
            self._by_name(ctx)

    def _interrupted(self, ctx: Context) -> str:
        """App id of the app that an interrupted run created, or that an administrator created for it."""
        if (effect := created_here(ctx)) is not None:
            ctx.facts.put(replace(ctx.new_app, unique_name=effect.target, created=True))
            return find_created(ctx, effect) or ""
        request = handoff.written(ctx)
        if request is not None and request.data["unique_name"]:
            unique = str(request.data["unique_name"])
            ctx.facts.put(replace(ctx.new_app, unique_name=unique))
            return creation.by_unique_name(ctx.user_graph(), unique) or ""
        return ""

    def _look(self, ctx: Context) -> application.App | None:
        """The app. That there is none is believed when it lasts: a replica may not know a new one yet."""
        graph = ctx.user_graph()
        if not ctx.target.app_id:
            return self._by_name(ctx)

        def look() -> application.App | None:
            try:
                return application.read(graph, ctx.target.app_id)
            except GraphError as error:
                if error.status == 404:  # a part of it
                    return None
                raise

        deadline = REPLICATION / (8 if ctx.settings.app_id else 1 if ctx.new_app.created else 2)
        return wait_until(look, ctx, "the app registration to be seen", expected=10, deadline=deadline)

    def _by_name(self, ctx: Context) -> application.App | None:
        """None, unless it is the very one that this undertaking made.

        :raises SetupError: `app.adopt-or-new`, `app.several`.
        """
        graph, unique, new = ctx.user_graph(), ctx.new_app.unique_name, ctx.settings.new
        found = find.of_that_name(ctx) if unique or not new else []
        for ours in found:
            if unique and ours.get("uniqueName") == unique:
                return application.read(graph, str(ours["appId"]))
        if new or not found:
            return None
        app = application.read(graph, str(found[0]["appId"])) if len(found) == 1 else None
        if app is not None:
            raise SetupError("app.adopt-or-new", listing=app.describe(), app_id=app.app_id)
        raise find.Several(ctx, found)

    def _gone(self, ctx: Context) -> application.App | None:
        """A definite 404 makes an id stale; a deleted app that can be restored stops the run."""
        target = ctx.target
        find.refuse_deleted(ctx, target.app_id)
        if ctx.settings.app_id:
            raise SetupError("app.missing", app_id=target.app_id, tenant=target.tenant, path=ctx.statefile.path)
        app_id = ""
        if not ctx.new_app.created:
            message = f"The app {target.app_id} of the state file does not exist any more; a new one will be created."
            ctx.report("app.stale", "warning", message)
            prerequisites.open_of_project(ctx)  # from here on it is about a new app
            app_id = self._interrupted(ctx)
        ctx.facts.put(replace(ctx.target, app_id=app_id))
        find.foresee_policy(ctx)
        return self._look(ctx)


def _offered(ctx: Context) -> None:
    resource_id, offered = permissions.read_offered(ctx.user_graph())
    ctx.facts.put(facts.WantedPermissions(resource_id=resource_id, offered=offered))
