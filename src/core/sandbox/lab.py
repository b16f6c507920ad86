"""A sandbox with all around it: server, cloud file, project folder, and a signed-in Azure CLI folder (S1, S4)."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.flow.wait import Clock, SystemClock
from core.profile import Profile
from core.sandbox import azfolder, scenarios
from core.sandbox.server import Server
from core.sandbox.tenant import Tenant

CLOUD_NAME: Final = "sandbox"


@dataclass
class Lab:
    """A running sandbox.

    :param folder: private temporary folder, removed by `close`.
    :param admin: for `AZURE_CONFIG_DIR`: an administrator is signed in there.
    """

    tenant: Tenant
    server: Server
    folder: Path
    cleanup: tempfile.TemporaryDirectory[str]
    admin: Path | None = None

    @classmethod
    def start(
        cls,
        scenario: str,
        *,
        seed: int = 1,
        port: int = 0,
        latency: float = 0.0,
        clock: Clock | None = None,
        sign_in: bool = True,
        user: str = "",
    ) -> Lab:
        """Start one.

        :param scenario: what the tenant holds (`scenarios.SCENARIOS`).
        :param latency: seconds before every answer.
        :param sign_in: also write the Azure CLI's folder, signed in.
        :param user: who signs in instead of the scenario's user: `alex`, a user principal name, or an object id.
        :raises SetupError: `sandbox.scenario`; `usage.settings`: there is no such user.
        """
        tenant = Tenant(clock or SystemClock(), seed)
        members = scenarios.seed(scenario, tenant)
        if user:
            tenant.signed_in_user = scenarios.person(tenant, user)["id"]
        cleanup = tempfile.TemporaryDirectory(prefix="entraclaw-sandbox-")
        lab = cls(tenant, Server(tenant, port, latency), Path(cleanup.name), cleanup)
        lab.ca.write_text(lab.server.ca, encoding="utf-8")
        lab.cloud_file.write_text(
            f'name = "{CLOUD_NAME}"\nauthority = "{tenant.authority}"\ngraph = "{tenant.graph}"\n'
            f'arm = "{tenant.authority}"\nca_bundle = "ca.pem"\n',
            encoding="utf-8",
        )
        lab.project.mkdir()
        if members:
            state = lab.project / Profile.state_file
            state.touch(mode=0o600)
            state.write_text(json.dumps({"CLOUD": CLOUD_NAME, **members}, indent=2) + "\n", encoding="utf-8")
        if sign_in:
            lab.az_folder(tenant.signed_in_user)
            lab.admin = lab.az_folder("alex")
        return lab

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
        who = scenarios.person(self.tenant, user)
        mine = who["id"] == self.tenant.signed_in_user
        folder = self.az_config_dir if mine else self.folder / f"azure-{who['id']}"
        azfolder.write(self.tenant, folder, who)
        return folder

    def info(self) -> dict[str, str | None]:
        """What a client needs to know; printed as one JSON line."""
        return {
            "authority": self.tenant.authority,
            "graph": self.tenant.graph,
            "arm": self.tenant.authority,
            "ca": str(self.ca),
            "proxy": None,
            "tenant": self.tenant.id,
            "cloud_file": str(self.cloud_file),
            "az_config_dir": str(self.az_config_dir),
            "project": str(self.project),
            "admin_az_config_dir": str(self.admin) if self.admin else None,
        }

    def environment(self) -> dict[str, str]:
        """Variables for a shell in which az and this program use the sandbox."""
        return {
            "AZURE_CONFIG_DIR": str(self.az_config_dir),
            "REQUESTS_CA_BUNDLE": str(self.ca),
            "ENTRACLAW_SETUP_CLOUD": str(self.cloud_file),
            "ENTRACLAW_SETUP_PROJECT": str(self.project),
            "ENTRACLAW_SETUP_KEY_OUTLIVES_JOB": "1",  # a sandbox in a CI job or a container is what it is for
            "NO_PROXY": "127.0.0.1,localhost",
            **({"SANDBOX_ADMIN_AZURE_CONFIG_DIR": str(self.admin)} if self.admin else {}),
        }

    def close(self) -> None:
        """Stop and remove everything."""
        self.server.close()
        self.cleanup.cleanup()
