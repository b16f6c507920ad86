"""A sandbox with all around it: server, cloud file, project folder, and a signed-in Azure CLI folder (S1, S4)."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from core.clock import Clock, SystemClock
from core.config.cloud import load as load_cloud
from core.config.profile import Profile
from core.machine.keystore import weak_files
from core.sandbox import disclosure
from core.sandbox.directory import users
from core.sandbox.directory.store import Tenant
from core.sandbox.fake_machine import azfolder, outside
from core.sandbox.fake_machine.keystore import MemoryKeystore
from core.sandbox.fake_machine.machine import Machine, leave_weak
from core.sandbox.recipes import recipes
from core.sandbox.scenarios import catalogue as scenarios
from core.sandbox.scenarios import file as files
from core.sandbox.server.https import Server

CLOUD_NAME: Final = "sandbox"
PUBLIC: Final = "public"


@dataclass
class Lab:
    """A running sandbox.

    :param machine: the computer that goes with the tenant.
    :param folder: private temporary folder, removed by `close`.
    :param admin: for `AZURE_CONFIG_DIR`: an administrator is signed in there.
    :param variables: what gives a program outside this process the faults of the computer.
    """

    tenant: Tenant
    machine: Machine
    server: Server
    folder: Path
    cleanup: tempfile.TemporaryDirectory[str]
    admin: Path | None = None
    variables: dict[str, str] = field(default_factory=dict)

    @classmethod
    def start(
        cls,
        scenario: str,
        *,
        seed: int | None = None,
        port: int = 0,
        latency: float = 0.0,
        clock: Clock | None = None,
        sign_in: bool = True,
        user: str = "",
        proxy: bool = False,
    ) -> Lab:
        """Start one.

        :param scenario: what the tenant holds (`scenarios.SCENARIOS`), or the path of a scenario file.
        :param seed: decides ids and secrets; None: the scenario file's, or 1.
        :param latency: seconds before every answer.
        :param sign_in: also write the Azure CLI's folder, signed in.
        :param user: who signs in instead of the scenario's user: `alex`, a user principal name, or an object id.
        :param proxy: also serve under the public cloud's names, through a proxy on loopback; the project and the Azure
            CLI's folders are then those of the public cloud.
        :raises SetupError: `sandbox.scenario`; `sandbox.file`; `usage.settings`: there is no such user, or the port is
            taken.
        """
        plan = files.read(scenario, proxy=proxy)
        tenant = Tenant(clock or SystemClock(), plan.seed if seed is None else seed, clock_error=plan.clock_skew)
        found = scenarios.seed(plan.base, tenant)
        tenant.scenario = scenario
        if user:
            tenant.signed_in_user = users.find(tenant, user)["id"]
        server = Server(tenant, port, latency, proxy=proxy)
        cleanup = tempfile.TemporaryDirectory(prefix="entraclaw-sandbox-")
        lab = cls(tenant, found, server, Path(cleanup.name), cleanup)
        try:
            lab._furnish(sign_in=sign_in)
            plan.apply(tenant)  # not before: the folders' own sign-ins meet no switch
        except BaseException:  # nobody else could close what is open by now
            lab.close()
            raise
        return lab

    def _furnish(self, *, sign_in: bool) -> None:
        """The files of this pretend computer."""
        found = self.machine
        self.ca.write_text(self.server.ca, encoding="utf-8")
        self.cloud_file.write_text(
            f'name = "{CLOUD_NAME}"\nauthority = "{self.tenant.authority}"\ngraph = "{self.tenant.graph}"\n'
            f'arm = "{self.tenant.authority}"\nca_bundle = "ca.pem"\n',
            encoding="utf-8",
        )
        self.project.mkdir()
        state = disclosure.as_json({**self._named, **found.members}, indent=2) + "\n"
        for name, text in {**({Profile.state_file: state} if found.members else {}), **found.files}.items():
            file = self.project / name
            file.touch(mode=0o600)
            file.write_text(text, encoding="utf-8")
        self.variables = outside.write(self.folder, found)
        if found.weak:
            self.variables["XDG_DATA_HOME"] = str(self.folder / "data")
            self.leave(self.folder / "data" / "python_keyring" / "keyring_pass.cfg")
        if sign_in:
            self.az_folder(self.tenant.signed_in_user)
            self.admin = self.az_folder("alex")

    @property
    def ca(self) -> Path:
        """PEM file of the CA."""
        return self.folder / "ca.pem"

    @property
    def cloud_file(self) -> Path:
        """For `--cloud`."""
        return self.folder / "cloud.toml"

    @property
    def project(self) -> Path:
        """For `--project`: holds the scenario's state file, if the scenario has one."""
        return self.folder / "project"

    @property
    def az_config_dir(self) -> Path:
        """For `AZURE_CONFIG_DIR`: signed in already."""
        return self.folder / "azure"

    def az_folder(self, user: str) -> Path:
        """A folder for `AZURE_CONFIG_DIR` in which somebody else is signed in; written anew at each call.

        :param user: `alex`, a user principal name, or an object id.
        :raises SetupError: `usage.settings`: there is no such user.
        """
        who = users.find(self.tenant, user)
        mine = who["id"] == self.tenant.signed_in_user
        folder = self.az_config_dir if mine else self.folder / f"azure-{who['id']}"
        azfolder.write(self.tenant, folder, who, public=self.proxy != "")
        return folder

    def keystore(self, locked: int = 0) -> MemoryKeystore:
        """The computer's keystore, anew at each call.

        :param locked: how often it is found locked before somebody unlocks it.
        """
        fault = "broken" if "keyring" in self.machine.broken else self.machine.keystore
        keystore = MemoryKeystore(locked, fault)
        if self.machine.key_pair is not None and not self.machine.weak:
            keystore.put(self._service, self.tenant.id, self.machine.key_pair.pem)
        return keystore

    def move_in(self) -> None:
        """Leave in the home of this process what an earlier run left there; it must be one that is thrown away."""
        if self.machine.weak:
            self.leave(weak_files.usual())

    def leave(self, path: Path) -> None:
        """Leave the computer's key in a file of keyrings.alt (K3)."""
        assert self.machine.key_pair is not None
        leave_weak(path, self._service, self.tenant.id, self.machine.key_pair)

    @property
    def proxy(self) -> str:
        """For `HTTPS_PROXY`; empty: there is none."""
        return self.server.proxy.address if self.server.proxy else ""

    @property
    def cloud(self) -> str:
        """For `--cloud`: what the project's state file belongs to."""
        return PUBLIC if self.proxy else str(self.cloud_file)

    @property
    def _named(self) -> dict[str, str]:
        return {} if self.proxy else {"CLOUD": CLOUD_NAME}  # a file without a name is the public cloud's (C1)

    @property
    def _service(self) -> str:
        return load_cloud(self.cloud).keystore_service(Profile.keystore_service)

    def info(self) -> dict[str, str | dict[str, str] | None]:
        """What a client needs to know; printed as one JSON line."""
        return {
            "authority": self.tenant.authority,
            "graph": self.tenant.graph,
            "arm": self.tenant.authority,
            "ca": str(self.ca),
            "proxy": self.proxy or None,
            "tenant": self.tenant.id,
            "cloud_file": str(self.cloud_file),
            "az_config_dir": str(self.az_config_dir),
            "project": str(self.project),
            "admin_az_config_dir": str(self.admin) if self.admin else None,
            "variables": self.variables,
        }

    def recipes(self) -> dict[str, str]:
        """How other clients are led here, by name of the client."""
        return recipes(self.info())

    def environment(self) -> dict[str, str]:
        """Variables for a shell in which az and this program use the sandbox."""
        return {
            "AZURE_CONFIG_DIR": str(self.az_config_dir),
            **dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"), str(self.ca)),
            "ENTRACLAW_SETUP_CLOUD": self.cloud,
            "ENTRACLAW_SETUP_PROJECT": str(self.project),
            "ENTRACLAW_SETUP_KEY_OUTLIVES_JOB": "1",  # a sandbox in a CI job or a container is what it is for
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),  # the lower case wins where both are set
            **(dict.fromkeys(("HTTPS_PROXY", "https_proxy"), self.proxy) if self.proxy else {}),
            **self.variables,
            **({"SANDBOX_ADMIN_AZURE_CONFIG_DIR": str(self.admin)} if self.admin else {}),
        }

    def close(self) -> None:
        """Stop and remove everything."""
        self.server.close()
        self.cleanup.cleanup()
