"""A sign-in without the Azure CLI, for a demo in one process: the tenant issues the token directly."""

from __future__ import annotations

from core.cloud import Cloud
from core.entra.tokens import Token, claims_of
from core.machine.az import checked_user_token
from core.sandbox import scenarios
from core.sandbox.tenant import State, Tenant
from core.sandbox.tokens import AZURE_CLI, app_token, user_token
from core.secret import Secret


class SandboxSignIn:
    """Somebody, signed in.

    :param who: a user principal name, the part before its `@`, or an object id; or the app id of an application,
        as after `az login --service-principal`. Empty: the scenario's user, whoever that is at each call.
    :raises SetupError: `usage.settings`, at the first use: nobody is called that.
    """

    def __init__(self, tenant: Tenant, cloud: Cloud, who: str = "") -> None:
        self._tenant = tenant
        self._cloud = cloud
        self._who = who

    def graph_token(self, tenant: str) -> Token:
        app, audience = self._app(), f"{self._tenant.graph}/"
        if app:
            value = app_token(self._tenant, app, audience, self._tenant.replica())
        else:
            value = user_token(self._tenant, self._user(), audience, AZURE_CLI)
        return checked_user_token(Token(Secret(value), claims_of(value)), self._cloud, tenant)

    def _app(self) -> State | None:
        return self._tenant.find("servicePrincipal", "appId", self._who) if self._who else None

    def _user(self) -> State:
        return scenarios.person(self._tenant, self._who or self._tenant.signed_in_user)
