"""The tenant in which the examples are replayed: whatever their pages speak of is made through Graph before."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any, Final

import requests

from core.sandbox.directory import registrations, users
from core.sandbox.directory.store import GRAPH_APP_ID, State
from core.sandbox.graph import roles
from core.sandbox.graph.proof import AUDIENCE
from core.sandbox.lab import Lab
from core.sandbox.token_service import tokens
from tests.sandbox.client import key_pair, signed, x5t
from tests.sandbox.genuine.pages import Example

#: What the caller holds: whatever a page asks for, but for what the Agent ID APIs refuse.
_PERMISSIONS: Final = {*roles.OFFERED, "Domain.Read.All", "Group.Read.All"} - {"Directory.ReadWrite.All"}
_SCOPES: Final = "User.Read User.Read.All Directory.Read.All Application.ReadWrite.All"
_BLUEPRINTS: Final = "/applications/microsoft.graph.agentIdentityBlueprint"
_IDENTITIES: Final = "/servicePrincipals/microsoft.graph.agentIdentity"
_ROLE: Final = "Application.Read.All"
#: Names of the key pairs by their number: the one that signs proofs, one to be removed, one to be added.
_SIGNER, _OLD, _NEW = 0, 1, 2


class Unprepared(Exception):
    """What an example speaks of could not be made."""


@dataclass
class World:
    """A running sandbox with the objects of an example, each made when it is first spoken of."""

    lab: Lab
    session: requests.Session
    _made: dict[str, State] = field(default_factory=dict)

    @property
    def graph(self) -> str:
        """Origin of Graph."""
        return self.lab.tenant.graph

    def send(self, example: Example) -> requests.Response:
        """Send an example's request.

        :raises Unprepared: what it speaks of cannot be made.
        """
        for named in example.given.values():
            for name in [named] if isinstance(named, str) else named:
                self.value(name)
        request, _, body = self.translate(example, f"{example.request}\n{example.body}").partition("\n")
        method, _, path = request.partition(" ")
        return self._send(method, path, body, example.caller, example.headers, example.version)

    def translate(self, example: Example, text: str) -> str:
        """A text of the page with the prepared tenant's values."""
        for literal, named in example.given.items():
            for name in [named] if isinstance(named, str) else named:
                if literal:
                    text = text.replace(literal, self.value(name), -1 if isinstance(named, str) else 1)
        return text

    def value(self, name: str) -> str:
        """What a name stands for: `=text`, `object.member`, or an object that only has to be there."""
        if name.startswith("="):
            return name[1:]
        if name == "certificate":
            return base64.b64encode(key_pair(_NEW).der).decode()
        noun, _, member = name.partition(".")
        if noun == "proof":
            return self._proof(self.object(member)["id"])
        return str(self.object(noun)[member or "id"])

    def object(self, noun: str) -> State:
        """An object of the tenant, made on first use."""
        if noun not in self._made:
            self._made[noun] = getattr(self, f"_{noun}")()
        return self._made[noun]

    def token(self, caller: str) -> str:
        """A token for Graph.

        :param caller: `app`: an app with every permission; `person`: who is signed in; else the service
            principal of that name, without any permission.
        """
        tenant = self.lab.tenant
        if caller == "person":
            return tokens.user_token(tenant, self.object("owner"), tenant.graph, tokens.AZURE_CLI, _SCOPES)
        if caller != "app":
            return tokens.app_token(tenant, self.object(caller), tenant.graph, 0)
        return tokens.app_token(tenant, self.object("caller"), tenant.graph, 0, roles=sorted(_PERMISSIONS))

    def _send(
        self, method: str, path: str, body: str, caller: str, headers: dict[str, str], version: str = "v1.0"
    ) -> requests.Response:
        kind = {"Content-Type": "application/json"} if body else {}
        given = {"Authorization": f"Bearer {self.token(caller)}", **kind, **headers}
        url = f"{self.graph}/{version}{path}"
        return self.session.request(method, url, data=body.encode() or None, headers=given, timeout=30)

    def _make(self, method: str, path: str, body: Any = None, caller: str = "app", **headers: str) -> State:
        text = "" if body is None else json.dumps(body)
        response = self._send(method, path, text, caller, headers)
        if not response.ok:
            raise Unprepared(f"{response.status_code} to {method} {path.partition('(')[0]}")
        found: State = response.json() if response.content else {}
        return found

    def _get(self, path: str) -> State:
        return self._make("GET", path)

    # what there is

    def _tenant(self) -> State:
        return {"id": self.lab.tenant.id, "domain": self.lab.tenant.domain}

    def _caller(self) -> State:
        tenant = self.lab.tenant
        made = registrations.new_principal(tenant, registrations.new_application(tenant, "Caller"))
        tenant.commit("servicePrincipal", made["id"], made)
        return made

    def _owner(self) -> State:
        return users.find(self.lab.tenant, self.lab.tenant.signed_in_user)

    def _admin(self) -> State:
        return users.find(self.lab.tenant, "alex")

    def _other(self) -> State:
        return users.add(self.lab.tenant, "Adele Vance")

    def _second(self) -> State:
        return users.add(self.lab.tenant, "Lynne Robbins")

    def _graph(self) -> State:
        found = self.lab.tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
        assert found is not None
        return found

    def _role(self) -> State:
        return {"id": roles.OFFERED[_ROLE]}

    def _group(self) -> State:
        (found, *_) = [*self.lab.tenant.all_latest("group"), {"id": self.lab.tenant.new_id()}]
        return found

    # applications

    def _bare(self) -> State:
        access = {"resourceAppId": GRAPH_APP_ID, "resourceAccess": [{"id": roles.OFFERED[_ROLE], "type": "Role"}]}
        body = {"displayName": "a Web app", "requiredResourceAccess": [access]}
        made = self._make("PATCH", "/applications(uniqueName='app-65278')", body, Prefer="create-if-missing")
        place = f"/applications/{made['id']}"
        self._make("PATCH", place, {"identifierUris": [f"api://{made['appId']}"]})
        self._refer(place, "owners", "owner")
        return made

    def _app(self) -> State:
        made = self.object("bare")
        place = f"/applications/{made['id']}"
        self._make("PATCH", place, {"keyCredentials": [self._key(_SIGNER), self._key(_OLD)]})
        return made | {"oldKey": self._old(place)}

    def _principal(self) -> State:
        made = self._make("POST", "/servicePrincipals", {"appId": self.object("bare")["appId"]})
        place = f"/servicePrincipals/{made['id']}"
        self._refer(place, "owners", "owner")
        self._make("PATCH", place, {"keyCredentials": [self._key(_SIGNER), self._key(_OLD)]})
        return made | {"oldKey": self._old(place)}

    def _api(self) -> State:
        made = self._make("POST", "/applications", {"displayName": "an API without roles"})
        return self._make("POST", "/servicePrincipals", {"appId": made["appId"]})

    def _old(self, place: str) -> str:
        keys: list[State] = self._get(place)["keyCredentials"]
        return str(next(key["keyId"] for key in keys if key["displayName"] == f"key {_OLD}"))

    def _key(self, number: int) -> State:
        der = base64.b64encode(key_pair(number).der).decode()
        return {"type": "AsymmetricX509Cert", "usage": "Verify", "key": der, "displayName": f"key {number}"}

    def _proof(self, holder_id: str) -> str:
        now = int(self.lab.tenant.now().timestamp())
        pair = key_pair(_SIGNER)
        claims = {"aud": AUDIENCE, "iss": holder_id, "nbf": now, "exp": now + 600}
        return signed(pair, claims, "RS256", x5t(pair))

    def _refer(self, place: str, relation: str, noun: str) -> None:
        address = f"{self.graph}/v1.0/directoryObjects/{self.object(noun)['id']}"
        self._make("POST", f"{place}/{relation}/$ref", {"@odata.id": address})

    def _password(self) -> State:
        return self._make("POST", f"/applications/{self.object('app')['id']}/addPassword", {})

    def _principalPassword(self) -> State:
        return self._make("POST", f"/servicePrincipals/{self.object('principal')['id']}/addPassword", {})

    def _fic(self) -> State:
        body = {"name": "fic01-app-65278", "issuer": "https://issuer.example", "subject": "s"}
        place = f"/applications/{self.object('app')['id']}/federatedIdentityCredentials"
        return self._make("POST", place, body | {"audiences": ["api://AzureADTokenExchange"]})

    def _deleted(self) -> State:
        self._make("DELETE", f"/applications/{self.object('bare')['id']}")
        return self.object("bare")

    def _grant(self) -> State:
        principal, graph = self.object("principal")["id"], self.object("graph")["id"]
        body = {"principalId": principal, "resourceId": graph, "appRoleId": roles.OFFERED[_ROLE]}
        return self._make("POST", f"/servicePrincipals/{graph}/appRoleAssignedTo", body)

    def _consent(self, **more: Any) -> State:
        ends = {"clientId": self.object("principal")["id"], "resourceId": self.object("graph")["id"]}
        body = {**ends, "consentType": "AllPrincipals", "scope": "User.Read", "startTime": "2026-01-01T00:00:00Z"}
        return self._make("POST", "/oauth2PermissionGrants", body | more)

    def _userConsent(self) -> State:
        return self._consent(consentType="Principal", principalId=self.object("other")["id"])

    # agents

    def _bareBlueprint(self) -> State:
        people = [f"{self.graph}/v1.0/users/{self.object(noun)['id']}" for noun in ("owner", "second")]
        body = {"displayName": "Blueprint", "sponsors@odata.bind": people, "owners@odata.bind": people[:1]}
        return self._make("POST", _BLUEPRINTS, body)

    def _blueprint(self) -> State:
        made = self.object("bareBlueprint")
        self._make("PATCH", f"/applications/{made['id']}", {"keyCredentials": [self._key(_SIGNER)]})
        return made

    def _blueprintPassword(self) -> State:
        place = f"/applications/{self.object('blueprint')['id']}/microsoft.graph.agentIdentityBlueprint"
        return self._make("POST", f"{place}/addPassword", {})

    def _blueprintPrincipal(self) -> State:
        body = {"appId": self.object("bareBlueprint")["appId"]}
        return self._make("POST", "/servicePrincipals/microsoft.graph.agentIdentityBlueprintPrincipal", body)

    def _inheritable(self) -> State:
        scopes = {"@odata.type": "microsoft.graph.enumeratedScopes", "scopes": ["User.Read", "Mail.Read"]}
        place = f"/applications/{self.object('blueprint')['id']}/microsoft.graph.agentIdentityBlueprint"
        body = {"resourceAppId": GRAPH_APP_ID, "inheritableScopes": scopes}
        return {"id": "", **self._make("POST", f"{place}/inheritablePermissions", body)}

    def _identity(self) -> State:
        sponsor = f"{self.graph}/v1.0/users/{self.object('owner')['id']}"
        body = {"displayName": "Agent", "agentIdentityBlueprintId": self.object("blueprintPrincipal")["appId"]}
        return self._make("POST", _IDENTITIES, body | {"sponsors@odata.bind": [sponsor]})

    def _agentUser(self) -> State:
        body = {"accountEnabled": True, "displayName": "Agent", "mailNickname": "agent"}
        body |= {"identityParentId": self.object("identity")["id"]}
        body |= {"userPrincipalName": f"agent@{self.lab.tenant.domain}"}
        return self._make("POST", "/users/microsoft.graph.agentUser", body)

    # policies and logs

    def _policy(self) -> State:
        since = {"maxLifetime": None, "restrictForAppsCreatedAfterDateTime": "2019-10-19T10:37:00Z"}
        lifetime = since | {"restrictionType": "asymmetricKeyLifetime", "maxLifetime": "P900D"}
        restrictions = {
            "passwordCredentials": [since | {"restrictionType": "passwordAddition"}],
            "keyCredentials": [lifetime],
        }
        body = {"displayName": "Ours", "description": "d", "isEnabled": False, "restrictions": restrictions}
        return self._make("POST", "/policies/appManagementPolicies", body)

    def _assigned(self) -> State:
        made = self.object("policy")
        address = f"{self.graph}/v1.0/policies/appManagementPolicies/{made['id']}"
        place = f"/applications/{self.object('bare')['id']}/appManagementPolicies/$ref"
        self._make("POST", place, {"@odata.id": address})
        return made

    def _audited(self) -> State:
        self._make("PATCH", f"/applications/{self.object('bare')['id']}", {"notes": "changed"}, caller="person")
        records = self._get("/auditLogs/directoryAudits")["value"]
        if not records:
            raise Unprepared("no record of a change")
        return {**records[0], "by": self.object("owner")["id"]}
