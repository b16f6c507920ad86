"""The state file of a project: read, merge, replace atomically; no new secret in it but a rollback's (M1, M7, P4, M10).

It is foreign property: unknown members are kept to the character, a broken file is reported with line and column and
left alone, symbolic links are refused, and a change by somebody else between reading and writing is not overwritten.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from core import files, paths
from core.config.profile import Profile
from core.errors import SetupError
from core.machine import json_text
from core.secret import Secret, looks_secret

#: A state file has a few hundred bytes; anything larger is something else.
LARGEST: Final = 1024 * 1024
#: What helps, by the cause.
_HELP: Final = {
    errno.ENOSPC: "Make room on the disk that holds it.",
    errno.EDQUOT: "Make room: no more may be stored there by this user (quota).",
    errno.EROFS: "Its file system is mounted read-only: mount it writable, or use a copy of the project elsewhere.",
    errno.EBUSY: "Mount the folder that holds it instead of the file alone.",
    errno.EACCES: "Grant yourself write access to the file and its folder (chmod u+w).",
    errno.EPERM: "Make it yours (ls -l), and neither immutable nor append-only (lsattr).",
}
#: Between the file's name and the random end of the temporary file that replaces it.
_NEW: Final = ".new-"
_BOM: Final = b"\xef\xbb\xbf"
#: What can be a client secret at all; anything else would only confuse the guards that look for it.
_PLAUSIBLE: Final = re.compile(r"[!-~]{16,128}")
#: What stands under the secret's name and can be none, in words that hold none of it; empty: there is no such thing.
Unusable = Literal["", "null", '""', "no text", "a placeholder", "another text"]


@dataclass(frozen=True)
class Basis:
    """What was decided on: members as they were read; one of them may be a secret.

    :param values: by name, as JSON; a member that was not there is not in it.
    """

    names: tuple[str, ...]
    values: Mapping[str, Secret]

    @classmethod
    def of(cls, members: Mapping[str, Any], names: Collection[str]) -> Basis:
        """Those of the members that a decision rests on."""
        values = {name: Secret(json.dumps(members[name]), learn=False) for name in names if name in members}
        return cls(tuple(names), values)

    def holds(self, members: Mapping[str, Any]) -> bool:
        """Whether they still are what they were."""
        return Basis.of(members, self.names) == self

    def only(self, names: Collection[str]) -> Basis:
        """Some of them: what a decision really rests on."""
        return Basis(tuple(names), {name: self.values[name] for name in names if name in self.values})

    def after(self, values: Mapping[str, Any], remove: Collection[str] = ()) -> Basis:
        """What it is after a change of our own."""
        kept = {name: value for name, value in self.values.items() if name not in remove}
        return Basis(self.names, kept | dict(Basis.of(values, self.names).values))


@dataclass(frozen=True)
class Contents:
    """What a state file holds, with its client secret apart (P4).

    :param members: all but the secret's own; one that holds the very secret somewhere, too, is a `Secret`.
    :param secret: what stands under the secret's name, if it can be a client secret at all.
    :param unusable: what kind of thing stands there if it can be none: not learnt by the redactor, and purged all the
        same.
    :param basis: every member as it was read, for a write that must not go over somebody else's.
    """

    members: dict[str, Any]
    secret: Secret | None
    unusable: Unusable
    basis: Basis

    @property
    def present(self) -> bool:
        """Whether the secret's own member is there, whatever it holds."""
        return self.secret is not None or self.unusable != ""

    def holding(self, secret: Secret | None) -> tuple[str, ...]:
        """Names of the members that hold a secret: its own, whatever that holds, and exact copies.

        :param secret: as it was read before; None: none is known.
        """

        def held(name: str) -> bool:
            return name not in self.members or (secret is not None and _stripped(self.members[name]) == secret)

        return tuple(filter(held, self.basis.names))


