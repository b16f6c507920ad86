"""The command `replay`: recordings, and one of them again as lines, at any speed (U7).

A recording comes from anywhere: whatever is shown of it is cleaned when it is loaded. Nothing is done and nothing is
written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from core.clock import Cancel, Clock
from core.config.profile import Profile
from core.errors import SetupError
from core.events import Event
from core.recording import writer
from core.recording.reader import Tape, read
from wizard.demo import refuse_options
from wizard.text import clean

#: What a replay is called for the newest recording.
LAST: Final = "last"
#: Options that have no place here: nothing is asked, done or written.
_ABSENT: Final = ("yes", "dry_run", "log_file")
#: Seconds after which a wait looks whether the speed is another.
_GLANCE: Final = 0.1
#: Seconds of the recording that do not matter.
_NEAR: Final = 1e-6


class Pace:
    """The clock of a replay: it shows the time of the recording, which passes faster or slower than the real one.

    :param clock: the real one.
    :param speed: how many times as fast; 0 skips whatever is waited for.
    :param started: when the recording began.
    """

    def __init__(self, clock: Clock, speed: float, started: datetime) -> None:
        self._clock, self._speed, self._started = clock, speed, started
        self._lock = threading.Lock()
        self._at, self._since = 0.0, clock.monotonic()

    @property
    def speed(self) -> float:
        """How many times as fast as it was; 0 means at once."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        with self._lock:
            self._set(self._passed())
            self._speed = speed

    def monotonic(self) -> float:
        """Seconds of the recording."""
        with self._lock:
            return self._passed()

    def now(self) -> datetime:
        """The time in the recording."""
        return self._started + timedelta(seconds=self.monotonic())

    def wait(self, seconds: float) -> None:
        """Let seconds of the recording pass."""
        end = self.monotonic() + seconds
        while not self.approach(end):
            pass

    def approach(self, moment: float) -> bool:
        """Come nearer to a moment of the recording for the time of a glance.

        :returns: whether it is reached.
        """
        with self._lock:
            left, speed = moment - self._passed(), self._speed
        if speed == 0 or left <= _NEAR:
            self.leap(moment)
            return True
        self._clock.wait(min(left / speed, _GLANCE))
        return False

    def leap(self, moment: float) -> None:
        """Be there at once, unless it has passed."""
        with self._lock:
            self._set(max(moment, self._passed()))

    def _passed(self) -> float:
        return self._at + (self._clock.monotonic() - self._since) * self._speed

    def _set(self, moment: float) -> None:
        self._at, self._since = moment, self._clock.monotonic()


@dataclass(frozen=True)
class Listed:
    """One recording of this machine.

    :param exit_code: None if the run did not come to its end.
    """

    path: str
    time: str
    command: str
    outcome: str
    exit_code: int | None

    def __str__(self) -> str:
        code = f" (exit {self.exit_code})" if self.exit_code is not None else ""
        return f"{self.time}  {self.command:<9} {self.outcome}{code}\n  {self.path}"


def refuse(given: Mapping[str, Any]) -> None:
    """Refuse options that promise what a replay does not do.

    :raises SetupError: `usage.settings`.
    """
    refuse_options(given, _ABSENT, "replay: nothing is done or written", "replay")


def listed(profile: Profile) -> list[Listed]:
    """The recordings of this machine, newest first.

    :raises SetupError: `replay.unreadable`: their folder.
    """
    return [_listed(path) for path in _kept(profile)]


def find(name: str, profile: Profile) -> Path:
    """The file that is meant.

    :param name: a file, or `last`.
    :raises SetupError: `replay.none`; `replay.unreadable`: the folder of the recordings.
    """
    if name != LAST:
        return Path(name)
    paths = _kept(profile)
    if not paths:
        raise SetupError("replay.none", folder=writer.folder(profile))
    return paths[0]


def load(path: Path) -> Tape:
    """Read a recording, with every text in it cleaned.

    :raises SetupError: `replay.unreadable`.
    """
    tape: Tape = _cleaned(read(path))
    return tape


def play(tape: Tape, emit: Callable[[Event], None], pace: Pace, cancel: Cancel) -> None:
    """Hand the events on as they came, as fast as the pace says.

    :raises Interrupted: somebody asked for the end.
    """
    for part in tape.parts:
        for moment, event in part.events:
            cancel.check()
            while not pace.approach(moment):
                cancel.check()
            emit(event)


def head(tape: Tape) -> str:
    """What is replayed."""
    return f"Replay of {clean(str(tape.path))}: {tape.command}, {tape.started:%Y-%m-%d %H:%M:%S} UTC. Nothing is done."


def end(tape: Tape) -> str:
    """How it ended, and whether something is missing."""
    outcome = tape.outcome
    if outcome is None:
        cut = SetupError("replay.cut")
        text = f"{cut.summary} {cut.remedy}"
    else:
        text = f"End of the replay. The run ended as {outcome.outcome}, with exit code {outcome.exit_code}."
    return text + (" The last line of the file is torn and was left out." if tape.torn else "")


def facts(tape: Tape) -> dict[str, Any]:
    """The member `data` of the result object."""
    parts = [{"flow": part.flow, "result": asdict(part.result) if part.result else None} for part in tape.parts]
    outcome = tape.outcome
    told = {"outcome": outcome.outcome, "exit_code": outcome.exit_code} if outcome is not None else None
    head = {"file": str(tape.path), "command": tape.command, "started": tape.started.isoformat(), "run": tape.run}
    return {**head, "torn": tape.torn, "recorded": told, "parts": parts}


def _kept(profile: Profile) -> list[Path]:
    try:
        return writer.kept(profile)
    except OSError as error:
        raise SetupError("replay.unreadable", path=writer.folder(profile), detail=error.strerror or error) from None


def _listed(path: Path) -> Listed:
    time, command, _ = path.name.split("_", 2)
    when = f"{time[:4]}-{time[4:6]}-{time[6:8]} {time[9:11]}:{time[11:13]}:{time[13:15]}"
    try:
        outcome = load(path).outcome
    except SetupError as error:
        return Listed(str(path), when, command, clean(str(error.details["detail"])), None)
    if outcome is None:
        return Listed(str(path), when, command, "did not come to its end", None)
    return Listed(str(path), when, command, outcome.outcome, outcome.exit_code)


def _cleaned(value: Any) -> Any:
    """The same with every text in it cleaned."""
    match value:
        case str():
            return clean(value)
        case dict():
            return {clean(key): _cleaned(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(_cleaned(item) for item in value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{name: _cleaned(member) for name, member in vars(value).items()})
        case _:
            return value
