"""A certificate for the app: make, store, register, prove, adopt (M4, P3, P4, P8).

The key is stored and read back *before* it is registered (ADR-0003): what is proven is the key as the keystore gives it
back, and no crash can leave a certificate on the app whose key is nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import ClassVar, Final
from uuid import uuid4

from core.display import short
from core.entra import application, certificates, credentials
from core.entra.graph import Graph
from core.entra.policies import AUTHORITY, LIFETIME
from core.entra.tokens import prove
from core.errors import Effected, KeystoreError, SetupError
from core.events import Question
from core.flow.facts import Kinds
from core.flow.journal import Effect
from core.flow.step import Blocked, Done, Left, Needed, PlanRow, Status, Step
from core.machine.keystore.system import compare
from core.secret import Secret
from core.steps import facts
from core.steps.certificate import presence
from core.steps.context import Context
from core.steps.hand_off import handoff

#: The effect of leaving out an expired entry of others.
DROP: Final = "graph.application.dropKey"


class StoreKey(Step[Context]):
    """Create a key and put it into the keystore under a pending account, then work with what comes back."""

    name = "store-key"
    title = "Create a key and store it"
    needs = (facts.Target, facts.OpenRun)
    maybe = (facts.AppRegistration, facts.NewApp, facts.KeystoreFindings)
    gives = (facts.MachineKey,)

    def check(self, ctx: Context) -> Status:
        key_pair = ctx.maybe_key_pair
        return Done(f"certificate {key_pair.thumbprint} is in the keystore") if key_pair else Needed()

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        where = f"{ctx.keystore_findings.backend}, service {ctx.service}"
        return (PlanRow("add", "private key", where, "", ctx.keys.made, True, "keystore write"),)

    def apply(self, ctx: Context) -> str:
        key_pair = ctx.keys.make(ctx.profile.subject, ctx.clock.now(), lifetime(ctx)[0], ctx.target.app_id)
        account = f"{ctx.target.tenant}#{key_pair.thumbprint}"
        with ctx.log.effect("keystore.write", account, ctx.emit, thumbprint=key_pair.thumbprint):
            ctx.facts.put(facts.MachineKey(ctx.keys.open(store(ctx, account, key_pair.entry), account)))
        return f"certificate {key_pair.thumbprint}, until {key_pair.not_after.date()}"

    def undo(self, ctx: Context) -> Left | None:
        for effect in reversed(ctx.log.standing("keystore.write")):
            ctx.keystore.delete(ctx.service, effect.target)
            if ctx.keystore.has(ctx.service, effect.target):
                return Left(f"keystore entry {effect.target}", f"Delete {effect.target} of {ctx.service} by hand.")
            ctx.log.undone(effect)
            ctx.facts.drop(facts.MachineKey)
        return None


class Register(Step[Context]):
    """Add the certificate to the app by merge; every other key credential stays."""

    name = "register"
    title = "Add the certificate to the app"
    needs: ClassVar[Kinds] = (facts.Target, facts.OpenRun, facts.SignedIn, facts.AppRegistration)
    maybe: ClassVar[Kinds] = (*handoff.REQUEST, facts.Proof, facts.KeystoreFindings)
    updates: ClassVar[Kinds] = (facts.MachineKey, facts.NeedsAdministrator, facts.PasswordRemoval)

    def check(self, ctx: Context) -> Status:
        key_pair = ctx.maybe_key_pair
        if ctx.maybe_app is None:
            return Done("it comes with the new app")
        if key_pair and (key := ctx.app.holds(key_pair)):
            return Done(f"it is on the app (keyId {key.id})")
        # a proof outweighs a read: a token was minted with it, so the read came from a stale replica
        if key_pair and ctx.maybe_proof:
            return Done("the service accepts it")
        refuse_forbidden(ctx)
        return Needed()

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        app, key_pair = ctx.app, ctx.maybe_key_pair
        days, why = lifetime(ctx)
        after = key_pair.thumbprint if key_pair else f"new, valid {days.days} days{why}"
        call = f"PATCH /applications/{app.object_id} keyCredentials"
        where = f"app registration '{app.name}'"
        whose = where + handoff.by_whom(ctx)
        spare = {key_pair.der for key_pair in ctx.keystore_findings.spare}
        stay = [PlanRow("keep", "certificate", where, key.describe()) for key in app.keys if key.der not in spare]
        return (PlanRow("add", "certificate", whose, "", after, True, call), *stay)

    def apply(self, ctx: Context) -> str:
        merge, key_id = register(ctx)
        for key in merge.lost:
            gone = f"The certificate {key.thumbprint or key.id} '{key.name}' was on the app before and is gone now"
            why = "although it was sent back: another writer replaced the list at the same moment."
            remedy = "Its owner has to register it again; it was not restored, because it may have been revoked."
            ctx.report("app.key-lost", "warning", f"{gone}, {why}", remedy)
        if merge.contended:
            presence.tell_of_secrets(ctx, application.read_passwords(ctx.user_graph(), ctx.app))
        return f"keyId {key_id}; {len(ctx.app.keys) - len(merge.lost)} other(s) kept"

    def undo(self, ctx: Context) -> Left | None:
        graph = ctx.user_graph()
        for effect in reversed(ctx.log.standing("graph.application.addKey")):
            object_id, key_id = effect.data["object_id"], effect.data["key_id"]
            thumbprint = effect.data["thumbprint"]
            by_hand = f"az ad app credential delete --id {ctx.target.app_id} --key-id {key_id} --cert"
            keys = credentials.see_key(graph, object_id, key_id, credentials.REPLICATION * 2)
            if keys is not None:
                (found,) = (key for key in keys if key.id == key_id)
                held = (key_pair := ctx.maybe_key_pair) is not None and key_pair.thumbprint == thumbprint
                if found.thumbprint != thumbprint or not held:
                    return Left(f"certificate {found.thumbprint} (keyId {key_id}), which is not provably ours", by_hand)
                try:
                    credentials.remove_key(graph, object_id, keys, key_id)
                except SetupError as error:
                    return Left(f"certificate {thumbprint} (keyId {key_id}) on the app: {error.summary}", by_hand)
            ctx.log.undone(effect)
        return _lost_for_good(ctx, graph)


class Proving(Step[Context]):
    """What uses all that `prove_again` does."""

    needs: ClassVar[Kinds] = (facts.Target, facts.OpenRun, facts.SignedIn, facts.AppRegistration)
    maybe = (*handoff.REQUEST, facts.KeystoreFindings)
    updates: ClassVar[Kinds] = (facts.MachineKey, facts.Proof, facts.NeedsAdministrator)

    def apply(self, ctx: Context) -> str:
        return prove_again(ctx)


class Prove(Proving):
    """Mint a token with a fresh credential built from the read-back key."""

    name = "prove"
    title = "Prove the certificate with a token"
    gives = (facts.Proof,)
    updates = (facts.MachineKey, facts.NeedsAdministrator)

    def check(self, ctx: Context) -> Status:
        proof, app = ctx.maybe_proof, ctx.maybe_app
        if proof and set(ctx.permissions.wanted) <= proof.roles:
            return Done("a token was minted with it")
        if app is not None and app.disabled:  # then no sign-in can prove anything
            what = " and its ".join(application.HOLDER_NAME[holder] for holder in app.disabled)
            return Blocked(SetupError("app.disabled", what=what, app=app.name, app_id=app.app_id))
        return Needed()


class Adopt(Step[Context]):
    """Make the proven key this machine's own: write and read back account `<tenant>`; the former one is kept aside."""

    name = "adopt"
    title = "Make it this machine's key"
    needs = (facts.Target, facts.OpenRun, facts.MachineKey)
    maybe = (facts.KeystoreFindings,)

    def check(self, ctx: Context) -> Status:
        key_pair = ctx.maybe_key_pair
        if key_pair and ctx.keystore.read(ctx.service, ctx.target.tenant) == key_pair.entry:
            return Done(f"account {ctx.target.tenant} holds it")
        return Needed()

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        where = f"{ctx.keystore_findings.backend}, service {ctx.service}"
        account, after = f"account {ctx.target.tenant}", "will hold the proven key"
        return (PlanRow("change", account, where, "", after, True, "keystore write"),)

    def apply(self, ctx: Context) -> str:
        key_pair, tenant = ctx.key_pair, ctx.target.tenant
        former = ctx.keystore.read(ctx.service, tenant)
        kept = former is not None and former != key_pair.entry
        if former is not None and kept:
            if former != ctx.keystore_findings.occupant:
                raise SetupError("keystore.changed", tenant=tenant, service=ctx.service)
            aside = f"{tenant}#former-{_thumbprint_in(ctx, tenant) or uuid4().hex}"
            with ctx.log.effect("keystore.aside", aside, ctx.emit):
                store(ctx, aside, former)
        with ctx.log.effect("keystore.adopt", tenant, ctx.emit, thumbprint=key_pair.thumbprint):
            store(ctx, tenant, key_pair.entry)
        return f"account {tenant} holds it" + (", the former one is kept until the end" if kept else "")

    def undo(self, ctx: Context) -> Left | None:
        adopted, aside = ctx.log.standing("keystore.adopt"), ctx.log.standing("keystore.aside")
        if adopted:
            tenant = adopted[0].target
            ours = _thumbprint_in(ctx, tenant) in {effect.data["thumbprint"] for effect in adopted}
            former = ctx.keystore.read(ctx.service, aside[0].target) if aside else None
            empty = not ctx.keystore.has(ctx.service, tenant)
            if ours:
                _put_back(ctx, tenant)
            if former is not None and (ours or empty):
                store(ctx, tenant, former)
            elif ours and aside:
                return Left(f"keystore account {tenant}: the former key is gone", "run 'entraclaw-setup migrate'")
            elif ours:
                ctx.keystore.delete(ctx.service, tenant)
            # else: an undo that was cut off had restored it already, or it is somebody else's by now
            for effect in adopted:
                ctx.log.undone(effect)
        for effect in aside:
            ctx.keystore.delete(ctx.service, effect.target)
            ctx.log.undone(effect)
        return None


