"""Review: find the app, open lock and journal, see which key there is, and gather what the plan needs (M2, P1, P8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from core.clock import together
from core.display import oddities, quoted
from core.entra import activity, application, permissions
from core.entra.answers import documented
from core.entra.application import App
from core.entra.policies import PASSWORDS, Policy
from core.entra.tokens import SecretState, discover, try_secret
from core.errors import SetupError
from core.flow.step import Blocked, Done, Stage, Status, Step
from core.machine.source_scan import readers
from core.steps import directory_roles, facts, prerequisites
from core.steps.app import other_identities
from core.steps.certificate.find_key import FindKey, owners_of
from core.steps.context import Context
from core.steps.hand_off import handoff

#: Seconds of clock difference that the token endpoint tolerates.
TOLERANCE: Final = 300.0


class FindApp(Step[Context]):
    """Read the app registration and its service principal; adopt none by its name alone (P1)."""

    name = "app"
    title = "Find the app registration"
    maybe = (facts.Project, facts.SignedIn, facts.NewApp, facts.HandOffRequest)
    gives = (facts.AppRegistration,)
    updates = (facts.Target,)

    def apply(self, ctx: Context) -> str:
        graph = ctx.user_graph()
        app_id = ctx.target.app_id or self._by_name(ctx)
        # the next sign-in asks what the authority says of itself: that answer can come meanwhile
        tell = partial(discover, ctx.session, ctx.cloud, ctx.target.tenant)
        app, _ = together(lambda: application.read(graph, app_id), tell)
        if app is None:
            path = ctx.statefile.path
            refuse_deleted(ctx, app_id)
            raise SetupError("app.missing", app_id=app_id, tenant=ctx.target.tenant, path=path)
        if not ctx.target.app_id:
            why = f"The app was found by its name '{app.name}' only."
            raise SetupError("app.adopt", why=why, listing=app.describe(), app_id=app_id)
        refuse_another_name(ctx, app)
        if not app.principal_id:
            raise SetupError("app.no-principal", app_id=app_id, tenant=ctx.target.tenant)
        if app.saml_passwords:
            raise SetupError("app.saml", key_ids=", ".join(p.id for p in app.saml_passwords))
        ctx.facts.put(facts.AppRegistration(app, app.all_passwords))
        ctx.facts.put(replace(ctx.target, app_id=app_id))
        return f"'{app.name}' ({app_id}), created {app.created[:10]}"

    def _by_name(self, ctx: Context) -> str:
        found = of_that_name(ctx)
        if not found:
            raise SetupError("app.not-found", name=ctx.profile.app_display_name, tenant=ctx.target.tenant)
        if len(found) > 1:
            raise Several(ctx, found)
        return str(found[0]["appId"])


class CheckClock(Step[Context]):
    """A sign-in by certificate is refused when the clocks are minutes apart: known before anything is changed."""

    name = "clock"
    title = "Compare the clocks"

    def check(self, ctx: Context) -> Status:
        session = ctx.session
        if abs(session.skew) > TOLERANCE:
            return Blocked(SetupError("platform.clock", clock=session.clock_error, limit=round(TOLERANCE)))
        return Done(f"{abs(session.skew):.0f} s apart")

    def apply(self, ctx: Context) -> str:
        raise AssertionError("it has nothing to apply")


class TestSecret(Step[Context]):
    """Ask whether the old secret is alive, a dead one is no error, and when each was last used (M3, M15)."""

    __test__ = False
    name = "secret"
    title = "Check the old secrets"
    needs = (facts.Target, facts.AppRegistration)
    maybe = (facts.Project, facts.SignedIn)
    updates = (facts.PasswordRemoval,)

    def apply(self, ctx: Context) -> str:
        if ctx.project.secret is None and not ctx.app.all_passwords:
            return "there are none"
        secret, target = ctx.project.secret, ctx.target

        def test() -> SecretState | None:
            return try_secret(ctx.session, ctx.cloud, target.tenant, target.app_id, secret) if secret else None

        def look() -> None:
            if ctx.app.all_passwords:
                last_used = activity.read(ctx.user_graph(), ctx.cloud, ctx.target.app_id)
                ctx.facts.put(replace(ctx.removal, activity=last_used))

        state, _ = together(test, look)
        if unknown := ctx.removal.activity.unknown:
            message = f"When the password credentials were last used is unknown: {unknown}."
            ctx.report("secret.activity", "info", message)
        if state is None:
            return "the state file has none"
        if state.state == "dead":
            ctx.report("secret.dead", "info", f"The secret in the state file is dead already ({state.detail}).")
        elif state.state == "unknown":
            ctx.report("secret.unknown", "warning", f"The old secret could not be checked: {state.detail}")
        return f"{state.state} ({state.detail})"


class CheckRights(Step[Context]):
    """Whether the signed-in principal may add a certificate; if not, an administrator is asked by a file (P12)."""

    name = "rights"
    title = "Check who may change the app"
    needs = (facts.Target, facts.SignedIn, facts.AppRegistration)
    maybe = (facts.MachineKey, facts.Proof, facts.WantedPermissions)
    updates = (facts.NeedsAdministrator,)

    def apply(self, ctx: Context) -> str:
        reason = directory_roles.may_write(ctx, ctx.app)
        if reason is None:
            ctx.facts.put(facts.NeedsAdministrator())
            if not handoff.needed(ctx):
                return "no, and nothing has to be added to it"
            directory_roles.say_unprivileged(ctx, f"add a certificate to '{ctx.app.name}'")
        return reason or "no: a request for an administrator will be written"


class ReadProject(Step[Context]):
    """Say what a person should know before the yes: the subject, readers of the secret, other keys (M2, M17)."""

    name = "project"
    title = "Look at the project"
    needs = (facts.Target, facts.SignedIn, facts.AppRegistration)
    maybe = (facts.Project, facts.MachineKey, facts.HandOffRequest)
    updates = (facts.WantedPermissions, facts.NeedsAdministrator)

    def apply(self, ctx: Context) -> str:
        app = ctx.app
        say_subject(ctx)
        found = readers(ctx.settings.folder, ctx.profile.secret_member, ctx.project.secret, ctx.statefile.path)
        for reader in found.found:
            place = f"{reader.path.relative_to(ctx.settings.folder)}:{reader.line}"
            ctx.report("sources.reader", "warning", f"{place} uses {reader.what}; it will break without the secret.")
        if found.unsearched:
            message = f"Of the project, {found.gaps}."
            ctx.report("sources.incomplete", "info" if found.complete else "warning", message)
        if app.all_passwords:
            say_others_stop(ctx)
        for finding in (*other_identities.unacknowledged(ctx, app), other_identities.roles(app)):
            ctx.emit(finding)
        if missing := other_identities.drift(app):
            names = ", ".join(permissions.name_of(role) for role in missing)
            message = f"Declared by the app and not granted to it: {names}."
            remedy = "Grant them with --repair-permissions, or with 'entraclaw-setup onboard --only provisioner'."
            ctx.report("permissions.drift", "warning", message, remedy)
            if ctx.settings.repair_permissions:
                self._repair(ctx, missing)
        say_policies(ctx, app.policy)
        return f"{len(found.found)} file(s) use the secret"

    @staticmethod
    def _repair(ctx: Context, missing: Sequence[str]) -> None:
        """Plan to grant what the app declares; a migration by itself changes no permission (M18)."""
        resource_id, offered = permissions.read_offered(ctx.user_graph())
        wanted = {name: role for name, role in offered.items() if role in missing}
        ctx.facts.put(facts.WantedPermissions(wanted, resource_id, offered))
        if wanted and directory_roles.may_grant(ctx) is None:
            ctx.facts.put(facts.NeedsAdministrator())
            directory_roles.say_unprivileged(ctx, "grant permissions")


def say_others_stop(ctx: Context) -> None:
    """Tell who would break (M15)."""
    who = "Every other machine or pipeline that signs in with a secret of this app"
    ctx.report("plan.others", "warning", f"{who} stops working until it migrates too.")


def foresee_policy(ctx: Context) -> None:
    """What the tenant's policy will say of a new app (P13); az's token may mostly not read it."""
    if not ctx.target.app_id:
        created = ctx.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        policy = application.read_default_policy(ctx.user_graph(), created)
        ctx.facts.put(replace(ctx.new_app, policy=policy))


def say_policies(ctx: Context, policy: Policy) -> None:
    """What app management policies mean for this app, as far as they could be read (P13)."""
    if not policy.readable:
        message = "The signed-in account may not read which app management policies of the tenant apply to the app."
        remedy = (
            "If one forbids what is planned, Microsoft Graph refuses it, before the point of no return, and it is "
            "undone. A Global Reader, or whoever else has Policy.Read.All, can tell before."
        )
        ctx.report("policy.unread", "info", message, remedy)
    if not policy.passwords:
        ctx.report("app.locked", "info", f"No new password credential can be added: policy '{policy.by(PASSWORDS)}'.")
    for rule in policy.uncertain:
        what = f"The policy '{rule.policy}' has the restriction '{rule.kind}'"
        why = "exempts somebody" if rule.exempts else "is unknown to this version"
        message = f"{what}, which {why}: whether it forbids what is planned only the write will tell."
        ctx.report("policy.uncertain", "warning", message)


def of_that_name(ctx: Context) -> list[dict[str, Any]]:
    """Apps that have exactly the profile's display name."""
    name = ctx.profile.app_display_name
    quoted = quote(name.replace("'", "''"))
    path = f"/applications?$filter=displayName eq '{quoted}'&$select=id,appId,displayName,uniqueName,createdDateTime"
    found = list(ctx.user_graph().pages(path, "look for the app by its name"))
    with documented("look for the app by its name"):
        return [app | {"appId": str(app["appId"])} for app in found]


