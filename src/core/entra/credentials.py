"""Keys and passwords of an app registration and its service principal: written, read back, removed (P8, M4).

Adding a key is read, merge, write, read back, re-check: a PATCH of `keyCredentials` replaces the whole list, and no
ETag protects it (none is documented for applications), so a concurrent writer may drop our entry after we saw it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from core.clock import BACKOFF, pause, wait_until
from core.entra.application import COLLECTION, HOLDER_NAME, App, Holder, Key, Password, read_keys, read_passwords
from core.entra.graph import LONGEST_WAIT, TRIES, Graph
from core.errors import Effected, GraphError, NetworkError, SetupError
from core.signer import Certificate

#: Seconds between re-checks after the key was seen; three spaced ones lost no key in a model of 1,000 machines.
RECHECKS: Final = (1.0, 2.0, 4.0)
#: How long losing races is put up with, in seconds.
MERGING: Final = 600.0
#: How often the time doubles in which a lost race is repeated: 2⁴ merges part 50 machines, and 100 still come through.
DOUBLINGS: Final = 4
#: Seconds that a merge counts for at most, so that one slow answer does not mean a long wait.
LONGEST_MERGE: Final = 4.0
#: How long a read may lag behind a write before it is believed, in seconds.
REPLICATION: Final = 60.0
#: Everything an existing entry must be sent back with; changing a property of one is refused.
_KEPT: Final = ("keyId", "type", "usage", "displayName", "customKeyIdentifier", "startDateTime", "endDateTime", "key")


def entry_of(certificate: Certificate, key_id: str, name: str) -> dict[str, Any]:
    """The keyCredential of a certificate; dates in UTC, the end not after the certificate's (A.4)."""
    return {
        "keyId": key_id,
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
        "displayName": name[:90],
        "startDateTime": _stamp(certificate.not_before),
        "endDateTime": _stamp(certificate.not_after),
        "key": base64.b64encode(certificate.der).decode(),
    }


@dataclass(frozen=True)
class Merge:
    """What adding a key came to.

    :param keys: the app's keys as the last look showed them, ours among them.
    :param lost: the entries that were there before and are gone now, although they were sent back.
    :param contended: whether another writer was at work, or a read lagged behind; then ours was watched for a while.
    """

    keys: tuple[Key, ...]
    lost: tuple[Key, ...]
    contended: bool


def add_key(
    graph: Graph,
    object_id: str,
    certificate: Certificate,
    entry: dict[str, Any],
    drop: Callable[[tuple[Key, ...]], Collection[str]],
) -> Merge:
    """Add a certificate by merge: read, write, read back, and again if another writer dropped it (P8).

    A lost race is seen in what is read back: an entry that was not sent, and not ours. It is repeated at a random
    moment of a time that doubles with every loss, so that machines which began together do not meet again. Where
    others are at work, the certificate is watched for some seconds; where nobody is, the caller looks later (P7).

    :param entry: what `entry_of` made.
    :param drop: asked for the ids of expired entries to leave out when they block the write; may refuse by raising.
    :raises GraphError: the service refused the write.
    :raises SetupError: `migrate.not-registered`: it did not stay.
    """
    before = read_keys(graph, object_id)
    dropped: set[str] = set()
    sent: set[str] = set()
    written = contended = False

    def with_ours(keys: tuple[Key, ...]) -> list[dict[str, Any]] | None:
        kept = [key for key in keys if key.id not in dropped]
        sent.clear()
        sent.update(key.id for key in (keys if holds(keys, certificate) else kept))
        sent.add(str(entry["keyId"]))
        return None if holds(keys, certificate) else [*(_sent(key) for key in kept), entry]

    def look() -> tuple[Key, ...] | None:
        keys = read_keys(graph, object_id)
        return keys if holds(keys, certificate) or strangers(keys, sent) else None

    def seen() -> tuple[Key, ...] | None:
        """The keys once ours is among them; None: another writer was there, or nothing shows it for a minute."""
        reason = "the certificate to appear on the app"
        keys = wait_until(look, graph, reason, expected=10, deadline=REPLICATION)
        return keys if keys is not None and holds(keys, certificate) else None

    def watched(keys: tuple[Key, ...] | None) -> tuple[Key, ...] | None:
        for seconds in RECHECKS:
            if keys is None:
                return None
            pause(seconds, graph, "a moment, to see that the certificate stays on the app")
            keys = seen()
        return keys

    keys, start, losses = before, graph.clock.monotonic(), 0
    while True:
        began = graph.clock.monotonic()
        try:
            contended |= _write(graph, object_id, keys, with_ours, "add the certificate", doubtful=written)
        except GraphError as error:
            expired = tuple(key for key in keys if key.expired(graph.clock.now()) and key.id not in dropped)
            if error.code != "KeyCredentialsInvalidEndDate" or not expired:
                raise
            dropped |= set(drop(expired))
            continue
        written = True
        wrote = graph.clock.monotonic()
        now = seen()
        merge = 1.5 * (graph.clock.monotonic() - began)  # with the read before it
        contended |= now is None or bool(strangers(now, sent)) or graph.clock.monotonic() - wrote >= BACKOFF[0]
        if contended:
            now = watched(now)
        if now is not None:
            here = {key.id for key in now}
            lost = tuple(key for key in before if key.id not in here and key.id not in dropped)
            return Merge(now, lost, contended)
        losses += 1
        elapsed = graph.clock.monotonic() - start
        if elapsed >= MERGING:
            minutes = round(elapsed / 60)
            detail = f"another writer dropped it again and again, {losses} times in {minutes} minutes"
            raise SetupError("migrate.not-registered", detail=detail)
        turn = graph.turn(min(merge, LONGEST_MERGE) * 2 ** min(losses, DOUBLINGS))
        pause(turn, graph, "a turn at the app's list of certificates")
        keys = read_keys(graph, object_id)


