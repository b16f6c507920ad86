"""Keys and passwords of an app registration and its service principal: written, read back, removed (P8, M4).

Adding a key is read, merge, write, read back, re-check: a PATCH of `keyCredentials` replaces the whole list, and no
ETag protects it, so a concurrent writer may drop our entry after we saw it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from core.entra.application import COLLECTION, HOLDER_NAME, App, Holder, Key, Password, read_keys, read_passwords
from core.entra.certificates import Bundle
from core.entra.graph import LONGEST_WAIT, TRIES, Graph
from core.errors import GraphError, NetworkError, SetupError
from core.events import Event
from core.flow.wait import BACKOFF, Clock, pause, wait_until

#: Seconds between re-checks after the key was seen; three spaced ones lost no key in a model of 1,000 machines.
RECHECKS: Final = (1.0, 2.0, 4.0)
MERGES: Final = 4
#: How long a read may lag behind a write before it is believed, in seconds.
REPLICATION: Final = 60.0
#: Everything an existing entry must be sent back with; changing a property of one is refused.
_KEPT: Final = ("keyId", "type", "usage", "displayName", "customKeyIdentifier", "startDateTime", "endDateTime", "key")


def entry_of(bundle: Bundle, key_id: str, name: str) -> dict[str, Any]:
    """The keyCredential of a certificate; dates in UTC, the end not after the certificate's (A.4)."""
    return {
        "keyId": key_id,
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
        "displayName": name[:90],
        "startDateTime": _stamp(bundle.not_before),
        "endDateTime": _stamp(bundle.not_after),
        "key": base64.b64encode(bundle.der).decode(),
    }


def add_key(
    graph: Graph,
    object_id: str,
    bundle: Bundle,
    entry: dict[str, Any],
    clock: Clock,
    emit: Callable[[Event], None],
    drop: Callable[[tuple[Key, ...]], Collection[str]],
) -> tuple[Key, ...]:
    """Add a certificate by merge: read, write, read back, re-check, and again if a concurrent writer dropped it (P8).

    :param entry: what `entry_of` made.
    :param drop: asked for the ids of expired entries to leave out when they block the write; may refuse by raising.
    :returns: the entries that were there before and are gone now, although they were sent back.
    :raises GraphError: the service refused the write.
    :raises SetupError: `migrate.not-registered`: it did not stay.
    """
    before = read_keys(graph, object_id)
    dropped: set[str] = set()
    written = False

    def ours(keys: tuple[Key, ...]) -> bool:
        return any(key.der == bundle.der for key in keys)

    def look() -> tuple[Key, ...] | None:
        keys = read_keys(graph, object_id)
        return keys if ours(keys) else None

    def stays() -> tuple[Key, ...] | None:
        """The keys after spaced looks that all found ours; a read that lacks it is not believed at once."""
        seen = None
        for seconds in (0.0, *RECHECKS):
            if seconds:
                pause(seconds, clock=clock, emit=emit, reason="a moment, to see that the certificate stays on the app")
            reason = "the certificate to appear on the app"
            seen = wait_until(look, clock=clock, emit=emit, reason=reason, expected=10, deadline=REPLICATION)
            if seen is None:
                break
        return seen

    def with_ours(keys: tuple[Key, ...]) -> list[dict[str, Any]] | None:
        return None if ours(keys) else [*(_sent(key) for key in keys if key.id not in dropped), entry]

    keys = before
    for _ in range(MERGES):
        try:
            _write(graph, object_id, keys, with_ours, "add the certificate", clock, emit)
        except GraphError as error:
            expired = tuple(key for key in keys if key.expired(clock.now()) and key.id not in dropped)
            if error.code != "KeyCredentialsInvalidEndDate" or not expired:
                error.refused &= not written
                raise
            dropped |= set(drop(expired))
            continue
        written = True
        if (seen := stays()) is not None:
            here = {key.id for key in seen}
            return tuple(key for key in before if key.id not in here and key.id not in dropped)
        keys = read_keys(graph, object_id)
    raise SetupError("migrate.not-registered", detail=f"it did not stay on the app in {MERGES} tries")


def remove_key(
    graph: Graph, object_id: str, keys: tuple[Key, ...], key_id: str, clock: Clock, emit: Callable[[Event], None]
) -> None:
    """Remove one certificate by merge with read-back.

    :param keys: the list in which it was seen a moment ago; another read may come from a replica that lacks it.
    :raises SetupError: `migrate.not-registered`: it is still there.
    """

    def gone() -> bool | None:
        return None if any(key.id == key_id for key in read_keys(graph, object_id)) else True

    def look() -> tuple[Key, ...] | None:
        found = read_keys(graph, object_id)
        return found if any(key.id == key_id for key in found) else None

    def without(found: tuple[Key, ...]) -> list[dict[str, Any]] | None:
        if not any(key.id == key_id for key in found):
            reason = "the certificate to be seen, so that it can be removed"
            again = wait_until(look, clock=clock, emit=emit, reason=reason, expected=10, deadline=REPLICATION)
            if again is None:
                return None  # gone, as far as any replica tells
            found = again
        return [_sent(key) for key in found if key.id != key_id]

    _write(graph, object_id, keys, without, "remove the certificate", clock, emit)
    if not wait_until(
        gone, clock=clock, emit=emit, reason="the certificate to disappear", expected=10, deadline=REPLICATION * 2
    ):
        raise SetupError("migrate.not-registered", detail=f"its entry {key_id} could not be removed again")


