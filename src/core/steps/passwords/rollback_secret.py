"""What a rollback leaves behind: known until it is gone, and removed once it has expired (M10).

The journal of a rollback is a file of its own that outlives its flow. It stays open until neither the app nor the state
file holds the short-lived secret, so every later command knows of it. It holds ids, dates and the hint, no secret.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from core import paths
from core.clock import wait_until
from core.entra import application, credentials
from core.entra.graph import Graph
from core.entra.tokens import mint
from core.errors import InsecureKeyringBackendError, Interrupted, NetworkError, SetupError
from core.events import ChangeMade, Finding
from core.flow.journal import Effect, Journal
from core.flow.step import Done, Needed, PlanRow, Status, Step
from core.machine.state_file import Basis, fail_to_write
from core.steps import directory_roles, facts, prerequisites
from core.steps.context import Context
from core.steps.passwords.delete import REMOVE
from core.steps.state_file.purge import rebase

ADD: Final = "graph.application.addPassword"
WRITE: Final = "statefile.secret"
#: Journalled when the service accepted the new secret: the rollback is complete, nothing of it is undone any more.
ACCEPTED: Final = "secret.accepted"


class RollbackJournal(Journal):
    """A journal whose undertaking ends with its secret and not with its flow."""

    @classmethod
    def of(cls, ctx: Context) -> RollbackJournal:
        """The one of this tenant and app; nothing is written before there is something to write.

        :raises SetupError: `journal.broken`, `journal.io`.
        """
        path = paths.rollback(ctx.profile, ctx.cloud.key, ctx.target.tenant, ctx.target.app_id)
        return cls(path, ctx.run_id, ctx.clock, "rollback", ctx.audit)

    def close(self, outcome: str) -> None:
        """End the undertaking, unless its flow has just succeeded: then the secret stands from now on."""
        if outcome != "changed":
            super().close(outcome)

    def _take(self, entry: dict[str, Any]) -> None:
        """Also refuse what says not what `ends` and `listing` need."""
        super()._take(entry)
        if entry["state"] == "intend" and entry["action"] in (ADD, WRITE):
            datetime.fromisoformat(str(entry["data"]["ends"]))
            _ = entry["data"]["name" if entry["action"] == ADD else "member"]

    @property
    def stands(self) -> bool:
        """Whether something of a rollback is there, or may be."""
        return bool(self.standing(ADD) or self.standing(WRITE))

    @property
    def complete(self) -> bool:
        """Whether the rollback came to its end; an interrupted one is taken back by the next."""
        return self.stands and bool(self.standing(ACCEPTED))

    @property
    def ends(self) -> datetime:
        """When the last of its secrets ends, by the service's clock."""
        effects = self.standing(ADD) + self.standing(WRITE)
        return max(datetime.fromisoformat(str(effect.data["ends"])) for effect in effects)

    def listing(self) -> str:
        """What is there, or may be, in words."""
        files = [f"{effect.data['member']} in {effect.target}" for effect in self.standing(WRITE)]
        return "; ".join([*files, *(describe(effect) for effect in self.standing(ADD))])


def describe(effect: Effect) -> str:
    """A password credential of a rollback, in words."""
    key_id = f", keyId {effect.data['key_id']}" if "key_id" in effect.data else ""
    ends = utc(datetime.fromisoformat(str(effect.data["ends"])))
    return f"password credential '{effect.data['name']}'{key_id}, which ends by itself at {ends}"


