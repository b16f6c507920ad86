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

from core.clock import wait_until
from core.display import short
from core.entra import application, credentials
from core.entra.application import Key
from core.entra.credentials import Merge
from core.entra.graph import Graph
from core.entra.tokens import prove
from core.errors import KeystoreError, SetupError
from core.errors.effected import Effected
from core.events import Finding, Question
from core.flow.facts import Kinds
from core.flow.journal import Effect
from core.flow.plan import PlanRow
from core.flow.step import Blocked, Done, Left, Needed, Status, Step
from core.machine.keystore.system import compare
from core.secret import Secret
from core.steps.certificate import presence
from core.steps.certificate.presence import Presence
from core.steps.context import World
from core.steps.facts import (
    AppRegistration,
    HandOffRequest,
    KeystoreFindings,
    MachineKey,
    NeedsAdministrator,
    NewApp,
    OpenRun,
    PasswordRemoval,
    Proof,
    SignedIn,
    Target,
    WantedPermissions,
)
from core.steps.hand_off import handoff

#: The effect of leaving out an expired entry of others.
DROP: Final = "graph.application.dropKey"


class StoreKey(Step[World]):
    """Create a key and put it into the keystore under a pending account, then work with what comes back."""

    name = "store-key"
    title = "Create a key and store it"
    needs = (Target, OpenRun)
    maybe = (AppRegistration, NewApp, KeystoreFindings)
    gives = (MachineKey,)

    def check(self, world: World) -> Status:
        key_pair = world.maybe_key_pair
        return Done(f"certificate {key_pair.thumbprint} is in the keystore") if key_pair else Needed()

    def plan(self, world: World) -> Sequence[PlanRow]:
        where = f"{world.keystore_findings.backend}, service {world.service}"
        return (PlanRow("add", "private key", where, "", world.keys.made, True, "keystore write"),)

    def apply(self, world: World) -> str:
        key_pair = world.keys.make(world.profile.subject, world.clock.now(), lifetime(world)[0], world.target.app_id)
        account = f"{world.target.tenant}#{key_pair.thumbprint}"
        with world.log.effect("keystore.write", account, world.emit, thumbprint=key_pair.thumbprint):
            world.facts.put(MachineKey(world.keys.open(store(world, account, key_pair.entry), account)))
        return f"certificate {key_pair.thumbprint}, until {key_pair.not_after.date()}"

    def undo(self, world: World) -> Left | None:
        for effect in reversed(world.log.standing("keystore.write")):
            world.keystore.delete(world.service, effect.target)
            if world.keystore.has(world.service, effect.target):
                return Left(f"keystore entry {effect.target}", f"Delete {effect.target} of {world.service} by hand.")
            world.log.undone(effect)
            world.facts.drop(MachineKey)
        return None


