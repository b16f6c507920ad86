"""Keys and passwords of an app registration and its service principal (P8, M4; entra-protocol B).

Adding a key is read, merge, write, read back, re-check: a PATCH of `keyCredentials` replaces the whole list, and no
ETag protects it, so a concurrent writer may drop our entry after we saw it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from core.entra.certificates import Bundle, thumbprint, thumbprint_of_identifier
from core.entra.graph import LONGEST_WAIT, TRIES, Graph
from core.errors import GraphError, NetworkError, SetupError
from core.events import Event
from core.flow.wait import BACKOFF, Clock, pause, wait_until

Holder = Literal["application", "servicePrincipal"]
COLLECTION: Final[dict[Holder, str]] = {"application": "applications", "servicePrincipal": "servicePrincipals"}
HOLDER_NAME: Final[dict[Holder, str]] = {"application": "app registration", "servicePrincipal": "service principal"}
#: Seconds between re-checks after the key was seen; three spaced ones lost no key in a model of 1,000 machines.
RECHECKS: Final = (1.0, 2.0, 4.0)
MERGES: Final = 4
#: How long a read may lag behind a write before it is believed, in seconds.
REPLICATION: Final = 60.0
#: Everything an existing entry must be sent back with; changing a property of one is refused.
_KEPT: Final = ("keyId", "type", "usage", "displayName", "customKeyIdentifier", "startDateTime", "endDateTime", "key")


@dataclass(frozen=True)
class Key:
    """A keyCredential.

    :param entry: as Graph gave it.
    :param thumbprint: from the certificate itself where Graph gave it, else from `customKeyIdentifier`.
    """

    entry: dict[str, Any]
    id: str
    name: str
    thumbprint: str
    der: bytes | None
    end: datetime

    @property
    def signs(self) -> bool:
        """Whether it is a signing key (SAML) and not one for sign-in."""
        return self.entry.get("usage") == "Sign"


@dataclass(frozen=True)
class Password:
    """A passwordCredential, without its value, which Graph never gives again."""

    id: str
    name: str
    hint: str
    end: str
    holder: Holder
    identifier: str | None

    def __str__(self) -> str:
        name = f" '{self.name}'" if self.name else ""
        return f"{self.hint or '???'}…{name}, ends {self.end[:10]}, keyId {self.id}"


@dataclass(frozen=True)
class App:
    """An app registration and its service principal at one moment."""

    object_id: str
    app_id: str
    name: str
    created: str
    keys: tuple[Key, ...]
    passwords: tuple[Password, ...]
    principal_id: str
    principal_keys: tuple[Key, ...]
    principal_passwords: tuple[Password, ...]
    owners: tuple[dict[str, Any], ...] = ()
    principal_owners: tuple[dict[str, Any], ...] = ()
    federated: tuple[dict[str, Any], ...] = ()
    permissions: tuple[str, ...] = field(default=())

    @property
    def all_passwords(self) -> tuple[Password, ...]:
        """Password credentials on both objects."""
        return self.passwords + self.principal_passwords

    @property
    def saml_passwords(self) -> tuple[Password, ...]:
        """Passwords of the service principal that protect a SAML signing key; they are not sign-in secrets (M4)."""
        return _saml(self.principal_keys, self.principal_passwords)

    def owners_of(self, holder: Holder) -> tuple[dict[str, Any], ...]:
        """Owners of the app registration, or of its service principal, which has its own."""
        return self.owners if holder == "application" else self.principal_owners

    def holds(self, bundle: Bundle) -> Key | None:
        """The entry of exactly this certificate, or None."""
        return next((key for key in self.keys if key.der == bundle.der), None)


def read(graph: Graph, app_id: str) -> App | None:
    """Application, service principal, owners and federated credentials in one round trip.

    :returns: None only when Graph says definitely that there is no such application.
    :raises SetupError: `app.blueprint` for an agent identity Blueprint (M18).
    """
    selected = "id,appId,displayName,createdDateTime,keyCredentials,passwordCredentials,requiredResourceAccess"
    application, principal, owners, federated, principal_owners = graph.batch(
        (
            (f"/applications(appId='{app_id}')?$select={selected}", "read the app registration"),
            (
                f"/servicePrincipals(appId='{app_id}')?$select=id,appId,keyCredentials,passwordCredentials",
                "read the service principal",
            ),
            (f"/applications(appId='{app_id}')/owners?$select=id,displayName,userPrincipalName", "read the owners"),
            (f"/applications(appId='{app_id}')/federatedIdentityCredentials", "read the federated credentials"),
            (f"/servicePrincipals(appId='{app_id}')/owners?$select=id", "read the service principal's owners"),
        )
    )
    if isinstance(application, GraphError):
        if application.status == 404:
            return None
        raise application
    if "agentIdentityBlueprint" in str(application.get("@odata.type", "")):
        raise SetupError("app.blueprint", app_id=app_id)
    if isinstance(principal, GraphError):
        if principal.status != 404:
            raise principal
        principal, principal_owners = {}, {}
    for answer in (owners, federated, principal_owners):
        if isinstance(answer, GraphError):
            raise answer
    assert isinstance(owners, dict)
    assert isinstance(federated, dict)
    assert isinstance(principal_owners, dict)
    return App(
        object_id=application["id"],
        app_id=application["appId"],
        name=str(application.get("displayName") or ""),
        created=str(application.get("createdDateTime") or "unknown"),
        keys=_keys(application),
        passwords=_passwords(application, "application"),
        principal_id=str(principal.get("id") or ""),
        principal_keys=_keys(principal),
        principal_passwords=_passwords(principal, "servicePrincipal"),
        owners=tuple(owners.get("value", ())),
        principal_owners=tuple(principal_owners.get("value", ())),
        federated=tuple(federated.get("value", ())),
        permissions=tuple(
            sorted(
                f"{resource.get('resourceAppId')}/{access.get('id')}"
                for resource in application.get("requiredResourceAccess") or ()
                for access in resource.get("resourceAccess") or ()
            )
        ),
    )


def read_keys(graph: Graph, object_id: str) -> tuple[Key, ...]:
    """The key credentials with their certificates, which Graph gives for a single object only."""
    return _keys(graph.get(f"/applications/{object_id}?$select=keyCredentials", "read the certificates"))


def read_passwords(graph: Graph, app: App) -> tuple[Password, ...]:
    """The password credentials of both objects as they are now, in one round trip.

    :raises SetupError: `app.saml`: one of them belongs to a SAML signing key.
    """
    reads = [(f"/applications/{app.object_id}?$select=id,passwordCredentials", "read the password credentials")]
    holders: list[Holder] = ["application"]
    if app.principal_id:
        reads.append(
            (
                f"/servicePrincipals/{app.principal_id}?$select=id,keyCredentials,passwordCredentials",
                "read the service principal's password credentials",
            )
        )
        holders.append("servicePrincipal")
    found: list[Password] = []
    for holder, answer in zip(holders, graph.batch(reads), strict=True):
        if isinstance(answer, GraphError):
            raise answer
        passwords = _passwords(answer, holder)
        if holder == "servicePrincipal" and (saml := _saml(_keys(answer), passwords)):
            raise SetupError("app.saml", key_ids=", ".join(password.id for password in saml))
        found += passwords
    return tuple(found)


def entry_of(bundle: Bundle, key_id: str, name: str) -> dict[str, Any]:
    """The keyCredential of a certificate; dates in UTC, the end not after the certificate's (A.4)."""
    return {
        "keyId": key_id,
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
        "displayName": name[:90],
        "startDateTime": bundle.not_before.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "endDateTime": bundle.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
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
            expired = tuple(key for key in keys if key.end <= clock.now() and key.id not in dropped)
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


def remove_password(graph: Graph, app: App, password: Password, clock: Clock, emit: Callable[[Event], None]) -> bool:
    """Remove one password credential.

    :returns: False when it was gone already.
    :raises GraphError: the service refused, and the credential is still there.
    """
    object_id = app.object_id if password.holder == "application" else app.principal_id

    def gone() -> bool:
        return all(found.id != password.id for found in read_passwords(graph, app))

    try:
        graph.write(
            "POST",
            f"/{COLLECTION[password.holder]}/{object_id}/removePassword",
            {"keyId": password.id},
            f"delete a password credential of the {HOLDER_NAME[password.holder]}",
            gone,
        )
    except GraphError as error:
        # the directory knows no such credential: either the read that named it was stale, or it means something else
        if error.status in (400, 404) and wait_until(
            lambda: gone() or None,
            clock=clock,
            emit=emit,
            reason="a deletion to be seen everywhere",
            expected=10,
            deadline=REPLICATION * 4,
        ):
            return False
        raise
    return True


def _saml(keys: tuple[Key, ...], passwords: tuple[Password, ...]) -> tuple[Password, ...]:
    signing = [key for key in keys if key.signs]
    ids = {key.id for key in signing}
    identifiers = {key.entry.get("customKeyIdentifier") for key in signing} - {None, ""}
    return tuple(p for p in passwords if p.id in ids or p.identifier in identifiers)


def _sent(key: Key) -> dict[str, Any]:
    return {name: key.entry.get(name) for name in _KEPT if name in key.entry}


def _keys(holder: dict[str, Any]) -> tuple[Key, ...]:
    found = []
    for entry in holder.get("keyCredentials") or ():
        der = base64.b64decode(entry["key"]) if entry.get("key") else None
        found.append(
            Key(
                entry,
                str(entry["keyId"]),
                str(entry.get("displayName") or ""),
                thumbprint(der) if der else thumbprint_of_identifier(entry.get("customKeyIdentifier")),
                der,
                _moment(str(entry.get("endDateTime"))),
            )
        )
    return tuple(found)


def _passwords(holder: dict[str, Any], kind: Holder) -> tuple[Password, ...]:
    return tuple(
        Password(
            str(entry["keyId"]),
            str(entry.get("displayName") or ""),
            str(entry.get("hint") or ""),
            str(entry.get("endDateTime") or "unknown"),
            kind,
            entry.get("customKeyIdentifier"),
        )
        for entry in holder.get("passwordCredentials") or ()
    )


def _moment(text: str) -> datetime:
    """A Graph date; fractions of up to seven digits are cut."""
    whole, _, rest = text.partition(".")
    return (
        datetime.fromisoformat(whole.removesuffix("Z") + "+00:00")
        if rest or text.endswith("Z")
        else (datetime.fromisoformat(text))
    )
