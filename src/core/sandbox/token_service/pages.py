"""The pages of the pretend sign-in service: a browser's sign-in (authorization code, PKCE), and device codes.

They name the pretend person and have a button; nobody types a password. The code goes to loopback alone.
"""

from __future__ import annotations

import re
from html import escape
from typing import Final
from urllib.parse import urlencode, urlsplit

from core.sandbox.directory.store import DeviceCode, Issued, State, Tenant
from core.sandbox.http import Request, Response
from core.sandbox.token_service import clients, people, resources
from core.sandbox.token_service.clients import Client
from core.sandbox.token_service.refusals import Refused, refuse

_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def authorize(tenant: Tenant, directory: str, request: Request) -> Response:
    """The page of `/authorize`, and what its buttons do; whatever is wrong with client or address stays on the page.

    :raises Refused: 900144, 700016, 50011, 90023.
    """
    query = dict(request.query)
    people.required(query, ("client_id", "redirect_uri", "response_type"))
    client = clients.find(tenant, query["client_id"], tenant.replica(), directory)
    browser_app = _check_address(client, query["redirect_uri"])
    if query["response_type"] != "code":
        raise refuse(90023, field="response_type")
    if query.get("response_mode", "query") not in ("query", "form_post"):
        raise refuse(90023, field="response_mode")
    try:
        challenge, method = query.get("code_challenge", ""), query.get("code_challenge_method", "plain")
        if challenge and method not in ("S256", "plain"):
            raise refuse(90023, field="code_challenge_method")
        if challenge and not _CHALLENGE.fullmatch(challenge):
            raise refuse(50147)
        resources.asked(tenant, query.get("scope", ""), app_only=False)
        resources.wished(query)
        user = _who(tenant, query)
        if query.get("prompt") == "none":
            raise refuse(50058)
        if request.method == "GET":
            where = f"/{directory}/oauth2/v2.0/authorize?{urlencode(query)}"
            return _page(f"Sign in to {client.name}", _question(where, user, client.name))
        if request.form().get("choice") != "yes":
            raise refuse(65004)
    except Refused as refusal:
        text = f"AADSTS{refusal.code}: {refusal.text}"
        return _back(query, {"error": refusal.error, "error_description": text})
    code = people.opaque(tenant)
    held = {
        "oid": user["id"],
        "client": client.id,
        "scope": query["scope"],
        "nonce": query.get("nonce", ""),
        "claims": query.get("claims", ""),
        "redirect_uri": query["redirect_uri"],
        "challenge": challenge,
        "method": method,
        "spa": browser_app,
        "exp": tenant.now().timestamp() + people.CODE_LIFE,
    }
    tenant.issued[code] = Issued(held, "code")
    return _back(query, {"code": code})


def device(tenant: Tenant, request: Request) -> Response:
    """The page where a device code is typed.

    :raises Refused: 90119, 70018, 70019, 90120.
    """
    user = people.person(tenant, tenant.latest("user", tenant.signed_in_user), tenant.signed_in_user)
    if request.method == "GET":
        typed = '<p><label>Code <input name="otc" autofocus autocomplete="off"></label></p>'
        return _page("Enter the code", _question("/devicelogin", user, "the app that shows it", typed))
    form = request.form()
    typed = form.get("otc", "").strip().upper()
    if not typed:
        raise refuse(90119)
    code = _waiting(tenant, typed)
    if form.get("choice") == "yes":
        code.approved_by = user["id"]
        return _page("Signed in", "<p>You may close this page.</p>")
    code.declined = True
    return _page("Declined", "<p>Nobody was signed in. You may close this page.</p>")


def _waiting(tenant: Tenant, typed: str) -> DeviceCode:
    code = next((code for code in tenant.device_codes.values() if code.user_code == typed), None)
    if code is None:
        raise refuse(70018)
    if tenant.now() > code.expires:
        raise refuse(70019)
    if code.approved_by or code.declined:
        raise refuse(90120)
    return code


def refused(text: str) -> Response:
    """A page with what went wrong.

    :param text: of the refusal, with its ids.
    """
    return _page("That did not work", f"<p>{escape(text)}</p>", 400)


def _who(tenant: Tenant, query: dict[str, str]) -> State:
    hint = query.get("login_hint", "")
    found = people.named(tenant, hint) if hint else tenant.latest("user", tenant.signed_in_user)
    return people.person(tenant, found, hint or tenant.signed_in_user)


def _check_address(client: Client, address: str) -> bool:
    """Loopback over plain HTTP, any port; an app must have registered it, whatever the port.

    :returns: whether it is registered for a browser app, and not for a native one.
    :raises Refused: 50011.
    """
    refusal = refuse(50011, value=address, app=client.id)
    if not address.isprintable():  # urlsplit drops line breaks, which `Location` would carry
        raise refusal
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise refusal from None
    host = parts.netloc.removesuffix(f":{port}") if port is not None else parts.netloc
    plain = parts._replace(netloc=host).geturl().rstrip("/")
    native = client.kind == "own" or plain in _registered(client, "publicClient")
    browser_app = not native and plain in _registered(client, "spa")
    if parts.scheme != "http" or host not in _LOOPBACK or parts.fragment or not (native or browser_app):
        raise refusal
    return browser_app


def _registered(client: Client, platform: str) -> list[str]:
    """The addresses of an app on a platform, without their ports.

    :param platform: `publicClient` or `spa`, as Graph calls them.
    """
    known = [urlsplit(one) for one in ((client.app or {}).get(platform) or {}).get("redirectUris") or []]
    return [one._replace(netloc=one.hostname or "").geturl().rstrip("/") for one in known]


def _question(where: str, user: State, app: str, more: str = "") -> str:
    who = f"{user['displayName']} ({user['userPrincipalName']})"
    return (
        f'<form method="post" action="{escape(where)}">{more}'
        f"<p>{escape(app)} asks who you are. This is a sandbox: nothing here is real.</p>"
        f'<p><button name="choice" value="yes">Continue as {escape(who)}</button> '
        '<button name="choice" value="no">Cancel</button></p></form>'
    )


def _back(query: dict[str, str], values: dict[str, str]) -> Response:
    """Send the browser back to the client, as it asked."""
    values |= {"state": query["state"]} if "state" in query else {}
    address = query["redirect_uri"]
    if query.get("response_mode") != "form_post":
        joint = "&" if urlsplit(address).query else "?"
        return Response(302, {"Location": f"{address}{joint}{urlencode(values)}"})
    fields = "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in values.items())
    form = f'<form method="post" action="{escape(address)}">{fields}<p><button>Back to the app</button></p></form>'
    return _page("Back to the app", f"{form}<script>document.forms[0].submit()</script>")


def _page(title: str, body: str, status: int = 200) -> Response:
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title></head><body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; frame-ancestors 'none'",
        "X-Frame-Options": "DENY",
    }
    return Response(status, headers, html.encode())
