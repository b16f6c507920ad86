"""A client of the pretend tenant in the same process: no network, one call per request."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from core.config.profile import Profile
from core.entra import certificates, credentials
from core.entra.certificates import KeyPair
from core.entra.tokens import claims_of
from core.sandbox.directory import registrations
from core.sandbox.directory.store import Issued, State, Tenant
from core.sandbox.graph.proof import AUDIENCE
from core.sandbox.http import Request, Response
from core.sandbox.scenarios import catalogue as scenarios
from core.sandbox.service import handle
from core.sandbox.token_service.assertion import ASSERTION_TYPE
from core.sandbox.token_service.tokens import AZURE_CLI, user_token
from tests.machine import VirtualClock


@cache
def key_pair(number: int = 0) -> KeyPair:
    """A key pair; making one takes a moment, so tests share them."""
    return certificates.make(f"machine-{number}", VirtualClock().now())


@dataclass
class Client:
    """Calls a tenant as its signed-in user; the app, if the scenario has one, has a client secret.

    :param version: of Graph.
    """

    scenario: str = "clean"
    seed: int = 1
    clock: VirtualClock = field(default_factory=VirtualClock)
    version: str = "v1.0"

    def __post_init__(self) -> None:
        self.tenant = Tenant(self.clock, self.seed)
        self.machine = scenarios.seed(self.scenario, self.tenant)
        self.members = self.machine.members
        self.app_id = self.members.get(Profile.client_id_member, "")
        self.secret = ""
        if self.app_id:
            entry, secret = registrations.new_password(self.tenant, "first")
            self.change("application", passwordCredentials=[*self.app["passwordCredentials"], entry])
            self.secret = secret.reveal()
        self.token = self.user_token()

    # what is there

    @property
    def app(self) -> State:
        """The app registration, newest version."""
        return self.latest("application")

    @property
    def principal(self) -> State:
        """Its service principal, newest version."""
        return self.latest("servicePrincipal")

    def latest(self, kind: str) -> State:
        """The newest version of app or principal."""
        found = self.tenant.find(kind, "appId", self.app_id)
        assert found is not None
        return found

    def change(self, kind: str, **values: Any) -> None:
        """Change app or principal as another administrator would."""
        state = self.latest(kind) | values
        self.tenant.commit(kind, state["id"], state)

    def add_key(self, pair: KeyPair, kind: str = "application", **values: Any) -> State:
        """Put a certificate on the app behind Graph's back."""
        (entry,) = registrations.keys_of(self.tenant, [self.entry(pair)])
        entry |= values
        self.change(kind, keyCredentials=[*self.latest(kind)["keyCredentials"], entry])
        return entry

    def entry(self, pair: KeyPair, **values: Any) -> State:
        """A keyCredential to send."""
        return credentials.entry_of(pair, self.tenant.new_id(), "mine") | values

    # Graph

    def user_token(self, **values: Any) -> str:
        """A Graph token of the signed-in user, with changed properties of the user."""
        user = self.tenant.latest("user", self.tenant.signed_in_user)
        assert user is not None
        return user_token(self.tenant, user | values, self.tenant.graph, AZURE_CLI)

    def scoped(self, scopes: str, *directory_roles: str) -> str:
        """A Graph token of the signed-in user with other scopes than the Azure CLI's."""
        token = f"scoped {self.tenant.new_id()}"
        claims = self.tenant.issued[self.user_token(_roles=list(directory_roles))].claims | {"scp": scopes}
        self.tenant.issued[token] = Issued(claims, "access")
        return token

    def app_token(self, *granted: str) -> str:
        """A Graph token of the app with exactly these app roles."""
        token = f"app {self.tenant.new_id()}"
        claims = claims_of(self.sign_in(client_secret=self.secret).json()["access_token"]) | {"roles": list(granted)}
        self.tenant.issued[token] = Issued(claims, "access")
        return token

    def call(self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str) -> Response:
        """One request to Graph; `path` is percent-encoded here."""
        url = f"{self.tenant.graph}/{self.version}" + quote(path, safe="/?$&=(),:'%@+*")
        content = b"" if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if content else {}
        given = {"Authorization": f"Bearer {self.token if token is None else token}", **kind, **headers}
        return handle(self.tenant, Request.to(method, url, given, content))

    def get(self, path: str, token: str | None = None) -> dict[str, Any]:
        """The body of a successful GET."""
        response = self.call("GET", path, token=token)
        assert response.status == 200, response.body
        return response.json()

    def refused(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, str]:
        """Status and code of a refusal, whose envelope is checked (entra-protocol A.4)."""
        response = self.call(method, path, body, token)
        error = response.json()["error"]
        assert set(error) - {"details"} == {"code", "message", "innerError"}
        assert set(error["innerError"]) == {"date", "request-id", "client-request-id"}
        assert {"request-id", "client-request-id", "Date", "Content-Type"} <= set(response.headers)
        return response.status, error["code"]

    # sign-in

    def sign_in(self, tenant: str | None = None, authorization: str = "", **form: str) -> Response:
        """A client-credentials request, or another grant.

        :param authorization: the header of that name.
        """
        given = {
            "grant_type": "client_credentials",
            "client_id": self.app_id,
            "scope": f"{self.tenant.graph}/.default",
            **form,
        }
        content = urlencode({name: value for name, value in given.items() if value}).encode()
        url = f"{self.tenant.authority}/{tenant or self.tenant.id}/oauth2/v2.0/token"
        headers = {"Authorization": authorization} if authorization else {}
        return handle(self.tenant, Request.to("POST", url, headers, content))

    def sign_in_with(self, pair: KeyPair, **options: Any) -> Response:
        """Sign in with a client assertion."""
        return self.sign_in(client_assertion_type=ASSERTION_TYPE, client_assertion=self.assertion(pair, **options))

    def assertion(
        self,
        pair: KeyPair,
        *,
        alg: str = "RS256",
        header: dict[str, Any] | None = None,
        signed_by: KeyPair | None = None,
        **claims: Any,
    ) -> str:
        """A client assertion; every part of it can be spoilt, and None leaves a claim out."""
        now = int(self.tenant.now().timestamp())
        body = {
            "aud": f"{self.tenant.authority}/{self.tenant.id}/oauth2/v2.0/token",
            "iss": self.app_id,
            "sub": self.app_id,
            "jti": self.tenant.new_id(),
            "nbf": now,
            "iat": now,
            "exp": now + 300,
            **claims,
        }
        return signed(signed_by or pair, body, alg, header if header is not None else x5t(pair))

    def proof(
        self,
        pair: KeyPair,
        holder_id: str,
        *,
        alg: str = "RS256",
        header: dict[str, str] | None = None,
        signed_by: KeyPair | None = None,
        **claims: Any,
    ) -> str:
        """A proof of possession for addKey and removeKey (entra-protocol B.4); every part of it can be spoilt.

        :param holder_id: object id of the application or service principal.
        """
        now = int(self.tenant.now().timestamp())
        body = {"aud": AUDIENCE, "iss": holder_id, "nbf": now, "exp": now + 600, **claims}
        return signed(signed_by or pair, body, alg, header if header is not None else x5t(pair))


def signed(pair: KeyPair, claims: dict[str, Any], alg: str, header: dict[str, str]) -> str:
    """A JWT; a claim that is None is left out."""
    import jwt
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: Any = load_pem_private_key(pair.pem.reveal().encode(), None, unsafe_skip_rsa_key_validation=True)
    payload = {name: value for name, value in claims.items() if value is not None}
    signer = jwt.PyJWS()  # which, unlike PyJWT, signs whatever it is given
    return signer.encode(json.dumps(payload).encode(), key, alg, header)


def x5t(pair: KeyPair, *, sha256: bool = False, padded: bool = False) -> dict[str, str]:
    """The header that names a certificate by its SHA-1 or SHA-256 thumbprint."""
    digest = hashlib.sha256(pair.der) if sha256 else hashlib.sha1(pair.der)
    text = base64.urlsafe_b64encode(digest.digest()).decode()
    return {"x5t#S256" if sha256 else "x5t": text if padded else text.rstrip("=")}


def expired(pair: KeyPair) -> str:
    """A moment before now, as Graph writes it."""
    return (pair.not_before + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
