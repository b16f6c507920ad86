"""The state file of a new app: tenant, app id and thumbprint; the file is made where there is none (P1, M5)."""

from __future__ import annotations

from collections.abc import Sequence

from core.flow.plan import PlanRow
from core.flow.step import Done, Left, Status, Step
from core.steps.context import World
from core.steps.facts import MachineKey, OpenRun, Project, Target
from core.steps.state_file.purge import UPDATE, rebase, replaceable


class Record(Step[World]):
    """Write the ids and the thumbprint."""

    name = "record"
    title = "Write the state file"
    needs = (Target, OpenRun)
    maybe = (MachineKey,)
    updates = (Project,)

    def check(self, world: World) -> Status:
        if world.maybe_key_pair is None or not world.target.app_id:
            return replaceable(world)
        members = world.statefile.read_or_empty().members
        same = all(str(members.get(n, "")).lower() == v.lower() for n, v in self.values(world).items())
        return Done("it names app and certificate") if same else replaceable(world)

    def plan(self, world: World) -> Sequence[PlanRow]:
        where = str(world.statefile.path)
        what = "tenant, app id, thumbprint; no secret"
        return (PlanRow("change", "state file", where, "", what, True, "atomic, 0600"),)

    def apply(self, world: World) -> str:
        file, values = world.statefile, self.values(world)
        missing = not file.exists()
        before = file.read_or_empty().members
        former = {name: before[name] for name in values if isinstance(before.get(name), str)}
        details = {"purged": False, "former": former, "written": values, "missing": missing}
        details["app_id"] = world.target.app_id  # the journal of a new app says so whose key this is
        with world.log.effect(UPDATE, str(file.path), world.emit, **details):
            file.update(values, create=True, basis=world.project.basis)
        rebase(world, values)
        return str(file.path)

    def undo(self, world: World) -> Left | None:
        for effect in reversed(world.log.standing(UPDATE)):
            written, former = effect.data["written"], effect.data["former"]
            now = world.statefile.read_or_empty().members
            ours = [name for name, value in written.items() if now.get(name) == value]
            if effect.data["missing"] and now == written:
                world.statefile.remove()
            elif ours:  # what somebody else wrote meanwhile stays
                back = {name: former[name] for name in ours if name in former}
                world.statefile.update(back, tuple(name for name in ours if name not in back))
            world.log.undone(effect)
        return None

    @staticmethod
    def values(world: World) -> dict[str, str]:
        """Members to set, as far as they are known."""
        profile = world.profile
        cloud = {} if world.cloud.name == "public" else {"CLOUD": world.cloud.name}
        thumbprint = key_pair.thumbprint if (key_pair := world.maybe_key_pair) else ""
        ids = {profile.tenant_member: world.target.tenant, profile.client_id_member: world.target.app_id}
        return cloud | ids | {profile.thumbprint_member: thumbprint}


class Rehearse(Step[World]):
    """See that the state file can be written, before anything is made in the directory."""

    name = "rehearse"
    title = "Check that the state file can be written"
    needs = (Target,)
    maybe = (Project, MachineKey)

    def check(self, world: World) -> Status:
        return Record().check(world)

    def apply(self, world: World) -> str:
        world.statefile.rehearse(Record.values(world), create=True, basis=world.project.basis)
        return f"{world.statefile.path} can be written"
