"""The file in which the original keeps the Provisioner's key on Windows: certificate and key, unencrypted (M19, P4)."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from core import files
from core.config.profile import Profile
from core.entra import certificates
from core.entra.certificates import KeyPair
from core.errors import SetupError
from core.secret import Secret

_LARGEST: Final = 64 * 1024


def find(profile: Profile, tenant: str) -> Path | None:
    """Where it lies: in the data root of what is set up; None where there is none."""
    folder = os.environ.get("LOCALAPPDATA")
    if not (folder and tenant):
        return None
    path = Path(folder, profile.state_folder.lstrip("."), f"provisioner-cert-{tenant}.pem")
    return path if os.path.lexists(path) else None


def refusal(path: Path) -> str:
    """Why it is left alone; empty when it may be removed: a regular file of this user with one name."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return "it is a link, or no regular file"
    if os.name == "posix" and status.st_uid != os.geteuid():
        return "it is another user's"
    return "it has another name (a hard link)" if status.st_nlink > 1 else ""


def read(path: Path) -> KeyPair | None:
    """The key in it; None: it holds none that can be used.

    :raises SetupError: `file.unsafe`: it is none of this user's regular files, or cannot be read.
    """
    try:
        if why := refusal(path):
            raise SetupError("file.unsafe", path=path, detail=why)
        with os.fdopen(files.readable(path), "rb") as file:
            content = Secret(file.read(_LARGEST).decode("utf-8", "replace"))
    except OSError as error:
        raise SetupError("file.unsafe", path=path, detail=error.strerror or error) from None
    try:
        return certificates.parse(content, path.name)
    except SetupError:
        return None
