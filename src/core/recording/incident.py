"""A file about an error of this program: where it happened, and what happened before; no values, no secrets (D4)."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from core import __version__, files, paths
from core.config.profile import Profile
from core.secret import redactor


def write(id: str, trace: str, log: Iterable[str], now: datetime) -> Path:
    """Write one.

    :param id: of the incident.
    :param trace: what happened, as `core.trace` says it.
    :param log: the last lines of the run's log.
    :returns: its path; the name holds the id.
    :raises OSError: it cannot be written.
    :raises SetupError: its folder is somebody else's.
    """
    folder = paths.state_folder(Profile()) / "incidents"
    paths.private(folder)
    path = folder / f"{now:%Y%m%dT%H%M%SZ}-{id}.txt"
    head = f"entraclaw-setup {__version__}, Python {platform.python_version()}, {sys.platform}, {now.isoformat()}"
    text = redactor.redact("\n".join([head, "", trace, "", "Before that:", *list(log)[-200:]]) + "\n")
    with os.fdopen(files.created(path), "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return path
