"""Verify: prove the end state independently of what any run claims (M9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from core.entra import application
from core.entra.application import App
from core.entra.tokens import Token, mint
from core.errors import Interrupted, SetupError
from core.errors.exit_codes import ExitCode
from core.events import Event, Finding, FlowFinished, FlowStarted, StageStarted, StepFinished
from core.flow.engine import Result
from core.flows import interrupted
from core.machine.keystore import weak_files
from core.machine.source_scan import git_view, readers
from core.secret import looks_secret, redactor
from core.signer import Signer
from core.steps import directory_roles, keystore, prerequisites
from core.steps.app import other_identities
from core.steps.context import Context
from core.steps.facts import MachineKey, Proof
from core.steps.passwords import rollback_secret
from core.steps.state_file import copies

Check = tuple[bool, str]
_MIGRATE: Final = "run 'entraclaw-setup migrate'"
_WITHOUT: Final = "not known without"
#: What mends a check that a migration does not mend.
_REMEDIES: Final = {
    "git": "add the state file to .gitignore, and 'git rm --cached' it if git tracks it",
    "others": "remove who is not yours from the app, or acknowledge them",
    "sources": "change the files that still use the secret, or leave out --strict",
}


@dataclass
class _Seen:
    key_pair: Signer | None = None
    token: Token | None = None
    app: App | None = None


def verify(ctx: Context) -> Result:
    """Run every check, also after one failed; `DONE` only when all hold, else `CHECK_FAILED`.

    :param ctx: with the state file not read yet.
    :raises SetupError: the state file cannot be read at all, so that nothing can be checked.
    """
    start = ctx.clock.monotonic()
    ctx.emit(FlowStarted("verify", ctx.run_id))
    ctx.emit(StageStarted("verify", "Verification"))
    prerequisites.ReadStateFile().apply(ctx)
    _hand_off(ctx)
    if ctx.target.app_id:
        rollback_secret.sweep(ctx, signed_in=True)
    seen = _Seen()
    failures: list[tuple[str, str]] = []
    remedies: list[str] = []
    warnings = 0
    for name, title, check in _checks(ctx, seen):
        ctx.cancel.check()
        remedy = _REMEDIES.get(name, _MIGRATE)
        try:
            holds, evidence = check()
        except Interrupted:
            raise
        except SetupError as error:
            holds, evidence, remedy = False, f"{error} {error.remedy}", f"'{title}' names its cause and its remedy"
        advisory = name in ("others", "sources") and not ctx.settings.strict
        if not holds and not advisory:
            failures.append((name, title))
            remedies += [remedy] * (not evidence.startswith(_WITHOUT))  # the cause is that of another check
        warnings += not holds and advisory
        ctx.emit(_event(name, title, holds, advisory, evidence))
    result = Result("unchanged", ExitCode.DONE)
    if failures:
        listing = "; ".join(title for _, title in failures)
        # what a migration mends comes first; most of the rest may hold then, too
        how = "; ".join(sorted(dict.fromkeys(remedies), key=lambda remedy: remedy != _MIGRATE))
        failed = SetupError("verify.failed", count=len(failures), listing=listing, how=f"{how[0].upper()}{how[1:]}")
        result = Result(
            "failed", failed.exit_code, errors=[failed.as_dict() | {"checks": [name for name, _ in failures]}]
        )
    else:
        warned = f" {warnings} warning(s)." if warnings else ""
        result.summary = (f"Verified: {_sentence(seen)}{warned}",)
    seconds = ctx.clock.monotonic() - start
    ctx.emit(FlowFinished("verify", result.outcome, result.exit_code, result.summary, seconds))
    return result


def _hand_off(ctx: Context) -> None:
    """Say why not everything can hold yet."""
    try:
        found = interrupted.find(ctx)
    except SetupError as error:
        told = error
    else:
        if found is None or not found.request:
            return
        told = SetupError("handoff.open", path=found.request)
    ctx.emit(Finding(told.id, "warning", told.summary, told.remedy))


def _sentence(seen: _Seen) -> str:
    """What was proven, and who else can sign in."""
    sentence = "no password credential is left, and this machine's certificate works."
    if seen.app is not None:
        others = len(seen.app.keys) - 1
        if others or seen.app.federated:
            sentence += (
                f" Also accepted: {others} other certificate(s), {len(seen.app.federated)} federated credential(s)."
            )
    return sentence


def _event(name: str, title: str, holds: bool, advisory: bool, evidence: str) -> Event:
    state: Any = "unchanged" if holds else "skipped" if advisory else "failed"
    return StepFinished("verify", name, title, state, evidence)


def _checks(ctx: Context, seen: _Seen) -> Iterator[tuple[str, str, Callable[[], Check]]]:
    yield "state-file", "No secret in the state file", lambda: _no_secret(ctx)
    yield "git", "Git ignores the state file", lambda: _git(ctx)
    yield "key", "The key is in the keystore", lambda: _key(ctx, seen)
    yield "weak-files", "No key lies in a weak keystore", lambda: _weak(ctx)
    yield "token", "A token can be minted with it", lambda: _token(ctx, seen)
    yield "passwords", "No password credential is left", lambda: _passwords(ctx, seen)
    yield "certificate", "The certificate on the app is ours and valid", lambda: _certificate(ctx, seen)
    yield "thumbprint", "The state file names the certificate", lambda: _thumbprint(ctx, seen)
    yield "others", "Everybody who can act as the app is known", lambda: _others(ctx, seen)
    yield "sources", "No source file uses the secret", lambda: _sources(ctx)


def _no_secret(ctx: Context) -> Check:
    if ctx.statefile.read().present:
        return False, f"{ctx.profile.secret_member} is in {ctx.statefile.path}"
    if alike := ctx.statefile.where(looks_secret):
        return False, f"what looks like a secret is in {ctx.statefile.path}: {redactor.redact(', '.join(alike))}"
    if found := copies.holding(ctx):
        return False, f"copies of the state file hold it: {', '.join(str(copy.path) for copy in found)}"
    return True, str(ctx.statefile.path)


def _git(ctx: Context) -> Check:
    view = git_view(ctx.statefile.path, ctx.untrusted, ctx.cancel)
    return view in ("ignored", "no repository"), view


def _key(ctx: Context, seen: _Seen) -> Check:
    backend = ctx.keystore.backend()
    ctx.facts.put(replace(ctx.keystore_findings, backend=backend))
    entry = ctx.keystore.read(ctx.service, ctx.target.tenant)
    if entry is None:
        error = SetupError("keystore.empty", tenant=ctx.target.tenant, service=ctx.service)
        return False, error.summary
    seen.key_pair = ctx.keys.open(entry, ctx.target.tenant)
    lies = "" if seen.key_pair.exportable else f", whose key lies {seen.key_pair.where}"
    return True, f"{backend}, certificate {seen.key_pair.thumbprint}{lies}"


def _weak(ctx: Context) -> Check:
    """The key's check has asked for the backend; one that an operator allowed may keep its entries in such a file."""
    own = backend.file if (backend := ctx.keystore_findings.backend) else ""
    found = [file for file in weak_files.find(ctx.service) if file.path != Path(own)]
    evidence = [
        f"{keystore.exposed(ctx, file)} {'Look at it by hand.' if file.unreadable else keystore.fix(file)}"
        for file in found
    ]
    holds = not any(file.unreadable or file.holds(ctx.target.tenant) for file in found)
    return holds, " ".join(evidence) or "none found"


