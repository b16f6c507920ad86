"""Migrate from client secret to certificate: the order of M4, all or nothing as in M5 (ADR-0003)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.entra import credentials
from core.entra.tokens import try_secret
from core.errors import SetupError
from core.events import Finding, Question
from core.flow.plan import Change, Plan
from core.flow.step import Check, Done, Flow, Needed, Stage, Step
from core.flow.wait import wait_until
from core.stages import keystore, prereqs, review, signin
from core.stages.certificate import Adopt, Prove, Register, StoreKey
from core.stages.passwords import (
    DELETION_DEADLINE,
    REMOVE,
    CheckDeletion,
    DeletePasswords,
    Mark,
    ProveAfterDeletion,
    TwoCleanReads,
)
from core.stages.world import World


class Purge(Step[World]):
    """One atomic write: the secret out of the state file, the certificate's thumbprint in."""

    name = "purge"
    title = "Purge the secret from the state file"

    def _values(self, world: World) -> dict[str, str]:
        profile, known = world.profile, world.known
        return {
            profile.tenant_member: known.tenant,
            profile.client_id_member: known.app_id,
            profile.thumbprint_member: world.bundle.thumbprint,
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
        changes = [
            Change(
                "change",
                profile.thumbprint_member,
                path,
                "",
                "the certificate's thumbprint",
                False,
                "atomic replace, 0600",
            )
        ]
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
    if world.settings.yes:
        return  # the answer was given in advance: no time has passed
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
    graph = world.user_graph()

    def all_there() -> bool | None:
        return expected <= {found.id for found in credentials.read_passwords(graph, world.app)} or None

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
