"""The run of this project that was interrupted, if one was: which flow it was (U2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.flow.journal import Journal
from core.machine import paths
from core.settings import guid
from core.stages.world import World


@dataclass(frozen=True)
class Open:
    """An undertaking that is not closed.

    :param flow: name of its flow.
    :param marked: whether it passed the point of no return.
    """

    flow: str
    marked: bool
    path: Path


def find(world: World) -> Open | None:
    """The open undertaking of the project's app, or of the app that it was about to create.

    :raises SetupError: the state file or a journal cannot be read.
    """
    members, profile = world.statefile.read_or_empty(), world.profile
    tenant = world.settings.tenant or members.get(profile.tenant_member)
    app_id = world.settings.app_id or members.get(profile.client_id_member)
    candidates = [paths.journal(profile, world.cloud.key, "new", paths.digest(world.settings.folder))]
    if tenant and app_id:
        names = (guid(profile.tenant_member, tenant), guid(profile.client_id_member, app_id))
        candidates.insert(0, paths.journal(profile, world.cloud.key, *names))
    for path in candidates:
        journal = Journal(path, world.run_id, world.clock)
        if journal.resumed:
            return Open(journal.flow or "migrate", journal.marked, path)
    return None
