"""The programs and system pieces that a run needs: what is there, what is missing, and the command that installs it.

Looking changes nothing, and fails at nothing: whatever goes wrong is the reason why a tool will not do.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from core import tables
from core.clock import Cancel
from core.errors import InsecureKeyringBackendError, Interrupted, SetupError
from core.machine import process
from core.machine.keystore import bus

PYTHON: Final = "Python"
AZ: Final = "Azure CLI"
BUS: Final = "D-Bus session bus"
SECRETS: Final = "Secret Service"
GIT: Final = "git"
#: Seconds for a program to tell its version; a cold start of az takes some.
PATIENCE: Final = 30.0
_AZ_NEEDED: Final = (2, 61)
_PYTHON_NEEDED: Final = (3, 11)
_SERVICES: Final = ("gnome-keyring-daemon", "kwalletd6", "kwalletd5", "ksecretd", "keepassxc")
NOT_ON_PATH: Final = "it is not on the PATH"
NO_SERVICE: Final = "neither GNOME Keyring nor KWallet nor KeePassXC is on the PATH"
NO_BUS: Final = f"{bus.VARIABLE} is not set"
NO_VERSION: Final = "'az version' does not tell its version; {path} may not be the Azure CLI"


@dataclass(frozen=True)
class Tool:
    """One of them.

    :param needed: in words, for example `>= 2.61`; empty when any will do.
    :param found: the version, or where it is; empty when there is none.
    :param ok: whether it will do.
    :param why: why it will not.
    :param install: the command for this system; empty when nothing is to be done, or none is known.
    :param required: whether a run is pointless without it; the others are advice.
    """

    name: str
    needed: str
    found: str
    ok: bool
    why: str = ""
    install: str = ""
    required: bool = False


class System(NamedTuple):
    """How a kind of system installs things: a row of systems.toml, which says what the members are."""

    az: str
    newer: str
    package: str = ""
    bus: str = "dbus"


#: What os-release calls a system, where that is not the name of its kind.
_KINDS: Final = {"ubuntu": "debian", "centos": "rhel", "opensuse": "suse", "sles": "suse", "archarm": "arch"}

#: What helps where installing does not.
BY_HAND: Final = (
    "Run 'az version' by hand: an alias, a wrapper or a profile may print something into its answer, or stop it."
)

Find = Callable[[str], Path | None]
Ask = Callable[[Sequence[str]], process.Finished]


def look(
    untrusted: Sequence[Path],
    cancel: Cancel,
    *,
    own_keystore: bool = True,
    platform: str = sys.platform,
    os_release: Path = Path("/etc/os-release"),
    run_user: Path = Path("/run/user"),
    environ: Mapping[str, str] | None = None,
    uid: int | None = None,
    find: Find | None = None,
    ask: Ask | None = None,
) -> tuple[Tool, ...]:
    """Look at this computer; one program is started, to tell its version.

    :param untrusted: folders that no program must come from (C4).
    :param own_keystore: whether the key goes into the system's own keystore; another one needs no session bus.
    :param run_user: folder of the users' run-time folders.
    :param uid: id of the user, 0 for root; None: that of this process.
    :param find: the program of a name, or None; it may raise `program.untrusted`.
    :param ask: runs a program to its end.
    :returns: Python, then advice, then the rest of what is required.
    :raises Interrupted: somebody asked to stop.
    """
    me = uid if uid is not None else os.getuid() if hasattr(os, "getuid") else -1
    find = find or partial(process.find, untrusted=untrusted)
    ask = ask or partial(process.run, seconds=PATIENCE, cancel=cancel, untrusted=untrusted)
    system = _system(platform, os_release, find, root=me == 0)
    tools = [_python(), _git(find, system)]
    if platform == "linux":
        address = (os.environ if environ is None else environ).get(bus.VARIABLE, "")
        tools += [_secret_service(find, system), _bus(address, run_user / str(me) / "bus", system, own_keystore)]
    return (*tools, _az(find, ask, system))


def _system(platform: str, os_release: Path, find: Find, *, root: bool) -> System:
    systems = tables.read("machine/systems")
    names, release = _release(os_release) if platform == "linux" else ([], "")
    if platform in ("darwin", "win32"):
        kind = {"darwin": "macos", "win32": "windows"}[platform]
    else:
        kinds = (_KINDS.get(name.partition("-")[0], name) for name in names)
        kind = next((kind for kind in kinds if kind in systems), "other")
    system = System(**systems[kind])
    if kind == "macos" and _path(find, "brew")[0] is None:
        system = System(**systems["other"], package=system.package)
    prefix = "" if root else "doas " if _path(find, "sudo")[0] is None and _path(find, "doas")[0] else "sudo "
    major = release.partition(".")[0]
    repository = "9.0" if major == "9" else major or "9.0"
    filled = (text.replace("{root}", prefix).replace("{release}", repository) for text in system)
    return System(*filled)


def _release(path: Path) -> tuple[list[str], str]:
    """What the system calls itself, best name first, and its version; nothing when it does not say."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return [], ""
    values = {key.strip(): value.strip().strip("\"'") for key, _, value in (line.partition("=") for line in lines)}
    names = f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".lower().split()
    return names, values.get("VERSION_ID", "")


