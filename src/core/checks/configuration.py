"""The project's configuration: `.env`, and the files in which MCP clients keep their servers (D1, A6)."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from core.checks.base import Check, Diagnosis, Unseen, Verdict
from core.checks.computer import closable
from core.config.profile import BUILT_IN
from core.display import one_line
from core.secret import looks_secret

_LARGEST: Final = 1024 * 1024
#: What means something in a `.env` file: a comment, or a name and a value.
_ENV_LINE: Final = re.compile(r"\s*(#.*|(export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=.*)?", re.S)
_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
#: A line whose value begins with a quote that it does not close.
_OPENED: Final = re.compile(r"""\s*(?:export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*(["'])(?:\\.|(?!\1).)*""")
#: How the names begin that the product itself reads.
_OURS: Final = re.compile("|".join(each.variables for each in BUILT_IN.values()))
_ID_NAME: Final = re.compile(rf"(?:{_OURS.pattern})\w*(?:_ID|_TENANT)")
#: Ends of names, and how the thumbprints under them look (T5).
_SHAPES: Final = {
    "_CERT_THUMBPRINT": (re.compile("[A-Za-z0-9_-]{43}"), "SHA-256, base64url, 43 characters"),
    "_CERT_SHA1": (re.compile("[A-F0-9]{40}"), "SHA-1, 40 upper-case hexadecimal digits"),
}
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ENV_REMEDY: Final = "Remove it, or write the right value; then start what reads it again."
#: What is a secret by its name, whatever its value looks like; `$NAME` and `<placeholder>` stand for one.
_SECRET_NAME: Final = re.compile(r"(?:SECRET|PASSWORD|PASSWD|TOKEN|API_?KEY|PRIVATE_?KEY)$", re.IGNORECASE)
_MEMBER: Final = re.compile(r'"([\w.-]{1,100})"\s*:\s*"([^"$<][^"]*)"')
#: What VS Code takes besides JSON, after the texts in which it stands for itself.
_COMMENT: Final = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.S)
_COMMA: Final = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])', re.S)
#: Faults of one file that are told one by one.
_MOST: Final = 20
#: Where MCP clients keep their servers: in the project, and in the home (A6).
_MCP: Final = (".mcp.json", ".vscode/mcp.json")
_MCP_HOME: Final = (".copilot/mcp-config.json",)


def _env(diagnosis: Diagnosis) -> Verdict:
    path = diagnosis.ctx.settings.folder / ".env"
    text = read(path)
    if text is None:
        return Verdict("ok", "there is none")
    return Verdict.all(_env_faults(path, text), f"{path}: every line is in order")


def _env_faults(path: Path, text: str) -> Iterator[Verdict]:
    entries = list(_env_entries(text))
    faults = [fault for number, entry in entries if (fault := _env_fault(f"{path.name}:{number}", entry))]
    if twice := _env_twice(entries):
        told = f"{path.name}: names that stand there more than once: {twice}"
        faults.append(Verdict("warning", told, "Leave one line for each name: which one counts depends on the reader."))
    yield from faults[:_MOST]
    if len(faults) > _MOST:
        yield Verdict("failure", f"and {len(faults) - _MOST} more lines")
    mode = path.lstat().st_mode
    if os.name == "posix" and mode & 0o077:
        yield closable(path, mode, "warning")


def _env_twice(entries: list[tuple[int, str]]) -> str:
    """Names that stand there more than once, with their lines."""
    lines: dict[str, list[str]] = {}
    for number, entry in entries:
        name = entry.strip().removeprefix("export ").partition("=")[0].strip()
        if "=" in entry and _NAME.fullmatch(name):
            lines.setdefault(name, []).append(str(number))
    twice = [f"{name} (lines {', '.join(found)})" for name, found in lines.items() if len(found) > 1]
    return "; ".join(twice[:_MOST]) + (f" and {len(twice) - _MOST} more" if len(twice) > _MOST else "")


def _env_entries(text: str) -> Iterator[tuple[int, str]]:
    """Number of its first line, and text of each entry: a quoted value may go on over several lines.

    A quote that nothing closes opens nothing: what follows it must not be passed over.
    """
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        first, number = lines[at], at + 1
        at += 1
        opened = _OPENED.fullmatch(first)
        if opened is not None:
            ends = (n for n in range(at, len(lines)) if opened[1] in lines[n].replace(f"\\{opened[1]}", ""))
            at = next(ends, at - 1) + 1
        yield number, "\n".join(lines[number - 1 : at])


