"""What a person can set in motion from the wizard, on whatever front end (U1, U2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from core.errors import SetupError
from core.errors.exit_codes import ExitCode
from core.flows import registry

if TYPE_CHECKING:
    from core.flow.engine import Result
    from core.flow.step import Flow
    from core.steps.context import Context

#: Name of a row of the registry that the wizard can set in motion.
Kind = str


def flow_of(kind: Kind, ctx: Context) -> Flow[Context] | None:
    """The flow behind it; None for a verification, and where there is nothing to resume or undo.

    :raises SetupError: the state file or a journal cannot be read.
    """
    from core.flows import interrupted
    from core.steps.tools import with_tools

    spec = registry.flow(kind)
    if kind in ("resume", "undo") and (found := interrupted.find(ctx)) is not None:
        spec = registry.flow(found.flow)
    if spec is None:
        return None
    flow: Flow[Context] = registry.load(spec.load)
    return with_tools(flow)


class DoctorOptions(NamedTuple):
    """What a diagnosis is asked for.

    :param only: names of checks; empty: all.
    :param fix: mend what is safe to mend.
    """

    only: tuple[str, ...] = ()
    fix: bool = False


ALL: Final = DoctorOptions()
#: What changes nothing that a stop could leave half-done.
LOOKS: Final = frozenset(row.name for row in registry.commands() if row.started and not row.changes)


def carry_out(kind: Kind, ctx: Context, flow: Flow[Context] | None, asked: DoctorOptions = ALL) -> Result:
    """Run it to its end; expected failures are in the result.

    :param flow: what `flow_of` said.
    :param asked: of a diagnosis.
    """
    from core.checks.verify import verify
    from core.flow import engine

    try:
        if kind == "verify":
            return verify(ctx)
        if kind == "doctor":
            from core.checks.doctor import diagnose

            return diagnose(ctx, asked.only, fix=asked.fix)
        if flow is None:
            return engine.Result("unchanged", ExitCode.DONE, summary=("No run of this project is open.",))
        if kind == "undo":
            ctx.keeps_nothing()
            return engine.undo(flow, ctx, ctx.run_id)
        return engine.run(flow, ctx, ctx.run_id)
    except SetupError as error:
        return engine.Result("failed", error.exit_code, errors=[error.as_dict()])
    except Exception as bug:  # noqa: BLE001  reported with an id; never a traceback with values in it
        told = engine.internal(bug)
        return engine.Result("failed", told.exit_code, errors=[told.as_dict()])
