"""The pieces a flow is made of (ADR-0002).

A step has one effect and looks at reality before it acts, so a re-run converges and a crash needs no special path. The
plan of a run is data (M2): what will change, and a fingerprint over what the yes was given for.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar

from core.events import ChangePlanned

if TYPE_CHECKING:
    from core.clock import Cancel, Clock
    from core.errors import SetupError
    from core.events import Event, Question
    from core.flow.facts import Facts, Kinds, Uses
    from core.flow.journal import Journal
    from core.flow.spec import Command


class Runtime(Protocol):
    """What the engine itself needs of the context.

    :ivar flow: the row of the flow that runs; the engine sets it.
    :ivar facts: what the run knows.
    :ivar cancel: whether somebody asked to stop.
    """

    flow: Command
    facts: Facts
    cancel: Cancel

    @property
    def clock(self) -> Clock:
        """Time."""

    @property
    def journal(self) -> Journal | None:
        """The open journal, once a look step knows tenant and app."""

    def seen_by(self, step: Uses) -> Self:
        """The same for one step, with only those facts that it declares."""

    def emit(self, event: Event) -> None:
        """Report what happened."""

    def ask(self, question: Question) -> bool:
        """Ask a person.

        :raises SetupError: `flow.unasked` when this run may not ask.
        """


W = TypeVar("W", bound=Runtime)


@dataclass(frozen=True)
class Done:
    """Nothing to do; `evidence` says how that is known."""

    evidence: str = ""


@dataclass(frozen=True)
class Needed:
    """The step has to act."""

    why: str = ""


@dataclass(frozen=True)
class Blocked:
    """The step cannot act; a reason with a remedy, never a bare False."""

    error: SetupError


Status = Done | Needed | Blocked


@dataclass(frozen=True)
class Left:
    """Something that could not be undone.

    :param what: what is left, exactly.
    :param how: the command that removes it.
    :param final: nothing can bring it back, and nothing else stands on it: the rest is undone all the same.
    """

    what: str
    how: str
    final: bool = False


#: One change of a plan: the event that shows it.
PlanRow = ChangePlanned


@dataclass(frozen=True)
class Plan:
    """All changes of a run.

    :param basis: what the yes binds to: tenant, app, certificate, permissions, files. Password credentials are not
        part of it, because the yes covers each that is there or appears during the run (M2).
    """

    changes: tuple[PlanRow, ...]
    basis: Mapping[str, Any]

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return all(change.action == "keep" for change in self.changes)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the basis, 16 hexadecimal digits."""
        canonical = json.dumps(self.basis, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class Step(ABC, Generic[W]):
    """One effect.

    What it uses of what the run knows (`core.flow.facts`), its helpers included, it declares by type; the engine holds
    it to that.

    :ivar name: stable name, for events.
    :ivar title: what the user reads.
    :cvar needs: facts that are there when it looks or applies: a step before it gives them.
    :cvar maybe: facts that it only asks for, since "there is none" is an answer.
    :cvar gives: facts that are there when it is through.
    :cvar updates: facts that it may give, replace or drop.
    """

    name: str
    title: str
    needs: ClassVar[Kinds] = ()
    maybe: ClassVar[Kinds] = ()
    gives: ClassVar[Kinds] = ()
    updates: ClassVar[Kinds] = ()

    def check(self, ctx: W) -> Status:
        """Look at reality; a step that only looks does so in `apply`, every time."""
        return Needed()

    def plan(self, ctx: W) -> Sequence[PlanRow]:
        """The changes that `apply` would make; asked only when `check` says Needed."""
        return ()

    @abstractmethod
    def apply(self, ctx: W) -> str:
        """Act, and verify the post-condition.

        :returns: the evidence that it holds.
        :raises SetupError: it could not be done, or the post-condition does not hold.
        """

    def undo(self, ctx: W) -> Left | None:
        """Reverse what the open journal says this step did; nothing when it did nothing.

        :returns: what is left behind, or None when nothing is.
        """
        return None


@dataclass(frozen=True)
class Stage(Generic[W]):
    """Steps under the name of their screen."""

    name: str
    title: str
    steps: tuple[Step[W], ...]


@dataclass(frozen=True)
class Flow(Generic[W]):
    """Stages that look, then a plan, then stages that change.

    :param spec: its row in the registry.
    :param look: read-only stages; they run before the plan and also in a dry run.
    :param change: stages with effects, in order; one of their steps sets the marker.
    :param basis: what the plan's fingerprint is taken over, once the look stages are through.
    :param refresh: reads again what the basis is taken over, if a person took time to think about the plan.
    :param question: the question before the first change.
    :param before_undo: asked when a run fails before the marker. Its answer is an error as a value, which is told and
        not raised: it forbids the undo and becomes the result. None: the undo is safe.
    :param left: what is left, in words, when a run stops after the marker.
    :param summary: the sentences that are true at the end (M7).
    :param open: what an earlier run of the project left open, in words, for a run that stops before it came to that;
        empty if nothing is.
    """

    spec: Command
    look: tuple[Stage[W], ...]
    change: tuple[Stage[W], ...]
    basis: Callable[[W], dict[str, object]]
    refresh: Callable[[W], None]
    question: Callable[[W, Plan], Question]
    summary: Callable[[W, str], Sequence[str]]
    before_undo: Callable[[W, SetupError], SetupError | None] = lambda ctx, error: None
    left: Callable[[W], str] = lambda ctx: ""
    open: Callable[[W], str] = lambda ctx: ""

    @property
    def name(self) -> str:
        """Of its command, in its journals and in its events."""
        return self.spec.name
