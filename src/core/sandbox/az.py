"""A sign-in without the Azure CLI, for a demo in one process: the tenant issues the token directly."""

from __future__ import annotations

from core.cloud import Cloud
from core.entra.tokens import Token, claims_of
from core.machine.az import checked_user_token
from core.sandbox.login import AZURE_CLI, user_token
from core.sandbox.tenant import Tenant
from core.secret import Secret


class SandboxSignIn:
    """The scenario's user, signed in."""

    def __init__(self, tenant: Tenant, cloud: Cloud) -> None:
        self._tenant = tenant
        self._cloud = cloud

    def graph_token(self, tenant: str) -> Token:
        user = self._tenant.latest("user", self._tenant.signed_in_user)
        assert user is not None
        value = user_token(self._tenant, user, f"{self._tenant.graph}/", AZURE_CLI)
        return checked_user_token(Token(Secret(value), claims_of(value)), self._cloud, tenant)
