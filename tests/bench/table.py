"""The table of ratios, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """One line.

    :param ok: whether the goal is met; None where there is none.
    """

    what: str
    measured: str
    baseline: str
    ratio: str
    goal: str
    ok: bool | None


def counted(what: str, counts: Sequence[int], least: int | None, most: int) -> Row:
    """A count with a goal; the largest of all runs is what counts.

    :param least: what it cannot be less than, if that is known.
    """
    worst = max(counts)
    ratio = f"{worst / least:.2f}" if least else ""
    return Row(what, str(worst), str(least) if least else "", ratio, f"≤ {most}", worst <= most)


def timed(what: str, seconds: Sequence[float], baseline: Sequence[float], name: str, most: float | None = None) -> Row:
    """A time against another of the same run; medians, with minima in brackets.

    :param name: what the baseline is.
    :param most: the largest ratio of medians that is fine.
    """
    ratio, least = median(seconds) / median(baseline), min(seconds) / min(baseline)
    shown = f"{_ms(baseline)} {name}"
    goal = "" if most is None else f"≤ {most:.2f}" if most != 1 else "< 1"
    ok = None if most is None else ratio < 1 if most == 1 else ratio <= most
    return Row(what, _ms(seconds), shown, f"{ratio:.2f} ({least:.2f})", goal, ok)


def markdown(rows: Iterable[Row]) -> str:
    """The whole table."""
    lines = ["| what | measured | baseline | ratio | goal | |", "|---|---|---|---|---|---|"]
    for row in rows:
        verdict = {True: "ok", False: "**over**", None: ""}[row.ok]
        lines.append(f"| {row.what} | {row.measured} | {row.baseline} | {row.ratio} | {row.goal} | {verdict} |")
    return "\n".join(lines)


def _ms(seconds: Sequence[float]) -> str:
    return f"{median(seconds) * 1000:.0f} ({min(seconds) * 1000:.0f}) ms"
