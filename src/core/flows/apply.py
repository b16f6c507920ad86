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

from core.clock import together
from core.display import oddities, quoted, short
from core.entra import activity, application, creation, permissions
from core.entra.application import App
from core.errors import SetupError
from core.events import Finding, Question
from core.flow.plan import Plan, PlanRow
from core.flow.step import Done, Flow, Needed, Stage, Status, Step
from core.flows import interrupted, registry
from core.steps import app_permissions, directory_roles, prerequisites, sign_in
from core.steps.admin_request import Request, parse
from core.steps.app import find, other_identities
from core.steps.app.create import CreateApp, CreatePrincipal, created_here, find_created, untouched
from core.steps.certificate.certificate import Register
from core.steps.context import World
from core.steps.facts import (
    AppRegistration,
    HandOffRequest,
    KeystoreFindings,
    MachineKey,
    NeedsAdministrator,
    NewApp,
    OpenRun,
    PasswordRemoval,
    Project,
    Proof,
    SignedIn,
    Target,
    WantedPermissions,
)
from core.steps.passwords.delete import DeletePasswords, Mark, TwoCleanReads, removed, vanished


class ReadRequest(Step[World]):
    """Read the file and check that it is a request, for this cloud."""

    name = "request"
    title = "Read the request"
    gives = (Target, MachineKey, WantedPermissions, HandOffRequest)
    updates = (NewApp, PasswordRemoval)

    def check(self, world: World) -> Status:
        return Needed()

    def apply(self, world: World) -> str:
        path = Path(world.settings.request)
        request = parse(path)
        if (request.cloud, request.authority) != (world.cloud.name, world.cloud.authority):
            theirs = f"{quoted(request.cloud)} ({quoted(request.authority)})"
            ours = f"'{world.cloud.name}' ({world.cloud.authority})"
            raise SetupError("request.other-cloud", path=path, theirs=theirs, ours=ours)
        for flag, given, asked in (
            ("--tenant", world.settings.tenant, request.tenant),
            ("--app-id", world.settings.app_id, request.app_id),
        ):
            if given and asked and given != asked:
                detail = f"{flag} says {given}, but {path.name} is about {asked}"
                raise SetupError("usage.settings", detail=detail, command="apply")
        given, expected = world.settings.thumbprint, world.profile.app_display_name
        if given and given != request.key_pair.thumbprint:
            raise SetupError("request.other-certificate", path=path, given=given)
        if not request.app_id and request.app_name != expected:
            odd = "".join(f"; it {what}" for what in oddities(request.app_name, expected))
            name = quoted(request.app_name)
            raise SetupError("request.another-name", path=path, name=name, expected=expected, odd=odd)
        if request.key_pair.expired(world.clock.now()):
            raise SetupError("request.broken", path=path, detail="its certificate has expired")
        if request.key_pair.not_before > world.clock.now() + timedelta(days=1):
            raise SetupError("request.broken", path=path, detail="its certificate is not valid yet")
        world.facts.put(HandOffRequest(request))
        world.facts.put(MachineKey(request.key_pair))
        world.facts.put(Target(request.tenant, request.app_id))
        world.facts.put(WantedPermissions(dict(request.roles)))
        world.facts.put(NewApp(request.unique_name))
        # the app's key is not here
        world.facts.put(PasswordRemoval(deleters={"application": ("user",), "servicePrincipal": ("user",)}))
        return f"by {quoted(request.requested_by)} on {quoted(request.machine)}, {request.created[:10]}"


