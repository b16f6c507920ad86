"""Migrate from client secret to certificate: the order of M4, all or nothing as in M5 (ADR-0003)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from core.entra import credentials
from core.entra.credentials import Password
from core.entra.graph import Graph
from core.entra.tokens import try_secret
from core.errors import GraphError, SetupError
from core.events import Finding, Question
from core.flow.plan import Change, Plan
from core.flow.step import Check, Done, Flow, Needed, Stage, Step
from core.flow.wait import wait_until
from core.stages import keystore, prereqs, review, signin
from core.stages.certificate import Adopt, Prove, Register, StoreKey, prove_again
from core.stages.world import World

#: Seconds between the two clean reads; a replica may be that far behind.
APART: Final = 5.0
#: How long deleted passwords may stay visible, and the dead secret alive, in seconds.
DELETION_DEADLINE: Final = 300.0
#: New password credentials during the run after which something is named as their creator.
ROUNDS: Final = 5
REMOVE: Final = {
    "application": "graph.application.removePassword",
    "servicePrincipal": "graph.servicePrincipal.removePassword",
}


class CheckDeletion(Step[World]):
    """Decide who may delete the password credentials, before the point of no return."""

    name = "deletion-rights"
    title = "Check who may delete the secrets"

    def check(self, world: World) -> Check:
        return Needed() if world.app.all_passwords else Done("there are none")

    def apply(self, world: World) -> str:
        known, app = world.known, world.app
        proof = known.proof
        assert proof is not None
        deleters: list[Graph] = []
        names = []
        owns = any(owner.get("id") == app.principal_id for owner in app.owners)
        if review.WRITE in proof.roles or ("Application.ReadWrite.OwnedBy" in proof.roles and owns):
            deleters.append(world.app_graph())
            names.append("the Provisioner itself")
        if review.may_write(world) is not None:
            deleters.append(world.user_graph())
            names.append("the signed-in user")
        if not deleters:
            user = known.account.user if known.account else "the signed-in user"
            raise SetupError("rights.delete", user=user, app=app.name)
        known.deleters = tuple(deleters)
        return ", else ".join(names)


class Mark(Step[World]):
    """The point of no return: from here only forward."""

    name = "marker"
    title = "Point of no return"

    def check(self, world: World) -> Check:
        if not world.app.all_passwords:
            return Done("nothing irreversible is needed")
        journal = world.journal
        return Done("passed by an earlier run") if journal is not None and journal.marked else Needed()

    def apply(self, world: World) -> str:
        bundle = world.known.bundle
        assert bundle is not None
        keys = credentials.read_keys(world.user_graph(), world.app.object_id)
        if not any(key.der == bundle.der for key in keys):
            raise SetupError("migrate.not-registered", detail="it is not on the app any more")
        world.log.mark()
        return "recorded; an interrupted run continues from here"


class DeletePasswords(Step[World]):
    """Delete every password credential on the application and on its service principal."""

    name = "delete-passwords"
    title = "Delete the password credentials"

    def check(self, world: World) -> Check:
        return Needed() if world.app.all_passwords else Done("there are none")

    def plan(self, world: World) -> Sequence[Change]:
        app = world.app
        return tuple(
            Change(
                "delete",
                "password credential",
                credentials.HOLDER_NAME[password.holder],
                str(password),
                "",
                False,
                f"POST /{credentials.COLLECTION[password.holder]}/"
                f"{app.object_id if password.holder == 'application' else app.principal_id}/removePassword",
            )
            for password in app.all_passwords
        )

    def apply(self, world: World) -> str:
        passwords = credentials.read_passwords(world.known.deleters[0], world.app)
        for password in passwords:
            delete(world, password)
        return f"{len(passwords)} deleted"


class TwoCleanReads(Step[World]):
    """Read until two reads, some seconds apart, show no password credential; newcomers are deleted too (M6)."""

    name = "clean-reads"
    title = "See twice that none is left"

    def check(self, world: World) -> Check:
        changed = world.journal is not None and any(effect.standing for effect in world.journal.effects)
        return Needed() if world.app.all_passwords or changed else Done("there were none")

    def apply(self, world: World) -> str:
        graph = (world.known.deleters or (world.user_graph(),))[0]
        tried = {e.data["key_id"] for action in REMOVE.values() for e in world.log.standing(action)}
        rounds = 0
        left: tuple[Password, ...] = ()
        start = world.clock.monotonic()
        while world.clock.monotonic() - start < DELETION_DEADLINE:
            left = credentials.read_passwords(graph, world.app)
            if not left:
                world.clock.wait(APART)
                if not credentials.read_passwords(graph, world.app):
                    self._count(world)
                    return f"two reads {APART:.0f} s apart show none"
                continue
            newcomers = [password for password in left if password.id not in tried]
            if newcomers:
                rounds += 1
                if rounds > ROUNDS:
                    raise self._returning(world, newcomers, rounds)
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
                world.clock.wait(APART)
        raise SetupError("migrate.passwords-left", count=len(left), listing=_listing(left))

    @staticmethod
    def _count(world: World) -> None:
        """What this undertaking deleted, over all its runs; nothing that others deleted first."""
        for holder, action in REMOVE.items():
            ids = {e.data["key_id"] for e in world.log.standing(action) if not e.data.get("by_others")}
            world.known.removed[holder] = ids

    @staticmethod
    def _returning(world: World, newcomers: list[Password], rounds: int) -> SetupError:
        owners = ", ".join(str(o.get("userPrincipalName") or o.get("displayName")) for o in world.app.owners)
        return SetupError(
            "migrate.secret-returns", rounds=rounds, listing=_listing(newcomers), owners=owners or "an administrator"
        )


class ProveAfterDeletion(Step[World]):
    """Prove the certificate again, now that nothing else is left."""

    name = "prove-again"
    title = "Prove the certificate again"

    def check(self, world: World) -> Check:
        deleted = any(world.known.removed.values())
        return Needed() if deleted or world.app.all_passwords else Done("nothing was deleted")

    def apply(self, world: World) -> str:
        return prove_again(world)


class Purge(Step[World]):
    """One atomic write: the secret out of the state file, the certificate's thumbprint in."""

    name = "purge"
    title = "Purge the secret from the state file"

    def _values(self, world: World) -> dict[str, str]:
        profile, known = world.profile, world.known
        assert known.bundle is not None
        return {
            profile.tenant_member: known.tenant,
            profile.client_id_member: known.app_id,
            profile.thumbprint_member: known.bundle.thumbprint,
        }

    def check(self, world: World) -> Check:
        members = world.statefile.read()
        if world.profile.secret_member in members or world.known.bundle is None:
            return Needed()
        for name, value in self._values(world).items():
            if str(members.get(name, "")).lower() != value.lower():
                return Needed()
        return Done("it holds no secret and names the certificate")

    def plan(self, world: World) -> Sequence[Change]:
        profile, path = world.profile, str(world.statefile.path)
        changes = [Change("change", profile.thumbprint_member, path, "", "thumbprint", False, "atomic replace, 0600")]
        if profile.secret_member in world.statefile.read():
            changes.insert(
                0, Change("delete", profile.secret_member, path, "the client secret", "", False, "atomic replace, 0600")
            )
        return changes

    def apply(self, world: World) -> str:
        member = world.profile.secret_member
        had_secret = member in world.statefile.read()
        with world.log.effect("statefile.update", str(world.statefile.path), world.emit, purged=had_secret):
            world.statefile.update(self._values(world), remove=(member,))
            if member in world.statefile.read():
                raise SetupError("statefile.changed", path=world.statefile.path)
        return "the secret is gone from it" if had_secret else "thumbprint recorded"


