"""What keeps a demo away from everything real (U8)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from core.config.options import OPTIONS
from core.errors import SetupError

#: What a demo must not be pointed at (U8).
_NOT_IN_DEMO: Final = ("project", "profile", "cloud", "answers", "log_file", "tenant", "app_id")


def refuse(given: Mapping[str, Any]) -> None:
    """Refuse what would point a demo at something real (U8).

    :raises SetupError: `usage.settings`.
    """
    refuse_options(given, _NOT_IN_DEMO, "demo", "demo")


def refuse_options(given: Mapping[str, Any], absent: Iterable[str], place: str, command: str) -> None:
    """Refuse options that promise what is not done.

    :param absent: their names.
    :param place: in which they have no place.
    :raises SetupError: `usage.settings`.
    """
    for name in absent:
        if given.get(name) is not None:
            detail = f"{OPTIONS[name].flag} has no place in a {place}"
            raise SetupError("usage.settings", detail=detail, command=command)


def isolate(folder: str) -> None:
    """Move home, configuration and working directory into a folder, and drop variables that reach real things (U8).

    :param folder: fresh and private.
    """
    prefixes = ("ENTRACLAW_", "AZURE_", "KEYRING_", "PYTHON_KEYRING_", "ARM_", "REQUESTS_CA_", "CURL_CA_")
    for name in list(os.environ):
        if name.upper().startswith(prefixes) or name.lower().endswith("_proxy") or name == "DBUS_SESSION_BUS_ADDRESS":
            del os.environ[name]
    places = {"HOME": "", "USERPROFILE": "", "XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "data"}
    places |= {"XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache", "XDG_RUNTIME_DIR": "run", "LOCALAPPDATA": "local"}
    for name, below in places.items():
        os.environ[name] = str(Path(folder, below))
    os.environ["NETRC"] = os.devnull
    os.chdir(folder)
