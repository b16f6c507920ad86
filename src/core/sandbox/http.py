"""Requests and answers of the pretend world, without a network."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from core.sandbox import disclosure

#: What the Microsoft Graph SDK for Python makes of its own base URL; the service takes it.
_DOUBLED: Final = re.compile(r"^(/v1\.0|/beta)/{2,}")
#: Levels of JSON that are read, like those of .NET's reader.
DEEPEST: Final = 64


@dataclass(frozen=True)
class Request:
    """One request.

    :param host: host and port that it was sent to.
    :param path: percent-decoded path.
    :param query: the query's parameters.
    :param headers: with lower-case names.
    :param repeated: parameters that the query has more than once; of those it holds the last.
    """

    method: str
    host: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    repeated: tuple[str, ...] = ()

    @classmethod
    def to(cls, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Request:
        """A request for a URL.

        :param url: absolute, or a path with its query.
        """
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True) if parts.query else []
        query = dict(pairs)
        lower = {key.lower(): value for key, value in (headers or {}).items()}
        path = _DOUBLED.sub(r"\1/", unquote(parts.path))
        repeated = _repeated(pairs) if len(query) < len(pairs) else ()
        return cls(method.upper(), parts.netloc, path, query, lower, body, repeated)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        :raises ValueError: it is something else.
        """
        try:
            data = json.loads(self.body or b"{}", parse_constant=_no_number)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if not isinstance(data, dict):
            raise ValueError("not an object")
        if _depth(data, self.body) > DEEPEST:  # what is nested deeper cannot be copied or written again either
            raise ValueError("nested too deeply")
        if b"\\ud" in self.body.lower():
            json.dumps(data, ensure_ascii=False).encode()  # half a character
        return data

    def form(self) -> dict[str, str]:
        """The body's form fields."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


def _repeated(pairs: list[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)


def _no_number(name: str) -> float:
    """NaN and the infinities, which Python reads and RFC 8259 does not know."""
    raise ValueError(f"{name} is no number")


def _depth(data: Any, text: bytes) -> int:
    """How deeply JSON is nested, at most; counted only where the text has that many brackets."""
    if text.count(b"[") + text.count(b"{") <= DEEPEST:
        return 0
    level, depth = [data], 0
    while level and depth <= DEEPEST:
        inside = [item for item in level if isinstance(item, dict | list)]
        level = [part for item in inside for part in (item.values() if isinstance(item, dict) else item)]
        depth += bool(inside)
    return depth


@dataclass(frozen=True)
class Response:
    """One answer.

    :param content: the body, or what it is to hold as JSON: an item of a batch is written with the batch alone.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Any = b""

    @cached_property
    def body(self) -> bytes:
        """What is sent."""
        return self.content if isinstance(self.content, bytes) else disclosure.as_json(self.content).encode()

    def data(self) -> Any:
        """What the body holds as JSON; not a copy, do not change it."""
        return json.loads(self.content) if isinstance(self.content, bytes) else self.content

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty when there is no body."""
        data: dict[str, Any] = json.loads(self.body or b"{}")
        return data


def answer(status: int, data: Any = None, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a JSON body, or with none."""
    if data is None:
        return Response(status, dict(headers or {}))
    merged = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    return Response(status, merged, data)


def not_found() -> Response:
    """What a path that nobody serves answers."""
    return answer(404, {"error": {"code": "NotFound", "message": "No such path."}})
