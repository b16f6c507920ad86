"""Waiting: for a condition, with backoff and a deadline, in the open, and cancellable (P7)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from core.clock import BACKOFF, Cancel, SystemClock, pause, wait_until
from core.errors import Interrupted
from core.events import Event, Waiting


class Clock(SystemClock):
    """Time that stands still unless somebody waits."""

    def __init__(self, cancel: Cancel | None = None) -> None:
        super().__init__(cancel)
        self.time, self.pauses = 0.0, list[float]()
        self.asked = cancel

    def monotonic(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        if self.asked is not None:
            self.asked.check()
        self.time += seconds
        self.pauses.append(seconds)


@dataclass(frozen=True)
class Waiter:
    """Whoever waits."""

    clock: Clock
    emit: Callable[[Event], None]


def wait(
    condition: Callable[[], str | None], clock: Clock, deadline: float = 1000, events: list[Event] | None = None
) -> str | None:
    told = events if events is not None else list[Event]()
    return wait_until(condition, Waiter(clock, told.append), "rain", expected=7, deadline=deadline)


def test_P7_the_first_try_is_at_once() -> None:
    clock, events = Clock(), list[Event]()
    assert wait(lambda: "there", clock, events=events) == "there"
    assert (clock.pauses, events) == ([], [])


@pytest.mark.parametrize("tries", range(7))
def test_P7_pauses_grow_and_then_stay(tries: int) -> None:
    clock, answers = Clock(), iter([None] * tries + ["there"])
    assert wait(lambda: next(answers), clock) == "there"
    assert clock.pauses == [2, 4, 8, 15, 15, 15][:tries]
    assert BACKOFF == (2, 4, 8, 15)


@pytest.mark.parametrize(("deadline", "pauses"), [(0, []), (1, [1]), (5, [2, 3]), (30, [2, 4, 8, 15, 1])])
def test_P7_the_deadline_is_kept_and_the_last_try_is_at_its_end(deadline: float, pauses: list[float]) -> None:
    clock, tried = Clock(), list[float]()
    assert wait(lambda: tried.append(clock.time), clock, deadline) is None
    assert clock.pauses == pauses
    assert tried[0] == 0
    assert tried[-1] == deadline


def test_P7_every_pause_is_announced_before_it() -> None:
    clock, events = Clock(), list[Event]()
    wait(lambda: None, clock, 10, events)
    assert events == [
        Waiting("rain", 7, 0, 1, 2),
        Waiting("rain", 7, 2, 2, 4),
        Waiting("rain", 7, 6, 3, 4),
    ]


def test_P7_a_fixed_pause_says_what_it_is_for() -> None:
    clock, events = Clock(), list[Event]()
    pause(3, Waiter(clock, events.append), "rain")
    assert (clock.pauses, events) == ([3], [Waiting("rain", 3, 0, 1, 3)])


def test_false_and_empty_answers_are_answers() -> None:
    assert wait_until(lambda: False, Waiter(Clock(), print), "r", expected=1, deadline=9) is False


def test_a_request_to_stop_ends_the_wait() -> None:
    cancel = Cancel()
    with pytest.raises(Interrupted) as caught:
        wait(lambda: cancel.ask(15), Clock(cancel))
    assert caught.value.exit_code == 143


def test_the_first_signal_counts() -> None:
    cancel = Cancel()
    cancel.check()
    cancel.ask(2)
    cancel.ask(15)
    with pytest.raises(Interrupted) as caught:
        cancel.check()
    assert caught.value.signal == 2


def test_a_shielded_stretch_is_finished_and_then_stops() -> None:
    cancel = Cancel()
    cancel.ask(2)
    with cancel.shielded():
        with cancel.shielded():
            cancel.check()
        cancel.check()
        cancel.pause(0.001)
    with pytest.raises(Interrupted):
        cancel.check()


def test_a_pause_ends_early_when_somebody_asks() -> None:
    cancel = Cancel()
    clock = SystemClock(cancel)
    timer = threading.Timer(0.01, cancel.ask, [2])
    timer.start()
    start = clock.monotonic()
    with pytest.raises(Interrupted):
        clock.wait(60)
    timer.join()
    assert clock.monotonic() - start < 30
    assert clock.now().utcoffset() is not None


def test_an_unanswered_shield_is_left_even_after_an_error() -> None:
    cancel = Cancel()
    with pytest.raises(ZeroDivisionError), cancel.shielded():
        raise ZeroDivisionError
    cancel.ask(1)
    with pytest.raises(Interrupted):
        cancel.check()
