"""Objects of the pretend directory and what it takes and refuses as their credentials (entra-protocol A.3, B)."""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from core.entra.certificates import thumbprint
from core.sandbox import disclosure
from core.sandbox.directory import defaults
from core.sandbox.directory.store import State, Tenant, copied
from core.secret import Secret

_KEY_FIXED: Final = ("type", "usage", "startDateTime", "endDateTime", "displayName", "customKeyIdentifier")
#: The first year of Windows' own dates.
_EARLIEST: Final = 1601


class Refused(Exception):
    """A refusal in Graph's envelope.

    :param details: further codes, each with what it is about.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: dict[str, str] | None = None,
        details: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}
        self.details = details or []


def taken(name: str) -> dict[str, str]:
    """The detail of a refusal because of a value that another object has.

    :param name: of the property.
    """
    message = f"Another object with the same value for property {name} already exists."
    return {"code": "ObjectConflict", "message": message, "target": name}


def keys_of(tenant: Tenant, entries: list[State]) -> list[State]:
    """Key credentials as the directory keeps them; not committed yet."""
    return [_new_key(tenant, entry) for entry in entries]


def new_application(tenant: Tenant, name: str, owner: str = "") -> State:
    """An application object; not committed yet."""
    return {
        "id": tenant.new_id(),
        "appId": tenant.new_id(),
        "displayName": name,
        "uniqueName": None,
        "createdDateTime": tenant.stamp(),
        "deletedDateTime": None,
        "signInAudience": defaults.AUDIENCES[0],
        "publisherDomain": tenant.domain,
        **copied(defaults.APPLICATION),
        "keyCredentials": [],
        "passwordCredentials": [],
        "requiredResourceAccess": [],
        "_owners": [owner] if owner else [],
        "_federated": [],
    }


def new_principal(tenant: Tenant, app: State, owner: str = "") -> State:
    """A service principal of an application; not committed yet."""
    return {
        "id": tenant.new_id(),
        "appId": app["appId"],
        "displayName": app["displayName"],
        "accountEnabled": True,
        "appOwnerOrganizationId": tenant.id,
        "createdDateTime": tenant.stamp(),
        "servicePrincipalType": "Application",
        "deletedDateTime": None,
        **copied(defaults.PRINCIPAL),
        **defaults.mirrored(app),
        "keyCredentials": [],
        "passwordCredentials": [],
        "_owners": [owner] if owner else [],
    }


def new_password(tenant: Tenant, name: str, start: str | None = None, end: str | None = None) -> tuple[State, Secret]:
    """A password credential entry, which keeps only a digest, and its secret."""
    secret = tenant.new_secret()
    begins = moment(start) if start else tenant.now()
    ends = moment(end) if end else _later(begins, 730)
    entry = {
        "customKeyIdentifier": None,
        "displayName": name or None,
        "endDateTime": tenant.stamp(ends),
        "hint": secret.hint,
        "keyId": tenant.new_id(),
        "secretText": None,
        "startDateTime": tenant.stamp(begins),
        "_digest": disclosure.digest(secret),
    }
    return entry, secret


def merged(tenant: Tenant, state: State, entries: Any) -> list[State]:
    """A new `keyCredentials` list: it replaces the old one; entries sent back with their keyId stay."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Refused(400, "Request_BadRequest", "A list of key credentials was expected.")
    known = {entry["keyId"]: entry for entry in state["keyCredentials"]}
    merged = []
    for sent in entries:
        old = known.get(str(sent.get("keyId")))
        if old is None:
            merged.append(_new_key(tenant, sent))
            continue
        for name in _KEY_FIXED:
            if sent.get(name) is not None and not _same(name, sent[name], old.get(name)):
                message = f"Update to existing credential with KeyId '{old['keyId']}' is not allowed."
                raise Refused(400, "Request_BadRequest", message)
        if sent.get("key") and _binary(sent["key"]) != base64.b64decode(old.get("key") or ""):
            message = f"Update to existing credential with KeyId '{old['keyId']}' is not allowed."
            raise Refused(400, "Request_BadRequest", message)
        if tenant.switches.expired_entry_blocks and not tenant.now() < life_of(old)[1]:
            raise Refused(400, "KeyCredentialsInvalidEndDate", "Key credential end date is invalid.")
        merged.append(old)
    return merged


def _binary(value: Any) -> bytes:
    try:
        return base64.b64decode(str(value or ""))
    except ValueError:
        raise Refused(400, "Request_BadRequest", "Cannot convert the value of 'key' to Edm.Binary.") from None


def _same(name: str, sent: Any, old: Any) -> bool:
    return bool(moment(sent) == moment(old)) if old and name.endswith("DateTime") else bool(sent == old)


def life_of(entry: State) -> tuple[datetime, datetime]:
    """From when until when a key or password counts; both dates may be missing, and then nothing bounds it."""
    begins, ends = (entry.get(name) for name in ("startDateTime", "endDateTime"))
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    return moment(begins) if begins else first, moment(ends) if ends else last


def _new_key(tenant: Tenant, sent: State) -> State:
    """Check and complete a new key credential: a DER or PEM-body certificate, RSA of 2048 bits or more."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        certificate = x509.load_der_x509_certificate(_binary(sent.get("key")))
        public, subject = certificate.public_key(), certificate.subject.rfc4514_string()
    except (ValueError, UnsupportedAlgorithm):
        raise Refused(400, "Request_BadRequest", "The value of property 'key' is not a certificate.") from None
    if not isinstance(public, RSAPublicKey) or public.key_size < 2048:
        raise Refused(400, "Request_BadRequest", "The certificate's key must be RSA with 2048 bits or more.")
    if sent.get("type") != "AsymmetricX509Cert" or sent.get("usage") not in ("Verify", "Sign"):
        raise Refused(400, "Request_BadRequest", "Invalid value for 'type' or 'usage' of a key credential.")
    start = moment(sent.get("startDateTime") or tenant.stamp())
    latest = min(_later(start, 365), certificate.not_valid_after_utc)
    end = moment(sent["endDateTime"]) if sent.get("endDateTime") else latest
    if end > certificate.not_valid_after_utc or end <= start:
        raise Refused(400, "KeyCredentialsInvalidEndDate", "Key credential end date is invalid.")
    der = certificate.public_bytes(Encoding.DER)
    return {
        "customKeyIdentifier": str(sent.get("customKeyIdentifier") or thumbprint(der)),
        "displayName": str(sent.get("displayName") or subject)[:90],
        "endDateTime": tenant.stamp(end),
        "key": base64.b64encode(der).decode(),
        "keyId": str(sent.get("keyId") or tenant.new_id()),
        "startDateTime": tenant.stamp(start),
        "type": sent["type"],
        "usage": sent["usage"],
    }


def moment(text: Any) -> datetime:
    """A date in any spelling that Graph takes, with up to seven decimals."""
    found: datetime | None = None
    with suppress(ValueError, OverflowError):
        whole = re.sub(r"(\.\d{6})\d+", r"\1", str(text)).replace("Z", "+00:00")
        given = datetime.fromisoformat(whole)
        found = given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    if found is None or found.year < _EARLIEST:
        raise Refused(400, "Request_BadRequest", f"Cannot convert '{text}' to a date.")
    return found


def _later(start: datetime, days: int) -> datetime:
    try:
        return start + timedelta(days=days)
    except OverflowError:
        raise Refused(400, "Request_BadRequest", f"'{start.year}' is too late a year to start.") from None
