"""Password credentials: who may delete them, the point of no return, and none left afterwards (M4, M5, M6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Final

from core.clock import pause, wait_until
from core.entra import application, credentials
from core.entra.application import Holder, Key, Password
from core.errors import Effected, GraphError, Interrupted, SetupError
from core.flow.facts import Kinds
from core.flow.journal import Effect
from core.flow.step import Blocked, Done, Needed, PlanRow, Status, Step
from core.steps import directory_roles, facts
from core.steps.certificate.certificate import Proving, prove_again, watch
from core.steps.certificate.presence import Presence, tell_of_secrets
from core.steps.context import Context
from core.steps.hand_off import handoff
from core.steps.state_file import copies
from core.steps.state_file.copies import PurgeCopies
from core.steps.state_file.purge import Purge

#: Seconds between the two clean reads; a replica may be that far behind.
APART: Final = 5.0
#: Seconds after the first one at which the certificate is looked for; the second clean read looks, too.
GLANCES: Final = (1.0, 3.0)
#: How long deleted passwords may stay visible, and a dead secret alive, in seconds.
DELETION_DEADLINE: Final = 300.0
_IDENTITIES: Final[tuple[facts.Identity, ...]] = ("app", "user")
#: Rounds of new password credentials during the run after which something is named as their creator.
ROUNDS: Final = 5
REMOVE: Final[dict[Holder, str]] = {
    "application": "graph.application.removePassword",
    "servicePrincipal": "graph.servicePrincipal.removePassword",
}


class CheckDeletion(Step[Context]):
    """Decide who may delete the password credentials, before the point of no return."""

    name = "deletion-rights"
    title = "Check who may delete the secrets"
    needs = (facts.Target, facts.OpenRun, facts.SignedIn, facts.AppRegistration, facts.MachineKey, facts.Proof)
    maybe = handoff.REQUEST
    updates = (facts.PasswordRemoval,)

    def check(self, ctx: Context) -> Status:
        return Needed() if ctx.app.all_passwords else Done("there are none")

    def apply(self, ctx: Context) -> str:
        app = ctx.app
        proof = ctx.facts.get(facts.Proof).token
        for holder in {password.holder for password in app.all_passwords}:
            deleters: list[facts.Identity] = []
            owns = any(owner.get("id") == app.principal_id for owner in app.owners_of(holder))
            if directory_roles.WRITE in proof.roles or ("Application.ReadWrite.OwnedBy" in proof.roles and owns):
                deleters.append("app")
            if directory_roles.may_write(ctx, app, holder) is not None:
                deleters.append("user")
            if not deleters:
                handoff.hand_over(ctx, removal=True)
            ctx.facts.put(replace(ctx.removal, deleters={**ctx.removal.deleters, holder: tuple(deleters)}))
        return "the Provisioner itself" if directory_roles.WRITE in proof.roles else "by ownership or directory role"


class Mark(Step[Context]):
    """The point of no return: from here only forward. It comes before the first deletion and before the purge."""

    name = "marker"
    title = "Point of no return"
    needs: ClassVar[Kinds] = (facts.Target, facts.OpenRun, facts.SignedIn, facts.AppRegistration)
    maybe: ClassVar[Kinds] = (*handoff.REQUEST, facts.Project, facts.KeystoreFindings)
    updates: ClassVar[Kinds] = (facts.MachineKey, facts.Proof, facts.NeedsAdministrator, facts.PasswordRemoval)

    def check(self, ctx: Context) -> Status:
        purges = any(isinstance(step.check(ctx), Needed) for step in (Purge(), PurgeCopies()))
        irreversible = ctx.app.all_passwords or purges
        return Needed() if irreversible else Done("nothing irreversible is needed")

    def apply(self, ctx: Context) -> str:
        presence = watch(ctx)
        keys = self._see(ctx, presence)
        key = ctx.facts.get(facts.MachineKey)
        if not key.watched and credentials.strangers(keys, presence.before):
            ctx.facts.put(replace(key, watched=True))  # one of them may have read the list before, and write it yet
            for seconds in credentials.RECHECKS:
                reason = "a moment, to see that the certificate stays on the app"
                pause(seconds, ctx, reason)
                self._see(ctx, presence)
        if presence.registered:
            prove_again(ctx)
        tell_of_secrets(ctx, ctx.removal.last)
        if not ctx.log.marked:  # behind an earlier run's marker there is no way back that an answer could open
            _ask_to_delete(ctx)
        self._rehearse(ctx)
        if ctx.log.marked:
            return "passed by an earlier run, which this one continues"
        ctx.log.mark()
        return "recorded; an interrupted run continues from here"

    @staticmethod
    def _see(ctx: Context, presence: Presence) -> tuple[Key, ...]:
        """The keys on the app, the certificate among them."""

        def there() -> tuple[Key, ...] | None:
            keys, last = application.read_credentials(ctx.user_graph(), ctx.app)
            ctx.facts.put(replace(ctx.removal, last=last))
            return keys if presence.holds(keys) else None

        reason, deadline = "the certificate to be seen on the app once more", 3 * credentials.REPLICATION
        keys = wait_until(there, ctx, reason, expected=5, deadline=deadline)
        if keys is None:
            raise SetupError("migrate.not-registered", detail="it is not on the app any more")
        return keys

    def _rehearse(self, ctx: Context) -> None:
        """See that this machine's credential and its files still are what was decided on, and can be changed."""
        tenant = ctx.target.tenant
        if ctx.keystore.read(ctx.service, tenant) != ctx.key_pair.entry:
            raise SetupError("keystore.changed", tenant=tenant, service=ctx.service)
        ctx.statefile.update(*Purge.change(ctx), basis=ctx.project.basis, really=False)
        copies.rehearse(ctx)


