"""The project: state file, git, `.env`, MCP configuration, sources that use the secret, and what a run left behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from core.errors import SetupError
from core.machine import paths
from core.machine.sources import git_view, readers
from core.secret import looks_secret
from core.stages import interrupted, leftover, prereqs
from core.stages.leftover import RollbackJournal
from core.support.checks.computer import closable
from core.support.patient import Check, Cure, Group, Patient, Unseen, Verdict

_LARGEST: Final = 1024 * 1024
#: A line of a `.env` file that means something: a comment, or a name and a value.
_ENV_LINE: Final = re.compile(r"\s*(#.*|(export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=.*)?")
_ID_NAME: Final = re.compile(r"ENTRACLAW_\w*(?:_ID|_TENANT)")
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ENV_REMEDY: Final = "Remove it, or write the right value; then start what reads it again."
#: What is a secret by its name, whatever its value looks like; `$NAME` and `<placeholder>` stand for one.
_SECRET_NAME: Final = re.compile(r"(?:SECRET|PASSWORD|PASSWD|TOKEN|API_?KEY|PRIVATE_?KEY)$", re.IGNORECASE)
_MEMBER: Final = re.compile(r'"([\w.-]{1,100})"\s*:\s*"([^"$<][^"]*)"')
_COMMENT: Final = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.S)
#: Faults of one file that are told one by one.
_MOST: Final = 20
#: Where MCP clients keep their servers: in the project, and in the home (A6).
_MCP: Final = (".mcp.json", ".vscode/mcp.json")
_MCP_HOME: Final = (".copilot/mcp-config.json",)


def _state_file(patient: Patient) -> Verdict:
    world, profile = patient.world, patient.profile
    path = world.statefile.path
    if not world.statefile.exists():
        prereqs.ReadStateFile(required=False).apply(world)
        remedy = "Set it up: entraclaw-setup onboard --only provisioner. Or name the project: --project DIR."
        return Verdict("warning", f"There is none at {path}; nothing was set up here yet.", remedy)
    members = world.statefile.read()
    prereqs.ReadStateFile(required=False).apply(world)
    migrate = "Run 'entraclaw-setup migrate'."
    found = []
    if profile.secret_member in members:
        value = members[profile.secret_member]
        if value is None or value == "":
            found.append(
                Verdict(
                    "failure",
                    f"{profile.secret_member} in {path} is {json.dumps(value)}: an earlier run of another tool "
                    "overwrote the only copy of the secret, and the password credential itself stays on the app.",
                    f"{migrate} It needs no secret: it adds a certificate and deletes the password credentials.",
                )
            )
        else:
            found.append(
                Verdict(
                    "failure",
                    f"{path} holds a client secret in plain text: whoever reads it can sign in as the app.",
                    f"{migrate} It replaces the secret by a certificate.",
                )
            )
    if os.name == "posix" and path.lstat().st_mode & 0o077:
        found.append(closable(path, path.lstat().st_mode, "failure" if found else "warning"))
    found += [
        Verdict("failure", f"{copy} holds what looks like a secret: a copy of an older state file?", f"Delete {copy}.")
        for copy in sorted(path.parent.glob(f"{path.name}?*"))
        if _holds_secret(copy)
    ]
    thumbprint = members.get(profile.thumbprint_member)
    named = f"certificate {thumbprint}" if thumbprint else "no certificate"
    return Verdict.all(found, f"{path}: app {patient.known.app_id or 'not named'}, {named}, no secret")


def _holds_secret(copy: Path) -> bool:
    try:
        return looks_secret(_text(copy) or "")
    except Unseen:
        return False  # a folder, a link, or something large: no copy of a state file


def _git(patient: Patient) -> Verdict:
    world, path = patient.world, patient.statefile.path
    view = git_view(path, world.untrusted, world.cancel)
    if view == "tracked":
        remedy = f"git rm --cached {path.name}, and add it to .gitignore. What is in the history stays there."
        return Verdict("failure", f"git tracks {path.name}", remedy)
    if view == "not ignored":
        order = f"printf '\\n%s\\n' {shlex.quote(path.name)} >> .gitignore"  # its last line may have no end
        return Verdict("warning", f"git would add {path.name}", order)
    if view == "unknown":
        raise Unseen("git is missing or does not answer")
    return Verdict("ok", view)


def _env(patient: Patient) -> Verdict:
    path = patient.settings.folder / ".env"
    text = _text(path)
    if text is None:
        return Verdict("ok", "there is none")
    return Verdict.all(_env_faults(path, text), f"{path}: every line is in order")


def _env_faults(path: Path, text: str) -> Iterator[Verdict]:
    faults = [fault for number, line in _env_lines(text) if (fault := _env_fault(f"{path.name}:{number}", line))]
    yield from faults[:_MOST]
    if len(faults) > _MOST:
        yield Verdict("failure", f"and {len(faults) - _MOST} more lines")
    mode = path.lstat().st_mode
    if os.name == "posix" and mode & 0o077:
        yield closable(path, mode, "warning")


def _env_lines(text: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line that begins something; a quoted value may go on over several."""
    quote = ""
    for number, line in enumerate(text.splitlines(), 1):
        if quote:
            quote = "" if line.rstrip().endswith(quote) else quote
            continue
        yield number, line
        value = line.partition("=")[2].strip()
        opened = value[:1] if value[:1] in ("'", '"') else ""
        quote = opened if opened and (len(value) == 1 or not value.endswith(opened)) else ""


