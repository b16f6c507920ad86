"""The only composition root: `real` for this machine, `pretend` for the sandbox inside this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from core import paths
from core.audit.log import AuditLog
from core.clock import Cancel, SystemClock
from core.config import cloud as clouds
from core.config import profile as profiles
from core.config.settings import Settings
from core.entra.http import Session
from core.entra.keys import Keys
from core.errors import SetupError
from core.events import Event, Question
from core.flow.facts import Facts
from core.machine import environment, own_folder, prerequisites, python_packages
from core.machine.azure_cli import AzureCli
from core.machine.keys.detect import detect
from core.machine.keystore import allowlist
from core.machine.keystore.system import SystemKeystore
from core.machine.state_file import StateFile
from core.steps.context import Context

if TYPE_CHECKING:
    from core.sandbox.lab import Lab

#: Where the original's runbook told people to put a copy of the state file.
SCRATCH: Final = (Path("/tmp"),) if os.name == "posix" else ()  # noqa: S108  nothing is made there


def real(settings: Settings, cancel: Cancel, emit: Callable[[Event], None], ask: Callable[[Question], bool]) -> Context:
    """The context of a run on this machine.

    :raises SetupError: the cloud, the profile or the configuration file cannot be used.
    """
    untrusted = (Path.cwd(), settings.folder)
    allowed = allowlist.read(settings.allow_keyring_backend, os.environ, paths.config_file(untrusted))
    cloud = clouds.load(settings.cloud)
    profile = profiles.of(settings)
    if os.environ.get("XDG_STATE_HOME"):
        paths.refuse_inside(paths.state_folder(profile), untrusted)
    own_folder.settle(profile)
    clock = SystemClock(cancel)
    lock = paths.state_folder(profile) / "locks" / "statefile.lock"
    run_id, store = uuid4().hex[:12], Facts()
    audit = AuditLog(paths.audit(profile), run_id, clock, store)
    return Context(
        settings=settings,
        profile=profile,
        cloud=cloud,
        clock=clock,
        cancel=cancel,
        session=Session(cloud, clock, cancel, emit, audit),
        sign_in=AzureCli(cloud, untrusted, cancel, audit=audit),
        keystore=SystemKeystore(cancel=cancel, emit=emit, allowlist=allowed, audit=audit),
        keys=Keys(),
        statefile=StateFile(settings.folder / profile.state_file, lock, profile),
        emitter=emit,
        asker=ask,
        untrusted=untrusted,
        tools=cache(partial(prerequisites.look, untrusted, cancel, own_keystore=not allowed)),
        hardware=cache(detect),
        packages=cache(python_packages.look),
        run_id=run_id,
        audit=audit,
        store=store,
        scratch=SCRATCH,
        lifetime=environment.evidence(os.environ, Path("/")),
    )


def scenarios() -> dict[str, str]:
    """What a sandbox can start with: names, and what each holds."""
    from core.sandbox.scenarios.catalogue import SCENARIOS

    return {name: scenario.summary for name, scenario in SCENARIOS.items()}


def base(scenario: str) -> str:
    """The scenario that a scenario file builds on; any other name as it is.

    :raises SetupError: `sandbox.file`.
    """
    if "." not in scenario and os.sep not in scenario:
        return scenario  # without a look at the sandbox, which may not be installed
    from core.sandbox.scenarios import file

    return file.read(scenario).base if file.is_file(scenario) else scenario


def sandbox(
    scenario: str,
    seed: int | None = None,
    port: int = 0,
    latency: float = 0.0,
    user: str = "",
    proxy: bool = False,
) -> Lab:
    """A running sandbox.

    :param scenario: name of a scenario, or the path of a scenario file.
    :param seed: None: the file's, or 1.
    :param latency: seconds before every answer.
    :param user: who is signed in, instead of the scenario's user.
    :param proxy: also under the public cloud's names, through a proxy on loopback.
    :raises SetupError: `sandbox.missing`: the extra is not installed; `sandbox.scenario`, `sandbox.file`;
        `usage.settings`: the user, the port.
    """
    try:
        from core.sandbox.lab import Lab
    except ModuleNotFoundError as error:
        if error.name not in ("aiohttp", "jwt"):
            raise
        raise SetupError("sandbox.missing", detail=error.name) from None
    return Lab.start(scenario, seed=seed, port=port, latency=latency, user=user, proxy=proxy)


def pretend(
    lab: Lab,
    settings: Settings,
    cancel: Cancel,
    emit: Callable[[Event], None],
    ask: Callable[[Question], bool],
    *,
    signed_in: bool = True,
) -> Context:
    """The world of a demo: the sandbox's cloud and computer, with its keystore in memory (U8).

    :param signed_in: whether somebody is signed in already.
    """
    from core.sandbox.fake_machine import machine
    from core.sandbox.fake_machine.az import HARDWARE, SandboxSignIn, tools_of

    ctx = real(settings, cancel, emit, ask)
    ctx.sign_in = SandboxSignIn(lab.tenant, ctx.cloud, signed_in=signed_in, fault=lab.machine.az)
    ctx.tools = partial(tools_of, lab.machine)
    ctx.hardware = lambda: HARDWARE
    ctx.packages = partial(machine.packages, lab.machine)
    ctx.keystore = lab.keystore()
    ctx.scratch = (lab.folder,)
    ctx.lifetime = ()  # nothing of a demo is to outlive it
    return ctx
