"""Recordings: what a run reported, kept in the state folder so that it can be shown again (U7, D4).

A recording is what `--json` prints: a line for every event and one for the result, redacted. It never breaks the run
that it records. Whoever reads one gets it from anywhere, so nothing in it is trusted.
"""

from __future__ import annotations

import json
import os
import re
import stat
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from core.errors import SetupError
from core.events import SCHEMA, Event, Finding, FlowStarted, from_json, result_object, to_json
from core.machine import paths
from core.profile import Profile
from core.secret import redacted

#: Recordings that are kept of the runs that change something, and as many of those that only look.
KEPT: Final = 20
_LOOKS: Final = frozenset({"verify", "doctor"})
#: Bytes of the largest file that is read; a migration makes some ten thousand.
LARGEST: Final = 16 * 2**20
#: Bytes of the longest line, and lines of the longest recording, its results included.
LINE: Final = 64 * 2**10
LINES: Final = 50_000
#: Lines and bytes that are left for results when no more events are recorded.
_SPARE: Final = (100, 2**20)
#: Characters of the longest text; where a line is too long all the same, its texts are cut shorter and shorter.
_TEXTS: Final = (4000, 1000, 250, 60)
_FEW: Final = 5  # members of a list, where even that is too long
#: Seconds of the longest pause between two events that is replayed: beyond it a computer slept.
LONGEST: Final = 3600.0
_NAME: Final = re.compile(r"\d{8}T\d{12}Z_[a-z-]+_[0-9a-f]+\.jsonl")
_DEEPEST: Final = 20
_TOO_LONG: Final = f"it is longer than {LINE // 2**10} KiB"
_NONBLOCK: Final = getattr(os, "O_NONBLOCK", 0)  # a pipe with nobody at its other end must not hold anything up


def folder(profile: Profile) -> Path:
    """Where recordings are kept."""
    return paths.state_folder(profile) / "recordings"


def kept(profile: Profile) -> list[Path]:
    """The recordings that are there, newest first.

    :raises OSError: the folder cannot be read.
    """
    place = folder(profile)
    if not place.is_dir():
        return []
    return sorted((path for path in place.iterdir() if _NAME.fullmatch(path.name)), reverse=True)


class Recording:
    """The recording of one run, or of a run and the verification that follows it.

    :param command: what runs.
    :param now: the time of an event.
    :param lasting: False where the state folder is thrown away in the end: then nobody is told of the file.
    """

    def __init__(self, command: str, now: Callable[[], datetime], *, lasting: bool = True) -> None:
        self._command, self._now, self._lasting = command, now, lasting
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._file: int | None = None
        self._begun = self._full = False
        self._lines = self._bytes = 0
        self._complain: Callable[[Event], object] = lambda event: None

    def begin(self, profile: Profile, run: str, complain: Callable[[Event], object]) -> None:
        """Make the file, unless it is there; of older ones only the newest stay, apart for what changes and what looks.

        :param run: random id of the run, part of the name.
        :param complain: receives one finding when it cannot be written; the recording ends with it.
        """
        begun, self._begun, self._complain = self._begun, True, complain
        if not begun:
            try:
                self._open(profile, run)
            except (OSError, SetupError) as error:
                self._fail(error)

    def event(self, event: Event) -> None:
        """Record what happened."""
        if not self._full:
            time = self._now().isoformat(timespec="milliseconds")
            self._write(json.loads(to_json(event, time)), _SPARE)

    def result(
        self, command: str, outcome: str, code: int, data: dict[str, Any], errors: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Record how it ended.

        :returns: the data, with the place of the recording.
        """
        told = {**data, "recording": str(self._path)} if self._path is not None and self._lasting else data
        self._write(result_object(command, outcome, code, told, errors))
        return told if self._path is not None else data

    def _write(self, body: dict[str, Any], spare: tuple[int, int] = (0, 0)) -> None:
        if self._file is None:
            return
        line = _fitted(redacted(body))
        try:
            with self._lock:
                lines, size = self._lines + 1 + spare[0], self._bytes + len(line) + spare[1]
                if self._full and spare[0]:
                    return
                if lines > LINES or size > LARGEST:
                    if not spare[0]:
                        return  # one of very many results
                    self._full = True
                    told = "The recording is full: what happened from here on is missing, but not how it ended."
                    full = Finding("recording.full", "warning", told)
                    line = _fitted(json.loads(to_json(full, self._now().isoformat(timespec="milliseconds"))))
                self._lines, self._bytes = self._lines + 1, self._bytes + len(line)
                while line and self._file is not None:
                    line = line[os.write(self._file, line) :]
        except OSError as error:
            self._fail(error)

    def _open(self, profile: Profile, run: str) -> None:
        place = folder(profile)
        paths.private(place)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        moment = self._now().astimezone(UTC)
        while self._file is None:
            path = place / f"{moment:%Y%m%dT%H%M%S%fZ}_{self._command}_{run}.jsonl"
            try:
                self._file = os.open(path, flags, 0o600)
            except FileExistsError:
                moment += timedelta(microseconds=1)
        weakref.finalize(self, os.close, self._file)
        self._path = path
        there = kept(profile)
        looks = [path for path in there if path.name.split("_")[1] in _LOOKS]
        changes = [path for path in there if path not in looks]
        for old in changes[KEPT:] + looks[KEPT:]:
            with suppress(OSError):  # another run was faster; what cannot be deleted is tried again by the next one
                old.unlink()

    def _fail(self, error: Exception) -> None:
        self._file = self._path = None
        told = f"The recording of this run could not be written: {error}; it ends here."
        self._complain(Finding("recording.ended", "warning", told))


def _fitted(body: dict[str, Any]) -> bytes:
    """A line that the reader takes, of what is redacted already: half a secret would not be found any more."""
    line = b""
    for most in _TEXTS:
        line = (json.dumps(_cut(body, most)) + "\n").encode()
        if len(line) <= LINE:
            return line
    few = {name: value[:_FEW] if isinstance(value, list) else value for name, value in body.items()}
    if "data" in few:
        few["data"] = {}
    return (json.dumps(_cut(few, _TEXTS[-1])) + "\n").encode()


def _cut(value: Any, most: int) -> Any:
    match value:
        case str() if len(value) > most:
            return f"{value[:most]}… cut, {len(value)} characters"
        case dict():
            return {_cut(key, most): _cut(item, most) for key, item in value.items()}
        case list():
            return [_cut(item, most) for item in value]
        case _:
            return value


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
        if first is None or last is None or last.exit_code:
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
    with os.fdopen(os.open(path, os.O_RDONLY | _NONBLOCK), "rb") as file:
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
        body = _sound(json.loads(line), _DEEPEST)
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
        if self.started is None:
            self.started = self._last = time
        self._seconds += min(max(0.0, (time - self._last).total_seconds()), LONGEST)
        self._last = time
        return self._seconds


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
