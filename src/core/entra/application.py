"""An app registration and its service principal as one read shows them (P1, P6, M13, M17; entra-protocol A, B)."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from core.display import one_line
from core.entra import permissions
from core.entra.answers import documented, items_of
from core.entra.certificates import thumbprint, thumbprint_of_identifier
from core.entra.graph import Graph
from core.entra.policies import UNREADABLE, Policy, combine
from core.errors import GraphError, SetupError
from core.signer import Certificate

Holder = Literal["application", "servicePrincipal"]
COLLECTION: Final[dict[Holder, str]] = {"application": "applications", "servicePrincipal": "servicePrincipals"}
HOLDER_NAME: Final[dict[Holder, str]] = {"application": "app registration", "servicePrincipal": "service principal"}


@dataclass(frozen=True)
class Key:
    """A keyCredential.

    :param entry: as Graph gave it.
    :param thumbprint: from the certificate itself where Graph gave it, else from `customKeyIdentifier`.
    :param end: None: it has none, as far as Graph says; every date and name of an entry may be null.
    """

    entry: dict[str, Any]
    id: str
    name: str
    thumbprint: str
    der: bytes | None
    end: datetime | None

    def expired(self, now: datetime) -> bool:
        """Whether it is past its end; one without an end never is."""
        return self.end is not None and self.end <= now

    @property
    def end_date(self) -> str:
        """The day of its end, as it is shown."""
        return str(self.end.date()) if self.end is not None else "no end"

    @property
    def validity(self) -> str:
        """Until when it counts, in words."""
        return f"until {self.end.date()}" if self.end is not None else "without an end"

    def describe(self) -> str:
        """What it is, and until when it counts, in words."""
        return f"{self.thumbprint or self.id} '{self.name}', {self.validity}"

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
class Grant:
    """An appRoleAssignment: one application permission of one resource."""

    id: str
    role_id: str
    resource_id: str


@dataclass(frozen=True)
class App:
    """An app registration and its service principal at one moment.

    :param locked: whether the credentials of its service principal may not be changed (app instance property lock).
    :param disabled: the objects that are switched off, so that nobody can sign in.
    """

    object_id: str
    app_id: str
    name: str
    created: str
    keys: tuple[Key, ...]
    passwords: tuple[Password, ...] = ()
    principal_id: str = ""
    principal_keys: tuple[Key, ...] = ()
    principal_passwords: tuple[Password, ...] = ()
    owners: tuple[dict[str, Any], ...] = ()
    principal_owners: tuple[dict[str, Any], ...] = ()
    federated: tuple[dict[str, Any], ...] = ()
    access: tuple[dict[str, Any], ...] = ()
    grants: tuple[Grant, ...] = ()
    policy: Policy = UNREADABLE
    locked: bool = False
    disabled: tuple[Holder, ...] = ()

    @property
    def declared(self) -> frozenset[str]:
        """Ids of the Microsoft Graph application permissions that the app registration declares."""
        return permissions.declared_in(self.access)

    @property
    def granted(self) -> frozenset[str]:
        """Ids of the roles that were granted to its service principal, of whichever resource."""
        return frozenset(grant.role_id for grant in self.grants)

    @property
    def all_passwords(self) -> tuple[Password, ...]:
        """Password credentials on both objects."""
        return self.passwords + self.principal_passwords

    @property
    def saml_passwords(self) -> tuple[Password, ...]:
        """Passwords of the service principal that protect a SAML signing key; they are not sign-in secrets (M4)."""
        return _saml(self.principal_keys, self.principal_passwords)

    def describe(self) -> str:
        """The app as the person who must decide about it sees it (P1). Graph does not tell who created it."""
        return (
            f"  app id   {self.app_id}\n  created  {self.created[:10]}\n  owners   {self.owned_by}\n"
            f"  keys     {len(self.keys)}, passwords {len(self.all_passwords)}"
        )

    @property
    def owned_by(self) -> str:
        """Its owners in words, each in one line."""
        return ", ".join(one_line(o.get("userPrincipalName") or o.get("displayName")) for o in self.owners) or "nobody"

    def owners_of(self, holder: Holder) -> tuple[dict[str, Any], ...]:
        """Owners of the app registration, or of its service principal, which has its own."""
        return self.owners if holder == "application" else self.principal_owners

    def holds(self, certificate: Certificate) -> Key | None:
        """The entry of exactly this certificate, or None."""
        return next((key for key in self.keys if key.der == certificate.der), None)

    def holds_certificate(self, der: bytes) -> bool:
        """Whether it accepts a certificate, as far as its list tells: by the bytes, or by the thumbprint alone."""
        return any(key.der == der or (key.der is None and key.thumbprint == thumbprint(der)) for key in self.keys)


_SELECTED: Final = "id,appId,displayName,createdDateTime,keyCredentials,passwordCredentials,requiredResourceAccess"
_PRINCIPAL: Final = "id,appId,accountEnabled,keyCredentials,passwordCredentials"
_GRANTS: Final = "read the granted permissions"


def read(graph: Graph, app_id: str) -> App | None:
    """Application, service principal, owners, federated credentials, grants and policies in one round trip.

    :returns: None only when Graph says definitely that there is no such application.
    :raises SetupError: `app.blueprint` for an agent identity Blueprint (M18).
    """
    app, principal = f"/applications(appId='{app_id}')", f"/servicePrincipals(appId='{app_id}')"
    answers = graph.batch(
        (
            (f"{app}?$select={_SELECTED}", "read the app registration"),
            (f"{principal}?$select={_PRINCIPAL}", "read the service principal"),
            (f"{app}/owners?$select=id,displayName,userPrincipalName", "read the owners"),
            (f"{app}/federatedIdentityCredentials", "read the federated credentials"),
            (f"{principal}/owners?$select=id", "read the service principal's owners"),
            (f"{principal}/appRoleAssignments", _GRANTS),
            (f"{app}/appManagementPolicies", "read the app's policies"),
            ("/policies/defaultAppManagementPolicy", "read the tenant's policy"),
            (f"{app}?$select=servicePrincipalLockConfiguration", "read the app's lock"),
            (f"{app}?$select=isDisabled", "read whether the app is disabled"),
            (f"{principal}?$select=isDisabled", "read whether the service principal is disabled"),
        )
    )
    found = answers[0]
    if isinstance(found, GraphError):
        if found.status == 404:
            return None
        raise found
    if "agentIdentityBlueprint" in str(found.get("@odata.type", "")):
        raise SetupError("app.blueprint", app_id=app_id)
    if isinstance(answers[1], GraphError) and answers[1].status == 404:  # then what hangs on it has no answer either
        answers[1] = answers[4] = answers[5] = {}
    with documented("read the app registration"):
        holder, owners, federated, principal_owners, grants = (_body(answer) for answer in answers[1:6])
        created = str(found.get("createdDateTime") or "unknown")
        # not every cloud has these: selecting a property that it does not know is a 400, and then it locks nothing
        lock, app_off, principal_off = (_body(answer, 400, 404) for answer in answers[8:11])
        off = {
            "application": app_off.get("isDisabled"),
            "servicePrincipal": principal_off.get("isDisabled") or holder.get("accountEnabled") is False,
        }
        read_app = App(
            object_id=str(found["id"]),
            app_id=str(found["appId"]),
            name=one_line(found.get("displayName")),
            created=created,
            keys=keys_of(found),
            passwords=_passwords(found, "application"),
            principal_id=str(holder.get("id") or ""),
            principal_keys=keys_of(holder),
            principal_passwords=_passwords(holder, "servicePrincipal"),
            owners=tuple(items_of(owners, "read the owners")),
            principal_owners=tuple(items_of(principal_owners, "read the owners")),
            federated=tuple(items_of(federated, "read the federated credentials")),
            access=tuple(found.get("requiredResourceAccess") or ()),
            grants=tuple(_grant(item) for item in graph.follow(grants, _GRANTS)),
            policy=combine(answers[6], answers[7], created),
            locked=_locks(lock.get("servicePrincipalLockConfiguration")),
            disabled=tuple(name for name in COLLECTION if off[name]),
        )
        _ = read_app.declared, read_app.saml_passwords, read_app.owned_by  # what is worked out of it later, too
    return read_app


def read_grants(graph: Graph, principal_id: str) -> tuple[Grant, ...]:
    """The application permissions that a service principal was granted, over all pages; a failed read is an error."""
    path = f"/servicePrincipals/{principal_id}/appRoleAssignments"
    with documented(_GRANTS):
        return tuple(_grant(item) for item in graph.pages(path, _GRANTS))


def read_default_policy(graph: Graph, created: str) -> Policy:
    """What the tenant's policy says of an app without one of its own.

    :param created: when that app was, or is going to be, created.
    """
    answers = graph.batch((("/policies/defaultAppManagementPolicy", "read the tenant's policy"),))
    with documented("read the tenant's policy"):
        return combine({}, answers[0], created)


def read_keys(graph: Graph, object_id: str) -> tuple[Key, ...]:
    """The key credentials with their certificates, which Graph gives for a single object only."""
    with documented("read the certificates"):
        return keys_of(graph.get(f"/applications/{object_id}?$select=keyCredentials", "read the certificates"))


def read_passwords(graph: Graph, app: App) -> tuple[Password, ...]:
    """The password credentials of both objects as they are now, in one round trip.

    :raises SetupError: `app.saml`: one of them belongs to a SAML signing key.
    """
    return read_credentials(graph, app, "id,passwordCredentials")[1]


def read_credentials(
    graph: Graph, app: App, selected: str = "id,keyCredentials,passwordCredentials"
) -> tuple[tuple[Key, ...], tuple[Password, ...]]:
    """Keys of the application, and the password credentials of both objects, in one round trip.

    :raises SetupError: `app.saml`.
    """
    reads = [(f"/applications/{app.object_id}?$select={selected}", "read the credentials")]
    holders: list[Holder] = ["application"]
    if app.principal_id:
        path = f"/servicePrincipals/{app.principal_id}?$select=id,keyCredentials,passwordCredentials"
        reads.append((path, "read the service principal's password credentials"))
        holders.append("servicePrincipal")
    answers = [_body(answer) for answer in graph.batch(reads)]
    found: list[Password] = []
    with documented("read the credentials"):
        for holder, answer in zip(holders, answers, strict=True):
            passwords = _passwords(answer, holder)
            if holder == "servicePrincipal" and (saml := _saml(keys_of(answer), passwords)):
                raise SetupError("app.saml", key_ids=", ".join(password.id for password in saml))
            found += passwords
        return keys_of(answers[0]), tuple(found)


def _body(answer: dict[str, Any] | GraphError, *nothing: int) -> dict[str, Any]:
    """What was answered; an answer with one of these statuses is empty."""
    if isinstance(answer, GraphError):
        if answer.status in nothing:
            return {}
        raise answer
    return answer


def _locks(lock: Any) -> bool:
    """Whether an app instance property lock covers what signs in (GD "servicePrincipalLockConfiguration")."""
    if not isinstance(lock, dict) or not lock.get("isEnabled"):
        return False
    return bool(lock.get("allProperties") or lock.get("credentialsWithUsageVerify"))


def _grant(item: dict[str, Any]) -> Grant:
    return Grant(str(item["id"]), str(item["appRoleId"]), str(item["resourceId"]))


def _saml(keys: tuple[Key, ...], passwords: tuple[Password, ...]) -> tuple[Password, ...]:
    signing = [key for key in keys if key.signs]
    ids = {key.id for key in signing}
    identifiers = {key.entry.get("customKeyIdentifier") for key in signing} - {None, ""}
    return tuple(p for p in passwords if p.id in ids or p.identifier in identifiers)


def keys_of(holder: dict[str, Any]) -> tuple[Key, ...]:
    """The key credentials in an answer of Graph."""
    found = []
    for entry in holder.get("keyCredentials") or ():
        der, id, name = _bytes(entry.get("key")), str(entry.get("keyId") or ""), one_line(entry.get("displayName"))
        named = thumbprint(der) if der else thumbprint_of_identifier(entry.get("customKeyIdentifier"))
        found.append(Key(entry, id, name, named, der, _date(entry.get("endDateTime"))))
    return tuple(found)


def _passwords(holder: dict[str, Any], kind: Holder) -> tuple[Password, ...]:
    return tuple(
        Password(
            str(entry.get("keyId") or ""),
            one_line(entry.get("displayName")),
            str(entry.get("hint") or ""),
            str(entry.get("endDateTime") or "unknown"),
            kind,
            entry.get("customKeyIdentifier"),
        )
        for entry in holder.get("passwordCredentials") or ()
    )


def _bytes(key: object) -> bytes | None:
    try:
        return base64.b64decode(str(key)) if key else None
    except ValueError:
        return None  # whatever it is, nobody can compare it with a certificate


def _date(text: object) -> datetime | None:
    try:
        return moment(str(text)) if text else None
    except ValueError:
        return None


def moment(text: str) -> datetime:
    """A Graph date; fractions of up to seven digits are cut."""
    whole, _, rest = text.partition(".")
    return datetime.fromisoformat(whole.removesuffix("Z") + "+00:00" if rest or text.endswith("Z") else text)