class Register(Step[World]):
    """Add the certificate to the app by merge; every other key credential stays."""

    name = "register"
    title = "Add the certificate to the app"
    needs: ClassVar[Kinds] = (Target, OpenRun, SignedIn, AppRegistration)
    maybe: ClassVar[Kinds] = (NewApp, Proof, WantedPermissions, KeystoreFindings, HandOffRequest)
    updates: ClassVar[Kinds] = (MachineKey, NeedsAdministrator, PasswordRemoval)

    def check(self, world: World) -> Status:
        key_pair = world.maybe_key_pair
        if world.maybe_app is None:
            return Done("it comes with the new app")
        if key_pair and (key := world.app.holds(key_pair)):
            return Done(f"it is on the app (keyId {key.id})")
        # a proof outweighs a read: a token was minted with it, so the read came from a stale replica
        return Done("the service accepts it") if key_pair and world.maybe_proof else Needed()

    def plan(self, world: World) -> Sequence[PlanRow]:
        app, key_pair = world.app, world.maybe_key_pair
        days, why = lifetime(world)
        after = key_pair.thumbprint if key_pair else f"new, valid {days.days} days{why}"
        call = f"PATCH /applications/{app.object_id} keyCredentials"
        where = f"app registration '{app.name}'"
        whose = where + handoff.by_whom(world)
        stay = tuple(
            PlanRow("keep", "certificate", where, f"{key.thumbprint or key.id} '{key.name}', {key.validity}")
            for key in app.keys
            if all(key.der != spare.der for spare in world.keystore_findings.spare)
        )
        return (PlanRow("add", "certificate", whose, "", after, True, call), *stay)

    def apply(self, world: World) -> str:
        merge, key_id = register(world)
        for key in merge.lost:
            world.emit(
                Finding(
                    "app.key-lost",
                    "warning",
                    f"The certificate {key.thumbprint or key.id} '{key.name}' was on the app before and is gone now, "
                    "although it was sent back: another writer replaced the list at the same moment.",
                    "Its owner has to register it again; it was not restored, because it may have been revoked.",
                )
            )
        if merge.contended:
            presence.tell_of_secrets(world, application.read_passwords(world.user_graph(), world.app))
        return f"keyId {key_id}; {len(world.app.keys) - len(merge.lost)} other(s) kept"

    def undo(self, world: World) -> Left | None:
        graph = world.user_graph()
        for effect in reversed(world.log.standing("graph.application.addKey")):
            object_id, key_id = effect.data["object_id"], effect.data["key_id"]
            thumbprint = effect.data["thumbprint"]
            by_hand = f"az ad app credential delete --id {world.target.app_id} --key-id {key_id} --cert"
            keys = _where_seen(world, graph, object_id, key_id)
            if keys is not None:
                (found,) = (key for key in keys if key.id == key_id)
                held = (key_pair := world.maybe_key_pair) is not None and key_pair.thumbprint == thumbprint
                if found.thumbprint != thumbprint or not held:
                    return Left(f"certificate {found.thumbprint} (keyId {key_id}), which is not provably ours", by_hand)
                try:
                    credentials.remove_key(graph, object_id, keys, key_id, world.clock, world.emit)
                except SetupError as error:
                    return Left(f"certificate {thumbprint} (keyId {key_id}) on the app: {error.summary}", by_hand)
            world.log.undone(effect)
        return _lost_for_good(world, graph)


class Prove(Step[World]):
    """Mint a token with a fresh credential built from the read-back key."""

    name = "prove"
    title = "Prove the certificate with a token"
    needs = (Target, OpenRun, SignedIn, AppRegistration)
    maybe = (NewApp, WantedPermissions, KeystoreFindings, HandOffRequest)
    gives = (Proof,)
    updates = (MachineKey, NeedsAdministrator)

    def check(self, world: World) -> Status:
        proof, app = world.maybe_proof, world.maybe_app
        if proof and set(world.permissions.wanted) <= proof.roles:
            return Done("a token was minted with it")
        if app is not None and app.disabled:  # then no sign-in can prove anything
            what = " and its ".join(application.HOLDER_NAME[holder] for holder in app.disabled)
            return Blocked(SetupError("app.disabled", what=what, app=app.name, app_id=app.app_id))
        return Needed()

    def apply(self, world: World) -> str:
        return prove_again(world)


class Adopt(Step[World]):
    """Make the proven key this machine's own: write and read back account `<tenant>`; the former one is kept aside."""

    name = "adopt"
    title = "Make it this machine's key"
    needs = (Target, OpenRun, MachineKey)
    maybe = (KeystoreFindings,)

    def check(self, world: World) -> Status:
        key_pair = world.maybe_key_pair
        if key_pair and world.keystore.read(world.service, world.target.tenant) == key_pair.entry:
            return Done(f"account {world.target.tenant} holds it")
        return Needed()

    def plan(self, world: World) -> Sequence[PlanRow]:
        where = f"{world.keystore_findings.backend}, service {world.service}"
        return (
            PlanRow(
                "change",
                f"account {world.target.tenant}",
                where,
                "",
                "will hold the proven key",
                True,
                "keystore write",
            ),
        )

    def apply(self, world: World) -> str:
        key_pair, tenant = world.key_pair, world.target.tenant
        former = world.keystore.read(world.service, tenant)
        kept = former is not None and former != key_pair.entry
        if former is not None and kept:
            if former != world.keystore_findings.occupant:
                raise SetupError("keystore.changed", tenant=tenant, service=world.service)
            aside = f"{tenant}#former-{_thumbprint_in(world, tenant) or uuid4().hex}"
            with world.log.effect("keystore.aside", aside, world.emit):
                store(world, aside, former)
        with world.log.effect("keystore.adopt", tenant, world.emit, thumbprint=key_pair.thumbprint):
            store(world, tenant, key_pair.entry)
        return f"account {tenant} holds it" + (", the former one is kept until the end" if kept else "")

    def undo(self, world: World) -> Left | None:
        adopted, aside = world.log.standing("keystore.adopt"), world.log.standing("keystore.aside")
        if adopted:
            tenant = adopted[0].target
            ours = _thumbprint_in(world, tenant) in {effect.data["thumbprint"] for effect in adopted}
            former = world.keystore.read(world.service, aside[0].target) if aside else None
            empty = not world.keystore.has(world.service, tenant)
            if ours:
                _put_back(world, tenant)
            if former is not None and (ours or empty):
                store(world, tenant, former)
            elif ours and aside:
                return Left(f"keystore account {tenant}: the former key is gone", "run 'entraclaw-setup migrate'")
            elif ours:
                world.keystore.delete(world.service, tenant)
            # else: an undo that was cut off had restored it already, or it is somebody else's by now
            for effect in adopted:
                world.log.undone(effect)
        for effect in aside:
            world.keystore.delete(world.service, effect.target)
            world.log.undone(effect)
        return None


