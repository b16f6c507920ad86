"""The result: what holds at the end of a flow, of what its steps have proven (M7)."""

from __future__ import annotations

from core.flow.step import Done, Status, Step
from core.secret import looks_secret, redactor
from core.steps import facts
from core.steps.context import Context


class CheckResult(Step[Context]):
    """Say what holds at the end.

    :param clean: whether the steps before see that no secret is left, on the app and in the state file.
    """

    name = "result"
    title = "Check the result"
    maybe = (facts.Proof, facts.WantedPermissions)

    def __init__(self, *, clean: bool) -> None:
        self._clean = clean

    def check(self, ctx: Context) -> Status:
        proof, wanted = ctx.maybe_proof, set(ctx.permissions.wanted)
        holds = ["no password credential"] if self._clean else []
        if proof is not None:
            holds.append("a proven certificate")
            holds += ["every permission in its token"] if wanted and wanted <= proof.roles else []
        if self._clean:
            left = redactor.redact(", ".join(ctx.statefile.where(looks_secret) if ctx.statefile.exists() else ()))
            nothing = f"in the state file nothing but {left} looks like a secret"
            holds.append(nothing if left else "no secret in the state file")
        return Done(", ".join(holds))

    def apply(self, ctx: Context) -> str:
        raise AssertionError("it has nothing to apply")
