"""The request that a developer without rights hands to an administrator (P12). It holds no secret.

Both sides check it: it is written from what the developer's run needs, and read as something that anybody may have
edited. `calls` is for the reader's eyes; who applies a request derives the calls from its other members.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from core.entra import certificates, permissions
from core.errors import SetupError
from core.secret import looks_secret
from core.settings import guid

SCHEMA: Final = 1
LARGEST: Final = 64 * 1024
#: What hides or reorders text, and halves of characters: controls, formats, surrogates, separators of lines.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Letters and marks that show nothing: joiners, fillers, variation selectors.
_BLANK: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_LONGEST: Final = 256
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

    @property
    def bundle(self) -> certificates.Bundle:
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

        :raises AssertionError: something in it looks like a secret.
        """
        bundle = self.bundle
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
            "thumbprint": bundle.thumbprint,
            "valid_until": bundle.not_after.strftime("%Y-%m-%d"),
            "key_id": self.key_id,
            "machine": _shown(self.machine),
            "requested_by": _shown(self.requested_by),
            "created": self.created,
            "roles": self.roles,
            "remove_passwords": self.remove_passwords,
        }
        text = json.dumps(body, indent=2) + "\n"
        if looks_secret(text):
            raise AssertionError("a secret was about to enter a request")
        return text


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
    return "".join("?" if _hidden(character) else character for character in text[:_LONGEST])


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN or bool(_BLANK.match(character))


def _readable(name: str, text: str) -> None:
    """See that a text says what it shows."""
    found = next(filter(_hidden, text), None)
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


def _checked(data: Any) -> Request:
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ValueError(f"it is no request of schema {SCHEMA}")
    texts = ("cloud", "authority", "app_name", "unique_name", "machine", "requested_by", "created", "app_id")
    for name in texts:
        if not isinstance(data[name], str) or data[name] != _shown(data[name]):
            raise ValueError(f"{name} is not a short text")
    if data["unique_name"] and not _UNIQUE.fullmatch(data["unique_name"]):
        raise ValueError("unique_name is not a name")
    if not data["app_id"] and not data["unique_name"]:
        raise ValueError("it names no app")
    if not isinstance(data["remove_passwords"], bool):
        raise ValueError("remove_passwords is neither true nor false")
    if data["remove_passwords"] and (data["roles"] or not data["app_id"]):
        raise ValueError("it asks for a removal and something else at once")
    roles = data["roles"]
    if not isinstance(roles, dict) or not all(isinstance(part, str) for pair in roles.items() for part in pair):
        raise ValueError("roles is not a list of names and ids")
    for name, role in roles.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9.-]{2,80}", name):
            raise ValueError(f"{name!r} is not the name of a permission")
        if permissions.KNOWN.get(name, role) != role or permissions.NAMES.get(role, name) != name:
            raise ValueError(f"the id of the permission {name} is another one's")
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
    )  # fmt: skip
    if request.bundle.thumbprint != data["thumbprint"]:
        raise ValueError("its thumbprint is another certificate's")
    if request.bundle.not_after - request.bundle.not_before > certificates.LIFETIME:
        raise ValueError("its certificate lives longer than a year")
    return request
