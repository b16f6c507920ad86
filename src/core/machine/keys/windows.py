"""Windows: what the TPM Base Services and the Platform Crypto Provider say, by ctypes alone and without elevation (T1).

It was run against stand-ins only; nothing here was tried on a Windows with a TPM.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

from core.machine.keys.hardware import Hardware, Kind

PROVIDER: Final = "Microsoft Platform Crypto Provider"
_SIZE: Final = 16
_MASK: Final = 0xFFFFFFFF
_NONE: Final = 0x8028400F
_UNKNOWN: Final = "whether there is a TPM is not known"
_FIRMWARE: Final = (
    "Switch on Intel PTT or AMD fTPM in the firmware settings; to a virtual machine, add a virtual TPM 2.0."
)
_LOOK: Final = "Look at the TPM in tpm.msc."
_TBS: Final = {
    _NONE: ("this computer has none, or its firmware hides it", _FIRMWARE),
    0x80284008: (
        "the service 'TPM Base Services' does not run",
        "Start-Service TBS   # in PowerShell as administrator",
    ),
}
_PROVIDER: Final = {
    0x80090030: ("the platform provider is not ready", "Open tpm.msc as administrator and choose 'Prepare the TPM'."),
    0x80090035: (
        "the platform provider does not find its device",
        "Open tpm.msc, see that the TPM is ready, and restart.",
    ),
}


def look(library: Callable[[str], Any]) -> Hardware:
    """The TPM of this computer.

    :param library: loads a DLL by its name; it may raise OSError.
    """
    try:
        status, version = _device_info(library("tbs.dll"))
    except (OSError, AttributeError) as error:
        return _no("unknown", _UNKNOWN, f"tbs.dll cannot be used: {error}")
    if status != 0:
        why, remedy = _TBS.get(status, (f"the TPM Base Services answered 0x{status:08X}", _LOOK))
        return _no("none", "no TPM", why, remedy) if status == _NONE else _no("unknown", _UNKNOWN, why, remedy)
    if version == 1:
        remedy = "Look whether the firmware settings offer TPM 2.0 instead."
        return _no("tpm1.2", "TPM 1.2", "it is a TPM 1.2, and a TPM 2.0 is needed", remedy)
    if version != 2:
        return _no("tpm", "a TPM", f"its version is not known ({version}); a TPM 2.0 is needed")
    try:
        status = _open(library("ncrypt.dll"))
    except (OSError, AttributeError) as error:
        return _no("tpm2", "TPM 2.0", f"ncrypt.dll cannot be used: {error}")
    if status != 0:
        unknown = (f"the platform provider answered 0x{status:08X}", _LOOK)
        return _no("tpm2", "TPM 2.0", *_PROVIDER.get(status, unknown))
    return Hardware("tpm2", f"TPM 2.0, {PROVIDER}", "win32", usable=True)


def _no(kind: Kind, evidence: str, why: str, remedy: str = "") -> Hardware:
    return Hardware(kind, evidence, "win32", why=why, remedy=remedy)


def _device_info(tbs: Any) -> tuple[int, int]:
    """Status, and the TPM's version: 1 means 1.2, 2 means 2.0."""
    call = tbs.Tbsi_GetDeviceInfo
    call.argtypes, call.restype = [ctypes.c_uint32, ctypes.c_void_p], ctypes.c_uint32
    info = (ctypes.c_uint32 * 4)()  # version of the structure, of the TPM, its interface, its revision
    status = int(call(_SIZE, ctypes.addressof(info))) & _MASK
    return status, info[1]


def _open(ncrypt: Any) -> int:
    """Status of opening the platform provider; a handle (ULONG_PTR) is freed at once."""
    call, free = ncrypt.NCryptOpenStorageProvider, ncrypt.NCryptFreeObject
    call.argtypes, call.restype = [ctypes.c_void_p, ctypes.c_wchar_p, ctypes.c_uint32], ctypes.c_int32
    free.argtypes, free.restype = [ctypes.c_size_t], ctypes.c_int32
    handle = ctypes.c_size_t()
    status = int(call(ctypes.addressof(handle), PROVIDER, 0)) & _MASK
    if status == 0:
        free(handle.value)  # the process ends soon: what it answers does not matter
    return status
