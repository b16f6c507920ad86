"""What `az login` leaves in its folder, for a person of the pretend tenant (S4; entra-protocol E.4, E.5)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from core.sandbox import origins
from core.sandbox.arm import groups
from core.sandbox.arm import route as arm
from core.sandbox.directory.store import ARM_RESOURCE, State, Tenant
from core.sandbox.http import Request, Response
from core.sandbox.service import handle
from core.sandbox.token_service.tokens import AZURE_CLI


def write(tenant: Tenant, folder: Path, user: State, *, public: bool = False) -> None:
    """Write profile, settings and MSAL's own token cache, filled by MSAL itself.

    :param folder: for `AZURE_CONFIG_DIR`; made when it is missing.
    :param user: who is signed in.
    :param public: signed in to AzureCloud under its own names, as behind the proxy.
    """
    import msal

    settings(tenant, folder, public=public)
    authority = origins.PUBLIC.authority if public else tenant.authority
    cache = msal.SerializableTokenCache()
    client = msal.PublicClientApplication(
        AZURE_CLI,
        authority=f"{authority}/{tenant.id}",
        instance_discovery=False,
        token_cache=cache,
        http_client=InProcess(tenant),
        client_capabilities=["CP1"],
    )
    flow = client.initiate_device_flow([f"{ARM_RESOURCE}/.default"])
    # the person approves here and now
    tenant.device_codes[flow["device_code"]].approved_by = user["id"]
    result = client.acquire_token_by_device_flow(flow)
    assert "access_token" in result, result.get("error")
    cache_file = folder / "msal_token_cache.json"
    cache_file.touch(mode=0o600)
    cache_file.write_text(cache.serialize(), encoding="utf-8")
    claims = {"oid": user["id"]}
    found = [(one["subscriptionId"], one["displayName"]) for one in groups.subscriptions(tenant, claims)]
    account_id, name = (found or [(tenant.id, "N/A(tenant level account)")])[0]
    account = {
        "id": account_id,
        "name": name,
        "state": "Enabled",
        "user": {"name": user["userPrincipalName"], "type": "user"},
        "isDefault": True,
        "tenantId": tenant.id,
        "environmentName": _name(public),
        "homeTenantId": tenant.id,
        "managedByTenants": [],
    }
    profile = {"installationId": tenant.passing_id(), "subscriptions": [account]}
    (folder / "azureProfile.json").write_text(json.dumps(profile), encoding="utf-8-sig")


def settings(tenant: Tenant, folder: Path, *, public: bool = False) -> None:
    """Write the settings alone: of the sandbox's cloud, or of AzureCloud as it is installed; nobody is signed in.

    :param folder: for `AZURE_CONFIG_DIR`; made when it is missing.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    discovery = ""
    if not public:
        discovery = "instance_discovery = false\n"  # with it MSAL drops the port
        (folder / "clouds.config").write_text(
            f"[{_name(public)}]\n"
            f"endpoint_active_directory = {tenant.authority}\n"
            f"endpoint_active_directory_resource_id = {ARM_RESOURCE}\n"
            f"endpoint_resource_manager = {tenant.authority}\n"
            f"endpoint_microsoft_graph_resource_id = {tenant.graph}/\n",
            encoding="utf-8",
        )
    (folder / "config").write_text(
        f"[cloud]\nname = {_name(public)}\n[core]\n{discovery}collect_telemetry = false\n"
        "use_msal_http_cache = false\nlogin_experience_v2 = off\nno_color = true\n",
        encoding="utf-8",
    )
    versions = {"azure-cli": {"local": "2.91.0"}, "core": {"local": "2.91.0"}, "telemetry": {"local": "2.91.0"}}
    checked = {"versions": versions, "update_time": tenant.now().strftime("%Y-%m-%d %H:%M:%S.%f")}
    (folder / "versionCheck.json").write_text(json.dumps(checked), encoding="utf-8")


def _name(public: bool) -> str:
    return "AzureCloud" if public else arm.CLOUD


class InProcess:
    """MSAL's HTTP client, answered by the tenant itself."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def get(self, url: str, params: Any = None, headers: Any = None, **_: Any) -> _Answer:
        return _Answer(handle(self._tenant, Request.to("GET", url, headers)))

    def post(self, url: str, params: Any = None, data: Any = None, headers: Any = None, **_: Any) -> _Answer:
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
