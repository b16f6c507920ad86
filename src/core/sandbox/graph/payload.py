"""What a request to Graph brings: JSON that says so, or nothing where nothing is needed."""

from __future__ import annotations

from typing import Any, Final

from core.sandbox.directory.registrations import Refused
from core.sandbox.graph import spelling
from core.sandbox.http import Request

#: Actions that need no parameter.
_BODILESS: Final = frozenset({"restore", "addPassword"})


def check(request: Request, path: str) -> None:
    """Whether a request that writes says so in JSON; some actions have nothing to say.

    :raises Refused: 400.
    """
    if request.method not in ("POST", "PATCH", "PUT"):
        return
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    message = ""
    if not request.body:
        message = "" if path.rpartition("/")[2] in _BODILESS else "Empty Payload. JSON content expected."
    elif not media:
        message = "Write requests (excluding DELETE) must contain the Content-Type header declaration."
    elif media != "application/json":
        message = "Entity only allows writes with a JSON Content-Type header."
    if message:
        raise Refused(400, "BadRequest", message)


def body(request: Request) -> dict[str, Any]:
    """The members of a body, with its GUIDs as the directory writes them.

    :raises Refused: 400: it is no JSON object.
    """
    found: dict[str, Any] = spelling.body(read(request))
    return found


def read(request: Request) -> dict[str, Any]:
    """The members of a body as they were sent.

    :raises Refused: 400: it is no JSON object.
    """
    try:
        return request.json()
    except ValueError:
        raise Refused(400, "BadRequest", "Unable to read JSON request payload.") from None
