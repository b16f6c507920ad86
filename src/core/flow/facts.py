"""What a run knows: facts in a store keyed by their type, and the view of it that one step has.

A fact is a final, frozen dataclass, put in by one step and read by others. So that who writes what has one answer, a
step declares what it uses (`core.flow.step.Step`), and its view raises on anything else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Protocol, TypeVar

F = TypeVar("F")
Kinds = tuple[type[Any], ...]


class Uses(Protocol):
    """What a step declares; `core.flow.step.Step` says what each means."""

    name: str
    needs: ClassVar[Kinds]
    maybe: ClassVar[Kinds]
    gives: ClassVar[Kinds]
    updates: ClassVar[Kinds]


class FactError(Exception):
    """A bug: a step without a fact that it needs, or with one that it does not declare."""


class Facts:
    """The store; at most one fact of each type.

    :param held: the facts of a store, where this is one step's view of it.
    :param step: whose view it is; None: the run's own, which may do everything.
    """

    def __init__(self, held: dict[type[Any], Any] | None = None, step: Uses | None = None) -> None:
        self._held = {} if held is None else held
        self._step = step
        self._who = f"step '{step.name}'" if step is not None else "this run"

    def get(self, kind: type[F]) -> F:
        """A fact that has to be there.

        :raises FactError: it is not, or the step may not know it.
        """
        self._see(kind, "uses", "needs", "gives", "updates")
        if (fact := self.maybe(kind)) is None:
            raise FactError(f"{self._who} needs {kind.__name__}, and it is not there")
        return fact

    def maybe(self, kind: type[F]) -> F | None:
        """A fact where "not yet" is an answer, too."""
        self._see(kind, "asks for", "maybe", "needs", "gives", "updates")
        fact: F | None = self._held.get(kind)
        return fact

    def put(self, fact: object) -> None:
        """Give or replace a fact."""
        self._see(type(fact), "changes", "gives", "updates")
        self._held[type(fact)] = fact

    def drop(self, kind: type[Any]) -> None:
        """Forget a fact."""
        self._see(kind, "drops", "gives", "updates")
        self._held.pop(kind, None)

    def view(self, step: Uses) -> Facts:
        """The same store, as a step may use it."""
        return Facts(self._held, step)

    def check_given(self, step: Uses) -> None:
        """See that a step which is through has given what it gives.

        :raises FactError: it has not.
        """
        for kind in step.gives:
            if kind not in self._held:
                raise FactError(f"step '{step.name}' gives {kind.__name__}, and did not")

    def _see(self, kind: type[Any], verb: str, *declared: str) -> None:
        if self._step is not None and not any(kind in getattr(self._step, name) for name in declared):
            raise FactError(f"{self._who} {verb} {kind.__name__}, and does not declare it")


def check_order(steps: Iterable[Uses]) -> None:
    """See that each step finds what it needs.

    :param steps: in the order in which they run.
    :raises FactError: one needs what no step before it gives.
    """
    given: set[type[Any]] = set()
    for step in steps:
        for kind in step.needs:
            if kind not in given:
                raise FactError(f"step '{step.name}' needs {kind.__name__}, and no step before it gives that")
        given.update(step.gives)
