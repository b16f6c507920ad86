"""Files of a project that still sign in with a secret, and what git knows of the state file (M2, M9).

Every text file is searched, whatever its name: scripts without a suffix, notebooks, pipelines and `.env` files read
secrets, too. What was not searched is said.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from core.clock import Cancel
from core.errors import SetupError
from core.machine import process
from core.secret import ENTRA_SECRET, Secret

#: Folders that others fill: what lies there is not the project's own.
_SKIPPED: Final = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox", ".mypy_cache"}
    | {".ruff_cache", ".pytest_cache", ".terraform", "dist", "build", "target"}
)
#: Prose names a secret and does not read it; its value is looked for there all the same.
_PROSE: Final = re.compile(r"\.(md|markdown|rst|adoc|txt|html?)$|^(LICENSE|NOTICE|AUTHORS)$", re.I)
_TERRAFORM: Final = re.compile(r"\.(tf|tfvars)(\.json)?$")
_LARGEST: Final = 5 * 1024 * 1024
_MOST: Final = 20_000
#: Where a binary file shows itself, in bytes.
_HEAD: Final = 8192

#: Variables by which SDKs, and the azurerm provider, take a client secret.
_VARIABLES: Final = ("AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET")
#: Classes and functions that take one.
_TAKERS: Final = re.compile(
    r"ClientSecretCredential|WithClientSecret|\bSecretCredential\b|ClientCredentialFactory\.createFromSecret"
    r"|\bNewCredFromSecret\b"
)
#: Commands that sign in with one, by their options.
_COMMANDS: Final = {
    "az login with a password": re.compile(r"az\s+login\b(?=.*--service-principal)(?=.*\s(?:-p|--password)\b)"),
    "Connect-AzAccount with a credential": re.compile(
        r"Connect-AzAccount\b(?=.*\s-ServicePrincipal\b)(?=.*\s-Credential\b)", re.I
    ),
}
#: How a command goes on in the next line, in shells, PowerShell and cmd.
_GOES_ON: Final = re.compile(r"[\\`^]$")
#: Credentials that take `AZURE_CLIENT_SECRET` if it is set.
_BY_VARIABLE: Final = re.compile(r"DefaultAzureCredential|EnvironmentCredential")
_ENDPOINT: Final = re.compile(r"/oauth2/(v2\.0/)?token")
#: What signs in to Entra with members or options of its own: MSAL, Microsoft.Identity.Web, a workflow's action.
_SIGNS_IN: Final = re.compile(r"ConfidentialClientApplication|Get-MsalToken|\bAzureAd\b|\bAzureAd__|azure/login@")
#: Members and options that take a secret there; one that is left empty takes none.
_PARAMETER: Final = re.compile(
    r"""client[_-]?secret\b(?!["']?\s*[=:]\s*(?:""|''))|\bclient_?credential(?=["']?\s*[=:][^,)]*secret)|\bcreds(?=\s*:)""",
    re.I,
)
_VALUE: Final = "the secret itself"
_SHAPE: Final = "what looks like a client secret"


@dataclass(frozen=True)
class Reader:
    """A place that reads the secret and will break.

    :param what: what it uses.
    """

    path: Path
    line: int
    what: str


@dataclass(frozen=True)
class Readers:
    """What was found.

    :param unsearched: what was not searched, in words.
    :param complete: False when the tree was too large to read it all.
    """

    found: tuple[Reader, ...]
    unsearched: tuple[str, ...] = ()
    complete: bool = True

    @property
    def gaps(self) -> str:
        """What was not searched, as a clause; empty when everything was."""
        return f"not searched: {', '.join(self.unsearched)}" if self.unsearched else ""


def readers(folder: Path, secret_member: str, secret: Secret | None = None, own: Path | None = None) -> Readers:
    """Files that use a client secret: by name, by a class that takes one, by a token request of their own, by value.

    :param folder: the project.
    :param secret_member: for example `PROVISIONER_CLIENT_SECRET`.
    :param secret: the secret, while it is known.
    :param own: the state file, which is read otherwise.
    """
    gaps: Counter[str] = Counter()
    skipped: set[str] = set()
    found: list[Reader] = []
    waiting: list[Reader] = []
    variable = False
    names = (secret_member, *_VARIABLES)
    for number, path in enumerate(_files(folder, skipped)):
        if number == _MOST:
            rest = f"everything after the first {_MOST} files"
            return Readers(tuple(found + waiting * variable), (*_gaps(gaps, skipped), rest), complete=False)
        text = None if path == own else _text(path, gaps)
        if text is None:
            continue
        reader, by_variable = _reader(path, text, names, secret)
        if _VARIABLES[0] in text and not _PROSE.search(path.name):
            variable = variable or any(uses(line, _VARIABLES[0]) for line in text.splitlines())
        found += [reader] if reader is not None else []
        waiting += [by_variable] if by_variable is not None and reader is None else []
    if variable:
        found = sorted([*found, *waiting], key=lambda reader: reader.path)
    return Readers(tuple(found), _gaps(gaps, skipped))


def _reader(path: Path, text: str, names: Sequence[str], secret: Secret | None) -> tuple[Reader | None, Reader | None]:
    """The first line that uses a secret; and the first that takes it from a variable, if that is set at all."""
    prose, terraform = bool(_PROSE.search(path.name)), bool(_TERRAFORM.search(path.name))
    asks = bool(_ENDPOINT.search(text))
    takes = terraform or asks or bool(_SIGNS_IN.search(text))
    by_variable = None
    command = ""
    for number, line in enumerate(text.splitlines(), 1):
        what = ""
        if secret is not None and secret.occurs_in(line):
            what = _VALUE
        elif ENTRA_SECRET.search(line):
            what = _SHAPE
        elif not prose:
            command += line
            what = next((name for name in names if name in line and uses(line, name)), "")
            if not what and (match := _TAKERS.search(line)) is not None:
                what = match[0]
            if not what:
                what = next((name for name, options in _COMMANDS.items() if options.search(command)), "")
            if not what and takes and (match := _PARAMETER.search(line)) is not None:
                what = f"{match[0]} in a token request" if asks else match[0]
            command = command[:-1] + " " if _GOES_ON.search(command) else ""
        if what:
            return Reader(path, number, what), by_variable
        if by_variable is None and not prose and (match := _BY_VARIABLE.search(line)) is not None:
            by_variable = Reader(path, number, f"{match[0]}, which takes {_VARIABLES[0]}")
    return None, by_variable


def uses(line: str, name: str) -> bool:
    """Whether a line that names a variable or member does more than remove it, or leave it empty.

    :param line: one line of a script, of a program, or of an `.env` file.
    """
    quoted = re.escape(name)
    for pattern in _REMOVALS:
        line = re.sub(pattern.replace("NAME", quoted), " ", line)
    return name in line


#: What only takes a member or variable away, in shells, jq, sed, Python, JavaScript, PowerShell, C#, Rust and Go.
_REMOVALS: Final = (
    r"""\bunset\s+(?:-[vf]\s+)?(?:\w+\s+)*NAME\b""",
    r"""\bdel\s*\(\s*\.?\[?["']?NAME["']?\]?\s*\)""",
    r"""^\s*del\s+[\w.]+\[\s*["']NAME["']\s*\]\s*(?:#.*)?$""",
    r"""^\s*delete\s+[\w.]+(?:\.NAME\b|\[\s*["']NAME["']\s*\])\s*;?\s*$""",
    r"""^\s*[\w.]+\.pop\(\s*["']NAME["']\s*(?:,\s*None\s*)?\)\s*;?\s*(?:#.*)?$""",
    r"""^\s*[\w.$]+\.[Rr]emove\(\s*["']NAME["']\s*\)\s*;?\s*$""",
    r"""\b(?:delenv|unsetenv|Unsetenv|remove_var)\(\s*["']NAME["'][^()]*\)""",
    r"""\bsed\b[^|;&]*?/[^/|;&]*NAME[^/|;&]*/d\b""",
    r"""\bgrep\s+-\w*v\w*\s+["']?\^?NAME["'=]*""",
    r"""\bRemove-Item\s+(?:-\w+\s+)*["']?[Ee]nv:[\\/]?NAME\b""",
    r"""\benv\s+(?:-u\s+\w+\s+)*(?:-u\s+|--unset=)NAME\b""",
    r"""^\s*(?:export\s+|set\s+)?NAME\s*=\s*(?:""|'')?\s*(?:#.*)?$""",
)


def _text(path: Path, gaps: Counter[str]) -> str | None:
    """The text of a file; None for anything that is none, or cannot be searched."""
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            gaps["link(s)"] += 1
            return None
        if not stat.S_ISREG(status.st_mode):
            return None  # a pipe would wait for ever
        if status.st_size > _LARGEST:
            gaps[f"file(s) larger than {_LARGEST // 1024 // 1024} MiB"] += 1
            return None
        content = path.read_bytes()
    except OSError:
        gaps["file(s) that cannot be read"] += 1
        return None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes it
        return content.decode("utf-16", "replace")
    if b"\0" in content[:_HEAD]:
        gaps["binary file(s)"] += 1
        return None
    return content.decode("utf-8", "replace")


def _gaps(gaps: Counter[str], skipped: set[str]) -> tuple[str, ...]:
    counted = tuple(f"{count} {what}" for what, count in sorted(gaps.items()))
    return (*((f"folders called {', '.join(sorted(skipped))}",) if skipped else ()), *counted)


GitView = Literal["no repository", "ignored", "tracked", "not ignored", "unknown"]


def git_view(path: Path, untrusted: Sequence[Path], cancel: Cancel) -> GitView:
    """What git would do with a file: `unknown` when git is absent.

    :param path: the state file; it need not exist.
    :param untrusted: folders that git must not come from.
    :raises SetupError: `git.failed`, with git's own words.
    """
    path = path.parent.resolve() / path.name
    if not any((folder / ".git").exists() for folder in path.parents):
        return "no repository"
    git = process.find("git", untrusted)
    if git is None:
        return "unknown"
    folder = next(folder for folder in path.parents if folder.is_dir())

    def ask(*arguments: str) -> bool:
        # a repository's own configuration can name a program to run for these; and a folder of the project that looks
        # like a repository without a work tree is none
        quiet = ("core.fsmonitor=false", f"core.hooksPath={os.devnull}", "safe.bareRepository=explicit")
        options = [part for setting in quiet for part in ("-c", setting)]
        argv = [str(git), *options, "-C", str(folder), *arguments, "--", str(path.relative_to(folder))]
        finished = process.run(argv, seconds=20, cancel=cancel, untrusted=untrusted)
        if finished.code not in (0, 1):
            words = process.words(finished.stderr).removeprefix("fatal: ")
            raise SetupError("git.failed", path=path, code=finished.code, detail=words or "no message")
        return finished.code == 0

    if ask("ls-files", "--error-unmatch"):
        return "tracked"
    return "ignored" if ask("check-ignore", "--quiet") else "not ignored"


def _files(folder: Path, skipped: set[str]) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        skipped |= _SKIPPED & set(folders)
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        for name in sorted(names):
            yield Path(root, name)
