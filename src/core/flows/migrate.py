"""Migrate from client secret to certificate: the order of M4, all or nothing as in M5 (ADR-0003)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from core.clock import wait_until
from core.config.profile import BUILT_IN
from core.entra.tokens import try_secret
from core.errors import SetupError
from core.events import Question
from core.flow.engine import Result
from core.flow.step import Done, Flow, Needed, Plan, Stage, Status, Step
from core.flows import agreement, interrupted, registry
from core.machine import exposed_key
from core.steps import facts, hardware, keystore, older_app, prerequisites, sign_in
from core.steps.app import find
from core.steps.app_management_policy import Lock
from core.steps.app_permissions import GrantRoles
from core.steps.certificate.certificate import Adopt, Prove, Register, StoreKey
from core.steps.certificate.clean_up import CleanUp
from core.steps.certificate.exposed import RetireExposed, TellOfExposed
from core.steps.context import Context
from core.steps.hand_off import handoff
from core.steps.passwords import delete, rollback_secret
from core.steps.result import CheckResult
from core.steps.state_file import copies
from core.steps.state_file.backup import Backup
from core.steps.state_file.purge import Purge, purged, secret_members

#: Journalled when the service refused the old secret.
REFUSED: Final = "secret.refused"


class SecretIsDead(Step[Context]):
    """Prove that the old secret is refused; any other answer is said to be inconclusive."""

    name = "secret-dead"
    title = "Prove that the old secret is refused"
    needs = (facts.Target, facts.OpenRun)
    maybe = (facts.Project,)
    updates = (facts.SecretUnproven,)

    def check(self, ctx: Context) -> Status:
        if ctx.project.secret:
            return Needed()
        if purged(ctx) and not ctx.log.standing(REFUSED):
            why = "an earlier run purged it before that was proven, so it cannot be asked any more"
            ctx.facts.put(facts.SecretUnproven(why))
            return Done(f"not proven: {why}")
        return Done("no old secret is known to this run")

    def apply(self, ctx: Context) -> str:
        assert ctx.project.secret is not None
        secret = ctx.project.secret
        last = try_secret(ctx.session, ctx.cloud, ctx.target.tenant, ctx.target.app_id, secret)

        def not_live() -> bool | None:
            nonlocal last
            last = try_secret(ctx.session, ctx.cloud, ctx.target.tenant, ctx.target.app_id, secret)
            return None if last.state == "live" else True

        reason, deadline = "the deletion of the old secret to spread", delete.DELETION_DEADLINE
        if last.state == "live" and not wait_until(not_live, ctx, reason, expected=30, deadline=deadline):
            raise SetupError("migrate.secret-alive", minutes=round(deadline / 60))
        if last.state == "unknown":
            ctx.facts.put(facts.SecretUnproven(last.detail))
            message = f"Whether the old secret is dead could not be proven: {last.detail}"
            ctx.report("secret.inconclusive", "warning", message)
            return f"inconclusive ({last.detail})"
        with ctx.log.effect(REFUSED, ctx.target.app_id):
            return f"refused ({last.detail})"


def _basis(ctx: Context) -> dict[str, object]:
    return agreement.basis(ctx, sorted(ctx.app.declared)) | agreement.files(ctx) | older_app.basis(ctx)


def _refresh(ctx: Context) -> None:
    if not ctx.settings.yes:  # else the answer was given in advance: no time has passed
        agreement.read_app(ctx, begun=True)
        ctx.facts.put(replace(ctx.project, members=ctx.statefile.read().members))


def _question(ctx: Context, plan: Plan) -> Question:
    if handoff.needed(ctx):
        return handoff.question(ctx)
    rows = [(change.action, change.what) for change in plan.changes]
    irreversible = sum(1 for change in plan.changes if not change.reversible and change.action == "delete")
    passwords, retired = rows.count(("delete", "password credential")), rows.count(("delete", "certificate"))
    of_older = sum(change.what.endswith(older_app.OF_OLDER) for change in plan.changes)
    files = irreversible - passwords - retired - of_older
    also = f", {retired} of this machine to remove" if retired else ""
    added, kept = rows.count(("add", "certificate")), rows.count(("keep", "certificate"))
    deleted = f"{passwords} password credential(s) and {files} secret(s) in a file to delete."
    deleted += f" {of_older} of the older app to delete." if of_older else ""
    counted = f"{added} certificate to add, {kept} to keep{also}; {deleted}"
    note = f" {irreversible} of them cannot be undone." if irreversible else ""
    return Question("migrate", f"{counted}\nMake these changes?{note}", False, "--yes")


def _left(ctx: Context) -> str:
    """What is left after the point of no return, as far as this run knows."""
    left, unread = [], " Which password credentials are left on the app was not read by this run."
    if ctx.journal is not None and ctx.maybe_app is not None:
        unread = ""
        effects = ctx.journal.standing(*delete.REMOVE.values())
        gone = {effect.data["key_id"] for effect in effects if effect.state == "done"}
        passwords = [password for password in ctx.facts.get(facts.AppRegistration).initial if password.id not in gone]
        left += [f"password credential {password}" for password in passwords]
    try:
        left += [f"{name} in {ctx.statefile.path}" for name in secret_members(ctx)]
        left += [f"{', '.join(copy.members)} in {copy.path}" for copy in copies.holding(ctx)]
        left += [f"the key in {path}"] if (path := exposed_key.find(ctx.profile, ctx.target.tenant)) else []
        agreed = (older := ctx.facts.maybe(facts.OlderApp)) is not None and older.agreed
        left += [told] if agreed and (told := older_app.what_is_left(ctx)) else []
    except SetupError as error:
        left.append(error.summary)
    none = "" if unread else "Nothing that can sign in is known to be left."
    told = "Left: " + "; ".join(left) + "." if left else none
    return f"{told}{unread} The certificate was proven before the first deletion.".lstrip()


def _before_undo(ctx: Context, error: SetupError) -> SetupError | None:
    """What forbids the undo (`Flow.before_undo`)."""
    return handoff.before_undo(ctx, error) or delete.vanished(ctx, error)


def summary(ctx: Context, outcome: str) -> Sequence[str]:
    """The sentences of M7, each only if it is true."""
    profile = ctx.profile
    if outcome not in ("changed", "unchanged"):
        return ()
    deleted, secret_purged = delete.removed(ctx), purged(ctx)
    on_app, on_principal = (deleted.get(holder, 0) for holder in delete.REMOVE)
    first = []
    if on_app or on_principal or secret_purged:
        first.append(f"Migrated {_subject(ctx)} from secret-auth to cert-auth.")
    if on_app:
        first.append(f"{on_app} password credential{'s' * (on_app > 1)} removed from the app registration.")
    if secret_purged:
        first.append(f"{profile.secret_member} purged from state file.")
    sentences = [" ".join(first)] if first else []
    if not first and outcome == "unchanged":
        nothing = "signs in with its certificate, and no password credential is left."
        sentences.append(f"Nothing to do: {_subject(ctx)} {nothing}")
    if on_principal:
        word = f"password credential{'s' * (on_principal > 1)}"
        sentences.append(f"{on_principal} {word} removed from its service principal.")
    if of_copies := copies.purged(ctx):
        word = "copies" if of_copies > 1 else "copy"
        sentences.append(f"The client secret was purged from {of_copies} {word} of the state file.")
    if (unproven := ctx.facts.maybe(facts.SecretUnproven)) is not None:
        sentences.append(f"Whether the old secret is refused was NOT proven: {unproven.why}.")
    if on_app or on_principal:
        sentences.append("Tokens that were issued before live until they expire, about an hour at most.")
    sentences += [keystore.fix(file) for file in ctx.keystore_findings.weak if file.holds(ctx.target.tenant)]
    if (key_pair := ctx.maybe_key_pair) is not None:
        end = key_pair.not_after.date()
        sentences.append(f"The certificate {key_pair.thumbprint} is valid until {end}.")
    return [*sentences, *older_app.sentences(ctx)]


def result(ctx: Context, result: Result) -> dict[str, Any]:
    """For `--json`: how many password credentials were removed, by holder, and what became of the old secret."""
    unproven = ctx.facts.maybe(facts.SecretUnproven)
    why = unproven.why if unproven is not None else ""
    return {"removed": delete.removed(ctx), "purged": purged(ctx), "secret_refusal_unproven": why}


def _subject(ctx: Context) -> str:
    """The app by its real name; one that bears the product's own is the Provisioner."""
    name = app.name if (app := ctx.maybe_app) is not None else ctx.profile.app_display_name
    return "Provisioner" if name in {profile.app_display_name for profile in BUILT_IN.values()} else f"'{name}'"


