"""The run of this project that was interrupted, if one was: which flow it was (U2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core import paths
from core.config.settings import guid
from core.errors import SetupError
from core.flow.journal import Journal
from core.flows import registry
from core.steps.context import Context
from core.steps.hand_off import handoff

#: Whose the oldest journals are, which name no flow.
OLDEST: Final = registry.MIGRATE


@dataclass(frozen=True)
class Open:
    """An undertaking that is not closed.

    :param flow: name of its flow.
    :param marked: whether it passed the point of no return.
    :param done: what it did, or may have done.
    :param request: the request for an administrator that it wrote, if it did.
    """

    flow: str
    marked: bool
    path: Path
    done: tuple[str, ...]
    request: str

    @property
    def lock(self) -> Path:
        """Held by whoever is at work on it."""
        return self.path.parent.parent / "locks" / f"{self.path.stem}.lock"


def find(ctx: Context) -> Open | None:
    """The open undertaking of the project's app, or of the app that it was about to create.

    :raises SetupError: the state file or a journal cannot be read; `journal.foreign`: another version wrote it.
    """
    members, profile = ctx.statefile.read_or_empty().members, ctx.profile
    tenant = ctx.settings.tenant or members.get(profile.tenant_member)
    app_id = ctx.settings.app_id or members.get(profile.client_id_member)
    candidates = [paths.journal(profile, ctx.cloud.key, "new", paths.digest(ctx.settings.folder))]
    if tenant and app_id:
        names = (guid(profile.tenant_member, tenant), guid(profile.client_id_member, app_id))
        candidates.insert(0, paths.journal(profile, ctx.cloud.key, *names))
    elif tenant:
        _several(ctx, guid(profile.tenant_member, tenant))
    for path in candidates:
        journal = Journal(path, ctx.run_id, ctx.clock)
        if journal.resumed:
            done = tuple(f"{effect.action} {effect.target}" for effect in journal.standing())
            request = next((effect.target for effect in reversed(journal.standing(handoff.WRITE))), "")
            name = journal.flow or OLDEST.name
            if registry.flow(name) is None:
                raise SetupError("journal.foreign", path=path, flow=name)
            return Open(name, journal.marked, path, done, request)
    return None


def standing(ctx: Context) -> str:
    """What an earlier run of the project left open, in words; empty if nothing is."""
    try:
        found = find(ctx)
    except SetupError as error:
        return f"Whether an earlier one is still open could not be seen: {error.summary}"
    if found is None:
        return ""
    passed = ", after its point of no return" if found.marked else ""
    return f"The '{found.flow}' that was interrupted{passed} is still open: `entraclaw-setup resume`."


def _several(ctx: Context, tenant: str) -> None:
    """Where nothing names the app, an open run of the tenant may be this project's.

    :raises SetupError: `usage.settings`.
    """
    folder = paths.state_folder(ctx.profile) / "journal"
    for path in sorted(folder.glob(f"{ctx.cloud.key}_{tenant}_*.jsonl")):
        if Journal(path, ctx.run_id, ctx.clock).resumed:
            app_id = path.stem.rpartition("_")[2]
            detail = f"A run of the app {app_id} is open. If it is this project's, say so: --app-id {app_id}"
            raise SetupError("usage.settings", detail=detail, command="resume")
