"""Where the wizard stands: on this machine, or on a sandbox that is thrown away (U8).

It is loaded before anything else, to keep from libraries what they must not read: what takes time, its functions load.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from core.config.options import OPTIONS
from core.flows import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from core.clock import Cancel
    from core.config.settings import Settings
    from core.events import Event, Question
    from core.flow.spec import Command
    from core.machine.azure_cli import SignIn
    from core.machine.keystore.system import Keystore
    from core.machine.python_packages import Package
    from core.recording.writer import Recording
    from core.steps.context import Context

Emit: TypeAlias = "Callable[[Event], None]"
Ask: TypeAlias = "Callable[[Question], bool]"


class Scenario(NamedTuple):
    """What a demo can start with.

    :param text: what a person reads.
    :param seed: the sandbox's scenario.
    :param locked: how often the keystore refuses before it is unlocked.
    :param asked: name of the flow that was asked for, if one was.
    """

    text: str
    seed: str
    locked: int = 0
    asked: str = ""

    @property
    def flow(self) -> str:
        """Name of the flow that is done there."""
        return self.asked or registry.shown(self.seed).name


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "legacy": Scenario("Migrate a machine that has a live client secret", "legacy"),
    "fresh": Scenario("Set up an app registration from nothing", "fresh"),
    "slow": Scenario("Migrate while the directory replicates slowly", "slow"),
    "unprivileged": Scenario("Migrate without the rights for it: an administrator is asked", "unprivileged"),
    "locked": Scenario("Migrate with a locked keystore", "legacy", locked=1),
}


def restrain() -> None:
    """Keep from libraries what they must not read or start; before the first of them is loaded."""
    from core.machine import libraries

    libraries.restrain()


def installed() -> tuple[Package, ...]:
    """The Python packages that this program requires, as they are."""
    from core.machine import python_packages

    return python_packages.look()


def chosen(given: Mapping[str, Any]) -> tuple[str, Command]:
    """Scenario and flow of a demo, each the usual one for the other if it was not given.

    :param given: the command line's options.
    :returns: the scenario's name, or the full path of a scenario file.
    :raises SetupError: `sandbox.file`.
    """
    flow = registry.flow(given["flow"])
    scenario = str(given["scenario"] or (flow or registry.flows()[0]).scenarios[0])
    base = scenario
    if scenario not in SCENARIOS:
        from core import assemble  # requests and all: not before the first frame

        base = assemble.base(scenario)
    if base != scenario:
        scenario = str(Path(scenario).absolute())  # a demo works in a folder of its own
    return scenario, flow or registry.shown(base)


class Workspace(ABC):
    """What the front ends of the wizard need to know of where they stand.

    :ivar settings: of every run that is started here.
    :cvar live: whether runs can be started here.
    :ivar scenarios: what can be chosen, name to description; empty on a real machine.
    :ivar scenario: what was chosen.
    """

    settings: Settings
    live = True
    scenarios: Mapping[str, Scenario] = {}
    scenario = ""

    @property
    def label(self) -> str:
        """Shown on every screen; empty on a real machine. A demo's says that all of it is thrown away."""
        return ""

    def again(self, flow: str = "", *options: str) -> str:
        """The command that leads back here from a shell; empty on a real machine, where every command does.

        :param flow: what was done; empty: what the scenario is for.
        :param options: further ones.
        """
        return ""

    def aside(self, flow: str = "") -> str:
        """What is said beside commands that would find nothing here any more (U10); empty on a real machine.

        :param flow: as in `again`.
        """
        again = self.again(flow)
        told = "Commands named here are for a real machine: what a demo did is gone at its end. The demo again:"
        return f"{told} {again}" if again else ""

    @property
    def ready(self) -> bool:
        """Whether a context can be made; else `start` has to come first."""
        return True

    def start(self) -> None:  # noqa: B027  this machine is there already
        """Make what contexts need; it takes a second or so.

        :raises SetupError: the sandbox cannot be started.
        """

    @abstractmethod
    def context(self, cancel: Cancel, emit: Emit, ask: Ask) -> Context:
        """A context for one run; whoever gets it closes it.

        :raises SetupError: the cloud, the profile or the configuration file cannot be used.
        """

    def recording(self, command: str, now: Callable[[], datetime]) -> Recording | None:
        """What records the next run and the verification that follows it.

        :param command: what runs.
        :param now: the time of an event.
        """
        from core.recording.writer import Recording

        return Recording(command, now, lasting=not self.label)

    def move(self, scenario: str) -> None:
        """Start over on another scenario.

        :raises SetupError: the sandbox cannot be started.
        """
        raise AssertionError("there are no scenarios here")

    def close(self) -> None:  # noqa: B027  this machine has nothing of the kind
        """Remove what was only for this."""


