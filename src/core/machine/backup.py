"""Copies of a state file without its secrets, for this user's eyes alone (M10)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from core import files, paths
from core.errors import SetupError
from core.machine.state_file import StateFile
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
    try:
        paths.private(path.parent)
        with files.beside(path, content, start=f".{path.name}.") as put:
            put()
    except OSError as error:
        raise SetupError("rollback.backup", path=path, detail=error.strerror or error) from None


def prune(path: Path) -> None:
    """Remove the oldest copies of the same tenant and app.

    :param path: the newest one.
    :raises SetupError: `rollback.backup`.
    """
    start, old = path.name.rpartition("_")[0], path
    copies = sorted(found for found in path.parent.glob("*.json") if found.name.rpartition("_")[0] == start)
    try:
        for old in (*copies[:-KEPT], *path.parent.glob(f".{start}_*")):  # and what a killed `save` left
            old.unlink(missing_ok=True)
    except OSError as error:
        raise SetupError("rollback.backup", path=old, detail=error.strerror or error) from None
