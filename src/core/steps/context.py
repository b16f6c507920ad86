"""What a stage sees: the cloud through `entra`, this computer through `machine`, and what earlier steps learned."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from core.entra.activity import Activity
from core.entra.policies import UNREADABLE, Policy
from core.errors import Caller
from core.flow.spec import FlowSpec

if TYPE_CHECKING:  # `token` sees a world too, and needs little of what the flows do
    from core.clock import Cancel, Clock
    from core.config.cloud import Cloud
    from core.config.profile import Profile
    from core.config.settings import Settings
    from core.entra.application import App, Password
    from core.entra.graph import Graph
    from core.entra.http import Session
    from core.entra.keys import Keys
    from core.entra.tokens import Token
    from core.events import Event, Question
    from core.flow.journal import Journal
    from core.machine.azure_cli import Account, SignIn
    from core.machine.keys.hardware import Hardware
    from core.machine.keystore.system import Backend, Keystore
    from core.machine.keystore.weak_files import WeakFile
    from core.machine.prerequisites import Tool
    from core.machine.python_packages import Package
    from core.machine.state_file import Basis, StateFile
    from core.secret import Secret
    from core.signer import Signer
    from core.steps.admin_request import Request

#: Who calls Graph: the Provisioner with its certificate, or the signed-in principal.
Identity = Literal["app", "user"]


@dataclass
class Known:
    """What the look steps found out; the change steps keep it up to date.

    :param members: the state file's members, without the secret.
    :param basis: the members of ours in the state file, as they were read; no write goes over others.
    :param secret: the old client secret, in memory only (M3).
    :param initial: password credentials at the start of the undertaking.
    :param key_pair: the key this run works with, None until there is one.
    :param occupant: what the keystore account of the tenant held when it was decided on.
    :param spare: further keys of this machine whose certificates are on the app; they are not to stay there.
    :param pending: keystore account that holds it before it is adopted.
    :param proof: a token that was minted with `key_pair`.
    :param activity: when each password credential was last used.
    :param last: password credentials as the last look before the deletion showed them.
    :param deleters: by holder, the identities that may delete its password credentials, best first.
    :param removed: ids of password credentials that this undertaking deleted, by holder.
    :param may_change: whether the signed-in principal may make the changes in the directory, as far as is known.
    :param wanted: Microsoft Graph permissions that this run sees to, name to id.
    :param resource_id: Microsoft Graph's own service principal.
    :param offered: permissions that Microsoft Graph offers to apps in this tenant, name to id.
    :param policy: what the tenant's policy says of an app that is to be created.
    :param unique_name: `uniqueName` of the app to create, if somebody else chose it.
    :param key_id: keyId of the certificate to add, if somebody else chose it.
    :param machine: name of the machine whose certificate it is.
    :param request: what an administrator was asked to do.
    :param created: whether this undertaking created the app.
    :param purged: whether this undertaking removed the secret from the state file.
    :param listed: keyIds on the app when this machine's certificate was last registered; empty when an earlier run did.
    :param watched: whether it was watched for some seconds then, because others were at work.
    :param bereft: whether it was said that others deleted the secrets this machine began with.
    :param backend: what holds the key, once it was proven or read from.
    :param weak: files of weak keystores that hold a key of this service, or cannot be read (K3).
    :param unproven: why it is not proven that the old secret is refused; empty when it is, or when there is none.
    """

    members: dict[str, Any] = field(default_factory=dict)
    basis: Basis | None = None
    secret: Secret | None = None
    tenant: str = ""
    app_id: str = ""
    account: Account | None = None
    user: Token | None = None
    app: App | None = None
    initial: tuple[Password, ...] = ()
    key_pair: Signer | None = None
    occupant: Secret | None = None
    spare: tuple[Signer, ...] = ()
    proof: Token | None = None
    activity: Activity = field(default_factory=Activity)
    last: tuple[Password, ...] = ()
    deleters: dict[str, tuple[Identity, ...]] = field(default_factory=dict)
    removed: dict[str, set[str]] = field(default_factory=dict)
    may_change: bool = True
    wanted: dict[str, str] = field(default_factory=dict)
    resource_id: str = ""
    offered: dict[str, str] = field(default_factory=dict)
    policy: Policy = UNREADABLE
    unique_name: str = ""
    key_id: str = ""
    machine: str = field(default_factory=socket.gethostname)
    request: Request | None = None
    created: bool = False
    purged: bool = False
    unproven: str = ""
    listed: set[str] = field(default_factory=set)
    watched: bool = False
    bereft: bool = False
    backend: Backend | None = None
    weak: tuple[WeakFile, ...] = ()


@dataclass
class World:
    """Everything a step may touch; handed in by the composition root (`core.assemble`).

    :param keys: makes this machine's key and opens it again.
    :param tools: looks at the programs and system pieces of this computer; the answer stays the same for one world.
    :param hardware: looks for hardware that could hold a key (T1); it stays the same, too.
    :param packages: looks at the Python packages that this program requires; likewise.
    :param chance: parts the moments of machines that began together; another one in every process (P7).
    :param lifetime: what says that a key would not outlive this run; empty when nothing does (M16).
    """

    settings: Settings
    profile: Profile
    cloud: Cloud
    clock: Clock
    cancel: Cancel
    session: Session
    sign_in: SignIn
    keystore: Keystore
    keys: Keys
    statefile: StateFile
    emitter: Callable[[Event], None]
    asker: Callable[[Question], bool]
    untrusted: tuple[Path, ...]
    tools: Callable[[], tuple[Tool, ...]]
    hardware: Callable[[], Hardware]
    packages: Callable[[], tuple[Package, ...]]
    run_id: str
    flow: FlowSpec = FlowSpec("")  # noqa: RUF009  it cannot be changed
    lifetime: tuple[str, ...] = ()
    chance: Random = field(default_factory=Random)
    known: Known = field(default_factory=Known)
    journal: Journal | None = None
    locks: set[Path] = field(default_factory=set)
    resources: ExitStack = field(default_factory=ExitStack)

    def keeps_nothing(self) -> None:
        """What runs next makes no key: nothing has to outlive it, or to be in hardware (an undo)."""
        self.lifetime = ()
        self.settings = replace(self.settings, hardware="off")

    def emit(self, event: Event) -> None:
        """Report what happened."""
        self.emitter(event)

    def ask(self, question: Question) -> bool:
        """Ask a person."""
        self.emit(question)
        return self.asker(question)

    @property
    def app(self) -> App:
        """The app registration; the review stage has read it."""
        assert self.known.app is not None
        return self.known.app

    @property
    def app_name(self) -> str:
        """Display name of an app that this run creates: what a request asks for, else the profile's."""
        return self.known.request.app_name if self.known.request is not None else self.profile.app_display_name

    @property
    def key_pair(self) -> Signer:
        """The key this run works with; a step has stored or found it."""
        assert self.known.key_pair is not None
        return self.known.key_pair

    @property
    def log(self) -> Journal:
        """The open journal; the review stage has opened it."""
        assert self.journal is not None
        return self.journal

    @property
    def service(self) -> str:
        """Keystore service of the key bundle in this cloud (P4, C2)."""
        return self.cloud.keystore_service(self.profile.keystore_service)

    @property
    def pending(self) -> str:
        """Keystore account of a key that is not proven yet (M4)."""
        return f"{self.known.tenant}#{self.key_pair.thumbprint}"

    def graph_of(self, identity: Identity) -> Graph:
        """Microsoft Graph as one of the two identities of a run."""
        return self.app_graph() if identity == "app" else self.user_graph()

    def user_graph(self) -> Graph:
        """Microsoft Graph as the signed-in principal."""
        from core.entra.graph import Graph

        def token(again: bool) -> Token:
            if again or self.known.user is None:
                self.known.user = self._same_user(self.sign_in.graph_token(self.known.tenant))
            return self.known.user

        return Graph(self.session, self.cloud, token, self.clock, self.emit, self._caller, self.chance)

    def _same_user(self, token: Token) -> Token:
        """See that nobody else has signed in to the Azure CLI since the plan was made for somebody."""
        from core.errors import SetupError

        before = self.known.user
        if before is not None and before.claims.get("oid") != token.claims.get("oid"):
            names = [str(t.claims.get("upn") or t.claims.get("oid") or "?") for t in (before, token)]
            raise SetupError("az.another-user", ours=names[0], theirs=names[1])
        return token

    def app_graph(self) -> Graph:
        """Microsoft Graph as the Provisioner itself, with its proven certificate."""
        from core.entra.graph import Graph
        from core.entra.tokens import mint

        def token(again: bool) -> Token:
            known = self.known
            if again or known.proof is None:
                known.proof = mint(self.session, self.cloud, known.tenant, known.app_id, self.key_pair)
            return known.proof

        return Graph(
            self.session, self.cloud, token, self.clock, self.emit, partial(self._caller, app=True), self.chance
        )

    def _caller(self, *, app: bool = False) -> Caller:
        return Caller(self.known.tenant, self.known.app_id, app)

    def close(self) -> None:
        """Release lock and connections."""
        self.resources.close()
        self.session.close()
