"""Copies of the state file: the secret out of them, too, once it is dead (M11, M19)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.errors import SetupError
from core.flow.step import Done, Needed, PlanRow, Status, Step
from core.machine import state_copies
from core.machine.state_copies import StateCopy
from core.steps.context import Context
from core.steps.facts import OpenRun, Project, Target

PURGE: Final = "statefile.purgeCopy"


class PurgeCopies(Step[Context]):
    """Remove the secret from copies of the state file; all else in them stays byte for byte."""

    name = "purge-copies"
    title = "Purge the secret from copies of the state file"
    needs = (Target, OpenRun)
    maybe = (Project,)

    def check(self, ctx: Context) -> Status:
        return Needed() if replaceable(ctx) else Done("there are none that can be changed")

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        what, how = "a copy of the client secret", "atomic replace, 0600"
        return [
            PlanRow("delete", ", ".join(copy.members), str(copy.path), what, "", False, how)
            for copy in replaceable(ctx)
        ]

    def apply(self, ctx: Context) -> str:
        copies = replaceable(ctx)
        for copy in copies:
            with ctx.log.effect(PURGE, str(copy.path), ctx.emit):
                copy.purge()
        return f"{len(copies)} purged"


class TellOfCopies(Step[Context]):
    """Say which copies hold the secret and cannot be changed."""

    name = "copies"
    title = "Look for copies of the state file"
    needs = (Target,)
    maybe = (Project,)

    def check(self, ctx: Context) -> Status:
        return Needed()

    def apply(self, ctx: Context) -> str:
        copies = holding(ctx)
        for copy in copies:
            if why := _fixed(copy):
                message = f"{copy.path} holds the secret, too, and stays as it is: {why}"
                ctx.report("statefile.copy-stays", "warning", message, f"Remove {copy.path} by hand.")
        return f"{len(copies)} hold the secret" if copies else "none holds the secret"


def holding(ctx: Context) -> tuple[StateCopy, ...]:
    """The copies that hold the secret."""
    return state_copies.find(ctx.statefile, ctx.profile, ctx.target.app_id, ctx.project.secret, ctx.scratch)


def replaceable(ctx: Context) -> tuple[StateCopy, ...]:
    """Those of them that can be changed."""
    return tuple(copy for copy in holding(ctx) if not _fixed(copy))


def rehearse(ctx: Context) -> None:
    """Everything that the purge of the copies will do, with stand-ins (M4)."""
    for copy in replaceable(ctx):
        copy.rehearse()


def purged(ctx: Context) -> int:
    """From how many copies the undertaking removed the secret, in all its runs."""
    effects = ctx.journal.did(PURGE) if ctx.journal is not None else []
    return len({effect.target for effect in effects if not effect.data.get("app")})  # else it is the older app's


def _fixed(copy: StateCopy) -> str:
    """Why it cannot be changed, in words; empty: it can."""
    if copy.path.lstat().st_nlink > 1:
        return "it has another name (a hard link), under which the secret would stay."
    try:
        copy.file.check_replaceable()
    except SetupError as error:
        return error.summary
    return ""