class Several(SetupError):
    """Two apps of one name: stop and list them (P1)."""

    def __init__(self, ctx: Context, found: Sequence[dict[str, Any]]) -> None:
        listing = "\n".join(f"  {app['appId']}, created {str(app.get('createdDateTime'))[:10]}" for app in found)
        name, tenant = ctx.profile.app_display_name, ctx.target.tenant
        super().__init__("app.several", listing=listing, name=name, tenant=tenant, count=len(found))


def refuse_deleted(ctx: Context, app_id: str) -> None:
    """See that an app which is not there was not deleted in a way that can be taken back.

    :raises SetupError: `app.deleted`.
    """
    path = f"/directory/deletedItems/microsoft.graph.application?$filter=appId eq '{app_id}'"
    for found in ctx.user_graph().pages(path, "look among the deleted apps"):
        raise SetupError("app.deleted", app_id=app_id, date=str(found.get("deletedDateTime"))[:10])


def refuse_another_name(ctx: Context, app: application.App) -> None:
    """An app whose name differs from the profile's, or that only a variable or a file of answers names, needs the flag.

    :raises SetupError: `app.adopt`: a yes that names its id is missing (P1).
    """
    name, member = ctx.profile.app_display_name, ctx.profile.client_id_member
    asked = ctx.facts.maybe(facts.HandOffRequest)
    if ctx.settings.named(app.app_id) or ctx.new_app.created:
        return
    if app.name != name and (asked or not holds_our_key(ctx, app)):  # an administrator's own key says nothing here
        odd = "".join(f" It {what}." for what in oddities(app.name, name))
        why = f"The app is called {quoted(app.name)}, not '{name}'.{odd}"
    elif app.name == name and ctx.settings.app_id == app.app_id and not asked and not ctx.project.members.get(member):
        origin = ctx.settings.origin.get("app_id")
        why = f"The app '{app.name}' is named by no state file and no flag ({origin} only)."
    else:
        return
    raise SetupError("app.adopt", why=why, listing=app.describe(), app_id=app.app_id)


