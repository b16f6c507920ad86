"""What the libraries below us must not read or start (C4): kept from them once, before the first one is imported.

`docs/reference/what-libraries-read.md` lists all that they read; a test compares it with their sources.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, Final

#: Variables that load code, write secrets down, redirect a request or hand a library another identity. `*` stands for
#: any text. Programs that are started get none of them either.
NEUTRALISED: Final = (
    # OpenSSL: configuration files name libraries to load
    *("OPENSSL_*", "CTLOG_FILE", "RANDFILE", "GCONV_PATH"),
    # keys of TLS sessions are written to that file
    "SSLKEYLOGFILE",
    # azure-core: another log level, an import, another cloud, a text in every request
    *("AZURE_LOG_LEVEL", "AZURE_SDK_*", "AZURE_TRACING_ENABLED", "AZURE_HTTP_USER_AGENT"),
    # azure-identity and MSAL: another authority, region, tenant or identity
    *("AZURE_AUTHORITY_HOST", "AZURE_REGIONAL_AUTHORITY_NAME", "AZURE_IDENTITY_*", "AZURE_TOKEN_CREDENTIALS"),
    *("AZURE_CLIENT_*", "AZURE_TENANT_ID", "AZURE_USERNAME", "AZURE_PASSWORD", "AZURE_FEDERATED_TOKEN_FILE"),
    *("AZURE_KUBERNETES_*", "AZURE_POD_IDENTITY_AUTHORITY_HOST", "IDENTITY_*", "IMDS_ENDPOINT", "MSI_*"),
    *("SYSTEM_OIDCREQUESTURI", "AZUREPS_HOST_ENVIRONMENT", "MSAL_*", "REGION_NAME"),
    # requests
    "NETRC",
    # Textual: an import, a log of everything that is typed, a connection, pressed keys, pictures
    *("TEXTUAL", "TEXTUAL_DRIVER", "TEXTUAL_LOG", "TEXTUAL_DEBUG", "TEXTUAL_DEVTOOLS_*", "TEXTUAL_PRESS"),
    *("TEXTUAL_SCREENSHOT*", "TEXTUAL_SHOW_RETURN", "TEXTUAL_ALLOW_SIGNALS", "TEXTUAL_FILTERS"),
    *("TEXTUAL_SLOW_THRESHOLD", "TEXTUAL_SPEEDUPS"),
    # Rich, and what else changes how a terminal is drawn
    *("JUPYTER_*", "DATABRICKS_RUNTIME_VERSION", "UNICODE_VERSION"),
    # Python: a function and a module that it would import; programs that show pages
    *("PYTHONBREAKPOINT", "_PYTHON_*", "PAGER", "MANPAGER"),
)
#: What starts a program, or loads a library by its name; an event that other calls end in is enough.
_EVENTS: Final = frozenset(
    ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "os.startfile/2")
) | {"pty.spawn", "_winapi.CreateProcess", "ctypes.dlopen"}
_SYSTEM_LIBRARIES: Final = ("/System/Library/", "/usr/lib/")

_announced = threading.local()


def restrain() -> None:
    """Drop what no library must read, and refuse every program and library that nobody announced, from now on.

    It is for a process of our own, and cannot be taken back.
    """
    neutralise(os.environ)
    sys.addaudithook(_refuse)


def neutralise(environ: MutableMapping[str, str]) -> None:
    """Drop the variables of `NEUTRALISED`.

    :param environ: changed in place.
    """
    for name in list(environ):
        if any(fnmatchcase(name, pattern) for pattern in NEUTRALISED):
            del environ[name]


@contextmanager
def announced(program: str) -> Iterator[None]:
    """Let this thread start a program meanwhile.

    :param program: its path, as it is handed to the system.
    """
    _announced.program = program
    try:
        yield
    finally:
        del _announced.program


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: libraries expect of a program that it may be missing, so it looks as if it cannot be started."""
    if event not in _EVENTS:
        return
    what = arguments[0]
    if event == "ctypes.dlopen":
        if _of_the_system(what):
            return
    elif (program := getattr(_announced, "program", None)) is not None and (what is None or os.fspath(what) == program):
        return
    raise PermissionError(errno.EACCES, f"{event}: not a program or library that may be started here (C4)", str(what))


def _of_the_system(library: Any) -> bool:
    """Whether a library is this process itself, or one that only the system provides."""
    if library is None:
        return True
    name = os.fsdecode(library) if isinstance(library, (str, bytes)) else ""
    if sys.platform == "win32":  # a bare name is looked for in the system's folder and that of Python
        return bool(name) and not any(separator in name for separator in "/\\")
    return sys.platform == "darwin" and name.startswith(_SYSTEM_LIBRARIES) and ".." not in name