def holds(keys: Collection[Key], certificate: Certificate) -> bool:
    """Whether exactly this certificate is among them."""
    return any(key.der == certificate.der for key in keys)


def strangers(keys: Collection[Key], known: Collection[str]) -> set[str]:
    """Ids of entries that another writer added.

    :param known: ids that were there before.
    """
    return {key.id for key in keys} - set(known)


def remove_key(graph: Graph, object_id: str, keys: tuple[Key, ...], key_id: str) -> None:
    """Remove one certificate by merge with read-back, and again if another writer brought it back.

    :param keys: the list in which it was seen a moment ago; another read may come from a replica that lacks it.
    :raises SetupError: `migrate.not-registered`: it is still there.
    """
    sent: set[str] = set()

    def there(keys: Collection[Key]) -> bool:
        return any(key.id == key_id for key in keys)

    def settled() -> tuple[Key, ...] | None:
        """The keys without it, or with it and an entry that another writer added."""
        keys = read_keys(graph, object_id)
        return keys if not there(keys) or strangers(keys, sent | {key_id}) else None

    def without(keys: tuple[Key, ...]) -> list[dict[str, Any]] | None:
        if not there(keys):
            again = see_key(graph, object_id, key_id)
            if again is None:
                return None  # gone, as far as any replica tells
            keys = again
        sent.update(key.id for key in keys)
        return [_sent(key) for key in keys if key.id != key_id]

    start, losses, reason = graph.clock.monotonic(), 0, "the certificate to disappear"
    while True:
        contended = _write(graph, object_id, keys, without, "remove the certificate")
        left = wait_until(settled, graph, reason, expected=10, deadline=REPLICATION * 2)
        if left is not None and (contended or losses or strangers(left, sent)):
            for seconds in RECHECKS:  # a writer that read the list before may bring it back yet
                if there(left):
                    break
                pause(seconds, graph, "a moment, to see that the certificate stays away")
                left = read_keys(graph, object_id)
        if left is not None and not there(left):
            return
        if left is None or graph.clock.monotonic() - start >= MERGING:
            raise SetupError("migrate.not-registered", detail=f"its entry {key_id} could not be removed again")
        losses += 1
        turn = graph.turn(BACKOFF[0] * 2 ** min(losses, DOUBLINGS))
        pause(turn, graph, "a turn at the app's list of certificates")
        keys = left


def see_key(graph: Graph, object_id: str, key_id: str, deadline: float = REPLICATION) -> tuple[Key, ...] | None:
    """The key credentials as soon as a read shows this one; None when none does.

    A write whose fate is unknown may still show itself, and a replica may lag behind one that was done.

    :param deadline: how long to look for it, in seconds.
    """

    def look() -> tuple[Key, ...] | None:
        keys = read_keys(graph, object_id)
        return keys if any(key.id == key_id for key in keys) else None

    reason = "the certificate to be seen, so that it can be removed"
    return wait_until(look, graph, reason, expected=10, deadline=deadline)


