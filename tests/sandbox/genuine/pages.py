"""The request examples of Microsoft's documentation pages (examples.toml)."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Example:
    """One request, and what its page says comes back.

    :param id: what the table in docs/reference/sandbox.md calls it.
    :param page: where it stands.
    :param caller: whose token it takes (`World.token`).
    :param given: what in the page stands for which object of the `World`; what occurs several times has several.
    :param type: of the object in the answer, or of the items of its list.
    """

    id: str
    page: str
    request: str
    status: int
    version: str = "v1.0"
    caller: str = "app"
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    given: dict[str, str | list[str]] = field(default_factory=dict)
    type: str = ""
    answer: str = ""

    @property
    def documented(self) -> Any:
        """The answer's body, None where there is none."""
        return json.loads(self.answer) if self.answer else None


@cache
def examples() -> tuple[Example, ...]:
    """All examples."""
    pages = tomllib.loads((Path(__file__).parent / "examples.toml").read_text(encoding="utf-8"))["page"]
    return tuple(Example(page=page["name"], **example) for page in pages for example in page["example"])
