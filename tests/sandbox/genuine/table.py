"""The table of deviations in docs/reference/sandbox.md: which example differs how, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[3] / "docs" / "reference" / "sandbox.md"
HEADING: Final = "## As documented"
_COUNTS: Final = re.compile(r"Of (\d+) examples the sandbox answers (\d+) ")
_ROW: Final = re.compile(r"^\| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_NO_REASON: Final = "?"


@dataclass(frozen=True)
class Row:
    """One deviation.

    :param examples: ids of those that show it.
    """

    deviation: str
    examples: tuple[str, ...]
    reason: str


def section() -> str:
    """The text below the heading."""
    return PAGE.read_text(encoding="utf-8").partition(f"{HEADING}\n")[2].partition("\n## ")[0]


def counts() -> tuple[int, int]:
    """How many examples there are, and how many of them are answered as documented, as the page says."""
    matched = _COUNTS.search(section())
    return (int(matched[1]), int(matched[2])) if matched else (0, 0)


def rows() -> list[Row]:
    """The table."""
    found = [Row(row[1], tuple(row[2].split(", ")), row[3]) for row in _ROW.finditer(section())]
    return [row for row in found if row.deviation not in ("differs by", "---")]


def pairs(found: Iterable[Row]) -> set[tuple[str, str]]:
    """Each deviation with each of its examples."""
    return {(row.deviation, example) for row in found for example in row.examples}


def render(deviations: dict[str, list[str]]) -> str:
    """The table for what was found, with the reasons that the page gives now.

    :param deviations: by the id of the example.
    """
    reasons = {pair: row.reason for row in rows() for pair in pairs([row])}
    by_row: dict[tuple[str, str], list[str]] = {}
    for example, texts in deviations.items():
        for text in texts:
            by_row.setdefault((text, reasons.get((text, example), _NO_REASON)), []).append(example)
    lines = [f"| {text} | {', '.join(examples)} | {reason} |" for (text, reason), examples in by_row.items()]
    return "\n".join(["| differs by | examples | because |", "|---|---|---|", *lines])
