"""Password credentials: who may delete them, the point of no return, and none left afterwards (M4, M5, M6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Final, NoReturn

from core.clock import pause, wait_until
from core.entra import application, credentials
from core.entra.application import Holder, Key, Password
from core.entra.credentials import strangers
from core.entra.graph import Graph
from core.errors import GraphError, Interrupted, SetupError
from core.errors.effected import Effected
from core.events import Finding
from core.flow.facts import Kinds
from core.flow.plan import PlanRow
from core.flow.step import Blocked, Done, Needed, Status, Step
from core.steps import directory_roles
from core.steps.certificate.certificate import prove_again, watch
from core.steps.certificate.presence import Presence, tell_of_secrets
from core.steps.context import World
from core.steps.facts import (
    AppRegistration,
    HandOffRequest,
    Identity,
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
from core.steps.hand_off import handoff
from core.steps.state_file.purge import Purge

#: Seconds between the two clean reads; a replica may be that far behind.
APART: Final = 5.0
#: Seconds after the first one at which the certificate is looked for; the second clean read looks, too.
GLANCES: Final = (1.0, 3.0)
#: How long deleted passwords may stay visible, and a dead secret alive, in seconds.
DELETION_DEADLINE: Final = 300.0
_IDENTITIES: Final[tuple[Identity, ...]] = ("app", "user")
#: Rounds of new password credentials during the run after which something is named as their creator.
ROUNDS: Final = 5
REMOVE: Final[dict[Holder, str]] = {
    "application": "graph.application.removePassword",
    "servicePrincipal": "graph.servicePrincipal.removePassword",
}


class CheckDeletion(Step[World]):
    """Decide who may delete the password credentials, before the point of no return."""

    name = "deletion-rights"
    title = "Check who may delete the secrets"
    needs = (Target, OpenRun, SignedIn, AppRegistration, MachineKey, Proof)
    maybe = (NewApp, WantedPermissions, HandOffRequest)
    updates = (PasswordRemoval,)

    def check(self, world: World) -> Status:
        return Needed() if world.app.all_passwords else Done("there are none")

    def apply(self, world: World) -> str:
        app = world.app
        proof = world.facts.get(Proof).token
        for holder in {password.holder for password in app.all_passwords}:
            deleters: list[Identity] = []
            owns = any(owner.get("id") == app.principal_id for owner in app.owners_of(holder))
            if directory_roles.WRITE in proof.roles or ("Application.ReadWrite.OwnedBy" in proof.roles and owns):
                deleters.append("app")
            if directory_roles.may_write(world, app, holder) is not None:
                deleters.append("user")
            if not deleters:
                handoff.hand_over(world, removal=True)
            world.facts.put(replace(world.removal, deleters={**world.removal.deleters, holder: tuple(deleters)}))
        return "the Provisioner itself" if directory_roles.WRITE in proof.roles else "by ownership or directory role"


class Mark(Step[World]):
    """The point of no return: from here only forward. It comes before the first deletion and before the purge."""

    name = "marker"
    title = "Point of no return"
    needs: ClassVar[Kinds] = (Target, OpenRun, SignedIn, AppRegistration)
    maybe: ClassVar[Kinds] = (Project, NewApp, WantedPermissions, KeystoreFindings, HandOffRequest)
    updates: ClassVar[Kinds] = (MachineKey, Proof, NeedsAdministrator, PasswordRemoval)

    def check(self, world: World) -> Status:
        irreversible = world.app.all_passwords or isinstance(Purge().check(world), Needed)
        return Needed() if irreversible else Done("nothing irreversible is needed")

    def apply(self, world: World) -> str:
        presence = watch(world)
        keys = self._see(world, presence)
        key = world.facts.get(MachineKey)
        if not key.watched and strangers(keys, presence.before):
            world.facts.put(replace(key, watched=True))  # one of them may have read the list before, and write it yet
            for seconds in credentials.RECHECKS:
                reason = "a moment, to see that the certificate stays on the app"
                pause(seconds, clock=world.clock, emit=world.emit, reason=reason)
                self._see(world, presence)
        if presence.registered:
            prove_again(world)
        tell_of_secrets(world, world.removal.last)
        if not world.log.marked:  # behind an earlier run's marker there is no way back that an answer could open
            _ask_to_delete(world)
        self._rehearse(world)
        if world.log.marked:
            return "passed by an earlier run, which this one continues"
        world.log.mark()
        return "recorded; an interrupted run continues from here"

    @staticmethod
    def _see(world: World, presence: Presence) -> tuple[Key, ...]:
        """The keys on the app, the certificate among them."""

        def there() -> tuple[Key, ...] | None:
            keys, last = application.read_credentials(world.user_graph(), world.app)
            world.facts.put(replace(world.removal, last=last))
            return keys if presence.holds(keys) else None

        reason, deadline = "the certificate to be seen on the app once more", 3 * credentials.REPLICATION
        keys = wait_until(there, clock=world.clock, emit=world.emit, reason=reason, expected=5, deadline=deadline)
        if keys is None:
            raise SetupError("migrate.not-registered", detail="it is not on the app any more")
        return keys

    def _rehearse(self, world: World) -> None:
        """See that this machine's credential and its files still are what was decided on, and can be changed."""
        tenant = world.target.tenant
        if world.keystore.read(world.service, tenant) != world.key_pair.entry:
            raise SetupError("keystore.changed", tenant=tenant, service=world.service)
        world.statefile.rehearse(*Purge.change(world), basis=world.project.basis)


