"""Prints the table of deviations as it is now: `python -m tests.sandbox.genuine`; a new row's reason is `?`."""

from __future__ import annotations

import sys

import requests

from core.sandbox.lab import Lab
from tests.machine import VirtualClock, dating
from tests.sandbox.genuine import replay, table
from tests.sandbox.genuine.pages import Example, examples
from tests.sandbox.genuine.world import World


def _found(example: Example) -> list[str]:
    clock = VirtualClock()
    with dating(clock), requests.Session() as session:
        lab = Lab.start("office", clock=clock, sign_in=False)
        session.verify, session.trust_env = str(lab.ca), False
        try:
            return replay.deviations(World(lab, session), example)
        finally:
            lab.close()


if __name__ == "__main__":
    found = {example.id: _found(example) for example in examples()}
    whole = sum(not texts for texts in found.values())
    sys.stdout.write(f"{len(found)} examples, {whole} answered as documented\n\n{table.render(found)}\n")