class FindRequestedApp(Step[World]):
    """The app that the request names, or none when it is to be created; a Blueprint is refused (M18)."""

    name = "app"
    title = "Find the app registration"
    needs = (SignedIn, HandOffRequest)
    maybe = (Project, OpenRun, MachineKey)
    updates = (Target, AppRegistration, NewApp, WantedPermissions)

    def check(self, world: World) -> Status:
        return Needed()

    def apply(self, world: World) -> str:
        request = requested(world)
        graph = world.user_graph()
        app_id = world.target.app_id or self._created(world)

        def offered() -> None:
            if not request.remove_passwords:
                resource_id, found = permissions.read_offered(graph)
                world.facts.put(replace(world.permissions, resource_id=resource_id, offered=found))

        found: list[App | None] = []

        def read() -> None:
            found.append(application.read(graph, app_id) if app_id else None)

        together(read, offered)
        app = found[0]
        for name, role in request.roles.items():
            if world.permissions.offered.get(name) != role:
                raise SetupError("permissions.not-offered", names=name)
        if app is None:
            if request.app_id:
                find.refuse_deleted(world, request.app_id)
                raise SetupError("app.missing", app_id=app_id, tenant=world.target.tenant, path=world.settings.request)
            return f"{quoted(request.app_name)} will be created"
        effect = created_here(world)
        noted = effect is not None and effect.data.get("object_id") == app.object_id
        created = noted or (effect is not None and untouched(world, app))
        world.facts.put(replace(world.new_app, created=created))
        world.facts.put(AppRegistration(app, app.all_passwords))
        find.refuse_another_name(world, app)
        if any(key.id == request.key_id and key.der != request.der for key in app.keys):
            detail = f"its keyId {request.key_id} is that of another certificate on the app"
            raise SetupError("request.broken", path=world.settings.request, detail=detail)
        world.facts.put(replace(world.target, app_id=app.app_id))
        if app.saml_passwords:
            raise SetupError("app.saml", key_ids=", ".join(p.id for p in app.saml_passwords))
        return f"'{app.name}' ({world.target.app_id}), created {app.created[:10]}"

    @staticmethod
    def _created(world: World) -> str | None:
        """The app that an earlier run created for this request, here or elsewhere."""
        effect = created_here(world)
        if effect is None:
            return creation.by_unique_name(world.user_graph(), world.new_app.unique_name)
        return find_created(world, effect)


class CheckAdministrator(Step[World]):
    """Whether the signed-in principal may do all that is missing, and what needs a yes of its own."""

    name = "rights"
    title = "Check who may apply it"
    needs = (SignedIn, MachineKey, HandOffRequest)
    maybe = (AppRegistration, NewApp, WantedPermissions, NeedsAdministrator)

    def check(self, world: World) -> Status:
        return Needed()

    def apply(self, world: World) -> str:
        request, app, key_pair = requested(world), world.maybe_app, world.key_pair
        if request.remove_passwords and app is not None and not app.holds(key_pair):
            raise SetupError("request.too-early", thumbprint=key_pair.thumbprint, app=app.name)
        reasons = self._reasons(world)
        if None in reasons:
            user = world.facts.get(SignedIn).account.user
            raise SetupError("rights.apply", user=user, role=request.role_needed)
        app_permissions.confirm(world)
        if reasons and not request.remove_passwords:
            self._whose(world)
        if (
            request.remove_passwords
            and app is not None
            and app.all_passwords
            and world.settings.yes
            and not app_permissions.named(world)
        ):
            raise SetupError("app.removal-unconfirmed", app_id=app.app_id, listing=app.describe())
        self._squatted(world)
        self._beyond(world)
        if request.roles and app is not None and app.all_passwords:
            raise SetupError("app.has-secrets", listing="; ".join(str(p) for p in app.all_passwords))
        return ", ".join(dict.fromkeys(filter(None, reasons))) or "nothing is left to do"

    @staticmethod
    def _reasons(world: World) -> list[str | None]:
        """For each right that what is missing takes, why the signed-in principal has it; None where it has not."""
        app, wanted = world.maybe_app, set(world.permissions.wanted.values())
        if app is None:
            return [directory_roles.may_create(world), directory_roles.may_grant(world) if wanted else ""]
        if _removing(world):
            return [directory_roles.may_write(world, app, holder) for holder in {p.holder for p in app.all_passwords}]
        reasons: list[str | None] = []
        if not app.holds(world.key_pair) or wanted - app.declared or not app.principal_id:
            # what this request created a moment ago is its creator's
            reasons.append(
                directory_roles.may_create(world) if world.new_app.created else directory_roles.may_write(world, app)
            )
        return reasons + [directory_roles.may_grant(world)] * bool(wanted - app.granted)

    @staticmethod
    def _whose(world: World) -> None:
        """The thumbprint is the one fact that a person knows from elsewhere than the file: the yes names it (P1)."""
        settings, request = world.settings, requested(world)
        if settings.thumbprint or settings.dry_run:
            return  # one that is not the certificate's was refused when the file was read
        text = (
            f"The file says that it is from {quoted(request.requested_by)}, on {quoted(request.machine)}. Ask the "
            "developer, by another way than the file, for the thumbprint of the certificate.\nThe thumbprint:"
        )
        question = Question("thumbprint", text, False, "--thumbprint", world.key_pair.thumbprint)
        if settings.yes or not world.ask(question):
            raise SetupError("request.unconfirmed", path=settings.request)

    @staticmethod
    def _squatted(world: World) -> None:
        """An app that was to be created and is there already, without the certificate, is somebody else's (P1)."""
        app = world.maybe_app
        if app is None or requested(world).app_id or world.new_app.created or app.holds(world.key_pair):
            return
        if world.settings.yes and not app_permissions.named(world):
            why = "The request asks to create an app, and under its unique name there is one already."
            raise SetupError("app.adopt", why=why, listing=app.describe(), app_id=app.app_id)

    @staticmethod
    def _beyond(world: World) -> None:
        """Permissions that no Provisioner needs take a yes of their own (P6)."""
        settings, app = world.settings, world.maybe_app
        granted = app.granted if app is not None else frozenset()
        names = sorted(
            n for n, r in world.permissions.wanted.items() if n not in permissions.KNOWN and r not in granted
        )
        if not names or settings.extra_roles or settings.dry_run:
            return
        text = f"The request asks for more than a Provisioner needs: {', '.join(names)}. Grant them too?"
        if settings.yes or not world.ask(Question("extra-roles", text, False, "--extra-roles")):
            raise SetupError("permissions.beyond", names=", ".join(names))


