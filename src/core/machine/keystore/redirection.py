"""What makes `keyring`, or a library below it, keep entries elsewhere than its class says: refused beforehand (K1).

docs/reference/what-libraries-read.md lists all that they read.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from core.errors import InsecureKeyringBackendError

#: keyring sets a property of a backend for each variable that has this text anywhere in its name; upper case only.
PROPERTY: Final = "KEYRING_PROPERTY_"
#: libsecret's own settings, each with the values that lead nowhere else (its secret-backend.c, secret-service.c).
LIBSECRET: Final = {
    "SECRET_BACKEND": ("", "service"),
    "SECRET_FILE_TEST_PATH": ("",),
    "SECRET_FILE_TEST_PASSWORD": ("",),
    "SECRET_SERVICE_BUS_NAME": ("", "org.freedesktop.secrets"),
}
#: Where one of these is, libsecret may keep a file of its own, under a password from the desktop's portal.
_FLATPAK: Final = Path("/.flatpak-info")
_SNAP: Final = "SNAP_NAME"


def refuse(environ: Mapping[str, str], config: Path) -> None:
    """Refuse the settings by which a good class would use another place, or another module.

    :param environ: the environment; no value of it is shown.
    :param config: keyring's configuration file; it may be missing.
    :raises InsecureKeyringBackendError: with the setting in place of a backend.
    """
    for name in sorted(environ):
        if PROPERTY in name:
            why = f"keyring takes the variable {name} for a setting of the backend, so entries may go elsewhere."
            raise InsecureKeyringBackendError("keyring", why, f"unset {name}")
    for name, harmless in LIBSECRET.items():
        if environ.get(name, "") not in harmless:
            why = f"the variable {name} makes libsecret keep entries elsewhere than in the Secret Service."
            raise InsecureKeyringBackendError("libsecret", why, f"unset {name}")
    if _has_path(config):
        why = "its keyring-path makes a folder the first that Python looks in, for the modules of this program too."
        raise InsecureKeyringBackendError(str(config), why, f"Remove the line keyring-path from {config}.")


def refuse_portal(backend: str, environ: Mapping[str, str], flatpak: Path = _FLATPAK) -> None:
    """Refuse libsecret inside a Snap or a Flatpak.

    :param backend: class of keyring's backend for libsecret.
    :raises InsecureKeyringBackendError: it is inside one.
    """
    inside = f"the variable {_SNAP} is set" if environ.get(_SNAP) is not None else ""
    inside = inside or (f"{flatpak} exists" if flatpak.exists() else "")
    if inside:
        why = f"in a Snap or a Flatpak ({inside}) libsecret may keep entries in a file of its own."
        fix = f"Run this outside of it (unset {_SNAP}), or by SecretStorage: unset PYTHON_KEYRING_BACKEND"
        raise InsecureKeyringBackendError(backend, why, fix)


def _has_path(config: Path) -> bool:
    parser = configparser.RawConfigParser()
    try:
        parser.read(config, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return False  # keyring stumbles over it too, before it uses any of it
    return parser.has_option("backend", "keyring-path")
