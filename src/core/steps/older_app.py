"""A machine that went through the renaming of its product: the older app beside the current one (M19).

The current generation's app stays. The older one is retired, after a yes of its own, when the current one's certificate
is proven: its passwords are deleted, this machine's certificate is taken off it, and its secret goes out of its state
file and of the copies of that. Nothing else of it is deleted: the file may hold the ids of an agent chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from core.clock import wait_until
from core.config.options import OPTIONS
from core.config.profile import BUILT_IN, Profile, present
from core.config.settings import guid
from core.entra import application, credentials
from core.entra.application import HOLDER_NAME, Key, Password
from core.entra.graph import Graph
from core.errors import Interrupted, SetupError
from core.events import Question
from core.flow.facts import Kinds
from core.flow.step import Done, Needed, PlanRow, Status, Step
from core.machine import state_copies
from core.machine.state_copies import StateCopy
from core.machine.state_file import StateFile
from core.steps import directory_roles
from core.steps.certificate.exposed import REMOVE_KEY, forward
from core.steps.context import Context
from core.steps.facts import MachineKey, OlderApp, OpenRun, Proof, SignedIn, Target
from core.steps.passwords.delete import DELETION_DEADLINE, REMOVE
from core.steps.state_file.copies import PURGE

_FLAG: Final = OPTIONS["retire_older"].flag
#: How the rows of its plan end, so that they are counted apart.
OF_OLDER: Final = " of the older app"


class FindOlder(Step[Context]):
    """Look for the app of an older state file beside the current one, and ask whether it is to be retired."""

    name = "older-app"
    title = "Look for an app of before the renaming"
    needs: ClassVar[Kinds] = (Target, SignedIn)
    maybe: ClassVar[Kinds] = (OpenRun,)
    updates: ClassVar[Kinds] = (OlderApp,)

    def check(self, ctx: Context) -> Status:
        return Needed()

    def apply(self, ctx: Context) -> str:
        ctx.facts.drop(OlderApp)
        try:
            seen = look(ctx, ctx.user_graph)
        except SetupError as error:
            if isinstance(error, Interrupted) or ctx.settings.retire_older:
                raise
            ctx.report(error.id, "warning", f"The older app could not be looked at: {error.summary}", error.remedy)
            return "not known"
        if seen is None:
            return "there is none"
        ctx.facts.put(OlderApp(seen.profile, seen.app, seen.secret))
        older = ctx.facts.get(OlderApp)
        app = older.app
        ctx.report("machine.crossed", "info", crossed(ctx, older))
        agreed = self._agreed(ctx)
        ctx.facts.put(replace(older, agreed=agreed))
        if not agreed and (left := what_is_left(ctx)):
            ctx.report("machine.older", "warning", f"Left: {left}.", f"Retire it: {_FLAG} {app.app_id}")
        return f"'{app.name}' ({app.app_id}), {'to be retired' if agreed else 'left as it is'}"

    @staticmethod
    def _agreed(ctx: Context) -> bool:
        """Whether it is to be retired: a person said so, now or before a run that was interrupted while doing it.

        :raises SetupError: `usage.settings`: the flag names another app.
        """
        app, given = ctx.facts.get(OlderApp).app, ctx.settings.retire_older
        if given and given != app.app_id:
            detail = f"{_FLAG} names {given}, but the older app of this project is {app.app_id}"
            raise SetupError("usage.settings", detail=detail, command=ctx.flow.name)
        if app.saml_passwords or directory_roles.may_write(ctx, app) is None:
            why = "it signs SAML" if app.saml_passwords else "the signed-in principal may not change it"
            ctx.report("machine.kept", "warning", f"The older app '{app.name}' cannot be retired here: {why}.")
            return False
        begun = ctx.journal is not None and any(e.data.get("app") == app.app_id for e in ctx.journal.effects)
        if given or begun or not what_is_left(ctx):
            return bool(given or begun)
        if ctx.settings.yes or ctx.settings.dry_run:
            return False
        text = (
            f"The older app '{app.name}':\n{app.describe()}\nRetire it, too? Left of it is {what_is_left(ctx)}. "
            "That is removed once the current certificate is proven, and cannot be undone; nothing else of it is."
        )
        return ctx.ask(Question("retire-older", text, False, _FLAG))


class RetireOlder(Step[Context]):
    """Delete the older app's passwords, take this machine's certificate off it, and purge its secret from files."""

    name = "retire-older"
    title = "Retire the older app"
    needs: ClassVar[Kinds] = (Target, OpenRun, MachineKey)
    maybe: ClassVar[Kinds] = (SignedIn, Proof)
    updates: ClassVar[Kinds] = (OlderApp,)

    def check(self, ctx: Context) -> Status:
        older = ctx.facts.maybe(OlderApp)
        if older is None:
            return Done("there is none")
        if not older.agreed:
            return Done("it was not asked for")
        return Needed() if what_is_left(ctx) else Done("nothing that can sign in is left of it")

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        app = ctx.facts.get(OlderApp).app
        where = f"older app '{app.name}' ({app.app_id})"
        rows = [
            PlanRow(
                "delete", f"password credential{OF_OLDER}", f"{where}, {HOLDER_NAME[password.holder]}", str(password),
                "", False, " ".join(credentials.removal(app, password)[:2]),
            )
            for password in app.all_passwords
        ]  # fmt: skip
        rows += [
            PlanRow("delete", f"certificate{OF_OLDER}", where, str(key.thumbprint), "", False, "PATCH keyCredentials")
            for key in _keys(ctx)
        ]
        return rows + [
            PlanRow("delete", f"{', '.join(copy.members)}{OF_OLDER}", str(copy.path), "its client secret", "", False,
                    "atomic replace, 0600")
            for copy in _files(ctx)
        ]  # fmt: skip

    def apply(self, ctx: Context) -> str:
        older = ctx.facts.get(OlderApp)
        graph, app = directory_roles.writer(ctx), older.app
        with forward(ctx):
            for password in app.all_passwords:
                with ctx.log.effect(REMOVE[password.holder], password.id, ctx.emit, key_id=password.id, app=app.app_id):
                    credentials.remove_password(graph, app, password)
        left: tuple[Password, ...] = ()

        def clean() -> bool | None:
            nonlocal left
            left = application.read_passwords(graph, app)
            return not left or None

        reason = "the deletions to be seen on the older app"
        if not wait_until(clean, ctx, reason, expected=10, deadline=DELETION_DEADLINE):
            raise SetupError("migrate.passwords-left", count=len(left), listing="; ".join(str(each) for each in left))
        for key in _keys(ctx):
            with ctx.log.effect(REMOVE_KEY, key.id, ctx.emit, thumbprint=key.thumbprint, app=app.app_id):
                keys = application.read_keys(graph, app.object_id)
                credentials.remove_key(graph, app.object_id, keys, key.id)
        for copy in _files(ctx):
            with ctx.log.effect(PURGE, str(copy.path), ctx.emit, app=app.app_id):
                copy.purge()
        gone = {key.id for key in _keys(ctx)}
        kept = tuple(key for key in app.keys if key.id not in gone)
        ctx.facts.put(replace(older, app=replace(app, passwords=(), principal_passwords=(), keys=kept)))
        return f"'{app.name}' ({app.app_id}): nothing of this machine signs in as it any more"


def look(ctx: Context, graph: Callable[[], Graph]) -> OlderApp | None:
    """The app that the older state file names, if it is another one of the same tenant and cloud, and exists.

    :param graph: gives who reads it; not asked for where there is nothing to read.
    :raises SetupError: the older state file or the app cannot be read.
    """
    profile = of(ctx.profile, ctx)
    if profile is None:
        return None
    contents = ctx.statefile.at(ctx.settings.folder / profile.state_file, profile).read()
    tenant, app_id = (_id(contents.members, name) for name in (profile.tenant_member, profile.client_id_member))
    same = tenant == ctx.target.tenant and contents.members.get("CLOUD", "public") == ctx.cloud.name
    if not same or app_id in ("", ctx.target.app_id):
        return None
    app = application.read(graph(), app_id)
    return OlderApp(profile, app, contents.secret) if app is not None else None


def crossed(ctx: Context, older: OlderApp) -> str:
    """Both generations, in words."""
    return (
        f"This machine went through the renaming of its product: {ctx.statefile.path.name} is the current state file, "
        f"and {older.profile.state_file} names the older app '{older.app.name}' ({older.app.app_id})."
    )


def of(profile: Profile, ctx: Context) -> Profile | None:
    """The profile of before a renaming whose state file lies in the project beside the one in use."""
    order = list(BUILT_IN.values())
    if profile not in order or profile.of_blueprint or not ctx.statefile.exists():
        return None
    older = order[order.index(profile) + 1 :]
    return next((each for each in present(ctx.settings.folder) if each in older and not each.of_blueprint), None)


def what_is_left(ctx: Context) -> str:
    """What of the older app can still sign in, or could, in words; empty if nothing is left."""
    older = ctx.facts.maybe(OlderApp)
    if older is None:
        return ""
    app, passwords, keys = older.app, older.app.all_passwords, _keys(ctx)
    parts = [f"{len(passwords)} password credential{'s' * (len(passwords) > 1)}"] if passwords else []
    parts += [f"this machine's certificate {key.thumbprint}" for key in keys]
    left = " and ".join(parts)
    on_app = [f"{left} on the older app '{app.name}' ({app.app_id})"] if parts else []
    return "; ".join([*on_app, *(f"{', '.join(copy.members)} in {copy.path}" for copy in _files(ctx))])


def sentences(ctx: Context) -> Iterator[str]:
    """What holds of it at the end."""
    older = ctx.facts.maybe(OlderApp)
    if older is None:
        return
    name, left = f"'{older.app.name}' ({older.app.app_id})", what_is_left(ctx)
    if left:
        yield f"The older app {name} was not retired. Left: {left}. To retire it: {_FLAG} {older.app.app_id}."
    elif ctx.journal is not None and any(e.data.get("app") == older.app.app_id for e in ctx.journal.did()):
        yield f"Retired the older app {name}: nothing of this machine signs in as it. The app and its file still exist."


def basis(ctx: Context) -> dict[str, object]:
    """What a yes binds to besides, where there is an older app."""
    older = ctx.facts.maybe(OlderApp)
    return {} if older is None else {"older": [older.app.app_id, older.agreed]}


def _keys(ctx: Context) -> tuple[Key, ...]:
    """This machine's certificates on the older app: of the keystore's entry, and the one that the state file names."""
    older = ctx.facts.get(OlderApp)
    service = ctx.cloud.keystore_service(older.profile.keystore_service)
    entry, tenant = ctx.keystore.read(service, ctx.target.tenant), ctx.target.tenant
    der = b""
    if entry is not None:
        try:
            der = ctx.keys.open(entry, tenant).der
        except SetupError as error:
            if error.id != "keystore.bundle":  # it leads to a key that is out of reach now
                raise
    members = ctx.statefile.at(ctx.settings.folder / older.profile.state_file, older.profile).read().members
    named = str(members.get(older.profile.thumbprint_member) or "").upper()
    return tuple(key for key in older.app.keys if (der and key.der == der) or (named and key.thumbprint == named))


def _files(ctx: Context) -> tuple[StateCopy, ...]:
    """The older state file and the copies of it, as far as they hold a secret."""
    older = ctx.facts.get(OlderApp)
    file: StateFile = ctx.statefile.at(ctx.settings.folder / older.profile.state_file, older.profile)
    contents = file.read()
    names = contents.holding(older.secret)
    itself = (StateCopy(file, names, contents.basis.only(names)),) if names else ()
    return itself + state_copies.find(file, older.profile, older.app.app_id, older.secret, ctx.scratch)


def _id(members: object, name: str) -> str:
    value = members.get(name) if isinstance(members, dict) else None
    return guid(name, value) if value else ""
