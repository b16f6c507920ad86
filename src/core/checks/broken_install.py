"""The diagnosis of an installation that is too broken to diagnose anything else: nothing of it is imported here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from core.errors import SetupError
from core.events import Checked, Event, FlowFinished, FlowStarted
from core.flow.engine import Result
from core.machine.python_packages import Package

REMEDY = "Install entraclaw-setup anew: pipx reinstall entraclaw-setup"


def faults(packages: Iterable[Package]) -> list[str]:
    """What is wrong with each that will not do, in words."""
    return [f"{package.name} {package.found}".rstrip() + f": {package.why}" for package in packages if not package.ok]


def diagnose(
    packages: Iterable[Package], error: ImportError | SetupError, run: str, emit: Callable[[Event], None]
) -> Result:
    """Tell what is in the way, and that nothing else could be looked at.

    :param error: what came up when this program was loaded, or when its settings were.
    """
    emit(FlowStarted("doctor", run))
    broken = "\n".join(faults(packages))
    if isinstance(error, SetupError):
        told, title = f"{error.summary} [{error.id}]", "Settings"
        fine = ", ".join(f"{package.name} {package.found}" for package in packages)
        emit(Checked("computer", "packages", "Python packages", "failure" if broken else "ok", broken or fine))
        emit(Checked("computer", "settings", title, "failure", told, error.remedy))
    else:
        title = "Python packages"
        emit(Checked("computer", "packages", title, "failure", broken or f"{error}", REMEDY))
    emit(Checked("computer", "rest", "Everything else", "unseen", "this program cannot begin without that"))
    failed = SetupError("doctor.failed", count=1, listing=title, fix="")
    summary = ("1 failure(s). Everything else was not seen.",)
    emit(FlowFinished("doctor", "failed", failed.exit_code, summary, 0.0))
    return Result("failed", failed.exit_code, summary=summary, errors=[failed.as_dict()])
