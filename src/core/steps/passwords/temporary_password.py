"""A client secret that lives 15 minutes: made, written where the old code reads it, proven; or undone (M10)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from core.clock import wait_until
from core.entra import application, credentials
from core.entra.policies import PASSWORDS
from core.entra.tokens import SecretState, try_secret
from core.errors import Effected, GraphError, NetworkError, SetupError
from core.flow.step import Blocked, Done, Left, Needed, PlanRow, Status, Step
from core.secret import Secret
from core.steps import facts
from core.steps.context import Context
from core.steps.passwords import rollback_secret
from core.steps.passwords.rollback_secret import ACCEPTED, ADD, WRITE, RollbackJournal

#: How long the secret lives, by the service's clock.
LIFETIME: Final = timedelta(minutes=15)
#: Credentials that are made before giving up, if the answers with their secrets are lost.
ATTEMPTS: Final = 3
#: How long a credential whose answer was lost may take to show itself, in seconds.
LOST: Final = credentials.REPLICATION / 2
#: The same before it is believed that there is none.
LATE: Final = credentials.REPLICATION * 2
#: How long a new secret may take to be accepted, in seconds; less than it lives.
DEADLINE: Final = 180.0
_FORBIDDEN: Final = "CredentialTypeNotAllowedAsPerAppPolicy"


class TakeBack(Step[Context]):
    """Take back what an interrupted rollback left: its secret may be lost, and nobody was told of it."""

    name = "take-back"
    title = "Take back what an earlier rollback left"
    needs = (facts.Target, facts.AppRegistration)
    maybe = (facts.OpenRun, facts.SignedIn)
    updates = (facts.Project,)

    def check(self, ctx: Context) -> Status:
        return Needed() if journal_of(ctx).stands else Done("there is nothing")

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        where = f"app registration '{ctx.app.name}', {ctx.statefile.path}"
        return (PlanRow("delete", "earlier rollback", where, journal_of(ctx).listing(), "", False, "removePassword"),)

    def apply(self, ctx: Context) -> str:
        journal = journal_of(ctx)
        rollback_secret.take_out(ctx, journal)
        rollback_secret.take_off(ctx, journal, ctx.user_graph(), patience=LATE)
        for effect in journal.standing(ACCEPTED):  # of one that had expired
            journal.undone(effect)
        return "nothing of it is left"


class AddPassword(Step[Context]):
    """Add a password credential that ends in 15 minutes; its secret stays in memory."""

    name = "add-password"
    title = "Create a client secret for 15 minutes"
    needs = (facts.Target, facts.OpenRun, facts.AppRegistration)
    maybe = (facts.SignedIn,)
    gives = (facts.TemporarySecret,)
    updates = (facts.Project,)

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        app = ctx.app
        where = f"app registration '{app.name}'"
        end = rollback_secret.utc(_end(ctx))
        ends = f"new, ends {LIFETIME.seconds // 60} minutes after it is made ({end} if made now)"
        call = f"POST /applications/{app.object_id}/addPassword"
        stay = [PlanRow("keep", "certificate", where, key.describe()) for key in app.keys]
        stay.append(PlanRow("keep", "private key", f"keystore, service {ctx.service}", "it is not touched"))
        return (PlanRow("add", "password credential", where, "", ends, True, call), *stay)

    def apply(self, ctx: Context) -> str:
        # before the service is asked: whether the file can be written at all
        ctx.statefile.update(
            {ctx.profile.secret_member: "the place of the secret"}, basis=ctx.project.basis, really=False
        )
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._add(ctx, attempt)
            except (GraphError, NetworkError) as error:
                if error.effected is Effected.NO or attempt == ATTEMPTS:
                    raise
            # whatever was made is useless, since its secret was lost with the answer: it goes, and another one comes
            rollback_secret.take_off(ctx, ctx.log, ctx.user_graph(), patience=LOST, forget=False)
        raise AssertionError("the last attempt returns or raises")

    def _add(self, ctx: Context, attempt: int) -> str:
        app, end = ctx.app, _end(ctx)
        name = f"entraclaw-setup rollback {ctx.run_id}-{attempt}"
        details = {"name": name, "made": (end - LIFETIME).isoformat(), "ends": end.isoformat()}
        with ctx.log.effect(ADD, app.object_id, ctx.emit, **details) as effect:
            try:
                answer = credentials.add_password(ctx.user_graph(), app.object_id, name, end - LIFETIME, end)
            except GraphError as error:
                if error.code != _FORBIDDEN:
                    raise
                raise Forbidden(ctx, effected=error.effected) from None
            secret = answer.get("secretText")
            secret = secret if isinstance(secret, Secret) else Secret("")
            effect.data |= {"key_id": str(answer.get("keyId")), "hint": secret.hint}
            _check(secret, str(answer.get("endDateTime")), end)
        ctx.facts.put(facts.TemporarySecret(secret))
        return f"keyId {effect.data['key_id']}, until {rollback_secret.utc(end)}"

    def undo(self, ctx: Context) -> Left | None:
        """Also of the file: neither stands on the other, so both are tried, the credential first."""
        journal, problems = journal_of(ctx), list[SetupError]()
        off = partial(rollback_secret.take_off, ctx, journal, ctx.user_graph(), patience=LATE)
        for take in (off, partial(rollback_secret.take_out, ctx, journal)):
            try:
                take()
            except SetupError as error:
                problems.append(error)
        if not journal.stands:
            return None
        app_id, key_ids = ctx.target.app_id, [str(e.data.get("key_id", "…")) for e in journal.standing(ADD)]
        by_hand = [f"az ad app credential delete --id {app_id} --key-id {key_id}" for key_id in key_ids]
        by_hand += [f"delete {effect.data['member']} in {effect.target}" for effect in journal.standing(WRITE)]
        return Left(f"{journal.listing()} ({'; '.join(error.summary for error in problems)})", "; ".join(by_hand))


class WriteSecret(Step[Context]):
    """Write the secret into the state file, where the old code reads it, and read it back; `AddPassword` undoes it."""

    name = "write-secret"
    title = "Write the secret into the state file"
    needs = (facts.OpenRun, facts.TemporarySecret)
    maybe = (facts.Project,)

    def check(self, ctx: Context) -> Status:
        member = ctx.profile.secret_member
        theirs = ctx.statefile.read().present
        if theirs and not any(rollback_secret.holds(ctx, effect) for effect in journal_of(ctx).standing(WRITE)):
            return Blocked(SetupError("rollback.present", path=ctx.statefile.path, member=member))
        return Needed()

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        after = "the new secret, live and in plain text"
        how = "atomic replace, 0600"
        return (PlanRow("change", ctx.profile.secret_member, str(ctx.statefile.path), "", after, True, how),)

    def apply(self, ctx: Context) -> str:
        file, member, secret = ctx.statefile, ctx.profile.secret_member, ctx.facts.get(facts.TemporarySecret).secret
        made = ctx.log.standing(ADD)[-1].data
        details = {"member": member, "hint": made["hint"], "ends": made["ends"]}
        with ctx.log.effect(WRITE, str(file.path), ctx.emit, **details):
            file.put_secret(member, secret, ctx.project.basis)
            if not file.holds(secret):
                raise SetupError("statefile.changed", path=file.path)
        return f"{member} in {file.path}"


class ProveSecret(Step[Context]):
    """Prove that the service accepts the new secret; what it yields is dropped at once."""

    name = "prove-secret"
    title = "Prove that the secret is accepted"
    needs = (facts.Target, facts.OpenRun, facts.TemporarySecret)

    def apply(self, ctx: Context) -> str:
        secret = ctx.facts.get(facts.TemporarySecret).secret
        last = SecretState("unknown", "not asked")

        def live() -> bool | None:
            nonlocal last
            last = try_secret(ctx.session, ctx.cloud, ctx.target.tenant, ctx.target.app_id, secret)
            return True if last.state == "live" else None

        if not wait_until(live, ctx, "the secret to be accepted everywhere", expected=15, deadline=DEADLINE):
            raise SetupError("rollback.not-accepted", minutes=round(DEADLINE / 60), detail=last.detail)
        with ctx.log.effect(ACCEPTED, ctx.target.app_id, ctx.emit):
            return last.detail


def journal_of(ctx: Context) -> RollbackJournal:
    """The journal of this rollback; a look step has opened it."""
    assert isinstance(ctx.journal, RollbackJournal)
    return ctx.journal


def _end(ctx: Context) -> datetime:
    """When a secret that is made now ends, by the service's clock, in whole seconds."""
    return (rollback_secret.service_time(ctx) + LIFETIME).replace(microsecond=0)


class Forbidden(SetupError):
    """A policy forbids password credentials (M13)."""

    def __init__(self, ctx: Context, *, effected: Effected = Effected.UNKNOWN) -> None:
        names = ctx.app.policy.by(PASSWORDS)
        told = f" ({names})" if names else ""
        super().__init__("rollback.forbidden", effected=effected, app=ctx.app.name, names=told)


def _check(secret: Secret, ends: str, wanted: datetime) -> None:
    """Whether the credential is what was asked for."""
    if not secret:
        raise SetupError("rollback.unusable", effected=Effected.YES, detail="did not tell its secret")
    try:
        exact = abs(application.moment(ends) - wanted) <= timedelta(minutes=1)
    except ValueError:
        exact = False
    if not exact:
        detail = f"it ends at {ends} and not in {LIFETIME.seconds // 60} minutes"
        raise SetupError("rollback.unusable", effected=Effected.YES, detail=detail)
