"""This computer: one row for each program and system piece that a run needs (U3).

The headless flows do without: they find out by using the tools, and may start the Azure CLI only once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from core.errors import SetupError
from core.events import Finding, Severity
from core.flow.step import Blocked, Done, Flow, Needed, Stage, Status, Step
from core.machine import prerequisites
from core.machine.prerequisites import Tool
from core.steps.context import Context


class LookAtTool(Step[Context]):
    """Look at one; what is missing of the advice is a warning, what is required blocks.

    :cvar tool: its name in `core.machine.prerequisites`.
    """

    tool: ClassVar[str]

    def check(self, ctx: Context) -> Status:
        seen = ctx.tools()
        mine = next((tool for tool in seen if tool.name == self.tool), None)
        if mine is None:
            return Done("not needed on this system")
        if mine.ok:
            return Done(_evidence(mine))
        if not mine.required:
            return Needed(mine.why)
        missing = [tool for tool in seen if tool.required and not tool.ok]
        for tool in missing:
            _report(ctx, tool)
        what = "; ".join(f"{_wanted(tool)}: {tool.why}" for tool in missing)
        how = "\n".join(f"  {tool.install}" for tool in missing if tool.install)
        return Blocked(SetupError("tools.missing", what=what, how=how))

    def apply(self, ctx: Context) -> str:
        """Only reached for advice; nothing is changed."""
        mine = next(tool for tool in ctx.tools() if tool.name == self.tool)
        _report(ctx, mine)
        return f"missing: {mine.why}"


class LookAtPython(LookAtTool):
    """The one that runs this."""

    name = "tool-python"
    title = "Look for Python"
    tool = prerequisites.PYTHON


class LookAtGit(LookAtTool):
    """It only tells whether the state file is in a repository."""

    name = "tool-git"
    title = "Look for git"
    tool = prerequisites.GIT


class LookAtSecretService(LookAtTool):
    """Advice: the keystore stage proves one."""

    name = "tool-secret-service"
    title = "Look for a Secret Service"
    tool = prerequisites.SECRETS


class LookAtBus(LookAtTool):
    """How the keystore is reached on Linux."""

    name = "tool-session-bus"
    title = "Look for a D-Bus session bus"
    tool = prerequisites.BUS


class LookAtAzureCli(LookAtTool):
    """Who signs in."""

    name = "tool-azure-cli"
    title = "Look for the Azure CLI"
    tool = prerequisites.AZ


#: Advice before what blocks, so that every row is seen.
STEPS: tuple[Step[Context], ...] = (LookAtPython(), LookAtGit(), LookAtSecretService(), LookAtBus(), LookAtAzureCli())


def with_tools(flow: Flow[Context]) -> Flow[Context]:
    """The same flow, which looks at the tools first, inside its stage `prereqs`."""
    look = tuple(
        replace(stage, steps=(*STEPS, *stage.steps)) if stage.name == "prereqs" else stage for stage in flow.look
    )
    if look == flow.look:
        look = (Stage("prereqs", "Prerequisites", STEPS), *flow.look)
    return replace(flow, look=look)


def _report(ctx: Context, tool: Tool) -> None:
    severity: Severity = "failure" if tool.required else "warning"
    ctx.emit(Finding("tools.missing", severity, f"{_wanted(tool)}: {tool.why}.", tool.install))


def _evidence(tool: Tool) -> str:
    return tool.found + (f" (needed {tool.needed})" if tool.needed else "")


def _wanted(tool: Tool) -> str:
    return " ".join(part for part in (tool.name, tool.needed, f"(found {tool.found})" if tool.found else "") if part)
