"""Tapes: recordings that are read again (D4). Whoever reads one gets it from anywhere, so nothing in it is trusted."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from core import files
from core.errors import SetupError
from core.events import SCHEMA, Event, FlowStarted, from_json
from core.recording.writer import LARGEST, LINE, LINES

#: Seconds of the longest pause between two events that is replayed: beyond it a computer slept.
LONGEST: Final = 3600.0
_DEEPEST: Final = 20
#: The calendar ends with the year 9999, and a replay counts on from the recording's time.
_LAST_YEAR: Final = 9000
_TOO_LONG: Final = f"it is longer than {LINE // 2**10} KiB"


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the members of the result object."""

    command: str
    outcome: str
    exit_code: int
    data: dict[str, Any]
    errors: list[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """One flow of a recording.

    :param flow: its name.
    :param events: each with the seconds since the recording began.
    :param result: None if the run did not come to its end.
    """

    flow: str = ""
    events: tuple[tuple[float, Event], ...] = ()
    result: Outcome | None = None


@dataclass(frozen=True)
class Tape:
    """A recording that was read.

    :param started: when.
    :param run: id of its first flow; may be empty.
    :param torn: whether its last line was cut off and is missing here.
    """

    path: Path
    started: datetime
    run: str
    torn: bool
    parts: tuple[Part, ...] = field(repr=False)

    @property
    def command(self) -> str:
        """What was run."""
        first = self.parts[0]
        return first.result.command if first.result is not None else first.flow

    @property
    def outcome(self) -> Outcome | None:
        """How all of it ended; None if it did not come to its end."""
        first, last = self.parts[0].result, self.parts[-1].result
        if first is None or last is None or first.exit_code or last.exit_code:
            return last
        return replace(last, outcome=first.outcome)


def read(path: Path) -> Tape:
    """Read a recording.

    :raises SetupError: `replay.unreadable`.
    """
    try:
        content, changed = _content(path)
        reader = _Reader(_lines(content))
        parts = tuple(reader.parts())
    except _Foreign as error:
        raise SetupError("replay.unreadable", path=path, detail=error) from None
    except OSError as error:
        raise SetupError("replay.unreadable", path=path, detail=error.strerror or error) from None
    runs = [event.run for part in parts for _, event in part.events if isinstance(event, FlowStarted)]
    return Tape(path, reader.started or changed, runs[0] if runs else "", reader.torn, parts)


class _Foreign(Exception):
    """This is no recording, or none that this version knows."""


def _lines(content: bytes) -> list[bytes]:
    if content.count(b"\n") > LINES:
        raise _Foreign(f"line {LINES + 1}: a recording has no more than {LINES} lines")
    return content.split(b"\n")


def _content(path: Path) -> tuple[bytes, datetime]:
    """What a regular file holds, and when it was changed last."""
    with os.fdopen(files.readable(path, links=True), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise _Foreign("it is not a regular file")
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise _Foreign(f"it has more than {LARGEST // 2**20} MiB")
    return content, datetime.fromtimestamp(found.st_mtime, UTC)


class _Reader:
    """Lines to parts: a flow begins one, and so does whatever follows a result.

    :param lines: what stands between line breaks; the last one is empty, unless it was cut off.
    :ivar torn: whether it was.
    """

    def __init__(self, lines: list[bytes]) -> None:
        self._lines, self._tail = lines[:-1], lines[-1]
        self.torn = False
        self.started: datetime | None = None
        self._seconds, self._last = 0.0, datetime.min.replace(tzinfo=UTC)

    def parts(self) -> Iterator[Part]:
        flow, events, result = "", list[tuple[float, Event]](), None
        for item in self._items():
            event = item[1] if isinstance(item, tuple) else None
            if result is not None or (isinstance(event, FlowStarted) and flow):
                yield Part(flow, tuple(events), result)
                flow, events, result = "", [], None
            if isinstance(item, Outcome):
                result, flow = item, flow or item.command
            else:
                events.append(item)
                flow = event.flow if isinstance(event, FlowStarted) else flow
        if not events and result is None:
            raise _Foreign("it holds no event")
        yield Part(flow, tuple(events), result)

    def _items(self) -> Iterator[tuple[float, Event] | Outcome]:
        for number, line in enumerate(self._lines, 1):
            try:
                yield self._item(line)
            except json.JSONDecodeError:
                raise _Foreign(f"line {number}: it is no JSON") from None
            except (ValueError, OverflowError, RecursionError) as error:
                raise _Foreign(f"line {number}: {error}") from None
        if len(self._tail) > LINE:
            raise _Foreign(f"line {len(self._lines) + 1}: {_TOO_LONG}")
        if self._tail:
            try:
                last = self._item(self._tail)
            except (ValueError, OverflowError, RecursionError):
                self.torn = True
            else:
                yield last

    def _item(self, line: bytes) -> tuple[float, Event] | Outcome:
        if len(line) > LINE:
            raise ValueError(_TOO_LONG)
        body = _sound(json.loads(line, parse_constant=_no_number), _DEEPEST)
        if not isinstance(body, dict) or type(body.get("schema")) is not int:
            raise ValueError("this is no recording")
        if body["schema"] > SCHEMA:
            raise ValueError(f"a later version wrote it (schema {body['schema']}; this one knows {SCHEMA})")
        if "event" not in body:
            return _outcome(body)
        return self._when(body.get("time")), from_json(json.dumps(body))

    def _when(self, text: Any) -> float:
        """Seconds since the recording began; a clock that was set back lets no time pass."""
        if not isinstance(text, str):
            raise ValueError("it has no time")
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            raise ValueError("its time has no zone")
        time = time.astimezone(UTC)
        if time.year > _LAST_YEAR:
            raise ValueError("its time is too late for any replay")
        if self.started is None:
            self.started = self._last = time
        self._seconds += min(max(0.0, (time - self._last).total_seconds()), LONGEST)
        self._last = time
        return self._seconds


def _no_number(name: str) -> float:
    """NaN and the infinities, which Python reads and RFC 8259 does not know."""
    raise ValueError(f"{name} is no number")


def _outcome(body: dict[str, Any]) -> Outcome:
    """The result object, as far as anything is shown of it."""
    command, outcome, code = body.get("command"), body.get("outcome"), body.get("exit_code")
    data, errors = body.get("data"), body.get("errors")
    if not (isinstance(command, str) and isinstance(outcome, str) and type(code) is int and 0 <= code <= 255):
        raise ValueError("it is neither an event nor a result")
    if not (isinstance(data, dict) and isinstance(errors, list)):
        raise ValueError("its result has no data or no errors")
    _texts(data, {"certificate": ("due", "not_after"), "plan": ("fingerprint",)})
    if not isinstance(data.get("recording", ""), str):
        raise ValueError("its result's data is not of this schema")
    for error in errors:
        _texts({"error": error}, {"error": ("id", "message", "remedy")})
    return Outcome(command, outcome, code, data, errors)


def _texts(body: dict[str, Any], wanted: dict[str, tuple[str, ...]]) -> None:
    """See that members that are there are objects with certain texts."""
    for name, members in wanted.items():
        found = body.get(name, dict.fromkeys(members, ""))
        if not (isinstance(found, dict) and all(isinstance(found.get(member), str) for member in members)):
            raise ValueError(f"its result's {name} is not of this schema")


def _sound(value: Any, room: int) -> Any:
    """The same without halves of characters, which no stream takes."""
    if room < 0:
        raise ValueError("it is nested too deeply")
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_sound(key, room): _sound(item, room - 1) for key, item in value.items()}
        case list():
            return [_sound(item, room - 1) for item in value]
        case _:
            return value
