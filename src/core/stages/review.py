"""Review: find the app, open lock and journal, see which key there is, and gather what the plan needs (M2, P1, P8)."""

from __future__ import annotations

from typing import Final

from core.entra import application, certificates
from core.entra.application import HOLDER_NAME, App, Holder
from core.entra.certificates import Bundle
from core.entra.tokens import LAGGING, mint, try_secret
from core.errors import SetupError, TokenError
from core.events import Finding
from core.flow.step import Check, Needed, Stage, Step
from core.machine import paths
from core.machine.sources import readers
from core.stages import prereqs
from core.stages.world import World

#: Directory roles whose holders may change any app registration (template ids, the `wids` claim).
APP_ADMINS: Final = frozenset(
    {
        "62e90394-69f5-4237-9190-012177145e10",  # Global Administrator
        "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3",  # Application Administrator
        "158c047a-c907-4556-b7ef-446551a6b5f7",  # Cloud Application Administrator
    }
)
WRITE: Final = "Application.ReadWrite.All"


class FindApp(Step[World]):
    """Read the app registration and its service principal; adopt none by its name alone (P1)."""

    name = "app"
    title = "Find the app registration"

    def check(self, world: World) -> Check:
        return Needed()

    def apply(self, world: World) -> str:
        known = world.known
        graph = world.user_graph()
        app_id = known.app_id or self._by_name(world)
        app = application.read(graph, app_id)
        if app is None:
            raise self._missing(world, app_id)
        by_id = world.settings.app_id == app_id
        if not known.app_id or (app.name != world.profile.app_display_name and not by_id):
            why = (
                f"The app was found by its name '{app.name}' only."
                if not known.app_id
                else f"The app is called '{app.name}', not '{world.profile.app_display_name}'."
            )
            raise SetupError("app.adopt", why=why, listing=describe(app), app_id=app_id)
        if not app.principal_id:
            raise SetupError("app.no-principal", app_id=app_id, tenant=known.tenant)
        if app.saml_passwords:
            raise SetupError("app.saml", key_ids=", ".join(p.id for p in app.saml_passwords))
        known.app, known.app_id, known.initial = app, app_id, app.all_passwords
        return f"'{app.name}' ({app_id}), created {app.created[:10]}"

    def _by_name(self, world: World) -> str:
        name = world.profile.app_display_name
        quoted = name.replace("'", "''")
        path = f"/applications?$filter=displayName eq '{quoted}'&$select=id,appId,displayName,createdDateTime"
        found = list(world.user_graph().pages(path, "look for the app by its name"))
        if not found:
            raise SetupError("app.not-found", name=name, tenant=world.known.tenant)
        if len(found) > 1:
            listing = "\n".join(f"  {app['appId']}, created {app['createdDateTime'][:10]}" for app in found)
            raise SetupError("app.several", name=name, tenant=world.known.tenant, count=len(found), listing=listing)
        return str(found[0]["appId"])

    def _missing(self, world: World, app_id: str) -> SetupError:
        path = f"/directory/deletedItems/microsoft.graph.application?$filter=appId eq '{app_id}'"
        for deleted in world.user_graph().pages(path, "look among the deleted apps"):
            return SetupError("app.deleted", app_id=app_id, date=str(deleted.get("deletedDateTime"))[:10])
        return SetupError("app.missing", app_id=app_id, tenant=world.known.tenant, path=world.statefile.path)


class FindKey(Step[World]):
    """See which key this machine holds, and whether the service accepts it (P8, M8)."""

    name = "key"
    title = "Look for a key in the keystore"

    def check(self, world: World) -> Check:
        return Needed()

    def apply(self, world: World) -> str:
        known = world.known
        known.bundle = known.proof = None
        current = self._read(world, known.tenant)
        if current is not None:
            self._refuse_another_apps_key(world, current)
        if current is not None and self._usable(world, current):
            known.bundle = current
            if current.due(world.clock.now()):
                end = current.not_after.date()
                world.emit(Finding("certificate.due", "warning", f"The certificate ends on {end}.", "Rotate it soon."))
            return f"{current.thumbprint}, until {current.not_after.date()}"
        thumbprints = [effect.data["thumbprint"] for effect in world.log.standing("keystore.write")]
        thumbprints += [key.thumbprint for key in world.app.keys if key.thumbprint]
        candidates = [
            bundle
            for thumbprint in dict.fromkeys(thumbprints)
            if (bundle := self._read(world, f"{known.tenant}#{thumbprint}")) and not bundle.due(world.clock.now())
        ]
        if candidates:
            known.bundle = next((b for b in candidates if world.app.holds(b)), candidates[0])
            return f"{known.bundle.thumbprint}, pending from an interrupted run"
        return "none that can be used"

    def _read(self, world: World, account: str) -> Bundle | None:
        text = world.keystore.read(world.service, account)
        if text is None:
            return None
        try:
            return certificates.parse(text, account)
        except SetupError as error:
            world.emit(Finding(error.id, "warning", error.summary, "A new key will be made."))
            return None

    def _refuse_another_apps_key(self, world: World, bundle: Bundle) -> None:
        """The account is the tenant alone (P4): a second app of one tenant must not overwrite the first one's key."""
        mine = paths.journal(world.profile, world.cloud.key, world.known.tenant, world.known.app_id)
        for other in sorted(mine.parent.glob(f"{world.cloud.key}_{world.known.tenant}_*.jsonl")):
            if other != mine and bundle.thumbprint in other.read_text(encoding="utf-8", errors="replace"):
                app_id = other.stem.rpartition("_")[2]
                raise SetupError("keystore.other-app", tenant=world.known.tenant, app_id=app_id, service=world.service)

    def _usable(self, world: World, bundle: Bundle) -> bool:
        known = world.known
        if bundle.expired(world.clock.now()):
            world.emit(Finding("certificate.expired", "warning", "The certificate in the keystore has expired."))
            return False
        try:
            known.proof = mint(world.session, world.cloud, known.tenant, known.app_id, bundle)
        except TokenError as error:
            if world.app.holds(bundle) and LAGGING & set(error.codes):
                return True  # registered a moment ago; the proof will wait for it
            if 700027 not in error.codes:
                raise
            world.emit(
                Finding(
                    "certificate.gone",
                    "warning",
                    f"The certificate {bundle.thumbprint} of this machine is no longer on the app: "
                    "somebody removed it or replaced the list.",
                    "A new key will be made and registered.",
                )
            )
            return False
        return True


