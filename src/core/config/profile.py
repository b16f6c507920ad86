"""The names of one product (docs/reference/requirements.md#words).

Built in are those of the original, before and since its renaming, and of the Agent 365 CLI; a TOML file that is given
explicitly defines another, so that the same tool migrates any app registration that still signs in with a secret.
Which of the built-in ones a project belongs to is told by the name of its state file; no project folder defines a
profile (C3, M19).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core import files
from core.errors import SetupError

if TYPE_CHECKING:
    from core.config.settings import Settings

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}")


@dataclass(frozen=True)
class Profile:
    """What one product calls things.

    :param name: short name, also the common name's first part.
    :param app_display_name: exact display name of the app registration.
    :param state_file: file name inside the project folder.
    :param keystore_service: keystore service of the key bundle; the account is the tenant id (P4).
    :param subject: common name of the certificate (P3).
    :param state_folder: name of its own data root below the home; without the dot that of this program's folder (A8).
    :param secret_member: member of the state file that holds the client secret.
    :param client_id_member: member that holds the app id.
    :param tenant_member: member that holds the tenant id.
    :param thumbprint_member: member that receives the certificate's SHA-1 thumbprint.
    :param blueprint_member: member that holds the Blueprint's app id, which is out of bounds (M18).
    :param variables: how the names of its variables in `.env` begin (A6).
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
    variables: str = "ENTRACLAW_"

    @property
    def of_blueprint(self) -> bool:
        """Whether the app that it names is a Blueprint, and no Provisioner (M20)."""
        return self.client_id_member == self.blueprint_member

    @property
    def members(self) -> tuple[str, ...]:
        """Members of the state file that this program reads or writes."""
        own = (self.tenant_member, self.client_id_member, self.secret_member, self.thumbprint_member)
        return (*own, self.blueprint_member, "CLOUD")


#: By name. `entrabot` is what `entraclaw` has been called since 2026-05-28, so the first of them that a project holds
#: is its current one; `a365` names a Blueprint beside them, whose secret the Agent 365 CLI keeps in a file of its own.
BUILT_IN: Final = {
    profile.name: profile
    for profile in (
        Profile(
            name="entrabot",
            app_display_name="EntraBot Agent ID Provisioner",
            state_file=".entrabot-state.json",
            keystore_service="entrabot-provisioner-cert",
            subject="entrabot-provisioner",
            state_folder=".entrabot",
            variables="ENTRABOT_",
        ),
        Profile(),
        Profile(
            name="a365",
            app_display_name="Agent 365 Blueprint",
            state_file="a365.generated.config.json",
            keystore_service="a365-blueprint-cert",
            subject="a365-blueprint",
            state_folder=".a365",
            secret_member="agentBlueprintClientSecret",  # noqa: S106  the member's name
            client_id_member="agentBlueprintId",
            tenant_member="tenantId",
            thumbprint_member="agentBlueprintCertThumbprint",
            blueprint_member="agentBlueprintId",
            variables="A365_",
        ),
    )
}


def present(folder: Path) -> tuple[Profile, ...]:
    """The built-in profiles whose state file lies in a project folder, whatever it is; the current one first."""
    return tuple(profile for profile in BUILT_IN.values() if os.path.lexists(folder / profile.state_file))


def of(settings: Settings) -> Profile:
    """The profile of a run: the one that was named, else that of the project's state file, else the default.

    :raises SetupError: `usage.profile-file`.
    """
    if settings.origin.get("profile", "default") != "default" or settings.profile != Profile.name:
        return load(settings.profile)
    return next(iter(present(settings.folder)), Profile())


def load(name: str) -> Profile:
    """The profile of that name, or of that TOML file.

    :param name: of a built-in one, or the path of a file.
    :raises SetupError: `usage.profile-file`.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
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
