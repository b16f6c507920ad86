"""Keys that are read and tokens that are asked for, with an audit log around them (D3)."""

from __future__ import annotations

from collections.abc import Callable

from core.clock import Cancel
from core.entra.tokens import Token
from core.flow.audit import Audit
from core.machine.azure_cli import SignIn
from core.machine.azure_login import Prompt
from core.machine.keystore.system import PROBE_SERVICE, Backend, Keystore
from core.secret import Secret


class AuditedKeystore:
    """A keystore whose reads are told of; what a run writes there, its journal tells."""

    def __init__(self, keystore: Keystore, audit: Audit) -> None:
        self._keystore = keystore
        self._audit = audit

    def backend(self) -> Backend:
        """What would be used."""
        return self._keystore.backend()

    def read(self, service: str, account: str) -> Secret | None:
        """The value, or None when there is no such entry."""
        if service == PROBE_SERVICE:  # a test value, and no key
            return self._keystore.read(service, account)
        with self._audit.around("keystore.read"):
            return self._keystore.read(service, account)

    def has(self, service: str, account: str) -> bool:
        """Whether there is such an entry; nobody learns what it holds."""
        return self._keystore.has(service, account)

    def write(self, service: str, account: str, value: Secret) -> None:
        """Store a value."""
        self._keystore.write(service, account, value)

    def delete(self, service: str, account: str) -> None:
        """Remove an entry."""
        self._keystore.delete(service, account)


class AuditedSignIn:
    """An Azure sign-in whose tokens are told of."""

    def __init__(self, sign_in: SignIn, audit: Audit) -> None:
        self._sign_in = sign_in
        self._audit = audit

    def graph_token(self, tenant: str) -> Token:
        """A Microsoft Graph token of the signed-in principal."""
        with self._audit.around("azure.token"):
            return self._sign_in.graph_token(tenant)

    def login(self, tenant: str, *, device_code: bool, tell: Callable[[Prompt], None], cancel: Cancel) -> None:
        """Sign a person in."""
        with self._audit.around("azure.login"):
            self._sign_in.login(tenant, device_code=device_code, tell=tell, cancel=cancel)

    def logout(self) -> None:
        """Sign out."""
        with self._audit.around("azure.logout"):
            self._sign_in.logout()
