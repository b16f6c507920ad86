"""Tokens of persons and of Agent Users: who may sign in, consent, refresh tokens, the third hop (D.4)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from core.sandbox.directory.registrations import moment
from core.sandbox.directory.store import GRAPH_APP_ID, Issued, State, Tenant
from core.sandbox.graph import consents, grants
from core.sandbox.graph.permissions import AGENT_USER
from core.sandbox.http import Response, answer
from core.sandbox.token_service import assertion, clients, federation, resources, tokens
from core.sandbox.token_service.clients import Client
from core.sandbox.token_service.refusals import Refused, refuse
from core.sandbox.token_service.resources import DEFAULT, OIDC, Resource

#: Seconds that a refresh token may lie unused.
IDLE: Final = 90 * 86400.0
#: Seconds that the refresh tokens of a browser app live, from the sign-in on.
BROWSER_LIFE: Final = 86400.0
#: Seconds within which a browser's code must be redeemed.
CODE_LIFE: Final = 600.0


def person(tenant: Tenant, user: State | None, called: str, **facts: str) -> State:
    """Somebody who may sign in.

    :param called: what the request calls them.
    :param user: None: there is nobody of that name.
    :raises Refused: 50034, 50057, 50014, or what `_refused` says.
    """
    facts |= {
        "user": str((user or {}).get("userPrincipalName", called)),
        "tenant": tenant.id,
        "tenant_name": tenant.name,
    }
    if user is None:
        raise refuse(50034, **facts)
    if not user.get("accountEnabled", True):
        raise refuse(50057, **facts)
    if user.get("externalUserState") == "PendingAcceptance":
        raise refuse(50014, **facts)
    if problem := resources.marked(user, issuer=federation.issuers(tenant)[0], **facts):
        raise problem
    return user


def sign_in(
    tenant: Tenant,
    user_id: str,
    client: Client,
    scope: str,
    form: Mapping[str, str],
    nonce: str = "",
    since: float | None = None,
    *,
    spa: bool = False,
) -> Response:
    """The tokens of a person who has agreed, or whose refresh token holds.

    :param form: of the request for them.
    :param since: when that person signed in, in seconds since 1970; None: just now.
    :param spa: in a browser app, whose refresh tokens do not outlive that sign-in by more than a day.
    :raises Refused: the person, the client or the resource may not.
    """
    resource = resources.asked(tenant, scope, app_only=False)
    facts = {"app": client.id, "name": client.name, "resource": resource.audience}
    user = person(tenant, tenant.latest("user", user_id), user_id, **facts)
    if user.get("@odata.type") == AGENT_USER:
        raise refuse(50056)
    if client.principal is not None and client.principal.get("appRoleAssignmentRequired"):
        assigned = [grant["principalId"] for grant in tenant.all_latest(grants.KIND)]
        if user_id not in assigned:
            raise refuse(50105, user=user["userPrincipalName"], **facts)
    if client.kind == "own":
        cli = tokens.CLI_SCOPES if resource.app_id == GRAPH_APP_ID else "user_impersonation"
        return _issued(tenant, user, client, resource, scope, cli, form, nonce, since)
    declared = (client.app or {}).get("requiredResourceAccess") or []
    if not declared:
        raise refuse(650056, **facts)
    if resource.app_id not in [entry["resourceAppId"] for entry in declared]:
        raise refuse(650057, **facts)
    scopes = _consented(tenant, user_id, client, resource)
    return _issued(tenant, user, client, resource, scope, scopes, form, nonce, since, spa=spa)


def _consented(tenant: Tenant, user_id: str, client: Client, resource: Resource) -> str:
    """The scopes that somebody consented to.

    :raises Refused: 65001 or 90094: what was asked for is not among them.
    """
    own, other = ((state or {}).get("id") for state in (client.principal, resource.principal))
    given: set[str] = set()
    for grant in tenant.all_latest(consents.KIND):
        if (grant["clientId"], grant["resourceId"]) == (own, other) and (
            grant.get("consentType") == "AllPrincipals" or grant.get("principalId") == user_id
        ):
            given |= set(str(grant["scope"]).split())
    if not given or not set(resource.names) - {DEFAULT} <= given:
        may = tenant.switches.users_may_consent or client.kind == "agent"
        raise refuse(65001 if may else 90094, app=client.id, name=client.name)
    return " ".join(sorted(given))


def _issued(
    tenant: Tenant,
    user: State,
    client: Client,
    resource: Resource,
    scope: str,
    scopes: str,
    form: Mapping[str, str],
    nonce: str = "",
    since: float | None = None,
    more: Mapping[str, Any] = MappingProxyType({}),
    *,
    spa: bool = False,
) -> Response:
    asked, now = scope.split(), tenant.now().timestamp()
    refresh, more = opaque(tenant), {**resources.wished(form), **more}
    names = [f"{resource.audience}/{name}" for name in scopes.split() if name not in OIDC]
    names += [part for part in asked if part.endswith(f"/{DEFAULT}")]
    body: dict[str, Any] = {
        "token_type": "Bearer",
        "scope": " ".join([*names, *(name for name in ("email", "openid", "profile") if name in scopes.split())]),
        "expires_in": tokens.LIFETIME,
        "ext_expires_in": tokens.LIFETIME,
        "access_token": tokens.user_token(tenant, user, resource.audience, client.id, scopes, **more),
    }
    if "offline_access" in asked:
        kept = {"oid": user["id"], "client": client.id, "scope": scope, "iat": now, "auth_time": since or now}
        tenant.issued[refresh] = Issued(kept | {"spa": spa}, "refresh")
        body["refresh_token"] = refresh
    if "openid" in asked:
        body["id_token"] = tokens.id_token(tenant, user, client.id, nonce)
    if form.get("client_info") == "1":
        known = json.dumps({"uid": user["id"], "utid": tenant.id}).encode()
        body["client_info"] = base64.urlsafe_b64encode(known).decode().rstrip("=")
    return answer(200, body)


def refreshed(tenant: Tenant, client: Client, form: dict[str, str]) -> Response:
    """Answer `grant_type=refresh_token`; the old one stays valid, as the real service leaves it.

    :raises Refused: 70000 (unknown, or another client's), 50173, 700084, 700082, 70043, and those of `sign_in`.
    """
    issued = tenant.issued.get(form["refresh_token"])
    if issued is None or issued.kind != "refresh" or issued.claims["client"] != client.id:
        refusal = refuse(70000, field="refresh_token")
        refusal.suberror = "client_mismatch" if issued is not None and issued.kind == "refresh" else "bad_token"
        raise refusal
    held, now = issued.claims, tenant.now().timestamp()
    started = tenant.stamp(tenant.now().fromtimestamp(held["iat"], tenant.now().tzinfo))
    user = tenant.latest("user", held["oid"]) or {}
    revoked = user.get("signInSessionsValidFromDateTime")
    if revoked and moment(revoked).timestamp() > held["auth_time"]:
        raise refuse(50173, start=started, end=str(revoked))
    if held["spa"] and now > held["auth_time"] + BROWSER_LIFE:
        raise refuse(700084)
    if now > held["iat"] + IDLE:
        raise refuse(700082, start=started)
    frequency = user.get("_sign_in_frequency")
    if frequency and now > held["auth_time"] + frequency:
        raise refuse(70043, start=started, value=str(frequency))
    scope = form.get("scope") or held["scope"]
    if client.kind == "agent":
        resource = resources.asked(tenant, scope, app_only=False)
        return _agent_user(tenant, client, form | {"user_id": held["oid"]}, resource, f"{scope} offline_access")
    since, spa = held["auth_time"], held["spa"]
    return sign_in(tenant, held["oid"], client, f"{scope} offline_access", form, since=since, spa=spa)


def revoke(tenant: Tenant, user_id: str) -> None:
    """Take back what a person's sign-ins have left behind, as Graph's `revokeSignInSessions` does."""
    user = tenant.latest("user", user_id)
    assert user is not None
    tenant.commit("user", user_id, user | {"signInSessionsValidFromDateTime": tenant.stamp()})


def redeemed(tenant: Tenant, client: Client, form: dict[str, str]) -> Response:
    """Answer `grant_type=authorization_code`: once, in time, for the client, address and verifier that began it.

    Only a single-page application must have sent a challenge.

    :raises Refused: 70000, 70008, 500112, 9002325, 501481, and those of `sign_in`.
    """
    issued = tenant.issued.get(form["code"])
    if issued is None or issued.kind != "code" or issued.claims["client"] != client.id:
        raise refuse(70000, field="code")
    held = issued.claims
    del tenant.issued[form["code"]]
    if tenant.now().timestamp() > held["exp"]:
        raise refuse(70008)
    if form.get("redirect_uri") != held["redirect_uri"]:
        raise refuse(500112, value=form.get("redirect_uri", ""))
    challenge, verifier = held["challenge"], form.get("code_verifier", "")
    if held["spa"] and not challenge:
        raise refuse(9002325)
    if held["method"] == "S256" and challenge:
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        verifier = digest.decode().rstrip("=")
    if verifier != challenge:  # both are empty where the client left them out
        raise refuse(501481)
    form = {"claims": held["claims"], **form}
    return sign_in(tenant, held["oid"], client, held["scope"], form, held["nonce"], spa=held["spa"])


def third_hop(tenant: Tenant, client: Client, form: dict[str, str]) -> Response:
    """Answer `grant_type=user_fic`: T3, a delegated token of the Agent User; the client has shown T1 already.

    :raises Refused: 70003, 900144, 82002, and those of T2, of the user and of consent.
    """
    if not tenant.switches.agent_id:
        raise refuse(70003, grant=form["grant_type"])
    for name in ("user_federated_identity_credential", "user_id" if "username" not in form else "username"):
        if not form.get(name):
            raise refuse(900144, field=name)
    if tenant.switches.token_use_required and form.get("requested_token_use") != "on_behalf_of":
        raise refuse(900144, field="requested_token_use")
    if client.kind != "agent" or client.principal is None:
        raise refuse(82002, app=client.id, grant=form["grant_type"])
    scope = form.get("scope", "")
    resource = resources.asked(tenant, scope, app_only=False)
    federation.second_hop(tenant, client.principal, form["user_federated_identity_credential"])
    return _agent_user(tenant, client, form, resource, scope)


def _agent_user(tenant: Tenant, client: Client, form: dict[str, str], resource: Resource, scope: str) -> Response:
    assert client.principal is not None
    name = form.get("user_id") or form["username"]
    found = tenant.latest("user", name.lower()) if "user_id" in form else named(tenant, name)
    user = person(tenant, found, name, app=client.id, name=client.name, resource=resource.audience)
    if user.get("@odata.type") != AGENT_USER or user.get("identityParentId") != client.principal["id"]:
        raise federation.mismatch(tenant, "subject", {"sub": user["id"]})
    scopes = _consented(tenant, user["id"], client, resource)
    more = {
        "appidacr": "2",
        "xms_act_fct": "3 9 11",
        "xms_par_app_azp": client.principal["agentIdentityBlueprintId"],
        "xms_sub_fct": "2 9 13",
    }
    return _issued(tenant, user, client, resource, scope, scopes, form, more=more)


def named(tenant: Tenant, upn: str) -> State | None:
    """The user of a principal name, in any case."""
    found = (user for user in tenant.all_latest("user") if user["userPrincipalName"].lower() == upn.lower())
    return next(found, None)


def by_password(tenant: Tenant, form: dict[str, str]) -> Refused:
    """Why a user name and a password get nobody in: nobody here has a password."""
    user = person(tenant, named(tenant, form["username"]), form["username"])
    return refuse(50056 if user.get("@odata.type") == AGENT_USER else 50126)


def on_behalf_of(tenant: Tenant, client: Client, form: dict[str, str]) -> Refused:
    """Why a token is not exchanged for another one: the sandbox issues none for an app that could pass it on."""
    _, claims = assertion.parts_of(form["assertion"])
    issued = tenant.issued.get(form["assertion"])
    if issued is None or issued.kind != "access" or claims.get("iss") not in federation.issuers(tenant):
        return refuse(50013, reason="The signature is invalid")
    if issued.claims["exp"] <= tenant.now().timestamp():
        return refuse(500133, now=tenant.stamp())
    if issued.claims["idtyp"] == "app":
        return refuse(7000114, app=client.id)
    return refuse(50013, reason="The audience of the assertion is not the client")


def opaque(tenant: Tenant) -> str:
    """A value that says nothing: a code, a refresh token."""
    return f"0.{tenant.passing_id()}{tenant.passing_id()}".replace("-", "")


def required(form: dict[str, str], names: Collection[str]) -> None:
    """Check that a form has these fields.

    :raises Refused: 900144.
    """
    for name in names:
        if not form.get(name):
            raise refuse(900144, field=name)


def client_of(tenant: Tenant, directory: str, form: dict[str, str]) -> Client:
    """The client of a person's sign-in, which has proved who it is unless it is public.

    :raises Refused: see `clients.find` and `clients.prove`.
    """
    client = clients.find(tenant, form["client_id"], tenant.replica(), directory)
    if client.kind != "own" or {"client_secret", "client_assertion"} & form.keys():
        clients.prove(tenant, client, form, optional=True)
    return client
