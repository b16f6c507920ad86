"""What a run knows: the store, the views that hold a step to what it declares, and the order of a flow's steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import pytest

from core.flow.engine import Result, run
from core.flow.facts import FactError, Facts
from tests.machine import VirtualClock
from tests.unit.pretend import Add, World, flow


@final
@dataclass(frozen=True)
class Found:
    what: str


@final
@dataclass(frozen=True)
class Key:
    thumbprint: str


@pytest.fixture
def world(tmp_path: Path, clock: VirtualClock) -> World:
    return World(tmp_path / "journal.jsonl", clock)


class Finds(Add):
    """Gives a fact, and opens the journal like every first look."""

    gives = (Found,)

    def apply(self, world: World) -> str:
        world.facts.put(Found("an app"))
        return super().apply(world)


class Uses(Add):
    needs = (Found,)
    maybe = (Key,)

    def apply(self, world: World) -> str:
        world.did.append(world.facts.get(Found).what)
        return super().apply(world)


def test_a_fact_is_there_under_its_type_until_it_is_dropped() -> None:
    facts = Facts()
    assert facts.maybe(Found) is None
    facts.put(Found("a"))
    facts.put(Found("b"))
    assert facts.get(Found) == Found("b")
    facts.drop(Found)
    with pytest.raises(FactError, match="this run needs Found"):
        facts.get(Found)


def test_what_one_step_gives_the_next_one_gets(world: World) -> None:
    assert run(flow(Finds("find"), Uses("use")), world, "r").exit_code == 0
    assert world.did == ["ask", "find", "an app", "use"]
    assert world.facts.get(Found) == Found("an app")  # outside of a step everything is seen


def test_two_steps_swapped_are_named_with_the_fact_before_anything_runs(world: World) -> None:
    with pytest.raises(FactError, match="step 'use' needs Found, and no step before it gives that"):
        run(flow(Uses("use"), Finds("find")), world, "r")
    assert (world.did, world.events) == ([], [])


ACTS: dict[str, tuple[Callable[[Facts], object], str]] = {
    "gets": (lambda facts: facts.get(Key), "step 'odd' uses Key, and does not declare it"),
    "asks": (lambda facts: facts.maybe(Key), "step 'odd' asks for Key, and does not declare it"),
    "puts": (lambda facts: facts.put(Key("AB")), "step 'odd' changes Key, and does not declare it"),
    "puts what it needs": (lambda facts: facts.put(Found("x")), "step 'odd' changes Found, and does not declare it"),
    "drops what it needs": (lambda facts: facts.drop(Found), "step 'odd' drops Found, and does not declare it"),
}


@pytest.mark.parametrize("method", ["check", "plan", "apply", "undo"])
@pytest.mark.parametrize("act", ACTS)
def test_a_step_that_uses_or_changes_what_it_does_not_declare_fails(world: World, act: str, method: str) -> None:
    seen: list[str] = []

    class Odd(Add):
        needs = (Found,)

    def odd(self: Odd, world: World) -> object:
        with pytest.raises(FactError) as error:
            ACTS[act][0](world.facts)
        seen.append(str(error.value))
        return getattr(super(Odd, self), method)(world)

    setattr(Odd, method, odd)
    last = Add("last", then=fails) if method == "undo" else Add("last")
    run(flow(Finds("find"), Odd("odd"), last), world, "r")
    assert set(seen) == {ACTS[act][1]}


def fails(world: World) -> None:
    raise ValueError


def test_a_fact_that_is_only_asked_for_cannot_be_counted_on(world: World) -> None:
    facts = world.facts
    facts.put(Key("AB"))
    view = facts.view(Uses("use"))
    assert view.maybe(Key) == Key("AB")
    with pytest.raises(FactError, match="step 'use' uses Key"):
        view.get(Key)


def test_a_step_that_does_not_give_what_it_gives_is_a_bug(world: World) -> None:
    class Forgets(Add):
        gives = (Found,)

    result: Result = run(flow(Forgets("find"), Uses("use")), world, "r")
    assert (result.exit_code, result.errors[0]["id"]) == (70, "bug.internal")
    assert world.did == ["ask", "find", "-find"]


def test_a_view_is_the_steps_alone(world: World) -> None:
    """Whoever shows the run looks meanwhile, from another thread."""
    seen: list[Found] = []
    run(flow(Finds("find"), Add("use", then=lambda _: seen.append(world.facts.get(Found)))), world, "r")
    assert seen == [Found("an app")]