class DeletePasswords(Step[World]):
    """Delete every password credential on the application and on its service principal."""

    name = "delete-passwords"
    title = "Delete the password credentials"
    needs: ClassVar[Kinds] = (Target, OpenRun, AppRegistration, MachineKey)
    maybe: ClassVar[Kinds] = (SignedIn, Proof, PasswordRemoval)

    def check(self, world: World) -> Status:
        app = world.app
        if app.locked and app.principal_passwords:
            listing = _listing(app.principal_passwords)
            return Blocked(SetupError("app.locked-principal", app_id=app.app_id, listing=listing))
        return Needed() if app.all_passwords else Done("there are none")

    def plan(self, world: World) -> Sequence[PlanRow]:
        app = world.app
        return tuple(
            PlanRow(
                "delete",
                "password credential",
                application.HOLDER_NAME[password.holder],
                f"{password}, {world.removal.activity.of(password.id)}",
                "",
                False,
                " ".join(credentials.removal(app, password)[:2]),
            )
            for password in app.all_passwords
        )

    def apply(self, world: World) -> str:
        passwords = world.removal.last
        ours = 0
        # one object after the other, the one that may be locked first: when that is refused, nothing is gone yet
        for holder in reversed(REMOVE):
            of_holder = [password for password in passwords if password.holder == holder]
            gone = _at_once(world, of_holder)
            ours += len(gone) + sum([delete(world, password) for password in of_holder if password.id not in gone])
        others = f", {len(passwords) - ours} gone already" if ours < len(passwords) else ""
        return f"{ours} deleted{others}"


