"""`$batch`: up to twenty requests in one, each answered by itself (GD "JSON batching", entra-protocol A.8)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import Tenant
from core.sandbox.http import Request, Response, answer
from core.sandbox.replies import refusal

PATH: Final = "/$batch"
_MOST = 20
#: What a URL of an item may hold as it is.
_PLAIN: Final = "/?$&=(),:'%@+"
#: Where the items of a batch are looked up when the version does not matter.
_BASE: Final = "/v1.0"
Item = dict[str, Any]


def handle(
    tenant: Tenant, request: Request, body: dict[str, Any], inner: Callable[[Tenant, Request], Response]
) -> Response:
    """Answer a batch; an item waits for those it depends on, and is 424 when one of them failed.

    :param inner: what answers one request.
    :raises Refused: 400: the batch as a whole makes no sense.
    """
    items = _checked(body.get("requests"))
    replies: dict[str, Item] = {}
    for item in _in_order(items):
        replies[item["id"]] = _reply(tenant, request, item, replies, inner)
    return answer(200, {"responses": list(reversed(replies.values()))})  # in any order, as documented


def line(item: Item) -> str:
    """`METHOD /path` of an item without its version, as the service reads it: what scripts and logs call it by."""
    return _line(_asked(item), _BASE)


def _line(asked: Request, base: str) -> str:
    return f"{asked.method} {asked.path.removeprefix(base)}"


def _asked(item: Item, base: str = _BASE, headers: dict[str, str] | None = None, content: bytes = b"") -> Request:
    url = f"{base}/{quote(item['url'].lstrip('/'), safe=_PLAIN)}"
    return Request.to(item["method"], url, headers, content)


def _checked(items: Any) -> dict[str, Item]:
    """The items by their ids."""
    if isinstance(items, list) and len(items) > _MOST:
        message = f"Number of batch request steps exceeds the maximum value of {_MOST}."
        raise Refused(400, "BadRequest", message)
    if not isinstance(items, list) or not items or not all(isinstance(i, dict) for i in items):
        raise Refused(400, "BadRequest", f"The batch must hold between 1 and {_MOST} requests.")
    found: dict[str, Item] = {}
    for item in items:
        name = item.get("id")
        if not isinstance(name, str) or not name or name in found:
            raise Refused(400, "BadRequest", "Every request of a batch needs an 'id' of its own, a text.")
        if not isinstance(item.get("method"), str) or not isinstance(item.get("url"), str):
            raise Refused(400, "BadRequest", f"Request '{name}' of the batch needs a 'method' and a 'url'.")
        if _asked(item).path.startswith(_BASE + PATH):
            raise Refused(400, "BadRequest", "A batch cannot hold a batch.")
        headers = item.get("headers") or {}
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            raise Refused(400, "BadRequest", f"Request '{name}' of the batch has invalid 'headers'.")
        if "body" in item and "content-type" not in {header.lower() for header in headers}:
            message = f"Write request id : {name} does not contain Content-Type header or body."
            raise Refused(400, "BadRequest", message)
        found[name] = item
    for name, item in found.items():
        needs = _needs(item)
        if not isinstance(needs, list) or not all(isinstance(n, str) and n in found and n != name for n in needs):
            raise Refused(400, "BadRequest", f"Request '{name}' of the batch has an invalid 'dependsOn'.")
    return found


def _in_order(items: dict[str, Item]) -> list[Item]:
    """The items, each behind those that it depends on."""
    ordered: dict[str, Item] = {}
    while len(ordered) < len(items):
        left = [item for name, item in items.items() if name not in ordered]
        ready = [item for item in left if all(name in ordered for name in _needs(item))]
        if not ready:
            raise Refused(400, "BadRequest", "Invalid batch payload: 'dependsOn' goes round in a circle.")
        ordered |= {item["id"]: item for item in ready}
    return list(ordered.values())


def _needs(item: Item) -> Any:
    return item.get("dependsOn") or []


def _reply(
    tenant: Tenant,
    request: Request,
    item: Item,
    replies: dict[str, Item],
    inner: Callable[[Tenant, Request], Response],
) -> Item:
    if any(replies[name]["status"] >= 400 for name in _needs(item)):
        body = {"error": {"code": "FailedDependency", "message": "A request that this one depends on failed."}}
        return {"id": item["id"], "status": 424, "headers": {}, "body": body}
    headers = {**(item.get("headers") or {}), "authorization": request.headers.get("authorization", "")}
    content = json.dumps(item["body"]).encode() if "body" in item else b""
    base = request.path.removesuffix(PATH)
    asked = replace(_asked(item, base, headers, content), host=request.host)
    fault = tenant.faults.item(_line(asked, base), host=request.host.partition(":")[0], elapsed=tenant.elapsed)
    if fault is None or fault.acts:
        response = inner(tenant, asked)
    if fault is not None:
        response = refusal(fault, asked, tenant)
    reply: Item = {"id": item["id"], "status": response.status, "headers": dict(response.headers)}
    if response.content != b"":
        page = fault is not None and fault.body == "html"
        reply["body"] = response.body.decode() if page else response.data()
    return reply
