"""The diagnosis of an installation that is too broken to diagnose anything else: nothing of it is imported here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from core.errors import SetupError
from core.events import Checked, Event, FlowFinished, FlowStarted
from core.flow.engine import Result
from core.machine.packages import Package

REMEDY = "Install entraclaw-setup anew: pipx reinstall entraclaw-setup"


def faults(packages: Iterable[Package]) -> list[str]:
    """What is wrong with each that will not do, in words."""
    return [f"{package.name} {package.found}".rstrip() + f": {package.why}" for package in packages if not package.ok]


def diagnose(packages: Iterable[Package], error: ImportError, run: str, emit: Callable[[Event], None]) -> Result:
    """Tell what is missing, and that nothing else could be looked at.

    :param error: what came up when this program was loaded.
    """
    evidence = "\n".join(faults(packages)) or f"{error}"
    rest = "this program cannot be loaded without that"
    emit(FlowStarted("doctor", run))
    emit(Checked("computer", "packages", "Python packages", "failure", evidence, REMEDY))
    emit(Checked("computer", "rest", "Everything else", "unseen", rest))
    failed = SetupError("doctor.failed", count=1, listing="Python packages")
    summary = ("1 failure(s). Everything else was not seen.",)
    emit(FlowFinished("doctor", "failed", failed.exit_code, summary, 0.0))
    return Result("failed", failed.exit_code, summary=summary, errors=[failed.as_dict()])
