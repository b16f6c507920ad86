"""The key of this machine: which one the keystore holds, whose it is, and whether the service accepts it (P8, M8).

Other homes of this computer may share the keystore (sudo, a container), and other apps the tenant. So an entry is
replaced only if it is provably this app's: by what its certificate says, by the app's own list, or because a journal of
this app tells how it was made. That nothing tells of another app proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NoReturn
from urllib.parse import quote

from core import paths
from core.entra import application, certificates
from core.entra.tokens import LAGGING, mint
from core.errors import Interrupted, SetupError, TokenError
from core.flow.step import Step
from core.secret import Secret
from core.signer import Signer
from core.steps import facts, prerequisites
from core.steps.context import Context


class FindKey(Step[Context]):
    """See which key this machine holds, and whether the service accepts it (P8, M8)."""

    name = "key"
    title = "Look for a key in the keystore"
    needs = (facts.Target, facts.OpenRun)
    maybe = (facts.Project, facts.SignedIn, facts.AppRegistration)
    updates = (facts.MachineKey, facts.Proof, facts.KeystoreFindings)

    def apply(self, ctx: Context) -> str:
        ctx.facts.drop(facts.MachineKey)
        ctx.facts.drop(facts.Proof)
        # the account is the tenant's: no other run of this tenant may put its key there until this one is over
        prerequisites.take_lock(ctx, ctx.target.tenant, "keystore")
        entry = ctx.keystore.read(ctx.service, ctx.target.tenant)
        ctx.facts.put(replace(ctx.keystore_findings, occupant=entry))
        credential = entry is not None and certificates.may_sign_in(entry)
        current = self._read(ctx, ctx.target.tenant, entry)
        if current is None and credential:
            _refuse_unproven(ctx, "what may be a private key or a secret and cannot be used here")
        if current is not None:
            # the account is the tenant alone (P4): a second app of one tenant must not take the first one's place
            mine, owners = _mine(ctx), owners_of(ctx, current.der)
            listed = (app := ctx.maybe_app) is not None and app.holds_certificate(current.der)
            if mine and owners and mine not in owners and not listed:
                _refuse_key_of(sorted(owners)[0], ctx, current.der)
        if current is not None and ctx.maybe_app is None:
            # it may be provably the key of the app that the state file names, and that does not exist any more
            if _named(ctx) not in owners:
                tenant, service, thumbprint = ctx.target.tenant, ctx.service, current.thumbprint
                raise SetupError("keystore.occupied", tenant=tenant, service=service, thumbprint=thumbprint)
        elif current is not None and self._usable(ctx, current):
            ctx.facts.put(facts.MachineKey(current))
            _say_due(ctx, current)
            self._find_spare(ctx, None)
            return f"{current.thumbprint}, until {current.not_after.date()}"
        app, now = ctx.maybe_app, ctx.clock.now()
        # one that is about to end is this machine's all the same: it is brought into use before it is renewed
        usable = [key_pair for key_pair in self._candidates(ctx) if not key_pair.expired(now)]
        chosen = next((b for b in usable if app is not None and app.holds(b)), usable[0] if usable else None)
        if chosen is not None:
            ctx.facts.put(facts.MachineKey(chosen))
        self._find_spare(ctx, current)
        return f"{chosen.thumbprint}, pending from an interrupted run" if chosen else "none that can be used"

    def _candidates(self, ctx: Context, *, listed: bool = True) -> list[Signer]:
        """Keys that earlier runs of this machine stored and did not bring into use.

        :param listed: look for one to each certificate on the app, too.
        """
        app = ctx.maybe_app
        thumbprints = [effect.data["thumbprint"] for effect in ctx.log.standing("keystore.write")]
        thumbprints += [key.thumbprint for key in app.keys if key.thumbprint] if app is not None and listed else []
        key_pairs = (self._pending(ctx, thumbprint) for thumbprint in dict.fromkeys(thumbprints))
        return [key_pair for key_pair in key_pairs if key_pair is not None]

    def _find_spare(self, ctx: Context, former: Signer | None) -> None:
        """Keys of this home that will not be in use: they go at the end, so their certificates on the app go too.

        :param former: the one that the tenant's account held until now.
        """
        app, used = ctx.maybe_app, ctx.maybe_key_pair
        key_pairs = [*self._candidates(ctx, listed=False), *([former] if former is not None else [])]
        listed = [key_pair for key_pair in key_pairs if app is not None and app.holds(key_pair)]
        spare = tuple(key_pair for key_pair in listed if used is None or key_pair.der != used.der)
        ctx.facts.put(replace(ctx.keystore_findings, spare=spare))

    def _pending(self, ctx: Context, thumbprint: str) -> Signer | None:
        account = f"{ctx.target.tenant}#{thumbprint}"
        return self._read(ctx, account, ctx.keystore.read(ctx.service, account))

    def _read(self, ctx: Context, account: str, entry: Secret | None) -> Signer | None:
        if entry is None:
            return None
        try:
            return ctx.keys.open(entry, account)
        except SetupError as error:
            if error.id != "keystore.bundle":  # a key that is out of reach is no reason for a new one (T6)
                raise
            ctx.report(error.id, "warning", error.summary, "A new key will be made.")
            return None

    def _refuse_foreign(self, ctx: Context, der: bytes) -> None:
        """See that a key which this app cannot sign in with was its own, before another one takes its place.

        :raises SetupError: `keystore.other-app`, `keystore.unproven`.
        """
        app, owners = ctx.maybe_app, owners_of(ctx, der)
        if _mine(ctx) in owners or (app is not None and app.holds_certificate(der) and not owners):
            return
        thumbprint = certificates.thumbprint(der)
        owner = next(iter(sorted(owners)), "") or _holder(ctx, thumbprint)
        if owner == _mine(ctx) if owner else self._recorded(ctx, thumbprint):
            return
        if owner:
            _refuse_key_of(owner, ctx, der)
        _refuse_unproven(ctx, f"the certificate {thumbprint}")

    def _recorded(self, ctx: Context, thumbprint: str) -> bool:
        """Whether this project's state file names the certificate as that of the very app it names.

        The original's certificates name no app, so nothing else tells of one that was removed from the app's list.
        """
        recorded = str(ctx.project.members.get(ctx.profile.thumbprint_member, "")).upper()
        return _named(ctx) == _mine(ctx) and recorded == thumbprint

    def _usable(self, ctx: Context, key_pair: Signer) -> bool:
        if key_pair.expired(ctx.clock.now()):
            self._refuse_foreign(ctx, key_pair.der)
            ctx.report("certificate.expired", "warning", "The certificate in the keystore has expired.")
            return False
        try:
            ctx.facts.put(facts.Proof(mint(ctx.session, ctx.cloud, ctx.target.tenant, ctx.target.app_id, key_pair)))
        except TokenError as error:
            if (app := ctx.maybe_app) is not None and app.holds(key_pair) and LAGGING & set(error.codes):
                return True  # registered a moment ago; the proof will wait for it
            if 700027 not in error.codes:
                raise
            self._refuse_foreign(ctx, key_pair.der)
            gone = f"The certificate {key_pair.thumbprint} of this machine is no longer on the app"
            message = f"{gone}: somebody removed it or replaced the list."
            ctx.report("certificate.gone", "warning", message, "A new key will be made and registered.")
            return False
        return True


def _say_due(ctx: Context, key_pair: Signer) -> None:
    renewal, now = key_pair.renewal, ctx.clock.now()
    if (state := renewal.state(now)) == "valid":
        return
    message = f"The certificate ends on {renewal.end.date()}; it was due for renewal on {renewal.due.date()}."
    ctx.report("certificate.due", "info" if state == "due" else "warning", message, "Rotate it soon.")


def owners_of(ctx: Context, der: bytes) -> frozenset[str]:
    """Ids of the apps whose key a certificate's provably is: as it says itself, else as journals of this home tell."""
    if named := certificates.app_of(der):
        return frozenset({named})
    return frozenset(_noted(ctx, certificates.thumbprint(der)))


