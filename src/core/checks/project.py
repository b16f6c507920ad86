"""The project: state file, git, sources that use the secret, and what a run left behind."""

from __future__ import annotations

import os
import shlex
import stat
from functools import partial
from pathlib import Path
from typing import Final

from core import paths
from core.checks import configuration
from core.checks.base import Check, Diagnosis, Fix, Unseen, Verdict
from core.checks.computer import closable
from core.display import one_line
from core.errors import Interrupted, SetupError
from core.flows import interrupted
from core.machine.source_scan import git_view, readers
from core.secret import looks_secret, redactor
from core.steps import prerequisites
from core.steps.passwords import rollback_secret
from core.steps.state_file import copies


def _state_file(diagnosis: Diagnosis) -> Verdict:
    ctx, profile = diagnosis.ctx, diagnosis.ctx.profile
    path = ctx.statefile.path
    prerequisites.ReadStateFile(required=False).apply(ctx)
    if not ctx.statefile.exists():
        remedy = "Set it up: entraclaw-setup onboard --only provisioner. Or name the project: --project DIR."
        return Verdict("warning", f"There is none at {path}; nothing was set up here yet.", remedy)
    contents = ctx.statefile.read()
    found = _secrets(diagnosis)
    if os.name == "posix" and path.lstat().st_mode & 0o077:
        found.append(closable(path, path.lstat().st_mode, "failure" if found else "warning"))
    found += _copies(diagnosis)
    known = {copy.path for copy in copies.holding(ctx)}
    found += [
        Verdict("failure", f"{copy} holds what looks like a secret: a copy of an older state file?", f"Delete {copy}.")
        for copy in sorted(path.parent.glob(f"{path.name}?*"))
        if copy not in known and _holds_secret(copy)
    ]
    thumbprint = contents.members.get(profile.thumbprint_member)
    named = f"certificate {thumbprint}" if thumbprint else "no certificate"
    return Verdict.all(found, f"{path}: app {diagnosis.ctx.target.app_id or 'not named'}, {named}, no secret")


def no_secret(diagnosis: Diagnosis) -> Verdict:
    """Neither the state file nor a copy of it that is known holds a secret (M9, M11)."""
    return Verdict.all((*_secrets(diagnosis), *_copies(diagnosis)), str(diagnosis.ctx.statefile.path))


def _copies(diagnosis: Diagnosis) -> list[Verdict]:
    remedy = "Run 'entraclaw-setup migrate'. It removes the secret from copies of the state file, too."
    return [
        Verdict("failure", f"{copy.path} holds {', '.join(copy.members)}: a copy of the state file.", remedy)
        for copy in copies.holding(diagnosis.ctx)
    ]


def _secrets(diagnosis: Diagnosis) -> list[Verdict]:
    profile, statefile = diagnosis.ctx.profile, diagnosis.ctx.statefile
    path, contents = statefile.path, statefile.read()
    found = []
    if contents.present:
        if contents.unusable in ("null", '""'):
            told = (
                f"{profile.secret_member} in {path} is {contents.unusable}: an earlier run of another tool "
                "overwrote the only copy of the secret, and the password credential itself stays on the app."
            )
            what = "It needs no secret: it adds a certificate and deletes the password credentials."
        elif contents.unusable in ("no text", "a placeholder") or (contents.secret and contents.secret.begins("<")):
            told = f"{profile.secret_member} in {path} is no secret that anybody could sign in with."
            what = "It needs no secret, and removes the member."
        else:
            who = "while the app has it, whoever reads the file can sign in as the app."
            told = f"{path} holds a client secret in plain text: {who}"
            what = "It replaces the secret by a certificate."
        found.append(Verdict("failure", told, f"Run 'entraclaw-setup migrate'. {what}"))
    if alike := [name for name in statefile.where(looks_secret) if name != profile.secret_member]:
        told = f"What looks like a secret is in {path}: {one_line(redactor.redact(', '.join(alike)))}."
        found.append(Verdict("failure", told, "Find out what uses it, and remove it by hand."))
    return found


def _holds_secret(copy: Path) -> bool:
    try:
        return looks_secret(configuration.read(copy) or "")
    except Unseen:
        return False  # a folder, a link, or something large: no copy of a state file


def git(diagnosis: Diagnosis) -> Verdict:
    """Git neither tracks the state file nor would add it (M9)."""
    ctx, path = diagnosis.ctx, diagnosis.ctx.statefile.path
    view = git_view(path, ctx.untrusted, ctx.cancel)
    if view == "tracked":
        folder, name = shlex.quote(str(path.parent)), shlex.quote(path.name)
        order = f"git -C {folder} rm --cached {name}"
        remedy = f"{order}, and add it to .gitignore. What is in the history stays there."
        return Verdict("failure", f"git tracks {path.name}", remedy)
    if view == "not ignored":
        ignored = shlex.quote(str(path.parent / ".gitignore"))
        order = f"printf '\\n%s\\n' {shlex.quote(path.name)} >> {ignored}"  # its last line may have no end
        return Verdict("warning", f"git would add {path.name}", order)
    if view == "unknown":
        raise Unseen("git is missing or does not answer")
    return Verdict("ok", view)


