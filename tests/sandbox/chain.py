"""The agent chain as tests make it: through Graph, with the app's own token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.sandbox.directory.store import State
from core.sandbox.graph import roles
from tests.sandbox.client import Client

BLUEPRINTS = "/applications/microsoft.graph.agentIdentityBlueprint"
PRINCIPALS = "/servicePrincipals/microsoft.graph.agentIdentityBlueprintPrincipal"
IDENTITIES = "/servicePrincipals/microsoft.graph.agentIdentity"
USERS = "/users/microsoft.graph.agentUser"
EVERY = (*roles.BASE, *roles.AGENT)


@dataclass
class Chain:
    """A client whose token is the app's, with every role of the Provisioner unless a test asks for others."""

    client: Client

    def __post_init__(self) -> None:
        self.person = self.client.token
        self.client.token = self.client.app_token(*EVERY)
        sponsor = f"{self.client.tenant.graph}/v1.0/users/{self.client.tenant.signed_in_user}"
        self.sponsors = {"sponsors@odata.bind": [sponsor]}

    def blueprint_body(self, **values: Any) -> State:
        return {"displayName": "Blueprint", **self.sponsors, **values}

    def identity_body(self, blueprint: State, **values: Any) -> State:
        return {"displayName": "Agent", "agentIdentityBlueprintId": blueprint["appId"], **self.sponsors, **values}

    def user_body(self, identity: State | None, upn: str = "agent", **values: Any) -> State:
        parent = {} if identity is None else {"identityParentId": identity["id"]}
        return {
            "@odata.type": "microsoft.graph.agentUser",
            "accountEnabled": True,
            "displayName": "Agent",
            "mailNickname": upn,
            "userPrincipalName": upn if "@" in upn else f"{upn}@{self.client.tenant.domain}",
            **parent,
            **values,
        }

    def made(self, path: str, body: State) -> State:
        response = self.client.call("POST", path, body)
        assert response.status == 201, response.body
        return response.json()

    def blueprint(self, **values: Any) -> State:
        """A Blueprint with its principal."""
        made = self.made(BLUEPRINTS, self.blueprint_body(**values))
        self.made(PRINCIPALS, {"appId": made["appId"]})
        return made

    def identity(self, blueprint: State) -> State:
        return self.made(IDENTITIES, self.identity_body(blueprint))

    def user(self, identity: State, upn: str = "agent") -> State:
        return self.made(USERS, self.user_body(identity, upn))
