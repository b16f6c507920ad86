"""What the result object of --json holds besides outcome and errors (docs/reference/exit-codes.md)."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from core.errors.exit_codes import ExitCode
from core.flows import registry

if TYPE_CHECKING:
    from core.flow.engine import Result
    from core.steps.context import Context

#: Exit codes of runs that support is not asked about.
_NONE: Final = frozenset(
    {ExitCode.DONE, ExitCode.NEEDS_HUMAN, ExitCode.HUNG_UP, ExitCode.INTERRUPTED, ExitCode.TERMINATED}
)


def support(code: int, told: dict[str, Any]) -> str:
    """Where a run that failed was recorded, as a command for support; empty for any other run.

    :param code: its exit code: what needs a human, or was stopped by one, is no failure.
    :param told: the member `data`.
    """
    path = str(told.get("recording", ""))
    return f"Recorded, for support: entraclaw-setup replay {shlex.quote(path)}" if path and code not in _NONE else ""


def data(command: str, ctx: Context, result: Result, checks: list[dict[str, str]]) -> dict[str, Any]:
    """The member `data`.

    :param command: what was run.
    :param checks: rows of a verification.
    """
    from core.flows import result as results
    from core.steps.hand_off import handoff

    body: dict[str, Any] = {"tenant": ctx.target.tenant, "app_id": ctx.target.app_id, "cloud": ctx.cloud.name}
    body["summary"] = list(result.summary)
    if result.plan is not None:
        changes = [asdict(change) for change in result.plan.changes]
        body["plan"] = {"fingerprint": result.plan.fingerprint, "changes": changes}
        body["dry_run"] = ctx.settings.dry_run
    if (held := ctx.keystore_findings.backend) is not None:
        body["keystore"] = {"backend": held.name, "allowed_by": held.allowed_by, "served_by": held.served_by}
    if (key_pair := ctx.maybe_key_pair) is not None:
        end = key_pair.not_after.isoformat()
        due = key_pair.renewal.due.isoformat()
        body["certificate"] = {"thumbprint": key_pair.thumbprint, "not_after": end, "due": due}
    if (app := ctx.maybe_app) is not None:
        body["permissions"] = results.permissions(app)
    if (request := handoff.written(ctx)) is not None:
        body["request"] = request.target
    if path := registry.row(command).result:
        body |= registry.load(path)(ctx, result)
    if checks:
        body["checks"] = checks
    return body
