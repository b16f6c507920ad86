"""doctor: looks at everything, changes nothing, and says of each thing what was seen and what to do (D1).

Checks run at the same time, a few at a time, as soon as what they build on is known; they are told in their order, so
that two diagnoses can be compared. What cannot be seen is said, and why.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final

from core.checks import app, azure_cli, computer, keystore, network, project
from core.checks.base import Check, Diagnosis, Group, Verdict
from core.errors import Interrupted, SetupError
from core.errors.exit_codes import ExitCode
from core.events import Checked, Event, FlowFinished, FlowStarted, StageStarted
from core.flow.engine import Result
from core.steps.context import Context

GROUPS: Final[tuple[Group, ...]] = (
    computer.GROUP,
    project.GROUP,
    keystore.GROUP,
    network.GROUP,
    azure_cli.GROUP,
    app.GROUP,
)
#: Checks at a time.
LIMIT: Final = 6
_SLICE: Final = 0.1


@dataclass
class _Seen:
    verdict: Verdict
    seconds: float


def names() -> tuple[str, ...]:
    """Of all checks, in the order in which they are told."""
    return tuple(check.name for group in GROUPS for check in group.checks)


def diagnose(
    ctx: Context,
    only: Collection[str] = (),
    *,
    fix: bool = False,
    monotonic: Callable[[], float] = time.monotonic,
) -> Result:
    """Look, and tell.

    :param ctx: with the state file not read yet.
    :param only: names of checks; empty: all. What they build on is looked at as well, and not told.
    :param fix: mend what is safe to mend, and look at that again.
    :param monotonic: the time that a check's patience is measured with, in seconds.
    :returns: `CHECK_FAILED` when a check fails, else `DONE`.
    :raises SetupError: `usage.settings`: there is no such check.
    :raises Interrupted: somebody asked to stop.
    """
    if unknown := sorted(set(only) - set(names())):
        detail = f"there is no check '{unknown[0]}'; there are: {', '.join(names())}"
        raise SetupError("usage.settings", detail=detail, command="doctor")
    start = ctx.clock.monotonic()
    ctx.emit(FlowStarted("doctor", ctx.run_id))
    told = set(only or names())
    examination = _Examination(ctx, told, monotonic)
    result = _result(examination.run(fix=fix and not ctx.settings.dry_run), told, mended=examination.mended)
    seconds = ctx.clock.monotonic() - start
    ctx.emit(FlowFinished("doctor", result.outcome, result.exit_code, result.summary, seconds))
    return result


class _Examination:
    """The checks under way. Only this thread reports; the others tell it."""

    def __init__(self, ctx: Context, told: set[str], monotonic: Callable[[], float]) -> None:
        self._ctx, self._told, self._monotonic = ctx, told, monotonic
        self._heard: SimpleQueue[Event | tuple[Check, Verdict, float]] = SimpleQueue()
        self._diagnosis = Diagnosis(ctx, self._heard.put)
        self._seen: dict[str, _Seen] = {}
        self._shown: set[str] = set()
        self._group = ""
        self.mended = False

    def run(self, *, fix: bool) -> dict[str, _Seen]:
        """Look at all; what each came to, by name."""
        self._look(_closure(self._told))
        if fix:
            try:
                self._mend()
            except Interrupted as stop:
                mended = "What is told as mended was changed." if self._diagnosis.mended else "Nothing was changed."
                raise stop.copy(standing=mended) from None
        return self._seen

    def _look(self, names: set[str]) -> None:
        waiting = [check for check in _checks() if check.name in names]
        running: dict[str, float] = {}
        while waiting or running:
            for check in list(waiting):
                if len(running) < LIMIT and not (set(check.needs) & names) - self._diagnosis.verdicts.keys():
                    waiting.remove(check)
                    running[check.name] = self._monotonic()
                    threading.Thread(target=self._work, args=(check,), name=f"check-{check.name}", daemon=True).start()
            try:
                heard = self._heard.get(timeout=_SLICE)
            except Empty:
                self._ctx.cancel.check()
                for check in [_check(name) for name in running]:
                    if self._monotonic() - running[check.name] > check.patience:
                        evidence, remedy = f"no answer within {check.patience:.0f} s", "Run it again: --check "
                        late = Verdict("failure", evidence, remedy + check.name)
                        self._take(check, late, check.patience, running)
                continue
            if not isinstance(heard, tuple):
                self._ctx.emit(heard)
            elif heard[0].name in running:  # else it was given up
                self._take(*heard, running)

    def _work(self, check: Check) -> None:
        clock = self._ctx.clock
        start = clock.monotonic()
        try:
            verdict = self._diagnosis.examine(check)
        except Interrupted:
            return  # whoever asked for it ends the rest
        self._heard.put((check, verdict, clock.monotonic() - start))

    def _take(self, check: Check, verdict: Verdict, seconds: float, running: dict[str, float]) -> None:
        del running[check.name]
        self._diagnosis.verdicts[check.name] = verdict
        self._seen[check.name] = _Seen(verdict, seconds)
        for each in _checks():  # in order, as far as it is known
            if each.name in self._told and each.name not in self._shown:
                if each.name not in self._seen:
                    break
                self._show(each)

    def _show(self, check: Check) -> None:
        self._shown.add(check.name)
        group = next(group for group in GROUPS if check in group.checks)
        if group.name != self._group:
            self._group = group.name
            self._ctx.emit(StageStarted(group.name, group.title))
        seen = self._seen[check.name]
        fix = seen.verdict.fix.what if seen.verdict.fix is not None else ""
        self._ctx.emit(
            Checked(
                group.name,
                check.name,
                check.title,
                seen.verdict.state,
                seen.verdict.evidence,
                seen.verdict.remedy,
                round(seen.seconds, 3),
                fix,
            )
        )

    def _mend(self) -> None:
        """Do what is safe, one after the other; then look again at all, because one thing shows in others."""
        tried = []
        for check in _checks():
            fix = self._seen[check.name].verdict.fix if check.name in self._told else None
            if fix is None:
                continue
            self._ctx.cancel.check()
            said, problems = self._diagnosis.carry_out(fix)
            again = self._diagnosis.verdicts[check.name] = self._diagnosis.examine(check)
            done = len(fix.acts) - len(problems)
            word = "not mended" if not done or (again.fix and not problems) else "mended"
            word += " in part" if done and problems else ""
            told = [*said, *(f"It could not be mended: {problem.evidence}" for problem in problems)]
            evidence = "\n".join([f"{word} ({fix.what}): {again.evidence}", *told])
            state = Verdict.all((again, *problems), "").state
            self._seen[check.name].verdict = Verdict(state, evidence, again.remedy, again.fix)
            self.mended |= word != "not mended"
            self._show(check)
            tried.append(check.name)
        if self.mended:
            before, self._diagnosis.verdicts = dict(self._seen), {}
            self._look(_closure(self._told))
            self._seen |= {name: before[name] for name in tried}
            for check in _checks():
                if check.name in self._told and self._seen[check.name].verdict != before[check.name].verdict:
                    self._show(check)


def _checks() -> Iterator[Check]:
    for group in GROUPS:
        yield from group.checks


def _check(name: str) -> Check:
    return next(check for check in _checks() if check.name == name)


def _closure(names: set[str]) -> set[str]:
    """The checks of these names, and all that they build on."""
    found = set(names)
    while more := {need for name in found for need in _check(name).needs} - found:
        found |= more
    return found


def _result(seen: dict[str, _Seen], told: set[str], *, mended: bool) -> Result:
    states = [seen[name].verdict.state for name in names() if name in told]
    failed = [_check(name).title for name in names() if name in told and seen[name].verdict.state == "failure"]
    counts = {"ok": "ok", "warning": "warning(s)", "failure": "failure(s)", "unseen": "not seen"}
    listing = ", ".join(f"{sum(state == s for state in states)} {word}" for s, word in counts.items())
    result = Result("changed" if mended else "unchanged", ExitCode.DONE)
    result.summary = (f"{len(states)} checks: {listing}.",)
    if failed:
        mends = any(v.fix is not None and v.state != "ok" for v in (seen[name].verdict for name in told))
        fix = " 'entraclaw-setup doctor --fix' mends what is safe to mend." if mends else ""
        error = SetupError("doctor.failed", count=len(failed), listing="; ".join(failed), fix=fix)
        result.outcome, result.exit_code = "failed", error.exit_code
        result.errors.append(error.as_dict())
    return result