def sources(diagnosis: Diagnosis) -> Verdict:
    """Every file of the project that still reads the secret (M9)."""
    own = diagnosis.ctx.statefile.path
    found = readers(
        diagnosis.ctx.settings.folder, diagnosis.ctx.profile.secret_member, diagnosis.ctx.project.secret, own
    )
    folder = diagnosis.ctx.settings.folder
    places = [f"{one_line(r.path.relative_to(folder))}:{r.line} uses {r.what}" for r in found.found]
    remedy = "They break without the secret: let them use 'entraclaw-setup token' (docs/how-to/get-a-token.md)."
    if places or not found.complete:
        return Verdict("warning", "\n".join(filter(None, (*places, found.gaps))), remedy)
    return Verdict("ok", "; ".join(filter(None, ("none found", found.gaps))))


def _interrupted(diagnosis: Diagnosis) -> Verdict:
    found = interrupted.find(diagnosis.ctx)
    if found is None:
        return Verdict("ok", "no run of this project is open")
    if _held(found.lock):
        return Verdict("warning", f"'{found.flow}' is under way now, in another process", "Wait for its end.")
    done = "; ".join(found.done) or "nothing that is left"
    if found.request:
        if not Path(found.request).is_file():
            remedy = f"If it was applied, or is gone: run 'entraclaw-setup {found.flow}' again."
            return Verdict("warning", f"'{found.flow}' waits for an administrator; its request is not there", remedy)
        order = f"entraclaw-setup apply {shlex.quote(found.request)}"
        remedy = f"An administrator runs: {order}. Then run '{found.flow}' again, also if that was done already."
        return Verdict("warning", f"'{found.flow}' waits for an administrator: {done}", remedy)
    side = "after" if found.marked else "before"
    remedy = "'entraclaw-setup resume' finishes it" + (
        "." if found.marked else ", 'entraclaw-setup undo' takes it back."
    )
    return Verdict("failure", f"'{found.flow}' was interrupted {side} the point of no return: {done}", remedy)


def rollback(diagnosis: Diagnosis) -> Verdict:
    """Whether the secret of a rollback stands (M10)."""
    if not (diagnosis.ctx.target.tenant and diagnosis.ctx.target.app_id):
        raise Unseen("no tenant and app are known")
    journal = rollback_secret.RollbackJournal.of(diagnosis.ctx)
    if not journal.stands:
        return Verdict("ok", "there is none")
    try:
        now = rollback_secret.service_time(diagnosis.ctx)
    except Interrupted:
        raise
    except SetupError:
        now = diagnosis.ctx.clock.now()
    told = rollback_secret.standing(journal)
    if now < journal.ends:
        return Verdict("failure", told.message, told.remedy)
    fix = Fix(
        "remove the expired secret of the rollback", (partial(rollback_secret.sweep, diagnosis.ctx, signed_in=True),)
    )
    end = rollback_secret.utc(journal.ends)
    ended = f"The secret of a rollback ended at {end} and is still there: {journal.listing()}."
    return Verdict("failure", ended, "Any other command removes it, and so does 'entraclaw-setup doctor --fix'.", fix)


def _locks(diagnosis: Diagnosis) -> Verdict:
    folder = paths.state_folder(diagnosis.ctx.profile) / "locks"
    held: list[Path] = []
    idle: list[Path] = []
    for path in sorted(folder.glob("*.lock")) if folder.is_dir() else ():
        if not stat.S_ISREG(path.lstat().st_mode):
            continue
        (held if _held(path) else idle).append(path)
    if held:
        what = f"Another run is under way: it holds {', '.join(map(str, held))}"
        return Verdict("warning", what, "Wait for its end, or stop it.")
    fix = Fix(f"remove {len(idle)} lock file(s) that nobody holds", (partial(_unlock, idle),)) if idle else None
    return Verdict("ok", f"none is held{f', {len(idle)} file(s) of earlier runs' if idle else ''}", fix=fix)


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
    try:
        number = path.stat().st_ino
    except FileNotFoundError:
        return False  # its run has ended just now
    # the device is not compared: on btrfs and overlays the table names another one than stat does
    return any(line.split()[1:2] == ["FLOCK"] and f":{number} " in line for line in table.splitlines())


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


CHECKS: Final = (
    Check("state-file", "State file", _state_file),
    Check("git", "Git and the state file", git),
    configuration.ENV,
    configuration.MCP,
    Check("sources", "Source files that use the secret", sources),
    Check("interrupted", "Interrupted runs", _interrupted, ("state-file",)),
    Check("locks", "Locks", _locks, ("interrupted",)),
)
#: Needs the service's clock, if there is one, and so comes with what is asked over the network.
ROLLBACK = Check("rollback", "Rollback", rollback, ("state-file", "reach"))
