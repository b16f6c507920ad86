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
from core.steps.context import World
from core.steps.facts import MachineKey, Proof
from core.steps.passwords import rollback_secret

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


def verify(world: World) -> Result:
    """Run every check, also after one failed; `DONE` only when all hold, else `CHECK_FAILED`.

    :param world: with the state file not read yet.
    :raises SetupError: the state file cannot be read at all, so that nothing can be checked.
    """
    start = world.clock.monotonic()
    world.emit(FlowStarted("verify", world.run_id))
    world.emit(StageStarted("verify", "Verification"))
    prerequisites.ReadStateFile().apply(world)
    _hand_off(world)
    if world.target.app_id:
        rollback_secret.sweep(world, signed_in=True)
    seen = _Seen()
    failures: list[tuple[str, str]] = []
    remedies: list[str] = []
    warnings = 0
    for name, title, check in _checks(world, seen):
        world.cancel.check()
        remedy = _REMEDIES.get(name, _MIGRATE)
        try:
            holds, evidence = check()
        except Interrupted:
            raise
        except SetupError as error:
            holds, evidence, remedy = False, f"{error} {error.remedy}", f"'{title}' names its cause and its remedy"
        advisory = name in ("others", "sources") and not world.settings.strict
        if not holds and not advisory:
            failures.append((name, title))
            remedies += [remedy] * (not evidence.startswith(_WITHOUT))  # the cause is that of another check
        warnings += not holds and advisory
        world.emit(_event(name, title, holds, advisory, evidence))
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
    seconds = world.clock.monotonic() - start
    world.emit(FlowFinished("verify", result.outcome, result.exit_code, result.summary, seconds))
    return result


def _hand_off(world: World) -> None:
    """Say why not everything can hold yet."""
    try:
        found = interrupted.find(world)
    except SetupError as error:
        told = error
    else:
        if found is None or not found.request:
            return
        told = SetupError("handoff.open", path=found.request)
    world.emit(Finding(told.id, "warning", told.summary, told.remedy))


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


def _checks(world: World, seen: _Seen) -> Iterator[tuple[str, str, Callable[[], Check]]]:
    yield "state-file", "No secret in the state file", lambda: _no_secret(world)
    yield "git", "Git ignores the state file", lambda: _git(world)
    yield "key", "The key is in the keystore", lambda: _key(world, seen)
    yield "weak-files", "No key lies in a weak keystore", lambda: _weak(world)
    yield "token", "A token can be minted with it", lambda: _token(world, seen)
    yield "passwords", "No password credential is left", lambda: _passwords(world, seen)
    yield "certificate", "The certificate on the app is ours and valid", lambda: _certificate(world, seen)
    yield "thumbprint", "The state file names the certificate", lambda: _thumbprint(world, seen)
    yield "others", "Everybody who can act as the app is known", lambda: _others(world, seen)
    yield "sources", "No source file uses the secret", lambda: _sources(world)


def _no_secret(world: World) -> Check:
    if world.statefile.read().present:
        return False, f"{world.profile.secret_member} is in {world.statefile.path}"
    if alike := world.statefile.where(looks_secret):
        return False, f"what looks like a secret is in {world.statefile.path}: {redactor.redact(', '.join(alike))}"
    return True, str(world.statefile.path)


def _git(world: World) -> Check:
    view = git_view(world.statefile.path, world.untrusted, world.cancel)
    return view in ("ignored", "no repository"), view


def _key(world: World, seen: _Seen) -> Check:
    backend = world.keystore.backend()
    world.facts.put(replace(world.keystore_findings, backend=backend))
    entry = world.keystore.read(world.service, world.target.tenant)
    if entry is None:
        error = SetupError("keystore.empty", tenant=world.target.tenant, service=world.service)
        return False, error.summary
    seen.key_pair = world.keys.open(entry, world.target.tenant)
    lies = "" if seen.key_pair.exportable else f", whose key lies {seen.key_pair.where}"
    return True, f"{backend}, certificate {seen.key_pair.thumbprint}{lies}"