def _path(find: Find, name: str) -> tuple[Path | None, str, str]:
    """Where a program is, or why it is nowhere, and what helps if installing it does not."""
    try:
        path = find(name)
    except Interrupted:
        raise
    except SetupError as error:
        return None, error.summary, error.remedy
    return path, "" if path else NOT_ON_PATH, ""


def _python() -> Tool:
    found = ".".join(map(str, sys.version_info[:3]))
    return Tool(PYTHON, _at_least(_PYTHON_NEEDED), found, ok=True, required=True)


def _git(find: Find, system: System) -> Tool:
    # it is not started: where macOS has only a stand-in for it, that opens a window
    path, why, remedy = _path(find, "git")
    install = "" if path else remedy or system.package.replace("{package}", "git")
    return Tool(GIT, "", str(path or ""), ok=path is not None, why=why, install=install)


def _secret_service(find: Find, system: System) -> Tool:
    found = next((name for name in _SERVICES if _path(find, name)[0] is not None), "")
    if found:
        return Tool(SECRETS, "", found, ok=True)
    return Tool(SECRETS, "", "", ok=False, why=NO_SERVICE, install=system.package.replace("{package}", "gnome-keyring"))


def _bus(address: str, usual: Path, system: System, required: bool) -> Tool:
    try:
        bus.refuse_stranger({bus.VARIABLE: address})
    except InsecureKeyringBackendError as error:
        why, install = str(error.details["why"]).removesuffix("."), str(error.details["fix"])
        return Tool(BUS, "", "", ok=False, why=f"{bus.VARIABLE}={address}: {why}", install=install, required=required)
    silent = bus.silent({bus.VARIABLE: address})
    if not silent:
        return Tool(BUS, "", address, ok=True, required=required)
    other = f"unix:path={usual}"
    if not bus.silent({bus.VARIABLE: other}):  # the libraries look at the variable alone
        why, install = f"there is one, but {bus.VARIABLE} does not name it", f"export {bus.VARIABLE}={other}"
    elif address:
        why, install = silent, "dbus-run-session -- bash"
    else:
        package = system.package.replace("{package}", system.bus)
        why, install = NO_BUS, f"{package} && dbus-run-session -- bash".removeprefix(" && ")
    return Tool(BUS, "", "", ok=False, why=why, install=install, required=required)


def _az(find: Find, ask: Ask, system: System) -> Tool:
    def no(why: str, install: str, found: str = "") -> Tool:
        return Tool(AZ, _at_least(_AZ_NEEDED), found, ok=False, why=why, install=install, required=True)

    path, why, remedy = _path(find, "az")
    if path is None:
        return no(why, remedy or system.az)
    try:
        finished = ask([str(path), "version", "--output", "json"])
    except Interrupted:
        raise
    except SetupError as error:
        return no(error.summary, error.remedy)
    except OSError as error:
        return no(f"it cannot be started: {error.strerror or error}", system.az)
    if finished.code != 0:
        said = process.words(finished.stderr).removeprefix("ERROR: ")
        why = f"'az version' failed with exit code {finished.code}" + (f": {said}" if said else "")
        return no(why, f"{BY_HAND} If it is broken: {system.az}")
    found = _version(finished.stdout)
    numbers = tuple(map(int, re.findall(r"\d+", found)[:2]))
    if len(numbers) < 2:
        return no(NO_VERSION.format(path=path), BY_HAND)
    if numbers < _AZ_NEEDED:
        return no("it is too old", system.newer, found)
    return Tool(AZ, _at_least(_AZ_NEEDED), found, ok=True, required=True)


def _version(stdout: str) -> str:
    try:
        data = json.loads(stdout)
    except ValueError:
        return ""
    version = data.get("azure-cli") if isinstance(data, dict) else None
    return version if isinstance(version, str) and re.fullmatch(r"\d+\.\d+[\w.+-]{0,40}", version) else ""


def _at_least(version: tuple[int, int]) -> str:
    return ">= " + ".".join(map(str, version))