def utc(moment: datetime) -> str:
    """A moment as people read it."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def service_time(ctx: Context) -> datetime:
    """The time by the service's clock; asked for if no answer has told it yet.

    :raises NetworkError: there is no answer.
    """
    if not ctx.session.dated:
        path = f"{ctx.target.tenant}/v2.0/.well-known/openid-configuration"
        ctx.session.call("GET", f"{ctx.cloud.authority}/{path}")
    return ctx.clock.now() + timedelta(seconds=ctx.session.skew)


def take_out(ctx: Context, journal: Journal) -> None:
    """Remove the secret from the state file, if the member still begins with its hint, and what a killed write left.

    :raises SetupError: `statefile.*`: it is still there.
    """
    for effect in journal.standing(WRITE):
        file, member, hint = ctx.statefile.at(Path(effect.target)), effect.data["member"], effect.data["hint"]
        for stray in file.strays(member, hint):
            try:
                stray.unlink(missing_ok=True)
            except OSError as error:
                fail_to_write(stray, error)
        before = _basis(ctx, effect)
        if _is_in(before, effect):
            file.update({}, (member,), basis=before)
            if holds(ctx, effect):
                raise SetupError("statefile.changed", path=file.path)
            if file is ctx.statefile:
                rebase(ctx, {}, (member,))
            ctx.emit(ChangeMade("statefile.update", effect.target))
        journal.undone(effect)


def holds(ctx: Context, effect: Effect) -> bool:
    """Whether the state file that an effect names holds its secret."""
    return _is_in(_basis(ctx, effect), effect)


def _basis(ctx: Context, effect: Effect) -> Basis:
    """The member that an effect wrote, as it is now."""
    member = effect.data["member"]
    try:
        return ctx.statefile.at(Path(effect.target)).read().basis.only((member,))
    except SetupError as error:
        if error.id != "statefile.missing":
            raise
        return Basis.of({}, (member,))  # the project is gone, and the secret with it


def _is_in(basis: Basis, effect: Effect) -> bool:
    value = basis.values.get(effect.data["member"])
    return value is not None and value.begins(json.dumps(effect.data["hint"])[:-1])


def take_off(ctx: Context, journal: Journal, graph: Graph, *, patience: float, forget: bool = True) -> None:
    """Remove the password credentials of a rollback from the app, and read that they are gone.

    :param patience: how long after it was made one that is not seen may still show itself, in seconds.
    :param forget: whether one that was never seen is taken for one that never was.
    :raises SetupError: one is still there.
    """
    app = ctx.app

    def seen(effect: Effect) -> list[application.Password] | None:
        return [p for p in application.read_passwords(graph, app) if _is(p, effect)] or None

    def gone(effect: Effect) -> bool | None:
        return True if seen(effect) is None else None

    for effect in journal.standing(ADD):
        age = service_time(ctx) - datetime.fromisoformat(str(effect.data["made"]))
        reason, deadline = "a password credential to be seen, so that it can be removed", patience - age.total_seconds()
        found = wait_until(partial(seen, effect), ctx, reason, expected=10, deadline=max(0.0, deadline))
        for password in found or ():
            credentials.remove_password(graph, app, password)
            ctx.emit(ChangeMade(REMOVE["application"], password.id))
        reason, deadline = "a password credential to disappear", credentials.REPLICATION * 2
        if found and not wait_until(partial(gone, effect), ctx, reason, expected=10, deadline=deadline):
            raise SetupError("rollback.still-there", listing=describe(effect))
        if found or forget:
            journal.undone(effect)


def _is(password: application.Password, effect: Effect) -> bool:
    ours = password.id == effect.data.get("key_id") or password.name == effect.data["name"]
    return ours and password.holder == "application"


def sweep(ctx: Context, *, signed_in: bool) -> None:
    """Remove what an expired rollback left; say what stands, and what could not be removed. For every later command.

    :param signed_in: whether this command may use the Azure CLI's sign-in where the certificate's own token may not.
    """
    try:
        journal = RollbackJournal.of(ctx)
        if not journal.stands:
            return
        if service_time(ctx) < journal.ends:
            ctx.emit(standing(journal))
            return
        prerequisites.take_lock(ctx, ctx.target.tenant, ctx.target.app_id)
        if (journal := RollbackJournal.of(ctx)).stands:  # nobody was faster
            remove_expired(ctx, journal, signed_in=signed_in)
    except Interrupted:
        raise
    except SetupError as error:
        message = f"What a rollback left could not be looked after: {error.summary}"
        ctx.report("rollback.left", "warning", message, error.remedy)


def after(ctx: Context) -> None:
    """`sweep` for a command that runs no flow: it reads the state file first, if there is one."""
    if ctx.statefile.exists():
        prerequisites.ReadStateFile(required=False).apply(ctx)
        if ctx.target.app_id and ctx.target.tenant:
            sweep(ctx, signed_in=True)


def remove_expired(ctx: Context, journal: RollbackJournal, *, signed_in: bool) -> None:
    """Remove an expired secret from file and app, as the certificate if it may, else as the signed-in principal."""
    ended = utc(journal.ends)
    problems: list[SetupError] = []
    try:
        take_out(ctx, journal)
    except SetupError as error:
        problems.append(error)
    identities: list[Callable[[Context], Graph | None]] = [_as_certificate]
    if signed_in:
        identities.append(Context.user_graph)
    for identity in identities:
        try:
            graph = identity(ctx)
            if graph is None:
                continue
            _take_off_expired(ctx, journal, graph)
            break
        except Interrupted:
            raise
        except InsecureKeyringBackendError as error:  # never swallowed (K2)
            ctx.report(error.id, "warning", error.summary, error.remedy)
        except SetupError as error:
            problems.append(error)
    if journal.stands:
        why = "; ".join(dict.fromkeys(error.summary for error in problems)) or "the certificate may not remove it"
        message = f"The secret of a rollback ended at {ended}. Left: {journal.listing()}. It was not removed: {why}"
        ctx.report("rollback.left", "warning", message, "Run 'entraclaw-setup migrate': it removes it.")
        return
    journal.close("expired")
    message = f"The secret of a rollback ended at {ended}; it was removed from the state file and from the app."
    ctx.report("rollback.expired", "info", message)


def _take_off_expired(ctx: Context, journal: RollbackJournal, graph: Graph) -> None:
    app = application.read(graph, ctx.target.app_id)
    if app is not None:
        ctx.update_app(app)
        take_off(ctx, journal, graph, patience=0)
        return
    for effect in journal.standing(ADD):  # it went with its app
        journal.undone(effect)


def _as_certificate(ctx: Context) -> Graph | None:
    """Microsoft Graph as the app itself; None when this machine has no key, or its token certainly may not write."""
    proof = ctx.maybe_proof
    if proof is None:
        entry = ctx.keystore.read(ctx.service, ctx.target.tenant)
        if entry is None:
            return None
        key_pair = ctx.keys.open(entry, ctx.target.tenant)
        ctx.facts.put(facts.MachineKey(key_pair))
        proof = mint(ctx.session, ctx.cloud, ctx.target.tenant, ctx.target.app_id, key_pair)
        ctx.facts.put(facts.Proof(proof))
    may = proof.roles & {directory_roles.WRITE, "Application.ReadWrite.OwnedBy"}
    return ctx.app_graph() if may else None


def standing(journal: RollbackJournal) -> Finding:
    """What to know while the secret of a rollback works."""
    message = f"The secret of a rollback works until {utc(journal.ends)}: {journal.listing()}."
    remedy = "'entraclaw-setup migrate' removes it at once; any command removes it after that time."
    return Finding("rollback.standing", "warning", message, remedy)


class Notice(Step[Context]):
    """Say that a rollback stands; the migration removes it like every other secret."""

    name = "leftover"
    title = "Look for an earlier rollback"
    needs = (facts.Target,)

    def check(self, ctx: Context) -> Status:
        return Needed() if RollbackJournal.of(ctx).stands else Done("there is none")

    def apply(self, ctx: Context) -> str:
        journal = RollbackJournal.of(ctx)
        try:
            expired = service_time(ctx) >= journal.ends
        except NetworkError:
            expired = False
        if not expired:
            ctx.emit(standing(journal))
        return f"one whose secret {'ended' if expired else 'ends'} at {utc(journal.ends)}; this run removes it"


class Sweep(Notice):
    """Remove what an expired rollback left, before a flow that takes no secret looks for one."""

    maybe = (facts.SignedIn,)
    updates = (facts.Project, facts.AppRegistration, facts.MachineKey, facts.Proof)

    def check(self, ctx: Context) -> Status:
        return super().check(ctx) if ctx.target.app_id else Done("there is none")

    def apply(self, ctx: Context) -> str:
        sweep(ctx, signed_in=True)
        if not ctx.statefile.read_or_empty().present:
            ctx.facts.put(replace(ctx.project, secret=None))
        return "looked after"


class Forget(Step[Context]):
    """Close the journal of a rollback, once no password credential is left; the secret may lie in another project."""

    name = "forget"
    title = "Clean up after an earlier rollback"
    needs = (facts.Target,)
    updates = (facts.Project,)

    def check(self, ctx: Context) -> Status:
        return Needed() if RollbackJournal.of(ctx).stands else Done("there was none")

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        elsewhere = [e for e in RollbackJournal.of(ctx).standing(WRITE) if e.target != str(ctx.statefile.path)]
        left = [(effect.data["member"], effect.target) for effect in elsewhere if holds(ctx, effect)]
        return [PlanRow("delete", *where, "the secret of a rollback", "", False, "0600") for where in left]

    def apply(self, ctx: Context) -> str:
        journal = RollbackJournal.of(ctx)
        try:
            take_out(ctx, journal)
        except SetupError as error:  # the migration itself is through
            message = f"Left of a rollback: {journal.listing()}. {error.summary}"
            ctx.report("rollback.left", "warning", message, error.remedy)
            return "a dead secret is left in a file"
        journal.close("migrated")
        return "nothing of it is left"