def _write(
    graph: Graph,
    object_id: str,
    keys: tuple[Key, ...],
    change: Callable[[tuple[Key, ...]], list[dict[str, Any]] | None],
    action: str,
    clock: Clock,
    emit: Callable[[Event], None],
) -> None:
    """PATCH the list of keys. An answer that asks to try again may mean that another writer was there first, so the
    list is read anew before every further try and never sent twice.

    :param change: makes the new list from the current one; None when nothing has to be written any more.
    """
    doubtful = False
    for attempt in range(TRIES):
        entries = change(keys)
        if entries is None:
            return
        failure: GraphError | NetworkError
        try:
            graph.write("PATCH", f"/applications/{object_id}", {"keyCredentials": entries}, action, once=True)
            return
        except GraphError as error:
            if not error.transient:
                error.refused &= not doubtful
                raise
            failure, seconds = error, error.retry_after
            doubtful |= error.status >= 500
        except NetworkError as error:
            if error.id in ("network.origin", "network.untrusted"):
                raise
            failure, seconds = error, None
            doubtful |= error.maybe_done
        if attempt == TRIES - 1 or (seconds or 0) > LONGEST_WAIT:
            raise failure
        wanted = seconds if seconds is not None else BACKOFF[min(attempt, len(BACKOFF) - 1)]
        pause(wanted, clock=clock, emit=emit, reason="Microsoft Graph to take a new list of certificates")
        keys = read_keys(graph, object_id)


def removal(app: App, password: Password) -> tuple[str, str, Any, str]:
    """Method, path, body and action of the request that removes a password credential."""
    object_id = app.object_id if password.holder == "application" else app.principal_id
    return (
        "POST",
        f"/{COLLECTION[password.holder]}/{object_id}/removePassword",
        {"keyId": password.id},
        f"delete a password credential of the {HOLDER_NAME[password.holder]}",
    )


def add_password(
    graph: Graph,
    object_id: str,
    name: str,
    start: datetime,
    end: datetime,
    clock: Clock,
    emit: Callable[[Event], None],
) -> dict[str, Any]:
    """Add a password credential to an app registration; sent again only after an answer that proves it did nothing.

    :param name: its display name.
    :param start: from when it is accepted, by the service's clock.
    :param end: until when, by the service's clock.
    :returns: the credential with its `secretText`, which the service tells this once.
    :raises GraphError, NetworkError: `refused` tells whether it certainly does not exist.
    """
    entry = {"displayName": name, "startDateTime": _stamp(start), "endDateTime": _stamp(end)}
    for attempt in range(TRIES):
        failure: GraphError | NetworkError
        try:
            return graph.write(
                "POST",
                f"/applications/{object_id}/addPassword",
                {"passwordCredential": entry},
                "add a password credential",
                once=True,
            )
        except GraphError as error:
            failure, seconds, again = error, error.retry_after, error.transient
            error.refused = 400 <= error.status < 500
        except NetworkError as error:
            failure, seconds, again = error, None, error.id not in ("network.origin", "network.untrusted")
            error.refused = not error.maybe_done
        if not (failure.refused and again) or attempt == TRIES - 1 or (seconds or 0) > LONGEST_WAIT:
            raise failure
        wanted = seconds if seconds is not None else BACKOFF[min(attempt, len(BACKOFF) - 1)]
        pause(wanted, clock=clock, emit=emit, reason="Microsoft Graph to take a new password credential")
    raise AssertionError("the last try returns or raises")


def remove_password(graph: Graph, app: App, password: Password, clock: Clock, emit: Callable[[Event], None]) -> bool:
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
        unknown = error.status == 404 or (_knows_none(error) and password.id in str(error.facts["message"]))
        if error.status not in (400, 404) or not wait_until(
            lambda: gone() or None,
            clock=clock,
            emit=emit,
            reason="a deletion to be seen everywhere",
            expected=10,
            deadline=REPLICATION * 4 if unknown else 0,
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
    try:
        answers = graph.batch_once([removal(app, password) for password in nobody])
    except (GraphError, NetworkError) as error:
        if error.id in ("network.origin", "network.untrusted"):
            raise
        return {}
    return {
        holder: answer
        for holder, answer in zip(holders, answers, strict=True)
        if isinstance(answer, GraphError)
        and (answer.status == 403 or (answer.status == 400 and not _knows_none(answer)))
    }


def _knows_none(refusal: GraphError) -> bool:
    """Whether it may mean that the object has no such credential: that has no code of its own."""
    return refusal.status == 400 and (refusal.known is None or refusal.known.vague)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _sent(key: Key) -> dict[str, Any]:
    return {name: key.entry.get(name) for name in _KEPT if name in key.entry}
