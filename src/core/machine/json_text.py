"""Members of a JSON text, edited where they stand: every other character stays as it is (M1).

Reading a text into objects and writing these again would rewrite what others wrote: 1.10 becomes 1.1, a number of 23
digits loses some, the first of two members of one name is lost, escapes and indentation change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.S)
#: Python refuses to read a longer number as an integer; nobody here calculates with it.
_LONGEST_INTEGER: Final = 4000


@dataclass(frozen=True)
class Member:
    """A member of the outermost object.

    :param name: as decoded.
    :param start: where its name begins; `colon` is where that ends, `value` where its value begins, `end` behind that.
    """

    name: str
    start: int
    colon: int
    value: int
    end: int


def read(text: str) -> Any:
    """What a text says. Of two members of one name the last one counts.

    :raises ValueError: it is no JSON.
    :raises RecursionError: it is nested too deeply.
    """
    return _DECODER.decode(text)


def members(text: str) -> tuple[Member, ...]:
    """The members of the outermost object, in order, each as often as it stands there.

    :param text: what `read` has read, an object.
    """
    found: list[Member] = []
    at = _after_space(text, text.index("{") + 1)
    while text[at] != "}":
        name, colon = _DECODER.raw_decode(text, at)
        value = _after_space(text, _after_space(text, colon) + 1)
        _, end = _DECODER.raw_decode(text, value)
        found.append(Member(str(name), at, colon, value, end))
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)
    return tuple(found)


def edit(text: str, values: Mapping[str, str], remove: Collection[str] = ()) -> str:
    """The text with members set and removed. What is there already stays as it is spelled; a new one comes last.

    :param text: what `read` has read, an object.
    :param values: members to set, each to a text.
    :param remove: names of members of the outermost object to remove first, each as often as it stands there.
    """
    before = members(text)
    kept = [member for member in before if member.name not in remove]
    last = {member.name: member for member in kept}
    fresh = [name for name in values if name not in last]
    if not before:
        opening, closing = text.index("{") + 1, text.rindex("}")
        lines = ",\n  ".join(f"{_spelled(name)}: {_spelled(values[name])}" for name in fresh)
        return f"{text[:opening]}\n  {lines}\n{text[closing:]}" if fresh else text
    head, tail = text[: before[0].start], text[before[-1].end :]
    indent = head[head.index("{") + 1 :]
    comma = {one.end: text[one.end : two.start] for one, two in pairwise(before)}
    usual = comma.get(before[0].end) or "," + (indent if "\n" in indent else " ")
    colon = text[before[0].colon : before[0].value]
    parts = []
    for member in kept:
        new = values.get(member.name) if member is last[member.name] else None
        old = text[member.value : member.end]
        spelled = old if new is None or read(old) == new else _spelled(new)
        parts.append(text[member.start : member.value] + spelled)
        parts.append(comma.get(member.end, usual))
    for name in fresh:
        parts += [f"{_spelled(name)}{colon}{_spelled(values[name])}", usual]
    return head + "".join(parts[:-1]) + tail


def where(text: str, holds: Callable[[str], bool]) -> tuple[str, ...]:
    """Names of the members in which some text holds what is looked for: name, value, or anything inside of it.

    :param text: what `read` has read, an object.
    :param holds: asked for every text, as decoded, also one that a later member of the same name hides, and for the
        whole member as it is spelled.
    """
    spelled = ((member.name, text[member.start : member.end]) for member in members(text))
    found = (name for name, part in spelled if holds(part) or any(holds(inner) for inner in _texts(part)))
    return tuple(dict.fromkeys(found))


def _texts(text: str) -> Iterator[str]:
    for match in _STRING.finditer(text):
        yield str(json.loads(match[0]))


def _spelled(text: str) -> str:
    spelled = json.dumps(text, ensure_ascii=False)
    try:
        spelled.encode()
    except UnicodeEncodeError:  # half a character: only an escape can spell it
        return json.dumps(text)
    return spelled


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number in JSON")


def _integer(text: str) -> int | str:
    return int(text) if len(text) < _LONGEST_INTEGER else text


_DECODER: Final = json.JSONDecoder(parse_constant=_no_number, parse_int=_integer)
