"""Fixtures of all tests. Flows run against the sandbox over TLS; nothing patches HTTP or keyring."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, settings

from core.sandbox.lab import Lab
from core.secret import redactor
from tests import shift
from tests.machine import Machine, VirtualClock, dating

# The failure report of some plugins prints the whole environment, and a developer's own settings must not count.
for _name in list(os.environ):
    if _name.startswith(("ENTRACLAW_", "AZURE_", "KEYRING_", "PYTHON_KEYRING_")) or _name.lower().endswith("_proxy"):
        del os.environ[_name]
os.environ.pop("REQUESTS_CA_BUNDLE", None)

# OpenSSL checks an RSA key whenever one is read, which takes longer than all the rest of a sign-in; azure-identity and
# MSAL read the same one again and again.
serialization.load_pem_private_key = lru_cache(256)(serialization.load_pem_private_key)  # type: ignore[assignment]

shift.hand_on()

settings.register_profile("repo", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repo")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of its own for every test."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    return folder


@pytest.fixture(autouse=True)
def learned() -> Iterator[None]:
    """What a test's secrets are is forgotten after it: every text is searched for all that are known."""
    before = redactor._known, redactor._learnt
    yield
    redactor._known, redactor._learnt = before


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """Time that passes only when somebody waits, on top of the real one."""
    clock = VirtualClock()
    with dating(clock):
        yield clock


@pytest.fixture
def start_lab(clock: VirtualClock) -> Iterator[Callable[[str], Lab]]:
    """Start a sandbox by its scenario's name."""
    labs: list[Lab] = []

    def start(scenario: str) -> Lab:
        labs.append(Lab.start(scenario, clock=clock, sign_in=False))
        return labs[-1]

    yield start
    for lab in labs:
        lab.close()


@pytest.fixture
def machine(start_lab: Callable[[str], Lab], clock: VirtualClock) -> Machine:
    """A legacy machine in front of a sandbox."""
    return Machine(start_lab("legacy"), clock)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each worker its share of the long tests first: the end of a run must not wait for one of them.

    Workers begin with consecutive parts of the list, the same in all of them.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if "tests/faults/" in item.nodeid]
    if workers > 1 and long:
        rest = [item for item in items if "tests/faults/" not in item.nodeid]
        size = -(-len(rest) // workers)
        items[:] = [item for n in range(workers) for item in (*long[n::workers], *rest[n * size : (n + 1) * size])]