def _put_back(ctx: Context, tenant: str) -> None:
    """Keep the key under its pending account, which a clean-up has emptied: its certificate is still on the app."""
    account = f"{tenant}#{_thumbprint_in(ctx, tenant)}"
    pending = any(effect.target == account for effect in ctx.log.standing("keystore.write"))
    if pending and not ctx.keystore.has(ctx.service, account):
        store(ctx, account, ctx.keystore.read(ctx.service, tenant) or Secret(""))


def _thumbprint_in(ctx: Context, account: str) -> str:
    """Thumbprint of the bundle in an account; empty when there is none that can be read."""
    entry = ctx.keystore.read(ctx.service, account)
    try:
        return ctx.keys.open(entry, account).thumbprint if entry else ""
    except SetupError as error:
        if error.id != "keystore.bundle":  # it is not known whose the entry is (T6)
            raise
        return ""


def register(ctx: Context) -> tuple[credentials.Merge, str]:
    """Add the certificate to the app as the signed-in principal, under one keyId however often that is needed.

    :returns: what it came to, and the keyId.
    """
    app, key_pair = ctx.app, ctx.key_pair
    # the keyId of an interrupted run, so that its lost or late write and ours are the same entry
    earlier = [e for e in ctx.log.standing("graph.application.addKey") if e.data["thumbprint"] == key_pair.thumbprint]
    asked = handoff.written(ctx)  # whoever asked an administrator, and may do it himself by now
    chosen = asked.data["key_id"] if asked else chosen_key_id(ctx)
    key_id = earlier[0].data["key_id"] if earlier else chosen
    entry = credentials.entry_of(key_pair, key_id, key_name(ctx))
    passwords = [password.id for password in ctx.facts.get(facts.AppRegistration).initial]
    details = {"object_id": app.object_id, "key_id": key_id, "thumbprint": key_pair.thumbprint, "passwords": passwords}
    stands = any(effect.state == "done" for effect in earlier)  # dropped since: it is one effect, with one undo
    with (
        handoff.on_refusal(ctx),
        nullcontext() if stands else ctx.log.effect("graph.application.addKey", app.object_id, ctx.emit, **details),
        _dropping(ctx) as drop,
    ):
        merge = credentials.add_key(ctx.user_graph(), app.object_id, key_pair, entry, drop)
    ctx.facts.put(facts.MachineKey(key_pair, frozenset(key.id for key in merge.keys), merge.contended))
    return merge, key_id


