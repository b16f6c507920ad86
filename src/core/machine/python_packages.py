"""The Python packages that this program requires: which are there, are too old, or cannot be imported (D1).

Nothing of them is imported at the top: a look at a broken installation must work in it.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from dataclasses import dataclass
from typing import Final

from core.errors import SetupError

OURS: Final = "entraclaw-setup"
#: What to import, where that is not the name; of cryptography the part that breaks.
_MODULES: Final = {"azure-identity": "azure.identity", "cryptography": "cryptography.hazmat.bindings._rust"}
#: A headless run never loads Textual, and these two cost 0.2 s each.
_ONLY_FOUND: Final = frozenset({"textual", "azure-identity"})
_REQUIREMENT: Final = re.compile(r"([\w.-]+)(?:\[[^]]*\])?\s*([^;]*)(?:;\s*(.*))?")
_SYSTEM: Final = re.compile(r"sys_platform\s*(==|!=)\s*['\"](\w+)['\"]")
_BOUND: Final = re.compile(r"(>=|<)\s*([\d.]+)")


@dataclass(frozen=True)
class Package:
    """One of them.

    :param name: of its distribution.
    :param needed: for example `>=25.6`; empty when any will do.
    :param found: its version; empty when it is not installed.
    :param ok: whether it will do.
    :param why: why it will not.
    """

    name: str
    needed: str
    found: str
    ok: bool
    why: str = ""


@dataclass(frozen=True)
class Required:
    """What a distribution says that it needs."""

    name: str
    needed: str


def required(distribution: str = OURS, platform: str = sys.platform) -> tuple[Required, ...]:
    """What a distribution requires on a system, extras left out.

    :returns: nothing when it is not installed.
    """
    from importlib import metadata

    try:
        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return ()
    found = []
    for line in lines:
        matched = _REQUIREMENT.fullmatch(line.strip())
        assert matched is not None, line
        name, needed, marker = matched[1], matched[2].strip(" ()"), matched[3] or ""
        system = _SYSTEM.search(marker)
        elsewhere = system is not None and (system[2] == platform) is not (system[1] == "==")
        if "extra" not in marker and not elsewhere:
            found.append(Required(re.sub(r"[-_.]+", "-", name).lower(), needed))
    return tuple(found)


def look(
    distribution: str = OURS,
    platform: str = sys.platform,
    only_found: frozenset[str] = _ONLY_FOUND,
) -> tuple[Package, ...]:
    """Look at what a distribution requires; most of it is imported, which a run would do anyway.

    :param only_found: distributions that are looked for and not imported, because that takes long.
    """
    found = tuple(_seen(need, try_import=need.name not in only_found) for need in required(distribution, platform))
    if not found:
        return (Package(distribution, "", "", ok=False, why="it is not installed, so nobody knows what it needs"),)
    return found


def _seen(need: Required, *, try_import: bool) -> Package:
    from importlib import metadata

    try:
        version = metadata.version(need.name)
    except metadata.PackageNotFoundError:
        return Package(need.name, need.needed, "", ok=False, why="it is not installed")
    why = _unfit(version, need.needed)
    if not why:
        module = _MODULES.get(need.name, need.name.replace("-", "_"))
        why = _unloadable(module, try_import=try_import)
    return Package(need.name, need.needed, version, ok=not why, why=why)


def _unfit(version: str, needed: str) -> str:
    have = _numbers(version)
    for sign, bound in _BOUND.findall(needed):
        if sign == ">=" and have < _numbers(bound):
            return "it is too old"
        if sign == "<" and have >= _numbers(bound):
            return "it is too new"
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"[\d.]*", version)
    numbers = [int(number) for number in release[0].split(".") if number] if release else []
    while numbers and not numbers[-1]:  # 4 and 4.0 are the same
        numbers.pop()
    return tuple(numbers)


def _unloadable(module: str, *, try_import: bool) -> str:
    """Why a module cannot be loaded, and from where that was tried; empty when it can."""
    place = ""
    try:
        spec = importlib.util.find_spec(module)
        if spec is None:
            return "it is installed, but its files are not where Python looks"
        place = f" from {spec.origin}"
        if try_import:
            importlib.import_module(module)
    except (KeyboardInterrupt, SetupError):
        raise
    except BaseException as error:  # noqa: BLE001  an import runs whatever that module does, and Rust panics
        return f"it cannot be imported{place} ({type(error).__name__}: {error})"
    return ""
