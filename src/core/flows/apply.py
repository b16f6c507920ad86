"""Apply: an administrator does what a request asks for, and nothing else (P12).

The file may have been edited by anybody on its way. So the plan shows what would be done to which app, the calls come
from this program and not from the file, and permissions are granted to an existing app only after a yes that names its
id (P1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from core.clock import together
from core.display import oddities, quoted, short
from core.entra import activity, application, creation, permissions
from core.errors import SetupError
from core.events import Question
from core.flow.engine import Result
from core.flow.step import Done, Flow, Needed, Plan, PlanRow, Stage, Status, Step
from core.flows import agreement, interrupted, registry
from core.steps import app_permissions, directory_roles, facts, prerequisites, sign_in
from core.steps.admin_request import Request, parse
from core.steps.app import find, other_identities
from core.steps.app.create import CreateApp, CreatePrincipal, created_here, find_created, untouched
from core.steps.certificate.certificate import Register
from core.steps.context import Context
from core.steps.passwords.delete import DeletePasswords, Mark, TwoCleanReads, removed, vanished


class ReadRequest(Step[Context]):
    """Read the file and check that it is a request, for this cloud."""

    name = "request"
    title = "Read the request"
    gives = (facts.Target, facts.MachineKey, facts.WantedPermissions, facts.HandOffRequest)
    updates = (facts.NewApp, facts.PasswordRemoval)

    def apply(self, ctx: Context) -> str:
        path = Path(ctx.settings.request)
        request = parse(path)
        if (request.cloud, request.authority) != (ctx.cloud.name, ctx.cloud.authority):
            theirs = f"{quoted(request.cloud)} ({quoted(request.authority)})"
            ours = f"'{ctx.cloud.name}' ({ctx.cloud.authority})"
            raise SetupError("request.other-cloud", path=path, theirs=theirs, ours=ours)
        tenants, apps = (ctx.settings.tenant, request.tenant), (ctx.settings.app_id, request.app_id)
        for flag, given, asked in (("--tenant", *tenants), ("--app-id", *apps)):
            if given and asked and given != asked:
                detail = f"{flag} says {given}, but {path.name} is about {asked}"
                raise SetupError("usage.settings", detail=detail, command="apply")
        given, expected = ctx.settings.thumbprint, ctx.profile.app_display_name
        if given and given != request.key_pair.thumbprint:
            raise SetupError("request.other-certificate", path=path, given=given)
        if not request.app_id and request.app_name != expected:
            odd = "".join(f"; it {what}" for what in oddities(request.app_name, expected))
            name = quoted(request.app_name)
            raise SetupError("request.another-name", path=path, name=name, expected=expected, odd=odd)
        if request.key_pair.expired(ctx.clock.now()):
            raise SetupError("request.broken", path=path, detail="its certificate has expired")
        if request.key_pair.not_before > ctx.clock.now() + timedelta(days=1):
            raise SetupError("request.broken", path=path, detail="its certificate is not valid yet")
        ctx.facts.put(facts.HandOffRequest(request))
        ctx.facts.put(facts.MachineKey(request.key_pair))
        ctx.facts.put(facts.Target(request.tenant, request.app_id))
        ctx.facts.put(facts.WantedPermissions(dict(request.roles)))
        ctx.facts.put(facts.NewApp(request.unique_name))
        # the app's key is not here
        ctx.facts.put(facts.PasswordRemoval(deleters={"application": ("user",), "servicePrincipal": ("user",)}))
        return f"by {quoted(request.requested_by)} on {quoted(request.machine)}, {request.created[:10]}"


class FindRequestedApp(Step[Context]):
    """The app that the request names, or none when it is to be created; a Blueprint is refused (M18)."""

    name = "app"
    title = "Find the app registration"
    needs = (facts.SignedIn, facts.HandOffRequest)
    maybe = (facts.Project, facts.OpenRun, facts.MachineKey)
    updates = (facts.Target, facts.AppRegistration, facts.NewApp, facts.WantedPermissions)

    def apply(self, ctx: Context) -> str:
        request = requested(ctx)
        graph = ctx.user_graph()
        # an earlier run may have created it for this request, here or elsewhere
        effect, unique = created_here(ctx), ctx.new_app.unique_name
        app_id = ctx.target.app_id or (find_created(ctx, effect) if effect else creation.by_unique_name(graph, unique))

        def offered() -> None:
            if not request.remove_passwords:
                resource_id, found = permissions.read_offered(graph)
                ctx.facts.put(replace(ctx.permissions, resource_id=resource_id, offered=found))

        app, _ = together(lambda: application.read(graph, app_id) if app_id else None, offered)
        for name, role in request.roles.items():
            if ctx.permissions.offered.get(name) != role:
                raise SetupError("permissions.not-offered", names=name)
        if app is None:
            if request.app_id:
                find.refuse_deleted(ctx, request.app_id)
                raise SetupError("app.missing", app_id=app_id, tenant=ctx.target.tenant, path=ctx.settings.request)
            find.foresee_policy(ctx)
            return f"{quoted(request.app_name)} will be created"
        noted = effect is not None and effect.data.get("object_id") == app.object_id
        created = noted or (effect is not None and untouched(ctx, app))
        ctx.facts.put(replace(ctx.new_app, created=created))
        ctx.facts.put(facts.AppRegistration(app, app.all_passwords))
        find.refuse_another_name(ctx, app)
        if any(key.id == request.key_id and key.der != request.der for key in app.keys):
            detail = f"its keyId {request.key_id} is that of another certificate on the app"
            raise SetupError("request.broken", path=ctx.settings.request, detail=detail)
        ctx.facts.put(replace(ctx.target, app_id=app.app_id))
        if app.saml_passwords:
            raise SetupError("app.saml", key_ids=", ".join(p.id for p in app.saml_passwords))
        return f"'{app.name}' ({ctx.target.app_id}), created {app.created[:10]}"


class CheckAdministrator(Step[Context]):
    """Whether the signed-in principal may do all that is missing, and what needs a yes of its own."""

    name = "rights"
    title = "Check who may apply it"
    needs = (facts.Target, facts.SignedIn, facts.MachineKey, facts.HandOffRequest)
    maybe = (facts.AppRegistration, facts.NewApp, facts.WantedPermissions, facts.NeedsAdministrator)

    def apply(self, ctx: Context) -> str:
        request, app, key_pair = requested(ctx), ctx.maybe_app, ctx.key_pair
        if request.remove_passwords and app is not None and not app.holds(key_pair):
            raise SetupError("request.too-early", thumbprint=key_pair.thumbprint, app=app.name)
        reasons = self._reasons(ctx)
        if None in reasons:
            user = ctx.facts.get(facts.SignedIn).account.user
            raise SetupError("rights.apply", user=user, role=request.role_needed)
        app_permissions.confirm(ctx)
        if reasons and not request.remove_passwords:
            self._whose(ctx)
        unnamed = ctx.settings.yes and not app_permissions.named(ctx)
        if request.remove_passwords and app is not None and app.all_passwords and unnamed:
            raise SetupError("app.removal-unconfirmed", app_id=app.app_id, listing=app.describe())
        self._squatted(ctx)
        self._beyond(ctx)
        if request.roles and app is not None and app.all_passwords:
            raise SetupError("app.has-secrets", listing="; ".join(str(p) for p in app.all_passwords))
        return ", ".join(dict.fromkeys(filter(None, reasons))) or "nothing is left to do"

    @staticmethod
    def _reasons(ctx: Context) -> list[str | None]:
        """For each right that what is missing takes, why the signed-in principal has it; None where it has not."""
        app, wanted = ctx.maybe_app, set(ctx.permissions.wanted.values())
        if app is None:
            return [directory_roles.may_create(ctx), directory_roles.may_grant(ctx) if wanted else ""]
        if _removing(ctx):
            return [directory_roles.may_write(ctx, app, holder) for holder in {p.holder for p in app.all_passwords}]
        reasons: list[str | None] = []
        if not app.holds(ctx.key_pair) or wanted - app.declared or not app.principal_id:
            # what this request created a moment ago is its creator's
            made = ctx.new_app.created
            reasons.append(directory_roles.may_create(ctx) if made else directory_roles.may_write(ctx, app))
        return reasons + [directory_roles.may_grant(ctx)] * bool(wanted - app.granted)

    @staticmethod
    def _whose(ctx: Context) -> None:
        """The thumbprint is the one fact that a person knows from elsewhere than the file: the yes names it (P1)."""
        settings, request = ctx.settings, requested(ctx)
        if settings.thumbprint or settings.dry_run:
            return  # one that is not the certificate's was refused when the file was read
        text = (
            f"The file says that it is from {quoted(request.requested_by)}, on {quoted(request.machine)}. Ask the "
            "developer, by another way than the file, for the thumbprint of the certificate.\nThe thumbprint:"
        )
        question = Question("thumbprint", text, False, "--thumbprint", ctx.key_pair.thumbprint)
        if settings.yes or not ctx.ask(question):
            raise SetupError("request.unconfirmed", path=settings.request)

    @staticmethod
    def _squatted(ctx: Context) -> None:
        """An app that was to be created and is there already, without the certificate, is somebody else's (P1)."""
        app = ctx.maybe_app
        if app is None or requested(ctx).app_id or ctx.new_app.created or app.holds(ctx.key_pair):
            return
        if ctx.settings.yes and not app_permissions.named(ctx):
            why = "The request asks to create an app, and under its unique name there is one already."
            raise SetupError("app.adopt", why=why, listing=app.describe(), app_id=app.app_id)

    @staticmethod
    def _beyond(ctx: Context) -> None:
        """Permissions that no Provisioner needs take a yes of their own (P6)."""
        settings, app = ctx.settings, ctx.maybe_app
        granted = app.granted if app is not None else frozenset()
        names = sorted(n for n, r in ctx.permissions.wanted.items() if n not in permissions.KNOWN and r not in granted)
        if not names or settings.extra_roles or settings.dry_run:
            return
        text = f"The request asks for more than a Provisioner needs: {', '.join(names)}. Grant them too?"
        if settings.yes or not ctx.ask(Question("extra-roles", text, False, "--extra-roles")):
            raise SetupError("permissions.beyond", names=", ".join(names))


