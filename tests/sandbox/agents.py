"""An agent chain in a pretend tenant: Blueprint, Agent Identity, Agent User, and their three hops (D.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from core.sandbox.directory import registrations
from core.sandbox.directory.store import GRAPH_APP_ID, State
from core.sandbox.graph import consents, permissions
from core.sandbox.http import Response
from core.sandbox.token_service import resources
from core.sandbox.token_service.assertion import ASSERTION_TYPE
from tests.sandbox.client import Client, key_pair

SCOPE = f"{resources.EXCHANGE}/.default"


@dataclass
class Chain:
    """A chain whose Blueprint has a certificate, and whose Agent User has consent for `User.Read`."""

    client: Client = field(default_factory=Client)

    def __post_init__(self) -> None:
        tenant = self.client.tenant
        self.blueprint = registrations.new_application(tenant, "Blueprint") | {"@odata.type": permissions.BLUEPRINT}
        principal = registrations.new_principal(tenant, self.blueprint)
        principal["@odata.type"] = permissions.PRINCIPAL
        tenant.commit("application", self.blueprint["id"], self.blueprint)
        tenant.commit("servicePrincipal", principal["id"], principal)
        self.agent = self.child(self.blueprint["appId"])
        self.user = self.person(self.agent["id"])
        graph = tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
        assert graph is not None
        self.grant = self.consent(self.agent["id"], self.user["id"], graph["id"], "User.Read")
        (entry,) = registrations.keys_of(tenant, [self.client.entry(key_pair())])
        tenant.commit("application", self.blueprint["id"], self.blueprint | {"keyCredentials": [entry]})

    def child(self, blueprint_app_id: str) -> State:
        """An Agent Identity."""
        tenant = self.client.tenant
        agent = registrations.new_principal(tenant, {"appId": "", "displayName": "Agent"})
        agent |= {
            "@odata.type": permissions.IDENTITY,
            "appId": agent["id"],
            "servicePrincipalNames": [agent["id"]],
            "servicePrincipalType": "ServiceIdentity",
            "agentIdentityBlueprintId": blueprint_app_id,
        }
        tenant.commit("servicePrincipal", agent["id"], agent)
        return agent

    def person(self, parent: str) -> State:
        """An Agent User."""
        tenant = self.client.tenant
        name = f"agent-{tenant.new_id()[:8]}"
        user = {
            "@odata.type": permissions.AGENT_USER,
            "id": tenant.new_id(),
            "displayName": "Agent User",
            "userPrincipalName": f"{name}@{tenant.domain}",
            "accountEnabled": True,
            "identityParentId": parent,
        }
        tenant.commit("user", str(user["id"]), user)
        return user

    def consent(self, client: str, user: str, resource: str, scope: str) -> State:
        """A consent grant."""
        kind = "Principal" if user else "AllPrincipals"
        grant = {"clientId": client, "consentType": kind, "principalId": user or None, "resourceId": resource}
        grant |= {"id": self.client.tenant.new_id(), "scope": scope}
        self.client.tenant.commit(consents.KIND, str(grant["id"]), grant)
        return grant

    def as_blueprint(self, **form: str) -> Response:
        """A request of the Blueprint, with its certificate."""
        app_id = self.blueprint["appId"]
        signed = self.client.assertion(key_pair(), iss=app_id, sub=app_id)
        return self.client.sign_in(
            **{
                "client_id": app_id,
                "scope": SCOPE,
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": signed,
                **form,
            }
        )

    def hop1(self, path: str | None = None, **form: str) -> str:
        """T1."""
        response = self.as_blueprint(fmi_path=self.agent["id"] if path is None else path, **form)
        return token(response)

    def as_agent(self, t1: str, **form: str) -> Response:
        """A request of the Agent Identity, with T1."""
        return self.client.sign_in(
            **{
                "client_id": self.agent["id"],
                "scope": SCOPE,
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": t1,
                **form,
            }
        )

    def hop2(self, t1: str | None = None) -> str:
        """T2."""
        return token(self.as_agent(t1 or self.hop1()))

    def hop3(self, t2: str | None = None, **form: str) -> Response:
        """A request for T3."""
        given: dict[str, Any] = {
            "grant_type": "user_fic",
            "scope": f"{self.client.tenant.graph}/.default",
            "user_id": self.user["id"],
            "user_federated_identity_credential": t2 or self.hop2(),
            "requested_token_use": "on_behalf_of",
            **form,
        }
        return self.as_agent(self.hop1(), **given)


def token(response: Response) -> str:
    """The access token of a successful answer."""
    assert response.status == 200, response.body
    return str(response.json()["access_token"])
