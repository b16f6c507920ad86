"""Examples are sent, and their answers are compared with what the pages say and what the schema allows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from requests import Response

from tests.sandbox.genuine import shapes
from tests.sandbox.genuine.pages import Example
from tests.sandbox.genuine.world import Unprepared, World

_CONTEXT: Final = "@odata.context"
_GUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: Members of which the answer's list must not be empty, so that there is something to compare.
_LISTS: Final = ("value", "responses")
_MISSING: Final = "no "
#: Members of one answer that have a row each.
_MOST: Final = 8


def deviations(world: World, example: Example) -> list[str]:
    """In what the sandbox's answer to an example differs; empty: in nothing.

    Values do not count, ids least of all: in a deviation each is `{id}`.
    """
    try:
        response = world.send(example)
    except Unprepared as error:
        return [_GUID.sub("{id}", f"cannot be prepared: {error}")]
    if response.status_code != example.status:
        return [f"{response.status_code} instead of {example.status}"]
    compared = (_envelope(world, example, response), _against_page(world, example, response))
    found = dict.fromkeys(text for texts in (*compared, _against_schema(example, response)) for text in texts)
    missing = [_judged(text, example.type) for text in found if text.startswith(_MISSING)]
    strange = [text for text in found if text.endswith(shapes.STRANGE)]
    other = [text for text in found if not text.startswith(_MISSING) and text not in strange]
    return [
        *(missing if len(missing) <= _MOST else [f"{_MISSING}{len(missing)} of the members"]),
        *(strange if len(strange) <= _MOST else [f"{len(strange)} members{shapes.STRANGE}"]),
        *other,
    ]


def _judged(text: str, kind: str) -> str:
    """A missing member, and whether the schema knows it."""
    return text if shapes.has(kind, text.removeprefix(_MISSING)) else f"{text}, nor has the schema"


def _body(response: Response) -> Any:
    return response.json() if response.content else None


def _envelope(world: World, example: Example, response: Response) -> Iterator[str]:
    """What every page says without saying so: the kind of the body, and whose metadata describe it."""
    if response.content:
        expected = "text/plain" if isinstance(example.documented, int) else "application/json"
        if response.headers.get("Content-Type", "").partition(";")[0] != expected:
            yield f"a body that is no {expected}"
    body = _body(response)
    described = body.get(_CONTEXT) if isinstance(body, dict) else None
    if described and not described.startswith(f"{world.graph}/{example.version}/$metadata#"):
        yield f"{_CONTEXT} of another version or host"


def _against_page(world: World, example: Example, response: Response) -> Iterator[str]:
    documented, actual = example.documented, _body(response)
    if documented is None:
        if actual is not None and example.status == 204:
            yield "a body"
        return
    documented = json.loads(world.translate(example, json.dumps(documented)))
    inner = documented.get("value") if isinstance(documented, dict) else None
    if inner and isinstance(actual, dict) and "value" not in actual:  # some pages put one object into a `value`
        yield "the one object is not put into `value`"
        documented = inner[0] if isinstance(inner, list) else inner
    elif isinstance(inner, dict):
        yield "a list, where the page has one object"
        documented = documented | {"value": [inner]}
    yield from differences(documented, actual)


def differences(documented: Any, actual: Any, path: str = "") -> Iterator[str]:
    """In what a JSON value differs from the one of a page: members that are missing, kinds, contexts and types.

    :param path: of both.
    """
    if documented is None or actual is None:
        return
    if _kind(documented) != _kind(actual):
        yield f"{path or 'the body'} is {_kind(actual)}, documented as {_kind(documented)}"
    elif isinstance(documented, dict):
        for member, inner in documented.items():
            at = f"{path}/{member}".lstrip("/")
            if member not in actual:
                yield f"{_MISSING}{at.removeprefix('value/')}"
            elif member in (_CONTEXT, "@odata.type"):
                yield from _annotated(member, str(inner), str(actual[member]))
            else:
                yield from differences(inner, actual[member], at)
    elif isinstance(documented, list) and documented:
        if not actual and path in _LISTS:
            yield f"{path} is empty"
        for item in actual:
            yield from differences(documented[0], item, path)


def _annotated(member: str, documented: str, actual: str) -> Iterator[str]:
    if member == _CONTEXT:
        documented, actual = documented.partition("#")[2], actual.partition("#")[2]
    else:
        documented, actual = (text.removeprefix("#").removeprefix("microsoft.graph.") for text in (documented, actual))
    if documented != actual:
        yield _GUID.sub("{id}", f"{member} `{actual}`, documented as `{documented}`")


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "a flag"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case list():
            return "a list"
    return "an object"


def _against_schema(example: Example, response: Response) -> Iterator[str]:
    actual = _body(response)
    if not example.type or not isinstance(actual, dict):
        return
    items = actual["value"] if isinstance(actual.get("value"), list) else [actual]
    for item in items:
        yield from shapes.flaws(item, example.type)
