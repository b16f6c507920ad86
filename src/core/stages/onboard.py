"""Onboard: the Provisioner from nothing, or what is missing of it; a second run changes nothing (P1, P2, P6, P9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.entra import application, permissions
from core.errors import SetupError
from core.events import Finding, Question
from core.flow.plan import Change, Plan
from core.flow.step import Check, Done, Flow, Left, Needed, Stage, Step
from core.flow.wait import together
from core.stages import handoff, keystore, leftover, prereqs, review, rights, roles, signin, trust
from core.stages.certificate import Adopt, Prove, Register, StoreKey
from core.stages.key import FindKey
from core.stages.lock import Lock
from core.stages.provision import CreateApp, CreatePrincipal, created_here, find_created
from core.stages.purge import Purge
from core.stages.tidy import Tidy
from core.stages.world import World


class FindOrCreate(Step[World]):
    """By the id that is known, else by exact name, else to be created; adopt none by its name alone (P1)."""

    name = "app"
    title = "Find the app registration"

    def check(self, world: World) -> Check:
        return Needed()

    def apply(self, world: World) -> str:
        known = world.known
        app_id = self._interrupted(world) or known.app_id
        look = (lambda: application.read(world.user_graph(), app_id)) if app_id else (lambda: self._by_name(world))
        app, _ = together(look, lambda: _offered(world))
        if app_id and app is None:
            self._gone(world, app_id)
        known.app = app
        if app is None:
            known.app_id = ""
            return f"there is none; '{world.profile.app_display_name}' will be created"
        review.refuse_another_name(world, app)
        if app.saml_passwords:
            raise SetupError("app.saml", key_ids=", ".join(p.id for p in app.saml_passwords))
        if app.all_passwords or known.secret or world.profile.secret_member in world.statefile.read_or_empty():
            listing = "; ".join(str(password) for password in app.all_passwords) or "the state file holds one"
            raise SetupError("app.has-secrets", listing=listing)
        known.app_id = app.app_id
        return f"'{app.name}' ({app.app_id}), created {app.created[:10]}"

    def _interrupted(self, world: World) -> str:
        """App id of the app that an interrupted run created, or that an administrator created for it."""
        effect = created_here(world)
        if effect is not None:
            world.known.created = True
            return find_created(world, effect) or ""
        request = handoff.written(world)
        if request is not None and request.data["unique_name"]:
            world.known.unique_name = request.data["unique_name"]
            return application.by_unique_name(world.user_graph(), request.data["unique_name"]) or ""
        return ""

    def _by_name(self, world: World) -> None:
        if world.settings.new or world.known.unique_name:  # its name is known better than that
            return
        found = review.of_that_name(world)
        if len(found) == 1:
            app = application.read(world.user_graph(), str(found[0]["appId"]))
            if app is not None:
                raise SetupError("app.adopt-or-new", listing=app.describe(), app_id=app.app_id)
        if found:
            raise review.several(world, found)

    def _gone(self, world: World, app_id: str) -> None:
        """A definite 404 makes an id stale; a deleted app that can be restored stops the run."""
        deleted = review.deleted(world, app_id)
        if deleted is not None:
            raise deleted
        if world.settings.app_id:
            raise SetupError("app.missing", app_id=app_id, tenant=world.known.tenant, path=world.statefile.path)
        if not world.known.created:
            message = f"The app {app_id} of the state file does not exist any more; a new one will be created."
            world.emit(Finding("app.stale", "warning", message))


class DecideRoles(Step[World]):
    """The set of permissions, and whether this run may grant them to this app (P1, P6)."""

    name = "permissions"
    title = "Decide the permissions"

    def check(self, world: World) -> Check:
        return Needed()

    def apply(self, world: World) -> str:
        known = world.known
        if missing := sorted(name for name in permissions.BASE if name not in known.offered):
            raise SetupError("permissions.not-offered", names=", ".join(missing))
        known.wanted = permissions.wanted(known.offered)
        if fewer := [name for name in permissions.AGENT if name not in known.offered]:
            message = f"This tenant does not offer {len(fewer)} of the agent permissions: {', '.join(fewer)}."
            world.emit(Finding("permissions.fewer", "info", message))
        if extra := permissions.unknown(known.offered):
            self._extra(world, extra)
        roles.confirm(world)
        return f"{len(known.wanted)} of Microsoft Graph"

    def _extra(self, world: World, extra: list[str]) -> None:
        settings = world.settings
        text = f"This tenant offers agent permissions that are not known: {', '.join(extra)}. Grant them too?"
        agreed = settings.extra_roles
        if not (agreed or settings.yes or settings.dry_run):
            agreed = world.ask(Question("extra-roles", text, False, "--extra-roles"))
        if agreed:
            world.known.wanted |= {name: world.known.offered[name] for name in extra}
        else:
            message = f"Not granted, because they are not known: {', '.join(extra)}."
            world.emit(Finding("permissions.unknown", "warning", message, "Grant them with --extra-roles."))


class CheckProvisioning(Step[World]):
    """Whether the signed-in principal may do all that is missing; if not, an administrator is asked by a file."""

    name = "rights"
    title = "Check who may provision"

    def check(self, world: World) -> Check:
        return Needed()

    def apply(self, world: World) -> str:
        known, app = world.known, world.known.app
        wanted = set(known.wanted.values())
        grants = bool(wanted - (app.granted if app else set()))
        may = rights.may_write(world) if app is not None else rights.may_create(world)
        if may is not None and (not grants or rights.may_grant(world)):
            return may
        known.may_change = False
        if not handoff.needed(world):
            return "no, and nothing is missing in the directory"
        rights.say_unprivileged(world, "grant permissions" if may is not None else "change this app")
        return "no: a request for an administrator will be written"


class Describe(Step[World]):
    """Say what a person should know before the yes."""

    name = "project"
    title = "Look at what is there"

    def check(self, world: World) -> Check:
        return Needed()

    def apply(self, world: World) -> str:
        review.say_subject(world)
        if world.known.app is None:
            return "nothing is there yet"
        for finding in trust.unacknowledged(world, world.app):
            world.emit(finding)
        return f"{len(world.app.keys)} certificate(s) on the app"


class Record(Purge):
    """Write the ids and the thumbprint; the file is made where there is none."""

    name = "record"
    title = "Write the state file"

    def check(self, world: World) -> Check:
        if world.known.bundle is None or not world.known.app_id:
            return Needed()
        members = world.statefile.read_or_empty()
        same = all(str(members.get(n, "")).lower() == v.lower() for n, v in self._values(world).items())
        return Done("it names app and certificate") if same else Needed()

    def plan(self, world: World) -> Sequence[Change]:
        where = str(world.statefile.path)
        return (
            Change("change", "state file", where, "", "tenant, app id, thumbprint; no secret", True, "atomic, 0600"),
        )

    def apply(self, world: World) -> str:
        before = world.statefile.read_or_empty()
        values = self._values(world)
        former = {name: before.get(name) for name in values}
        facts = {"purged": False, "former": former, "missing": not before and not world.statefile.path.exists()}
        facts["app_id"] = world.known.app_id  # the journal of an app that was new says whose key this is
        with world.log.effect("statefile.update", str(world.statefile.path), world.emit, **facts):
            world.statefile.update(values, create=True)
        return str(world.statefile.path)

    def undo(self, world: World) -> Left | None:
        for effect in world.log.standing("statefile.update"):
            former = effect.data["former"]
            back = {name: value for name, value in former.items() if isinstance(value, str)}
            if effect.data["missing"]:
                world.statefile.remove()
            else:
                world.statefile.update(back, tuple(name for name in former if name not in back))
            world.log.undone(effect)
        return None

    @staticmethod
    def _values(world: World) -> dict[str, str]:
        cloud = {} if world.cloud.name == "public" else {"CLOUD": world.cloud.name}
        return cloud | Purge.change(world)[0]


def _offered(world: World) -> None:
    world.known.resource_id, world.known.offered = application.read_offered(world.user_graph())


def _basis(world: World) -> dict[str, object]:
    known, app = world.known, world.known.app
    return {
        "tenant": known.tenant,
        "cloud": world.cloud.authority,
        "app": [app.app_id, app.object_id] if app else "new",
        "certificate": known.bundle.thumbprint if known.bundle else "new",
        "keys": sorted(key.id for key in app.keys) if app else [],
        "permissions": known.wanted,
        "files": {str(world.statefile.path): known.members},
    }


def _refresh(world: World) -> None:
    if world.settings.yes:
        return
    members: dict[str, Any] = world.statefile.read_or_empty()
    members.pop(world.profile.secret_member, None)
    world.known.members = members
    if world.known.app is not None:
        app = application.read(world.user_graph(), world.known.app_id)
        if app is None:
            raise SetupError("flow.outdated")
        world.known.app = app


def _question(world: World, plan: Plan) -> Question:
    if handoff.needed(world):
        return handoff.question(world)
    app = world.known.app
    what = f"app {app.app_id}" if app is not None else "a new app registration"
    grants = sum(change.action == "add" and change.what == "permission" for change in plan.changes)
    note = f", with {grants} permission(s) to grant" if grants else ""
    return Question("onboard", f"Set up {what} in tenant {world.known.tenant}{note}.\nGo on?", False, "--yes")


def _summary(world: World, outcome: str) -> Sequence[str]:
    known = world.known
    if outcome not in ("changed", "unchanged") or known.bundle is None:
        return ()
    end = known.bundle.not_after.date()
    sentences = [f"The certificate {known.bundle.thumbprint} is valid until {end}."]
    subject = f"'{world.app.name}' ({known.app_id})"
    if outcome == "unchanged":
        return (f"Nothing to do: {subject} signs in with its certificate and holds its permissions.", *sentences)
    verb = "Created" if known.created else "Set up"
    first = f"{verb} {subject}: it signs in with a certificate whose key is in the keystore, and its token carries "
    return (f"{first}{len(known.wanted)} permissions.", *sentences)


class Remember(Step[World]):
    """Keep what the summary says about, before the journal of this undertaking is closed."""

    name = "result"
    title = "Check the result"

    def check(self, world: World) -> Check:
        return Done("a proven certificate, every permission in its token")

    def apply(self, world: World) -> str:
        raise AssertionError("it has nothing to apply")


FLOW: Flow[World] = Flow(
    "onboard",
    look=(
        Stage(
            "prereqs",
            "Prerequisites",
            (prereqs.ReadStateFile(required=False), prereqs.EnoughRoom(), prereqs.Outlives()),
        ),
        signin.STAGE,
        keystore.STAGE,
        Stage(
            "review",
            "Review",
            (
                prereqs.OpenJournal(),
                leftover.Sweep(),
                FindOrCreate(),
                FindKey(),
                DecideRoles(),
                CheckProvisioning(),
                Describe(),
            ),
        ),
    ),
    change=(
        Stage(
            "provision",
            "Provisioning",
            (
                StoreKey(),
                handoff.HandOff(),
                CreateApp(),
                CreatePrincipal(),
                Register(),
                roles.Declare(),
                roles.GrantRoles(),
                Prove(),
                Adopt(),
                Record(),
                Tidy(),
                Lock(),
                Remember(),
            ),
        ),
    ),
    basis=_basis,
    refresh=_refresh,
    question=_question,
    before_undo=handoff.before_undo,
    left=lambda world: "Nothing irreversible was done.",
    summary=_summary,
)