class Local(Workspace):
    """This machine."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def context(self, cancel: Cancel, emit: Emit, ask: Ask) -> Context:
        from core import assemble  # requests and all: not before the first frame

        return assemble.real(self.settings, cancel, emit, ask)


class Demo(Workspace):
    """A sandbox in this process, with a keystore in memory; home and working directory are elsewhere until it closes.

    :param given: the command line's options.
    :param scenario: what to start with: one of `SCENARIOS`, any of the sandbox's own, or a scenario file's full path.
    :param seed: decides ids and secrets; None: the file's, or 1.
    :param at_once: start the sandbox; else whoever shows something first does so with `start`.
    :raises SetupError: `sandbox.missing`, `sandbox.scenario`, `sandbox.file`, `usage.settings`.
    """

    label = "SANDBOX, keystore in memory"

    def __init__(
        self, given: Mapping[str, Any], scenario: str, seed: int | None = None, *, at_once: bool = True
    ) -> None:
        from tempfile import TemporaryDirectory
        from threading import Lock

        from core.config.settings import resolve
        from wizard.demo import isolate

        self.scenarios: Mapping[str, Scenario] = SCENARIOS
        self.scenario = scenario
        self._moving, self._closed = Lock(), False
        self._given, self._seed = dict(given), seed
        self._stack, self._labs = ExitStack(), ExitStack()
        back, environ = Path.cwd(), dict(os.environ)
        isolate(self._stack.enter_context(TemporaryDirectory(prefix="entraclaw-demo-")))
        self._stack.callback(os.chdir, back)
        self._stack.callback(os.environ.update, environ)
        self._stack.callback(os.environ.clear)
        self._keystore: Keystore | None = None
        self._sign_in: SignIn | None = None
        try:
            self.settings = resolve(self._given)
            self._know(scenario)
            if at_once:
                self.start()
        except BaseException:  # nobody else could close what is open by now
            self.close()
            raise

    def again(self, flow: str = "", *options: str) -> str:
        import shlex

        if not self.label:
            return ""
        chosen = self.scenarios[self.scenario]
        words = ["entraclaw-setup", "demo", OPTIONS["scenario"].flag, self.scenario]
        if (flow or chosen.flow) != registry.shown(chosen.seed).name:
            words += [OPTIONS["flow"].flag, flow or chosen.flow]
        if self._seed is not None:
            words += [OPTIONS["seed"].flag, str(self._seed)]
        return shlex.join([*words, *options])

    @property
    def ready(self) -> bool:
        return self._keystore is not None

    def start(self) -> None:
        self.move(self.scenario)

    def move(self, scenario: str) -> None:
        with self._moving:
            if not self._closed:  # else nobody waits for it any more
                self._move(scenario)

    def _know(self, scenario: str) -> Scenario:
        """What is chosen by that name; a menu shows it from then on."""
        if scenario not in self.scenarios:
            from core import assemble

            base = assemble.base(scenario)
            flow = self._given.get("flow") or registry.shown(base).name
            other = Scenario(assemble.scenarios().get(base, base), scenario, asked=flow)
            self.scenarios = {**self.scenarios, scenario: other}
        return self.scenarios[scenario]

    def _move(self, scenario: str) -> None:
        from core import assemble
        from core.config.settings import resolve

        chosen = self._know(scenario)
        lab = assemble.sandbox(chosen.seed, self._seed)
        self.scenario = scenario
        self._labs.close()
        self._labs.callback(lab.close)
        self.lab = lab
        self.settings = resolve(self._given | {"project": str(lab.project), "cloud": str(lab.cloud_file)})
        self._sign_in = None
        self._keystore = lab.keystore(chosen.locked)
        lab.move_in()

    def context(self, cancel: Cancel, emit: Emit, ask: Ask) -> Context:
        from core import assemble

        assert self._keystore is not None
        ctx = assemble.pretend(self.lab, self.settings, cancel, emit, ask)
        ctx.keystore = self._keystore
        self._sign_in = ctx.sign_in = self._sign_in or ctx.sign_in  # who has signed out stays so
        return ctx

    def close(self) -> None:
        with self._moving:  # a sandbox that is being started is there soon, and goes too
            self._closed = True
            self._labs.close()
        self._stack.close()
