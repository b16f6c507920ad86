"""The audit log of one user: JSON lines, on the disk before the effect they tell of (D3).

A line tells what is about to happen and who caused it; a second one, with the same run and number, how that ended. An
effect without a second line was cut off. There are no values in it: what an effect was done to, the journal of the same
run says.
"""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any, Final

from core import files, paths
from core.clock import Clock
from core.errors import Effected, SetupError
from core.flow.audit import Audit, Ending
from core.flow.facts import Facts
from core.secret import redactor
from core.steps.facts import SignedIn, Target

SCHEMA: Final = 1


class AuditLog(Audit):
    """A file that is only ever added to.

    :param path: made with mode 0600 when the first line is written.
    :param run: id of this run.
    :param facts: tell who is at work, once that is known.
    """

    def __init__(self, path: Path, run: str, clock: Clock, facts: Facts) -> None:
        self._path = path
        self._run = run
        self._clock = clock
        self._facts = facts
        self._numbers = count(1)

    def begin(self, resource: str) -> int:
        number = next(self._numbers)
        self._write(n=number, state="begun", resource=resource, by=self._by())
        return number

    def end(self, number: int, ending: Ending) -> None:
        self._write(n=number, state=ending)

    def _by(self) -> dict[str, str]:
        """Whoever is signed in, else the app whose key is used; empty before either is known: the bootstrap."""
        signed_in, target = self._facts.maybe(SignedIn), self._facts.maybe(Target)
        by = {} if signed_in is None else {"session": signed_in.account.user}
        if target is not None:
            by |= {name: value for name, value in (("tenant", target.tenant), ("app", target.app_id)) if value}
        return by

    def _write(self, **line: Any) -> None:
        told = {"schema": SCHEMA, "time": self._clock.now().isoformat(), "run": self._run, **line}
        text = redactor.redact(json.dumps(told))
        try:
            paths.private(self._path.parent)
            files.append(self._path, text.encode() + b"\n")
        except OSError as error:
            effected = Effected.NO if line["state"] == "begun" else Effected.UNKNOWN
            raise SetupError("audit.io", effected=effected, path=self._path, detail=error.strerror or error) from None