def _token(ctx: Context, seen: _Seen) -> Check:
    if seen.key_pair is None:
        return False, "there is no key"
    if not ctx.target.app_id:
        return False, f"{ctx.statefile.path.name} names no app id; pass --app-id"
    seen.token = mint(ctx.session, ctx.cloud, ctx.target.tenant, ctx.target.app_id, seen.key_pair)
    claims = seen.token.claims
    return True, f"aud {claims.get('aud')}, appid {ctx.target.app_id}, tid {claims.get('tid')}"


def _passwords(ctx: Context, seen: _Seen) -> Check:
    """Read with the certificate's own token if it may, else with the sign-in's."""
    if not ctx.target.app_id:
        return False, "no app id is known"
    ctx.facts.drop(MachineKey)
    ctx.facts.drop(Proof)
    if seen.key_pair is not None:
        ctx.facts.put(MachineKey(seen.key_pair))
    if seen.token is not None:
        ctx.facts.put(Proof(seen.token))
    may_read = seen.token is not None and seen.token.roles & {directory_roles.WRITE, "Application.Read.All"}
    seen.app = application.read(ctx.app_graph() if may_read else ctx.user_graph(), ctx.target.app_id)
    if seen.app is None:
        return False, SetupError(
            "app.missing", app_id=ctx.target.app_id, tenant=ctx.target.tenant, path=ctx.statefile.path
        ).summary
    journal = rollback_secret.RollbackJournal.of(ctx)
    if journal.stands:
        return False, rollback_secret.standing(journal).message
    left = seen.app.all_passwords
    if left:
        return False, "; ".join(str(password) for password in left)
    return True, "none on the app registration, none on its service principal"


def _certificate(ctx: Context, seen: _Seen) -> Check:
    if seen.app is None or seen.key_pair is None:
        return False, f"{_WITHOUT} the app and the key"
    key = seen.app.holds(seen.key_pair)
    if key is None:
        return False, f"{seen.key_pair.thumbprint} is not on the app"
    if key.expired(ctx.clock.now()) or seen.key_pair.expired(ctx.clock.now()):
        return False, f"{seen.key_pair.thumbprint} ended on {key.end_date}"
    return True, f"{seen.key_pair.thumbprint} (keyId {key.id}), {key.validity}"


def _thumbprint(ctx: Context, seen: _Seen) -> Check:
    if seen.key_pair is None:
        return False, "there is no key"
    named = str(ctx.project.members.get(ctx.profile.thumbprint_member, "")).upper()
    return named == seen.key_pair.thumbprint, named or "none"


def _others(ctx: Context, seen: _Seen) -> Check:
    """What else can sign in as the app, by what the app and its principal show (M17)."""
    if seen.app is None:
        return False, f"{_WITHOUT} the app"
    found = list(other_identities.unacknowledged(ctx, seen.app))
    report = other_identities.roles(seen.app)
    ctx.emit(report)
    if found:
        return False, " ".join(f"{finding.message} {finding.remedy}" for finding in found)
    return True, f"owners: {seen.app.owned_by}; nothing that is neither this machine's nor acknowledged"


def _sources(ctx: Context) -> Check:
    folder = ctx.settings.folder
    found = readers(folder, ctx.profile.secret_member, ctx.project.secret, ctx.statefile.path)
    places = ", ".join(f"{r.path.relative_to(folder)}:{r.line} ({r.what})" for r in found.found)
    return found.complete and not found.found, "; ".join(filter(None, (places or "none", found.gaps)))