class Explain(Step[Context]):
    """Say what the request is about, before the yes."""

    name = "project"
    title = "Look at the request"
    needs = (facts.Target, facts.SignedIn, facts.MachineKey, facts.HandOffRequest)
    maybe = (facts.AppRegistration, facts.NewApp, facts.WantedPermissions)
    updates = (facts.PasswordRemoval,)

    def apply(self, ctx: Context) -> str:
        find.say_subject(ctx)
        request, key_pair, app = requested(ctx), ctx.key_pair, ctx.maybe_app
        if not _removing(ctx):
            find.say_policies(ctx, app.policy if app is not None else ctx.new_app.policy)
        if app is not None and not request.app_id and not ctx.new_app.created:
            message = f"The app that it asks to create is there already:\n{app.describe()}"
            ctx.report("request.app-exists", "warning", message, "Ask who made it, before you go on.")
        if app is not None:
            for finding in other_identities.unacknowledged(ctx, app):
                ctx.emit(finding)
        if app is not None and app.all_passwords and not _removing(ctx):
            listing = "; ".join(str(password) for password in app.all_passwords)
            message = f"The app also accepts {len(app.all_passwords)} password credential(s), which stay: {listing}."
            ctx.report("app.passwords", "warning", message)
        if app is not None and _removing(ctx) and app.all_passwords:
            last_used = activity.read(ctx.user_graph(), ctx.cloud, app.app_id)
            ctx.facts.put(replace(ctx.removal, activity=last_used))
            find.say_others_stop(ctx)
        message = (
            f"{quoted(request.requested_by)} asks for it, says the file. The certificate {key_pair.thumbprint} belongs "
            f"to the machine {quoted(request.machine)}: whoever holds its key can act as this app until "
            f"{key_pair.not_after.date()}."
        )
        ctx.report("request.subject", "warning", message, "Ask that person whether the thumbprint is theirs.")
        if taking := self._taking(ctx):
            message = f"With {', '.join(taking)} whoever holds the key of this certificate can take over the tenant."
            ctx.report("request.takeover", "warning", message, "Apply it only to a Provisioner that you know.")
        if app is not None and (odd := oddities(app.name, ctx.profile.app_display_name)):
            message = f"The name of the app, {quoted(app.name)}, {'; it '.join(odd)}."
            ctx.report("app.odd-name", "warning", message)
        if request.listed != request.calls:
            message = "What the file lists as its calls is not what is going to be done; what will be done is the plan."
            ctx.report("request.calls", "warning", message, "Ask the developer where the file came from.")
        return f"{len(request.calls)} call(s)"

    @staticmethod
    def _taking(ctx: Context) -> list[str]:
        """What the certificate opens that amounts to a takeover: permissions asked for, and those the app has (M14)."""
        if _removing(ctx):
            return []
        names = {role: name for name, role in ctx.permissions.offered.items()}
        granted = app.granted if (app := ctx.maybe_app) is not None else frozenset[str]()
        return permissions.takeover({*ctx.permissions.wanted, *(names.get(role, "") for role in granted)})


