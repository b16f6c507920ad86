"""Before a run begins, and when its result is told: signals, and the form in which a mistake is told (U4, U5).

A signal that comes before is kept for the run, which ends by it as by any other. One that comes after is too late: the
exit code is the one of the result.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from types import FrameType
from typing import Final

NUMBERS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_heard: list[int] = []


def listen() -> None:
    """Keep every signal for the run that begins."""
    for number in NUMBERS:
        signal.signal(number, _keep)


def heard() -> int:
    """The signal that came before the run, once; 0 if there was none."""
    return _heard.pop(0) if _heard else 0


def deafen() -> None:
    """From here on no signal ends the process; the interpreter itself would put the system's way back at its end."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def json_wanted(argv: Sequence[str]) -> bool:
    """Whether the result is an object, as far as that can be known before the arguments are read.

    :param argv: all of them.
    """
    return "--json" in argv or os.environ.get("ENTRACLAW_SETUP_JSON", "").lower() in ("1", "true", "yes", "on")


def _keep(number: int, frame: FrameType | None) -> None:
    _heard.append(number)
