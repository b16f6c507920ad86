"""Verify: prove the end state independently of what any run claims (M9); the strict subset of the diagnosis."""

from __future__ import annotations

import math
import re
from typing import Final

from core.checks import app, keystore, project
from core.checks.base import Check
from core.checks.runner import Examination, Seen
from core.errors import SetupError
from core.errors.exit_codes import ExitCode
from core.events import Finding, FlowStarted, StageStarted, State, StepFinished
from core.flow.engine import Result, ended
from core.flows import interrupted
from core.steps import prerequisites
from core.steps.app import other_identities
from core.steps.context import Context
from core.steps.facts import AppRegistration, MachineKey, Proof
from core.steps.passwords import rollback_secret

_MIGRATE: Final = "entraclaw-setup migrate"
_TOLD: Final = (
    Check("state-file", "No secret in the state file", project.no_secret),
    Check("git", "Git ignores the state file", project.git),
    Check("key", "The key is in the keystore", keystore.key, ("backend",)),
    Check("weak-files", "No key lies in a weak keystore", keystore.weak, ("backend",)),
    Check("token", "A token can be minted with it", app.token, ("key",)),
    Check("passwords", "No password credential is left", app.passwords, ("app", "rollback")),
    Check("certificate", "The certificate on the app is ours and valid", app.certificate, ("key", "app")),
    Check("thumbprint", "The state file names the certificate", keystore.thumbprint, ("key",)),
    Check("others", "Everybody who can act as the app is known", app.unknown, ("app",)),
    Check("sources", "No source file uses the secret", project.sources),
)
#: What those build on.
_BASIS: Final = (
    Check("backend", "Keystore", keystore.backend),
    Check("app", "App registration", app.registration, ("token",)),
    Check("rollback", "Rollback", project.rollback),
)
#: Nothing is given up before the service or a person has answered.
_CHECKS: Final = tuple(check._replace(patience=math.inf) for check in (*_TOLD, *_BASIS))


def verify(ctx: Context) -> Result:
    """Run every check, also after one failed; `DONE` only when all hold, else `CHECK_FAILED`.

    :param ctx: with the state file not read yet.
    :raises SetupError: the state file cannot be read at all, so that nothing can be checked.
    :raises Interrupted: somebody asked to stop.
    """
    start = ctx.clock.monotonic()
    ctx.emit(FlowStarted("verify", ctx.run_id))
    ctx.emit(StageStarted("verify", "Verification"))
    prerequisites.ReadStateFile().apply(ctx)
    _hand_off(ctx)
    if ctx.target.app_id:
        rollback_secret.sweep(ctx, signed_in=True)
    for kind in (MachineKey, Proof, AppRegistration):  # what the sweep learned is looked at anew
        ctx.facts.drop(kind)
    failed: dict[str, str] = {}
    remedies: dict[str, str] = {}
    warnings = 0

    def show(check: Check, seen: Seen) -> None:
        nonlocal warnings
        name, verdict, state = check.name, seen.verdict, _state(ctx, check, seen)
        if state == "failed":
            failed[name] = check.title
            if verdict.remedy:
                remedies.setdefault(_MIGRATE if _MIGRATE in verdict.remedy else verdict.remedy, check.title)
        warnings += state == "skipped"
        if name == "others" and ctx.maybe_app is not None:
            ctx.emit(other_identities.roles(ctx.maybe_app))
        told = f"{verdict.evidence}\n{verdict.remedy}".strip()
        detail = re.sub(r"([:.]?)\n *", lambda end: f"{end[1] or ';'} ", told)  # one line
        ctx.emit(StepFinished("verify", name, check.title, state, detail))

    Examination(ctx, _CHECKS, [check.name for check in _TOLD], show).look()
    result = Result("unchanged", ExitCode.DONE)
    if failed:
        # what a migration mends comes first; most of the rest may hold then, too
        how = [f"Run '{_MIGRATE}'"] if remedies.pop(_MIGRATE, "") else []
        how += [f"'{title}' names its cause and its remedy" for title in remedies.values()]
        what = "; ".join(how) or "See to what is in the way"
        error = SetupError("verify.failed", count=len(failed), listing="; ".join(failed.values()), how=what)
        result = Result("failed", error.exit_code, errors=[error.as_dict() | {"checks": list(failed)}])
    else:
        result.summary = (f"Verified: {_sentence(ctx)}{f' {warnings} warning(s).' if warnings else ''}",)
    return ended(ctx, "verify", result, start)


def _state(ctx: Context, check: Check, seen: Seen) -> State:
    """What a verdict comes to here; the key of another tenant in a weak keystore is named, and fails nothing."""
    if seen.verdict.state == "ok" or (check.name, seen.verdict.state) == ("weak-files", "warning"):
        return "unchanged"
    return "skipped" if check.name in ("others", "sources") and not ctx.settings.strict else "failed"


def _hand_off(ctx: Context) -> None:
    """Say why not everything can hold yet."""
    try:
        found = interrupted.find(ctx)
        told = SetupError("handoff.open", path=found.request) if found is not None and found.request else None
    except SetupError as error:
        told = error
    if told is not None:
        ctx.emit(Finding(told.id, "warning", told.summary, told.remedy))


def _sentence(ctx: Context) -> str:
    """What was proven, and who else can sign in."""
    sentence = "no password credential is left, and this machine's certificate works."
    others = len(ctx.app.keys) - 1
    if others or ctx.app.federated:
        sentence += f" Also accepted: {others} other certificate(s), {len(ctx.app.federated)} federated credential(s)."
    return sentence