class TwoCleanReads(Step[World]):
    """Read until two reads, some seconds apart, show no password credential; newcomers are deleted too (M6).

    What has to be seen over some seconds of the certificate is seen in between (P7, P8).
    """

    name = "clean-reads"
    title = "See twice that none is left"
    needs: ClassVar[Kinds] = (Target, OpenRun, SignedIn, AppRegistration)
    maybe: ClassVar[Kinds] = (NewApp, Proof, WantedPermissions, PasswordRemoval, HandOffRequest)
    updates: ClassVar[Kinds] = (MachineKey, NeedsAdministrator)

    def check(self, world: World) -> Status:
        changed = world.journal is not None and any(effect.standing for effect in world.journal.effects)
        return Needed() if world.app.all_passwords or changed else Done("there were none")

    def apply(self, world: World) -> str:
        graph = _reader(world)
        tried = {e.data["key_id"] for action in REMOVE.values() for e in world.log.standing(action)}
        tried |= {
            password.id for password in world.facts.get(AppRegistration).initial
        }  # a stale read may have hidden one until now
        rounds = 0
        left: tuple[Password, ...] = ()
        start = world.clock.monotonic()
        presence = watch(world)

        def clean() -> bool:
            nonlocal left
            keys, left = application.read_credentials(graph, world.app)
            return (presence.holds(keys) or world.facts.maybe(HandOffRequest) is not None) and not left

        while world.clock.monotonic() - start < DELETION_DEADLINE:
            if clean():
                first = world.clock.monotonic()
                for moment in GLANCES:
                    self._pause(world, first + moment - world.clock.monotonic())
                    presence.holds(application.read_keys(graph, world.app.object_id))
                self._pause(world, first + APART - world.clock.monotonic())
                if clean():
                    return f"two reads {APART:.0f} s apart show none"
                continue
            if not left:
                pause(APART, clock=world.clock, emit=world.emit, reason="the certificate to be seen on the app")
                continue
            newcomers = [password for password in left if password.id not in tried]
            if newcomers:
                rounds += 1
                if rounds > ROUNDS:
                    self._give_up(world, newcomers, rounds)
                world.emit(
                    Finding(
                        "secret.returned",
                        "warning",
                        f"A password credential appeared while this run worked: {_listing(newcomers)}. "
                        "It is deleted too.",
                    )
                )
            for password in left:  # one seen again is a stale read, or a deletion that did not hold
                delete(world, password)
                tried.add(password.id)
            if not newcomers:
                pause(APART, clock=world.clock, emit=world.emit, reason="a deletion to be seen everywhere")
        if not left:
            raise SetupError("migrate.not-registered", detail="it is not on the app any more")
        raise SetupError("migrate.passwords-left", count=len(left), listing=_listing(left))

    @staticmethod
    def _pause(world: World, seconds: float) -> None:
        if seconds > 0:
            pause(seconds, clock=world.clock, emit=world.emit, reason="the second clean read")

    @staticmethod
    def _give_up(world: World, newcomers: list[Password], rounds: int) -> NoReturn:
        owners = ", ".join(str(o.get("userPrincipalName") or o.get("displayName")) for o in world.app.owners)
        raise SetupError(
            "migrate.secret-returns", rounds=rounds, listing=_listing(newcomers), owners=owners or "an administrator"
        )


class ProveAfterDeletion(Step[World]):
    """Prove the certificate again, now that nothing else is left."""

    name = "prove-again"
    title = "Prove the certificate again"
    needs = (Target, OpenRun, SignedIn, AppRegistration)
    maybe = (NewApp, WantedPermissions, KeystoreFindings, HandOffRequest)
    updates = (MachineKey, Proof, NeedsAdministrator)

    def check(self, world: World) -> Status:
        return Needed() if any(removed(world).values()) or world.app.all_passwords else Done("nothing was deleted")

    def apply(self, world: World) -> str:
        return prove_again(world)


class LastLook(Step[World]):
    """See the certificate on the app at the very end: another writer may have replaced the list since (M5, M7)."""

    name = "last-look"
    title = "See the certificate once more"
    needs = (Target, OpenRun, SignedIn, AppRegistration)
    maybe = (NewApp, WantedPermissions, KeystoreFindings, HandOffRequest)
    updates = (MachineKey, Proof, NeedsAdministrator)

    def check(self, world: World) -> Status:
        journal = world.journal
        changed = journal is not None and any(effect.standing for effect in journal.effects)
        return Needed() if changed else Done("nothing was changed since it was read")

    def apply(self, world: World) -> str:
        graph, presence = _reader(world), watch(world)

        def there() -> bool | None:
            return presence.holds(application.read_keys(graph, world.app.object_id)) or None

        reason, deadline = "the certificate to be seen on the app", 3 * credentials.REPLICATION
        if not wait_until(there, clock=world.clock, emit=world.emit, reason=reason, expected=5, deadline=deadline):
            raise SetupError("migrate.replaced", thumbprint=world.key_pair.thumbprint, app=world.app.name)
        if presence.registered:
            return f"registered again: {prove_again(world)}"
        return "it is on the app"


def removed(world: World) -> dict[Holder, int]:
    """How many password credentials the undertaking deleted, over all its runs; none that others deleted first.

    :returns: by holder; empty when nothing at all was done.
    """
    journal = world.journal
    if journal is None or not journal.did():
        return {}
    return {
        holder: len({effect.data["key_id"] for effect in journal.did(action) if not effect.data.get("by_others")})
        for holder, action in REMOVE.items()
    }