class MarkRemoval(Mark):
    """The point of no return of a removal; this machine has no state file to rehearse."""

    needs = (facts.Target, facts.OpenRun, facts.SignedIn, facts.AppRegistration, facts.HandOffRequest)
    maybe = (facts.NewApp, facts.WantedPermissions, facts.KeystoreFindings)

    def check(self, ctx: Context) -> Status:
        return Needed() if _removing(ctx) and ctx.app.all_passwords else Done("nothing irreversible is asked for")

    def _rehearse(self, ctx: Context) -> None:
        return


class Remove(DeletePasswords):
    """Delete the password credentials, if that is what was asked for."""

    needs = (facts.Target, facts.OpenRun, facts.AppRegistration, facts.MachineKey, facts.HandOffRequest)

    def check(self, ctx: Context) -> Status:
        return super().check(ctx) if _removing(ctx) else Done("not asked for")


class SeeNone(TwoCleanReads):
    """See twice that none is left, if that is what was asked for."""

    needs = (facts.Target, facts.OpenRun, facts.SignedIn, facts.AppRegistration, facts.HandOffRequest)
    maybe = (facts.NewApp, facts.Proof, facts.WantedPermissions, facts.PasswordRemoval)

    def check(self, ctx: Context) -> Status:
        return super().check(ctx) if _removing(ctx) else Done("not asked for")


