"""Answers of Microsoft Graph: bodies, typed errors, challenges, how long to wait (P7, P11; GD "Error responses")."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

from core.entra.http import Response
from core.errors import Caller, Effected, GraphError, NetworkError, SetupError

NOBODY: Final = Caller()


@contextmanager
def documented(action: str) -> Iterator[None]:
    """Surround what takes an answer apart: where it is not as documented, the service errs and not this program.

    :param action: what is being attempted, for the error.
    :raises SetupError: `graph.garbled`.
    """
    try:
        yield
    except KeyError as error:
        raise SetupError("graph.garbled", action=action, detail=f"{error} is missing") from None
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise SetupError("graph.garbled", action=action, detail="a member is of another kind") from None


def items_of(page: dict[str, Any], action: str) -> list[dict[str, Any]]:
    """The items of one page of a list.

    :raises SetupError: `graph.garbled`: they are no objects.
    """
    items = page.get("value", [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise SetupError("graph.garbled", action=action, detail="what it lists are no objects")
    return items


def read(response: Response, action: str, caller: Caller = NOBODY, sure: bool = False) -> dict[str, Any]:
    """The body of an answer.

    :param action: what is being attempted, for the error.
    :param caller: who asks.
    :param sure: whether a refusal proves that the effect has not happened.
    :raises GraphError: the answer is an error.
    :raises NetworkError: it is not JSON.
    """
    if response.status >= 500 or response.status == 429:  # a gateway may answer these with a page instead of JSON
        try:
            body = response.json()
        except NetworkError:
            body = {}
    else:
        body = response.json()
    if response.status in (200, 201) and not response.body:  # these answers show an object; 204 has none
        raise NetworkError("network.garbage", host=response.host, status=response.status)
    if response.status < 300 and "error" not in body:
        return body
    refusal = error_of(response.status, body, response.headers, action, caller, sure)
    raise refusal


def error_of(status: int, body: Any, headers: Any, action: str, caller: Caller, sure: bool) -> GraphError:
    """A typed error; a 200 that carries an `error` member is one too (P11).

    :param body: of the answer; an object.
    :param sure: whether a refusal proves that the effect has not happened.
    """
    error: dict[str, Any] = body["error"] if isinstance(body.get("error"), dict) else {}
    lower = {str(key).lower(): str(value) for key, value in headers.items()}
    inner = _inner(error)
    code = str(error.get("code") or "unknown")
    listed = error.get("details") if isinstance(error.get("details"), list) else []
    within = [item.get("code") for item in listed or () if isinstance(item, dict)]
    level = inner
    while level:  # the standard allows any depth
        within.append(level.get("code"))
        level = _inner(level)
    details = tuple(dict.fromkeys(found for found in within if isinstance(found, str) and found not in ("", code)))
    message = str(error.get("message") or "no message")
    claims, challenged = _challenge(lower.get("www-authenticate", ""), message)
    return GraphError(
        status,
        code,
        message,
        action=action,
        request_id=str(inner.get("request-id") or lower.get("request-id") or "unknown"),
        date=str(inner.get("date") or lower.get("date") or "unknown"),
        inner_codes=details,
        retry_after=_retry_after(lower),
        caller=caller,
        effected=Effected.NO if sure and 400 <= status < 500 else Effected.UNKNOWN,
        claims=claims,
        challenged=challenged and status in (401, 403),
    )


def _challenge(header: str, message: str) -> tuple[str, bool]:
    """What a sign-in has to prove, and whether one is asked for (Microsoft "Claims challenges").

    :param header: `WWW-Authenticate`; a batch may leave it out, and then only the message tells.
    :returns: the claims in base64 with its padding, as az takes them, or nothing; whether a challenge was made.
    """
    found = re.search(r'\bclaims="([A-Za-z0-9+/_-]{4,4000})=*"', header)
    claims = found[1].replace("-", "+").replace("_", "/") if found else ""
    asked = "insufficient_claims" in header or "continuous access evaluation" in message.lower()
    return claims + "=" * (-len(claims) % 4), bool(claims) or asked


def _inner(error: dict[str, Any]) -> dict[str, Any]:
    """The inner error in either spelling, with its keys in lower case; empty if there is none."""
    nested = error.get("innerError") or error.get("innererror")
    return {str(key).lower(): value for key, value in nested.items()} if isinstance(nested, dict) else {}


def _retry_after(headers: dict[str, str]) -> float | None:
    """Seconds to wait: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
        now = parsedate_to_datetime(headers["date"])
    except (ValueError, KeyError, TypeError):
        return None
    return max(0.0, (when.astimezone(UTC) - now.astimezone(UTC)).total_seconds())
