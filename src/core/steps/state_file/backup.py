"""The backup of the state file, without its secrets, before the file changes (M10)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from core import paths
from core.errors import SetupError
from core.flow.step import Done, Left, Needed, PlanRow, Status, Step
from core.machine import backup
from core.steps import facts
from core.steps.context import Context
from core.steps.state_file.purge import Purge

ACTION: Final = "statefile.backup"


class Backup(Step[Context]):
    """Copy the state file without its secrets; it stands before the marker, so that a copy that fails stops the run."""

    name = "backup"
    title = "Back up the state file without its secrets"
    needs = (facts.Target, facts.OpenRun, facts.MachineKey)
    maybe = (facts.Project,)

    def check(self, ctx: Context) -> Status:
        if isinstance(Purge().check(ctx), Done):
            return Done("the state file does not change")
        made = [effect for effect in ctx.standing(ACTION) if effect.state == "done"]
        return Done(made[0].target) if made else Needed()

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        folder = str(_path(ctx).parent)
        return (PlanRow("add", "backup of the state file", folder, "", "without its secrets", True, "new file, 0600"),)

    def apply(self, ctx: Context) -> str:
        path = _path(ctx)
        content = backup.harmless(ctx.statefile, ctx.profile.secret_member)
        with ctx.log.effect(ACTION, str(path), ctx.emit):
            backup.save(path, content)
            if path.read_bytes() != content:
                raise SetupError("rollback.backup", path=path, detail="it does not read back as it was written")
        backup.prune(path)
        return str(path)

    def undo(self, ctx: Context) -> Left | None:
        folder = _path(ctx).parent
        for effect in ctx.log.standing(ACTION):
            path = folder / Path(effect.target).name  # it may have been moved, and nothing is removed elsewhere (A8)
            if path.exists():
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    return Left(f"the backup {path} ({error.strerror})", f"Delete {path}; it holds no secret.")
            ctx.log.undone(effect)
        return None


def _path(ctx: Context) -> Path:
    return paths.backup(ctx.profile, ctx.cloud.key, ctx.target.tenant, ctx.target.app_id, ctx.clock.now())
