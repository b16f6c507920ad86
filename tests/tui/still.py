"""A world that stands still: time, keys, ids and replicas that are the same in every run."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from core.clock import Cancel
from core.entra import certificates
from core.sandbox.directory.store import Tenant

START: Final = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
#: Modules whose ids belong to objects; ids of requests and tokens are drawn by threads, in any order.
_LASTING: Final = frozenset({"store", "registrations", "users", "catalogue", "seeds", "policies", "reports", "grants"})
_GUID_MAKERS: Final = ("certificate.certificate", "app.create", "hand_off.handoff")
_SMALL: Final = tuple(n for n in range(3, 2000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2)))


class Time:
    """Time of everybody in the pretend world; it passes only when somebody waits, and not while it is held."""

    def __init__(self) -> None:
        self.passed = 0.0
        self._lock = threading.Lock()
        self._free = threading.Event()
        self._free.set()

    @property
    def held(self) -> bool:
        """Whether whoever waits has to wait indeed."""
        return not self._free.is_set()

    def hold(self) -> None:
        """From now on nobody's waiting ends."""
        self._free.clear()

    def release(self) -> None:
        """Waiting costs nothing again."""
        self._free.set()

    def let_pass(self, seconds: float) -> None:
        """Go on."""
        with self._lock:
            self.passed += seconds

    def a_moment(self) -> None:
        """For those who look by themselves whether they are wanted no more."""
        self._free.wait(0.01)


class Watch:
    """Somebody's clock.

    :param cancel: a request to stop ends the waiting; the tenant's clock has none.
    """

    def __init__(self, time: Time, cancel: Cancel | None = None) -> None:
        self._time, self._cancel = time, cancel

    def now(self) -> datetime:
        return START + timedelta(seconds=self._time.passed)

    def monotonic(self) -> float:
        return self._time.passed

    def wait(self, seconds: float) -> None:
        if self._cancel is None:
            if self._time.held:
                self._time.a_moment()
                return
        else:
            self._cancel.check()
            while self._time.held:
                self._cancel.check()
                self._time.a_moment()
        self._time.let_pass(seconds)


class Replicas(random.Random):
    """Replicas that all lag as long as they may."""

    def uniform(self, a: float, b: float) -> float:
        return b

    def randrange(self, *args: Any, **values: Any) -> int:
        return 0


@contextmanager
def still() -> Iterator[None]:
    """Keys, serial numbers and ids are the same in every run."""
    make, lock, made, ids = certificates.make, threading.Lock(), count(1), random.Random(7)
    noise = random.Random()

    def known(
        common_name: str, now: datetime, lifetime: timedelta = certificates.LIFETIME, app_id: str = ""
    ) -> certificates.KeyPair:
        with lock, pytest.MonkeyPatch.context() as inner:
            number = next(made)
            inner.setattr(rsa, "generate_private_key", lambda **_: key(number))
            inner.setattr(x509, "random_serial_number", lambda: number)
            return make(common_name, now, lifetime)

    def drawn(tenant: Tenant) -> str:
        lasting = Path(sys._getframe(1).f_code.co_filename).stem in _LASTING
        lasting = lasting or "device" in sys._getframe(2).f_code.co_name  # its code is shown
        return str(UUID(int=(tenant._rng if lasting else noise).getrandbits(128), version=4))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificates, "make", known)
        patch.setattr(Tenant, "new_id", drawn)
        patch.setattr(Tenant, "passing_id", drawn)
        for name in _GUID_MAKERS:
            module = import_module(f"core.steps.{name}")
            patch.setattr(module, "uuid4", lambda: UUID(int=ids.getrandbits(128), version=4))
        system = SimpleNamespace(platform="linux", version_info=SimpleNamespace(major=3, minor=12))
        patch.setattr("core.steps.prerequisites.sys", system)
        computer = SimpleNamespace(
            system=lambda: "Linux", release=lambda: "6.8.0", machine=lambda: "x86_64", python_version=lambda: "3.12.4"
        )
        patch.setattr("core.checks.computer.platform", computer)
        patch.setattr("core.checks.computer.sys", SimpleNamespace(executable="/usr/bin/python3"))
        patch.setattr("core.checks.computer.__version__", "0.1.0")
        yield


@cache
def key(number: int) -> rsa.RSAPrivateKey:
    """An RSA key of 2048 bits that anybody can compute: worth nothing outside these tests."""
    rng, e = random.Random(f"key {number}"), 65537
    while True:
        p, q = _prime(rng), _prime(rng)
        if p != q and (p - 1) % e and (q - 1) % e:
            break
    d = pow(e, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(e, p * q)
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _prime(rng: random.Random) -> int:
    """A prime of 1024 bits whose two highest bits are set, as far as Fermat can tell."""
    while True:
        found = rng.getrandbits(1024) | (3 << 1022) | 1
        if all(found % small for small in _SMALL) and pow(2, found - 1, found) == 1:
            return found
