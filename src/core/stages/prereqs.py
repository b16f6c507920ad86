"""Prerequisites: the project's state file, its cloud, tenant and app id (C1, M1, P1)."""

from __future__ import annotations

import json
import re
import sys
from typing import Any, Final

from core.errors import SetupError
from core.events import Finding
from core.flow.step import Blocked, Check, Needed, Stage, Step
from core.machine.keystore import WINDOWS_LIMIT
from core.secret import Secret, looks_secret
from core.settings import guid
from core.stages.world import World

#: What can be a client secret at all; anything else would only confuse the guards that look for it.
_PLAUSIBLE: Final = re.compile(r"[!-~]{16,128}")


class ReadStateFile(Step[World]):
    """Read the state file; the secret goes into a `Secret` at once and nowhere else."""

    name = "state-file"
    title = "Read the state file"

    def check(self, world: World) -> Check:
        return Needed()

    def apply(self, world: World) -> str:
        known, profile = world.known, world.profile
        members = world.statefile.read()
        theirs = members.get("CLOUD", "public")
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
        if not known.tenant:
            raise SetupError("usage.unknown-tenant")
        if known.app_id and known.app_id == str(members.get(profile.blueprint_member, "")).lower():
            raise SetupError("app.blueprint", app_id=known.app_id)
        for name, other in members.items():
            if known.secret is not None and other == known.secret.reveal():
                message = f"{name} in {world.statefile.path.name} is a copy of the secret; it is removed too."
                world.emit(Finding("statefile.copy", "warning", message))
            elif looks_secret(json.dumps(other)):
                world.emit(
                    Finding(
                        "statefile.foreign-secret",
                        "warning",
                        f"{world.statefile.path.name} also holds something that looks like a secret: {name}. "
                        "It is not the Provisioner's and is left as it is.",
                        "Find out what uses it, and move it to a keystore.",
                    )
                )
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


def _agreed(world: World, setting: str, member: str, members: dict[str, Any]) -> str:
    """A GUID from the settings or the state file; when both name one, they must be the same."""
    flag = f"--{setting.replace('_', '-')}"
    given = str(getattr(world.settings, setting))
    stored = guid(f"{member} in {world.statefile.path.name}", members[member]) if members.get(member) else ""
    if given and stored and given != stored:
        detail = f"{flag} says {given}, but {member} in {world.statefile.path.name} is {stored}"
        raise SetupError("usage.settings", detail=detail, command="migrate")
    return given or stored


STAGE: Stage[World] = Stage("prereqs", "Prerequisites", (ReadStateFile(), EnoughRoom()))
