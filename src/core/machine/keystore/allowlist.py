"""Which other keyring backends an operator allows, and who said so (K5).

The sources are a flag, and a file of the user's own. The environment alone is none: what starts a program sets it, and
whoever can set it could point the key to a file of their choice.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from core.config.options import OPTIONS

_OPTION: Final = OPTIONS["allow_keyring_backend"]
FLAG: Final = _OPTION.flag
#: Counts only where the flag is given without a class.
VARIABLE: Final = _OPTION.instead
MEMBER: Final = "keyring_backend_allowlist"
_CLASS_PATH: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


def read(flags: Sequence[str], environ: Mapping[str, str], file: Path) -> dict[str, str]:
    """Class paths that are allowed, each with who allowed it.

    :param flags: values of the flag; `VARIABLE` stands for a flag without a value.
    :param environ: the environment.
    :param file: the user's configuration file; it may be missing.
    :raises SetupError: `usage.settings`, `usage.config-file`.
    """
    allowed: dict[str, str] = {}
    for value in flags:
        if value != VARIABLE:
            _add(allowed, [value], FLAG)
            continue
        listed = [part.strip() for part in environ.get(VARIABLE, "").split(",") if part.strip()]
        if not listed:
            detail = f"{FLAG} names no class, and {VARIABLE} is not set"
            _refuse("usage.settings", detail=detail, command=_OPTION.command)
        _add(allowed, listed, f"{VARIABLE} with {FLAG}")
    _add(allowed, _listed(file), str(file))
    return allowed


def _add(allowed: dict[str, str], paths: Iterable[str], who: str) -> None:
    for path in paths:
        if not _CLASS_PATH.fullmatch(path):
            detail = f"{who}: {path!r} is not the path of a class (module.Class)"
            _refuse("usage.settings", detail=detail, command=_OPTION.command)
        allowed.setdefault(path, who)


def _listed(path: Path) -> list[str]:
    """The list in the configuration file; a file that others could have written is an error, not ignored."""
    import tomllib

    from core import files

    try:
        with os.fdopen(files.readable(path), "rb") as file:
            if wrong := _unsafe(os.fstat(file.fileno())):
                _refuse("usage.config-file", path=path, detail=wrong)
            data = tomllib.loads(file.read().decode())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:  # neither UTF-8 nor TOML
        detail = "it is a symbolic link" if getattr(error, "errno", None) == errno.ELOOP else str(error)
        _refuse("usage.config-file", path=path, detail=detail)
    for name in data:
        if name != MEMBER:
            _refuse("usage.config-file", path=path, detail=f"{name} is not a setting")
    listed = data.get(MEMBER, [])
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        _refuse("usage.config-file", path=path, detail=f"{MEMBER} must be a list of texts")
    return listed


def _refuse(id: str, **details: Any) -> NoReturn:
    """Imported here: `--help` needs the names above, and no error."""
    from core.errors import SetupError

    raise SetupError(id, **details) from None


def _unsafe(found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode):
        return "it is not a regular file"
    if sys.platform == "win32":  # the user's profile has no owner id and no mode bits, but rights of its own
        return ""
    if found.st_uid != os.geteuid():
        return f"it belongs to the user with id {found.st_uid}"
    return "others than its owner can write it" if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""
