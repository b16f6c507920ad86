"""Events as JSON lines, one result object at the end (U4). Standard output is the result and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

from core.events import Event, Question, result_object, to_json
from core.secret import redacted


class Ndjson:
    """Events to one stream, the result to another.

    :param events: receives a line per event; None drops them.
    :param out: receives the result object.
    :param now: the time of an event.
    """

    def __init__(
        self, events: TextIO | None, out: TextIO | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._events, self._now = events, now
        self._out = out

    def event(self, event: Event) -> None:
        """Write one event."""
        if self._events is not None:
            fields = json.loads(to_json(event, self._now().isoformat(timespec="milliseconds")))
            line = json.dumps(redacted(fields))
            print(line, file=self._events, flush=True)

    def ask(self, question: Question) -> bool:
        """Machines are not asked: the caller decides what an unasked question means."""
        raise NotImplementedError(question.id)

    def result(self, command: str, outcome: str, code: int, data: dict[str, Any], errors: list[dict[str, Any]]) -> None:
        """Write the result object."""
        if self._out is not None:
            body = result_object(command, outcome, code, data, errors)
            print(json.dumps(redacted(body)), file=self._out, flush=True)
