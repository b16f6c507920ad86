"""Where this program keeps its own files (A8)."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from core.errors import SetupError
from core.profile import Profile


def state_folder(profile: Profile) -> Path:
    """The folder for journals and locks: `%LOCALAPPDATA%\\NAME` on Windows, `~/.NAME` elsewhere."""
    if sys.platform == "win32":
        import platformdirs

        return Path(platformdirs.user_data_dir(profile.name, appauthor=False)) / "setup"
    return Path.home() / profile.state_folder / "setup"


def private(folder: Path) -> list[Path]:
    """Make a folder for this user alone, whatever the umask; below the home every folder on the way to it, too.

    One of this user that others may write to is closed to them; one of somebody else is refused.

    :returns: the folders that others could write to until now.
    :raises SetupError: `folder.unsafe`.
    :raises OSError: it cannot be made.
    """
    if os.name != "posix":
        folder.mkdir(parents=True, exist_ok=True)  # below the user's own profile, which others cannot write to
        return []
    home, open_ones = Path.home(), []
    for place in (*reversed(folder.parents), folder):
        if not place.exists():
            with suppress(FileExistsError):  # another run was faster
                place.mkdir(mode=0o700)
        others = stat.S_IWGRP | stat.S_IWOTH
        if place == folder or home in place.parents:
            before = _close(place, stat.S_IRWXG | stat.S_IRWXO if place == folder else others)
            if before & others and not before & stat.S_ISVTX:
                open_ones.append(place)
    return open_ones


def refuse_foreign(path: Path) -> None:
    """See that a file or folder is this user's, or the system's.

    :raises SetupError: `folder.unsafe`.
    :raises OSError: it is not there.
    """
    if os.name == "posix" and path.stat().st_uid not in (os.geteuid(), 0):
        raise SetupError("folder.unsafe", path=path, detail="it is another user's")


def _close(folder: Path, rights: int) -> int:
    """Take rights on a folder from everybody else; the mode that it had."""
    refuse_foreign(folder)
    mode = folder.stat().st_mode
    if not stat.S_ISDIR(mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if mode & rights and not mode & stat.S_ISVTX:
        folder.chmod(stat.S_IMODE(mode) & ~rights)
    return mode


def journal(profile: Profile, cloud: str, tenant: str, app_id: str) -> Path:
    """The journal of one tenant and app."""
    return state_folder(profile) / "journal" / f"{cloud}_{tenant}_{app_id}.jsonl"


def digest(what: Path | str) -> str:
    """A project folder, or the name of something, as part of a file's name."""
    text = str(what.resolve()) if isinstance(what, Path) else what
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]  # a path may be no UTF-8


def rollback(profile: Profile, cloud: str, tenant: str, app_id: str) -> Path:
    """The journal of a rollback, open until nothing of its secret is left (M10)."""
    return journal(profile, cloud, tenant, app_id).with_suffix(".rollback")


def backup(profile: Profile, cloud: str, tenant: str, app_id: str, time: datetime) -> Path:
    """A copy of a state file without its secrets; names of one tenant and app sort by time (M10)."""
    return state_folder(profile) / "backup" / f"{cloud}_{tenant}_{app_id}_{time:%Y%m%dT%H%M%S%fZ}.json"


def lock(profile: Profile, cloud: str, tenant: str, app_id: str) -> Path:
    """The lock of one tenant and app."""
    return state_folder(profile) / "locks" / f"{cloud}_{tenant}_{app_id}.lock"


def config_file() -> Path:
    """The user's configuration file, in the user's configuration folder; it need not exist (K5)."""
    import platformdirs

    return Path(platformdirs.user_config_dir("entraclaw-setup", appauthor=False)) / "config.toml"