class RegisterRequested(Register):
    """Add the certificate of the request; every other one stays."""

    needs = (facts.Target, facts.OpenRun, facts.SignedIn, facts.AppRegistration, facts.HandOffRequest)
    maybe = (facts.NewApp, facts.Proof, facts.WantedPermissions, facts.KeystoreFindings)

    def check(self, ctx: Context) -> Status:
        return Done("not asked for") if _removing(ctx) else super().check(ctx)

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        return super().plan(ctx) if ctx.maybe_app is not None else ()


def requested(ctx: Context) -> Request:
    """The request of this run."""
    return ctx.facts.get(facts.HandOffRequest).request


def _removing(ctx: Context) -> bool:
    return requested(ctx).remove_passwords


def _basis(ctx: Context) -> dict[str, object]:
    return agreement.basis(ctx, ctx.permissions.wanted, new=ctx.new_app.unique_name)


def _refresh(ctx: Context) -> None:
    if ctx.settings.yes:
        return
    if ctx.maybe_app is None and creation.by_unique_name(ctx.user_graph(), ctx.new_app.unique_name):
        raise SetupError("flow.outdated")
    agreement.read_app(ctx, begun=True)


def _question(ctx: Context, plan: Plan) -> Question:
    app, request = ctx.maybe_app, requested(ctx)
    where = f"app {app.app_id} ('{app.name}')" if app is not None else f"a new app {quoted(request.app_name)}"
    text = f"Apply the request of {quoted(request.requested_by)} to {where}, tenant {ctx.target.tenant}.\nGo on?"
    return Question("apply", text, False, "--yes")


def _summary(ctx: Context, outcome: str) -> Sequence[str]:
    if outcome == "unchanged":
        return ("Nothing to do: what the request asks for is there already.",)
    if outcome != "changed":
        return ()
    if _removing(ctx):
        count = sum(removed(ctx).values())
        first = f"{count} password credential(s) removed from '{ctx.app.name}' ({ctx.target.app_id})."
    else:
        first = f"'{ctx.app.name}' ({ctx.target.app_id}) now accepts the certificate {ctx.key_pair.thumbprint}."
    request = requested(ctx)
    who, machine = quoted(request.requested_by), quoted(short(request.machine))
    return (first, f"{who} runs the same command again on {machine} to finish.")


def result(ctx: Context, result: Result) -> dict[str, Any]:
    """For `--json`: how many password credentials were removed, by holder."""
    return {"removed": removed(ctx)}


_CHANGE: Final[tuple[Step[Context], ...]] = (
    CreateApp(),
    CreatePrincipal(),
    RegisterRequested(),
    app_permissions.Declare(),
    app_permissions.GrantRoles(),
    MarkRemoval(),
    Remove(),
    SeeNone(),
)
FLOW: Flow[Context] = Flow(
    registry.APPLY,
    look=(
        Stage("request", "Request", (ReadRequest(),)),
        sign_in.STAGE,
        Stage("review", "Review", (prerequisites.OpenJournal(), FindRequestedApp(), CheckAdministrator(), Explain())),
    ),
    change=(Stage("apply", "Apply", _CHANGE),),
    basis=_basis,
    refresh=_refresh,
    question=_question,
    before_undo=vanished,
    left=lambda ctx: "Some of the password credentials may be left.",
    summary=_summary,
    open=interrupted.standing,
)
