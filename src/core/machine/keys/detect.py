"""What hardware this computer has that could hold a private key (T1).

Looking changes nothing, starts no program, needs no elevation, and fails at nothing: whatever goes wrong is a reason.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from core.machine.keys.hardware import Group, Hardware, User

#: `ctypes`: look in System32 and nowhere else; a folder on the PATH may be somebody else's.
_SYSTEM32: Final = 0x800
_ENTRA: Final = "Entra takes RSA keys of 2048 bits or more, and the Secure Enclave makes P-256 keys only"


def detect(
    *,
    platform: str = sys.platform,
    root: Path = Path("/"),
    environ: Mapping[str, str] | None = None,
    user: User | None = None,
    access: Callable[[Path], bool] | None = None,
    group: Callable[[int, str], Group | None] | None = None,
    machine: str = "",
    library: Callable[[str], Any] | None = None,
) -> Hardware:
    """Look for a TPM or a Secure Enclave; the parameters stand in for this computer's own answers.

    :param platform: as `sys.platform` names it.
    :param root: of the file system.
    :param access: whether this process may read and write a device.
    :param group: a group by its id, for the user of that name; None when the database has none.
    :param machine: type of the machine, `arm64` on Apple Silicon; empty: this one's.
    :param library: loads a DLL by its name.
    """
    try:
        if platform == "linux":
            from core.machine.keys import linux

            environ = os.environ if environ is None else environ
            return linux.look(root, environ, lambda: user or _user(), access or _access, group or _group)
        if platform == "win32":
            from core.machine.keys import windows

            return windows.look(library or _library)
        if platform == "darwin":
            return _macos(machine or os.uname().machine)
    except Exception as error:  # noqa: BLE001  a look that fails is an answer with this reason, never an error
        why = f"looking for it failed: {type(error).__name__}: {error}"
        return Hardware("unknown", "whether there is a TPM is not known", platform, why=why)
    return Hardware("unknown", "not looked for", platform, why=f"this program does not know how to look on {platform}")


def _macos(machine: str) -> Hardware:
    if machine == "arm64":
        why = f"{_ENTRA}, for programs that are signed with an entitlement"
        return Hardware("secure-enclave", "a Secure Enclave (Apple Silicon)", "darwin", why=why)
    why = f"a Secure Enclave would not help: {_ENTRA}"
    return Hardware("unknown", f"a Mac of type {machine}; a T2 chip is not looked for", "darwin", why=why)


def _user() -> User:
    import pwd

    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # usual in containers
        name = ""
    return User(uid, name, frozenset({*os.getgroups(), os.getegid()}))


def _access(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _group(gid: int, user: str) -> Group | None:
    import grp
    import pwd

    try:
        name = grp.getgrgid(gid).gr_name
    except KeyError:
        return None
    try:
        listed = bool(user) and gid in os.getgrouplist(user, pwd.getpwnam(user).pw_gid)
    except KeyError:
        listed = False
    return Group(name, listed)


def _library(name: str) -> Any:
    """
    :raises OSError: there is none.
    """
    if sys.platform == "win32":
        import ctypes

        return ctypes.WinDLL(name, winmode=_SYSTEM32)
    raise OSError(f"{name} is a part of Windows")
