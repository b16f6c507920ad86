"""A file about an error of this program: where it happened, and what happened before; no values, no secrets (D4)."""

from __future__ import annotations

import os
import platform
import sys
import uuid
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from core import __version__, files
from core.machine import paths
from core.profile import Profile
from core.secret import redactor


def write(trace: str, log: Iterable[str], now: datetime) -> Path:
    """Write one.

    :param trace: a traceback without local variables.
    :param log: the last lines of the run's log.
    :returns: its path; the name holds the incident's id.
    :raises OSError: it cannot be written.
    :raises SetupError: its folder is somebody else's.
    """
    folder = paths.state_folder(Profile()) / "incidents"
    paths.private(folder)
    path = folder / f"{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}.txt"
    head = f"entraclaw-setup {__version__}, Python {platform.python_version()}, {sys.platform}, {now.isoformat()}"
    text = redactor.redact("\n".join([head, "", trace, "", "Before that:", *list(log)[-200:]]) + "\n")
    with os.fdopen(files.created(path), "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return path
