"""Hardware key: what will hold the private key (T1). Detection comes later; until then this says what is true today."""

from __future__ import annotations

from core.flow.step import Check, Done, Stage, Step
from core.stages.world import World


class ChooseHolder(Step[World]):
    """Say what will hold the private key, and what that does and does not protect against."""

    name = "holder"
    title = "Choose what holds the private key"

    def check(self, world: World) -> Check:
        return Done(
            "a software key in the keystore. Hardware is not looked for in this version. "
            "This keeps the key from whoever reads files, not from programs that run as you."
        )

    def apply(self, world: World) -> str:
        raise AssertionError("it has nothing to apply")


STAGE: Stage[World] = Stage("hardware", "Hardware key", (ChooseHolder(),))