class SecretIsDead(Step[World]):
    """Prove that the old secret is refused; any other answer is said to be inconclusive."""

    name = "secret-dead"
    title = "Prove that the old secret is refused"

    def check(self, world: World) -> Check:
        return Needed() if world.known.secret else Done("no old secret is known to this run")

    def apply(self, world: World) -> str:
        known = world.known
        assert known.secret is not None
        secret = known.secret
        last = try_secret(world.session, world.cloud, known.tenant, known.app_id, secret)

        def not_live() -> bool | None:
            nonlocal last
            last = try_secret(world.session, world.cloud, known.tenant, known.app_id, secret)
            return None if last.state == "live" else True

        if last.state == "live" and not wait_until(
            not_live,
            clock=world.clock,
            emit=world.emit,
            reason="the deletion of the old secret to spread",
            expected=30,
            deadline=DELETION_DEADLINE,
        ):
            raise SetupError("migrate.secret-alive", minutes=round(DELETION_DEADLINE / 60))
        if last.state == "unknown":
            message = f"Whether the old secret is dead could not be proven: {last.detail}"
            world.emit(Finding("secret.inconclusive", "warning", message, "Run 'entraclaw-setup verify' later."))
            return f"inconclusive ({last.detail})"
        return f"refused ({last.detail})"


class Tidy(Step[World]):
    """Remove pending and former keystore entries."""

    name = "tidy"
    title = "Remove pending keystore entries"

    def _accounts(self, world: World) -> list[str]:
        journal, accounts = world.journal, []
        if journal is not None:
            accounts = [effect.target for effect in journal.standing("keystore.write")]
            accounts += [e.data["aside"] for e in journal.standing("keystore.adopt") if e.data["former"]]
        if world.known.bundle is not None:
            accounts.append(world.pending)
        return list(dict.fromkeys(accounts))

    def check(self, world: World) -> Check:
        if world.known.bundle is None:
            return Needed()
        left = [a for a in self._accounts(world) if world.keystore.read(world.service, a) is not None]
        return Needed() if left else Done("there are none")

    def apply(self, world: World) -> str:
        accounts = self._accounts(world)
        for account in accounts:
            with world.log.effect("keystore.delete", account, world.emit):
                world.keystore.delete(world.service, account)
        return f"{len(accounts)} removed"


