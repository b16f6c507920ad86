"""What a request asks for: one resource, permissions of it, claims of its token (entra-protocol D.2, D.4)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from core.sandbox import consent
from core.sandbox.directory.store import ARM_RESOURCE, GRAPH_APP_ID, State, Tenant
from core.sandbox.token_service.refusals import Refused, refuse

OIDC: Final = frozenset({"openid", "profile", "email", "offline_access"})
EXCHANGE: Final = "api://AzureADTokenExchange"
#: The same resource by its app id.
EXCHANGE_APP_ID: Final = "fb60f99c-7a34-4190-8149-302f77469936"
STORAGE_APP_ID: Final = "e406a681-f3d4-42a8-90b6-c2b029497af1"
DEFAULT: Final = ".default"


class Resource(NamedTuple):
    """A resource that was asked for.

    :param audience: as the request spells it, which becomes the token's `aud`.
    :param app_id: empty for ARM, whose id no source here names.
    :param names: of the permissions; `.default` means whatever was consented to.
    :param principal: its service principal, if the tenant has to have one.
    """

    audience: str
    app_id: str
    names: tuple[str, ...] = ()
    principal: State | None = None

    @property
    def exchange(self) -> bool:
        """Whether its tokens are there to be passed on to this service again."""
        return self.app_id == EXCHANGE_APP_ID


def asked(tenant: Tenant, scope: str, *, app_only: bool) -> Resource:
    """The resource of a `scope` parameter.

    :param app_only: for a token without a person, which takes `/.default` alone.
    :raises Refused: 90014, 70011, 700022, 700023, 1002012, 500011, 50001.
    """
    if not scope.split():
        raise refuse(90014, field="scope")
    parts = [part for part in scope.split() if part not in OIDC]
    if not parts and app_only:
        raise refuse(70011, scope=scope)
    resources, names = set(), []
    for part in parts:
        audience, slash, name = part.rpartition("/")
        if not slash and part == DEFAULT:
            raise refuse(700023, scope=part)
        if app_only and name != DEFAULT:
            raise refuse(1002012, scope=part)
        if not name:
            raise refuse(70011, scope=part)
        resources.add(audience or tenant.graph)  # a bare name means Microsoft Graph
        names.append(name)
    if len(resources) > 1:
        raise refuse(700022)
    if DEFAULT in names and len(names) > 1:
        raise refuse(70011, scope=scope)
    return _found(tenant, resources.pop() if resources else tenant.graph)._replace(names=tuple(names))


def wished(form: Mapping[str, str]) -> dict[str, list[str]]:
    """The claims that a request adds to an access token by its parameter `claims`: what the client is capable of.

    :raises Refused: 9002313.
    """
    try:
        wishes = json.loads(form.get("claims") or "{}").get("access_token") or {}
        values = (wishes.get("xms_cc") or {}).get("values")
    except (ValueError, AttributeError, RecursionError):
        raise refuse(9002313, reason="The parameter 'claims' cannot be read.") from None
    names = [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
    return {"xms_cc": names} if names else {}


def app_id_of(tenant: Tenant, audience: str) -> str:
    """The app id behind the name of one of Microsoft's own resources; empty for any other."""
    known = {
        tenant.graph: GRAPH_APP_ID,
        EXCHANGE.lower(): EXCHANGE_APP_ID,
        "https://storage.azure.com": STORAGE_APP_ID,
    }
    name = audience.rstrip("/").lower()
    return known.get(name, name if name in known.values() else "")


def _found(tenant: Tenant, audience: str) -> Resource:
    bare, app_id = audience.rstrip("/"), app_id_of(tenant, audience)
    if bare in (tenant.arm, ARM_RESOURCE.rstrip("/"), "https://management.azure.com", consent.RESOURCE):
        return Resource(audience, "")
    if app_id == EXCHANGE_APP_ID:
        return Resource(EXCHANGE_APP_ID if tenant.switches.exchange_guid else EXCHANGE, app_id)
    for state in tenant.newest("servicePrincipal"):
        if state["appId"] == (app_id or bare.lower()) or bare in state.get("servicePrincipalNames", ()):
            check_enabled(state, audience)
            return Resource(audience, state["appId"], (), state)
    raise refuse(500011, resource=audience, tenant_name=tenant.name)


def check_enabled(principal: State, audience: str) -> None:
    """Whether tokens are issued for a resource.

    :raises Refused: 50001, or what `_refused` says.
    """
    if not principal.get("accountEnabled", True):
        raise refuse(50001, resource=audience)
    if problem := marked(principal, resource=audience):
        raise problem


def marked(state: State, **facts: str) -> Refused | None:
    """The refusal that a scenario put on an object: its member `_refused` holds an AADSTS number."""
    number = int(state.get("_refused") or 0)
    return refuse(number, **facts) if number else None