def _env_fault(where: str, entry: str) -> Verdict | None:
    name, _, text = entry.strip().removeprefix("export ").partition("=")
    if looks_secret(text or entry):  # the name would make one of any value
        what = "this line" if entry.lstrip().startswith("#") or not text else name.strip()
        return Verdict("failure", f"{where}: {what} looks like a secret", "Move it to a keystore.")
    if entry.lstrip().startswith("#"):
        return None
    name, value = name.strip(), _env_value(text.strip())
    if not _ENV_LINE.fullmatch(entry):
        note = "It looks like a note that another program printed, and a script took for a value."
        return Verdict("failure", f"{where} is no line of the form NAME=value. {note}", _ENV_REMEDY)
    if _OPENED.fullmatch(entry):
        return Verdict("failure", f"{where}: the quote that {name} begins with is closed nowhere", "Close it.")
    if _ID_NAME.fullmatch(name) and value and not _GUID.fullmatch(value):
        note = "A note of another program may have been taken for its value."
        return Verdict("failure", f"{where}: {name} is no id (a GUID). {note}", _ENV_REMEDY)
    for end, (shape, told) in _SHAPES.items():
        if _OURS.match(name) and name.endswith(end) and value and not shape.fullmatch(value):
            return Verdict("failure", f"{where}: {name} is no thumbprint ({told})", _ENV_REMEDY)
    for inside in entry.splitlines():  # where a quote was left open, others are in it
        name, _, text = inside.strip().removeprefix("export ").partition("=")
        value = _env_value(text.strip())
        if _SECRET_NAME.search(name.strip()) and value and not value.startswith(("$", "<")):
            return Verdict("warning", f"{where}: {name.strip()} is a secret by its name", "Move it to a keystore.")
    return None


def _env_value(text: str) -> str:
    """A value without its quotes, and without the comment after it."""
    if text[:1] in ("'", '"'):
        return text[1:].partition(text[0])[0]
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()


def _mcp(diagnosis: Diagnosis) -> Verdict:
    places = [diagnosis.ctx.settings.folder / name for name in _MCP] + [Path.home() / name for name in _MCP_HOME]
    there = [(path, text) for path in places if (text := read(path)) is not None]
    faults = [fault for path, text in there for fault in _mcp_faults(path, text)]
    return Verdict.all(faults, ", ".join(str(path) for path, _ in there) or "there is none")


def _mcp_faults(path: Path, text: str) -> Iterator[Verdict]:
    try:
        data = json.loads(_plain(text) if path.parent.name == ".vscode" else text)
    except (ValueError, RecursionError) as error:
        told = f"{path} is no JSON: {error}" if isinstance(error, ValueError) else f"{path} is nested too deep"
        yield Verdict("failure", told, "Mend it by hand: no client can read it like that.")
        return
    if not isinstance(data, dict):
        yield Verdict("failure", f"{path} holds no JSON object", "Mend it by hand.")
    if looks_secret(text):
        yield Verdict("failure", f"{path} holds what looks like a secret", "Move it to a keystore.")
    elif names := sorted({name for name, value in _MEMBER.findall(text) if _SECRET_NAME.search(name)}):
        yield Verdict("warning", f"{path} holds a secret by its name: {', '.join(names)}", "Move it to a keystore.")
    if isinstance(data, dict):
        yield from _mcp_commands(path, data)


def _mcp_commands(path: Path, data: dict[str, Any]) -> Iterator[Verdict]:
    """Servers whose program is not there; what the client fills in first is not judged."""
    for servers in (data.get("mcpServers"), data.get("servers")):
        for name, server in servers.items() if isinstance(servers, dict) else ():
            command = server.get("command") if isinstance(server, dict) else None
            if not isinstance(command, str) or not command or "${" in command:
                continue
            named = "/" in command or "\\" in command
            place = str(path.parent / command) if named else command  # an absolute path stays as it is
            if shutil.which(place) is None:
                there = named and Path(place).exists()
                why = "is not executable" if there else "is not there" if named else "is not on the PATH"
                told = f"{path}: the server {one_line(name)} cannot start: {one_line(command)} {why}"
                yield Verdict("warning", told, "Install it again, or write the path at which it is.")


def _plain(text: str) -> str:
    """Without comments, and without commas at the end of a list."""
    for pattern in (_COMMENT, _COMMA):
        text = pattern.sub(lambda found: found[0] if found[0].startswith('"') else " ", text)
    return text


def read(path: Path) -> str | None:
    """The text of a small regular file; None where there is none.

    :raises Unseen: it is something else, or cannot be read.
    """
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            raise Unseen(f"{path} is a link, no regular file, or too large; it is not looked into")
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unseen(f"{path} cannot be read: {error.strerror or error}") from None


ENV: Final = Check("env-file", "Environment file", _env)
MCP: Final = Check("mcp", "MCP configuration", _mcp)
