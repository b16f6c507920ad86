"""Who a client is, and how it proves that: secret, certificate, or a token that vouches for it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import unquote_plus

from core.sandbox.directory.registrations import life_of
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import permissions
from core.sandbox.token_service import assertion, federation
from core.sandbox.token_service.refusals import refuse
from core.sandbox.token_service.resources import marked
from core.sandbox.token_service.tokens import AZURE_CLI

_NAMES: Final = {AZURE_CLI: "Microsoft Azure CLI"}


@dataclass(frozen=True)
class Client:
    """A client.

    :param kind: `own`: Microsoft's, in every tenant; `app`; `blueprint`; `agent`, which has no application object.
    :param public: it cannot keep a credential.
    """

    id: str
    name: str
    kind: Literal["own", "app", "blueprint", "agent"]
    public: bool = False
    app: State | None = None
    principal: State | None = None

    @property
    def holders(self) -> list[State]:
        """The objects that may hold its credentials."""
        return [state for state in (self.app, self.principal) if state is not None]


@dataclass(frozen=True)
class Proof:
    """How a client proved who it is.

    :param strength: `0`: not at all; `1`: a secret; `2`: an assertion.
    :param used: the credential, if it is one of the client's own.
    :param vouched: the claims of T1, for an Agent Identity.
    """

    strength: str
    used: State | None = None
    vouched: dict[str, Any] | None = None


def find(tenant: Tenant, client_id: str, replica: int, directory: str = "") -> Client:
    """The client of a request.

    :param directory: the tenant as the path names it; `common` and `organizations` serve no app of one tenant.
    :raises Refused: 700016, 7000229, 7000112, 50194, or what `_refused` says.
    """
    asked, client_id = client_id, client_id.lower()
    if client_id in _NAMES:
        return Client(client_id, _NAMES[client_id], "own", public=True)
    app = tenant.find("application", "appId", client_id, replica, login=True)
    principal = tenant.find("servicePrincipal", "appId", client_id, replica, login=True)
    agent = principal is not None and principal.get("@odata.type") == permissions.IDENTITY
    if app is None and not agent:
        raise refuse(700016, app=asked, tenant_name=tenant.name)
    if principal is None:
        raise refuse(7000229, app=client_id, tenant=tenant.id)
    name = str((app or principal)["displayName"])
    facts = {"app": client_id, "name": name, "tenant": tenant.id, "tenant_name": tenant.name}
    disabled = any(state and state.get("isDisabled") for state in (app, principal))
    if disabled or not principal.get("accountEnabled", True):
        raise refuse(7000112, **facts)
    if problem := marked(principal, **facts):
        raise problem
    if app is None:
        return Client(client_id, name, "agent", principal=principal)
    if directory in ("common", "organizations") and app["signInAudience"] == "AzureADMyOrg":
        raise refuse(50194 if directory == "common" else 50059, directory=directory, **facts)
    kind: Literal["app", "blueprint"] = "blueprint" if app.get("@odata.type") == permissions.BLUEPRINT else "app"
    return Client(client_id, name, kind, bool(app.get("isFallbackPublicClient")), app, principal)


def named(header: str, form: dict[str, str]) -> dict[str, str]:
    """A token request's form with what its `Authorization` header adds: name and secret (RFC 6749 section 2.3.1).

    :raises Refused: 9002313, 9002324: the header cannot be read, or the form says something else.
    """
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return form
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except ValueError:
        text = ""
    name, colon, secret = (unquote_plus(part) for part in text.partition(":"))
    if not colon or not name or not (name + secret).isprintable():
        raise refuse(9002313, reason="The Authorization header holds no name and secret of a client.")
    if {"client_secret", "client_assertion"} & form.keys():
        raise refuse(9002324)
    if form.get("client_id", name).lower() != name.lower():
        raise refuse(9002313, reason="The Authorization header and the body name different clients.")
    return form | {"client_id": name} | ({"client_secret": secret} if secret else {})


def prove(tenant: Tenant, client: Client, form: dict[str, str], *, optional: bool = False) -> Proof:
    """Check the credential that came with a request.

    :param optional: a public client needs none, for example to redeem a person's code.
    :raises Refused: there is none, more than one, or one that does not hold.
    """
    given = [name for name in ("client_assertion", "client_secret") if name in form]
    if len(given) > 1:
        raise refuse(9002324)
    public = client.kind == "own" or (client.public and tenant.switches.fallback_is_public)
    if public and given:
        raise refuse(700025)
    if not given:
        if client.public and optional:
            return Proof("0")
        raise refuse(7000216 if form["grant_type"] == "client_credentials" else 7000218)
    if "client_secret" in form:
        if client.kind == "agent":
            raise refuse(82001, app=client.id)
        return Proof("1", _secret(tenant, client, form["client_secret"]))
    if form.get("client_assertion_type") != assertion.ASSERTION_TYPE:
        raise refuse(90023 if "client_assertion_type" in form else 900144, field="client_assertion_type")
    token = form["client_assertion"]
    _, claims = assertion.parts_of(token)
    if client.kind == "agent":
        if str(claims.get("iss")).lower() == client.id:
            raise refuse(82001, app=client.id)
        assert client.principal is not None
        return Proof("2", vouched=federation.first_hop(tenant, client.principal, token))
    if claims.get("iss") in federation.issuers(tenant):
        raise refuse(700222)
    if str(claims.get("iss")).startswith("https://"):
        trusted = (client.app or {}).get("_federated") or []
        raise federation.foreign(tenant, client.id, client.name, trusted, token)
    return Proof("2", assertion.check(tenant, client.id, token, client.holders))


def _secret(tenant: Tenant, client: Client, given: str) -> State:
    digest = hashlib.sha256(given.encode()).hexdigest()
    for holder in client.holders:
        for entry in holder["passwordCredentials"]:
            if hmac.compare_digest(entry["_digest"], digest):
                begins, ends = life_of(entry)
                if begins > tenant.now():
                    raise refuse(7000215, app=client.id)
                if ends <= tenant.now():
                    raise refuse(7000222, app=client.id)
                found: State = entry
                return found
    raise refuse(7000215, app=client.id)
