"""The engine on a thread of its own: events come out as messages, answers and a request to stop go in.

A daemon thread, so that quitting never waits for a blocked network call; a queue for what a person says, so that a
question, a pause and a request to stop wake the same wait.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

from textual.message import Message

from core.clock import Cancel
from core.errors import Interrupted
from core.events import Event, FlowStarted, Question, StageStarted
from wizard import runs
from wizard.runs import LOOKS, Kind, Order
from wizard.tui.state import LOOK, Item, Outline, Pause

if TYPE_CHECKING:
    from core.flow.step import Flow
    from core.steps.context import Context
    from wizard.workspace import Workspace

Prospect = Literal["nothing", "undo", "forward"]
_STOP: Final = object()


class Moved(Message):
    """Something happened on the engine's thread; what, is fetched with `take`."""

    bubble = False

    def __init__(self, engine_thread: Feed) -> None:
        super().__init__()
        self.engine_thread = engine_thread

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Moved) and message.engine_thread is self.engine_thread


class Feed(ABC):
    """What the screens show, as it happens on a thread of its own.

    :param kind: what it is.
    :param post: hands a message to the app, from any thread.
    :param now: seconds on the clock of the screens: what happened is dated here, however late it is shown.
    :ivar tenant: the tenant of the plan, as far as it is known.
    :ivar prospect: what stopping now means: nothing was done, what was done is undone, or it can only go forward.
    """

    tenant: str = ""
    prospect: Prospect = "nothing"

    def __init__(self, kind: Kind, post: Callable[[Message], object], now: Callable[[], float]) -> None:
        self.kind = kind
        self._post, self._now = post, now
        self._cancel = Cancel()
        self._items: deque[tuple[float, Item]] = deque()
        self._told = False
        self._lock = threading.Lock()
        self._stopped = 0.0
        self._thread = threading.Thread(target=self._run, name=f"feed-{kind}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it has not come to its end."""
        return self._thread.is_alive()

    def join(self, seconds: float | None = None) -> None:
        """Wait for its end.

        :param seconds: at most that long.
        """
        self._thread.join(seconds)

    def take(self, most: int = 0) -> list[tuple[float, Item]]:
        """What happened since it was asked last, each with its time.

        :param most: at most so many; whoever got that many asks for the rest by itself, no message tells of it.
        """
        with self._lock:
            count = min(most or len(self._items), len(self._items))
            items = [self._items.popleft() for _ in range(count)]
            self._told = bool(self._items)
        return items

    @abstractmethod
    def answer(self, yes: bool) -> None:
        """Answer the open question, or end the pause."""

    def stop(self, number: int = signal.SIGINT) -> None:
        """Ask it to stop at the next safe place.

        :param number: the signal whose exit code it gets.
        """
        self._stopped = self._stopped or time.monotonic()
        self._cancel.ask(number)

    def grace(self, seconds: float) -> None:
        """Wait for its end until so long after it was asked to stop; the screens took some of that to go away."""
        self.join(max(0.0, self._stopped + seconds - time.monotonic()))

    @abstractmethod
    def _run(self) -> None:
        """What the thread does."""

    def _put(self, item: Item) -> None:
        with self._lock:
            self._items.append((self._now(), item))
            told, self._told = self._told, True
        if not told:
            self._post(Moved(self))


class EngineThread(Feed):
    """One run.

    :param workspace: gives the context.
    :param passed_pauses: stages that are left without waiting for a person, because they were left before.
    :ivar events: where its events go besides the screens; set before it starts.
    """

    def __init__(
        self,
        workspace: Workspace,
        order: Order,
        post: Callable[[Message], object],
        passed_pauses: frozenset[str] = frozenset(),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(order.kind, post, now)
        self.events = runs.Events(self._put)
        self._order, self._workspace = order, workspace
        self._doors = (LOOK if self.kind not in ("undo", *LOOKS) else frozenset()) - passed_pauses
        self._inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._ctx: Context | None = None
        self._stage = ""
        self._asked = False

    def answer(self, yes: bool) -> None:
        self._inbox.put(yes)

    def stop(self, number: int = signal.SIGINT) -> None:
        super().stop(number)
        self._inbox.put(_STOP)

    @property
    def tenant(self) -> str:  # type: ignore[override]
        return self._ctx.target.tenant if self._ctx is not None else ""

    @property
    def prospect(self) -> Prospect:  # type: ignore[override]
        journal = self._ctx.journal if self._ctx is not None else None
        if not self.running or journal is None or self.kind in LOOKS:
            return "nothing"
        if journal.marked:
            return "forward"
        if self._stage in LOOK and self.kind != "undo":
            return "nothing"  # what an interrupted run left stays as it is while this one only looks
        return "undo" if any(effect.standing for effect in journal.effects) else "nothing"

    def _run(self) -> None:
        self._put(runs.carry_out(self._order, self._context, self.events, self._begin))

    def _context(self) -> Context:
        self._ctx = self._workspace.context(self._cancel, self._emit, self._ask)
        return self._ctx

    def _begin(self, flow: Flow[Context] | None) -> None:
        if flow is not None and self.kind != "undo":
            self._put(outline(flow))
        elif self.kind == "doctor":
            self._put(_checks())

    def _emit(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._leave(self._stage)
            self._stage = event.stage
        elif isinstance(event, FlowStarted):
            self._stage = ""
        self.events(event)

    def _leave(self, stage: str) -> None:
        """Wait until the person went on from the screen of a stage; a plan's question is such a step too."""
        if stage in self._doors and not (stage == "review" and self._asked):
            self._put(Pause(stage))
            self._said()

    def _ask(self, question: Question) -> bool:
        self._asked = True
        self.events(question)
        return self._said()

    def _said(self) -> bool:
        said = self._inbox.get()
        if said is _STOP:
            self._cancel.check()
            raise Interrupted(signal.SIGINT)  # a stretch that is shielded from stopping asks nobody
        return bool(said)


def outline(flow: Flow[Context]) -> Outline:
    """What a flow is going to change."""
    stages = ((s.name, s.title, tuple((step.name, step.title) for step in s.steps)) for s in flow.change)
    return Outline(tuple(stages))


def _checks() -> Outline:
    from core.checks.doctor import GROUPS

    return Outline(tuple((g.name, g.title, tuple((c.name, c.title) for c in g.checks)) for g in GROUPS))
