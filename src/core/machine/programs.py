"""The programs that may be started, and the variables that reach each: a closed table (C4, P4).

Which command starts which is said by its row in `core.flows.registry`.
`docs/reference/programs.md` shows it, and a traced test of every command reads it. `process` starts nothing else.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from core.errors import SetupError
from core.paths import within
from core.secret import looks_secret

#: Who and where one is, how one reads, and what Windows starts no program without.
_EVERY: Final = (
    "HOME USER LOGNAME PATH LANG LANGUAGE LC_* TZ TMPDIR "
    "SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT USERPROFILE HOMEDRIVE HOMEPATH APPDATA LOCALAPPDATA PROGRAMDATA "
    "PROGRAMFILES PROGRAMFILES(X86) TEMP TMP USERNAME USERDOMAIN PROCESSOR_ARCHITECTURE"
)

#: Its own settings, the way to the network, and what opens a browser.
_AZ: Final = (
    "AZURE_CONFIG_DIR AZURE_CLOUD_NAME AZURE_CORE_* AZURE_CLI_DISABLE_CONNECTION_VERIFICATION "
    "HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy "
    "REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR "
    "TERM BROWSER DISPLAY WAYLAND_DISPLAY XAUTHORITY DBUS_SESSION_BUS_ADDRESS XDG_* "
    "WSL_DISTRO_NAME WSL_INTEROP CODESPACES"
)


@dataclass(frozen=True)
class Program:
    """A program that may be started.

    :param purpose: what for.
    :param variables: names of the variables that it gets, if they are set; `*` stands for any text.
    :param fixed: variables that are always set for it, against what it would load or start.
    """

    purpose: str
    variables: tuple[str, ...]
    fixed: Mapping[str, str]


PROGRAMS: Final[Mapping[str, Program]] = {
    "az": Program(
        "a token for Microsoft Graph, its version, and to sign in or out; opens the browser of a sign-in",
        tuple(f"{_EVERY} {_AZ}".split()),
        # it is Python, and a timeit.py in the working folder would break it; and it loads the code of every extension
        # that its configuration folder holds, of which nothing is needed here
        {"PYTHONSAFEPATH": "1", "AZURE_EXTENSION_DIR": os.devnull, "AZURE_EXTENSION_DEV_SOURCES": ""},
    ),
    "git": Program(
        "whether the state file is tracked or ignored",
        tuple(f"{_EVERY} XDG_CONFIG_HOME".split()),
        # a repository that lacks objects fetches them with a program of its choice, unless no protocol is allowed
        {"GIT_OPTIONAL_LOCKS": "0", "GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1"},
    ),
}


def name_of(path: str) -> str:
    """The row of the table that a program is, for example `az` for `C:\\…\\az.CMD`.

    :raises AssertionError: it is none.
    """
    name = re.split(r"[/\\]", path)[-1].lower()
    name = re.sub(r"\.(exe|cmd|bat)$", "", name)
    if name not in PROGRAMS:
        raise AssertionError(f"{path} is no program of the table")
    return name


def environment(name: str, untrusted: Sequence[Path], environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a program is started with: those of its row, and no secret of ours among them (P4).

    :param name: of the row.
    :param untrusted: folders that it must find no program in.
    :param environ: the variables there are.
    """
    wanted = PROGRAMS[name].variables
    given = {key: value for key, value in environ.items() if any(fnmatchcase(key, pattern) for pattern in wanted)}
    given = {key: value for key, value in given.items() if not looks_secret(value)}
    if "PATH" in given:
        # an empty PATH would mean the working folder
        given["PATH"] = os.pathsep.join(search_path(untrusted, given["PATH"])) or os.defpath
    if "BROWSER" in given and not _trusted_browser(given["BROWSER"], untrusted):
        del given["BROWSER"]
    if sys.platform == "win32":  # it looks in the working folder first
        given["NODEFAULTCURRENTDIRECTORYINEXEPATH"] = "1"
    return {**given, **PROGRAMS[name].fixed}


def search_path(untrusted: Sequence[Path], path: str) -> list[str]:
    """The entries of a PATH that a program may look into: no relative one, none inside a project, none of others."""
    entries = (entry for entry in path.split(os.pathsep) if Path(entry).is_absolute())
    return [entry for entry in entries if within(Path(entry), untrusted) is None and not altered_by(Path(entry))]


def _trusted_browser(command: str, untrusted: Sequence[Path]) -> bool:
    """Whether a BROWSER names nothing that lies in a project; a bare name is looked up on the PATH.

    What gets an argument besides the page is not trusted: it is started in the working folder, and `sh` or `env` would
    start a program there.
    """
    try:
        browsers = [shlex.split(part) for part in command.split(os.pathsep)]
    except ValueError:  # a quotation that does not end
        return False
    if any(set(arguments) - {"%s", "&"} for _, *arguments in filter(None, browsers)):
        return False
    paths = [Path(browser[0]) for browser in browsers if browser and os.sep in browser[0]]
    return all(path.is_absolute() and within(path, untrusted) is None and not altered_by(path) for path in paths)


def check(path: Path, found: str, untrusted: Sequence[Path]) -> None:
    """Whether a program that was found on the PATH may be started.

    :param path: where it is, absolute.
    :param found: as the PATH led to it.
    :param untrusted: folders from which nothing is started: the working folder and the project.
    :raises SetupError: `program.untrusted`, `program.altered`.
    """
    if not Path(found).is_absolute():  # an entry that is relative, or empty, means another folder every day
        raise SetupError("program.untrusted", path=path, folder=Path.cwd())
    if (folder := within(path, untrusted)) is not None:
        raise SetupError("program.untrusted", path=path, folder=folder)
    if why := altered_by(path):
        raise SetupError("program.altered", path=path, detail=why)


def altered_by(path: Path) -> str:
    """Who else than this user and the system could put another program at a path; empty: nobody.

    A group that may write is trusted, as the systems that set one up do (Homebrew, Debian's `staff`).

    :param path: a program, or a folder of programs; it may be missing.
    """
    if sys.platform == "win32":  # rights there are no mode bits
        return ""
    system = {0, os.geteuid(), Path("/").stat().st_uid}  # within a user namespace, root has another number
    for place, inside in dict.fromkeys(_way(path)):
        try:
            status = place.stat()
        except OSError:
            continue  # what is not there starts nothing
        administrators = sys.platform == "darwin" and status.st_gid == 80
        if status.st_uid not in system and not administrators:
            return f"{place} belongs to the user with id {status.st_uid}"
        # in a folder like /tmp, others cannot replace what is there, but add to it
        sticky = bool(status.st_mode & stat.S_ISVTX) and inside
        if status.st_mode & stat.S_IWOTH and not sticky:
            return f"every user can write {place}"
    return ""


def _way(path: Path) -> Iterator[tuple[Path, bool]]:
    """A path, where its links lead, and every folder on the way; whether the path lies inside it."""
    for each in (path, path.resolve()):
        yield each, False
        yield from ((folder, True) for folder in each.parents)
