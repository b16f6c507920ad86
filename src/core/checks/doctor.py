"""doctor: looks at everything, changes nothing, and says of each thing what was seen and what to do (D1).

What cannot be seen is said, and why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Final

from core.checks import app, azure_cli, computer, keystore, network, project
from core.checks.base import Check, Group, Verdict
from core.checks.runner import Examination, Seen
from core.errors import Interrupted, SetupError
from core.errors.exit_codes import ExitCode
from core.events import Checked, FlowStarted, StageStarted
from core.flow.engine import Result, ended
from core.steps.context import Context

GROUPS: Final = (
    Group("computer", "This computer", computer.CHECKS),
    Group("project", "Project", project.CHECKS),
    Group("keystore", "Keystore", keystore.CHECKS),
    Group("network", "Network", network.CHECKS),
    Group("azure", "Azure", azure_cli.CHECKS),
    Group("app", "App registration", app.CHECKS),
)
_GROUP_OF: Final = {check: group for group in GROUPS for check in group.checks}


def names() -> tuple[str, ...]:
    """Of all checks, in the order in which they are told."""
    return tuple(check.name for check in _GROUP_OF)


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
    shown = ""

    def show(check: Check, seen: Seen) -> None:
        nonlocal shown
        group, verdict = _GROUP_OF[check], seen.verdict
        if group.name != shown:
            shown = group.name
            ctx.emit(StageStarted(group.name, group.title))
        mends, seconds = verdict.fix.what if verdict.fix is not None else "", round(seen.seconds, 3)
        told = (verdict.state, verdict.evidence, verdict.remedy, seconds, mends)
        ctx.emit(Checked(group.name, check.name, check.title, *told))

    examination = Examination(ctx, tuple(_GROUP_OF), only or names(), show, monotonic)
    examination.look()
    result = _result(examination, mended=fix and not ctx.settings.dry_run and _mend(ctx, examination, show))
    return ended(ctx, "doctor", result, start)


def _mend(ctx: Context, examination: Examination, show: Callable[[Check, Seen], None]) -> bool:
    """Do what is safe, one after the other; then look again at all, because one thing shows in others."""
    diagnosis, seen, mended = examination.diagnosis, examination.seen, False
    tried: list[str] = []
    try:
        for check in examination.told:
            fix = seen[check.name].verdict.fix
            if fix is None:
                continue
            ctx.cancel.check()
            said, problems = diagnosis.carry_out(fix)
            again = diagnosis.verdicts[check.name] = diagnosis.examine(check)
            done = len(fix.acts) - len(problems)
            word = "not mended" if not done or (again.fix and not problems) else "mended"
            word += " in part" if done and problems else ""
            told = [*said, *(f"It could not be mended: {problem.evidence}" for problem in problems)]
            evidence = "\n".join([f"{word} ({fix.what}): {again.evidence}", *told])
            state = Verdict.all((again, *problems), "").state
            seen[check.name].verdict = Verdict(state, evidence, again.remedy, again.fix)
            mended |= word != "not mended"
            show(check, seen[check.name])
            tried.append(check.name)
        if mended:
            before = dict(seen)
            examination.look()
            seen |= {name: before[name] for name in tried}
            for check in examination.told:
                if seen[check.name].verdict != before[check.name].verdict:
                    show(check, seen[check.name])
    except Interrupted as stop:
        standing = "What is told as mended was changed." if diagnosis.mended else "Nothing was changed."
        raise stop.copy(standing=standing) from None
    return mended


def _result(examination: Examination, *, mended: bool) -> Result:
    verdicts = {check.title: examination.seen[check.name].verdict for check in examination.told}
    states = [verdict.state for verdict in verdicts.values()]
    counts = {"ok": "ok", "warning": "warning(s)", "failure": "failure(s)", "unseen": "not seen"}
    listing = ", ".join(f"{sum(state == s for state in states)} {word}" for s, word in counts.items())
    result = Result("changed" if mended else "unchanged", ExitCode.DONE)
    result.summary = (f"{len(states)} checks: {listing}.",)
    if failed := [title for title, verdict in verdicts.items() if verdict.state == "failure"]:
        mends = any(verdict.fix is not None and verdict.state != "ok" for verdict in verdicts.values())
        fix = " 'entraclaw-setup doctor --fix' mends what is safe to mend." if mends else ""
        error = SetupError("doctor.failed", count=len(failed), listing="; ".join(failed), fix=fix)
        result.outcome, result.exit_code = "failed", error.exit_code
        result.errors.append(error.as_dict())
    return result
