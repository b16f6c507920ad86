"""What a stage sees: the cloud through `entra`, this computer through `machine`, and what earlier steps learned."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Self

from core.errors import Caller
from core.events import Finding
from core.flow.audit import Audit
from core.flow.facts import Facts
from core.flow.spec import Command
from core.steps import facts as known

if TYPE_CHECKING:  # `token` has a context too, and needs little of what the flows do
    from core.clock import Cancel, Clock
    from core.config.cloud import Cloud
    from core.config.profile import Profile
    from core.config.settings import Settings
    from core.entra import application, graph, http, tokens
    from core.entra.keys import Keys
    from core.events import Event, Question, Severity
    from core.flow.facts import Uses
    from core.flow.journal import Effect, Journal
    from core.machine import azure_cli, prerequisites, python_packages, state_file
    from core.machine.keys.hardware import Hardware
    from core.machine.keystore.system import Keystore
    from core.signer import Signer


@dataclass
class Context:
    """Everything a step may touch; handed in by the composition root (`core.assemble`).

    :param keys: makes this machine's key and opens it again.
    :param tools: looks at the programs and system pieces of this computer; the answer stays the same for one context.
    :param hardware: looks for hardware that could hold a key (T1); it stays the same, too.
    :param packages: looks at the Python packages that this program requires; likewise.
    :param chance: parts the moments of machines that began together; another one in every process (P7).
    :param machine: name of this computer, as its certificate is called.
    :param audit: told of every privileged effect (D3).
    :param store: what the run knows (`core.steps.facts`).
    :ivar facts: the same; of that a step sees only what it declares.
    :param scratch: folders outside the project in which people put copies of the state file (M11).
    :param lifetime: what says that a key would not outlive this run; empty when nothing does (M16).
    """

    settings: Settings
    profile: Profile
    cloud: Cloud
    clock: Clock
    cancel: Cancel
    session: http.Session
    sign_in: azure_cli.SignIn
    keystore: Keystore
    keys: Keys
    statefile: state_file.StateFile
    emitter: Callable[[Event], None]
    asker: Callable[[Question], bool]
    untrusted: tuple[Path, ...]
    tools: Callable[[], tuple[prerequisites.Tool, ...]]
    hardware: Callable[[], Hardware]
    packages: Callable[[], tuple[python_packages.Package, ...]]
    run_id: str
    flow: Command = Command("")  # noqa: RUF009  it cannot be changed
    scratch: tuple[Path, ...] = ()
    lifetime: tuple[str, ...] = ()
    chance: Random = field(default_factory=Random)
    machine: str = field(default_factory=socket.gethostname)
    audit: Audit = field(default_factory=Audit)
    store: Facts = field(default_factory=Facts)
    facts: Facts = field(init=False)
    locks: set[Path] = field(default_factory=set)
    resources: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.facts = self.store

    def seen_by(self, step: Uses) -> Self:
        """The same for one step, with only those facts that it declares; what works here by itself sees all."""
        seen = copy(self)
        seen.facts = self.store.view(step)
        return seen

    def keeps_nothing(self) -> None:
        """What runs next makes no key: nothing has to outlive it, or to be in hardware (an undo)."""
        self.lifetime = ()
        self.settings = replace(self.settings, hardware="off")

    def emit(self, event: Event) -> None:
        """Report what happened."""
        self.emitter(event)

    def report(self, id: str, severity: Severity, message: str, remedy: str = "") -> None:
        """Report something that a person should know (`core.events.Finding`)."""
        self.emit(Finding(id, severity, message, remedy))

    def ask(self, question: Question) -> bool:
        """Ask a person."""
        self.emit(question)
        return self.asker(question)

    @property
    def project(self) -> known.Project:
        """The project's state file, as it was read; empty if it was not."""
        return self.facts.maybe(known.Project) or known.Project()

    @property
    def target(self) -> known.Target:
        """Which app of which tenant this is about, as far as that is known."""
        return self.facts.maybe(known.Target) or known.Target()

    @property
    def app(self) -> application.App:
        """The app registration; the review stage has read it."""
        return self.facts.get(known.AppRegistration).app

    @property
    def maybe_app(self) -> application.App | None:
        """Likewise, if there is one and it is known."""
        registration = self.facts.maybe(known.AppRegistration)
        return registration.app if registration is not None else None

    def update_app(self, app: application.App) -> None:
        """Take over what a newer look at the app registration, or a change of it, shows."""
        before = self.facts.maybe(known.AppRegistration)
        self.facts.put(known.AppRegistration(app, before.initial if before is not None else ()))

    @property
    def new_app(self) -> known.NewApp:
        """What is known of an app that is to be created."""
        return self.facts.maybe(known.NewApp) or known.NewApp()

    @property
    def keystore_findings(self) -> known.KeystoreFindings:
        """What the keystores of this computer were found to be and to hold, so far."""
        return self.facts.maybe(known.KeystoreFindings) or known.KeystoreFindings()

    @property
    def permissions(self) -> known.WantedPermissions:
        """The permissions that the run sees to: none, if none were asked for."""
        return self.facts.maybe(known.WantedPermissions) or known.WantedPermissions()

    @property
    def removal(self) -> known.PasswordRemoval:
        """What is known of the password credentials that are to be deleted."""
        return self.facts.maybe(known.PasswordRemoval) or known.PasswordRemoval()

    @property
    def app_name(self) -> str:
        """Display name of an app that this run creates: what a request asks for, else the profile's."""
        asked = self.facts.maybe(known.HandOffRequest)
        return asked.request.app_name if asked is not None else self.profile.app_display_name

    @property
    def key_pair(self) -> Signer:
        """The key this run works with; a step has stored or found it."""
        return self.facts.get(known.MachineKey).key_pair

    @property
    def maybe_key_pair(self) -> Signer | None:
        """Likewise, if there is one yet."""
        key = self.facts.maybe(known.MachineKey)
        return key.key_pair if key is not None else None

    @property
    def maybe_proof(self) -> tokens.Token | None:
        """A token that was minted with the key, if it is proven."""
        proof = self.facts.maybe(known.Proof)
        return proof.token if proof is not None else None

    @property
    def journal(self) -> Journal | None:
        """The journal of the open run, once a look step has opened it."""
        run = self.facts.maybe(known.OpenRun)
        return run.journal if run is not None else None

    @property
    def log(self) -> Journal:
        """Likewise, where it has been opened."""
        return self.facts.get(known.OpenRun).journal

    def standing(self, *actions: str) -> list[Effect]:
        """What the open run did or may have done of these kinds, or of any; nothing while none is open."""
        return self.journal.standing(*actions) if self.journal is not None else []

    @property
    def service(self) -> str:
        """Keystore service of the key bundle in this cloud (P4, C2)."""
        return self.cloud.keystore_service(self.profile.keystore_service)

    @property
    def pending(self) -> str:
        """Keystore account of a key that is not proven yet (M4)."""
        return f"{self.target.tenant}#{self.key_pair.thumbprint}"

    def graph_of(self, identity: known.Identity) -> graph.Graph:
        """Microsoft Graph as one of the two identities of a run."""
        return self.app_graph() if identity == "app" else self.user_graph()

    def user_graph(self) -> graph.Graph:
        """Microsoft Graph as the signed-in principal."""

        def token(again: bool) -> tokens.Token:
            signed_in = self.facts.maybe(known.SignedIn)
            if again or signed_in is None:
                signed_in = self._again(signed_in)
                self.store.put(signed_in)
            return signed_in.token

        return self._graph(token)

    def _again(self, before: known.SignedIn | None) -> known.SignedIn:
        """Get a token again; nobody else may have signed in to the Azure CLI since the plan was made for somebody."""
        from core.errors import SetupError
        from core.machine.azure_cli import Account

        token = self.sign_in.graph_token(self.target.tenant)
        if before is not None and before.token.claims.get("oid") != token.claims.get("oid"):
            names = [str(t.claims.get("upn") or t.claims.get("oid") or "?") for t in (before.token, token)]
            raise SetupError("az.another-user", ours=names[0], theirs=names[1])
        return known.SignedIn(Account.of(token), token)

    def app_graph(self) -> graph.Graph:
        """Microsoft Graph as the Provisioner itself, with its proven certificate."""
        from core.entra.tokens import mint

        def token(again: bool) -> tokens.Token:
            target, proof = self.target, self.maybe_proof
            if again or proof is None:
                proof = mint(self.session, self.cloud, target.tenant, target.app_id, self.key_pair)
                self.store.put(known.Proof(proof))
            return proof

        return self._graph(token, app=True)

    def _graph(self, token: Callable[[bool], tokens.Token], *, app: bool = False) -> graph.Graph:
        from core.entra.graph import Graph

        def caller() -> Caller:
            return Caller(self.target.tenant, self.target.app_id, app)

        return Graph(self.session, self.cloud, token, self.clock, self.emit, caller, self.chance)

    def close(self) -> None:
        """Release lock and connections."""
        self.resources.close()
        self.session.close()
