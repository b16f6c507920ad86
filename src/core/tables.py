"""Tables of this program: data in TOML that lies beside the code which reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def read(name: str) -> dict[str, Any]:
    """A table.

    :param name: of its file below `core`, without `.toml`: for example `errors/codes`.
    """
    import tomllib

    return tomllib.loads(Path(__file__).parent.joinpath(f"{name}.toml").read_text(encoding="utf-8"))
