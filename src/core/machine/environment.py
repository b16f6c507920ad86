"""Whether a key in this machine's keystore would outlive the run: what speaks against it (M16)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from core import tables

#: Bytes of a file that matter; /proc/cpuinfo of a large machine is long, and slow to make.
_HEAD: Final = 16384
_CONTAINER: Final = ("KUBERNETES_SERVICE_HOST", "container")
_FILES: Final = (".dockerenv", "run/.containerenv", "run/systemd/container")
_CGROUP: Final = re.compile(r"docker|kubepods|containerd|libpod|crio-|/lxc/|/lxc\.payload")


def evidence(environ: Mapping[str, str], root: Path) -> tuple[str, ...]:
    """What says that this is a CI job or a container, in words; empty when nothing does.

    A virtual machine is none, and neither is WSL: both keep their disks.

    :param environ: the environment.
    :param root: root of the file system.
    """
    jobs = tables.read("machine/surroundings")["jobs"]["variables"]
    found = [f"CI: the variable {name} is set" for name in jobs if _says_yes(environ.get(name))]
    found += [f"container: the variable {name} is set" for name in _CONTAINER if _says_yes(environ.get(name))]
    found += [f"container: /{name} exists" for name in _FILES if (root / name).exists() and text(root / name) != "wsl"]
    if hint := _CGROUP.search(text(root / "proc/1/cgroup")):
        found.append(f"container: /proc/1/cgroup names '{hint[0].strip('/')}'")
    return tuple(found)


def _says_yes(value: str | None) -> bool:
    return value is not None and value.lower() not in ("", "0", "false", "no", "off", "wsl")


def text(path: Path) -> str:
    """The beginning of a file; nothing when it cannot be read: then it is no evidence either way."""
    try:
        with path.open("rb") as file:
            return file.read(_HEAD).decode(errors="replace").strip("\0 \t\r\n")
    except OSError:
        return ""
