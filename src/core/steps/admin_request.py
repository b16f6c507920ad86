"""The request that a developer without rights hands to an administrator (P12). It holds no secret.

Both sides check it: it is written from what the developer's run needs, and read as something that anybody may have
edited. `calls` is for the reader's eyes; who applies a request derives the calls from its other members.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from core.config.settings import guid
from core.display import hidden, quoted, visible
from core.entra import certificates, permissions
from core.errors import SetupError
from core.secret import looks_secret, redactor

SCHEMA: Final = 1
LARGEST: Final = 64 * 1024
#: Permissions of one request; the Provisioner's own are half as many.
MOST_ROLES: Final = 60
_LONGEST: Final = 256
_MEMBERS: Final = frozenset(
    {"schema", "what", "role_needed", "calls", "cloud", "authority", "tenant", "app_id", "app_name", "unique_name"}
    | {"certificate", "thumbprint", "valid_until", "key_id", "machine", "requested_by", "created", "roles"}
    | {"remove_passwords"}
)
_UNIQUE: Final = re.compile(r"[A-Za-z0-9._-]{1,80}")


class _Ambiguous(ValueError):
    """A person and a program may read different things."""


@dataclass(frozen=True)
class Request:
    """What an administrator is asked to do to one app.

    :param app_id: empty when the app is to be created.
    :param unique_name: `uniqueName` to create it under.
    :param der: the public certificate.
    :param key_id: keyId to add it with, so that a repeated request is the same entry.
    :param roles: Microsoft Graph permissions to declare and grant, name to id.
    :param remove_passwords: remove every password credential; asked only after the certificate was proven.
    :param listed: what the file lists as `calls`, which may be anything; None for a request that is not from a file.
    """

    cloud: str
    authority: str
    tenant: str
    app_id: str
    app_name: str
    unique_name: str
    der: bytes
    key_id: str
    machine: str
    requested_by: str
    created: str
    roles: dict[str, str] = field(default_factory=dict)
    remove_passwords: bool = False
    listed: list[Any] | None = field(default=None, compare=False)

    @property
    def key_pair(self) -> certificates.KeyPair:
        """The certificate without its key, which never leaves the developer's machine."""
        return certificates.public(self.der)

    @property
    def role_needed(self) -> str:
        """Who may apply it."""
        if self.roles and self.app_id:
            return "Privileged Role Administrator who may also change the app, or Global Administrator"
        if self.roles:
            return "Privileged Role Administrator (to grant permissions), or Global Administrator"
        return "an owner of the app, Application Administrator, Cloud Application Administrator or Global Administrator"

    @property
    def calls(self) -> list[str]:
        """The Graph calls, as a person reads them."""
        calls = []
        app = f"/applications(appId='{self.app_id}')"
        if not self.app_id:
            app = f"/applications(uniqueName='{self.unique_name}')"
            calls.append(f"PATCH {app} (Prefer: create-if-missing) displayName '{self.app_name}', with the certificate")
            calls.append("POST /servicePrincipals")
        elif not self.remove_passwords:
            calls.append(f"PATCH {app} keyCredentials (every entry that is there stays)")
        if self.roles:
            if self.app_id:
                calls.append("POST /servicePrincipals (if it has none)")
                calls.append(f"PATCH {app} requiredResourceAccess")
            calls += [f"POST /servicePrincipals/(Microsoft Graph)/appRoleAssignedTo {name}" for name in self.roles]
        if self.remove_passwords:
            calls += [f"POST {app}/removePassword, for each", "POST /servicePrincipals/…/removePassword, for each"]
        return calls

    def to_json(self) -> str:
        """The file's text.

        :raises SetupError: `request.secret`: something in it looks like a secret, such as the name of the app.
        """
        key_pair = self.key_pair
        body = {
            "schema": SCHEMA,
            "what": "Request to an administrator; apply it with: entraclaw-setup apply FILE",
            "role_needed": self.role_needed,
            "calls": self.calls,
            "cloud": self.cloud,
            "authority": self.authority,
            "tenant": self.tenant,
            "app_id": self.app_id,
            "app_name": _shown(self.app_name),
            "unique_name": self.unique_name,
            "certificate": base64.b64encode(self.der).decode(),
            "thumbprint": key_pair.thumbprint,
            "valid_until": _day(key_pair),
            "key_id": self.key_id,
            "machine": _shown(self.machine),
            "requested_by": _shown(self.requested_by),
            "created": self.created,
            "roles": self.roles,
            "remove_passwords": self.remove_passwords,
        }
        for name, value in body.items():
            if looks_secret(json.dumps(value)):
                raise SetupError("request.secret", name=name, value=redactor.redact(str(value)))
        return json.dumps(body, indent=2) + "\n"


def _day(key_pair: certificates.KeyPair) -> str:
    return key_pair.not_after.strftime("%Y-%m-%d")


