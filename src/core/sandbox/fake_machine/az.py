"""A sign-in without the Azure CLI, for a demo in one process: the tenant issues the token directly."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from core.clock import Cancel
from core.config.cloud import Cloud
from core.entra.tokens import Token, claims_of
from core.errors import SetupError, SignInError
from core.machine.azure_cli import NO_JSON, checked_user_token, refuse_answer
from core.machine.azure_login import Prompt, checked_tenant
from core.machine.keys.hardware import Hardware
from core.machine.prerequisites import (
    AZ,
    BUS,
    BY_HAND,
    GIT,
    NO_BUS,
    NO_SERVICE,
    NO_VERSION,
    NOT_ON_PATH,
    PYTHON,
    SECRETS,
    Tool,
)
from core.sandbox.directory import users
from core.sandbox.directory.store import ARM_RESOURCE, State, Tenant
from core.sandbox.fake_machine.machine import AzFault, Machine
from core.sandbox.http import Request, Response
from core.sandbox.token_service import endpoint
from core.sandbox.token_service.tokens import AZURE_CLI, app_token, user_token
from core.secret import Secret

#: Seconds until the pretend person has typed the code.
MOMENT: Final = 3.0
_SLICE: Final = 0.1
#: The computer of a demo: nothing of the real one is looked at.
TOOLS: Final = (
    Tool(PYTHON, ">= 3.11", f"{sys.version_info.major}.{sys.version_info.minor}", ok=True, required=True),
    Tool(GIT, "", "not needed here, nothing of the demo is in a repository", ok=True),
    Tool(SECRETS, "", "not needed here, the sandbox keeps the key in memory", ok=True),
    Tool(BUS, "", "not needed here, the sandbox keeps the key in memory", ok=True),
    Tool(AZ, "", "not needed here, the sandbox signs in", ok=True, required=True),
)
HARDWARE: Final = Hardware("none", "no TPM", "", why="the pretend computer of the sandbox has none")


#: Where the pretend computer has it.
_AZ: Final = Path("/usr/bin/az")


def tools_of(machine: Machine) -> tuple[Tool, ...]:
    """The programs and system pieces of a scenario's computer."""
    missing: dict[str, tuple[str, str]] = {}
    if machine.keystore == "none":
        missing |= {SECRETS: (NO_SERVICE, ""), BUS: (NO_BUS, "dbus-run-session -- bash")}
    if machine.az:
        why = NOT_ON_PATH if machine.az == "missing" else NO_VERSION.format(path=_AZ)
        missing[AZ] = (why, "pipx install azure-cli" if machine.az == "missing" else BY_HAND)
    return tuple(_without(tool, *missing[tool.name]) if tool.name in missing else tool for tool in TOOLS)


def _without(tool: Tool, why: str, install: str) -> Tool:
    return replace(tool, found="", ok=False, why=why, install=install, required=tool.name != SECRETS)


class SandboxSignIn:
    """Somebody, signed in.

    :param who: a user principal name, the part before its `@`, or an object id; or the app id of an application,
        as after `az login --service-principal`. Empty: the scenario's user, whoever that is at each call.
    :param signed_in: whether that has happened already.
    :param fault: what is wrong with the Azure CLI, which this stands for.
    :raises SetupError: `usage.settings`, at the first use: nobody is called that.
    """

    def __init__(
        self, tenant: Tenant, cloud: Cloud, who: str = "", *, signed_in: bool = True, fault: AzFault = ""
    ) -> None:
        self._tenant = tenant
        self._cloud = cloud
        self._who = who
        self.signed_in = signed_in
        self._fault = fault

    def graph_token(self, tenant: str) -> Token:
        self._find()
        if not self.signed_in:
            raise SetupError("az.signed-out", tenant_option=f" --tenant {tenant}" if tenant else "")
        if self._fault == "noisy":
            refuse_answer(_AZ, NO_JSON)
        app, audience = self._app(), f"{self._tenant.graph}/"
        if app:
            value = app_token(self._tenant, app, audience, self._tenant.replica())
        else:
            value = user_token(self._tenant, self._user(), audience, AZURE_CLI)
        return checked_user_token(Token(Secret(value), claims_of(value)), self._cloud, tenant)

    def login(self, tenant: str, *, device_code: bool, tell: Callable[[Prompt], None], cancel: Cancel) -> None:
        directory = checked_tenant(tenant) or "organizations"
        self._find()
        self._ask(tenant, "GET", f"{directory}/v2.0/.well-known/openid-configuration")
        cancel.check()
        if self._app() is not None:
            self._who = ""  # it is a person who signs in
        if device_code:
            form = {"client_id": AZURE_CLI, "scope": f"{ARM_RESOURCE}/.default"}
            flow = self._ask(tenant, "POST", f"{directory}/oauth2/v2.0/devicecode", form).json()
            tell(Prompt(flow["user_code"], flow["verification_uri"], flow["message"]))
            self._let_pass(MOMENT, cancel)
            endpoint.approve(self._tenant, flow["user_code"], self._user()["id"])
            form = {"client_id": AZURE_CLI, "grant_type": endpoint.DEVICE_GRANT, "device_code": flow["device_code"]}
            self._ask(tenant, "POST", f"{directory}/oauth2/v2.0/token", form)
        else:
            page = f"{self._tenant.authority}/{directory}/oauth2/v2.0/authorize"
            tell(Prompt("", page, f"A web browser would have been opened at {page}; the pretend person signed in."))
        self.signed_in = True

    def logout(self) -> None:
        self._find()
        self.signed_in = False

    def _find(self) -> None:
        """Find the program.

        :raises SetupError: `az.missing`.
        """
        if self._fault == "missing":
            raise SetupError("az.missing")

    def _ask(self, tenant: str, method: str, path: str, form: dict[str, str] | None = None) -> Response:
        """Ask the authority.

        :raises SignInError: it refused.
        """
        body = urlencode(form or {}).encode()
        response = endpoint.handle(self._tenant, Request.to(method, f"{self._tenant.authority}/{path}", {}, body))
        if response.status != 200:
            raise SignInError(response.json()["error_description"], tenant)
        return response

    def _let_pass(self, seconds: float, cancel: Cancel) -> None:
        """Time of the tenant, in pieces: its clock does not know what was cancelled here."""
        clock = self._tenant.clock
        end = clock.monotonic() + seconds
        while (left := end - clock.monotonic()) > 0:
            cancel.check()
            clock.wait(min(_SLICE, left))
        cancel.check()

    def _app(self) -> State | None:
        return self._tenant.find("servicePrincipal", "appId", self._who) if self._who else None

    def _user(self) -> State:
        return users.find(self._tenant, self._who or self._tenant.signed_in_user)
