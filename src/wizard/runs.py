"""The one driver of flows and checks: from a context to a result, with every event on its way (U1, U2, U4).

The command line, the dialogue and the screens give it a context and a place for the events, and get how it ended.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from core import events
from core.errors import Interrupted, SetupError
from core.errors.exit_codes import ExitCode
from core.flows import registry
from wizard.report import data

if TYPE_CHECKING:
    from core.flow.engine import Result
    from core.flow.step import Flow
    from core.recording.writer import Recording
    from core.steps.context import Context

#: Name of a row of the registry that can be set in motion.
Kind = str
#: What changes nothing that a stop could leave half-done.
LOOKS: Final = frozenset(row.name for row in registry.commands() if row.started and not row.changes)


class Order(NamedTuple):
    """What is to be run.

    :param kind: name of its row.
    :param only: of a diagnosis: names of checks; empty: all.
    :param fix: of a diagnosis: mend what is safe to mend.
    :param headless: nobody looks on: no tools are looked for first, an open run is a finding, and an error says that
        nothing was changed.
    :param command: whose result it is, if not its own.
    """

    kind: Kind
    only: tuple[str, ...] = ()
    fix: bool = False
    headless: bool = False
    command: str = ""


class Events:
    """Where the events of a run go: to its recording, to the log file, and to whoever shows them.

    :param show: receives every event.
    :ivar log: receives every event too; when it fails, that is a finding, and it is left alone from then on.
    :ivar recording: receives every event and the result.
    :ivar effects: whether anything was changed so far.
    :ivar checks: rows of a verification or a diagnosis, for the result.
    """

    def __init__(self, show: Callable[[events.Event], object]) -> None:
        self._show = show
        self.log: Callable[[events.Event], None] | None = None
        self.recording: Recording | None = None
        self.effects = False
        self.checks: list[dict[str, Any]] | None = None

    def __call__(self, event: events.Event) -> None:
        """Hand it on."""
        self.effects |= isinstance(event, events.ChangeMade)
        if self.recording is not None:
            self.recording.event(event)
        if self.checks is not None and (row := _checked(event)):
            self.checks = [*(kept for kept in self.checks if kept["check"] != row["check"]), row]
        self._show(event)
        if self.log is not None:
            try:
                self.log(event)
            except (OSError, ValueError) as error:
                self.log = None
                told = f"The log file could not be written: {error}; it ends here."
                self(events.Finding("log.ended", "warning", told))


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    :param data: what `--json` prints.
    :param flow: name of its flow, or of what it was besides.
    :param tenant: the tenant that it was about, as far as it came.
    """

    result: Result
    data: dict[str, Any]
    flow: str = ""
    tenant: str = ""

    @property
    def ids(self) -> list[str]:
        """Ids of the errors."""
        return [error["id"] for error in self.result.errors]


def carry_out(
    order: Order,
    context: Callable[[], Context],
    emit: Events,
    begin: Callable[[Flow[Context] | None], object] = lambda flow: None,
) -> Ended:
    """Run it to its end; failures of any kind are in the result, which is recorded.

    :param context: makes the context, whose events go to `emit`; it is closed in the end.
    :param begin: receives the flow before it runs; None where there is none.
    """
    name, told = order.kind, dict[str, Any]()
    ctx: Context | None = None
    emit.checks = [] if order.kind in LOOKS else None
    try:
        with ExitStack() as stack:
            if order.kind == "doctor":
                import_module("core.checks.doctor")  # where it cannot be loaded, that is the diagnosis
            ctx = context()
            stack.callback(ctx.close)
            if emit.recording is not None:
                emit.recording.begin(ctx.profile, ctx.run_id, emit)
            flow = _flow(order, ctx, emit)
            name = flow.name if flow is not None else name
            begin(flow)
            result = _result(order, ctx, flow, emit)
            told = data(order.command or order.kind, ctx, result, emit.checks or [])
    except Exception as error:  # noqa: BLE001  reported with an id; never a traceback with values in it
        unusable = order.kind == "doctor" and ctx is None and not isinstance(error, Interrupted)
        if unusable and isinstance(error, (ImportError, SetupError)):
            from core.checks import broken_install
            from wizard.workspace import installed

            result = broken_install.diagnose(installed(), error, "", emit)
            told = {"checks": emit.checks}
        else:
            result = failed(error, order.command or order.kind if order.headless else None, effects=emit.effects)
    if emit.recording is not None:
        told = emit.recording.result(order.kind, result.outcome, result.exit_code, told, result.errors)
    return Ended(result, told, name, ctx.target.tenant if ctx is not None else "")


def failed(error: Exception, command: str | None = None, *, effects: bool = False) -> Result:
    """The result of what failed outside of a flow.

    :param command: of a run without anybody who looks on: it is told that nothing was changed, if that is so.
    :param effects: whether anything was changed before.
    """
    from core.flow.engine import Result, internal

    known = error if isinstance(error, SetupError) else internal(error)
    if command is not None and not (effects or known.standing):
        changing = registry.row(command).changes and known.exit_code != ExitCode.USAGE
        if changing or isinstance(known, Interrupted):
            known = known.copy(standing="Nothing was changed.")
    return Result("failed", known.exit_code, errors=[known.as_dict()])


def _flow(order: Order, ctx: Context, emit: Events) -> Flow[Context] | None:
    """The flow behind it; None for a check, and where there is nothing to resume or undo.

    :raises SetupError: the state file or a journal cannot be read.
    """
    spec = registry.flow(order.kind)
    if order.kind in ("resume", "undo"):
        from core.flows import interrupted

        if (found := interrupted.find(ctx)) is not None:
            spec = registry.flow(found.flow)
            if order.headless:
                what = f"Open is an interrupted '{found.flow}': {'; '.join(found.done) or 'nothing that is left'}."
                emit(events.Finding("journal.open", "info", what))
    if spec is None:
        return None
    flow: Flow[Context] = registry.load(spec.load)
    if order.headless:
        return flow
    from core.steps.tools import with_tools

    return with_tools(flow)


def _result(order: Order, ctx: Context, flow: Flow[Context] | None, emit: Events) -> Result:
    from core.flow import engine

    if order.kind == "verify":
        from core.checks.verify import verify

        return verify(ctx)
    if order.kind == "doctor":
        from core.checks.doctor import diagnose

        return diagnose(ctx, order.only, fix=order.fix)
    if flow is None:
        from core.steps.passwords import rollback_secret

        rollback_secret.after(ctx)
        none = "No run of this project is open: nothing has to be resumed or undone."
        emit(events.FlowFinished(order.kind, "unchanged", ExitCode.DONE, (none,), 0.0))
        return engine.Result("unchanged", ExitCode.DONE, summary=(none,))
    if order.kind == "undo":
        ctx.keeps_nothing()
    act = engine.undo if order.kind == "undo" else engine.run
    return act(flow, ctx, ctx.run_id, dry_run=ctx.settings.dry_run)


def _checked(event: events.Event) -> dict[str, Any]:
    """A row of a verification or a diagnosis; empty for what is none."""
    match event:
        case events.StepFinished():
            state = {"unchanged": "ok", "skipped": "warning"}.get(event.state, "failure")
            return {"check": event.step, "title": event.title, "state": state, "evidence": event.detail}
        case events.Checked():
            return {key: value for key, value in asdict(event).items() if key != "seconds"}
    return {}