def parse(path: Path) -> Request:
    """A request from a file that anybody may have edited.

    :raises SetupError: `request.broken`: it is not one, or its parts contradict each other; `request.ambiguous`: it
        holds hidden characters, or a member twice.
    """
    try:
        if not path.is_file():
            detail = "it is no regular file" if path.exists() else "there is no such file"
            raise SetupError("request.broken", path=path, detail=detail)
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise SetupError("request.broken", path=path, detail="it is larger than 64 KiB")
        text = content.decode("utf-8-sig")
        if looks_secret(text):
            raise SetupError("request.broken", path=path, detail="it holds what looks like a secret or a private key")
        _readable("the file", re.sub(r"[\t\r\n]", " ", text))
        data = json.loads(text, object_pairs_hook=_unique)
        _seen("it", data)
        return _checked(data)
    except _Ambiguous as error:
        raise SetupError("request.ambiguous", path=path, detail=error) from None
    except OSError as error:
        raise SetupError("request.broken", path=path, detail=error.strerror or error) from None
    except RecursionError:
        raise SetupError("request.broken", path=path, detail="nested too deeply") from None
    except (ValueError, KeyError, TypeError) as error:
        detail = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise SetupError("request.broken", path=path, detail=detail) from None


def _shown(text: str) -> str:
    """A name as it goes into a request: not too long, and without characters that hide or reorder text."""
    return visible(text[:_LONGEST], keep="")


def _readable(name: str, text: str) -> None:
    """See that a text says what it shows."""
    found = next(filter(hidden, text), None)
    if found is not None:
        raise _Ambiguous(f"{name} holds the hidden character U+{ord(found):04X}")


def _seen(name: str, value: Any) -> None:
    """See that every text inside says what it shows, however it is spelled."""
    match value:
        case str():
            _readable(name, value)
        case dict():
            for key, item in value.items():
                _readable(f"the name of a member of {name}", key)
                _seen(key, item)
        case list():
            for item in value:
                _seen(name, item)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise _Ambiguous(f"the member {_shown(name)} appears twice")
        members[name] = value
    return members


def _check_texts(data: dict[str, Any]) -> None:
    for name in ("cloud", "authority", "app_name", "unique_name", "machine", "requested_by", "created", "app_id"):
        if not isinstance(data[name], str) or data[name] != _shown(data[name]):
            raise ValueError(f"{name} is not a short text")
    if data["unique_name"] and not _UNIQUE.fullmatch(data["unique_name"]):
        raise ValueError("unique_name is not a name")
    if not data["app_id"] and not data["unique_name"]:
        raise ValueError("it names no app")
    try:
        datetime.fromisoformat(data["created"])
    except ValueError:
        raise ValueError("created is no time") from None


def _check_roles(roles: Any) -> None:
    if not isinstance(roles, dict) or not all(isinstance(part, str) for pair in roles.items() for part in pair):
        raise ValueError("roles is not a list of names and ids")
    if len(roles) > MOST_ROLES:
        raise ValueError(f"it asks for {len(roles)} permissions, more than {MOST_ROLES}")
    for name, role in roles.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9.-]{2,80}", name):
            raise ValueError(f"{quoted(name)} is not the name of a permission")
        if permissions.KNOWN.get(name, role) != role or permissions.NAMES.get(role, name) != name:
            raise ValueError(f"the id of the permission {name} is another one's")


def _checked(data: Any) -> Request:
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ValueError(f"it is no request of schema {SCHEMA}")
    if unknown := sorted(set(data) - _MEMBERS):
        raise ValueError(f"it has the member {quoted(unknown[0])}, which no request has")
    _check_texts(data)
    if not isinstance(data["remove_passwords"], bool):
        raise ValueError("remove_passwords is neither true nor false")
    if data["remove_passwords"] and (data["roles"] or not data["app_id"]):
        raise ValueError("it asks for a removal and something else at once")
    _check_roles(roles := data["roles"])
    try:
        ids = {name: guid(name, data[name]) for name in ("tenant", "key_id")}
        app_id = guid("app_id", data["app_id"]) if data["app_id"] else ""
        for name, role in roles.items():
            guid(name, role)
    except SetupError as error:
        raise ValueError(error.summary) from None
    der = base64.b64decode(str(data["certificate"]), validate=True)
    request = Request(
        data["cloud"], data["authority"], ids["tenant"], app_id, data["app_name"], data["unique_name"], der,
        ids["key_id"], data["machine"], data["requested_by"], data["created"], dict(roles), data["remove_passwords"],
        data["calls"] if isinstance(data.get("calls"), list) else None,
    )  # fmt: skip
    if request.key_pair.thumbprint != data["thumbprint"]:
        raise ValueError("its thumbprint is another certificate's")
    if request.key_pair.not_after - request.key_pair.not_before > certificates.LIFETIME:
        raise ValueError("its certificate lives longer than a year")
    if data.get("valid_until") != _day(request.key_pair):
        raise ValueError("valid_until is not the day on which its certificate ends")
    return request
