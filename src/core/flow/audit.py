"""What privileged effects are told to, before they happen and when they are over (D3)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from core.errors import Effected, SetupError

#: How an effect ended; `unknown`: it failed, and nobody knows whether it happened.
Ending = Literal["done", "failed", "unknown", "undone"]


class Audit:
    """Keeps nothing; `core.audit.log` has the one that does."""

    def begin(self, resource: str) -> int:
        """Tell of an effect that is about to happen.

        :param resource: its action, for example `graph.application.addKey`; no values.
        :returns: its number in this run.
        :raises SetupError: `audit.io`, `file.unsafe`, `folder.unsafe`: then it must not happen.
        """
        return 0

    def end(self, number: int, ending: Ending) -> None:
        """Tell how it ended.

        :raises SetupError: likewise.
        """

    @contextmanager
    def around(self, resource: str) -> Iterator[None]:
        """Surround an effect, also one that fails.

        :raises SetupError: likewise.
        """
        number = self.begin(resource)
        try:
            yield
        except BaseException as error:  # also a stop by a signal is an ending, and is told
            self.end(number, "failed" if isinstance(error, SetupError) and error.effected is Effected.NO else "unknown")
            raise
        self.end(number, "done")