def _put_back(world: World, tenant: str) -> None:
    """Keep the key under its pending account, which a clean-up has emptied: its certificate is still on the app."""
    account = f"{tenant}#{_thumbprint_in(world, tenant)}"
    pending = any(effect.target == account for effect in world.log.standing("keystore.write"))
    if pending and not world.keystore.has(world.service, account):
        store(world, account, world.keystore.read(world.service, tenant) or Secret(""))


def _thumbprint_in(world: World, account: str) -> str:
    """Thumbprint of the bundle in an account; empty when there is none that can be read."""
    entry = world.keystore.read(world.service, account)
    try:
        return world.keys.open(entry, account).thumbprint if entry else ""
    except SetupError as error:
        if error.id != "keystore.bundle":  # it is not known whose the entry is (T6)
            raise
        return ""


def register(world: World) -> tuple[Merge, str]:
    """Add the certificate to the app as the signed-in principal, under one keyId however often that is needed.

    :returns: what it came to, and the keyId.
    """
    app, key_pair = world.app, world.key_pair
    # the keyId of an interrupted run, so that its lost or late write and ours are the same entry
    earlier = [e for e in world.log.standing("graph.application.addKey") if e.data["thumbprint"] == key_pair.thumbprint]
    asked = handoff.written(world)  # whoever asked an administrator, and may do it himself by now
    chosen = asked.data["key_id"] if asked else chosen_key_id(world)
    key_id = earlier[0].data["key_id"] if earlier else chosen
    entry = credentials.entry_of(key_pair, key_id, key_name(world))
    passwords = [password.id for password in world.facts.get(AppRegistration).initial]
    details = {"object_id": app.object_id, "key_id": key_id, "thumbprint": key_pair.thumbprint, "passwords": passwords}
    stands = any(effect.state == "done" for effect in earlier)  # dropped since: it is one effect, with one undo
    with (
        handoff.on_refusal(world),
        nullcontext() if stands else world.log.effect("graph.application.addKey", app.object_id, world.emit, **details),
        _dropping(world) as drop,
    ):
        merge = credentials.add_key(world.user_graph(), app.object_id, key_pair, entry, world.clock, world.emit, drop)
    world.facts.put(MachineKey(key_pair, frozenset(key.id for key in merge.keys), merge.contended))
    return merge, key_id


def watch(world: World) -> Presence:
    """What sees this machine's certificate on the app, and registers it again when it was dropped."""
    return Presence(world, lambda: register(world)[0])


def key_name(world: World) -> str:
    """Display name of the certificate on the app, after its machine."""
    asked = world.facts.maybe(HandOffRequest)
    return f"{world.profile.subject} {short(asked.request.machine) if asked is not None else world.machine}"


def chosen_key_id(world: World) -> str:
    """The keyId that a request asks for, else a new one."""
    asked = world.facts.maybe(HandOffRequest)
    return asked.request.key_id if asked is not None else str(uuid4())


