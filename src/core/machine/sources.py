"""Files of a project that still sign in with the secret, and what git knows of the state file (M2, M9)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from core.flow.wait import Cancel
from core.machine import process

_SKIPPED: Final = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", ".tox", "dist", "build", "target"})
_SOURCE: Final = re.compile(
    r"\.(py|sh|bash|zsh|ps1|psm1|js|mjs|ts|tsx|cs|go|java|rb|rs|tf|bicep|ya?ml|toml|cfg|ini)$|^(Dockerfile|Makefile)$"
)
_LARGEST: Final = 1024 * 1024
_MOST: Final = 20_000
_CLIENT: Final = "ClientSecretCredential"


@dataclass(frozen=True)
class Reader:
    """A place that reads the secret and will break."""

    path: Path
    line: int
    what: str


@dataclass(frozen=True)
class Readers:
    """What was found; `complete` is False when the tree was too large to read it all."""

    found: tuple[Reader, ...]
    complete: bool


def readers(folder: Path, secret_member: str) -> Readers:
    """Source files that name the secret's member or build a credential from a secret.

    :param folder: the project.
    :param secret_member: for example `PROVISIONER_CLIENT_SECRET`.
    """
    needles = (secret_member.encode(), _CLIENT.encode())
    found: list[Reader] = []
    count = 0
    for path in _files(folder):
        count += 1
        if count > _MOST:
            return Readers(tuple(found), complete=False)
        try:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
                continue  # a pipe would wait for ever
            content = path.read_bytes()
        except OSError:
            continue  # unreadable for us is unreadable for the code that would run as us
        if not any(needle in content for needle in needles):
            continue
        for number, line in enumerate(content.splitlines(), 1):
            if (needle := next((n for n in needles if n in line), None)) is not None:
                found.append(Reader(path, number, needle.decode()))
                break
    return Readers(tuple(found), complete=True)


GitView = Literal["no repository", "ignored", "tracked", "not ignored", "unknown"]


def git_view(path: Path, untrusted: Sequence[Path], cancel: Cancel) -> GitView:
    """What git would do with a file: `unknown` when git is absent or fails.

    :param path: the state file; it need not exist.
    :param untrusted: folders that git must not come from.
    """
    path = path.parent.resolve() / path.name
    if not any((folder / ".git").exists() for folder in path.parents):
        return "no repository"
    git = process.find("git", untrusted)
    if git is None:
        return "unknown"

    def ask(*arguments: str) -> int:
        # a repository's own configuration can name a program to run for these; and a folder of the project that looks
        # like a repository without a work tree is none
        quiet = (
            "-c",
            "core.fsmonitor=false",
            "-c",
            f"core.hooksPath={os.devnull}",
            "-c",
            "safe.bareRepository=explicit",
        )
        argv = [str(git), *quiet, "-C", str(path.parent), *arguments, "--", path.name]
        return process.run(argv, seconds=20, cancel=cancel, untrusted=untrusted).code

    tracked = ask("ls-files", "--error-unmatch")
    if tracked == 0:
        return "tracked"
    if tracked != 1:
        return "unknown"
    match ask("check-ignore", "--quiet"):
        case 0:
            return "ignored"
        case 1:
            return "not ignored"
        case _:
            return "unknown"


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        for name in sorted(names):
            if _SOURCE.search(name):
                yield Path(root, name)
