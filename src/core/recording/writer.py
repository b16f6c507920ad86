"""Recordings: what a run reported, kept in the state folder so that it can be shown again (U7, D4).

A recording is what `--json` prints: a line for every event and one for the result, redacted. It never breaks the run
that it records.
"""

from __future__ import annotations

import json
import os
import re
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from core import files, paths
from core.config.profile import Profile
from core.errors import SetupError
from core.events import Event, Finding, members, result_object
from core.secret import mapped, redacted

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
_NAME: Final = re.compile(r"\d{8}T\d{12}Z_[a-z-]+_[0-9a-f]+\.jsonl")


def folder(profile: Profile) -> Path:
    """Where recordings are kept."""
    return paths.state_folder(profile) / "recordings"


def kept(profile: Profile) -> list[Path]:
    """The recordings that are there, newest first.

    :raises OSError: the folder cannot be read.
    """
    places = (folder(profile), paths.former_folder(profile) / "recordings")  # a look at them moves nothing
    place = next((place for place in places if place.is_dir()), None)
    if place is None:
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
        :param complain: receives a finding for each folder that was open to others, and one when the recording cannot
            be written; it ends with that one.
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
            self._write(members(event, time), _SPARE)

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
                    line = _fitted(members(full, self._now().isoformat(timespec="milliseconds")))
                self._lines, self._bytes = self._lines + 1, self._bytes + len(line)
                while line and self._file is not None:
                    line = line[os.write(self._file, line) :]
        except OSError as error:
            self._fail(error)

    def _open(self, profile: Profile, run: str) -> None:
        place = folder(profile)
        closed = paths.private(place)
        moment = self._now().astimezone(UTC)
        while self._file is None:
            path = place / f"{moment:%Y%m%dT%H%M%S%fZ}_{self._command}_{run}.jsonl"
            try:
                self._file = files.created(path, append=True)
            except FileExistsError:
                moment += timedelta(microseconds=1)
        weakref.finalize(self, os.close, self._file)
        self._path = path
        for was_open in closed:  # a check that looks later sees nothing wrong any more
            told = f"{was_open} could be written to by other users; it is closed to them now."
            self._complain(Finding("folder.closed", "warning", told, "See that nothing foreign lies in it."))
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
    line = (json.dumps(body) + "\n").encode()
    if len(line) <= _TEXTS[0]:
        return line  # no text in it is longer
    for most in _TEXTS:
        line = (json.dumps(_cut(body, most)) + "\n").encode()
        if len(line) <= LINE:
            return line
    few = {name: value[:_FEW] if isinstance(value, list) else value for name, value in body.items()}
    if "data" in few:
        few["data"] = {}
    return (json.dumps(_cut(few, _TEXTS[-1])) + "\n").encode()


def _cut(value: Any, most: int) -> Any:
    return mapped(value, lambda text: text if len(text) <= most else f"{text[:most]}… cut, {len(text)} characters")
