"""Keystore: look for keys in weak ones, validate the backend, and prove it with a round trip (K1, K3, K4)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from core.errors import KeystoreError
from core.events import Finding
from core.flow.step import Done, Needed, Stage, Status, Step
from core.machine.keystore import weak_files
from core.machine.keystore.system import probe
from core.steps.context import Context
from core.steps.facts import KeystoreFindings


class WeakFiles(Step[Context]):
    """Say so if an earlier run wrote a key through a weak backend."""

    name = "weak-files"
    title = "Look for keys in weak keystores"
    updates = (KeystoreFindings,)

    def apply(self, ctx: Context) -> str:
        found, own = weak_files.find(ctx.service), ""
        try:
            own = ctx.keystore.backend().file if found else ""
        finally:  # most needed where the keystore is refused
            weak = tuple(file for file in found if file.path != Path(own))
            ctx.facts.put(replace(ctx.keystore_findings, weak=weak))
            for file in weak:
                ctx.emit(_finding(ctx, file))
        return ", ".join(str(file.path) for file in weak) or "none found"


def exposed(ctx: Context, file: weak_files.WeakFile) -> str:
    """What is wrong with a weak file, in a sentence."""
    if file.unreadable:
        unread = f"{file.path} could not be read ({file.unreadable})"
        return f"{unread}, so nobody knows whether it holds a key of service {ctx.service}."
    who = "whoever can read it and guesses its password" if file.encrypted else "whoever can read it"
    return f"{file.path} holds a key of service {ctx.service}: {who} has the key; rotate now."


def fix(file: weak_files.WeakFile) -> str:
    """What to do with it once there is a key in a good keystore."""
    what = " ".join(f"[{section}]" for section in file.sections)
    return f"Delete {what} from {file.path}, and remove the certificate of that key from the app."


def _finding(ctx: Context, file: weak_files.WeakFile) -> Finding:
    if file.unreadable:
        return Finding("keystore.weak-file", "warning", exposed(ctx, file), "Look at it by hand.")
    return Finding("keystore.weak-file", "failure", exposed(ctx, file), f"Finish this migration. Then: {fix(file)}")


class ProbeKeystore(Step[Context]):
    """A value as large as a key bundle goes in and comes back byte for byte."""

    name = "probe"
    title = "Test the keystore"
    gives = (KeystoreFindings,)

    def check(self, ctx: Context) -> Status:
        backend = ctx.keystore_findings.backend
        return Done(str(backend)) if backend is not None else Needed()

    def apply(self, ctx: Context) -> str:
        result = probe(ctx.keystore)
        if not result.ok:
            raise KeystoreError("keystore.probe", verdict=result.verdict, backend=result.backend)
        ctx.facts.put(replace(ctx.keystore_findings, backend=result.backend))
        return f"{result.backend}: {result.size} characters in and back"


STAGE: Stage[Context] = Stage("keystore", "Keystore", (WeakFiles(), ProbeKeystore()))
