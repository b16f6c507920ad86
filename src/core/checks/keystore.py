"""Keystore: what holds the key, the key itself, keys in weak keystores, and entries that were needed on the way."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from core import paths
from core.checks.base import ATTENDED, Check, Diagnosis, Fix, Unseen, Verdict
from core.entra import application
from core.errors import SetupError
from core.events import Grade
from core.flow.journal import Effect, Journal, history
from core.flows import interrupted
from core.machine import exposed_key
from core.machine.keystore import weak_files
from core.machine.keystore.system import BUNDLE_SIZE
from core.secret import Secret
from core.signer import Signer
from core.steps import keystore as stage
from core.steps import prerequisites
from core.steps.context import Context
from core.steps.facts import AppRegistration, MachineKey


def backend(diagnosis: Diagnosis) -> Verdict:
    """What holds keys on this computer, and whether it is good enough (K1, K2)."""
    found = diagnosis.ctx.keystore.backend()
    if found.limit and found.limit < BUNDLE_SIZE:
        evidence = (
            f"{found} takes values of up to {found.limit} characters, and a key with its certificate has about "
            f"{BUNDLE_SIZE}: no key fits (Windows' error 1783)."
        )
        remedy = "Migrate on macOS or Linux: keys in Windows' own key storage are not part of this version."
        return Verdict("failure", evidence, remedy)
    ctx = diagnosis.ctx
    ctx.facts.put(replace(ctx.keystore_findings, backend=found))
    return Verdict("ok", str(found))


def weak(diagnosis: Diagnosis) -> Verdict:
    """Keys in weak keystores (K3). One that an operator allowed may keep its entries in such a file."""
    ctx = diagnosis.ctx
    own = used.file if (used := ctx.keystore_findings.backend) else ""
    found = [file for file in weak_files.find(ctx.service) if file.path != Path(own)]
    return Verdict.all((_exposed(ctx, file) for file in found), "none found")


def _exposed(ctx: Context, file: weak_files.WeakFile) -> Verdict:
    told = stage.exposed(ctx, file)
    if file.unreadable:
        return Verdict("unseen", told, "Look at it by hand.")
    state: Grade = "failure" if file.holds(ctx.target.tenant) else "warning"
    remedy = f"Rotate now: run 'entraclaw-setup migrate'. Then: {stage.fix(file)}"
    return Verdict(state, f"An earlier run kept a key in a weak keystore. {told}", remedy)


def _in_file(diagnosis: Diagnosis) -> Verdict:
    """The file of the original on Windows, where no key bundle fits the keystore (M19)."""
    ctx = diagnosis.ctx
    path = exposed_key.find(ctx.profile, ctx.target.tenant)
    if path is None:
        return Verdict("ok", "none is known")
    remedy = (
        "Run 'entraclaw-setup migrate': it proves another key, takes this one's certificate off the app, removes it."
    )
    if sys.platform == "win32":
        remedy = "Let nobody else read it (icacls): this version keeps no key on Windows, so it replaces none there."
    return Verdict("failure", f"{path} holds a private key of this machine without encryption.", remedy)


def key(diagnosis: Diagnosis) -> Verdict:
    """The key of this machine opens (M9, T6)."""
    diagnosis.need("backend", "the keystore cannot be used")
    ctx = diagnosis.ctx
    if not ctx.target.tenant:
        raise Unseen("no tenant is known; --tenant names one")
    entry = ctx.keystore.read(ctx.service, ctx.target.tenant)
    if entry is None:
        if _named_thumbprint(diagnosis):
            return Verdict.of(SetupError("keystore.empty", tenant=ctx.target.tenant, service=ctx.service))
        if waiting := [account for account in _accounts(diagnosis) if ctx.keystore.has(ctx.service, account)]:
            evidence = f"One is made, and not in use yet: {', '.join(waiting)}. The run that made it is not through."
            return Verdict("warning", evidence, "'entraclaw-setup doctor --check interrupted' says how to go on.")
        evidence = f"There is none yet for tenant {ctx.target.tenant} (service {ctx.service})."
        return Verdict("warning", evidence, "'entraclaw-setup migrate' or 'onboard' makes one.")
    key_pair = ctx.keys.open(entry, ctx.target.tenant)
    ctx.facts.put(MachineKey(key_pair))
    lies = "" if key_pair.exportable else f", whose key lies {key_pair.where}"
    return Verdict("ok", f"{ctx.keystore_findings.backend}, certificate {key_pair.thumbprint}{lies}")


def thumbprint(diagnosis: Diagnosis) -> Verdict:
    """The state file names this machine's certificate (M9)."""
    key_pair, named = own_key(diagnosis), _named_thumbprint(diagnosis)
    if named == key_pair.thumbprint:
        return Verdict("ok", named)
    evidence = f"The keystore holds {_until(key_pair)}; the state file names {named or 'none'}."
    return Verdict("failure", evidence, "Run 'entraclaw-setup migrate': it proves the key and records it.")


def own_key(diagnosis: Diagnosis) -> Signer:
    """The key of this machine.

    :raises Unseen: there is none that could be read.
    """
    key_pair = diagnosis.ctx.maybe_key_pair
    if key_pair is None:
        raise Unseen("this machine has no key that could be read")
    return key_pair


def _until(key_pair: Signer) -> str:
    return f"{key_pair.thumbprint}, until {key_pair.not_after.date()}"


def _named_thumbprint(diagnosis: Diagnosis) -> str:
    return str(diagnosis.ctx.project.members.get(diagnosis.ctx.profile.thumbprint_member) or "").upper()