def _weak(world: World) -> Check:
    """The key's check has asked for the backend; one that an operator allowed may keep its entries in such a file."""
    own = backend.file if (backend := world.keystore_findings.backend) else ""
    found = [file for file in weak_files.find(world.service) if file.path != Path(own)]
    evidence = [
        f"{keystore.exposed(world, file)} {'Look at it by hand.' if file.unreadable else keystore.cure(file)}"
        for file in found
    ]
    holds = not any(file.unreadable or file.holds(world.target.tenant) for file in found)
    return holds, " ".join(evidence) or "none found"


def _token(world: World, seen: _Seen) -> Check:
    if seen.key_pair is None:
        return False, "there is no key"
    if not world.target.app_id:
        return False, f"{world.statefile.path.name} names no app id; pass --app-id"
    seen.token = mint(world.session, world.cloud, world.target.tenant, world.target.app_id, seen.key_pair)
    claims = seen.token.claims
    return True, f"aud {claims.get('aud')}, appid {world.target.app_id}, tid {claims.get('tid')}"


def _passwords(world: World, seen: _Seen) -> Check:
    """Read with the certificate's own token if it may, else with the sign-in's."""
    if not world.target.app_id:
        return False, "no app id is known"
    world.facts.drop(MachineKey)
    world.facts.drop(Proof)
    if seen.key_pair is not None:
        world.facts.put(MachineKey(seen.key_pair))
    if seen.token is not None:
        world.facts.put(Proof(seen.token))
    may_read = seen.token is not None and seen.token.roles & {directory_roles.WRITE, "Application.Read.All"}
    seen.app = application.read(world.app_graph() if may_read else world.user_graph(), world.target.app_id)
    if seen.app is None:
        return False, SetupError(
            "app.missing", app_id=world.target.app_id, tenant=world.target.tenant, path=world.statefile.path
        ).summary
    journal = rollback_secret.RollbackJournal.of(world)
    if journal.stands:
        return False, rollback_secret.standing(journal).message
    left = seen.app.all_passwords
    if left:
        return False, "; ".join(str(password) for password in left)
    return True, "none on the app registration, none on its service principal"


def _certificate(world: World, seen: _Seen) -> Check:
    if seen.app is None or seen.key_pair is None:
        return False, f"{_WITHOUT} the app and the key"
    key = seen.app.holds(seen.key_pair)
    if key is None:
        return False, f"{seen.key_pair.thumbprint} is not on the app"
    if key.expired(world.clock.now()) or seen.key_pair.expired(world.clock.now()):
        return False, f"{seen.key_pair.thumbprint} ended on {key.end_date}"
    return True, f"{seen.key_pair.thumbprint} (keyId {key.id}), {key.validity}"


def _thumbprint(world: World, seen: _Seen) -> Check:
    if seen.key_pair is None:
        return False, "there is no key"
    named = str(world.project.members.get(world.profile.thumbprint_member, "")).upper()
    return named == seen.key_pair.thumbprint, named or "none"


def _others(world: World, seen: _Seen) -> Check:
    """What else can sign in as the app, by what the app and its principal show (M17)."""
    if seen.app is None:
        return False, f"{_WITHOUT} the app"
    found = list(other_identities.unacknowledged(world, seen.app))
    report = other_identities.roles(seen.app)
    world.emit(report)
    if found:
        return False, " ".join(f"{finding.message} {finding.remedy}" for finding in found)
    return True, f"owners: {seen.app.owned_by}; nothing that is neither this machine's nor acknowledged"


def _sources(world: World) -> Check:
    folder = world.settings.folder
    found = readers(folder, world.profile.secret_member, world.project.secret, world.statefile.path)
    places = ", ".join(f"{r.path.relative_to(folder)}:{r.line} ({r.what})" for r in found.found)
    return found.complete and not found.found, "; ".join(filter(None, (places or "none", found.gaps)))
