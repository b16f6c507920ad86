"""Onboard: the Provisioner from nothing, or what is missing of it; a second run changes nothing (P1, P2, P6, P9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from core.entra import permissions
from core.errors import SetupError
from core.events import Question
from core.flow.step import Flow, Plan, Stage, Step
from core.flows import agreement, interrupted, registry
from core.machine import exposed_key
from core.steps import app_permissions, directory_roles, facts, hardware, keystore, older_app, prerequisites, sign_in
from core.steps.app import find, other_identities
from core.steps.app.create import CreateApp, CreatePrincipal
from core.steps.app.find_or_create import FindOrCreate, OpenJournal
from core.steps.app_management_policy import Lock
from core.steps.certificate.certificate import Adopt, Prove, Register, StoreKey
from core.steps.certificate.clean_up import CleanUp
from core.steps.certificate.exposed import RetireExposed, TellOfExposed
from core.steps.certificate.find_key import FindKey
from core.steps.context import Context
from core.steps.hand_off import handoff
from core.steps.passwords import rollback_secret
from core.steps.passwords.delete import LastLook
from core.steps.result import CheckResult
from core.steps.state_file.record import Record, Rehearse


class DecideRoles(Step[Context]):
    """The set of permissions, and whether this run may grant them to this app (P1, P6)."""

    name = "permissions"
    title = "Decide the permissions"
    maybe = (facts.AppRegistration,)
    updates = (facts.WantedPermissions,)

    def apply(self, ctx: Context) -> str:
        offered = ctx.permissions.offered
        if missing := sorted(name for name in permissions.BASE if name not in offered):
            raise SetupError("permissions.not-offered", names=", ".join(missing))
        ctx.facts.put(replace(ctx.permissions, wanted=permissions.wanted(offered)))
        if fewer := [name for name in permissions.AGENT if name not in offered]:
            message = f"This tenant does not offer {len(fewer)} of the agent permissions: {', '.join(fewer)}."
            ctx.report("permissions.fewer", "info", message)
        granted = app.granted if (app := ctx.maybe_app) else frozenset()
        if extra := [name for name in permissions.unknown(offered) if offered[name] not in granted]:
            self._extra(ctx, extra)
        return f"{len(ctx.permissions.wanted)} of Microsoft Graph"

    def _extra(self, ctx: Context, extra: list[str]) -> None:
        settings = ctx.settings
        text = f"This tenant offers agent permissions that are not known: {', '.join(extra)}. Grant them too?"
        agreed = settings.extra_roles
        if not (agreed or settings.yes or settings.dry_run):
            agreed = ctx.ask(Question("extra-roles", text, False, "--extra-roles"))
        if agreed:
            known = ctx.permissions
            more = {name: known.offered[name] for name in extra}
            ctx.facts.put(replace(known, wanted={**ctx.permissions.wanted, **more}))
        else:
            message = f"Not granted, because they are not known: {', '.join(extra)}."
            ctx.report("permissions.unknown", "warning", message, "Grant them with --extra-roles.")


class CheckProvisioning(Step[Context]):
    """Whether the signed-in principal may do all that is missing; if not, an administrator is asked by a file."""

    name = "rights"
    title = "Check who may provision"
    needs = (facts.Target, facts.SignedIn)
    maybe = (facts.AppRegistration, facts.MachineKey, facts.Proof, facts.WantedPermissions)
    updates = (facts.NeedsAdministrator,)

    def apply(self, ctx: Context) -> str:
        app, key = ctx.maybe_app, ctx.maybe_key_pair
        wanted = set(ctx.permissions.wanted.values())
        may: str | None = "nothing has to be changed there"
        what = ""
        if app is None:
            may, what = directory_roles.may_create(ctx), "create an app"
        elif not (app.principal_id and wanted <= app.declared and key and (ctx.maybe_proof or app.holds(key))):
            may, what = directory_roles.may_write(ctx, app), f"change '{app.name}'"
        if may is not None and not wanted <= (app.granted if app else set()):
            may, what = directory_roles.may_grant(ctx), "grant permissions"
        if may is not None:
            return may
        ctx.facts.put(facts.NeedsAdministrator())
        directory_roles.say_unprivileged(ctx, what)
        return "no: a request for an administrator will be written"


class Describe(Step[Context]):
    """Say what a person should know before the yes."""

    name = "project"
    title = "Look at what is there"
    needs = (facts.Target, facts.SignedIn)
    maybe = (facts.AppRegistration, facts.NewApp, facts.MachineKey, facts.HandOffRequest)

    def apply(self, ctx: Context) -> str:
        find.say_subject(ctx)
        app = ctx.maybe_app
        find.say_policies(ctx, app.policy if app is not None else ctx.new_app.policy)
        if app is None:
            return "nothing is there yet"
        for finding in other_identities.unacknowledged(ctx, app):
            ctx.emit(finding)
        return f"{len(app.keys)} certificate(s) on the app"


def _basis(ctx: Context) -> dict[str, object]:
    return agreement.basis(ctx, ctx.permissions.wanted) | agreement.files(ctx) | older_app.basis(ctx)


def _refresh(ctx: Context) -> None:
    if not ctx.settings.yes:
        FindOrCreate().still_none(ctx)
        ctx.facts.put(replace(ctx.project, members=ctx.statefile.read_or_empty().members))
        agreement.read_app(ctx)


def _question(ctx: Context, plan: Plan) -> Question:
    if handoff.needed(ctx):
        return handoff.question(ctx)
    app = ctx.maybe_app
    what = f"app {app.app_id}" if app is not None else "a new app registration"
    grants = sum(change.action == "add" and change.what == "permission" for change in plan.changes)
    note = f", with {grants} permission(s) to grant" if grants else ""
    return Question("onboard", f"Set up {what} in tenant {ctx.target.tenant}{note}.\nGo on?", False, "--yes")


def _summary(ctx: Context, outcome: str) -> Sequence[str]:
    key_pair = ctx.maybe_key_pair
    if outcome not in ("changed", "unchanged") or key_pair is None:
        return ()
    end = key_pair.not_after.date()
    sentences = [f"The certificate {key_pair.thumbprint} is valid until {end}.", *older_app.sentences(ctx)]
    subject = f"'{ctx.app.name}' ({ctx.target.app_id})"
    if outcome == "unchanged":
        return (f"Nothing to do: {subject} signs in with its certificate and holds its permissions.", *sentences)
    verb = "Created" if ctx.new_app.created else "Set up"
    first = f"{verb} {subject}: it signs in with a certificate whose key is in the keystore, and its token carries "
    return (f"{first}{len(ctx.permissions.wanted)} permissions.", *sentences)


def _left(ctx: Context) -> str:
    """What is left once something was removed for good, which only a key in a file and an older app come to."""
    path, older = exposed_key.find(ctx.profile, ctx.target.tenant), ctx.facts.maybe(facts.OlderApp)
    left = [f"the key in {path}"] if path is not None else []
    left += [told] if older is not None and older.agreed and (told := older_app.what_is_left(ctx)) else []
    return f"Left: {'; '.join(left)}." if left else "Nothing is known to be left."


_REVIEW: Final[tuple[Step[Context], ...]] = (
    OpenJournal(),
    rollback_secret.Sweep(),
    FindOrCreate(),
    find.CheckClock(),
    FindKey(),
    DecideRoles(),
    CheckProvisioning(),
    TellOfExposed(),
    older_app.FindOlder(),
    Describe(),
)
_CHANGE: Final[tuple[Step[Context], ...]] = (
    StoreKey(),
    handoff.HandOff(),
    Rehearse(),
    CreateApp(),
    CreatePrincipal(),
    Register(),
    app_permissions.Declare(),
    app_permissions.GrantRoles(),
    Prove(),
    Adopt(),
    Record(),
    Lock(),
    CleanUp(),
    RetireExposed(),
    older_app.RetireOlder(),
    LastLook(),
    CheckResult(clean=False),
)
FLOW: Flow[Context] = Flow(
    registry.ONBOARD,
    look=(
        Stage(
            "prereqs",
            "Prerequisites",
            (prerequisites.ReadStateFile(required=False), prerequisites.CanKeepKeys(), prerequisites.Outlives()),
        ),
        sign_in.STAGE,
        keystore.STAGE,
        hardware.STAGE,
        Stage("review", "Review", _REVIEW),
    ),
    change=(Stage("provision", "Provisioning", _CHANGE),),
    basis=_basis,
    refresh=_refresh,
    question=_question,
    before_undo=handoff.before_undo,
    left=_left,
    summary=_summary,
    open=interrupted.standing,
)