class DeletePasswords(Step[Context]):
    """Delete every password credential on the application and on its service principal."""

    name = "delete-passwords"
    title = "Delete the password credentials"
    needs: ClassVar[Kinds] = (facts.Target, facts.OpenRun, facts.AppRegistration, facts.MachineKey)
    maybe: ClassVar[Kinds] = (facts.SignedIn, facts.Proof, facts.PasswordRemoval)

    def check(self, ctx: Context) -> Status:
        app = ctx.app
        if app.locked and app.principal_passwords:
            listing = _listing(app.principal_passwords)
            return Blocked(SetupError("app.locked-principal", app_id=app.app_id, listing=listing))
        return Needed() if app.all_passwords else Done("there are none")

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        app = ctx.app
        rows = []
        for password in app.all_passwords:
            before, call = f"{password}, {ctx.removal.activity.of(password.id)}", credentials.removal(app, password)[:2]
            where = application.HOLDER_NAME[password.holder]
            rows.append(PlanRow("delete", "password credential", where, before, "", False, " ".join(call)))
        return rows

    def apply(self, ctx: Context) -> str:
        passwords = ctx.removal.last
        ours = 0
        # one object after the other, the one that may be locked first: when that is refused, nothing is gone yet
        for holder in reversed(REMOVE):
            of_holder = [password for password in passwords if password.holder == holder]
            gone = _at_once(ctx, of_holder)
            ours += len(gone) + sum([delete(ctx, password) for password in of_holder if password.id not in gone])
        others = f", {len(passwords) - ours} gone already" if ours < len(passwords) else ""
        return f"{ours} deleted{others}"


