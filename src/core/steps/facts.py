"""The facts of a run, data only: what its steps found out, for each other and for what is said at the end (Q3).

A fact is replaced as a whole, with `dataclasses.replace`; which step may do so, it declares (`core.flow.facts`). What a
run *did* is no fact: its journal says it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, final

from core.entra.activity import Activity
from core.entra.policies import UNREADABLE, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.config.profile import Profile
    from core.entra.application import App, Holder, Password
    from core.entra.tokens import Token
    from core.flow.journal import Journal
    from core.machine.azure_cli import Account
    from core.machine.keystore.system import Backend
    from core.machine.keystore.weak_files import WeakFile
    from core.machine.state_file import Basis
    from core.secret import Secret
    from core.signer import Signer
    from core.steps.admin_request import Request

#: Who calls Graph: the Provisioner with its certificate, or the signed-in principal.
Identity = Literal["app", "user"]


@final
@dataclass(frozen=True)
class Project:
    """The project's state file, as it was read.

    :param members: without the secret.
    :param basis: the members of ours, as they were read; no write goes over others.
    :param secret: the old client secret, in memory only (M3).
    """

    members: Mapping[str, Any] = field(default_factory=dict)
    basis: Basis | None = None
    secret: Secret | None = None


@final
@dataclass(frozen=True)
class Target:
    """Which app of which tenant the run is about; empty while that is not known."""

    tenant: str = ""
    app_id: str = ""


@final
@dataclass(frozen=True)
class OpenRun:
    """The journal of the run that is open; its lock is held."""

    journal: Journal


@final
@dataclass(frozen=True)
class SignedIn:
    """Who is signed in to Azure, and the Microsoft Graph token of that principal."""

    account: Account
    token: Token


@final
@dataclass(frozen=True)
class AppRegistration:
    """The app registration, as it was last read or changed.

    :param initial: its password credentials at the start of the run.
    """

    app: App
    initial: tuple[Password, ...] = ()


@final
@dataclass(frozen=True)
class OlderApp:
    """The app of before a renaming, which a state file of that time names (M19).

    :param profile: of that time.
    :param secret: what stood in that state file when it was read.
    :param agreed: whether it is to be retired.
    """

    profile: Profile
    app: App
    secret: Secret | None = None
    agreed: bool = False


@final
@dataclass(frozen=True)
class NewApp:
    """What is known of an app that the run is to create.

    :param unique_name: its `uniqueName`, if an earlier run or a request chose it.
    :param policy: what the tenant's policy says of it.
    :param created: whether the run, or an earlier one that it continues, created it.
    """

    unique_name: str = ""
    policy: Policy = UNREADABLE
    created: bool = False


@final
@dataclass(frozen=True)
class MachineKey:
    """The key that the run works with: this machine's, or without its private part that of a request.

    :param listed: keyIds on the app when its certificate was last registered; empty when an earlier run did.
    :param watched: whether it was watched for some seconds then, because others were at work.
    """

    key_pair: Signer
    listed: frozenset[str] = frozenset()
    watched: bool = False


@final
@dataclass(frozen=True)
class Proof:
    """A token that was minted with the key: the service accepts its certificate."""

    token: Token


@final
@dataclass(frozen=True)
class WantedPermissions:
    """Microsoft Graph permissions, name to id.

    :param wanted: those that the run sees to.
    :param resource_id: Microsoft Graph's own service principal.
    :param offered: those that it offers to apps in this tenant.
    """

    wanted: Mapping[str, str] = field(default_factory=dict)
    resource_id: str = ""
    offered: Mapping[str, str] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class NeedsAdministrator:
    """The signed-in principal may not make the changes in the directory, as far as is known."""


@final
@dataclass(frozen=True)
class PasswordRemoval:
    """What is known of the password credentials that are to be deleted.

    :param activity: when each was last used.
    :param deleters: by holder, the identities that may delete its password credentials, best first.
    :param last: those that the last look before the deletion showed.
    :param gone_told: whether it was said that others deleted the secrets this machine began with.
    """

    activity: Activity = field(default_factory=Activity)
    deleters: Mapping[Holder, tuple[Identity, ...]] = field(default_factory=dict)
    last: tuple[Password, ...] = ()
    gone_told: bool = False


@final
@dataclass(frozen=True)
class KeystoreFindings:
    """What the keystores of this computer were found to be and to hold.

    :param backend: what holds the key, once it was proven or read from.
    :param weak: files of weak keystores that hold a key of this service, or cannot be read (K3).
    :param occupant: what the keystore account of the tenant held when it was decided on.
    :param spare: further keys of this machine whose certificates are on the app; they are not to stay there.
    """

    backend: Backend | None = None
    weak: tuple[WeakFile, ...] = ()
    occupant: Secret | None = None
    spare: tuple[Signer, ...] = ()


@final
@dataclass(frozen=True)
class HandOffRequest:
    """What an administrator, who is at work here, was asked to do."""

    request: Request


@final
@dataclass(frozen=True)
class SecretUnproven:
    """That the old secret is refused was not proven, and why."""

    why: str


@final
@dataclass(frozen=True)
class TemporarySecret:
    """The client secret that a rollback made, in memory until the old code's file holds it (M10)."""

    secret: Secret
