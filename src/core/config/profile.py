"""The names of one product (docs/reference/requirements.md#words).

The default profile is `entraclaw`; a TOML file that is given explicitly defines another, so that the same tool migrates
any app registration that still signs in with a secret. A profile is never discovered in the project folder (C3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from core import files
from core.errors import SetupError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}")


@dataclass(frozen=True)
class Profile:
    """What one product calls things.

    :param name: short name, also the common name's first part.
    :param app_display_name: exact display name of the app registration.
    :param state_file: file name inside the project folder.
    :param keystore_service: keystore service of the key bundle; the account is the tenant id (P4).
    :param subject: common name of the certificate (P3).
    :param state_folder: folder below the home folder for journal and locks (A8).
    :param secret_member: member of the state file that holds the client secret.
    :param client_id_member: member that holds the app id.
    :param tenant_member: member that holds the tenant id.
    :param thumbprint_member: member that receives the certificate's SHA-1 thumbprint.
    :param blueprint_member: member that holds the Blueprint's app id, which is out of bounds (M18).
    """

    name: str = "entraclaw"
    app_display_name: str = "EntraClaw Agent ID Provisioner"
    state_file: str = ".entraclaw-state.json"
    keystore_service: str = "entraclaw-provisioner-cert"
    subject: str = "entraclaw-provisioner"
    state_folder: str = ".entraclaw"
    secret_member: str = "PROVISIONER_CLIENT_SECRET"  # noqa: S105  the member's name
    client_id_member: str = "PROVISIONER_CLIENT_ID"
    tenant_member: str = "TENANT_ID"
    thumbprint_member: str = "PROVISIONER_CERT_THUMBPRINT"
    blueprint_member: str = "BLUEPRINT_APP_ID"

    @property
    def members(self) -> tuple[str, ...]:
        """Members of the state file that this program reads or writes."""
        own = (self.tenant_member, self.client_id_member, self.secret_member, self.thumbprint_member)
        return (*own, self.blueprint_member, "CLOUD")


def load(name: str) -> Profile:
    """The profile of that name, or of that TOML file.

    :param name: `entraclaw`, or the path of a file.
    :raises SetupError: `usage.profile-file`.
    """
    if name == Profile.name:
        return Profile()
    path = Path(name)
    data = files.toml(path, "usage.profile-file")
    known = {field.name for field in fields(Profile)}
    for key, value in data.items():
        if key not in known:
            raise SetupError("usage.profile-file", path=path, detail=f"unknown member {key}")
        if not isinstance(value, str) or not value.strip():
            raise SetupError("usage.profile-file", path=path, detail=f"{key} is not a text")
    for key in ("name", "app_display_name", "state_file", "keystore_service"):
        if key not in data:
            raise SetupError("usage.profile-file", path=path, detail=f"{key} is missing")
    if not _NAME.fullmatch(str(data["name"])):
        raise SetupError("usage.profile-file", path=path, detail="name must be letters, digits, dots and hyphens")
    for key in ("state_file", "state_folder"):
        value = data.get(key, getattr(Profile, key))
        if Path(value).name != value or value in (".", ".."):
            raise SetupError("usage.profile-file", path=path, detail=f"{key} must be a plain name, not a path")
    return Profile(**data)