def watch(ctx: Context) -> presence.Presence:
    """What sees this machine's certificate on the app, and registers it again when it was dropped."""
    return presence.Presence(ctx, lambda: register(ctx)[0])


def key_name(ctx: Context) -> str:
    """Display name of the certificate on the app, after its machine."""
    asked = ctx.facts.maybe(facts.HandOffRequest)
    return f"{ctx.profile.subject} {short(asked.request.machine) if asked is not None else ctx.machine}"


def chosen_key_id(ctx: Context) -> str:
    """The keyId that a request asks for, else a new one."""
    asked = ctx.facts.maybe(facts.HandOffRequest)
    return asked.request.key_id if asked is not None else str(uuid4())


def lifetime(ctx: Context) -> tuple[timedelta, str]:
    """How long a new certificate may live, and why it is shorter than usual (P3, M13)."""
    asked = timedelta(days=ctx.settings.certificate_days)
    policy = app.policy if (app := ctx.maybe_app) is not None else ctx.new_app.policy
    if policy.lifetime is not None and policy.lifetime < asked:
        return policy.lifetime, f" (the policy '{policy.by(LIFETIME)}' allows no longer)"
    return asked, ""


def refuse_forbidden(ctx: Context) -> None:
    """See that no policy that could be read is against the certificate (P13).

    :raises SetupError: `policy.self-signed`, `policy.lifetime`.
    """
    policy = app.policy if (app := ctx.maybe_app) is not None else ctx.new_app.policy
    key_pair = ctx.maybe_key_pair
    name = app.name if app is not None else ctx.app_name
    if not policy.self_signed and (key_pair is None or certificates.is_self_signed(key_pair.der)):
        raise SetupError("policy.self-signed", app=name, policy=policy.by(AUTHORITY))
    if key_pair is None or policy.lifetime is None:
        return
    life = key_pair.not_after - key_pair.not_before
    if life > policy.lifetime:
        days, most = life.days, policy.lifetime.days
        raise SetupError("policy.lifetime", app=name, policy=policy.by(LIFETIME), days=days, most=most)