def _env_fault(where: str, line: str) -> Verdict | None:
    name, _, value = line.strip().removeprefix("export ").partition("=")
    name, value = name.strip(), value.strip().strip("\"'")
    if not _ENV_LINE.fullmatch(line):
        note = "It looks like a note that another program printed, and a script took for a value."
        return Verdict("failure", f"{where} is no line of the form NAME=value. {note}", _ENV_REMEDY)
    if looks_secret(value):
        return Verdict("failure", f"{where}: {name} looks like a secret", "Move it to a keystore.")
    if _ID_NAME.fullmatch(name) and value and not _GUID.fullmatch(value):
        note = "A note of another program may have been taken for its value."
        return Verdict("failure", f"{where}: {name} is no id (a GUID). {note}", _ENV_REMEDY)
    if _SECRET_NAME.search(name) and value and not value.startswith(("$", "<")):
        return Verdict("warning", f"{where}: {name} is a secret by its name", "Move it to a keystore.")
    return None


def _mcp(patient: Patient) -> Verdict:
    places = [patient.settings.folder / name for name in _MCP] + [Path.home() / name for name in _MCP_HOME]
    there = [(path, text) for path in places if (text := _text(path)) is not None]
    faults = [fault for path, text in there for fault in _mcp_faults(path, text)]
    return Verdict.all(faults, ", ".join(str(path) for path, _ in there) or "there is none")


def _mcp_faults(path: Path, text: str) -> Iterator[Verdict]:
    try:
        data = json.loads(_COMMENT.sub(_blank, text) if path.parent.name == ".vscode" else text)
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


def _blank(found: re.Match[str]) -> str:
    """VS Code allows comments and commas at the end; texts stay."""
    return found[0] if found[0].startswith('"') else ""


def _sources(patient: Patient) -> Verdict:
    found = readers(patient.settings.folder, patient.profile.secret_member)
    places = [f"{r.path.relative_to(patient.settings.folder)}:{r.line} uses {r.what}" for r in found.found]
    if not found.complete:
        places.append("the project is too large to read all of it")
    remedy = "They break without the secret: let them use 'entraclaw-setup token' (docs/how-to/get-a-token.md)."
    return Verdict("warning", "\n".join(places), remedy) if places else Verdict("ok", "none found")


