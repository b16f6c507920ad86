"""When a certificate is due for renewal: one formula for warning, renewal, reminder and diagnosis (P9)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

State = Literal["valid", "due", "warning", "critical", "expired"]

#: A life below this is short: then it is due from the half of it on, else from two thirds.
SHORT: Final = timedelta(days=10)
#: It is critical in the last twelfth of its life, and no longer than this.
LAST: Final = timedelta(days=7)


@dataclass(frozen=True)
class Renewal:
    """The moments in the life of one certificate.

    :param due: from when on it is to be replaced.
    :param warning: from when on it is late.
    :param critical: from when on it is about to end.
    :param end: when it ends.
    """

    due: datetime
    warning: datetime
    critical: datetime
    end: datetime

    def state(self, now: datetime) -> State:
        """Where it stands at a moment."""
        if now >= self.end:
            return "expired"
        if now >= self.critical:
            return "critical"
        if now >= self.warning:
            return "warning"
        return "due" if now >= self.due else "valid"


def renewal(begin: datetime, end: datetime, seed: str) -> Renewal:
    """The moments of a life.

    :param begin: notBefore.
    :param end: notAfter.
    :param seed: fixes how much later than others of the same life it is due, up to a twentieth of that, so that
        machines that were set up together do not renew together. The thumbprint serves: each machine has its own key.
    """
    life = end - begin
    spread = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4]) / 2**32
    due = begin + (life / 2 if life < SHORT else life * 2 / 3) + life / 20 * spread
    return Renewal(due, due + life / 12, end - min(life / 12, LAST), end)