def lifetime(world: World) -> tuple[timedelta, str]:
    """How long a new certificate may live, and why it is shorter than usual (P3, M13)."""
    asked = timedelta(days=world.settings.certificate_days)
    policy = app.policy if (app := world.maybe_app) is not None else world.new_app.policy
    if policy.lifetime is not None and policy.lifetime < asked:
        return policy.lifetime, f" (the policy '{', '.join(policy.names)}' allows no longer)"
    return asked, ""


def prove_again(world: World) -> str:
    """Prove the key with a new credential, waiting for replication; remembers the token.

    :raises SetupError: it was not accepted.
    """
    entry = world.keystore.read(world.service, world.target.tenant)
    if entry != world.key_pair.entry:  # not adopted yet
        entry = world.keystore.read(world.service, world.pending)
    if entry is None:
        raise KeystoreError("keystore.read-back", verdict="missing", backend=world.keystore_findings.backend)
    read_back = world.keys.open(entry, world.target.tenant)
    roles = frozenset(world.permissions.wanted)
    proof = prove(
        world.session,
        world.cloud,
        world.target.tenant,
        world.target.app_id,
        read_back,
        world.clock,
        world.emit,
        roles,
        watch(world).look,
    )
    world.facts.put(Proof(proof))
    return f"token for {proof.claims['aud']}, app {world.target.app_id}, {len(proof.roles)} role(s)"


def store(world: World, account: str, entry: Secret) -> Secret:
    """Write an entry and read it back byte for byte.

    :returns: what the keystore gave back.
    :raises KeystoreError: `keystore.read-back`.
    """
    world.keystore.write(world.service, account, entry)
    found = world.keystore.read(world.service, account)
    verdict = compare(entry, found)
    if found is None or verdict != "intact":
        raise KeystoreError("keystore.read-back", verdict=verdict, backend=world.keystore_findings.backend)
    return found


def _where_seen(world: World, graph: Graph, object_id: str, key_id: str) -> tuple[Key, ...] | None:
    """The key credentials as soon as a read shows this one; None when none does.

    A write whose fate is unknown may still show itself, and a replica may lag behind one that was done.
    """

    def look() -> tuple[Key, ...] | None:
        keys = application.read_keys(graph, object_id)
        return keys if any(key.id == key_id for key in keys) else None

    return wait_until(
        look,
        clock=world.clock,
        emit=world.emit,
        reason="the certificate to be seen, so that it can be removed",
        expected=10,
        deadline=credentials.REPLICATION * 2,
    )


@contextmanager
def _dropping(world: World) -> Iterator[Callable[[tuple[Key, ...]], Collection[str]]]:
    """Ask before expired entries of others are left out, and journal each; `--yes` alone is not enough (P8).

    They cannot be put back: the service takes no entry whose end has passed.
    """
    effects: list[Effect] = []

    def drop(expired: tuple[Key, ...]) -> Collection[str]:
        listing = ", ".join(f"{key.thumbprint or key.id} '{key.name}' (ended {key.end_date})" for key in expired)
        text = f"The service refuses the write because of expired entries: {listing}. Remove them, for good?"
        question = Question("drop-expired", text, False, "--drop-expired")
        agreed = world.settings.drop_expired or (not world.settings.yes and world.ask(question))
        if not agreed:
            raise SetupError("app.expired-entry", listing=listing)
        for key in expired:
            what = f"certificate {key.thumbprint or key.id} '{key.name}', which had ended on {key.end_date}"
            effects.append(world.log.intend(DROP, key.id, object_id=world.app.object_id, what=what))
        return [key.id for key in expired]

    try:
        yield drop
    except SetupError as error:
        for effect in effects if error.effected is Effected.NO else ():
            world.log.failed(effect)
        raise
    for effect in effects:
        world.log.done(effect, world.emit)


def _lost_for_good(world: World, graph: Graph) -> Left | None:
    """What was removed from the app on somebody's word and is gone for good: an undo has to say so."""
    effects = world.log.standing(DROP)
    if not effects:
        return None
    here = {key.id for key in application.read_keys(graph, effects[0].data["object_id"])}
    gone = [str(effect.data["what"]) for effect in effects if effect.target not in here]
    for effect in effects:
        world.log.undone(effect)
    how = "The service takes no entry whose end has passed: whoever used it registers a new certificate."
    return Left(f"removed from the app: {'; '.join(gone)}", how, final=True) if gone else None
