"""The state file: the secret out, the certificate's thumbprint in, in one atomic write (M4, M7)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from core.errors import SetupError
from core.flow.plan import Change
from core.flow.step import Blocked, Check, Done, Needed, Step
from core.secret import looks_secret
from core.stages.world import World


class Purge(Step[World]):
    """Remove the secret, and copies of it under other names; record the thumbprint."""

    name = "purge"
    title = "Purge the secret from the state file"

    @staticmethod
    def change(world: World) -> tuple[dict[str, str], tuple[str, ...]]:
        """Members to set, and members to remove."""
        profile, known = world.profile, world.known
        values = {
            profile.tenant_member: known.tenant,
            profile.client_id_member: known.app_id,
            profile.thumbprint_member: world.bundle.thumbprint,
        }
        return values, secret_members(world)

    def check(self, world: World) -> Check:
        members = world.statefile.read()
        if world.known.bundle is None or secret_members(world):
            return replaceable(world)
        for name, value in self.change(world)[0].items():
            if str(members.get(name, "")).lower() != value.lower():
                return replaceable(world)
        return Done(f"it holds no {world.profile.secret_member}, and names the certificate")

    def plan(self, world: World) -> Sequence[Change]:
        profile, path, how = world.profile, str(world.statefile.path), "atomic replace, 0600"
        changes = [Change("change", profile.thumbprint_member, path, "", "the certificate's thumbprint", False, how)]
        for name in reversed(secret_members(world)):
            what = "the client secret" if name == profile.secret_member else "a copy of the client secret"
            changes.insert(0, Change("delete", name, path, what, "", False, how))
        return changes

    def apply(self, world: World) -> str:
        values, remove = self.change(world)
        with world.log.effect("statefile.update", str(world.statefile.path), world.emit, purged=bool(remove)):
            world.statefile.update(values, remove)
            if secret_members(world):
                raise SetupError("statefile.changed", path=world.statefile.path)
        gone = world.profile.secret_member if lookalikes(world) else "the secret"
        return f"{gone} is gone from it" if remove else "thumbprint recorded"


def replaceable(world: World) -> Check:
    """Whether the state file, which has to be written, can be: told with the plan, before anything is changed."""
    try:
        world.statefile.check_replaceable()
    except SetupError as error:
        return Blocked(error)
    return Needed()


def secret_members(world: World) -> tuple[str, ...]:
    """Members of the state file, as it is now, that hold the secret: its own, whatever it holds, and exact copies."""
    secret = world.known.secret
    return tuple(
        name
        for name, value in world.statefile.read_or_empty().items()
        if name == world.profile.secret_member
        or (secret is not None and isinstance(value, str) and value.strip() == secret.reveal())
    )


def lookalikes(world: World) -> tuple[str, ...]:
    """Members that stay in the state file although they look like a secret, in their name or their value."""
    members = world.statefile.read_or_empty()
    return tuple(name for name, value in members.items() if looks_secret(json.dumps({name: value})))
