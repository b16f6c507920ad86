"""The state file: the secret out, the certificate's thumbprint in, in one atomic write (M4, M7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from core.errors import SetupError
from core.flow.plan import PlanRow
from core.flow.step import Blocked, Done, Needed, Status, Step
from core.steps.context import World
from core.steps.facts import MachineKey, OpenRun, Project, Target

UPDATE: Final = "statefile.update"


class Purge(Step[World]):
    """Remove the secret, and copies of it under other names; record the thumbprint."""

    name = "purge"
    title = "Purge the secret from the state file"
    needs = (Target, OpenRun, MachineKey)
    updates = (Project,)

    @classmethod
    def change(cls, world: World) -> tuple[dict[str, str], tuple[str, ...]]:
        """Members to set, and members to remove."""
        return cls._values(world), secret_members(world)

    @staticmethod
    def _values(world: World) -> dict[str, str]:
        profile = world.profile
        return {
            profile.tenant_member: world.target.tenant,
            profile.client_id_member: world.target.app_id,
            profile.thumbprint_member: world.key_pair.thumbprint,
        }

    def check(self, world: World) -> Status:
        contents = world.statefile.read()
        if world.maybe_key_pair is None or contents.holding(world.project.secret):
            return replaceable(world)
        for name, value in self._values(world).items():
            if str(contents.members.get(name, "")).lower() != value.lower():
                return replaceable(world)
        return Done("it holds no secret and names the certificate")

    def plan(self, world: World) -> Sequence[PlanRow]:
        profile, path, how = world.profile, str(world.statefile.path), "atomic replace, 0600"
        changes = [PlanRow("change", profile.thumbprint_member, path, "", "the certificate's thumbprint", False, how)]
        for name in reversed(secret_members(world)):
            what = "the client secret" if name == profile.secret_member else "a copy of the client secret"
            changes.insert(0, PlanRow("delete", name, path, what, "", False, how))
        return changes

    def apply(self, world: World) -> str:
        values, remove = self.change(world)
        with world.log.effect(UPDATE, str(world.statefile.path), world.emit, purged=bool(remove)):
            world.statefile.update(values, remove, basis=world.project.basis)
            if secret_members(world):
                raise SetupError("statefile.changed", path=world.statefile.path)
        rebase(world, values, remove)
        return f"{world.profile.secret_member} is gone from it" if remove else "thumbprint recorded"


def purged(world: World) -> bool:
    """Whether the undertaking removed the secret from the state file, in any of its runs."""
    return world.journal is not None and any(effect.data["purged"] for effect in world.journal.did(UPDATE))


def rebase(world: World, values: Mapping[str, str], remove: Collection[str] = ()) -> None:
    """Remember a change of our own to the state file, so that it is not taken for somebody else's."""
    basis = world.project.basis
    if basis is not None:
        world.facts.put(replace(world.project, basis=basis.after(values, remove)))


def replaceable(world: World) -> Status:
    """Whether the state file, which has to be written, can be: told with the plan, before anything is changed."""
    try:
        world.statefile.check_replaceable()
    except SetupError as error:
        return Blocked(error)
    return Needed()


def secret_members(world: World) -> tuple[str, ...]:
    """Members of the state file, as it is now, that hold the secret: its own, whatever it holds, and exact copies."""
    return world.statefile.read_or_empty().holding(world.project.secret)
