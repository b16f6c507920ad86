"""Copies of a state file without its secrets, for this user's eyes alone (M10)."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from core.errors import SetupError
from core.machine import paths
from core.machine.statefile import StateFile, flush_folder
from core.secret import looks_secret

#: Copies of one tenant and app that are kept.
KEPT: Final = 5


def harmless(file: StateFile, secret_member: str) -> bytes:
    """The content without the secret, and without every other member that holds something that looks like one.

    :param secret_member: left out whatever it holds.
    :raises SetupError: as `StateFile.read`.
    """
    return file.without({secret_member, *file.where(looks_secret)})


def save(path: Path, content: bytes) -> None:
    """Write a copy: folder 0700, file 0600, flushed, all or nothing.

    :param path: in a folder that holds nothing but copies.
    :param content: what `harmless` left.
    :raises SetupError: `rollback.backup`: then there is no copy.
    """
    temporary: str | None = None
    try:
        paths.private(path.parent)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        temporary = None
        flush_folder(path.parent)
    except OSError as error:
        raise SetupError("rollback.backup", path=path, detail=error.strerror or error) from None
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink()


def prune(path: Path) -> None:
    """Remove the oldest copies of the same tenant and app.

    :param path: the newest one.
    :raises SetupError: `rollback.backup`.
    """
    start = path.name.rpartition("_")[0]
    copies = sorted(found for found in path.parent.glob("*.json") if found.name.rpartition("_")[0] == start)
    try:
        for old in copies[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise SetupError("rollback.backup", path=old, detail=error.strerror or error) from None
