"""The only place that creates, opens, flushes and replaces files with care (M1, M8, D4).

What lies in the way may be somebody else's: a link in a folder that everybody may write to, a pipe that nobody reads,
a second name of a file that matters. Nothing of that is followed, opened or written to.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from core.errors import Effected, SetupError

_NO_LINKS: Final = getattr(os, "O_NOFOLLOW", 0)
_CAREFULLY: Final = _NO_LINKS | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_POSIX: Final = os.name == "posix"
#: What file systems answer that do not know a flush of a folder; the replacement itself is done then.
_NO_FLUSH: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def check(path: Path) -> None:
    """See that what is about to be written is this user's: the folder, and what lies there already.

    :raises SetupError: `file.unsafe`.
    :raises OSError: the folder cannot be looked at.
    """
    check_folder(path)
    with suppress(FileNotFoundError):
        if wrong := _wrong(path.lstat()):
            _refuse(path, wrong)


def check_folder(path: Path) -> None:
    """See that the folder of a file is this user's or the system's, and so is every link on the way to it.

    :raises SetupError: `file.unsafe`.
    :raises OSError: it cannot be looked at.
    """
    if not _POSIX:
        return
    folder = path.absolute().parent
    for place in (folder, *folder.parents):
        if place.is_symlink() and _foreign(place.lstat()):
            _refuse(path, f"{place} is a link of the user with id {place.lstat().st_uid}")
    if _foreign(found := folder.stat()):
        _refuse(path, f"its folder belongs to the user with id {found.st_uid}")


def text(path: Path) -> str:
    """The text of a file that a person named; nobody waits for what a pipe or a device would give.

    :raises OSError: it cannot be read, or is no regular file.
    :raises UnicodeDecodeError: it is not UTF-8.
    """
    with os.fdopen(readable(path, links=True), encoding="utf-8") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return file.read()


def toml(path: Path, id: str) -> dict[str, Any]:
    """The members of a TOML file that a person named.

    :param id: of the error.
    :raises SetupError: it cannot be read, or is no TOML.
    """
    import tomllib

    try:
        return tomllib.loads(text(path))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SetupError(id, path=path, detail=error) from None


def readable(path: Path, *, links: bool = False) -> int:
    """Open what lies at a path for reading; nobody waits for what a pipe or a device would give.

    :param links: whether a link is followed; one of the folders above may be one in either case.
    :returns: a descriptor, of a folder or a pipe too: whoever asked judges what it is by `os.fstat`.
    :raises OSError: it cannot be opened, or is a link (`ELOOP`).
    """
    return os.open(path, os.O_RDONLY | (_CAREFULLY & ~_NO_LINKS if links else _CAREFULLY))


def opened(path: Path, *, append: bool = False) -> int:
    """Open a file for writing, and make it where there is none, with mode 0600.

    :param append: what is written goes to its end.
    :returns: a descriptor.
    :raises SetupError: `file.unsafe`: it or its folder is somebody else's, or it is no regular file of one name.
    :raises OSError: it cannot be opened.
    """
    check(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | _CAREFULLY | (os.O_APPEND if append else 0), 0o600)
    if wrong := _wrong(os.fstat(descriptor)):  # it was put there just now
        os.close(descriptor)
        _refuse(path, wrong)
    return descriptor


def created(path: Path, *, append: bool = False) -> int:
    """Make a file with mode 0600 that is not there yet.

    :returns: a descriptor.
    :raises SetupError: `file.unsafe`: its folder is somebody else's.
    :raises FileExistsError: something lies there; other OSErrors.
    """
    check_folder(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CAREFULLY | (os.O_APPEND if append else 0), 0o600)


def append(path: Path, content: bytes, *, after: int | None = None) -> None:
    """Write at the end of a file, durably; one that was not there yet needs `flush_folder` besides.

    :param after: bytes of the file that stay; what follows them is dropped. None: others write to it, too, so what is
        there stays, and this goes behind it in one piece.
    :raises SetupError: `file.unsafe`: it or its folder is somebody else's, or it is no regular file of one name.
    :raises OSError: it cannot be written or flushed.
    """
    with os.fdopen(opened(path, append=after is None), "wb") as file:  # on a descriptor "wb" does not truncate
        if after is not None:
            file.truncate(after)
            file.seek(0, os.SEEK_END)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


class Replacement:
    """A flushed file that lies beside the one that it is to replace.

    :param start: how the names of files beside it begin.
    """

    def __init__(self, new: Path, path: Path, start: str) -> None:
        self._new = new
        self._path = path
        self._start = start

    def __call__(self) -> None:
        """Put it in its place, durably and at once.

        :raises OSError: it cannot be renamed or flushed.
        """
        self._new.replace(self._path)
        flush_folder(self._path.parent)

    def rehearse(self) -> None:
        """Do the same with a stand-in beside the file, which stays as it is, and ask whether the file would let it.

        :raises OSError: what putting it in its place would raise.
        """
        descriptor, name = tempfile.mkstemp(prefix=self._start, dir=self._path.parent)
        os.close(descriptor)
        try:
            self._new.replace(name)
            flush_folder(self._path.parent)
            if self._path.exists():
                _ask_to_replace(self._path, self._start)
        finally:
            Path(name).unlink()


@contextmanager
def beside(path: Path, content: bytes, *, start: str, mode: int = 0o600) -> Iterator[Replacement]:
    """A flushed file beside `path`, and what puts it in its place; else it is removed again.

    :param start: how the name of the new file begins.
    :raises SetupError: `file.unsafe`: the folder is somebody else's.
    :raises OSError: it cannot be written.
    """
    check_folder(path)
    descriptor, name = tempfile.mkstemp(prefix=start, dir=path.parent)  # exclusively, with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if mode != 0o600:
            Path(name).chmod(mode)
        yield Replacement(Path(name), path, start)
    finally:
        with suppress(OSError):  # it is in its place by now, or as gone as it can be
            Path(name).unlink()


def sweep(folder: Path, start: str) -> None:
    """Remove what `beside` left in a folder when it was killed; what cannot be removed stays.

    :param start: how the names begin. Nobody else may be at work under it: the caller holds the lock.
    """
    name = re.compile(re.escape(start) + r"[a-z0-9_]{8}")
    with suppress(OSError):
        for path in folder.iterdir():
            if name.fullmatch(path.name) and not _wrong(path.lstat()):
                with suppress(OSError):
                    path.unlink()


def flush_folder(folder: Path) -> None:
    """Make what was created or replaced in a folder durable, as far as its file system can.

    :raises OSError: it can, and failed.
    """
    if not _POSIX:
        return  # Windows cannot open folders; there the file's own flush has to do
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(descriptor)


def is_mount_point(path: Path) -> bool:
    """Whether something is mounted at a path, a file too; `os.path.ismount` knows folders alone."""
    try:
        mounts = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return False  # only Linux mounts files
    points = {re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), line.split()[4]) for line in mounts}
    return os.fsencode(path.parent.resolve() / path.name) in points


def _ask_to_replace(path: Path, start: str) -> None:
    """Whether something may be renamed over a file.

    Renaming a folder over it never succeeds, and the kernel looks at the rights first: at those of the folder, at a
    sticky bit with another owner, at immutable and append-only files. Only a mount point has to be looked up.

    :param start: how the name of that folder begins.
    :raises OSError: what the rename would raise.
    """
    if is_mount_point(path):
        raise OSError(errno.EBUSY, "it is a mount point, which cannot be replaced")
    if not _POSIX:
        return
    folder = Path(tempfile.mkdtemp(prefix=start, dir=path.parent))
    try:
        folder.rename(path)
    except NotADirectoryError:
        folder.rmdir()
    except OSError:
        folder.rmdir()
        raise
    else:  # the file has gone at this very moment
        path.rmdir()
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _foreign(found: os.stat_result) -> bool:
    return _POSIX and found.st_uid not in (os.geteuid(), 0)


def _wrong(found: os.stat_result) -> str:
    """Why a file that is there already is not written to; empty when it may be."""
    if stat.S_ISLNK(found.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISREG(found.st_mode):
        return "it is not a regular file"
    if _foreign(found):
        return f"it belongs to the user with id {found.st_uid}"
    return f"it has {found.st_nlink} names (hard links)" if found.st_nlink > 1 else ""


def _refuse(path: Path, detail: str) -> NoReturn:
    raise SetupError("file.unsafe", effected=Effected.NO, path=path, detail=detail)