_CHANGE: Final[tuple[Step[Context], ...]] = (
    StoreKey(),
    handoff.HandOff(),
    Register(),
    GrantRoles(),
    Prove(),
    Adopt(),
    delete.CheckDeletion(),
    Backup(),
    delete.Mark(),
    delete.DeletePasswords(),
    delete.TwoCleanReads(),
    delete.ProveAfterDeletion(),
    Purge(),
    SecretIsDead(),
    copies.PurgeCopies(),
    CleanUp(),
    Lock(),
    rollback_secret.Forget(),
    RetireExposed(),
    older_app.RetireOlder(),
    delete.LastLook(),
    CheckResult(clean=True),
)
FLOW: Flow[Context] = Flow(
    registry.MIGRATE,
    look=(
        prerequisites.STAGE,
        sign_in.STAGE,
        keystore.STAGE,
        hardware.STAGE,
        replace(
            find.STAGE,
            steps=(
                *find.STAGE.steps,
                copies.TellOfCopies(),
                TellOfExposed(),
                older_app.FindOlder(),
                rollback_secret.Notice(),
            ),
        ),
    ),
    change=(Stage("migrate", "Migration", _CHANGE),),
    basis=_basis,
    refresh=_refresh,
    question=_question,
    before_undo=_before_undo,
    left=_left,
    summary=summary,
    open=interrupted.standing,
)
