"""The one HTTP session: TLS, proxy, origin pinning, time limits. Also azure-identity's transport (C4).

Nothing leaves the cloud's own origins: the check sits where `requests` sends, so that redirects, next links and the
libraries that share the session pass it too. Every failure becomes a `NetworkError` that says whether the request may
have been carried out.
"""

from __future__ import annotations

import io
import json
import os
import re
import ssl
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from core.clock import Cancel, Clock
from core.config.cloud import Cloud, origin_of
from core.entra import exchange
from core.errors import Effected, NetworkError, SetupError
from core.events import Event
from core.flow.audit import Audit
from core.secret import Secret

#: Seconds to connect, and seconds between two bytes of an answer; whoever shares the session has no others.
TIMEOUT: Final = (10.0, 60.0)
USER_AGENT: Final = "entraclaw-setup"
#: Where an authority describes itself. Every new credential asks for it; one answer serves a whole run.
DISCOVERY: Final = "/v2.0/.well-known/openid-configuration"
#: Members of answers that hold a secret.
_SECRETS: Final = ("secretText", "access_token", "refresh_token", "id_token")


@dataclass(frozen=True)
class Response:
    """An answer: status, headers (any case), and the body as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    host: str

    def json(self) -> dict[str, Any]:
        """The body as a JSON object, in which a new client secret or a token is a `Secret` (P4).

        :raises NetworkError: `network.garbage`: it is something else, for example a proxy's page.
        """
        try:
            data = json.loads(self.body, object_hook=_guarded) if self.body else {}
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise NetworkError("network.garbage", host=self.host, status=self.status)
        return data


class Credential(Protocol):
    """What lets a request in, such as an access token."""

    def authorize(self, headers: MutableMapping[str, str]) -> None:
        """Name it in the headers of a request that is about to be sent."""


class _Bearer(AuthBase):
    """Sets the header itself, so that a .netrc entry cannot replace it."""

    def __init__(self, token: Credential | None = None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            self._token.authorize(request.headers)
        return request


class _Adapter(HTTPAdapter):
    """Makes connections that do not send what was given up, also through a proxy."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = exchange.POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = exchange.POOLS
        return manager


class Session(requests.Session):
    """A `requests` session that talks to one cloud's origins only.

    :param cloud: whose origins, and whose trusted roots.
    :param clock: to measure the service's clock against.
    :param cancel: stops waiting for an answer.
    :param emit: told when an answer takes longer than two seconds.
    :param audit: told of every token that is asked for.
    :ivar skew: seconds by which the service's clock was ahead of this machine's in the last answer.
    :ivar dated: whether an answer has told the service's time yet.
    """

    def __init__(
        self,
        cloud: Cloud,
        clock: Clock,
        cancel: Cancel | None = None,
        emit: Callable[[Event], None] = lambda event: None,
        audit: Audit | None = None,
    ) -> None:
        super().__init__()
        self.mount("https://", _Adapter())
        self.audit = audit or Audit()
        self._cancel, self._emit = cancel or Cancel(), emit
        self.skew = 0.0
        self._discovered: dict[str, tuple[bytes, Mapping[str, str]]] = {}
        self.dated = False
        self._cloud = cloud
        self._clock = clock
        self._verify: bool | str = str(cloud.ca_bundle) if cloud.ca_bundle else trusted_roots(os.environ)[0] or True
        if isinstance(self._verify, str):
            _check_roots(Path(self._verify))
        self.auth = _Bearer()
        self.headers["User-Agent"] = USER_AGENT

    def now(self) -> datetime:
        """The time by this machine's clock."""
        return self._clock.now()

    @property
    def clock_error(self) -> str:
        """What is wrong with this machine's clock, as a person reads it."""
        if not self.skew:
            return "not what the service expects"
        return f"{round(abs(self.skew))} s {'behind' if self.skew > 0 else 'ahead of'} the service's"

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send one request.

        :raises NetworkError: outside the origins, a redirect, no connection, no trust, no whole answer in time.
        :raises Interrupted: the run was asked to stop while the answer was not there; what was sent may be carried out.
        """
        url = request.url or ""
        host = urlsplit(url).netloc
        if origin_of(url) not in self._cloud.origins:
            raise NetworkError("network.origin", effected=Effected.NO, url=f"{origin_of(url)}/…")
        discovery = request.method == "GET" and url.endswith(DISCOVERY)
        if discovery and url in self._discovered:
            return _again(request, *self._discovered[url])
        kwargs.update(verify=self._verify, allow_redirects=False, stream=False)
        # our time limits, or shorter ones: a library that shares the session asks for five minutes
        both = asked if isinstance(asked := kwargs.get("timeout"), tuple) else (asked, asked)
        kwargs["timeout"] = tuple(min(ours, theirs or ours) for ours, theirs in zip(TIMEOUT, both, strict=True))
        send = partial(super().send, request, **kwargs)
        try:
            response = exchange.answer(send, host, self._cancel, self._emit)
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" not in str(error):  # the handshake was through, so the request may be too
                raise NetworkError("network.unreachable", host=host, detail=_reason(error)) from None
            # where the certificate of an intercepting proxy would have to be
            named, bundle = trusted_roots(os.environ)[1], self._cloud.ca_bundle
            roots, why = f"{bundle}, which the cloud file names" if bundle else named, _reason(error)
            raise NetworkError("network.untrusted", effected=Effected.NO, host=host, detail=why, roots=roots) from None
        except (requests.exceptions.ConnectTimeout, requests.exceptions.ProxyError) as error:
            raise NetworkError("network.unreachable", effected=Effected.NO, host=host, detail=_reason(error)) from None
        except requests.exceptions.RequestException as error:
            never_connected = "NewConnectionError" in repr(error) or "NameResolutionError" in repr(error)
            effected = Effected.NO if never_connected else Effected.UNKNOWN
            raise NetworkError("network.unreachable", effected=effected, host=host, detail=_reason(error)) from None
        if response.is_redirect or response.is_permanent_redirect:
            raise NetworkError(
                "network.origin", effected=Effected.NO, url=f"{origin_of(response.headers.get('Location', ''))}/…"
            )
        with suppress(ValueError, TypeError):  # a proxy may send no date, or nonsense
            stamp = parsedate_to_datetime(response.headers.get("Date", ""))
            self.skew = (stamp.astimezone(UTC) - self._clock.now()).total_seconds()
            self.dated = True
        if discovery and response.status_code == 200 and _describes(response.content):
            self._discovered[url] = (response.content, response.headers)
        return response

    @property
    def trust(self) -> str:
        """PEM file or folder of the roots that are trusted here."""
        return requests.utils.DEFAULT_CA_BUNDLE_PATH if self._verify is True else str(self._verify)

    def proxy(self, url: str) -> str:
        """The proxy that a request to a URL takes, without the password that it may hold; empty: none."""
        found = str(requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)) or "")
        scheme, separator, rest = found.rpartition("//")
        return f"{scheme}{separator}{rest.rpartition('@')[2]}"

    def call(
        self,
        method: str,
        url: str,
        *,
        token: Credential | None = None,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One request with everything that is always the same.

        :param token: sent to this URL only.
        :param body: JSON body.
        :param form: form fields instead of a body.
        """
        response = self.request(method, url, auth=_Bearer(token), json=body, data=form, headers=headers)
        return Response(response.status_code, response.headers, response.content, urlsplit(url).netloc)


