"""What the screens show of a run, gathered from its events; screens come and go, this stays."""

from __future__ import annotations

import io
import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from core import events
from wizard.console.plain import Plain
from wizard.runs import Ended, Kind

#: The rail: name of a screen, and what the rail calls it. The first four, and `review`, are stages of the flows.
RAIL: Final = (
    ("prereqs", "Prerequisites"),
    ("signin", "Azure sign-in"),
    ("keystore", "Keystore"),
    ("hardware", "Hardware key"),
    ("review", "Review"),
    ("progress", "Progress"),
    ("verify", "Verification"),
    ("summary", "Summary"),
)
PLACES: Final = tuple(name for name, _ in RAIL)
#: Stages that have a screen of their own before anything is changed.
LOOK: Final = frozenset({"prereqs", "signin", "keystore", "hardware", "review"})
#: Id of the question whether an administrator is to be asked (P12).
HAND_OFF: Final = "hand-off"
#: Events that are kept for the log.
_EVENTS: Final = 5000


@dataclass(frozen=True)
class Outline:
    """What is going to happen, known before it does: stages that change, with name, title, and their steps' titles."""

    stages: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]


@dataclass(frozen=True)
class Pause:
    """The engine waits before the next stage until the person went on from the one on the screen."""

    stage: str


Item = events.Event | Outline | Pause | Ended


def mark(group: str, check: str) -> str:
    """What tells a check from every other, whatever the two names are: a recording may hold any."""
    return json.dumps([group, check])


def marked(mark: str) -> str:
    """The check's own name, of what `mark` made."""
    return str(json.loads(mark)[1])


@dataclass
class Row:
    """One step.

    :param state: `todo`, `working`, or what `StepFinished` said.
    :param began: seconds on the engine's clock.
    """

    step: str
    title: str
    state: str = "todo"
    detail: str = ""
    began: float | None = None
    ended: float | None = None


@dataclass
class Stage:
    """Steps and findings of one stage."""

    name: str
    title: str
    rows: dict[str, Row] = field(default_factory=dict)
    findings: list[events.Finding] = field(default_factory=list)


@dataclass
class Model:
    """Everything that was seen of one run.

    :param stage: the one that works, or worked last.
    :param checks: what a diagnosis saw, by `mark`.
    :param question: open now.
    :param pause: the stage whose screen holds the engine, if one does.
    :param waiting: what is being waited for, and since when on the UI's clock the next look counts down.
    """

    kind: Kind
    stages: dict[str, Stage] = field(default_factory=dict)
    stage: str = ""
    checks: dict[str, events.Checked] = field(default_factory=dict)
    plan: list[events.ChangePlanned] = field(default_factory=list)
    made: list[events.ChangeMade] = field(default_factory=list)
    question: events.Question | None = None
    pause: str = ""
    waiting: tuple[events.Waiting, float] | None = None
    began: float = 0.0
    ended: Ended | None = None
    sentences: tuple[str, ...] = ()
    happened: deque[events.Event] = field(default_factory=lambda: deque(maxlen=_EVENTS))

    def take(self, items: Iterable[tuple[float, Item]]) -> None:
        """Take in what happened, each with its time in seconds on the UI's clock."""
        for now, item in items:
            self._take(item, now)

    def rows(self, names: Iterable[str]) -> list[Row]:
        """The steps of some stages, in order."""
        return [row for name in names if name in self.stages for row in self.stages[name].rows.values()]

    def findings(self, names: Iterable[str]) -> list[events.Finding]:
        """What was found in some stages, in order."""
        return [finding for name in names if name in self.stages for finding in self.stages[name].findings]

    @property
    def changing(self) -> list[str]:
        """Names of the stages that are shown as progress."""
        return [name for name in self.stages if name not in LOOK] if self.kind != "undo" else list(self.stages)

    @property
    def log(self) -> list[str]:
        """The last events as text; made when somebody looks, not for every event."""
        text = io.StringIO()
        printer = Plain(text, text, colour=False, quiet=False, verbose=True)
        for event in self.happened:
            printer.event(event)
        return text.getvalue().rstrip("\n").split("\n") if self.happened else []

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The errors of the result."""
        return self.ended.result.errors if self.ended is not None else []

    def _take(self, item: Item, now: float) -> None:  # noqa: PLR0912  a branch for each member of the union
        match item:
            case Outline():
                for name, title, steps in item.stages:
                    rows = {step: Row(step, told) for step, told in steps}
                    self.stages.setdefault(name, Stage(name, title, rows))
                return
            case Pause():
                self.pause = item.stage
                return
            case Ended():
                self.ended, self.question, self.pause, self.waiting = item, None, "", None
                return
            case events.FlowStarted():
                self.began = now
            case events.StageStarted():
                self._stage(item.stage, item.title).title = item.title
                if self.stage in LOOK and item.stage not in LOOK:
                    self.began = now  # what a person took to read does not count
                self.stage, self.pause = item.stage, ""
            case events.StepStarted():
                row = self._row(item.stage, item.step, item.title)
                row.state, row.began = "working", now
            case events.StepFinished():
                row = self._row(item.stage, item.step, item.title)
                row.state, row.detail = item.state, item.detail
                if item.state != "undone" or row.ended is None:  # undoing comes late and is not what took the time
                    row.ended = now
                self.waiting = None
            case events.Waiting():
                self.waiting = (item, now)
            case events.Finding():
                self._stage(self.stage, self.stage).findings.append(item)
            case events.Checked():
                self.checks[mark(item.group, item.check)] = item
                self._row(item.group, item.check, item.title).state = "done"
            case events.ChangePlanned():
                self.plan.append(item)
            case events.ChangeMade():
                self.made.append(item)
            case events.Question():
                self.question = item
            case events.FlowFinished():
                self.sentences = item.summary
            case _:
                assert_never(item)
        self.happened.append(item)

    def _row(self, stage: str, step: str, title: str) -> Row:
        return self._stage(stage, stage).rows.setdefault(step, Row(step, title))

    def _stage(self, name: str, title: str) -> Stage:
        return self.stages.setdefault(name, Stage(name, title))
