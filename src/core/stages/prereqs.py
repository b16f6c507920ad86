"""Prerequisites: the project's state file, its cloud, tenant and app id (C1, M1, P1)."""

from __future__ import annotations

import sys
from typing import Any

from core.errors import SetupError
from core.events import Finding
from core.flow.step import Blocked, Check, Needed, Stage, Step
from core.machine.keystore import WINDOWS_LIMIT
from core.secret import Secret, looks_secret
from core.settings import guid
from core.stages.world import World


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
        value = members.pop(profile.secret_member, None)
        if isinstance(value, str) and value.strip():
            known.secret = Secret(value.strip())
        known.members = members
        known.tenant = _agreed(world, "tenant", profile.tenant_member, members)
        known.app_id = _agreed(world, "app_id", profile.client_id_member, members)
        if not known.tenant:
            raise SetupError("usage.unknown-tenant")
        if known.app_id and known.app_id == str(members.get(profile.blueprint_member, "")).lower():
            raise SetupError("app.blueprint", app_id=known.app_id)
        for name, other in members.items():
            if isinstance(other, str) and looks_secret(other):
                world.emit(
                    Finding(
                        "statefile.foreign-secret",
                        "warning",
                        f"{world.statefile.path.name} also holds something that looks like a secret: {name}. "
                        "It is not the Provisioner's and is left as it is.",
                        "Find out what uses it, and move it to a keystore.",
                    )
                )
        found = "with a client secret" if known.secret else "without a client secret"
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
