"""Where a pictured or tested wizard stands: the demo's ground, in a world that stands still."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from core import assemble
from core.clock import Cancel
from core.entra.http import Session
from core.events import Event, Question, Waiting
from core.machine import prerequisites
from core.machine.python_packages import Package
from core.sandbox.lab import Lab
from core.steps.context import Context
from tests.machine import Machine, VirtualClock, dating
from tests.tui.still import Replicas, Time, Watch, still
from wizard.workspace import Demo

#: What stands on pictures for the port, as wide as one that is given by chance.
PORT: Final = "20443"
PACKAGES: Final = (
    Package("azure-identity", ">=1.25", "1.25.0", ok=True),
    Package("cryptography", ">=44", "44.0.0", ok=True),
    Package("keyring", ">=25.6", "25.6.0", ok=True),
)
#: Everything that changes how Textual draws.
_DRAWN: Final = ("NO_COLOR", "COLORTERM", "TERM", "FORCE_COLOR", "COLUMNS", "LINES")
#: Where the edge of the screen cuts a port or a folder's name.
_PORT: Final = re.compile(r"((?:127\.0\.0\.1|localhost)[:_])(\d{1,5})")
_FOLDER: Final = re.compile(r"(entraclaw-(?:sandbox|demo)-)([a-z0-9_]{1,8})")


class Stand(Demo):
    """A demo's ground, or one that looks like a real machine's.

    :param scenario: of `wizard.workspace.SCENARIOS`, or of the sandbox.
    :param real: show no label and no scenarios.
    :param at_once: the sandbox is there before the wizard.
    :ivar hold_at: a wait whose reason holds this text does not end before `time.release()`.
    :ivar explode: called when a run looks at its tools, to have a bug there.
    :ivar moves: called before a sandbox is started.
    :ivar time: of everybody here.
    """

    def __init__(self, scenario: str = "legacy", *, real: bool = False, at_once: bool = True, **given: Any) -> None:
        self.time = Time()
        self.hold_at = ""
        self.explode: Callable[[], None] | None = None
        self.moves: Callable[[], object] = lambda: None
        self.missing: tuple[prerequisites.Tool, ...] = ()
        super().__init__(given, scenario, at_once=at_once)
        if real:
            self.label, self.scenarios = "", {}

    def move(self, scenario: str) -> None:
        def sandbox(name: str, seed: int) -> Lab:
            return Lab.start(name, seed=seed, clock=Watch(self.time), sign_in=False)

        self.moves()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(assemble, "sandbox", sandbox)
            super().move(scenario)
        tenant = self.lab.tenant
        tenant._replica = Replicas()
        tenant.lag = {}

    def context(self, cancel: Cancel, emit: Callable[[Event], None], ask: Callable[[Question], bool]) -> Context:
        def watched(event: Event) -> None:
            if isinstance(event, Waiting) and self.hold_at and self.hold_at in event.reason:
                self.time.hold()
            emit(event)

        ctx = super().context(cancel, watched, ask)
        ctx.clock = Watch(self.time, cancel)
        ctx.session = Session(ctx.cloud, ctx.clock)
        ctx.chance = Random(1)  # pictures show how long it took
        ctx.run_id = "0123456789ab"
        ctx.machine = "workstation"
        own, missing = ctx.tools(), {tool.name: tool for tool in self.missing}
        seen = tuple(
            missing.get(tool.name) or (replace(tool, found="3.12") if tool.name == prerequisites.PYTHON else tool)
            for tool in own
        )

        def look() -> tuple[prerequisites.Tool, ...]:
            if self.explode is not None:
                self.explode()
            return seen

        ctx.tools, ctx.packages = look, lambda: PACKAGES
        return ctx

    @property
    def machine(self) -> Machine:
        """The tenant and this machine, behind the wizard's back."""
        from core.sandbox.fake_machine.keystore import MemoryKeystore

        assert isinstance(self._keystore, MemoryKeystore)
        return Machine(self.lab, VirtualClock(), self._keystore)

    def normal(self, text: str) -> str:
        """What is left of chance, the port and the names of folders, replaced by something of the same width."""
        tenant, folders = self.lab.tenant, (self.lab.folder, Path(os.environ["HOME"]))
        text = re.sub(rf"(?<!\d){tenant.port}(?!\d)", PORT[: len(str(tenant.port))], text)
        for folder in folders:
            kind, _, chance = folder.name.rpartition("-")
            text = text.replace(chance, "pictures") if kind.startswith("entraclaw-") and len(chance) == 8 else text
        text = _PORT.sub(lambda cut: cut[1] + PORT[: len(cut[2])], text)
        for at in range(1, len(PORT)):  # a line that was broken within the port goes on with the tenant's id
            text = re.sub(rf"(?<!\d){str(tenant.port)[at:]}(?=_{tenant.id[:8]})", PORT[at:], text)
        return _FOLDER.sub(lambda cut: cut[1] + "pictures"[: len(cut[2])], text)

    def release(self) -> None:
        """Let everything go that is held."""
        self.hold_at = ""
        self.time.release()
        for fault in self.lab.tenant.faults.script:
            fault.release()


@contextmanager
def standing(scenario: str = "legacy", **how: Any) -> Iterator[Stand]:
    """A stand in surroundings of its own; those of the process come back afterwards."""
    with pytest.MonkeyPatch.context() as patch, still():
        _surroundings(patch)
        stand = Stand(scenario, **how)
        try:
            with dating(Watch(stand.time)):
                yield stand
        finally:
            stand.release()
            stand.close()


def _surroundings(patch: pytest.MonkeyPatch) -> None:
    before: Mapping[str, str] = dict(os.environ)
    for name in before:  # the demo changes many and brings none back
        patch.setenv(name, before[name])
    for name in ("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        patch.setenv(name, before.get(name, ""))
    for name in ("XDG_RUNTIME_DIR", "LOCALAPPDATA", "NETRC"):
        patch.setenv(name, before.get(name, ""))
    for name in before:
        if name in _DRAWN or name.startswith("TEXTUAL_"):
            patch.delenv(name)
    patch.setattr(tempfile, "tempdir", "/tmp" if Path("/tmp").is_dir() else None)
