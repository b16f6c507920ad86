"""Roll back to a client secret, for 15 minutes: for code that cannot use the certificate yet (M10).

The one flow that writes a secret to a disk: a new one, short-lived, where the old code reads it. The certificate and
its key stay. A failure undoes everything; a success is remembered until the secret is gone
(`core.steps.passwords.rollback_secret`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core import paths
from core.entra.policies import PASSWORD_LIFETIME
from core.errors import SetupError
from core.events import Question
from core.flow.engine import Result
from core.flow.journal import Journal
from core.flow.step import Blocked, Done, Flow, Needed, Plan, Stage, Status, Step
from core.flows import agreement, interrupted, registry
from core.steps import directory_roles, facts, prerequisites, sign_in
from core.steps.app import find
from core.steps.context import Context
from core.steps.passwords import rollback_secret
from core.steps.passwords.temporary_password import LIFETIME, AddPassword, Forbidden, ProveSecret, TakeBack, WriteSecret


class NoMigration(Step[Context]):
    """Take the lock; a migration that is under way is finished first."""

    name = "journal"
    title = "Look for an open migration"
    needs = (facts.Target,)

    def check(self, ctx: Context) -> Status:
        return Needed() if ctx.target.app_id else Done("the app is not known yet")

    def apply(self, ctx: Context) -> str:
        prerequisites.take_lock(ctx, ctx.target.tenant, ctx.target.app_id)
        names = (ctx.profile, ctx.cloud.key, ctx.target.tenant, ctx.target.app_id)
        journal = Journal(paths.journal(*names), ctx.run_id, ctx.clock, ctx.flow.name)
        if (theirs := prerequisites.unfinished(ctx)) is not None:
            raise SetupError("rollback.migration-open", theirs=theirs)
        if journal.resumed:
            raise SetupError("rollback.migration-open", theirs=journal.flow or "migrate")
        return "there is none"


class CheckRights(Step[Context]):
    """Stop early where the signed-in principal, or a policy, certainly allows no password credential."""

    name = "rights"
    title = "Check who may add a secret"
    needs = (facts.Target, facts.SignedIn, facts.AppRegistration)

    def check(self, ctx: Context) -> Status:
        policy = ctx.app.policy
        if not policy.passwords:
            return Blocked(Forbidden(ctx))
        if policy.password_lifetime is not None and policy.password_lifetime < LIFETIME:
            limit, names = policy.password_lifetime, policy.by(PASSWORD_LIFETIME)
            return Blocked(SetupError("rollback.too-long", app=ctx.app.name, policy=names, limit=limit, life=LIFETIME))
        return Needed()

    def apply(self, ctx: Context) -> str:
        reason = directory_roles.may_write(ctx, ctx.app)
        if reason is None:
            user = ctx.facts.get(facts.SignedIn).account.user
            raise SetupError("rollback.rights", user=user, app=ctx.app.name)
        return reason


class Earlier(Step[Context]):
    """See whether an earlier rollback stands: one that works is left alone, an expired one goes."""

    name = "earlier"
    title = "Look for an earlier rollback"
    needs = (facts.Target,)
    maybe = (facts.SignedIn,)
    gives = (facts.OpenRun,)
    updates = (facts.Project, facts.AppRegistration, facts.MachineKey, facts.Proof)

    def apply(self, ctx: Context) -> str:
        journal = rollback_secret.RollbackJournal.of(ctx)
        if journal.complete:
            if rollback_secret.service_time(ctx) < journal.ends:
                ends = rollback_secret.utc(journal.ends)
                raise SetupError("rollback.standing", listing=journal.listing(), ends=ends)
            if not ctx.settings.dry_run:
                rollback_secret.remove_expired(ctx, journal, signed_in=True)
        elif journal.stands:
            message = "An earlier rollback was interrupted; what it left is taken back first."
            ctx.report("journal.resumed", "warning", message)
        ctx.facts.put(facts.OpenRun(journal))
        return f"to be removed: {journal.listing()}" if journal.stands else "there is none"


def _basis(ctx: Context) -> dict[str, object]:
    whole = agreement.basis(ctx, sorted(ctx.app.declared)) | agreement.files(ctx)
    return {name: part for name, part in whole.items() if name not in ("certificate", "keys")}  # they stay


def _question(ctx: Context, plan: Plan) -> Question:
    added = f"One password credential to add to '{ctx.app.name}'"
    text = f"{added}, one secret to write to {ctx.statefile.path}.\nMake these changes?"
    return Question("rollback", text, False, "--yes")


def _refresh(ctx: Context) -> None:
    """The second yes, which names the risk; then read again what the first one was given for."""
    settings, path = ctx.settings, ctx.statefile.path
    if not settings.accept_live_secret:
        if settings.yes:
            raise SetupError("rollback.unaccepted", path=path)
        text = (
            f"For {LIFETIME.seconds // 60} minutes whoever can read {path} can sign in as '{ctx.app.name}', from "
            "anywhere: it holds a live client secret in plain text.\nAccept that?"
        )
        if not ctx.ask(Question("rollback-live-secret", text, False, "--accept-live-secret")):
            raise SetupError("flow.no")
    if settings.yes:
        return  # the answers were given in advance: no time has passed
    agreement.read_app(ctx)
    ctx.facts.put(replace(ctx.project, members=ctx.statefile.read().members))


def summary(ctx: Context, outcome: str) -> Sequence[str]:
    """What was done, until when, and how to end it; only if it is true."""
    if outcome != "changed" or not isinstance(ctx.journal, rollback_secret.RollbackJournal):
        return ()
    member, path = ctx.profile.secret_member, ctx.statefile.path
    end = rollback_secret.utc(ctx.journal.ends)
    return (
        f"{path} holds a new client secret of '{ctx.app.name}' ({member}); the code that reads it there works again.",
        f"It is accepted until {end}, and lies there in plain text until it is removed.",
        "Go back to the certificate at any time: entraclaw-setup migrate",
        "'entraclaw-setup verify' fails until then. Any command removes the secret once it has expired.",
    )


def result(ctx: Context, result: Result) -> dict[str, Any]:
    """The new password credential for `--json`: keyId, end in ISO 8601, and where its secret was written."""
    if result.outcome != "changed":
        return {}
    made = ctx.log.standing(rollback_secret.ADD)[-1].data
    return {"rollback": {"key_id": made["key_id"], "ends": made["ends"], "path": str(ctx.statefile.path)}}


FLOW: Flow[Context] = Flow(
    registry.ROLLBACK,
    look=(
        Stage("prereqs", "Prerequisites", (prerequisites.ReadStateFile(), NoMigration())),
        sign_in.STAGE,
        Stage("review", "Review", (find.FindApp(), CheckRights(), Earlier())),
    ),
    change=(Stage("rollback", "Rollback", (TakeBack(), AddPassword(), WriteSecret(), ProveSecret())),),
    basis=_basis,
    refresh=_refresh,
    question=_question,
    summary=summary,
    open=interrupted.standing,
)