def _in_use(diagnosis: Diagnosis) -> Verdict:
    """It opens, is the one that the project names, and does not end soon."""
    if (opened := key(diagnosis)).state != "ok":
        return opened
    if (named := thumbprint(diagnosis)).state != "ok" and diagnosis.ctx.project.secret is None:
        return named
    key_pair, now = own_key(diagnosis), diagnosis.ctx.clock.now()
    ends = _until(key_pair)
    if key_pair.expired(now):
        return Verdict("failure", f"{ends}: it has expired", "Run 'entraclaw-setup onboard --only provisioner'.")
    state = key_pair.renewal.state(now)
    if state != "valid":
        remedy = "Run 'entraclaw-setup onboard --only provisioner': it makes a new one."
        if state == "critical":
            return Verdict(
                "failure", f"{ends}: it is about to end, and was due on {key_pair.renewal.due.date()}", remedy
            )
        return Verdict("warning", f"{ends}: it is due for renewal since {key_pair.renewal.due.date()}", remedy)
    return Verdict("ok", ends)


def _pending(diagnosis: Diagnosis) -> Verdict:
    """The keystore itself cannot be asked for a list of its entries; the journals name those of earlier runs."""
    diagnosis.need("backend", "the keystore cannot be used")
    diagnosis.need("key", "it is not known which key is in use")
    spare: list[str] = []
    unsure: list[str] = []
    for account in _left(diagnosis):
        (spare if _useless(diagnosis, account) else unsure).append(f"{diagnosis.ctx.service}/{account}")
    found = []
    if spare:
        fix = Fix(f"remove {len(spare)} keystore entries that nothing needs", (partial(_remove, diagnosis, spare),))
        evidence = f"Left by runs that are over: {', '.join(spare)}"
        found.append(Verdict("warning", evidence, "entraclaw-setup doctor --fix", fix))
    if unsure:
        evidence = f"Left by runs that are over, and perhaps the only key to a certificate: {', '.join(unsure)}"
        found.append(Verdict("warning", evidence, "Look which certificates the app has, and delete them by hand."))
    return Verdict.all(found, "none is left")


def _left(diagnosis: Diagnosis) -> list[str]:
    """Pending accounts that this app's journal names, if no run of it is open, and that are still there."""
    ctx = diagnosis.ctx
    path = paths.journal(diagnosis.ctx.profile, ctx.cloud.key, ctx.target.tenant, ctx.target.app_id)
    if not ctx.target.app_id or not path.exists():
        return []  # what other apps of the tenant left is theirs to judge
    accounts = _named(diagnosis, history(path, ctx.clock))
    return [account for account in accounts if ctx.keystore.has(ctx.service, account)]


def _named(diagnosis: Diagnosis, effects: Iterable[Effect]) -> list[str]:
    """Pending accounts of this tenant that a journal names."""
    actions, begin = ("keystore.write", "keystore.aside"), f"{diagnosis.ctx.target.tenant}#"
    return list(dict.fromkeys(e.target for e in effects if e.action in actions and e.target.startswith(begin)))


def _accounts(diagnosis: Diagnosis) -> list[str]:
    """Pending accounts of this project's open run."""
    found = interrupted.find(diagnosis.ctx)
    return _named(diagnosis, Journal(found.path, "", diagnosis.ctx.clock).effects) if found is not None else []


def made_here(diagnosis: Diagnosis) -> frozenset[str]:
    """Thumbprints of certificates that are this machine's: the one in use, and those of its open run."""
    pending = {account.partition("#")[2] for account in _accounts(diagnosis)}
    return frozenset({*pending, _named_thumbprint(diagnosis)})


def _useless(diagnosis: Diagnosis, account: str) -> bool:
    """Whether it is a copy of the key in use, or the key of a certificate that the app does not have."""
    entry = diagnosis.ctx.keystore.read(diagnosis.ctx.service, account)
    try:
        key_pair = diagnosis.ctx.keys.open(entry or Secret(""), diagnosis.ctx.target.tenant)
    except SetupError:
        return False
    used, app = diagnosis.ctx.maybe_key_pair, diagnosis.ctx.maybe_app
    if used is not None and used.der == key_pair.der:
        return True
    return app is not None and app.holds(key_pair) is None


def _remove(diagnosis: Diagnosis, entries: list[str]) -> None:
    """Look again where no run can change anything: one that has ended since then may need an entry now."""
    ctx = diagnosis.ctx
    prerequisites.take_lock(ctx, ctx.target.tenant, ctx.target.app_id)
    key(diagnosis)
    if ctx.maybe_app is not None:
        app = application.read(diagnosis.graph(), ctx.target.app_id)
        ctx.facts.drop(AppRegistration)
        if app is not None:
            ctx.update_app(app)
    for account in [entry.removeprefix(f"{ctx.service}/") for entry in entries]:
        if _useless(diagnosis, account):
            ctx.keystore.delete(ctx.service, account)


CHECKS: Final = (
    Check("backend", "Keystore", backend, ("state-file",), ATTENDED),
    Check("weak-files", "Keys in weak keystores", weak, ("backend",), ATTENDED),
    Check("key-file", "Key in a file", _in_file, ("state-file",)),
    Check("key", "Key of this machine", _in_use, ("backend", "state-file"), ATTENDED),
)
#: Knows what is needed once the app was read, and so comes with the app.
PENDING = Check("pending", "Keystore entries that are not needed", _pending, ("key", "app"), ATTENDED)
