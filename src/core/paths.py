"""Where this program keeps its own files (A8)."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from core import files
from core.config.profile import Profile
from core.errors import SetupError


def home() -> Path:
    """The user's home folder.

    :raises SetupError: `folder.no-home`: else files would go to the working folder, or to the root.
    """
    try:
        place = Path.home()
    except RuntimeError:
        raise SetupError("folder.no-home", detail="HOME is not set, and the user database knows none") from None
    given = os.environ.get("HOME", str(place)) if os.name == "posix" else str(place)
    if not Path(given).is_absolute():
        raise SetupError("folder.no-home", detail=f"HOME is {given!r}, which is no absolute path")
    return place


def within(path: Path, folders: Iterable[Path]) -> Path | None:
    """The first of these folders that a path lies in, by its name or by where its links lead; None if in none.

    The root, a home folder, what is above it and where programs are installed below it are passed over, or whatever is
    the user's own would be a project's (C4).
    """
    own = homes()
    for folder in folders:
        root = Path(os.path.realpath(folder))
        if root == Path(root.anchor):
            continue
        if any(place.is_relative_to(root) or root in (place / ".local", place / ".local/bin") for place in own):
            continue
        if path.absolute().is_relative_to(folder.absolute()) or Path(os.path.realpath(path)).is_relative_to(root):
            return folder
    return None


def homes() -> list[Path]:
    """The user's home folders: by `HOME`, which containers and sudo set, and by the user database."""
    places = [home().resolve()]
    if sys.platform != "win32":
        import pwd

        with suppress(KeyError):  # no such user is usual in containers
            places.append(Path(pwd.getpwuid(os.geteuid()).pw_dir).resolve())
    return places


def state_folder(profile: Profile) -> Path:
    """The folder for journals, locks, backups and recordings: outside the data root of what is set up (A8).

    On Linux `~/.local/state/entraclaw-setup/NAME`, elsewhere where `platformdirs` puts it. Profiles of one
    `state_folder` share it.

    :raises SetupError: `folder.no-home`.
    """
    import platformdirs

    home()
    place = Path(platformdirs.user_state_dir("entraclaw-setup", appauthor=False))
    if not place.is_absolute():
        raise SetupError("folder.no-home", detail=f"XDG_STATE_HOME leads to {str(place)!r}, which is no absolute path")
    return place / (profile.state_folder.lstrip(".") or profile.name)


def former_folder(profile: Profile) -> Path:
    """Where it was before: `setup` in `%LOCALAPPDATA%\\NAME` on Windows, in `~/.NAME` elsewhere.

    :raises SetupError: `folder.no-home`.
    """
    if sys.platform == "win32":
        import platformdirs

        return Path(platformdirs.user_data_dir(profile.name, appauthor=False)) / "setup"
    return home() / profile.state_folder / "setup"


def private(folder: Path) -> list[Path]:
    """Make a folder for this user alone, whatever the umask; below the home every folder on the way to it, too.

    One of this user that others may write to is closed to them; one of somebody else is refused.

    :returns: the folders that others could write to until now.
    :raises SetupError: `folder.unsafe`.
    :raises OSError: it cannot be made, or made durable.
    """
    if os.name != "posix":
        folder.mkdir(parents=True, exist_ok=True)  # below the user's own profile, which others cannot write to
        return []
    own, open_ones = home(), []
    for place in (*reversed(folder.parents), folder):
        if not place.exists():
            with suppress(FileExistsError):  # another run was faster
                place.mkdir(mode=0o700)
                files.flush_folder(place.parent)
        others = stat.S_IWGRP | stat.S_IWOTH
        if place == folder or own in place.parents:
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


def refuse_inside(folder: Path, untrusted: Iterable[Path]) -> None:
    """See that this program's folder does not lie where a checkout could put files: journals tell whose a key is (C3).

    :raises SetupError: `folder.unsafe`.
    """
    if (place := within(folder, untrusted)) is not None:
        detail = f"it lies in {place.absolute()}, and what a checkout puts there would be believed"
        raise SetupError("folder.unsafe", path=folder, detail=detail)


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


def audit(profile: Profile) -> Path:
    """The audit log (D3)."""
    return state_folder(profile) / "audit" / "audit.jsonl"


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


def config_file(untrusted: Iterable[Path]) -> Path:
    """The user's configuration file, in the user's configuration folder; it need not exist (K5).

    :param untrusted: folders in which one does not count: the working folder and the project (K1, C3).
    :raises SetupError: `usage.config-inside`, `folder.no-home`.
    """
    import platformdirs

    home()
    path = Path(platformdirs.user_config_dir("entraclaw-setup", appauthor=False)) / "config.toml"
    folder = within(path, untrusted) if os.path.lexists(path) else None
    if folder is not None:
        raise SetupError("usage.config-inside", path=path, folder=folder.absolute())
    return path
