"""What the interpreter and libraries print when nobody else does: type and place, no values (D4).

A message of a mistake, a warning of a library, the name of a thread may hold whatever was at hand, so none of them is
printed. Only the program installs these: whoever uses `core` as a library keeps its own.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from contextlib import suppress
from typing import Any, TextIO

from core.secret import redactor
from core.trace import places

_events = False


def install(*, events: bool) -> None:
    """Take over, for the whole life of the process; faulthandler alone stays, which knows places only.

    :param events: what is printed is an event, like all else on standard error with `--json`.
    """
    global _events  # noqa: PLW0603  the interpreter has one of each of these, too
    _events = events
    sys.excepthook = lambda kind, error, trace: _bug("at the end", error)
    threading.excepthook = lambda what: _bug("in a thread", what.exc_value)
    sys.unraisablehook = lambda what: _bug("where nothing can be raised", what.exc_value)
    warnings.showwarning = lambda message, category, filename, lineno, file=None, line=None: _say(
        "warning", f"{category.__name__} at {filename}:{lineno}"
    )
    logging.lastResort = _Reports()
    logging.lastResort.setLevel(logging.ERROR)  # what is less, whoever calls the library tells in words of their own
    logging.raiseExceptions = False  # a report that cannot be made would print its arguments


class _Reports(logging.StreamHandler[TextIO]):
    """What libraries report, and nobody listens to; asyncio tells of a task that failed this way."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        where = f"\n{places(error)}" if error is not None else ""
        _say("report", f"{record.name} reports an error at {record.pathname}:{record.lineno}{where}")


def _bug(moment: str, error: BaseException | None) -> None:
    if error is None or isinstance(error, KeyboardInterrupt):
        return
    with suppress(Exception):  # at the very end of the interpreter nothing is there any more, and nobody is told
        _say("bug.internal", f"a bug in this program or in a library, {moment} [bug.internal]\n{places(error)}")


def _say(id: str, text: str) -> None:
    stream: Any = sys.stderr
    if stream is None:
        return
    with suppress(OSError, ValueError):  # it is closed
        if not _events:
            print(redactor.redact(f"entraclaw-setup: {text}"), file=stream, flush=True)
            return
        from core.events import Finding
        from wizard.console.ndjson import Ndjson

        Ndjson(stream, None).event(Finding(id, "warning", text))
