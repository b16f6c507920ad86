"""The state file of a new app: tenant, app id and thumbprint; the file is made where there is none (P1, M5)."""

from __future__ import annotations

from collections.abc import Sequence

from core.flow.step import Done, Left, PlanRow, Status, Step
from core.steps import facts
from core.steps.context import Context
from core.steps.state_file.purge import UPDATE, rebase, replaceable


class Record(Step[Context]):
    """Write the ids and the thumbprint."""

    name = "record"
    title = "Write the state file"
    needs = (facts.Target, facts.OpenRun)
    maybe = (facts.MachineKey,)
    updates = (facts.Project,)

    def check(self, ctx: Context) -> Status:
        if ctx.maybe_key_pair is None or not ctx.target.app_id:
            return replaceable(ctx)
        members = ctx.statefile.read_or_empty().members
        same = all(str(members.get(n, "")).lower() == v.lower() for n, v in self.values(ctx).items())
        return Done("it names app and certificate") if same else replaceable(ctx)

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        where = str(ctx.statefile.path)
        what = "tenant, app id, thumbprint; no secret"
        return (PlanRow("change", "state file", where, "", what, True, "atomic, 0600"),)

    def apply(self, ctx: Context) -> str:
        file, values = ctx.statefile, self.values(ctx)
        missing = not file.exists()
        before = file.read_or_empty().members
        former = {name: before[name] for name in values if isinstance(before.get(name), str)}
        details = {"purged": False, "former": former, "written": values, "missing": missing}
        details["app_id"] = ctx.target.app_id  # the journal of a new app says so whose key this is
        with ctx.log.effect(UPDATE, str(file.path), ctx.emit, **details):
            file.update(values, create=True, basis=ctx.project.basis)
        rebase(ctx, values)
        return str(file.path)

    def undo(self, ctx: Context) -> Left | None:
        for effect in reversed(ctx.log.standing(UPDATE)):
            written, former = effect.data["written"], effect.data["former"]
            now = ctx.statefile.read_or_empty().members
            ours = [name for name, value in written.items() if now.get(name) == value]
            if effect.data["missing"] and now == written:
                ctx.statefile.remove()
            elif ours:  # what somebody else wrote meanwhile stays
                back = {name: former[name] for name in ours if name in former}
                ctx.statefile.update(back, tuple(name for name in ours if name not in back))
            ctx.log.undone(effect)
        return None

    @staticmethod
    def values(ctx: Context) -> dict[str, str]:
        """Members to set, as far as they are known."""
        profile = ctx.profile
        cloud = {} if ctx.cloud.name == "public" else {"CLOUD": ctx.cloud.name}
        thumbprint = key_pair.thumbprint if (key_pair := ctx.maybe_key_pair) else ""
        ids = {profile.tenant_member: ctx.target.tenant, profile.client_id_member: ctx.target.app_id}
        return cloud | ids | {profile.thumbprint_member: thumbprint}


class Rehearse(Step[Context]):
    """See that the state file can be written, before anything is made in the directory."""

    name = "rehearse"
    title = "Check that the state file can be written"
    needs = (facts.Target,)
    maybe = (facts.Project, facts.MachineKey)

    def check(self, ctx: Context) -> Status:
        return Record().check(ctx)

    def apply(self, ctx: Context) -> str:
        ctx.statefile.update(Record.values(ctx), create=True, basis=ctx.project.basis, really=False)
        return f"{ctx.statefile.path} can be written"
