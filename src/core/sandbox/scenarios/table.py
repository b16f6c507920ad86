"""One table of a TOML file, read key by key: what is missing, unknown or out of range is named by its path."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import SetupError


@dataclass
class Table:
    """A table whose keys are taken one after the other; `end` refuses what nobody took.

    :param path: the file.
    :param where: the table's own path, with a dot at its end; empty at the top.
    """

    path: Path
    where: str
    data: dict[str, Any]

    def wrong(self, key: str, detail: str) -> SetupError:
        """The error about a key."""
        return SetupError("sandbox.file", path=self.path, detail=f"{self.where}{key} {detail}")

    def has(self, key: str) -> bool:
        """Whether it was given and not taken yet."""
        return key in self.data

    def end(self, known: str) -> None:
        """Refuse what was not taken.

        :param known: what is known here, for the error.
        """
        for key in self.data:
            raise self.wrong(key, f"is not a key of {known}")

    def text(self, key: str, default: str = "") -> str:
        """A text; not an empty one."""
        value = self.data.pop(key, None)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.wrong(key, "must be a text")
        if not value:
            raise self.wrong(key, "must not be empty")
        return value

    def choice(self, key: str, options: Collection[str], default: str = "") -> str:
        """One of several texts; required when there is no default."""
        value = self.data.pop(key, default)
        if not isinstance(value, str) or value not in options:
            missing = "is missing; it " if value == "" else ""
            raise self.wrong(key, f"{missing}must be one of {', '.join(options)}")
        return value

    def pattern(self, key: str) -> str:
        """A regular expression."""
        value = self.text(key)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                re.compile(value)
        except (re.error, OverflowError, RecursionError, Warning) as error:
            raise self.wrong(key, f"is no regular expression: {error}") from None
        return value

    def flag(self, key: str) -> bool | None:
        """True or false; None when it is not there."""
        value = self.data.pop(key, None)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "must be true or false")
        return value

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        """A whole number within limits."""
        return int(self._number(key, self.data.pop(key, default), least, most, whole=True))

    def number(self, key: str, default: float, least: float, most: float) -> float:
        """A number within limits."""
        return float(self._number(key, self.data.pop(key, default), least, most))

    def pair(self, key: str, least: float, most: float, *, whole: bool = False) -> tuple[float, float] | None:
        """Two numbers within limits; None when it is not there."""
        if key not in self.data:
            return None
        value = self.data.pop(key)
        if not isinstance(value, list) or len(value) != 2:
            raise self.wrong(key, "must be two numbers, as in [1, 5]")
        first, second = (self._number(key, item, least, most, whole=whole) for item in value)
        return first, second

    def table(self, key: str) -> Table:
        """A table below; an empty one when it is not there."""
        value = self.data.pop(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, f"must be a table: [{key}]")
        return Table(self.path, f"{self.where}{key}.", dict(value))

    def tables(self, key: str) -> Sequence[Table]:
        """An array of tables below, counted from 1."""
        value = self.data.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(key, f"must be an array of tables: [[{key}]]")
        return [Table(self.path, f"{self.where}{key}[{n}].", dict(item)) for n, item in enumerate(value, 1)]

    def _number(self, key: str, value: Any, least: float, most: float, *, whole: bool = False) -> float:
        fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not fits or not least <= value <= most:
            raise self.wrong(key, f"must be a {'whole ' * whole}number from {least:g} to {most:g}")
        number: float = value
        return number