def vanished(world: World, error: SetupError) -> SetupError | None:
    """A password that vanished may have been that machine's only other credential: then nothing is undone (M5).

    :returns: the error that forbids the undo; the run is marked, and only goes forward from here.
    """
    registered = world.log.standing("graph.application.addKey")
    if not registered:
        return None  # the directory is as it was: undoing takes no credential from anybody
    expected = {password.id for password in world.facts.get(AppRegistration).initial}
    for effect in registered:
        expected |= set(effect.data["passwords"])
    graph = world.user_graph()

    def all_there() -> bool | None:
        return expected <= {found.id for found in application.read_passwords(graph, world.app)} or None

    if wait_until(
        all_there,
        clock=world.clock,
        emit=world.emit,
        reason="the password credentials to be seen, so that undoing is safe",
        expected=5,
        deadline=credentials.REPLICATION / 2,
    ):
        return None
    world.log.mark()
    return SetupError("migrate.vanished", cause=error.summary)


def _reader(world: World) -> Graph:
    """The identity that reads the password credentials back: the Provisioner if it may, else the signed-in user."""
    proof = world.maybe_proof
    return world.app_graph() if proof is not None and directory_roles.WRITE in proof.roles else world.user_graph()


def delete(world: World, password: Password) -> bool:
    """Delete one password credential with the best identity that may.

    When the very first deletion is refused and every credential is still there, the marker is taken back, so that
    the run can be undone (M5).

    :returns: False when it was gone already.
    """
    action = REMOVE[password.holder]
    refused: GraphError | None = None
    if not world.log.marked:  # a newcomer, where there was nothing to delete when the marker's turn came
        world.log.mark()
    for identity in world.removal.deleters.get(password.holder) or _IDENTITIES:
        graph = world.graph_of(identity)
        try:
            with world.log.effect(action, password.id, world.emit, key_id=password.id) as effect:
                removed = credentials.remove_password(graph, world.app, password, world.clock, world.emit)
                effect.data["by_others"] = not removed
            return removed
        except GraphError as error:
            if error.transient or error.effected is not Effected.NO:
                raise
            refused = error
    assert refused is not None
    irreversible = [*REMOVE.values(), "statefile.update"]
    if world.log.marked_here and not any(world.log.standing(name) for name in irreversible):
        here = {found.id for found in application.read_passwords(world.user_graph(), world.app)}
        if {found.id for found in world.facts.get(AppRegistration).initial} <= here:
            world.log.unmark()
    raise refused


def _ask_to_delete(world: World) -> None:
    """Rehearse the deletions, and keep the identities that are not refused (M4).

    :raises GraphError: both are refused for one of the objects.
    """
    removal = world.removal
    deleters = dict(removal.deleters)
    holders = [holder for holder in REMOVE if any(password.holder == holder for password in removal.last)]
    may: set[Holder] = set()
    refusals: dict[Holder, GraphError] = {}
    for identity in _IDENTITIES:
        asked = [h for h in holders if h not in may and identity in deleters.get(h, _IDENTITIES)]
        if not asked:
            continue
        found = credentials.refused_removals(world.graph_of(identity), world.app, asked)
        may |= set(asked) - set(found)
        refusals |= found
        for holder in found:
            rest = (other for other in deleters.get(holder, _IDENTITIES) if other != identity)
            deleters[holder] = tuple(rest)
    world.facts.put(replace(removal, deleters=deleters))
    for holder in holders:
        if holder not in may:
            raise refusals[holder]


def _at_once(world: World, passwords: Sequence[Password]) -> set[str]:
    """Delete up to twenty password credentials in one round trip.

    :returns: ids of those that are certainly gone; the rest is left to `delete`, one by one.
    """
    best = {password.id: (world.removal.deleters.get(password.holder) or ("app",))[0] for password in passwords}
    gone: set[str] = set()
    for identity in dict.fromkeys(best.values()):
        chosen = [password for password in passwords if best[password.id] == identity][:20]
        if len(chosen) < 2:
            continue
        effects = [world.log.intend(REMOVE[p.holder], p.id, key_id=p.id, by_others=False) for p in chosen]
        try:
            answers = world.graph_of(identity).batch_once([credentials.removal(world.app, p) for p in chosen])
        except SetupError as error:
            if isinstance(error, Interrupted):
                raise
            if error.effected is Effected.NO:  # the batch itself was not taken, so nothing in it happened
                for effect in effects:
                    world.log.failed(effect)
            continue
        for effect, password, answer in zip(effects, chosen, answers, strict=True):
            if not isinstance(answer, GraphError):
                world.log.done(effect, world.emit)
                gone.add(password.id)
            elif answer.effected is Effected.NO:
                world.log.failed(effect)
    return gone


def _listing(passwords: Sequence[Password]) -> str:
    return "; ".join(str(password) for password in passwords)
