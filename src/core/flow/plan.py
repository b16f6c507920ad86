"""The plan of a run as data (M2): what will change, and a fingerprint over what the yes was given for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from core.events import Action, ChangePlanned


@dataclass(frozen=True)
class PlanRow:
    """One change.

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

    def as_event(self) -> ChangePlanned:
        """The event that shows this row."""
        return ChangePlanned(**asdict(self))


@dataclass(frozen=True)
class Plan:
    """All changes of a run.

    :param basis: what the yes binds to: tenant, app, certificate, permissions, files. Password credentials are not
        part of it, because the yes covers each that is there or appears during the run (M2).
    """

    changes: tuple[PlanRow, ...]
    basis: Mapping[str, Any]

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return all(change.action == "keep" for change in self.changes)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the basis, 16 hexadecimal digits."""
        canonical = json.dumps(self.basis, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
