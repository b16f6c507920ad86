"""What is secret leaves `core.machine` and `core.entra` as a `Secret`: whatever they return is looked at (P4)."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from types import CodeType, FrameType
from typing import Any, Final

import pytest

from core.clock import SystemClock
from core.config.profile import Profile
from core.sandbox.directory.store import Tenant
from core.sandbox.scenarios import catalogue
from wizard.cli import run

SEED: Final = 7
#: Public, and returns it in clear all the same.
EXCEPTIONS: Final = {
    "core.machine.json_text.read": "gives back as objects the text that it was given; `StateFile` alone calls it",
}
#: How deeply a value is searched.
DEEPEST: Final = 5


def spelled(value: Any, depth: int = 0) -> Iterator[str]:
    """Every text in a value, as far as a caller sees it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes | bytearray):
        yield value.decode("utf-8", "replace")
    elif depth < DEEPEST:
        inside: list[Any] = []
        if isinstance(value, dict):
            inside = [*value, *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            inside = list(value)
        elif is_dataclass(value) and not isinstance(value, type):
            inside = [getattr(value, field.name, None) for field in fields(value)]
        for item in inside:
            yield from spelled(item, depth + 1)


class Profiler:
    """Looks at what public functions of the two packages return, also of threads that begin meanwhile."""

    def __init__(self, *canaries: str) -> None:
        self.canaries = canaries
        self.seen: set[str] = set()
        self.leaks: set[str] = set()
        self._names: dict[CodeType, str] = {}

    def __call__(self, frame: FrameType, event: str, value: Any) -> None:
        if event == "return" and (name := self._name(frame)):
            self.seen.add(name)
            if any(canary in text for text in spelled(value) for canary in self.canaries):
                self.leaks.add(name)

    def _name(self, frame: FrameType) -> str:
        """What a public function of the two packages is called; empty for every other one."""
        if (name := self._names.get(frame.f_code)) is None:
            parts = [*str(frame.f_globals.get("__name__")).split("."), *frame.f_code.co_qualname.split(".")]
            public = not any(part.startswith(("_", "<")) and not part.endswith("__") for part in parts)
            name = ".".join(parts) if parts[:2] in (["core", "machine"], ["core", "entra"]) and public else ""
            self._names[frame.f_code] = name
        return name

    def __enter__(self) -> Profiler:
        threading.setprofile(self)
        sys.setprofile(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)


def canary() -> str:
    """The client secret that a demo of this seed begins with."""
    secret = catalogue.seed("legacy", Tenant(SystemClock(), SEED)).members[Profile.secret_member]
    return str(secret.reveal())


def test_P4_no_public_function_returns_the_secret_or_the_key_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wizard.process.forbid_core_dumps", lambda: None)
    secret = canary()
    with Profiler(secret, "PRIVATE KEY-----") as profiler:
        assert run(["demo", "--yes", "--quiet", "--seed", str(SEED)]) == 0
    assert "core.machine.state_file.StateFile.read" in profiler.seen
    assert "core.entra.certificates.parse" in profiler.seen
    assert "core.entra.tokens.mint" in profiler.seen
    assert "core.entra.http.Session.call" in profiler.seen
    assert profiler.leaks == set(EXCEPTIONS)


def test_a_value_is_searched_wherever_a_caller_would_find_it() -> None:
    from core.entra.http import Response

    answer = Response(200, {"x": "in a header"}, b"in the body", "host")
    assert {"in a header", "in the body"} <= set(spelled([{"answer": (answer,)}]))
