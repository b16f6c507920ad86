"""Somebody else who changes the app while a run is under way (S3, M2, M17)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from core.config.profile import Profile
from core.entra import certificates, credentials
from core.sandbox.directory import registrations, users
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph.chain import BINS

Act = Literal["add-password", "replace-keys", "remove-key", "delete-app", "change-owner"]
Target = Literal["application", "servicePrincipal"]
Key = Literal["newest", "oldest"]
NAME: Final = "Mallory Malice"


@dataclass(frozen=True)
class Saboteur:
    """One deed, done behind Graph's back: no permission and no policy stops it. Without its target it does nothing.

    :param do: `add-password`; `replace-keys`: a stranger's certificate instead of all; `remove-key`; `delete-app`: with
        its service principal; `change-owner`: a stranger instead of all owners.
    :param on: the app or its service principal; `delete-app` means both.
    :param app: display name of the app; of several, the first.
    :param key: which one `remove-key` takes.
    """

    do: Act
    on: Target = "application"
    app: str = Profile.app_display_name
    key: Key = "newest"

    def __call__(self, tenant: Tenant) -> None:
        """Do it once."""
        app = tenant.find("application", "displayName", self.app)
        principal = tenant.find("servicePrincipal", "appId", app["appId"]) if app else None
        state = app if self.on == "application" else principal
        if app is None or state is None:
            return
        if self.do == "delete-app":
            _delete(tenant, app, principal)
            return
        self._change(tenant, state)
        tenant.commit(self.on, state["id"], state)

    def __str__(self) -> str:
        what = f"remove-key {self.key}" if self.do == "remove-key" else self.do
        return f"somebody: {what}" if self.do == "delete-app" else f"somebody: {what} on {self.on}"

    def _change(self, tenant: Tenant, state: State) -> None:
        match self.do:
            case "add-password":
                entry, _ = registrations.new_password(tenant, NAME)
                state["passwordCredentials"] = [*state["passwordCredentials"], entry]
            case "replace-keys":
                key_pair = certificates.make(NAME, tenant.now())
                state["keyCredentials"] = registrations.keys_of(
                    tenant, [credentials.entry_of(key_pair, tenant.new_id(), NAME)]
                )
            case "remove-key":
                keys = state["keyCredentials"]
                state["keyCredentials"] = keys[:-1] if self.key == "newest" else keys[1:]
            case "change-owner":
                stranger = tenant.find("user", "displayName", NAME) or users.add(tenant, NAME)
                state["_owners"] = [stranger["id"]]


def _delete(tenant: Tenant, app: State, principal: State | None) -> None:
    for kind, state in (("application", app), ("servicePrincipal", principal)):
        if state is not None:
            tenant.commit(kind, state["id"], None)
            tenant.commit(BINS[kind], state["id"], state | {"deletedDateTime": tenant.stamp()})
