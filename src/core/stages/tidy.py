"""Remove what was needed on the way: pending and former keystore entries, and a request that was fulfilled."""

from __future__ import annotations

from pathlib import Path

from core.flow.step import Check, Done, Needed, Step
from core.stages import handoff
from core.stages.world import World


class Tidy(Step[World]):
    """Remove pending and former keystore entries, and the request file."""

    name = "tidy"
    title = "Remove pending keystore entries"

    def _accounts(self, world: World) -> list[str]:
        journal, accounts = world.journal, []
        if journal is not None:
            accounts = [effect.target for effect in journal.standing("keystore.write")]
            accounts += [effect.target for effect in journal.standing("keystore.aside")]
        if world.known.bundle is not None:
            accounts.append(world.pending)
        return list(dict.fromkeys(accounts))

    def _requests(self, world: World) -> list[Path]:
        effects = world.journal.standing(handoff.WRITE) if world.journal is not None else []
        return [path for path in dict.fromkeys(Path(effect.target) for effect in effects) if path.exists()]

    def check(self, world: World) -> Check:
        if world.known.bundle is None:
            return Needed()
        left = [a for a in self._accounts(world) if world.keystore.read(world.service, a) is not None]
        return Needed() if left or self._requests(world) else Done("there are none")

    def apply(self, world: World) -> str:
        accounts, requests = self._accounts(world), self._requests(world)
        for account in accounts:
            with world.log.effect("keystore.delete", account, world.emit):
                world.keystore.delete(world.service, account)
        for path in requests:
            with world.log.effect("request.delete", str(path), world.emit):
                path.unlink(missing_ok=True)
        return f"{len(accounts)} removed" + (", and the request" if requests else "")
