"""The state file: the secret out, the certificate's thumbprint in, in one atomic write (M4, M7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from core.errors import SetupError
from core.flow.step import Blocked, Done, Needed, PlanRow, Status, Step
from core.steps import facts
from core.steps.context import Context

UPDATE: Final = "statefile.update"


class Purge(Step[Context]):
    """Remove the secret, and copies of it under other names; record the thumbprint."""

    name = "purge"
    title = "Purge the secret from the state file"
    needs = (facts.Target, facts.OpenRun, facts.MachineKey)
    updates = (facts.Project,)

    @classmethod
    def change(cls, ctx: Context) -> tuple[dict[str, str], tuple[str, ...]]:
        """Members to set, and members to remove."""
        return cls._values(ctx), secret_members(ctx)

    @staticmethod
    def _values(ctx: Context) -> dict[str, str]:
        profile = ctx.profile
        return {
            profile.tenant_member: ctx.target.tenant,
            profile.client_id_member: ctx.target.app_id,
            profile.thumbprint_member: ctx.key_pair.thumbprint,
        }

    def check(self, ctx: Context) -> Status:
        contents = ctx.statefile.read()
        if ctx.maybe_key_pair is None or contents.holding(ctx.project.secret):
            return replaceable(ctx)
        for name, value in self._values(ctx).items():
            if str(contents.members.get(name, "")).lower() != value.lower():
                return replaceable(ctx)
        return Done("it holds no secret and names the certificate")

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        profile, path, how = ctx.profile, str(ctx.statefile.path), "atomic replace, 0600"
        changes = [PlanRow("change", profile.thumbprint_member, path, "", "the certificate's thumbprint", False, how)]
        for name in reversed(secret_members(ctx)):
            what = "the client secret" if name == profile.secret_member else "a copy of the client secret"
            changes.insert(0, PlanRow("delete", name, path, what, "", False, how))
        return changes

    def apply(self, ctx: Context) -> str:
        values, remove = self.change(ctx)
        with ctx.log.effect(UPDATE, str(ctx.statefile.path), ctx.emit, purged=bool(remove)):
            ctx.statefile.update(values, remove, basis=ctx.project.basis)
            if secret_members(ctx):
                raise SetupError("statefile.changed", path=ctx.statefile.path)
        rebase(ctx, values, remove)
        return f"{ctx.profile.secret_member} is gone from it" if remove else "thumbprint recorded"


def purged(ctx: Context) -> bool:
    """Whether the undertaking removed the secret from the state file, in any of its runs."""
    return ctx.journal is not None and any(effect.data["purged"] for effect in ctx.journal.did(UPDATE))


def rebase(ctx: Context, values: Mapping[str, str], remove: Collection[str] = ()) -> None:
    """Remember a change of our own to the state file, so that it is not taken for somebody else's."""
    basis = ctx.project.basis
    if basis is not None:
        ctx.facts.put(replace(ctx.project, basis=basis.after(values, remove)))


def replaceable(ctx: Context) -> Status:
    """Whether the state file, which has to be written, can be: told with the plan, before anything is changed."""
    try:
        ctx.statefile.check_replaceable()
    except SetupError as error:
        return Blocked(error)
    return Needed()


def secret_members(ctx: Context) -> tuple[str, ...]:
    """Members of the state file, as it is now, that hold the secret: its own, whatever it holds, and exact copies."""
    return ctx.statefile.read_or_empty().holding(ctx.project.secret)