class StateFile:
    """One state file.

    :param path: where it lies.
    :param lock: lock file, outside the project, held while reading and replacing.
    :param profile: says which members are ours, and may stand there only once, and which one holds the secret; None:
        any is ours, and none holds one.
    """

    def __init__(self, path: Path, lock: Path, profile: Profile | None = None) -> None:
        self.path = path
        self._lock = lock
        self._profile = profile

    def read(self) -> Contents:
        """All members.

        :raises SetupError: `statefile.missing`, `statefile.unsafe`, `statefile.broken`.
        """
        found = self._parse(self._bytes())
        try:
            return self._contents(found)
        except RecursionError:
            self._refuse("nested too deeply", 1, 1)

    def exists(self) -> bool:
        """Whether there is something of that name, be it readable or not."""
        return self.path.exists() or self.path.is_symlink()

    def read_or_empty(self) -> Contents:
        """All members, none where there is no file."""
        return self.read() if self.exists() else self._contents({})

    def holds(self, secret: Secret) -> bool:
        """Whether the secret's own member holds this very one.

        :raises SetupError: as `read`.
        """
        value = self._parse(self._bytes()).get(self._profile.secret_member if self._profile else "")
        return isinstance(value, str) and Secret(value, learn=False) == secret

    def remove(self) -> None:
        """Take back a file that `update` made.

        :raises SetupError: `statefile.io`.
        """
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            fail_to_write(self.path, error)

    def check_replaceable(self) -> None:
        """Tell before anything is changed that `update` would be refused; nothing is written.

        A file that somebody made read-only is not replaced, although the rename would succeed.

        :raises SetupError: `statefile.read-only`, `statefile.mounted`, `file.unsafe`.
        """
        if files.is_mount_point(self.path):
            raise SetupError("statefile.mounted", path=self.path)
        folder, detail = self.path.parent, ""
        if folder.exists():
            files.check_folder(self.path)
        if self.exists() and not self.path.lstat().st_mode & stat.S_IWUSR:
            detail = "the file is read-only"
        elif not os.access(folder, os.W_OK | os.X_OK):
            detail = f"nothing can be written to the folder {folder}"
        if detail:
            raise SetupError("statefile.read-only", path=self.path, detail=detail)

    def where(self, holds: Callable[[str], bool]) -> tuple[str, ...]:
        """Names of the members in which some text holds what is looked for, however deep, or whose name does.

        :param holds: asked for every text of the file.
        :raises SetupError: as `read`.
        """
        content = self._bytes()
        self._parse(content)
        return json_text.where(content.decode("utf-8-sig"), holds)

    def without(self, names: Collection[str]) -> bytes:
        """The content without some members; everything else as it is spelled.

        :raises SetupError: as `read`.
        """
        content = self._bytes()
        self._parse(content)
        return _edited(content, {}, names)

    def update(
        self,
        values: Mapping[str, str],
        remove: tuple[str, ...] = (),
        *,
        create: bool = False,
        basis: Basis | None = None,
        really: bool = True,
    ) -> None:
        """Set and remove members in one atomic write; mode 0600, file and folder flushed to the disk.

        :param values: members to set. None may look like a secret.
        :param remove: members to remove.
        :param create: make the file where there is none.
        :param basis: what this was decided on.
        :param really: False: everything but the last, with a stand-in of the same folder in place of the file.
        :raises SetupError: `statefile.secret`, `statefile.io`; `statefile.changed`: it is not the basis any more, too.
        """
        for name, value in values.items():
            if looks_secret(value):
                raise SetupError("statefile.secret", name=name, path=self.path)
        self._replace(values, remove, really=really, create=create, basis=basis)

    def put_secret(self, name: str, secret: Secret, basis: Basis | None = None) -> None:
        """Set one member to a live client secret: the one exception to "no secret on disk", for `rollback` alone (M10).

        :param basis: what this was decided on.
        :raises SetupError: as `update` would.
        """
        self._replace({name: secret.reveal()}, (), really=True, create=False, basis=basis)

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

    def at(self, path: Path, profile: Profile | None = None) -> StateFile:
        """The state file at another path, under the same lock.

        :param profile: of that file; None: it has the same.
        """
        return self if path == self.path else StateFile(path, self._lock, profile or self._profile)

    def _replace(
        self, values: Mapping[str, str], remove: tuple[str, ...], *, really: bool, create: bool, basis: Basis | None
    ) -> None:
        with self._locked():
            files.sweep(self.path.parent, f"{self.path.name}{_NEW}")
            new = create and not self.exists()
            before = b"" if new else self._bytes()
            members = {} if new else self._parse(before)
            if basis is not None and not basis.holds(members):
                raise SetupError("statefile.changed", path=self.path)
            after = _edited(before or b"{}\n", values, remove)
            if after == before:
                return
            self.check_replaceable()
            try:
                with files.beside(self.path, after, start=f"{self.path.name}{_NEW}") as put:
                    if self.exists() if new else self._bytes() != before:
                        raise SetupError("statefile.changed", path=self.path)
                    (put if really else put.rehearse)()
            except OSError as error:
                fail_to_write(self.path, error)

    def _bytes(self) -> bytes:
        try:
            descriptor = files.readable(self.path)
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
                self._refuse("it is empty", 1, 1)
            members = json_text.read(text)
        except json.JSONDecodeError as error:
            self._refuse(error.msg, error.lineno, error.colno)
        except UnicodeDecodeError as error:
            before = content[: error.start]
            line = before.count(b"\n") + 1
            self._refuse("not UTF-8", line, error.start - before.rfind(b"\n"))
        except ValueError as error:
            self._refuse(str(error), 1, 1)
        except RecursionError:
            self._refuse("nested too deeply", 1, 1)
        if not isinstance(members, dict):
            self._refuse("not a JSON object", 1, 1)
        self._refuse_twice(text)
        return members

    def _contents(self, found: dict[str, Any]) -> Contents:
        """What was read, with the secret taken out at once."""
        profile, members, basis = self._profile, dict(found), Basis.of(found, found)
        if profile is None or profile.secret_member not in found:
            return Contents(members, None, "", basis)
        value = members.pop(profile.secret_member)
        text = value.strip() if isinstance(value, str) else ""
        ids = (members.get(profile.tenant_member), members.get(profile.client_id_member))
        if not _PLAUSIBLE.fullmatch(text) or text in ids:
            return Contents(members, None, _kind(value), basis)
        guarded = {name: _guarded(member, text) for name, member in members.items()}
        return Contents(guarded, Secret(text), "", basis)

    def _refuse_twice(self, text: str) -> None:
        """A member of ours that stands there twice: nobody knows which one its readers take."""
        once: set[str] = set()
        for member in json_text.members(text):
            if member.name in once and (self._profile is None or member.name in self._profile.members):
                head = text[: member.start]
                line, column = head.count("\n") + 1, len(head) - head.rfind("\n")
                self._refuse(f"the member {member.name} appears twice", line, column)
            once.add(member.name)

    def _refuse(self, detail: str, line: int, column: int) -> NoReturn:
        where = f"{detail}, line {line} column {column}"
        raise SetupError("statefile.broken", path=self.path, detail=where, line=line, column=column) from None

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
            fail_to_write(self._lock, error)


