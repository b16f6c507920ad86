"""A key that the original left in a file: once another is proven, its certificate and the file are removed (M19)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from core.entra import application, credentials
from core.errors import SetupError
from core.flow.step import Done, Needed, PlanRow, Status, Step
from core.machine import exposed_key
from core.signer import Certificate
from core.steps import directory_roles
from core.steps.context import Context
from core.steps.facts import AppRegistration, MachineKey, OpenRun, Proof, SignedIn, Target

REMOVE: Final = "file.delete"
REMOVE_KEY: Final = "graph.application.removeKey"


class TellOfExposed(Step[Context]):
    """Say that a key lies in a file, and whether it stays there."""

    name = "exposed"
    title = "Look for a key in a file"
    needs = (Target,)

    def check(self, ctx: Context) -> Status:
        return Needed()

    def apply(self, ctx: Context) -> str:
        path = exposed_key.find(ctx.profile, ctx.target.tenant)
        if path is None:
            return "there is none"
        stays = f" It stays there: {why}." if (why := exposed_key.refusal(path)) else ""
        message = f"{path} holds a private key of this machine without encryption.{stays}"
        ctx.report("key.exposed", "warning", message, "Look at it by hand." if stays else "")
        return str(path)


class RetireExposed(Step[Context]):
    """Remove the certificate of a key that lies in a file from the app, and the file."""

    name = "retire-exposed"
    title = "Remove the key that lies in a file"
    needs = (Target, OpenRun, AppRegistration, MachineKey)
    maybe = (SignedIn, Proof)

    def check(self, ctx: Context) -> Status:
        path = exposed_key.find(ctx.profile, ctx.target.tenant)
        if path is None:
            return Done("there is none")
        why = exposed_key.refusal(path)
        return Done(f"{path} is left: {why}") if why else Needed()

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        if (path := exposed_key.find(ctx.profile, ctx.target.tenant)) is None:
            return ()
        key_pair = exposed_key.read(path)
        rows = [PlanRow("delete", "private key in a file", str(path), "unencrypted", "", False, "unlink")]
        if key_pair is not None and (app := ctx.maybe_app) is not None and app.holds(key_pair):
            where, how = f"app registration '{app.name}'", "PATCH keyCredentials"
            what = f"{key_pair.thumbprint}, whose key lies in that file"
            rows.insert(0, PlanRow("delete", "certificate", where, what, "", False, how))
        return rows

    def apply(self, ctx: Context) -> str:
        if (path := exposed_key.find(ctx.profile, ctx.target.tenant)) is None:
            return "it is gone already"
        key_pair = exposed_key.read(path)
        with forward(ctx):
            if key_pair is not None and key_pair.der != ctx.key_pair.der:
                _take_off(ctx, key_pair)
        with ctx.log.effect(REMOVE, str(path), ctx.emit):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise SetupError("key.left", path=path, detail=error.strerror or error) from None
        return f"{path} is gone"


@contextmanager
def forward(ctx: Context) -> Iterator[None]:
    """From here only forward, unless the very first removal is refused and the run has done nothing else (M5)."""
    passed = ctx.log.marked
    if not passed:
        ctx.log.mark()
    try:
        yield
    except SetupError:
        if not passed and not any(effect.standing for effect in ctx.log.effects):
            ctx.log.unmark()
        raise


def _take_off(ctx: Context, certificate: Certificate) -> None:
    """Remove a certificate from the app; its key may only go when that is done (P8)."""
    graph, app = directory_roles.writer(ctx), ctx.app
    keys = application.read_keys(graph, app.object_id)
    for key in keys:
        if key.der == certificate.der:
            with ctx.log.effect(REMOVE_KEY, key.id, ctx.emit, thumbprint=certificate.thumbprint):
                credentials.remove_key(graph, app.object_id, keys, key.id)
