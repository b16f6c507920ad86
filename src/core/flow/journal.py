"""The journal of one tenant and app: what was intended, what was done, and the marker (M4, M5, M8).

One JSON line per entry, flushed to the disk before the effect happens. It is a hint, not a truth: steps look at reality
first and use the journal to recognise their own work after a crash. It never holds a secret.

Entries of one undertaking lie between two `closed` lines; a run that finds an open part continues that undertaking.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core import files, paths
from core.clock import Clock
from core.display import quoted
from core.errors import Effected, SetupError
from core.events import ChangeMade
from core.flow.audit import Audit, Ending
from core.secret import looks_secret, redactor


@dataclass
class Effect:
    """One effect of the open undertaking.

    :param number: its number in the file.
    :param action: action-shaped name, for example `graph.application.addKey`.
    :param data: identifiers that the undo needs.
    :param audited: its number in the audit log of this run; None: another run began it.
    :param state: `intend` (nobody knows whether it happened), `done`, `failed` or `undone`.
    """

    number: int
    action: str
    target: str
    data: dict[str, Any] = field(default_factory=dict)
    state: str = "intend"
    audited: int | None = field(default=None, compare=False)

    @property
    def standing(self) -> bool:
        """Whether it happened, or may have happened, and was not undone."""
        return self.state in ("intend", "done")


class Journal:
    """An append-only file.

    :param path: where it lies; made with mode 0600 when the first entry is written.
    :param run: id of this run.
    :param flow: name of the flow that writes; `resume` and `undo` find it again.
    :param audit: told of every effect, too (D3).
    :ivar flow: name of the flow whose undertaking is open, else empty.
    :ivar marked: whether the point of no return was passed, by this run (`marked_here`) or an earlier one.
    :raises SetupError: `journal.broken` for an unreadable entry that is not the torn last line of a crash;
        `folder.unsafe`.
    """

    def __init__(self, path: Path, run: str, clock: Clock, flow: str = "", audit: Audit | None = None) -> None:
        self.path = path
        self._run = run
        self._flow = flow
        self._audit = audit or Audit()
        self.flow = ""
        self._clock = clock
        self._content = b""  # all that was read and written, for the case that the file is removed
        self._number = 0
        self.effects: list[Effect] = []
        self._over: tuple[Effect, ...] = ()
        self.marked = False
        self.marked_here = False
        self.resumed = False
        self._load()

    def standing(self, *actions: str) -> list[Effect]:
        """Effects of these kinds, or of any, in the open undertaking that happened or may have, oldest first."""
        return [effect for effect in self.effects if effect.standing and (effect.action in actions or not actions)]

    def did(self, *actions: str) -> list[Effect]:
        """What the undertaking came to, also after this run has closed it: its effects of these kinds, or of any."""
        effects = [effect for effect in (*self._over, *self.effects) if effect.standing]
        return [effect for effect in effects if effect.action in actions or not actions]

    @contextmanager
    def effect(self, action: str, target: str, emit: Any = None, **data: Any) -> Iterator[Effect]:
        """Surround an effect: written before it, closed after it, also when it fails.

        An effect that raises is closed as `failed` only if the error proves that nothing happened;
        otherwise it stays open, and the next look at reality decides.

        :param action: action-shaped name.
        :param target: the object, by id.
        :param emit: receives `ChangeMade` when it is done.
        :param data: identifiers for the undo; no secrets.
        :raises SetupError: `journal.io`, `journal.secret`, `file.unsafe`: then the effect did not happen.
        """
        entry = self.intend(action, target, **data)
        try:
            yield entry
        except SetupError as error:
            if error.effected is Effected.NO:
                self.failed(entry)
            else:
                self._tell(entry, "unknown")
            raise
        self.done(entry, emit)

    def intend(self, action: str, target: str, **data: Any) -> Effect:
        """Note an effect that is about to happen; for several at once, where `effect` does not fit.

        :raises SetupError: `journal.io`, `journal.secret`, `audit.io`, `file.unsafe`: then it must not happen.
        """
        self._number += 1
        entry = Effect(self._number, action, target, dict(data))
        self._write(state="intend", n=entry.number, action=action, target=target, data=entry.data, flow=self._flow)
        try:
            entry.audited = self._audit.begin(action)
        except SetupError:
            self._write(state="failed", n=entry.number, data=entry.data)
            raise
        self.effects.append(entry)
        return entry

    def done(self, effect: Effect, emit: Any = None) -> None:
        """Close an effect that happened."""
        self._close(effect, "done")
        if emit is not None:
            emit(ChangeMade(effect.action, effect.target))

    def failed(self, effect: Effect) -> None:
        """Close an effect that certainly did not happen."""
        self._close(effect, "failed")

    def undone(self, effect: Effect) -> None:
        """Close an effect that was reversed."""
        self._close(effect, "undone")

    def mark(self) -> None:
        """Write the point of no return; it is on the disk when this returns."""
        self._write(state="marker", flow=self._flow)
        self.marked = self.marked_here = True

    def unmark(self) -> None:
        """Take the marker back: the first deletion was refused and nothing was deleted (M5)."""
        self._write(state="unmarked")
        self.marked = False

    def close(self, outcome: str) -> None:
        """End the undertaking; nothing is written when it never began. What it came to is known to `did`."""
        if self.effects or self.marked:
            self._write(state="closed", outcome=outcome)
        self._over = (*self._over, *self.effects)
        self.effects.clear()
        self.marked = False

    def _close(self, effect: Effect, state: Literal["done", "failed", "undone"]) -> None:
        effect.state = state
        self._write(state=state, n=effect.number, data=effect.data)
        self._tell(effect, state)

    def _tell(self, effect: Effect, ending: Ending) -> None:
        """Tell the audit log how an effect ended; one of an earlier run, which was cut off, ends in this one."""
        if effect.audited is None:
            effect.audited = self._audit.begin(effect.action)
        self._audit.end(effect.audited, ending)

    def _write(self, **entry: Any) -> None:
        line = json.dumps({"time": self._clock.now().isoformat(), "run": self._run, **entry})
        if looks_secret(line):  # the name of something may look like one
            parts = [str(entry.get("target", "")), *map(str, dict(entry.get("data") or {}).values())]
            value = next((part for part in parts if looks_secret(part)), "its data")
            raise SetupError("journal.secret", path=self.path, value=quoted(redactor.redact(value)))
        try:
            paths.private(self.path.parent)
            lost = self._lost()
            before, new = self._content, line.encode() + b"\n"
            # what is dropped is the torn last line of a crash
            files.append(self.path, before + new if lost else new, after=0 if lost else len(before))
            self._content += new
            if lost:
                files.flush_folder(self.path.parent)
        except OSError as error:
            raise SetupError("journal.io", path=self.path, detail=error.strerror or error) from None

    def _lost(self) -> bool:
        """Whether what was written before is not there any more: somebody removed the folder, or there was none.

        :raises SetupError: `journal.io`: another run has written it meanwhile, so the lock was removed, too.
        """
        files.check(self.path)
        there = self.path.read_bytes() if self.path.exists() else b""
        if there.startswith(self._content) and self._content:
            if b"\n" in there[len(self._content) :]:
                raise SetupError("journal.io", path=self.path, detail="another run has written to it meanwhile")
            return False
        if not self._content.startswith(there) and b"\n" in there:
            raise SetupError("journal.io", path=self.path, detail="another run has replaced it meanwhile")
        return True

    def _load(self) -> None:
        try:
            if not self.path.is_file() and self.path.exists():
                raise SetupError("journal.io", path=self.path, detail="it is not a regular file")
            if self.path.parent.exists():
                paths.refuse_foreign(self.path.parent)  # looking changes nothing; whoever writes closes the folder
            content = self.path.read_bytes()
            paths.refuse_foreign(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise SetupError("journal.io", path=self.path, detail=error.strerror or error) from None
        self._content = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(self._content.splitlines(), 1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise SetupError("journal.broken", path=self.path, line=number) from None
        self.resumed = self.marked or bool(self.standing())

    def _take(self, entry: dict[str, Any]) -> None:
        match entry["state"]:
            case "intend":
                self._number = int(entry["n"])
                self.effects.append(Effect(self._number, entry["action"], entry["target"], entry["data"]))
                self.flow = str(entry.get("flow", ""))
            case "done" | "failed" | "undone" as state:
                for effect in self.effects:
                    if effect.number == entry["n"]:
                        effect.state, effect.data = state, entry["data"]
            case "marker":
                self.marked = True
                self.flow = str(entry.get("flow", ""))
            case "unmarked":
                self.marked = False
            case "closed":
                self.effects.clear()
                self.marked = False
                self.flow = ""
            case _:
                raise ValueError(entry["state"])


def history(path: Path, clock: Clock) -> tuple[Effect, ...]:
    """Every effect that a journal names, if no undertaking is open in it; else none.

    :raises SetupError: `journal.broken`, `journal.io`, `folder.unsafe`.
    """
    if Journal(path, "", clock).resumed:
        return ()
    lines = (json.loads(line) for line in path.read_bytes().splitlines() if line.endswith(b"}"))
    entries = [entry for entry in lines if entry["state"] == "intend"]
    return tuple(Effect(int(e["n"]), e["action"], e["target"], e["data"]) for e in entries)