class Explain(Step[World]):
    """Say what the request is about, before the yes."""

    name = "project"
    title = "Look at the request"
    needs = (Target, SignedIn, MachineKey, HandOffRequest)
    maybe = (AppRegistration, NewApp, WantedPermissions)
    updates = (PasswordRemoval,)

    def check(self, world: World) -> Status:
        return Needed()

    def apply(self, world: World) -> str:
        find.say_subject(world)
        request, key_pair, app = requested(world), world.key_pair, world.maybe_app
        if app is not None and not request.app_id and not world.new_app.created:
            message = f"The app that it asks to create is there already:\n{app.describe()}"
            world.emit(Finding("request.app-exists", "warning", message, "Ask who made it, before you go on."))
        if app is not None:
            for finding in other_identities.unacknowledged(world, app):
                world.emit(finding)
        if app is not None and app.all_passwords and not _removing(world):
            listing = "; ".join(str(password) for password in app.all_passwords)
            message = f"The app also accepts {len(app.all_passwords)} password credential(s), which stay: {listing}."
            world.emit(Finding("app.passwords", "warning", message))
        if app is not None and _removing(world) and app.all_passwords:
            last_used = activity.read(world.user_graph(), world.cloud, app.app_id)
            world.facts.put(replace(world.removal, activity=last_used))
            world.emit(find.others_stop())
        message = (
            f"{quoted(request.requested_by)} asks for it, says the file. The certificate {key_pair.thumbprint} belongs "
            f"to the machine {quoted(request.machine)}: whoever holds its key can act as this app until "
            f"{key_pair.not_after.date()}."
        )
        world.emit(Finding("request.subject", "warning", message, "Ask that person whether the thumbprint is theirs."))
        if taking := self._taking(world):
            message = f"With {', '.join(taking)} whoever holds the key of this certificate can take over the tenant."
            world.emit(Finding("request.takeover", "warning", message, "Apply it only to a Provisioner that you know."))
        if app is not None and (odd := oddities(app.name, world.profile.app_display_name)):
            message = f"The name of the app, {quoted(app.name)}, {'; it '.join(odd)}."
            world.emit(Finding("app.odd-name", "warning", message))
        if request.listed != request.calls:
            message = "What the file lists as its calls is not what is going to be done; what will be done is the plan."
            world.emit(Finding("request.calls", "warning", message, "Ask the developer where the file came from."))
        return f"{len(request.calls)} call(s)"

    @staticmethod
    def _taking(world: World) -> list[str]:
        """What the certificate opens that amounts to a takeover: permissions asked for, and those the app has (M14)."""
        if _removing(world):
            return []
        names = {role: name for name, role in world.permissions.offered.items()}
        granted = app.granted if (app := world.maybe_app) is not None else frozenset[str]()
        return permissions.takeover({*world.permissions.wanted, *(names.get(role, "") for role in granted)})


