"""Where the pretend world hands a secret out in clear: in an answer, and in the files of its computer."""

from __future__ import annotations

import hashlib
import json
from base64 import encodebytes
from typing import Any

from core.secret import Secret


def as_json(data: Any, indent: int | None = None) -> str:
    """JSON in which each secret is spelled out."""
    return json.dumps(data, indent=indent, default=_text)


def as_base64(secret: Secret) -> str:
    """The lines that hold a secret."""
    return encodebytes(_text(secret).encode()).decode()


def digest(secret: Secret) -> str:
    """What a directory keeps of a secret, to recognise it."""
    return hashlib.sha256(_text(secret).encode()).hexdigest()


def _text(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} is not JSON")