def holds_our_key(ctx: Context, app: App) -> bool:
    """Whether the app, whatever it is called, accepts this machine's key, and the key was made for it (P1).

    Others may put our certificate on an app of theirs; that it was made for that app they cannot make it say.
    """
    entry = ctx.keystore.read(ctx.service, ctx.target.tenant)
    if entry is None:
        return False
    try:
        key_pair = ctx.keys.open(entry, ctx.target.tenant)
    except SetupError:
        return False  # whoever needs the key says what is wrong with it
    return app.holds(key_pair) is not None and app.app_id in owners_of(ctx, key_pair.der)


def say_subject(ctx: Context) -> None:
    """Which app, tenant and cloud this is about, and who is signed in (M2)."""
    app = ctx.maybe_app
    account = ctx.facts.get(facts.SignedIn).account
    what = f"App '{app.name}' ({app.app_id})" if app else f"A new app '{ctx.app_name}'"
    where = f"tenant {ctx.target.tenant}, cloud {ctx.cloud.name}"
    message = f"{what} in {where}, signed in as {account.user} ({account.kind})."
    ctx.report("plan.subject", "info", message)


STAGE: Stage[Context] = Stage(
    "review",
    "Review",
    (FindApp(), CheckClock(), prerequisites.OpenJournal(), FindKey(), CheckRights(), TestSecret(), ReadProject()),
)