def _kind(value: Any) -> Unusable:
    if value is None:
        return "null"
    if value == "":
        return '""'
    if not isinstance(value, str) or not value.strip():
        return "no text"
    return "a placeholder" if value.startswith("<") else "another text"


def _guarded(value: Any, secret: str) -> Any:
    """A member as it is, or as a `Secret` of its text or JSON if it holds the secret, however deep."""
    spelled = json.dumps(value)
    if json.dumps(secret)[1:-1] not in spelled:
        return value
    return Secret(value.strip() if isinstance(value, str) else spelled, learn=False)


def _stripped(value: Any) -> Any:
    """A text as a `Secret` without the space around it, to be compared with one; anything else as it is."""
    return Secret(value.strip(), learn=False) if isinstance(value, str) else value


def fail_to_write(path: Path, error: OSError) -> NoReturn:
    """A file could not be written: what helps against this very cause.

    :raises SetupError: `statefile.io`.
    """
    how = _HELP.get(error.errno or 0, "Make room or grant write access to the folder.")
    raise SetupError("statefile.io", path=path, detail=error.strerror or error, how=how) from None


def _edited(content: bytes, values: Mapping[str, str], remove: Collection[str]) -> bytes:
    """The content with members set and removed; a byte order mark stays, too."""
    mark = _BOM if content.startswith(_BOM) else b""
    return mark + json_text.edit(content.decode("utf-8-sig"), values, remove).encode()
