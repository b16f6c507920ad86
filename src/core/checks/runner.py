"""The examination: checks run at the same time, a few at a time, as soon as what they build on is known (D1).

They are told in their order, so that two examinations can be compared.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final

from core.checks.base import Check, Diagnosis, Verdict
from core.errors import Interrupted
from core.events import Event
from core.steps.context import Context

#: Checks at a time.
LIMIT: Final = 6
_SLICE: Final = 0.1


@dataclass
class Seen:
    """What a check came to, and how many seconds it took to look."""

    verdict: Verdict
    seconds: float


class Examination:
    """The checks under way. Only the thread that looks reports; the others tell it.

    :param checks: all that there are, in the order in which they are told.
    :param told: names of those that are told; what they build on is looked at as well.
    :param show: tells of one.
    :param monotonic: the time that a check's patience is measured with, in seconds.
    :ivar seen: by name.
    """

    def __init__(
        self,
        ctx: Context,
        checks: Sequence[Check],
        told: Collection[str],
        show: Callable[[Check, Seen], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._heard: SimpleQueue[Event | tuple[Check, Seen]] = SimpleQueue()
        self._ctx, self._show, self._monotonic = ctx, show, monotonic
        self.diagnosis = Diagnosis(ctx, self._heard.put, frozenset(told))
        self.told = [check for check in checks if check.name in told]
        self.seen: dict[str, Seen] = {}
        self._next = 0
        needs, wanted = {check.name: check.needs for check in checks}, set(told)
        while more := {need for name in wanted for need in needs[name]} - wanted:
            wanted |= more
        self._checks = [check for check in checks if check.name in wanted]

    def look(self) -> None:
        """Look at all; what was told already is not told again.

        :raises Interrupted: somebody asked to stop.
        """
        self.diagnosis.verdicts = {}
        waiting = list(self._checks)
        running: dict[Check, float] = {}
        while waiting or running:
            for check in list(waiting):
                if len(running) < LIMIT and not set(check.needs) - self.diagnosis.verdicts.keys():
                    waiting.remove(check)
                    running[check] = self._monotonic()
                    threading.Thread(target=self._work, args=(check,), name=f"check-{check.name}", daemon=True).start()
            try:
                heard = self._heard.get(timeout=_SLICE)
            except Empty:
                self._ctx.cancel.check()
                for check in [late for late, start in running.items() if self._monotonic() - start > late.patience]:
                    evidence, remedy = f"no answer within {check.patience:.0f} s", f"Run it again: --check {check.name}"
                    self._take(check, Seen(Verdict("failure", evidence, remedy), check.patience), running)
                continue
            if not isinstance(heard, tuple):
                self._ctx.emit(heard)
            elif heard[0] in running:  # else it was given up
                self._take(*heard, running)

    def _work(self, check: Check) -> None:
        start = self._ctx.clock.monotonic()
        try:
            verdict = self.diagnosis.examine(check)
        except Interrupted:
            return  # whoever asked for it ends the rest
        self._heard.put((check, Seen(verdict, self._ctx.clock.monotonic() - start)))

    def _take(self, check: Check, seen: Seen, running: dict[Check, float]) -> None:
        del running[check]
        self.diagnosis.verdicts[check.name] = seen.verdict
        self.seen[check.name] = seen
        while self._next < len(self.told) and (known := self.seen.get(self.told[self._next].name)):  # in order
            self._next += 1
            self._show(self.told[self._next - 1], known)