def _write(
    graph: Graph,
    object_id: str,
    keys: tuple[Key, ...],
    change: Callable[[tuple[Key, ...]], list[dict[str, Any]] | None],
    action: str,
    *,
    doubtful: bool = False,
) -> bool:
    """PATCH the list of keys. An answer that asks to try again may mean that another writer was there first, so the
    list is read anew before every further try and never sent twice.

    :param change: makes the new list from the current one; None when nothing has to be written any more.
    :param doubtful: whether an earlier write may have had the effect already.
    :returns: whether the service named another writer.
    """
    contended = False
    attempt, conflicts, start = 0, 0, graph.clock.monotonic()
    while True:
        entries = change(keys)
        if entries is None:
            return contended
        failure: GraphError | NetworkError
        try:
            body, path = {"keyCredentials": entries}, f"/applications/{object_id}"
            graph.write("PATCH", path, body, action, once=True, doubtful=doubtful)
            return contended
        except (GraphError, NetworkError) as error:
            if not error.transient:
                raise
            failure, seconds = error, error.retry_after
        doubtful |= failure.effected is not Effected.NO
        conflict = isinstance(failure, GraphError) and failure.status == 409
        contended |= conflict
        conflicts, attempt = conflicts + conflict, attempt + (not conflict)
        if attempt == TRIES or (seconds or 0) > LONGEST_WAIT or graph.clock.monotonic() - start >= MERGING:
            raise failure
        turn = graph.turn(BACKOFF[0] * 2 ** min(conflicts, DOUBLINGS))
        wanted = turn + (seconds or 0) if conflict else graph.later(attempt - 1, seconds)
        pause(wanted, graph, "Microsoft Graph to take a new list of certificates")
        keys = read_keys(graph, object_id)


def removal(app: App, password: Password) -> tuple[str, str, Any, str]:
    """Method, path, body and action of the request that removes a password credential."""
    object_id = app.object_id if password.holder == "application" else app.principal_id
    path = f"/{COLLECTION[password.holder]}/{object_id}/removePassword"
    return "POST", path, {"keyId": password.id}, f"delete a password credential of the {HOLDER_NAME[password.holder]}"


def add_password(graph: Graph, object_id: str, name: str, start: datetime, end: datetime) -> dict[str, Any]:
    """Add a password credential to an app registration; sent again only after an answer that proves it did nothing.

    :param name: its display name.
    :param start: from when it is accepted, by the service's clock.
    :param end: until when, by the service's clock.
    :returns: the credential with its `secretText`, a `Secret`, which the service tells this once.
    :raises GraphError, NetworkError: the error tells whether it certainly does not exist.
    """
    entry = {"displayName": name, "startDateTime": _stamp(start), "endDateTime": _stamp(end)}
    for attempt in range(TRIES):
        try:
            path, body = f"/applications/{object_id}/addPassword", {"passwordCredential": entry}
            return graph.write("POST", path, body, "add a password credential", once=True)
        except (GraphError, NetworkError) as error:
            seconds = error.retry_after
            again = error.effected is Effected.NO and error.transient and attempt < TRIES - 1
            if not again or (seconds or 0) > LONGEST_WAIT:
                raise
        pause(graph.later(attempt, seconds), graph, "Microsoft Graph to take a new password credential")
    raise AssertionError("the last try returns or raises")


def remove_password(graph: Graph, app: App, password: Password) -> bool:
    """Remove one password credential.

    :returns: False when it was gone already.
    :raises GraphError: the service refused, and the credential is still there.
    """

    def gone() -> bool:
        return all(found.id != password.id for found in read_passwords(graph, app))

    try:
        method, path, body, action = removal(app, password)
        graph.write(method, path, body, action, gone)
    except GraphError as error:
        # where the directory knows no such credential the read that named it was stale; anything else is a refusal,
        # which no waiting mends (P7)
        unknown = error.status == 404 or (_knows_none(error) and password.id in str(error.details["message"]))
        reason, deadline = "a deletion to be seen everywhere", REPLICATION * 4 if unknown else 0
        if error.status not in (400, 404) or not wait_until(
            lambda: gone() or None, graph, reason, expected=10, deadline=deadline
        ):
            raise
        return False
    return True


def refused_removals(graph: Graph, app: App, holders: Sequence[Holder]) -> dict[Holder, GraphError]:
    """Ask whether password credentials may be deleted: a removal of one that does not exist changes nothing (M4).

    Rights, locks and policies refuse it as they would refuse the deed.

    :returns: the refusals by holder. A holder is left out when it may, and when no answer tells: then the deed does.
    """
    nobody = [Password(str(uuid4()), "", "", "", holder, None) for holder in holders]
    answers = graph.rehearse([removal(app, password) for password in nobody])
    return {
        holder: answer
        for holder, answer in zip(holders, answers, strict=True)
        if answer is not None and (answer.status == 403 or (answer.status == 400 and not _knows_none(answer)))
    }


def _knows_none(refusal: GraphError) -> bool:
    """Whether it may mean that the object has no such credential: that has no code of its own."""
    return refusal.status == 400 and (refusal.known is None or refusal.known.vague)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _sent(key: Key) -> dict[str, Any]:
    return {name: key.entry.get(name) for name in _KEPT if name in key.entry}
