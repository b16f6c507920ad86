"""What an id or a code means, without an error at hand: for `explain` and the reference (P11, U5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from core import errors
from core.errors import codes
from core.errors.exit_codes import ExitCode


@dataclass(frozen=True)
class Explanation:
    """One entry.

    :param group: `AADSTS`, `Graph`, or the first word of an id of ours.
    :param meaning: what happened; a fact that only an error knows is shown by its name, as `<app id>`.
    :param docs: the file and the anchor that say the same.
    """

    id: str
    group: str
    meaning: str
    remedy: str
    exit_code: ExitCode
    docs: str


@cache
def table() -> Mapping[str, Explanation]:
    """Every entry by its id in lower case: ours, then AADSTS codes by number, then Graph codes by name."""
    return {entry.id.lower(): entry for entry in (*_ours(), *_theirs())}


def find(text: str) -> Explanation:
    """The entry of an id or a code, in any case; the letters AADSTS may be left out.

    :raises SetupError: `usage.unknown-id`, with what comes closest.
    """
    name = "".join(text.split()).rstrip(":.").lower()
    name = f"aadsts{name}" if name.isdecimal() else name
    if name not in table():
        near = [table()[found].id for found in get_close_matches(name, table(), n=3)]
        raise errors.SetupError("usage.unknown-id", name=text, closest=", ".join(near) or "none")
    return table()[name]


def groups() -> dict[str, list[Explanation]]:
    """All entries by their group."""
    found: dict[str, list[Explanation]] = {}
    for entry in table().values():
        found.setdefault(entry.group, []).append(entry)
    return found


def _ours() -> Iterator[Explanation]:
    for id, row in errors.table().items():
        told = {"summary": row["summary"], "remedy": row["remedy"], **row.get("explain", {})}
        meaning, remedy = (codes.fill(told[name], {}) for name in ("summary", "remedy"))
        yield Explanation(id, id.partition(".")[0], meaning, remedy, ExitCode(row["exit"]), codes.docs(id))


def _theirs() -> Iterator[Explanation]:
    def order(code: codes.Code) -> tuple[bool, int, str]:
        number = int(code.name.removeprefix("AADSTS")) if code.service == "AADSTS" else 0
        return code.service == "Graph", number, code.name.lower()

    for code in sorted(codes.table().values(), key=order):
        remedy = codes.fill(code.remedy, {})
        yield Explanation(code.name, code.service, code.meaning, remedy, code.exit, codes.docs(code.name))
