"""This computer: one row for each program and system piece that a run needs (U3).

The headless flows do without: they find out by using the tools, and may start the Azure CLI only once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from core.errors import SetupError
from core.events import Severity
from core.flow.step import Blocked, Done, Flow, Needed, Stage, Status, Step
from core.machine import prerequisites
from core.steps.context import Context


class LookAtTool(Step[Context]):
    """Look at one; what is missing of the advice is a warning, what is required blocks.

    :param name: stable name, without its beginning.
    :param article: in the title, before the name of the tool.
    :param tool: its name in `core.machine.prerequisites`.
    """

    def __init__(self, name: str, article: str, tool: str) -> None:
        self.name, self.title = f"tool-{name}", f"Look for {article}{tool}"
        self._tool = tool

    def check(self, ctx: Context) -> Status:
        seen = ctx.tools()
        mine = next((tool for tool in seen if tool.name == self._tool), None)
        if mine is None:
            return Done("not needed on this system")
        if mine.ok:
            return Done(f"{mine.found} (needed {mine.needed})" if mine.needed else mine.found)
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
        mine = next(tool for tool in ctx.tools() if tool.name == self._tool)
        _report(ctx, mine)
        return f"missing: {mine.why}"


#: Advice before what blocks, so that every row is seen; git only tells whether the state file is in a repository, and
#: the keystore stage proves a Secret Service.
STEPS: Final[tuple[Step[Context], ...]] = (
    LookAtTool("python", "", prerequisites.PYTHON),
    LookAtTool("git", "", prerequisites.GIT),
    LookAtTool("secret-service", "a ", prerequisites.SECRETS),
    LookAtTool("session-bus", "a ", prerequisites.BUS),
    LookAtTool("azure-cli", "the ", prerequisites.AZ),
)


def with_tools(flow: Flow[Context]) -> Flow[Context]:
    """The same flow, which looks at the tools first, inside its stage `prereqs`."""
    look = tuple(
        replace(stage, steps=(*STEPS, *stage.steps)) if stage.name == "prereqs" else stage for stage in flow.look
    )
    if look == flow.look:
        look = (Stage("prereqs", "Prerequisites", STEPS), *flow.look)
    return replace(flow, look=look)


def _report(ctx: Context, tool: prerequisites.Tool) -> None:
    severity: Severity = "failure" if tool.required else "warning"
    ctx.report("tools.missing", severity, f"{_wanted(tool)}: {tool.why}.", tool.install)


def _wanted(tool: prerequisites.Tool) -> str:
    return " ".join(part for part in (tool.name, tool.needed, f"(found {tool.found})" if tool.found else "") if part)
