"""Types of Microsoft Graph's schema, and whether what was answered is of them (shapes.toml)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_TYPES: Final[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "shapes.toml").read_text(encoding="utf-8"))
_ENUMS: Final[dict[str, list[str]]] = _TYPES.pop("enum")
_EXPANDED: Final[dict[str, dict[str, str]]] = _TYPES.pop("expanded")
#: How a flaw ends that is a member which the schema does not know.
STRANGE: Final = ", which the schema does not have"
_TEXT: Final = {
    "Binary": r"[\w+/=-]*",
    "DateTimeOffset": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z",
    "Duration": r"P(?!$)(\d+Y)?(\d+M)?(\d+D)?(T(?!$)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?",
    "Guid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "String": r"(?s:.*)",
}
_OTHER: Final = {"Boolean": bool, "Int": int, "Double": int | float}
_NAMESPACE: Final = re.compile(r"^#?microsoft\.graph\.", re.IGNORECASE)


def members(name: str) -> dict[str, str]:
    """The members of a type, inherited ones included."""
    own = {member: kind for member, kind in _TYPES[name].items() if member != "base"}
    base = _TYPES[name].get("base")
    return (members(base) if base else {}) | own | _EXPANDED.get(name, {})


def has(name: str, path: str) -> bool:
    """Whether a type has a member, or its members have one.

    :param path: names, parted by slashes; annotations are everywhere.
    """
    first, _, rest = path.partition("/")
    if "@" in first or name not in _TYPES:
        return True
    kind = members(name).get(first, "").strip("[]")
    return bool(kind) and (not rest or has(kind, rest))


def flaws(value: Any, name: str, path: str = "") -> Iterator[str]:
    """What in an object is not as the schema has it.

    :param name: of its type, unless the object names one of its own.
    """
    if not isinstance(value, dict):
        yield f"{path} is no {name}"
        return
    named = _NAMESPACE.sub("", str(value.get("@odata.type", "")))
    known = members(named if named in _TYPES else name)
    for member, inner in value.items():
        if "@" in member:
            continue
        at = f"{path}/{member}".lstrip("/")
        if member not in known:
            yield f"{at}{STRANGE}"
        else:
            yield from _flaws(inner, known[member], at)


def _flaws(value: Any, kind: str, path: str) -> Iterator[str]:
    if kind.startswith("["):
        if not isinstance(value, list):
            yield f"{path} is no list"
            return
        for item in value:
            yield from _flaws(item, kind[1:-1], path) if item is not None else [f"{path} holds null"]
    elif value is None:
        return
    elif kind in _TYPES:
        yield from flaws(value, kind, path)
    elif kind in _ENUMS:
        if not isinstance(value, str) or not set(value.split(",")) <= set(_ENUMS[kind]):
            yield f"{path} is no {kind}"
    elif kind in _TEXT:
        if not isinstance(value, str) or not re.fullmatch(_TEXT[kind], value):
            yield f"{path} is no {kind}"
    elif not isinstance(value, _OTHER[kind]) or isinstance(value, bool) != (kind == "Boolean"):
        yield f"{path} is no {kind}"