class TestSecret(Step[World]):
    """Ask whether the old secret is alive; a dead one is no error (M3, M15)."""

    __test__ = False
    name = "secret"
    title = "Check the old secret"

    def check(self, world: World) -> Check:
        return Needed()

    def apply(self, world: World) -> str:
        known = world.known
        if known.secret is None:
            return "the state file has none"
        state = try_secret(world.session, world.cloud, known.tenant, known.app_id, known.secret)
        if state.state == "dead":
            world.emit(
                Finding("secret.dead", "info", f"The secret in the state file is dead already ({state.detail}).")
            )
        elif state.state == "unknown":
            world.emit(Finding("secret.unknown", "warning", f"The old secret could not be checked: {state.detail}"))
        return f"{state.state} ({state.detail})"


class CheckRights(Step[World]):
    """Stop early when the signed-in principal certainly may not add a certificate."""

    name = "rights"
    title = "Check who may change the app"

    def check(self, world: World) -> Check:
        return Needed()

    def apply(self, world: World) -> str:
        reason = may_write(world)
        if reason is None:
            account = world.known.account
            raise SetupError("rights.register", user=account.user if account else "?", app=world.app.name)
        return reason


class ReadProject(Step[World]):
    """Say what a person should know before the yes: the subject, readers of the secret, other keys (M2, M17)."""

    name = "project"
    title = "Look at the project"

    def check(self, world: World) -> Check:
        return Needed()

    def apply(self, world: World) -> str:
        known, app = world.known, world.app
        user = known.account.user if known.account else "?"
        world.emit(
            Finding(
                "plan.subject",
                "info",
                f"App '{app.name}' ({app.app_id}) in tenant {known.tenant}, cloud {world.cloud.name}, "
                f"signed in as {user}.",
            )
        )
        found = readers(world.settings.folder, world.profile.secret_member)
        for reader in found.found:
            place = f"{reader.path.relative_to(world.settings.folder)}:{reader.line}"
            world.emit(
                Finding("sources.reader", "warning", f"{place} uses {reader.what}; it will break without the secret.")
            )
        if not found.complete:
            world.emit(Finding("sources.incomplete", "warning", "The project is too large to read all of it."))
        if app.all_passwords:
            world.emit(
                Finding(
                    "plan.others",
                    "warning",
                    "Every other machine or pipeline that signs in with a secret of this app stops working "
                    "until it migrates too.",
                )
            )
        me = known.user.claims.get("oid") if known.user else None
        for owner in app.owners:
            if owner.get("id") not in (me, app.principal_id):
                name = owner.get("userPrincipalName") or owner.get("displayName") or owner.get("id")
                world.emit(
                    Finding(
                        "app.owner",
                        "warning",
                        f"{name} also owns the app and can add credentials to it.",
                        "Remove the owner if nobody knows why.",
                    )
                )
        for federated in app.federated:
            world.emit(
                Finding(
                    "app.federated",
                    "warning",
                    f"The app also trusts the federated credential '{federated.get('name')}' "
                    f"({federated.get('issuer')}, {federated.get('subject')}).",
                    "Remove it if nobody knows it.",
                )
            )
        return f"{len(found.found)} file(s) use the secret"


def may_write(world: World, holder: Holder = "application") -> str | None:
    """Why the signed-in principal may probably change the app, or None when it certainly may not."""
    user = world.known.user
    assert user is not None
    if WRITE in user.roles:
        return f"granted {WRITE}"
    if WRITE not in user.scopes and "Directory.AccessAsUser.All" not in user.scopes:
        return None
    oid = user.claims.get("oid")
    if any(owner.get("id") == oid for owner in world.app.owners_of(holder)):
        return f"owner of the {HOLDER_NAME[holder]}"
    roles = user.claims.get("wids")
    if roles is None:
        return "unknown until it is tried"
    return "directory role" if APP_ADMINS & set(roles) else None


def describe(app: App) -> str:
    """An app as the person who must decide about it sees it (P1)."""
    owners = ", ".join(str(o.get("userPrincipalName") or o.get("displayName")) for o in app.owners) or "nobody"
    return (
        f"  app id   {app.app_id}\n  created  {app.created[:10]}\n  owners   {owners}\n"
        f"  keys     {len(app.keys)}, passwords {len(app.all_passwords)}"
    )


STAGE: Stage[World] = Stage(
    "review",
    "Review",
    (FindApp(), prereqs.OpenJournal(), CheckRights(), FindKey(), TestSecret(), ReadProject()),
)
