"""What happened, as a closed union of frozen dataclasses.

Every front end (plain text, NDJSON, the wizard, the log) consumes the same stream and matches on these types. An event
holds identifiers, names and dates, never a secret; renderers still pass every text through the redactor (D4). Each has
one spelling as a JSON line, with a schema version, so that a stream can be recorded and replayed.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

SCHEMA: Final = 1

State = Literal["unchanged", "done", "undone", "failed", "skipped"]
Severity = Literal["ok", "info", "warning", "failure"]
Action = Literal["add", "delete", "change", "keep"]
Grade = Literal["ok", "warning", "failure", "unseen"]


@dataclass(frozen=True)
class FlowStarted:
    """A flow begins. `run` is a random id that the journal and the log repeat."""

    flow: str
    run: str


@dataclass(frozen=True)
class StageStarted:
    """A stage begins: the part of a flow that one screen shows."""

    stage: str
    title: str


@dataclass(frozen=True)
class StepStarted:
    """A step begins to work (one that has nothing to do only finishes)."""

    stage: str
    step: str
    title: str


@dataclass(frozen=True)
class StepFinished:
    """A step ends. `detail` is its evidence in words."""

    stage: str
    step: str
    title: str
    state: State
    detail: str = ""


@dataclass(frozen=True)
class Waiting:
    """The run waits for a condition. `expected`, `elapsed` and `next_in` are seconds."""

    reason: str
    expected: float
    elapsed: float
    attempt: int
    next_in: float


@dataclass(frozen=True)
class Finding:
    """Something a person should know; `remedy` may be empty when there is nothing to do."""

    id: str
    severity: Severity
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class Checked:
    """What a diagnosis saw of one thing (D1).

    :param check: stable name of the check.
    :param state: `unseen` when something else is in the way of looking; `evidence` says what.
    :param remedy: what to do; empty when there is nothing to do.
    :param seconds: how long it took to look.
    :param fix: what `doctor --fix` would do about it; empty when that is nothing.
    """

    group: str
    check: str
    title: str
    state: Grade
    evidence: str
    remedy: str = ""
    seconds: float = 0.0
    fix: str = ""


@dataclass(frozen=True)
class ChangePlanned:
    """One change of the plan, a `PlanRow`.

    :param action: add, delete, change or keep (a `keep` row shows what deliberately stays).
    :param what: the thing, for example `password credential`.
    :param where: the object or file that holds it.
    :param before: what is there now, without secrets.
    :param after: what will be there.
    :param reversible: whether a failure before the point of no return undoes it.
    :param call: the Graph call or file operation that does it.
    """

    action: Action
    what: str
    where: str
    before: str = ""
    after: str = ""
    reversible: bool = True
    call: str = ""


@dataclass(frozen=True)
class ChangeMade:
    """An effect that was carried out and closed in the journal."""

    action: str
    target: str


@dataclass(frozen=True)
class Question:
    """The run needs a yes. `default` is what Enter means; `flag` is how a headless run answers it.

    :param typed: what has to be typed for a yes, such as a thumbprint; empty where a y is enough.
    """

    id: str
    text: str
    default: bool
    flag: str
    typed: str = ""


@dataclass(frozen=True)
class FlowFinished:
    """The end. `outcome` is computed from post-conditions; `summary` holds only sentences that are true (M7)."""

    flow: str
    outcome: str
    exit_code: int
    summary: tuple[str, ...]
    seconds: float


Event = (
    FlowStarted
    | StageStarted
    | StepStarted
    | StepFinished
    | Waiting
    | Finding
    | Checked
    | ChangePlanned
    | ChangeMade
    | Question
    | FlowFinished
)
_hints: Final = cache(get_type_hints)
_TYPES: Final[dict[str, Any]] = {cls.__name__: cls for cls in get_args(Event)}


def to_json(event: Event, time: str) -> str:
    """One line of JSON for an event.

    :param event: what happened.
    :param time: when, ISO 8601 in UTC.
    """
    return json.dumps(members(event, time))


def members(event: Event, time: str) -> dict[str, Any]:
    """The members of the line that `to_json` makes."""
    return {"schema": SCHEMA, "time": time, "event": type(event).__name__, **asdict(event)}


def from_json(line: str) -> Event:
    """The event of a recorded line.

    :param line: what `to_json` made.
    :raises ValueError: the line is not an event of this schema.
    """
    data = json.loads(line)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or str(data.get("event")) not in _TYPES:
        raise ValueError(f"not an event of schema {SCHEMA}")
    cls = _TYPES[str(data["event"])]
    names = {field.name for field in fields(cls)}
    for name, hint in _hints(cls).items():
        if name in data and not _fits(data[name], hint):
            raise ValueError(f"{name} of this {cls.__name__} is not of schema {SCHEMA}")
    try:
        given = {key: value for key, value in data.items() if key in names}
        event: Event = cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in given.items()})
    except TypeError as error:
        raise ValueError(str(error)) from None
    return event


def result_object(
    command: str, outcome: str, code: int, data: dict[str, Any], errors: list[dict[str, Any]]
) -> dict[str, Any]:
    """The object that ends a stream (docs/reference/exit-codes.md).

    :param code: the exit code.
    """
    head = {"schema": SCHEMA, "command": command, "outcome": outcome, "exit_code": code}
    return {**head, "data": data, "errors": errors}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON is what a member of an event may be."""
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, list) and all(_fits(item, get_args(hint)[0]) for item in value)
    if hint is float:  # no infinity, and no whole number that is too large for one
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    return type(value) is hint
