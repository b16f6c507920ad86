"""Keystore: validate the backend and prove it with a round trip (K1, K4)."""

from __future__ import annotations

from core.errors import KeystoreError
from core.flow.step import Check, Done, Needed, Stage, Step
from core.machine.keystore import probe
from core.stages.world import World


class ProbeKeystore(Step[World]):
    """A value as large as a key bundle goes in and comes back byte for byte."""

    name = "probe"
    title = "Test the keystore"

    def check(self, world: World) -> Check:
        return Done(world.known.backend) if world.known.backend else Needed()

    def apply(self, world: World) -> str:
        result = probe(world.keystore)
        if not result.ok:
            raise KeystoreError("keystore.probe", verdict=result.verdict, backend=result.backend)
        world.known.backend = result.backend
        return f"{result.backend}: {result.size} characters in and back"


STAGE: Stage[World] = Stage("keystore", "Keystore", (ProbeKeystore(),))
