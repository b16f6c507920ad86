"""A sandbox with all around it: server, cloud file, project folder, and a signed-in Azure CLI folder (S1, S4)."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core.flow.wait import Clock, SystemClock
from core.profile import Profile
from core.sandbox import scenarios
from core.sandbox.login import AZURE_CLI
from core.sandbox.server import Server
from core.sandbox.service import handle
from core.sandbox.tenant import ARM_RESOURCE, Tenant
from core.sandbox.wire import Request, Response

CLOUD_NAME: Final = "sandbox"


@dataclass
class Lab:
    """A running sandbox.

    :param folder: private temporary folder, removed by `close`.
    """

    tenant: Tenant
    server: Server
    folder: Path
    cleanup: tempfile.TemporaryDirectory[str]

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
    ) -> Lab:
        """Start one.

        :param scenario: what the tenant holds (`scenarios.SCENARIOS`).
        :param latency: seconds before every answer.
        :param sign_in: also write the Azure CLI's folder, signed in.
        :raises SetupError: `sandbox.scenario`.
        """
        tenant = Tenant(clock or SystemClock(), seed)
        members = scenarios.seed(scenario, tenant)
        cleanup = tempfile.TemporaryDirectory(prefix="entraclaw-sandbox-")
        lab = cls(tenant, Server(tenant, port, latency), Path(cleanup.name), cleanup)
        lab.ca.write_text(lab.server.ca, encoding="utf-8")
        lab.cloud_file.write_text(
            f'name = "{CLOUD_NAME}"\nauthority = "{tenant.authority}"\ngraph = "{tenant.graph}"\n'
            f'arm = "{tenant.authority}"\nca_bundle = "ca.pem"\n',
            encoding="utf-8",
        )
        lab.project.mkdir()
        state = lab.project / Profile.state_file
        state.touch(mode=0o600)
        state.write_text(json.dumps({"CLOUD": CLOUD_NAME, **members}, indent=2) + "\n", encoding="utf-8")
        if sign_in:
            lab.az_config_dir.mkdir(mode=0o700)
            _sign_in_az(lab)
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
        """For `--project`: holds the scenario's state file."""
        return self.folder / "project"

    @property
    def az_config_dir(self) -> Path:
        """For `AZURE_CONFIG_DIR`: signed in already."""
        return self.folder / "azure"

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
        }

    def close(self) -> None:
        """Stop and remove everything."""
        self.server.close()
        self.cleanup.cleanup()


class _InProcess:
    """MSAL's HTTP client, answered by the tenant itself."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def get(self, url: str, params: Any = None, headers: Any = None, **_: Any) -> _Answer:
        return _Answer(handle(self._tenant, Request.to("GET", url, headers)))

    def post(self, url: str, params: Any = None, data: Any = None, headers: Any = None, **_: Any) -> _Answer:
        from urllib.parse import urlencode

        return _Answer(handle(self._tenant, Request.to("POST", url, headers, urlencode(data or {}).encode())))

    def close(self) -> None:
        """Nothing is open."""


class _Answer:
    def __init__(self, response: Response) -> None:
        self.status_code = response.status
        self.headers = dict(response.headers)
        self.text = response.body.decode()

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            raise OSError(self.text)


def _sign_in_az(lab: Lab) -> None:
    """Write what `az login` would leave: profile, settings and MSAL's own token cache, filled by MSAL itself."""
    import msal  # type: ignore[import-untyped]

    tenant, folder = lab.tenant, lab.az_config_dir
    cache = msal.SerializableTokenCache()
    client = msal.PublicClientApplication(
        AZURE_CLI,
        authority=f"{tenant.authority}/{tenant.id}",
        instance_discovery=False,
        token_cache=cache,
        http_client=_InProcess(tenant),
        client_capabilities=["CP1"],
    )
    flow = client.initiate_device_flow([f"{ARM_RESOURCE}/.default"])
    polls = tenant.switches.pending_polls
    tenant.switches.pending_polls = 0  # nobody has to be waited for here
    result = client.acquire_token_by_device_flow(flow)
    tenant.switches.pending_polls = polls
    assert "access_token" in result, result.get("error")
    cache_file = folder / "msal_token_cache.json"
    cache_file.touch(mode=0o600)
    cache_file.write_text(cache.serialize(), encoding="utf-8")
    user = tenant.latest("user", tenant.signed_in_user)
    assert user is not None
    account = {
        "id": tenant.id,
        "name": "N/A(tenant level account)",
        "state": "Enabled",
        "user": {"name": user["userPrincipalName"], "type": "user"},
        "isDefault": True,
        "tenantId": tenant.id,
        "environmentName": "EntraclawSandbox",
        "homeTenantId": tenant.id,
        "managedByTenants": [],
    }
    profile = {"installationId": tenant.new_id(), "subscriptions": [account]}
    (folder / "azureProfile.json").write_text(json.dumps(profile), encoding="utf-8-sig")
    (folder / "clouds.config").write_text(
        "[EntraclawSandbox]\n"
        f"endpoint_active_directory = {tenant.authority}\n"
        f"endpoint_active_directory_resource_id = {ARM_RESOURCE}\n"
        f"endpoint_resource_manager = {tenant.authority}\n"
        f"endpoint_microsoft_graph_resource_id = {tenant.graph}/\n",
        encoding="utf-8",
    )
    (folder / "config").write_text(
        "[cloud]\nname = EntraclawSandbox\n[core]\ninstance_discovery = false\ncollect_telemetry = false\n"
        "use_msal_http_cache = false\nlogin_experience_v2 = off\nno_color = true\n",
        encoding="utf-8",
    )
    versions = {"azure-cli": {"local": "2.91.0"}, "core": {"local": "2.91.0"}, "telemetry": {"local": "2.91.0"}}
    checked = {"versions": versions, "update_time": tenant.now().strftime("%Y-%m-%d %H:%M:%S.%f")}
    (folder / "versionCheck.json").write_text(json.dumps(checked), encoding="utf-8")
