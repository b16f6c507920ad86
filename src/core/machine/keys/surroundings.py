"""What surrounds a Linux system: WSL, a container, a virtual machine. It decides what helps where no TPM is (T1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from core import tables
from core.machine import environment


class Surroundings(NamedTuple):
    """Each is empty when this system is not in one.

    :param wsl: `WSL1`, `WSL2`, or `WSL` when the kernel does not tell which.
    :param container: its kind, or `unknown`.
    :param machine: kind of the virtual machine, or `unknown`; WSL2 does not count as one.
    """

    wsl: str = ""
    container: str = ""
    machine: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """In words, innermost first."""
        found = [("container", self.container), (self.wsl, self.wsl), ("virtual machine", self.machine)]
        return tuple(what if kind in ("unknown", what) else f"{what} ({kind})" for what, kind in found if kind)


def look(environ: Mapping[str, str], root: Path) -> Surroundings:
    """Look around.

    :param environ: the environment.
    :param root: root of the file system.
    """
    wsl = _wsl(environ, root)
    return Surroundings(wsl, _container(environ, root), "" if wsl else _machine(root))


def _table(name: str) -> dict[str, str]:
    """Words, and what their kind is called."""
    kinds: dict[str, str] = tables.read("machine/surroundings")[name]
    return kinds


def _wsl(environ: Mapping[str, str], root: Path) -> str:
    release = environment.text(root / "proc/sys/kernel/osrelease")
    if re.search("microsoft-standard|wsl2", release, re.IGNORECASE):
        return "WSL2"
    if release.endswith("-Microsoft"):
        return "WSL1"
    return "WSL" if environ.get("WSL_DISTRO_NAME") else ""


def _container(environ: Mapping[str, str], root: Path) -> str:
    evidence = [line for line in environment.evidence(environ, root) if line.startswith("container: ")]
    if not evidence:
        return ""
    told = " ".join((*evidence, environ.get("container", ""), environment.text(root / "run/systemd/container"))).lower()
    return next((kind for word, kind in _table("containers").items() if word in told), "unknown")


def _machine(root: Path) -> str:
    firmware = root / "sys/class/dmi/id"
    told = " ".join(environment.text(firmware / name) for name in ("sys_vendor", "product_name")).lower()
    hypervisor = re.search(r"^flags\s*:.*\bhypervisor\b", environment.text(root / "proc/cpuinfo"), re.MULTILINE)
    if "control_d" in environment.text(root / "proc/xen/capabilities") or ".metal" in told:
        return ""  # the one that rules the others, and Amazon's without a hypervisor
    if named := next((kind for word, kind in _table("machines").items() if re.search(rf"\b{word}\b", told)), ""):
        return named
    if environment.text(root / "sys/hypervisor/type") == "xen":
        return "Xen"
    return "unknown" if hypervisor else ""
