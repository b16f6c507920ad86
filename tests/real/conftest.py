"""Real components: the Azure CLI and gnome-keyring. Missing ones are a loud skip, and a failure when CI=true."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

import keyring.core
import pytest

from tests import shift

ROOT = Path(__file__).parents[2]
#: Read before the tests' own fixtures give every test an empty home.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "entraclaw-setup"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/real" in item.path.as_posix():
            item.add_marker(pytest.mark.real)


def missing(what: str) -> NoReturn:
    """Skip loudly, or fail where real components are mandatory."""
    message = f"{what} is missing: this test needs the real thing (make test installs it where apt and pip can)"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def az_folder() -> Path:
    """The folder that holds the real `az`."""
    folder = _installed("az", "azure-cli", "the Azure CLI")
    return _in_front(folder) if "LD_PRELOAD" in shift.VARIABLES else folder


@lru_cache
def _in_front(folder: Path) -> Path:
    """A folder with an `az` for which the clock is shifted whoever starts it."""
    made = tempfile.TemporaryDirectory(prefix="az-")
    atexit.register(made.cleanup)
    return shift.front(folder / "az", Path(made.name)).parent


def clients_folder() -> Path:
    """The folder that holds a `python` with azure-identity, msal and msgraph-sdk."""
    return _installed("clients", "msgraph-sdk", "the clients of requirements/clients.txt with msgraph-sdk")


def _installed(name: str, package: str, what: str) -> Path:
    """Programs of the environment that services.sh made of requirements/{name}.txt, kept by a package's version."""
    requirements = (ROOT / "requirements" / f"{name}.txt").read_text()
    version = re.search(rf"^{package}==([\d.]+)", requirements, re.MULTILINE)
    assert version
    folder = CACHE / f"{name}-{version[1]}"
    if not (folder / "ready").exists():
        missing(f"{what} {version[1]}")
    return folder / "bin"


@pytest.fixture
def az() -> Path:
    """The folder that holds the real `az`."""
    return az_folder()


@dataclass
class Desktop:
    """A D-Bus session with a gnome-keyring of its own, in an empty home.

    :param environment: what a process inside it sees.
    """

    environment: dict[str, str]
    home: Path

    def keyring_files(self) -> list[Path]:
        """The collections on disk."""
        return list((self.home / ".local/share/keyrings").glob("*.keyring"))


def desktop(home: Path, password: str, keeper: str = "gnome-keyring-daemon") -> Iterator[Desktop]:
    """Start one.

    :param password: master password; empty means an unencrypted collection.
    :param keeper: gnome-keyring's program.
    """
    for program in ("dbus-daemon", "gnome-keyring-daemon"):
        if shutil.which(program) is None:
            missing(program)
    folders = {"XDG_RUNTIME_DIR": "run", "XDG_DATA_HOME": ".local/share", "XDG_CONFIG_HOME": ".config"}
    folders["XDG_CACHE_HOME"] = ".cache"
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    for name, below in folders.items():
        (home / below).mkdir(mode=0o700, parents=True, exist_ok=True)
        environment[name] = str(home / below)
    bus = subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", "--print-address=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )
    assert bus.stdout is not None
    environment["DBUS_SESSION_BUS_ADDRESS"] = bus.stdout.readline().strip()
    command = [keeper, "--foreground", "--components=secrets"]
    keyring = subprocess.Popen(
        [*command, "--unlock"] if password else command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )
    assert keyring.stdin is not None
    keyring.stdin.write(password)
    keyring.stdin.close()
    _wait_for_service(environment)
    try:
        yield Desktop(environment, home)
    finally:
        for process in (keyring, bus):
            process.terminate()
            process.wait()
        bus.stdout.close()


def _wait_for_service(environment: dict[str, str]) -> None:
    """Wait until the Secret Service has a default collection."""
    script = "import secretstorage as s; s.Collection(s.dbus_init()).is_locked()"
    end = time.monotonic() + 120
    while subprocess.run(
        [sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL, check=False
    ).returncode:
        assert time.monotonic() < end, "gnome-keyring did not come up"


@pytest.fixture
def session(home: Path) -> Iterator[Desktop]:
    """A desktop session whose keyring is unlocked."""
    yield from desktop(home, "correct horse")


@pytest.fixture
def here(session: Desktop, monkeypatch: pytest.MonkeyPatch) -> Desktop:
    """The session, seen by this process."""
    see(session, monkeypatch)
    return session


def see(session: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process see a session."""
    for name, value in session.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)  # keyring remembers the one of another test
