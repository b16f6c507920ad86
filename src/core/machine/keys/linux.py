"""Linux: the TPMs that the kernel shows, and whether this user may use the resource manager of one (T1)."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from stat import S_IMODE
from typing import Final

from core.machine import environment
from core.machine.keys import surroundings
from core.machine.keys.hardware import Group, Hardware, Kind, User

#: Where a TPM leaves its number. In a container, /sys is the host's, and /dev has what was passed.
_PLACES: Final = ("sys/class/tpm", "sys/class/tpmrm", "dev")
_CHIP: Final = re.compile(r"tpm(?:rm)?([0-9]{1,4})")
_GROUP: Final = 0o060
_RULE: Final = (
    "Install the package with the udev rule for TPMs (tpm-udev on Debian and Ubuntu, tpm2-tss elsewhere), and restart."
)
_DEVICE_OPTION: Final = "with --device /dev/tpmrm{n} (Kubernetes: by a device plugin)"


def look(
    root: Path,
    environ: Mapping[str, str],
    user: Callable[[], User],
    access: Callable[[Path], bool],
    group: Callable[[int, str], Group | None],
) -> Hardware:
    """The first TPM 2.0 that is usable; else the one that comes closest, or none.

    :param user: whom this process runs as; asked only when that matters, since the database may be far away.
    :raises OSError: the system does not let this process look.
    """
    around = surroundings.look(environ, root)
    seen = [_Chip(root, number, around).judge(user, access, group) for number in _numbers(root)]
    return min(seen, key=lambda one: (not one.usable, one.kind != "tpm2")) if seen else _none(root, around)


def _numbers(root: Path) -> list[int]:
    names = [name for place in _PLACES for name in _names(root / place)]
    return sorted({int(found[1]) for name in names if (found := _CHIP.fullmatch(name))})


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208  names are all it takes
    except (FileNotFoundError, NotADirectoryError):
        return []


class _Chip:
    """One TPM.

    :param number: of its device.
    """

    def __init__(self, root: Path, number: int, around: surroundings.Surroundings) -> None:
        self._root, self._number, self._around = root, number, around
        self._device = root / f"dev/tpmrm{number}"
        self._path = f"/dev/tpmrm{number}"

    def judge(
        self, user: Callable[[], User], access: Callable[[Path], bool], group: Callable[[int, str], Group | None]
    ) -> Hardware:
        """Whether it will do."""
        kind = self._kind()
        if kind == "tpm1.2":
            remedy = "Look whether the firmware settings offer TPM 2.0 instead."
            return self._no(kind, "TPM 1.2", "it is a TPM 1.2, and a TPM 2.0 is needed", remedy)
        if kind != "tpm2":
            why = "the kernel does not tell its version, and a TPM 2.0 is needed"
            return self._no(kind, "a TPM", why, "Use a kernel of Linux 5.6 or newer.")
        if not self._device.exists() or self._device.is_dir():  # docker makes a folder of what is not there
            return self._no("tpm2", "TPM 2.0", *self._missing())
        if not access(self._device):
            return self._no("tpm2", "TPM 2.0", *self._refused(user(), group))
        return Hardware("tpm2", f"TPM 2.0, {self._path}", "linux", usable=True, around=self._around.words)

    def _no(self, kind: Kind, what: str, why: str, remedy: str) -> Hardware:
        evidence = f"{what}, tpm{self._number}"
        return Hardware(kind, evidence, "linux", why=why, remedy=remedy, around=self._around.words)

    def _kind(self) -> Kind:
        chip = self._root / f"sys/class/tpm/tpm{self._number}"
        match environment.text(chip / "tpm_version_major"):
            case "2":
                return "tpm2"
            case "1":
                return "tpm1.2"
        if self._managed or self._device.exists():  # the kernel is older than Linux 5.6; only a 2.0 has one
            return "tpm2"
        return "tpm1.2" if "1.2" in environment.text(chip / "device/caps") else "tpm"

    @property
    def _managed(self) -> bool:
        """Whether the kernel has a resource manager for it."""
        return (self._root / f"sys/class/tpmrm/tpmrm{self._number}").exists()

    def _missing(self) -> tuple[str, str]:
        if self._around.container:
            why = f"{self._path} is not in this container"
            return why, f"Start the container {_DEVICE_OPTION.format(n=self._number)}."
        if self._managed:
            why = f"the kernel has {self._path}, but no such device file was made"
            return why, "Look whether udev runs and /dev is a devtmpfs (findmnt /dev), and restart."
        return f"the kernel has no resource manager, {self._path}, for it", "Use a kernel of Linux 4.12 or newer."

    def _refused(self, user: User, group: Callable[[int, str], Group | None]) -> tuple[str, str]:
        """Why this user may not use the device, and what helps."""
        state = self._device.stat()
        known = group(state.st_gid, user.name)
        name = known.name if known else str(state.st_gid)
        rights = f"{S_IMODE(state.st_mode):04o}, group {name}"
        if user.uid == 0 or (state.st_mode & _GROUP == _GROUP and state.st_gid in user.groups):
            why = f"{self._path} ({rights}) is refused, although its mode allows this user to use it"
            return why, f"Look at 'getfacl {self._path}', and at the rules of SELinux, AppArmor or the container."
        if state.st_mode & _GROUP != _GROUP or state.st_gid == 0:  # nobody should be made a member of root
            why = f"{self._path} ({rights}) is for root alone"
            return why, f"On the host: {_RULE}" if self._around.container else _RULE
        if self._around.container:
            why = f"{self._path} ({rights}) is for that group, and this container does not run in it"
            return why, f"Start the container with --group-add {state.st_gid}."
        why = f"{self._path} ({rights}) is for that group, and this user is not in it"
        if known is None:
            return why, _RULE
        if known.listed:
            why = f"{self._path} ({rights}) is for that group, and this session began before the user came into it"
            return why, "Log out and in again."
        if not user.name:
            return why, f"Run this as a user of the group {name}."
        return why, f"sudo usermod -aG {shlex.quote(name)} {shlex.quote(user.name)}   # then log out and in again"


def _none(root: Path, around: surroundings.Surroundings) -> Hardware:
    """There is none that the kernel knows of."""
    kind: Kind = "none"
    evidence = "no TPM"
    if (root / "sys/firmware/acpi/tables/TPM2").exists():
        kind, evidence = "tpm2", "a TPM 2.0 that the firmware shows"
        why, remedy = "the kernel has no driver for it", "sudo modprobe tpm_crb; sudo modprobe tpm_tis"
        remedy = f"On the host: {remedy}" if around.container else remedy
    elif around.wsl:
        why, remedy = f"{around.wsl} has none, whatever the computer has", "Use Windows itself: it reaches the TPM."
    elif around.container:
        why = "neither this container nor what it runs on shows one"
        first = "Add a virtual TPM 2.0 to the virtual machine below, and start" if around.machine else "Start"
        remedy = f"{first} the container {_DEVICE_OPTION.format(n=0)}."
    elif around.machine:
        why = "this virtual machine has none"
        remedy = "Add a virtual TPM 2.0 to it (Azure: trusted launch, Amazon: NitroTPM, Google: shielded VM)."
    else:
        why = "this computer has none, or its firmware hides it"
        remedy = "Switch on Intel PTT or AMD fTPM (also called 'Security Device') in the firmware settings."
    return Hardware(kind, evidence, "linux", why=why, remedy=remedy, around=around.words)