def _noted(ctx: Context, thumbprint: str) -> Iterator[str]:
    """Apps for which a run of this home made the key, or whose state file it recorded it in."""
    folder = paths.state_folder(ctx.profile) / "journal"
    for journal in sorted(folder.glob(f"{ctx.cloud.key}_*.jsonl")):
        of_app = journal.stem.rpartition("_")[2]
        for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
            if thumbprint not in line:
                continue
            try:
                data: dict[str, Any] = json.loads(line)["data"]
            except (ValueError, KeyError, TypeError):
                continue  # the torn last line of a crash
            if data.get("thumbprint") != thumbprint and thumbprint not in dict(data.get("written") or {}).values():
                continue
            if data.get("app_id"):  # a run that created the app
                yield str(data["app_id"])
            elif "-" in of_app:
                yield of_app


def _named(ctx: Context) -> str:
    """The app that the state file names."""
    return str(ctx.project.members.get(ctx.profile.client_id_member, "")).lower()


def _mine(ctx: Context) -> str:
    return ctx.target.app_id or _named(ctx)


def _holder(ctx: Context, thumbprint: str) -> str:
    """Another app of one of our names that accepts a certificate, so that it can be named; empty when none is seen."""
    app = ctx.maybe_app
    names = {ctx.profile.app_display_name, *([app.name] if app is not None else [])}
    for name in sorted(names):
        quoted = quote(name.replace("'", "''"))
        path = f"/applications?$filter=displayName eq '{quoted}'&$select=appId,displayName,keyCredentials"
        try:
            for entry in ctx.user_graph().pages(path, "look whose certificate it is"):
                if any(key.thumbprint == thumbprint for key in application.keys_of(entry)):
                    return str(entry.get("appId"))
        except Interrupted:
            raise
        except SetupError:
            return ""  # it is only about naming it: the run stops all the same
    return ""


def _refuse_unproven(ctx: Context, what: str) -> NoReturn:
    app = f"the app {ctx.target.app_id}" if ctx.target.app_id else "the new app"
    raise SetupError("keystore.unproven", what=what, app=app, tenant=ctx.target.tenant, service=ctx.service)


def _refuse_key_of(app_id: str, ctx: Context, der: bytes) -> NoReturn:
    tenant, service, thumbprint = ctx.target.tenant, ctx.service, certificates.thumbprint(der)
    raise SetupError("keystore.other-app", app_id=app_id, tenant=tenant, service=service, thumbprint=thumbprint)