class TwoCleanReads(Step[Context]):
    """Read until two reads, some seconds apart, show no password credential; newcomers are deleted too (M6).

    What has to be seen over some seconds of the certificate is seen in between (P7, P8).
    """

    name = "clean-reads"
    title = "See twice that none is left"
    needs: ClassVar[Kinds] = (facts.Target, facts.OpenRun, facts.SignedIn, facts.AppRegistration)
    maybe: ClassVar[Kinds] = (*handoff.REQUEST, facts.Proof, facts.PasswordRemoval)
    updates: ClassVar[Kinds] = (facts.MachineKey, facts.NeedsAdministrator)

    def check(self, ctx: Context) -> Status:
        return Needed() if ctx.app.all_passwords or ctx.standing() else Done("there were none")

    def apply(self, ctx: Context) -> str:
        graph = directory_roles.writer(ctx)
        tried = {effect.data["key_id"] for effect in ctx.log.standing(*REMOVE.values())}
        # a stale read may have hidden one until now
        tried |= {password.id for password in ctx.facts.get(facts.AppRegistration).initial}
        rounds = 0
        left: tuple[Password, ...] = ()
        start = ctx.clock.monotonic()
        presence = watch(ctx)

        def clean() -> bool:
            nonlocal left
            keys, left = application.read_credentials(graph, ctx.app)
            return (presence.holds(keys) or ctx.facts.maybe(facts.HandOffRequest) is not None) and not left

        while ctx.clock.monotonic() - start < DELETION_DEADLINE:
            if clean():
                first = ctx.clock.monotonic()
                for moment in GLANCES:
                    self._pause(ctx, first + moment - ctx.clock.monotonic())
                    presence.holds(application.read_keys(graph, ctx.app.object_id))
                self._pause(ctx, first + APART - ctx.clock.monotonic())
                if clean():
                    return f"two reads {APART:.0f} s apart show none"
                continue
            if not left:
                pause(APART, ctx, "the certificate to be seen on the app")
                continue
            newcomers = [password for password in left if password.id not in tried]
            if newcomers:
                rounds += 1
                if rounds > ROUNDS:
                    owners = ctx.app.owned_by if ctx.app.owners else "an administrator"
                    listing = _listing(newcomers)
                    raise SetupError("migrate.secret-returns", rounds=rounds, listing=listing, owners=owners)
                came = f"A password credential appeared while this run worked: {_listing(newcomers)}."
                ctx.report("secret.returned", "warning", f"{came} It is deleted too.")
            for password in left:  # one seen again is a stale read, or a deletion that did not hold
                delete(ctx, password)
                tried.add(password.id)
            if not newcomers:
                pause(APART, ctx, "a deletion to be seen everywhere")
        if not left:
            raise SetupError("migrate.not-registered", detail="it is not on the app any more")
        raise SetupError("migrate.passwords-left", count=len(left), listing=_listing(left))

    @staticmethod
    def _pause(ctx: Context, seconds: float) -> None:
        if seconds > 0:
            pause(seconds, ctx, "the second clean read")


class ProveAfterDeletion(Proving):
    """Prove the certificate again, now that nothing else is left."""

    name = "prove-again"
    title = "Prove the certificate again"

    def check(self, ctx: Context) -> Status:
        return Needed() if any(removed(ctx).values()) or ctx.app.all_passwords else Done("nothing was deleted")


class LastLook(Proving):
    """See the certificate on the app at the very end: another writer may have replaced the list since (M5, M7)."""

    name = "last-look"
    title = "See the certificate once more"

    def check(self, ctx: Context) -> Status:
        return Needed() if ctx.standing() else Done("nothing was changed since it was read")

    def apply(self, ctx: Context) -> str:
        graph, presence = directory_roles.writer(ctx), watch(ctx)
        last: GraphError | None = None

        def there() -> bool | None:
            nonlocal last
            try:
                return presence.holds(application.read_keys(graph, ctx.app.object_id)) or None
            except GraphError as error:
                if not (ctx.new_app.created and error.explains_new):
                    raise
                last = error  # a part of the service does not know the app that this run made yet (P7)
                return None

        reason, deadline = "the certificate to be seen on the app", 3 * credentials.REPLICATION
        if not wait_until(there, ctx, reason, expected=5, deadline=deadline):
            raise last or SetupError("migrate.replaced", thumbprint=ctx.key_pair.thumbprint, app=ctx.app.name)
        if presence.registered:
            return f"registered again: {prove_again(ctx)}"
        return "it is on the app"


def removed(ctx: Context) -> dict[Holder, int]:
    """How many password credentials the undertaking deleted, over all its runs; none that others deleted first.

    :returns: by holder; empty when nothing at all was done.
    """
    journal = ctx.journal
    if journal is None or not journal.did():
        return {}
    return {
        holder: len({effect.data["key_id"] for effect in journal.did(action) if not _another(effect)})
        for holder, action in REMOVE.items()
    }


def _another(effect: Effect) -> bool:
    """Whether others deleted it first, or it was the older app's (M19)."""
    return bool(effect.data.get("by_others") or effect.data.get("app"))


