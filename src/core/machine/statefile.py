"""The state file of a project: read, merge, replace atomically; no new secret in it but a rollback's (M1, M7, P4, M10).

It is foreign property: unknown members are kept in their order, a broken file is reported with line and column and
left alone, symbolic links are refused, and a change by somebody else between reading and writing is not overwritten.
"""

from __future__ import annotations

import glob
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from core import files
from core.errors import SetupError
from core.machine import paths
from core.secret import Secret, looks_secret

#: A state file has a few hundred bytes; anything larger is something else.
LARGEST: Final = 1024 * 1024
#: Between the file's name and the random end of the temporary file that replaces it.
_NEW: Final = ".new-"


class StateFile:
    """One state file.

    :param path: where it lies.
    :param lock: lock file, outside the project, held while reading and replacing.
    """

    def __init__(self, path: Path, lock: Path) -> None:
        self.path = path
        self._lock = lock

    def read(self) -> dict[str, Any]:
        """All members.

        :raises SetupError: `statefile.missing`, `statefile.unsafe`, `statefile.broken`.
        """
        return self._parse(self._bytes())

    def exists(self) -> bool:
        """Whether there is something of that name, be it readable or not."""
        return self.path.exists() or self.path.is_symlink()

    def read_or_empty(self) -> dict[str, Any]:
        """All members, none where there is no file."""
        return self.read() if self.exists() else {}

    def remove(self) -> None:
        """Take back a file that `update` made.

        :raises SetupError: `statefile.io`.
        """
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise SetupError("statefile.io", path=self.path, detail=error.strerror or error) from None

    def links(self) -> int:
        """How many names the file has; more than one means that a copy survives its replacement."""
        return self.path.stat().st_nlink

    def check_replaceable(self) -> None:
        """Tell before anything is changed that `update` would be refused; nothing is written.

        A file that somebody made read-only is not replaced, although the rename would succeed.

        :raises SetupError: `statefile.read-only`, `file.unsafe`.
        """
        folder, detail = self.path.parent, ""
        if folder.exists():
            files.check_folder(self.path)
        if self.exists() and not self.path.lstat().st_mode & stat.S_IWUSR:
            detail = "the file is read-only"
        elif not os.access(folder, os.W_OK | os.X_OK):
            detail = f"nothing can be written to the folder {folder}"
        if detail:
            raise SetupError("statefile.read-only", path=self.path, detail=detail)

    def update(self, values: Mapping[str, str], remove: tuple[str, ...] = (), *, create: bool = False) -> None:
        """Set and remove members in one atomic write; mode 0600, file and folder flushed to the disk.

        :param values: members to set. None may look like a secret.
        :param remove: members to remove.
        :param create: make the file where there is none.
        :raises SetupError: `statefile.secret`, `statefile.changed`, `statefile.io`.
        """
        self._replace(values, remove, really=True, create=create)

    def put_secret(self, name: str, secret: Secret) -> None:
        """Set one member to a live client secret: the one exception to "no secret on disk", for `rollback` alone (M10).

        :raises SetupError: as `update` would.
        """
        self._replace({name: secret.reveal()}, (), really=True, secret=name)

    def strays(self, name: str, start: str) -> list[Path]:
        """Files beside it that a killed `put_secret` left, if the member's value begins like that.

        :param start: the first characters of the secret.
        """
        found, line = [], f'{json.dumps(name)}: "{start}'
        for path in self.path.parent.glob(f"{glob.escape(self.path.name)}{_NEW}*"):
            with suppress(SetupError):  # a link or a folder is not what this program made
                if line.encode() in self.at(path)._bytes():
                    found.append(path)
        return found

    def at(self, path: Path) -> StateFile:
        """The state file at another path, under the same lock."""
        return self if path == self.path else StateFile(path, self._lock)

    def rehearse(self, values: Mapping[str, str], remove: tuple[str, ...] = (), *, create: bool = False) -> None:
        """Everything that `update` does but the replacement: lock, content, a flushed file beside it, removed again.

        :raises SetupError: as `update` would.
        """
        self._replace(values, remove, really=False, create=create)

    def _replace(
        self,
        values: Mapping[str, str],
        remove: tuple[str, ...],
        *,
        really: bool,
        create: bool = False,
        secret: str = "",
    ) -> None:
        for name, value in values.items():
            if name != secret and looks_secret(value):
                raise SetupError("statefile.secret", name=name, path=self.path)
        with self._locked():
            new = create and not self.exists()
            before = b"" if new else self._bytes()
            members = {} if new else self._parse(before)
            after = {key: value for key, value in members.items() if key not in remove} | dict(values)
            if after == members:
                return
            self.check_replaceable()
            try:
                with files.beside(self.path, content(after), start=f"{self.path.name}{_NEW}") as put:
                    if self.exists() if new else self._bytes() != before:
                        raise SetupError("statefile.changed", path=self.path)
                    if really:
                        put()
            except OSError as error:
                raise SetupError("statefile.io", path=self.path, detail=error.strerror or error) from None

    def _bytes(self) -> bytes:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            raise SetupError("statefile.missing", path=self.path) from None
        except OSError as error:
            what = "a symbolic link" if self.path.is_symlink() else f"unreadable ({error.strerror})"
            raise SetupError("statefile.unsafe", path=self.path, detail=what) from None
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            os.close(descriptor)
            raise SetupError("statefile.unsafe", path=self.path, detail="a folder")
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(status.st_mode) or self.path.is_symlink():
                raise SetupError("statefile.unsafe", path=self.path, detail="not a regular file")
            if os.name == "posix" and status.st_uid != os.geteuid():
                raise SetupError("statefile.unsafe", path=self.path, detail="another user's file")
            if status.st_size > LARGEST:
                raise SetupError("statefile.unsafe", path=self.path, detail="larger than 1 MiB")
            return file.read()

    def _parse(self, content: bytes) -> dict[str, Any]:
        try:
            text = content.decode("utf-8-sig")
            if not text.strip():
                raise self._broken("it is empty", 1, 1)
            members = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_number)
        except json.JSONDecodeError as error:
            raise self._broken(error.msg, error.lineno, error.colno) from None
        except UnicodeDecodeError as error:
            before = content[: error.start]
            line = before.count(b"\n") + 1
            raise self._broken("not UTF-8", line, error.start - before.rfind(b"\n")) from None
        except _Twice as error:
            places = [match.start() for match in re.finditer(re.escape(json.dumps(error.name)) + r"\s*:", text)]
            head = text[: places[-1]] if places else ""
            column = len(head) - head.rfind("\n")
            raise self._broken(f"the member {error.name} appears twice", head.count("\n") + 1, column) from None
        except ValueError as error:
            raise self._broken(str(error), 1, 1) from None
        except RecursionError:
            raise self._broken("nested too deeply", 1, 1) from None
        if not isinstance(members, dict):
            raise self._broken("not a JSON object", 1, 1)
        return members

    def _broken(self, detail: str, line: int, column: int) -> SetupError:
        where = f"{detail}, line {line} column {column}"
        return SetupError("statefile.broken", path=self.path, detail=where, line=line, column=column)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock

        try:
            paths.private(self._lock.parent)
            files.check(self._lock)
            with FileLock(self._lock, timeout=30, mode=0o600):
                yield
        except TimeoutError:
            raise SetupError("lock.held", path=self._lock) from None
        except OSError as error:
            raise SetupError("statefile.io", path=self._lock, detail=error.strerror or error) from None


class _Twice(ValueError):
    """A member appears twice: a rewrite would lose one, and one of them may be the secret."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Twice(next(key for key, _ in pairs if sum(other == key for other, _ in pairs) > 1))
    return members


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number in JSON")


def _number(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def content(members: dict[str, Any]) -> bytes:
    """The members as this program writes them."""
    try:
        return (json.dumps(members, indent=2, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:  # half a character in a foreign member: only an escape can spell it
        return (json.dumps(members, indent=2) + "\n").encode()