def delete(world: World, password: Password) -> None:
    """Delete one password credential with the best identity that may.

    When the very first deletion is refused and every credential is still there, the marker is taken back, so that
    the run can be undone (M5).
    """
    action = REMOVE[password.holder]
    refused: GraphError | None = None
    if not world.log.marked:  # a newcomer, where there was nothing to delete when the marker's turn came
        world.log.mark()
    for graph in world.known.deleters or (world.app_graph(), world.user_graph()):
        try:
            with world.log.effect(action, password.id, world.emit, key_id=password.id) as effect:
                effect.data["by_others"] = not credentials.remove_password(graph, world.app, password)
            return
        except GraphError as error:
            if error.status != 403:
                raise
            refused = error
    assert refused is not None
    if not any(world.log.standing(name) for name in REMOVE.values()):
        here = {found.id for found in credentials.read_passwords(world.user_graph(), world.app)}
        if {found.id for found in world.known.initial} <= here:
            world.log.unmark()
    raise refused


def _listing(passwords: Sequence[Password]) -> str:
    return "; ".join(str(password) for password in passwords)


def _basis(world: World) -> dict[str, object]:
    known, app = world.known, world.app
    return {
        "tenant": known.tenant,
        "cloud": world.cloud.authority,
        "app": [app.app_id, app.object_id],
        "certificate": known.bundle.thumbprint if known.bundle else "new",
        "keys": sorted(key.id for key in app.keys),
        "permissions": app.permissions,
        "files": {str(world.statefile.path): known.members},
    }


def _refresh(world: World) -> None:
    app = credentials.read(world.user_graph(), world.known.app_id)
    if app is None:
        raise SetupError("flow.outdated")
    world.known.app = app
    world.known.initial = app.all_passwords
    members: dict[str, Any] = world.statefile.read()
    members.pop(world.profile.secret_member, None)
    world.known.members = members


def _question(world: World, plan: Plan) -> Question:
    irreversible = sum(1 for change in plan.changes if not change.reversible and change.action == "delete")
    text = f"Make these changes? {irreversible} of them cannot be undone." if irreversible else "Make these changes?"
    return Question("migrate", text, False, "--yes")


def _before_undo(world: World, error: SetupError) -> SetupError | None:
    """A password that vanished may have been this machine's only other credential: then nothing is undone (M5)."""
    expected = {password.id for password in world.known.initial}
    for effect in world.log.standing("graph.application.addKey"):
        expected |= set(effect.data["passwords"])
    here = {password.id for password in credentials.read_passwords(world.user_graph(), world.app)}
    if expected <= here:
        return None
    world.log.mark()
    return SetupError("migrate.vanished", cause=error.summary)


def summary(world: World, outcome: str) -> Sequence[str]:
    """The sentences of M7, each only if it is true."""
    known, profile = world.known, world.profile
    if outcome == "unchanged":
        return (f"Nothing to do: {_subject(world)} signs in with its certificate, and no password credential is left.",)
    if outcome != "changed":
        return ()
    on_app, on_principal = (len(known.removed.get(holder, ())) for holder in REMOVE)
    first = []
    if on_app or on_principal or known.purged:
        first.append(f"Migrated {_subject(world)} from secret-auth to cert-auth.")
    if on_app:
        first.append(f"{on_app} password credential{'s' * (on_app > 1)} removed from the app registration.")
    if known.purged:
        first.append(f"{profile.secret_member} purged from state file.")
    sentences = [" ".join(first)] if first else []
    if on_principal:
        word = f"password credential{'s' * (on_principal > 1)}"
        sentences.append(f"{on_principal} {word} removed from its service principal.")
    if on_app or on_principal:
        sentences.append("Tokens that were issued before live until they expire, about an hour at most.")
    if known.bundle is not None:
        end = known.bundle.not_after.date()
        sentences.append(f"The certificate {known.bundle.thumbprint} is valid until {end}.")
    return sentences


def _subject(world: World) -> str:
    return "Provisioner" if world.profile.name == "entraclaw" else world.profile.app_display_name


class _Remember(Step[World]):
    """Keep what the summary says about, before the journal of this undertaking is closed."""

    name = "result"
    title = "Check the result"

    def check(self, world: World) -> Check:
        world.known.purged = world.journal is not None and any(
            effect.data["purged"] for effect in world.journal.standing("statefile.update")
        )
        return Done("no password credential, a proven certificate, no secret in the state file")

    def apply(self, world: World) -> str:
        raise AssertionError("it has nothing to apply")


FLOW: Flow[World] = Flow(
    "migrate",
    look=(prereqs.STAGE, signin.STAGE, keystore.STAGE, review.STAGE),
    change=(
        Stage(
            "migrate",
            "Migration",
            (
                StoreKey(),
                Register(),
                Prove(),
                Adopt(),
                CheckDeletion(),
                Mark(),
                DeletePasswords(),
                TwoCleanReads(),
                ProveAfterDeletion(),
                Purge(),
                SecretIsDead(),
                Tidy(),
                _Remember(),
            ),
        ),
    ),
    basis=_basis,
    refresh=_refresh,
    question=_question,
    before_undo=_before_undo,
    summary=summary,
)
