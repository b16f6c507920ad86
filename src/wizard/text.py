"""Texts of any origin, fit to be printed: no secrets, nothing that acts on a terminal, lines of a width (D4, U6)."""

from __future__ import annotations

import textwrap
from functools import partial

from core.display import visible
from core.secret import redactor


def clean(text: str) -> str:
    """A text without secrets, and without characters that would act on a terminal or hide something in it."""
    return visible(redactor.redact(text))


def wrapped(text: str, room: int, *, cut: bool = True) -> list[str]:
    """The lines of a text; words stay whole, also in paths and flags.

    :param room: columns; none where a pipe gets whole lines.
    :param cut: whether a word that is longer than a line is cut.
    """
    lines = clean(text).split("\n")
    if room <= 0:
        return lines
    wrap = partial(textwrap.wrap, width=room, break_on_hyphens=False, break_long_words=cut)
    return [part for line in lines for part in wrap(line) or [""]]