def _interrupted(patient: Patient) -> Verdict:
    found = interrupted.find(patient.world)
    if found is None:
        return Verdict("ok", "no run of this project is open")
    done = "; ".join(found.done) or "nothing that is left"
    if found.request:
        remedy = f"An administrator runs: entraclaw-setup apply '{found.request}'. Then run '{found.flow}' again."
        return Verdict("warning", f"'{found.flow}' waits for an administrator: {done}", remedy)
    side = "after" if found.marked else "before"
    remedy = "'entraclaw-setup resume' finishes it" + (
        "." if found.marked else ", 'entraclaw-setup undo' takes it back."
    )
    return Verdict("failure", f"'{found.flow}' was interrupted {side} the point of no return: {done}", remedy)


def _rollback(patient: Patient) -> Verdict:
    if not (patient.known.tenant and patient.known.app_id):
        raise Unseen("no tenant and app are known")
    journal = RollbackJournal.of(patient.world)
    if not journal.stands:
        return Verdict("ok", "there is none")
    try:
        now = leftover.service_time(patient.world)
    except SetupError:
        now = patient.world.clock.now()
    told = leftover.standing(journal)
    if now < journal.ends:
        return Verdict("failure", told.message, told.remedy)
    cure = Cure("remove the expired secret of the rollback", partial(_sweep, patient))
    ended = f"The secret of a rollback ended at {leftover.utc(journal.ends)} and is still there: {journal.listing()}."
    return Verdict("failure", ended, "Any other command removes it, and so does 'entraclaw-setup doctor --fix'.", cure)


def _sweep(patient: Patient) -> None:
    leftover.sweep(patient.world, signed_in=True)


def _locks(patient: Patient) -> Verdict:
    folder = paths.state_folder(patient.profile) / "locks"
    held: list[Path] = []
    idle: list[Path] = []
    for path in sorted(folder.glob("*.lock")) if folder.is_dir() else ():
        if not stat.S_ISREG(path.lstat().st_mode):
            continue
        (held if _held(path) else idle).append(path)
    if held:
        what = f"Another run is under way: it holds {', '.join(map(str, held))}"
        return Verdict("warning", what, "Wait for its end, or stop it.")
    cure = Cure(f"remove {len(idle)} lock file(s) that nobody holds", partial(_unlock, idle)) if idle else None
    return Verdict("ok", f"none is held{f', {len(idle)} file(s) of earlier runs' if idle else ''}", cure=cure)


def _held(path: Path) -> bool:
    """Whether somebody holds a lock. Where the system tells, it is not taken: a run that begins now must get it."""
    from filelock import FileLock

    try:
        table = Path("/proc/locks").read_text(encoding="ascii", errors="replace")
    except OSError:
        try:
            with FileLock(path, timeout=0):
                return False
        except TimeoutError:
            return True
    return any(line.split()[1:2] == ["FLOCK"] and f":{path.stat().st_ino} " in line for line in table.splitlines())


def _unlock(idle: list[Path]) -> None:
    """Remove lock files, each while it is held: whoever waits for it sees that it is gone, and makes a new one.

    :raises SetupError: `lock.held`: somebody has begun meanwhile, and it is his.
    """
    from filelock import FileLock

    for path in idle:
        try:
            with FileLock(path, timeout=0):
                path.unlink(missing_ok=True)
        except TimeoutError:
            raise SetupError("lock.held", path=path) from None


def _text(path: Path) -> str | None:
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


GROUP = Group(
    "project",
    "Project",
    (
        Check("state-file", "State file", _state_file),
        Check("git", "Git and the state file", _git),
        Check("env-file", "Environment file", _env),
        Check("mcp", "MCP configuration", _mcp),
        Check("sources", "Source files that use the secret", _sources),
        Check("interrupted", "Interrupted runs", _interrupted, ("state-file",)),
        Check("locks", "Locks", _locks, ("interrupted",)),
    ),
)
#: Needs the service's clock, if there is one, and so comes with what is asked over the network.
ROLLBACK = Check("rollback", "Rollback", _rollback, ("state-file", "reach"))
