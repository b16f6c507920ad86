"""The header `WWW-Authenticate` of a refused token, which tells where to get one (RFC 6750, section 3)."""

from __future__ import annotations

from core.sandbox.directory.store import GRAPH_APP_ID, Tenant


def graph(tenant: Tenant, error: str = "") -> dict[str, str]:
    """Microsoft Graph's.

    :param error: code of RFC 6750; empty: no token was sent.
    """
    challenge = f'Bearer realm="", authorization_uri="{tenant.authority}/common/oauth2/authorize", '
    return {"WWW-Authenticate": challenge + f'client_id="{GRAPH_APP_ID}"' + (f', error="{error}"' if error else "")}


def arm(tenant: Tenant, reason: str) -> dict[str, str]:
    """Azure Resource Manager's.

    :param reason: what is wrong with the token; it holds no character that a header does not take.
    """
    challenge = f'Bearer authorization_uri="{tenant.authority}/{tenant.id}", error="invalid_token", '
    return {"WWW-Authenticate": f'{challenge}error_description="{reason}"'}