class MarkRemoval(Mark):
    """The point of no return of a removal; this machine has no state file to rehearse."""

    needs = (Target, OpenRun, SignedIn, AppRegistration, HandOffRequest)
    maybe = (NewApp, WantedPermissions, KeystoreFindings)

    def check(self, world: World) -> Status:
        return Needed() if _removing(world) and world.app.all_passwords else Done("nothing irreversible is asked for")

    def _rehearse(self, world: World) -> None:
        return


class Remove(DeletePasswords):
    """Delete the password credentials, if that is what was asked for."""

    needs = (Target, OpenRun, AppRegistration, MachineKey, HandOffRequest)

    def check(self, world: World) -> Status:
        return super().check(world) if _removing(world) else Done("not asked for")


class SeeNone(TwoCleanReads):
    """See twice that none is left, if that is what was asked for."""

    needs = (Target, OpenRun, SignedIn, AppRegistration, HandOffRequest)
    maybe = (NewApp, Proof, WantedPermissions, PasswordRemoval)

    def check(self, world: World) -> Status:
        return super().check(world) if _removing(world) else Done("not asked for")


class RegisterRequested(Register):
    """Add the certificate of the request; every other one stays."""

    needs = (Target, OpenRun, SignedIn, AppRegistration, HandOffRequest)
    maybe = (NewApp, Proof, WantedPermissions, KeystoreFindings)

    def check(self, world: World) -> Status:
        return Done("not asked for") if _removing(world) else super().check(world)

    def plan(self, world: World) -> Sequence[PlanRow]:
        return super().plan(world) if world.maybe_app is not None else ()


def requested(world: World) -> Request:
    """The request of this run."""
    return world.facts.get(HandOffRequest).request


def _removing(world: World) -> bool:
    return requested(world).remove_passwords


def _basis(world: World) -> dict[str, object]:
    app = world.maybe_app
    return {
        "tenant": world.target.tenant,
        "cloud": world.cloud.authority,
        "app": [app.app_id, app.object_id] if app else world.new_app.unique_name,
        "certificate": world.key_pair.thumbprint,
        "keys": sorted(key.id for key in app.keys) if app else [],
        "permissions": world.permissions.wanted,
    }


def _refresh(world: World) -> None:
    if world.settings.yes:
        return
    if world.maybe_app is None and creation.by_unique_name(world.user_graph(), world.new_app.unique_name):
        raise SetupError("flow.outdated")
    if world.maybe_app is not None:
        app = application.read(world.user_graph(), world.target.app_id)
        if app is None:
            raise SetupError("flow.outdated")
        world.facts.put(AppRegistration(app, app.all_passwords))


def _question(world: World, plan: Plan) -> Question:
    app, request = world.maybe_app, requested(world)
    where = f"app {app.app_id} ('{app.name}')" if app is not None else f"a new app {quoted(request.app_name)}"
    text = f"Apply the request of {quoted(request.requested_by)} to {where}, tenant {world.target.tenant}.\nGo on?"
    return Question("apply", text, False, "--yes")


def _summary(world: World, outcome: str) -> Sequence[str]:
    if outcome == "unchanged":
        return ("Nothing to do: what the request asks for is there already.",)
    if outcome != "changed":
        return ()
    if _removing(world):
        count = sum(removed(world).values())
        first = f"{count} password credential(s) removed from '{world.app.name}' ({world.target.app_id})."
    else:
        first = f"'{world.app.name}' ({world.target.app_id}) now accepts the certificate {world.key_pair.thumbprint}."
    request = requested(world)
    who, machine = quoted(request.requested_by), quoted(short(request.machine))
    return (first, f"{who} runs the same command again on {machine} to finish.")


FLOW: Flow[World] = Flow(
    registry.APPLY,
    look=(
        Stage("request", "Request", (ReadRequest(),)),
        sign_in.STAGE,
        Stage(
            "review",
            "Review",
            (prerequisites.OpenJournal(), FindRequestedApp(), CheckAdministrator(), Explain()),
        ),
    ),
    change=(
        Stage(
            "apply",
            "Apply",
            (
                CreateApp(),
                CreatePrincipal(),
                RegisterRequested(),
                app_permissions.Declare(),
                app_permissions.GrantRoles(),
                MarkRemoval(),
                Remove(),
                SeeNone(),
            ),
        ),
    ),
    basis=_basis,
    refresh=_refresh,
    question=_question,
    before_undo=vanished,
    left=lambda world: "Some of the password credentials may be left.",
    summary=_summary,
    open=interrupted.standing,
)
