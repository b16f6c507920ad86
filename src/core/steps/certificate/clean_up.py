"""Remove what was needed on the way: pending and former keys with their certificates, and a fulfilled request (P8)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.entra import application, credentials
from core.errors import Interrupted, SetupError
from core.flow.step import Done, Needed, PlanRow, Status, Step
from core.signer import Signer
from core.steps import directory_roles, facts
from core.steps.context import Context
from core.steps.hand_off import handoff


class CleanUp(Step[Context]):
    """Remove pending and former keystore entries, certificates whose only key is one of these, and the request file."""

    name = "tidy"
    title = "Remove pending keystore entries"
    needs = (facts.Target, facts.OpenRun, facts.AppRegistration, facts.MachineKey)
    maybe = (facts.SignedIn, facts.Proof, facts.KeystoreFindings)

    def _accounts(self, ctx: Context) -> list[str]:
        accounts = [effect.target for kind in ("write", "aside") for effect in ctx.standing(f"keystore.{kind}")]
        if ctx.maybe_key_pair is not None:
            accounts.append(ctx.pending)
        return list(dict.fromkeys(accounts))

    def _requests(self, ctx: Context) -> dict[Path, str]:
        """The requests that are still there, and the keyId that each asks for."""
        requests = {Path(effect.target): str(effect.data["key_id"]) for effect in ctx.standing(handoff.WRITE)}
        return {path: key_id for path, key_id in requests.items() if path.exists()}

    def check(self, ctx: Context) -> Status:
        if ctx.maybe_key_pair is None or self._spare(ctx):
            return Needed()
        left = [a for a in self._accounts(ctx) if ctx.keystore.has(ctx.service, a)]
        return Needed() if left or self._requests(ctx) else Done("there are none")

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        where, how = f"app registration '{ctx.app.name}'" if ctx.maybe_app else "", "PATCH keyCredentials"
        thumbprints = [f"{key_pair.thumbprint}, this machine's, not in use" for key_pair in self._spare(ctx)]
        return tuple(PlanRow("delete", "certificate", where, before, "", False, how) for before in thumbprints)

    def apply(self, ctx: Context) -> str:
        for key_pair in self._spare(ctx):
            self._retire(ctx, key_pair)
        accounts, requests = self._accounts(ctx), self._requests(ctx)
        for account in accounts:
            with ctx.log.effect("keystore.delete", account, ctx.emit):
                ctx.keystore.delete(ctx.service, account)
        gone = [path for path, key_id in requests.items() if self._remove(ctx, path, key_id)]
        return f"{len(accounts)} removed" + (", and the request" if gone else "")

    @staticmethod
    def _spare(ctx: Context) -> tuple[Signer, ...]:
        used = ctx.maybe_key_pair
        return tuple(key_pair for key_pair in ctx.keystore_findings.spare if used is None or key_pair.der != used.der)

    @staticmethod
    def _retire(ctx: Context, key_pair: Signer) -> None:
        """Take a certificate of this machine off the app before its key goes; what nobody may remove is said."""
        graph, app = directory_roles.writer(ctx), ctx.app
        keys = application.read_keys(graph, app.object_id)
        for key in keys:
            if key.der != key_pair.der:
                continue
            try:
                with ctx.log.effect("graph.application.removeKey", key.id, ctx.emit, thumbprint=key_pair.thumbprint):
                    credentials.remove_key(graph, app.object_id, keys, key.id)
            except Interrupted:
                raise
            except SetupError as error:
                message = f"The certificate {key_pair.thumbprint} of this machine is on the app and not in use: {error}"
                by_hand = f"az ad app credential delete --id {app.app_id} --key-id {key.id} --cert"
                ctx.report("certificate.left", "warning", message, by_hand)

    @staticmethod
    def _remove(ctx: Context, path: Path, key_id: str) -> bool:
        """Whether the request is gone; it holds no secret, so a run that did its work does not fail for it."""
        try:
            with ctx.log.effect("request.delete", str(path), ctx.emit):
                handoff.remove(path, key_id)
        except SetupError as error:
            if error.id != "request.left":
                raise
            ctx.report(error.id, "warning", error.summary, error.remedy)
            return False
        return True