def prove_again(ctx: Context) -> str:
    """Prove the key with a new credential, waiting for replication; remembers the token.

    :raises SetupError: it was not accepted.
    """
    entry = ctx.keystore.read(ctx.service, ctx.target.tenant)
    if entry != ctx.key_pair.entry:  # not adopted yet
        entry = ctx.keystore.read(ctx.service, ctx.pending)
    if entry is None:
        raise KeystoreError("keystore.read-back", verdict="missing", backend=ctx.keystore_findings.backend)
    read_back = ctx.keys.open(entry, ctx.target.tenant)
    roles = frozenset(ctx.permissions.wanted)
    target, look = ctx.target, watch(ctx).look
    proof = prove(ctx.session, ctx.cloud, target.tenant, target.app_id, read_back, ctx, roles, look)
    ctx.facts.put(facts.Proof(proof))
    return f"token for {proof.claims['aud']}, app {ctx.target.app_id}, {len(proof.roles)} role(s)"


def store(ctx: Context, account: str, entry: Secret) -> Secret:
    """Write an entry and read it back byte for byte.

    :returns: what the keystore gave back.
    :raises KeystoreError: `keystore.read-back`.
    """
    ctx.keystore.write(ctx.service, account, entry)
    found = ctx.keystore.read(ctx.service, account)
    verdict = compare(entry, found)
    if found is None or verdict != "intact":
        raise KeystoreError("keystore.read-back", verdict=verdict, backend=ctx.keystore_findings.backend)
    return found


@contextmanager
def _dropping(ctx: Context) -> Iterator[Callable[[tuple[application.Key, ...]], Collection[str]]]:
    """Ask before expired entries of others are left out, and journal each; `--yes` alone is not enough (P8).

    They cannot be put back: the service takes no entry whose end has passed.
    """
    effects: list[Effect] = []

    def drop(expired: tuple[application.Key, ...]) -> Collection[str]:
        listing = ", ".join(f"{key.thumbprint or key.id} '{key.name}' (ended {key.end_date})" for key in expired)
        text = f"The service refuses the write because of expired entries: {listing}. Remove them, for good?"
        question = Question("drop-expired", text, False, "--drop-expired")
        agreed = ctx.settings.drop_expired or (not ctx.settings.yes and ctx.ask(question))
        if not agreed:
            raise SetupError("app.expired-entry", listing=listing)
        for key in expired:
            what = f"certificate {key.thumbprint or key.id} '{key.name}', which had ended on {key.end_date}"
            effects.append(ctx.log.intend(DROP, key.id, object_id=ctx.app.object_id, what=what))
        return [key.id for key in expired]

    try:
        yield drop
    except SetupError as error:
        for effect in effects if error.effected is Effected.NO else ():
            ctx.log.failed(effect)
        raise
    for effect in effects:
        ctx.log.done(effect, ctx.emit)


def _lost_for_good(ctx: Context, graph: Graph) -> Left | None:
    """What was removed from the app on somebody's word and is gone for good: an undo has to say so."""
    effects = ctx.log.standing(DROP)
    if not effects:
        return None
    here = {key.id for key in application.read_keys(graph, effects[0].data["object_id"])}
    gone = [str(effect.data["what"]) for effect in effects if effect.target not in here]
    for effect in effects:
        ctx.log.undone(effect)
    how = "The service takes no entry whose end has passed: whoever used it registers a new certificate."
    return Left(f"removed from the app: {'; '.join(gone)}", how, final=True) if gone else None
