"""What the sign-in service says when it refuses: OAuth error, AADSTS number and text (entra-protocol D.1, D.6)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from core.errors.codes import fill


class Refused(Exception):
    """The service's refusal, as RFC 6749 section 5.2 and AADSTS spell it.

    :ivar text: the sentence, without number and ids.
    :ivar suberror: what MSAL reads to tell cases of one error apart; mostly empty.
    :ivar correlation: what the client called its request; empty: it did not.
    """

    def __init__(self, status: int, error: str, code: int, text: str, suberror: str = "") -> None:
        super().__init__(text)
        self.status, self.error, self.code, self.text, self.suberror = status, error, code, text, suberror
        self.correlation = ""


@cache
def table() -> Mapping[int, Mapping[str, Any]]:
    """The rows of refusals.toml by their number."""
    import tomllib
    from importlib import resources

    with resources.files("core.sandbox.token_service").joinpath("refusals.toml").open("rb") as file:
        rows = tomllib.load(file)
    return {int(number): row for number, row in rows.items()}


def refuse(number: int, **facts: str) -> Refused:
    """The refusal with a number.

    :param facts: what its text names; a missing one is shown as `<its name>`.
    :raises LookupError: this service has no such number.
    """
    row = table()[number]
    status = row.get("status", 401 if row["error"] == "invalid_client" else 400)
    return Refused(status, row["error"], number, fill(row["text"], facts), row.get("suberror", ""))
