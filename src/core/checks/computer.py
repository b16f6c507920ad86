"""This computer: program, packages, tools, hardware, how long a key lives here, and the folder of this program."""

from __future__ import annotations

import errno
import os
import platform
import shlex
import stat
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from core import __version__, files, paths
from core.checks import broken_install
from core.checks.base import Check, Diagnosis, Fix, Verdict
from core.events import Grade
from core.machine import prerequisites


def _versions(diagnosis: Diagnosis) -> Verdict:
    system = f"{platform.system()} {platform.release()} ({platform.machine()})"
    python = f"Python {platform.python_version()} ({sys.executable})"
    return Verdict("ok", f"entraclaw-setup {__version__}, {python}, {system}")


def _packages(diagnosis: Diagnosis) -> Verdict:
    found = diagnosis.ctx.packages()
    bad = [Verdict("failure", fault, broken_install.REMEDY) for fault in broken_install.faults(found)]
    return Verdict.all(bad, ", ".join(f"{package.name} {package.found}" for package in found))


def _programs(diagnosis: Diagnosis) -> Verdict:
    seen = [tool for tool in diagnosis.ctx.tools() if tool.name not in (prerequisites.AZ, prerequisites.PYTHON)]
    bad = [
        Verdict("failure" if tool.required else "warning", f"{tool.name}: {tool.why}", tool.install)
        for tool in seen
        if not tool.ok
    ]
    return Verdict.all(bad, ", ".join(f"{tool.name}: {tool.found}" for tool in seen))


def _hardware(diagnosis: Diagnosis) -> Verdict:
    found = diagnosis.ctx.hardware()
    why = f"; {found.why}" if found.why else ""
    holder = "Nothing holds a key on Windows yet." if found.platform == "win32" else "The keystore holds the key."
    evidence = f"{found.found}{why}. This version makes no key in hardware. {holder}"
    if diagnosis.ctx.settings.hardware == "require":
        return Verdict("failure", evidence, "Leave --hardware require out.")
    return Verdict("ok", evidence, found.remedy)


def _lifetime(diagnosis: Diagnosis) -> Verdict:
    seen = diagnosis.ctx.lifetime
    if not seen:
        return Verdict("ok", "nothing says that this is a CI job or a container")
    if diagnosis.ctx.settings.key_outlives_job:
        return Verdict("ok", f"{'; '.join(seen)}; it was said that the keystore outlives it")
    remedy = (
        "Use a machine of your own, or workload identity federation; if the keystore does outlive it: "
        "--key-outlives-job."
    )
    return Verdict("warning", f"A key made here would be lost with the job: {'; '.join(seen)}", remedy)


def _folder(diagnosis: Diagnosis) -> Verdict:
    folder = paths.state_folder(diagnosis.ctx.profile)
    if not folder.exists():
        above = next(place for place in folder.parents if place.exists())
        if not os.access(above, os.W_OK | os.X_OK):
            return Verdict("failure", f"{folder} cannot be made: nothing can be written to {above}", "Grant the right.")
        return Verdict("ok", f"{folder} is not there yet")
    return Verdict.all(_open_places(folder), f"{folder}, for this user alone")


def _open_places(folder: Path) -> Iterator[Verdict]:
    """Folders and files of this program that others may read or write, or that are somebody else's."""
    if os.name != "posix":
        return
    if folder.is_symlink():
        yield Verdict("failure", f"{folder} is a link", "Put a folder in its place: what it leads to may be anybody's.")
        return
    me = os.environ.get("USER") or str(os.geteuid())
    for place in (folder, *sorted(folder.rglob("*"))):
        status = place.lstat()
        if status.st_uid != os.geteuid():
            remedy = f"Find out why. Then: sudo chown {me} {shlex.quote(str(place))}"
            yield Verdict("failure", f"{place} is another user's", remedy)
        elif not stat.S_ISLNK(status.st_mode) and status.st_mode & 0o077:
            yield closable(place, status.st_mode, "warning")


def closable(place: Path, mode: int, state: Grade) -> Verdict:
    """The verdict on a file or folder whose rights are too wide."""
    wanted = 0o700 if stat.S_ISDIR(mode) else 0o600
    order = f"chmod {wanted:o} {shlex.quote(str(place))}"
    evidence = f"{place} is open to other users (mode {stat.S_IMODE(mode):04o})"
    return Verdict(state, evidence, order, Fix(order, (partial(_close, place),)))


def _close(place: Path) -> None:
    """Take the rights on a file or folder from others; what it has become meanwhile is not touched.

    :raises OSError: it is a link, another user's, has a second name, or cannot be changed.
    """
    descriptor = files.readable(place)
    try:
        status = os.fstat(descriptor)
        folder = stat.S_ISDIR(status.st_mode)
        if status.st_uid != os.geteuid() or not (folder or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)):
            raise OSError(errno.EPERM, "it is another user's, has a second name, or is no regular file")
        os.fchmod(descriptor, 0o700 if folder else 0o600)
    finally:
        os.close(descriptor)


CHECKS: Final = (
    Check("versions", "Versions", _versions),
    Check("packages", "Python packages", _packages),
    Check("hardware", "Hardware key", _hardware),
    Check("lifetime", "Life of a key here", _lifetime),
    Check("state-folder", "Folder of this program", _folder),
    Check("programs", "Programs", _programs),
)
