"""Copies of a state file without its secrets, for this user's eyes alone (M10)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from core import files
from core.errors import SetupError
from core.machine import paths
from core.machine.statefile import content
from core.secret import looks_secret

#: Copies of one tenant and app that are kept.
KEPT: Final = 5


def harmless(members: Mapping[str, Any], secret_member: str) -> dict[str, Any]:
    """The members without the secret, and without every other one that holds something that looks like one.

    :param secret_member: left out whatever it holds.
    """
    return {
        name: value
        for name, value in members.items()
        if name != secret_member and not looks_secret(json.dumps({name: value}))
    }


def save(path: Path, members: Mapping[str, Any]) -> None:
    """Write a copy: folder 0700, file 0600, flushed, all or nothing.

    :param path: in a folder that holds nothing but copies.
    :param members: what `harmless` left.
    :raises SetupError: `rollback.backup`: then there is no copy.
    """
    try:
        paths.private(path.parent)
        with files.beside(path, content(dict(members)), start=f".{path.name}.") as put:
            put()
    except OSError as error:
        raise SetupError("rollback.backup", path=path, detail=error.strerror or error) from None


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