def vanished(ctx: Context, error: SetupError) -> SetupError | None:
    """A password that vanished may have been that machine's only other credential: then nothing is undone (M5).

    :returns: the error that forbids the undo; the run is marked, and only goes forward from here.
    """
    registered = ctx.log.standing("graph.application.addKey")
    if not registered:
        return None  # the directory is as it was: undoing takes no credential from anybody
    expected = {password.id for password in ctx.facts.get(facts.AppRegistration).initial}
    for effect in registered:
        expected |= set(effect.data["passwords"])
    graph = ctx.user_graph()

    def all_there() -> bool | None:
        return expected <= {found.id for found in application.read_passwords(graph, ctx.app)} or None

    reason = "the password credentials to be seen, so that undoing is safe"
    if wait_until(all_there, ctx, reason, expected=5, deadline=credentials.REPLICATION / 2):
        return None
    ctx.log.mark()
    return SetupError("migrate.vanished", cause=error.summary)


def delete(ctx: Context, password: Password) -> bool:
    """Delete one password credential with the best identity that may.

    When the very first deletion is refused and every credential is still there, the marker is taken back, so that
    the run can be undone (M5).

    :returns: False when it was gone already.
    """
    action = REMOVE[password.holder]
    refused: GraphError | None = None
    if not ctx.log.marked:  # a newcomer, where there was nothing to delete when the marker's turn came
        ctx.log.mark()
    for identity in ctx.removal.deleters.get(password.holder) or _IDENTITIES:
        graph = ctx.graph_of(identity)
        try:
            with ctx.log.effect(action, password.id, ctx.emit, key_id=password.id) as effect:
                removed = credentials.remove_password(graph, ctx.app, password)
                effect.data["by_others"] = not removed
            return removed
        except GraphError as error:
            if error.transient or error.effected is not Effected.NO:
                raise
            refused = error
    assert refused is not None
    if ctx.log.marked_here and not ctx.log.standing(*REMOVE.values(), "statefile.update"):
        here = {found.id for found in application.read_passwords(ctx.user_graph(), ctx.app)}
        if {found.id for found in ctx.facts.get(facts.AppRegistration).initial} <= here:
            ctx.log.unmark()
    raise refused


def _ask_to_delete(ctx: Context) -> None:
    """Rehearse the deletions, and keep the identities that are not refused (M4).

    :raises GraphError: both are refused for one of the objects.
    """
    removal = ctx.removal
    deleters = dict(removal.deleters)
    holders = [holder for holder in REMOVE if any(password.holder == holder for password in removal.last)]
    may: set[Holder] = set()
    refusals: dict[Holder, GraphError] = {}
    for identity in _IDENTITIES:
        asked = [h for h in holders if h not in may and identity in deleters.get(h, _IDENTITIES)]
        if not asked:
            continue
        found = credentials.refused_removals(ctx.graph_of(identity), ctx.app, asked)
        may |= set(asked) - set(found)
        refusals |= found
        for holder in found:
            rest = (other for other in deleters.get(holder, _IDENTITIES) if other != identity)
            deleters[holder] = tuple(rest)
    ctx.facts.put(replace(removal, deleters=deleters))
    for holder in holders:
        if holder not in may:
            raise refusals[holder]


def _at_once(ctx: Context, passwords: Sequence[Password]) -> set[str]:
    """Delete up to twenty password credentials in one round trip.

    :returns: ids of those that are certainly gone; the rest is left to `delete`, one by one.
    """
    best = {password.id: (ctx.removal.deleters.get(password.holder) or ("app",))[0] for password in passwords}
    gone: set[str] = set()
    for identity in dict.fromkeys(best.values()):
        chosen = [password for password in passwords if best[password.id] == identity][:20]
        if len(chosen) < 2:
            continue
        effects = [ctx.log.intend(REMOVE[p.holder], p.id, key_id=p.id, by_others=False) for p in chosen]
        try:
            answers = ctx.graph_of(identity).batch_once([credentials.removal(ctx.app, p) for p in chosen])
        except SetupError as error:
            if isinstance(error, Interrupted):
                raise
            if error.effected is Effected.NO:  # the batch itself was not taken, so nothing in it happened
                for effect in effects:
                    ctx.log.failed(effect)
            continue
        for effect, password, answer in zip(effects, chosen, answers, strict=True):
            if not isinstance(answer, GraphError):
                ctx.log.done(effect, ctx.emit)
                gone.add(password.id)
            elif answer.effected is Effected.NO:
                ctx.log.failed(effect)
    return gone


def _listing(passwords: Sequence[Password]) -> str:
    return "; ".join(str(password) for password in passwords)
