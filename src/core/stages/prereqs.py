"""Prerequisites: the project's state file, its cloud, tenant and app id (C1, M1, M16, P1)."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

from core.errors import SetupError
from core.events import Finding
from core.flow.journal import Journal
from core.flow.step import Blocked, Check, Done, Needed, Stage, Step
from core.machine import paths
from core.machine.keystore import WINDOWS_LIMIT
from core.profile import Profile
from core.secret import Secret, looks_secret
from core.settings import guid
from core.stages.world import World

#: What can be a client secret at all; anything else would only confuse the guards that look for it.
_PLAUSIBLE: Final = re.compile(r"[!-~]{16,128}")


class ReadStateFile(Step[World]):
    """Read the state file; the secret goes into a `Secret` at once and nowhere else.

    :param required: whether a run may do without one.
    """

    name = "state-file"
    title = "Read the state file"

    def __init__(self, *, required: bool = True) -> None:
        self._required = required

    def check(self, world: World) -> Check:
        return Needed()

    def apply(self, world: World) -> str:
        known, profile = world.known, world.profile
        missing = not self._required and not world.statefile.exists()
        members = {} if missing else world.statefile.read()
        theirs = members.get("CLOUD", world.cloud.name if missing else "public")
        if theirs != world.cloud.name:
            path = world.statefile.path
            raise SetupError("usage.other-cloud", path=path, theirs=theirs, ours=world.cloud.name)
        present = profile.secret_member in members
        value = members.pop(profile.secret_member, None)
        text = value.strip() if isinstance(value, str) else ""
        ids = (members.get(profile.tenant_member), members.get(profile.client_id_member))
        if _PLAUSIBLE.fullmatch(text) and text not in ids:
            known.secret = Secret(text)
        elif present:
            message = (
                f"{profile.secret_member} holds no usable secret; it is not tried, and it is removed all the same."
            )
            world.emit(Finding("statefile.unusable", "warning", message))
        if present and world.statefile.links() > 1:
            message = f"{world.statefile.path} has another name (a hard link); under that name the secret stays."
            world.emit(Finding("statefile.linked", "warning", message, "Delete the other name too."))
        known.members = members
        known.tenant = _agreed(world, "tenant", profile.tenant_member, members)
        known.app_id = _agreed(world, "app_id", profile.client_id_member, members)
        if not known.tenant and self._required:
            raise SetupError("usage.unknown-tenant")
        if known.app_id and known.app_id == str(members.get(profile.blueprint_member, "")).lower():
            raise SetupError("app.blueprint", app_id=known.app_id)
        for name, other in members.items():
            _report(world, name, other)
        if missing:
            return f"there is none at {world.statefile.path}; it will be made"
        found = (
            "with a client secret" if known.secret else "with an unusable one" if present else "without a client secret"
        )
        return f"{world.statefile.path} ({found})"


class EnoughRoom(Step[World]):
    """Stop where a key bundle cannot be kept (P4)."""

    name = "platform"
    title = "Check that this system can keep a key"

    def check(self, world: World) -> Check:
        if sys.platform == "win32":
            return Blocked(SetupError("platform.no-keystore-key", limit=WINDOWS_LIMIT))
        return Needed()

    def apply(self, world: World) -> str:
        return f"{sys.platform}, Python {sys.version_info.major}.{sys.version_info.minor}"


class Outlives(Step[World]):
    """Stop where the key would not outlive the job (M16)."""

    name = "lifetime"
    title = "Check that the key would outlive this run"

    def check(self, world: World) -> Check:
        if not world.lifetime:
            return Done("nothing says that this is a CI job or a container")
        if not world.settings.key_outlives_job:
            return Blocked(SetupError("platform.short-lived", seen="; ".join(world.lifetime)))
        return Needed()

    def apply(self, world: World) -> str:
        seen, said = "; ".join(world.lifetime), world.settings.origin.get("key_outlives_job", "default")
        message = f"This looks like a job that ends and takes its keystore with it ({seen}), but it was said not to be."
        remedy = "If that is wrong, the key is lost with the job, and its certificate stays on the app."
        world.emit(Finding("platform.short-lived", "warning", message, remedy))
        return f"it was said to (--key-outlives-job, from: {said})"


class OpenJournal(Step[World]):
    """Take the lock of this tenant and app, and open its journal."""

    name = "journal"
    title = "Open the journal"

    def check(self, world: World) -> Check:
        if world.journal is not None:
            return Done("open")
        known_or_new = world.known.app_id or world.flow == "onboard" or world.known.request is not None
        return Needed() if known_or_new else Done("the app is not known yet")

    def apply(self, world: World) -> str:
        take_lock(world)
        journal = Journal(paths.journal(*_names(world)), world.run_id, world.clock, world.flow)
        if journal.resumed and journal.flow not in ("", world.flow):
            raise SetupError("journal.other-flow", theirs=journal.flow, ours=world.flow)
        world.journal = journal
        if not world.journal.resumed:
            return "new"
        where = "after" if world.journal.marked else "before"
        world.emit(
            Finding(
                "journal.resumed",
                "warning",
                f"An earlier run was interrupted {where} the point of no return; this run continues it.",
            )
        )
        return "continues an interrupted run"


def take_lock(world: World) -> None:
    """Take the lock of this tenant and app, until the world is closed.

    :raises SetupError: `lock.held`, `journal.io`.
    """
    from filelock import FileLock

    lock = paths.lock(*_names(world))
    if lock in world.locks:
        return
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        world.resources.enter_context(FileLock(lock, timeout=0, mode=0o600))
    except TimeoutError:
        raise SetupError("lock.held", path=lock) from None
    except OSError as error:
        raise SetupError("journal.io", path=lock, detail=error.strerror or error) from None
    world.locks.add(lock)


def _names(world: World) -> tuple[Profile, str, str, str]:
    """What lock and journal are kept under: tenant and app, or the project whose app does not exist yet.

    An administrator's undertaking is that of the request, and none of this machine's.
    """
    known, profile, key = world.known, world.profile, world.cloud.key
    if known.request is not None:
        return profile, key, "apply", paths.digest(known.request.app_id or known.request.unique_name)
    new = (profile, key, "new", paths.digest(world.settings.folder))
    if not known.app_id or (world.flow == "onboard" and _goes_on(world, paths.journal(*new))):
        return new
    return profile, key, known.tenant, known.app_id


def _goes_on(world: World, path: Path) -> bool:
    """Whether the state file names the app only because the undertaking that made it has come that far."""
    journal = Journal(path, world.run_id, world.clock)
    return journal.resumed and any(e.data.get("app_id") == world.known.app_id for e in journal.effects)


def _report(world: World, name: str, other: object) -> None:
    """Say what another member holds, if it is the secret again, or looks like one."""
    file, spelled, secret = world.statefile.path.name, json.dumps(other), world.known.secret
    remedy = ""
    if secret is not None and json.dumps(secret.reveal())[1:-1] in spelled:
        if isinstance(other, str) and other.strip() == secret.reveal():
            id, message = "statefile.copy", f"{name} in {file} is a copy of the secret; it is removed too."
        else:
            id, message = (
                "statefile.copy-inside",
                f"{name} in {file} holds the very same secret inside; it stays there.",
            )
            remedy = "Remove it by hand."
    elif looks_secret(spelled):
        id = "statefile.foreign-secret"
        message = (
            f"{file} also holds something that looks like a secret: {name}. "
            "It is not the Provisioner's and is left as it is."
        )
        remedy = "Find out what uses it, and move it to a keystore."
    else:
        return
    world.emit(Finding(id, "warning", message, remedy))


def _agreed(world: World, setting: str, member: str, members: dict[str, Any]) -> str:
    """A GUID from the settings or the state file; when both name one, they must be the same."""
    flag = f"--{setting.replace('_', '-')}"
    given = str(getattr(world.settings, setting))
    stored = guid(f"{member} in {world.statefile.path.name}", members[member]) if members.get(member) else ""
    if given and stored and given != stored:
        detail = f"{flag} says {given}, but {member} in {world.statefile.path.name} is {stored}"
        raise SetupError("usage.settings", detail=detail, command="migrate")
    return given or stored


STAGE: Stage[World] = Stage("prereqs", "Prerequisites", (ReadStateFile(), EnoughRoom(), Outlives(), OpenJournal()))
