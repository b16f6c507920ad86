"""Whether an effect has happened, as far as its error tells (M5, M8)."""

from __future__ import annotations

from enum import Enum


class Effected(Enum):
    """What an error says of the effect that whoever raised it was asked for.

    It is said once, by the function that reads the answer: for one request by its reader, for several by whoever puts
    their answers together. An error of a function that only looks says UNKNOWN: it knows of no effect.
    """

    NO = "no"
    """It is proven that nothing of it has happened: only this closes an effect in the journal as failed."""

    UNKNOWN = "unknown"
    """It may have happened, or some of it; the next look at reality decides."""

    YES = "yes"
    """It has happened, and something else is wrong."""
