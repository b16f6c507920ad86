"""Under which names the pretend world answers: those of loopback, or, behind its proxy, the public cloud's (S1, S4).

Whatever names an origin (audience, issuer, next link, discovery) follows the host that a request was sent to, so that
clients of both kinds use one tenant at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Origins:
    """The origins of one cloud."""

    authority: str
    graph: str
    arm: str


#: The public cloud's. The sandbox's own list: a list in the product can be tested against it.
PUBLIC: Final = Origins(
    "https://login.microsoftonline.com", "https://graph.microsoft.com", "https://management.azure.com"
)
#: Back end of `az ad app permission admin-consent`, which exists in the public cloud alone.
CONSENT_HOST: Final = "main.iam.ad.ext.azure.com"
#: How the name of a storage account's host ends; what stands before it is the account's name.
BLOB: Final = ".blob.core.windows.net"
#: The names that are served behind the proxy only.
PUBLIC_HOSTS: Final = (*(origin.removeprefix("https://") for origin in vars(PUBLIC).values()), CONSENT_HOST)
#: Every name that may be served.
HOSTS: Final = ("localhost", "127.0.0.1", *PUBLIC_HOSTS)

_asked: ContextVar[Origins | None] = ContextVar("asked", default=None)


def asked() -> Origins | None:
    """The public origins while a request to one of them is answered; else None."""
    return _asked.get()


@contextmanager
def of(host: str) -> Iterator[None]:
    """Answer under the names that go with a host.

    :param host: host and port that a request was sent to.
    """
    name = host.removesuffix(":443").lower()
    token = _asked.set(PUBLIC if name in PUBLIC_HOSTS or name.endswith(BLOB) else None)
    try:
        yield
    finally:
        _asked.reset(token)


def account(host: str) -> str:
    """The storage account whose host this is; empty: it is another host.

    :param host: with or without a port.
    """
    name = host.partition(":")[0].lower()
    return name.removesuffix(BLOB) if name.endswith(BLOB) else ""


def serves(host: str, path: str) -> bool:
    """Whether a path belongs to a host. No client that checks certificates gets here by a name that is not served.

    :param host: without a port.
    """
    if account(host):
        return True
    own, there = "127.0.0.1", "login.microsoftonline.com"
    match path.split("/")[1:2]:
        case ["v1.0" | "beta"]:
            own, there = "localhost", "graph.microsoft.com"
        case ["subscriptions" | "tenants" | "metadata" | "providers"]:
            there = "management.azure.com"
        case ["api"]:
            return host == CONSENT_HOST
    return host in (own, there)
