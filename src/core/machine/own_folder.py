"""This program's own folder: moved once out of the data root of what it sets up, open runs included (A8, M8).

Within one file system the move is one rename. Across two of them a copy is made durable under another name, renamed,
and only then the old one is removed. So at every instant one of the two places holds all of it, and what is in both
after a crash is recognised by its content. Nothing is merged.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from core import files, paths
from core.config.profile import Profile
from core.errors import SetupError

#: Seconds that another process may take to move it.
PATIENCE: Final = 30


def settle(profile: Profile) -> None:
    """Move it, if that is still to be done. Where both places hold something of their own, both stay.

    :raises SetupError: `folder.unsafe`: the old one is a link, or somebody else's; `lock.held`: a run of an older
        version is at work in it; `folder.unmoved`.
    """
    old, new = paths.former_folder(profile), paths.state_folder(profile)
    if not os.path.lexists(old):
        return
    try:
        paths.private(new.parent)
        with ExitStack() as held:
            _hold(held, new.parent / "move.lock", PATIENCE)
            if not os.path.lexists(old):
                return  # another process was faster
            if not stat.S_ISDIR(old.lstat().st_mode):
                raise SetupError("folder.unsafe", path=old, detail="it is no folder, or a link to one")
            paths.refuse_foreign(old)
            _move(old, new, held)
    except OSError as error:
        raise SetupError("folder.unmoved", old=old, new=new, detail=error.strerror or error) from None


def left_behind(profile: Profile) -> Path | None:
    """The old folder, if it holds something although the new one is there."""
    old = paths.former_folder(profile)
    return old if os.path.lexists(old) and os.path.lexists(paths.state_folder(profile)) else None


def _move(old: Path, new: Path, held: ExitStack) -> None:
    for lock in sorted((old / "locks").glob("*.lock")):
        _hold(held, lock, 0)
    if new.exists() and any(new.iterdir()):
        _remove_copies(old, new)
        return
    try:
        old.rename(new)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy = new.with_name(f".{new.name}.moving")
        shutil.rmtree(copy, ignore_errors=True)  # one that was cut off; nobody else is at work here
        _copy(old, copy)
        copy.rename(new)
        files.flush_folder(new.parent)
        _remove_copies(old, new)
    else:
        files.flush_folder(new.parent)
        files.flush_folder(old.parent)


def _hold(held: ExitStack, lock: Path, seconds: float) -> None:
    from filelock import FileLock

    files.check(lock)
    try:
        held.enter_context(FileLock(lock, timeout=seconds, mode=0o600))
    except TimeoutError:
        raise SetupError("lock.held", path=lock) from None


def _copy(old: Path, new: Path) -> None:
    """Copy a folder, durably; what is neither folder nor regular file is not followed, and stops it."""
    new.mkdir(mode=0o700)
    for place in sorted(old.iterdir()):
        mode = place.lstat().st_mode
        if stat.S_ISDIR(mode):
            _copy(place, new / place.name)
        elif stat.S_ISREG(mode):
            files.append(new / place.name, place.read_bytes())
        else:
            raise OSError(errno.EINVAL, f"{place} is neither a folder nor a regular file")
    files.flush_folder(new)


def _remove_copies(old: Path, new: Path) -> None:
    """Remove what the new folder holds too, grown since as it may be; what it does not hold stays where it is."""
    for place in sorted(old.iterdir()):
        mode, copy = place.lstat().st_mode, new / place.name
        if stat.S_ISDIR(mode) and not copy.is_symlink():
            _remove_copies(place, copy)
        elif stat.S_ISREG(mode) and copy.is_file() and copy.read_bytes().startswith(place.read_bytes()):
            place.unlink()
    if not any(old.iterdir()):
        old.rmdir()
