"""What a run knows: the store, the views that hold a step to what it declares, and the order of a flow's steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import pytest

from core.flow.engine import Result, run
from core.flow.facts import FactError, Facts, Kinds
from tests.machine import VirtualClock
from tests.unit.pretend import Add, Context, flow


@final
@dataclass(frozen=True)
class Found:
    what: str


@final
@dataclass(frozen=True)
class Key:
    thumbprint: str


@pytest.fixture
def ctx(tmp_path: Path, clock: VirtualClock) -> Context:
    return Context(tmp_path / "journal.jsonl", clock)


class Finds(Add):
    """Gives a fact, and opens the journal like every first look."""

    gives = (Found,)

    def apply(self, ctx: Context) -> str:
        ctx.facts.put(Found("an app"))
        return super().apply(ctx)


class Uses(Add):
    needs: ClassVar[Kinds] = (Found,)
    maybe: ClassVar[Kinds] = (Key,)

    def apply(self, ctx: Context) -> str:
        ctx.did.append(ctx.facts.get(Found).what)
        return super().apply(ctx)


def test_a_fact_is_there_under_its_type_until_it_is_dropped() -> None:
    facts = Facts()
    assert facts.maybe(Found) is None
    facts.put(Found("a"))
    facts.put(Found("b"))
    assert facts.get(Found) == Found("b")
    facts.drop(Found)
    with pytest.raises(FactError, match="this run needs Found"):
        facts.get(Found)


def test_what_one_step_gives_the_next_one_gets(ctx: Context) -> None:
    assert run(flow(Finds("find"), Uses("use")), ctx, "r").exit_code == 0
    assert ctx.did == ["ask", "find", "an app", "use"]
    assert ctx.facts.get(Found) == Found("an app")  # outside of a step everything is seen


def test_two_steps_swapped_are_named_with_the_fact_before_anything_runs(ctx: Context) -> None:
    with pytest.raises(FactError, match="step 'use' needs Found, and no step before it gives that"):
        run(flow(Uses("use"), Finds("find")), ctx, "r")
    assert (ctx.did, ctx.events) == ([], [])


ACTS: dict[str, tuple[Callable[[Facts], object], str]] = {
    "gets": (lambda facts: facts.get(Key), "step 'odd' uses Key, and does not declare it"),
    "asks": (lambda facts: facts.maybe(Key), "step 'odd' asks for Key, and does not declare it"),
    "puts": (lambda facts: facts.put(Key("AB")), "step 'odd' changes Key, and does not declare it"),
    "puts what it needs": (lambda facts: facts.put(Found("x")), "step 'odd' changes Found, and does not declare it"),
    "drops what it needs": (lambda facts: facts.drop(Found), "step 'odd' drops Found, and does not declare it"),
}


@pytest.mark.parametrize("method", ["check", "plan", "apply", "undo"])
@pytest.mark.parametrize("act", ACTS)
def test_a_step_that_uses_or_changes_what_it_does_not_declare_fails(ctx: Context, act: str, method: str) -> None:
    seen: list[str] = []

    class Odd(Add):
        needs = (Found,)

    def odd(self: Odd, ctx: Context) -> object:
        with pytest.raises(FactError) as error:
            ACTS[act][0](ctx.facts)
        seen.append(str(error.value))
        return getattr(super(Odd, self), method)(ctx)

    setattr(Odd, method, odd)
    last = Add("last", then=fails) if method == "undo" else Add("last")
    run(flow(Finds("find"), Odd("odd"), last), ctx, "r")
    assert set(seen) == {ACTS[act][1]}


def fails(ctx: Context) -> None:
    raise ValueError


def test_a_fact_that_is_only_asked_for_cannot_be_counted_on(ctx: Context) -> None:
    facts = ctx.facts
    facts.put(Key("AB"))
    view = facts.view(Uses("use"))
    assert view.maybe(Key) == Key("AB")
    with pytest.raises(FactError, match="step 'use' uses Key"):
        view.get(Key)


def test_a_step_that_does_not_give_what_it_gives_is_a_bug(ctx: Context) -> None:
    class Forgets(Add):
        gives = (Found,)

    result: Result = run(flow(Forgets("find"), Uses("use")), ctx, "r")
    assert (result.exit_code, result.errors[0]["id"]) == (70, "bug.internal")
    assert ctx.did == ["ask", "find", "-find"]


def test_a_view_is_the_steps_alone(ctx: Context) -> None:
    """Whoever shows the run looks meanwhile, from another thread."""
    seen: list[Found] = []
    run(flow(Finds("find"), Add("use", then=lambda _: seen.append(ctx.facts.get(Found)))), ctx, "r")
    assert seen == [Found("an app")]