def _guarded(data: dict[str, Any]) -> dict[str, Any]:
    for name in _SECRETS:
        if isinstance(value := data.get(name), str):
            data[name] = Secret(value)
    return data


def trusted_roots(environ: Mapping[str, str]) -> tuple[str, str]:
    """The file or folder of roots that the environment names, empty if none; and where another one has to be put."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if value := environ.get(name):
            return value, f"{value}, which {name} names"
    return "", "a PEM file of roots, and name that file in REQUESTS_CA_BUNDLE"


def _check_roots(path: Path) -> None:
    """Tell now what would look like a failure of the network later.

    :raises SetupError: `network.roots`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(**({"capath": str(path)} if path.is_dir() else {"cafile": str(path)}))
    except OSError as error:  # an ssl.SSLError is one too
        detail = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise SetupError("network.roots", path=path, detail=detail) from None


def _describes(body: bytes) -> bool:
    """Whether an authority describes itself; a captive portal's page must not serve a whole run."""
    try:
        return "token_endpoint" in json.loads(body)
    except (ValueError, TypeError):
        return False


def _again(request: requests.PreparedRequest, body: bytes, headers: Mapping[str, str]) -> requests.Response:
    """An answer that was given before."""
    response = requests.Response()
    response.status_code, response.url, response.request = 200, request.url or "", request
    response.raw = io.BytesIO(body)
    response.headers.update({name: value for name, value in headers.items() if name.lower() != "content-encoding"})
    return response


def _reason(error: Exception) -> str:
    """The innermost cause in a few words; urllib3 wraps it in several layers that repeat the URL with its query."""
    inner: Any = error
    while getattr(inner, "args", None) and isinstance(inner.args[0], Exception):
        inner = inner.args[0]
    inner = getattr(inner, "reason", inner)
    text = re.sub(r"^\w+\(host=[^)]*\): ", "", str(inner).rsplit(">: ", maxsplit=1)[-1])
    for user in _proxy_users():  # a proxy that cannot be parsed is quoted with its password
        text = text.replace(user, "…")
    return text.split(" (Caused by", maxsplit=1)[0][:200] or type(error).__name__


def _proxy_users() -> list[str]:
    """Names and passwords in the proxies, and the parts that a wrong reading makes of them; longest first."""
    values = {value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    users = {value.rpartition("//")[2].rpartition("@")[0] for value in values}
    users |= {value.partition("//")[2].rpartition("@")[0] for value in values}
    parts = {part for user in users for part in re.split(r"[:/?#@\\]", user)}
    return sorted({text for text in users | parts if len(text) > 2}, key=len, reverse=True)
