"""Remove what was needed on the way: pending and former keystore entries, and a request that was fulfilled."""

from __future__ import annotations

from pathlib import Path

from core.errors import SetupError
from core.events import Finding
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
        gone = [path for path in requests if self._remove(world, path)]
        return f"{len(accounts)} removed" + (", and the request" if gone else "")

    @staticmethod
    def _remove(world: World, path: Path) -> bool:
        """Whether the request is gone; it holds no secret, so a run that did its work does not fail for it."""
        try:
            with world.log.effect("request.delete", str(path), world.emit):
                handoff.remove(path)
        except SetupError as error:
            if error.id != "request.left":
                raise
            world.emit(Finding(error.id, "warning", error.summary, error.remedy))
            return False
        return True
