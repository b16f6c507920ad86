"""Hardware that could hold a private key, and the user who would use it (T1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

#: `tpm`: its version is not known. `unknown`: it was not found out whether there is anything.
Kind = Literal["tpm2", "tpm1.2", "tpm", "secure-enclave", "none", "unknown"]


@dataclass(frozen=True)
class Hardware:
    """What was found.

    :param evidence: the device and its version, in words.
    :param platform: as `sys.platform` names it; empty for a pretend computer.
    :param usable: whether it could hold an RSA key for this user, as far as that can be told without using it.
    :param why: why not; never empty unless it is usable.
    :param remedy: the command or the setting that helps; empty when nothing does.
    :param around: what surrounds this system: `WSL2`, `container (docker)`, `virtual machine (KVM)`.
    """

    kind: Kind
    evidence: str
    platform: str
    usable: bool = False
    why: str = ""
    remedy: str = ""
    around: tuple[str, ...] = ()

    @property
    def found(self) -> str:
        """Evidence and surroundings, in words."""
        return f"{self.evidence} ({', '.join(self.around)})" if self.around else self.evidence


class User(NamedTuple):
    """Whom this process runs as.

    :param name: its login name; empty when the user database has none.
    :param groups: ids of the groups that the process is in.
    """

    uid: int
    name: str
    groups: frozenset[int]


class Group(NamedTuple):
    """A group of the group database.

    :param listed: whether the user is in it there; the process may have begun before that.
    """

    name: str
    listed: bool
