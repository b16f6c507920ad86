"""The pretend computer of a scenario: what lies on it, and what is wrong with it (U8)."""

from __future__ import annotations

from collections.abc import Mapping
from configparser import RawConfigParser
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from core.machine.python_packages import Package, required
from core.sandbox import disclosure

if TYPE_CHECKING:
    from core.entra.certificates import KeyPair

KeystoreFault = Literal["", "none", "plaintext", "spoofed", "small", "locked"]
AzFault = Literal["", "noisy", "missing"]
#: How the import of a package that `Machine.broken` names fails.
BROKEN: Final = "No module named 'jaraco'"
#: What an az of which something prints notes on standard output prints there before its answer.
NOISE: Final = "WARNING: You have 3 update(s) available. Consider updating your CLI installation with 'az upgrade'"


@dataclass(frozen=True)
class Machine:
    """One computer.

    :param members: of the state file, null where it holds null; empty: there is no state file.
    :param key_pair: this machine's key, which lies in its keystore.
    :param files: further files of the project, name to text.
    :param keystore: what is wrong with the keystore: there is none, it is keyrings.alt's plain text, a class that only
        calls itself like the system's own, Windows' limit, or it stays locked.
    :param az: what is wrong with the Azure CLI: it prints warnings on standard output, or it is not there.
    :param broken: distributions that are installed and cannot be imported.
    :param weak: `key_pair` lies in keyrings.alt's plain text file instead, where an earlier run left it (K3).
    """

    members: Mapping[str, Any] = field(default_factory=dict)
    key_pair: KeyPair | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    keystore: KeystoreFault = ""
    az: AzFault = ""
    broken: tuple[str, ...] = ()
    weak: bool = False


def packages(machine: Machine) -> tuple[Package, ...]:
    """What a look at the packages of this computer finds; those of the real one are not looked at."""
    return tuple(
        Package(need.name, need.needed, "", ok=False, why=f"it cannot be imported (ImportError: {BROKEN})")
        if need.name in machine.broken
        else Package(need.name, need.needed, "not looked at, the sandbox pretends", ok=True)
        for need in required()
    )


def leave_weak(path: Path, service: str, account: str, key_pair: KeyPair) -> None:
    """Leave a key in the file of keyrings.alt's plain text backend, as that backend would have written it (K3).

    :param path: of the file.
    """
    parser = RawConfigParser()
    parser.add_section(_escaped(service))
    parser.set(_escaped(service), _escaped(account), f"\n{disclosure.as_base64(key_pair.pem)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    with path.open("w", encoding="utf-8") as file:
        parser.write(file)


def _escaped(text: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "".join(f"_{b:02X}" for b in c.encode()) for c in text)
