"""A session bus that is gone is named, with the remedy of one that was never there (K6, P11)."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import InsecureKeyringBackendError, KeystoreError
from core.machine.keystore import refusal
from core.machine.keystore.bus import VARIABLE, silent

linux = pytest.mark.skipif(sys.platform != "linux", reason="D-Bus is Linux'")
FAIL = "keyring.backends.fail.Keyring"


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "a bus"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield path


@linux
@pytest.mark.parametrize("address", ["unix:path={}", "unix:path={},guid=ab12"])
def test_K6_a_bus_that_answers_is_not_called_gone(listening: Path, address: str) -> None:
    assert silent({VARIABLE: address.format(str(listening).replace(" ", "%20"))}) == ""


@linux
def test_K6_an_abstract_socket_is_a_bus_too() -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0a test of ours")
        server.listen()
        assert silent({VARIABLE: "unix:abstract=a%20test%20of%20ours"}) == ""
    assert "Connection refused" in silent({VARIABLE: "unix:abstract=a%20test%20of%20ours"})


@pytest.mark.parametrize(
    "address", ["tcp:host=x", "unixexec:path=/bin/x", "autolaunch:", "unix:path=/no;unix:path=/nor"]
)
def test_K6_an_address_of_another_kind_is_refused_for_what_it_is(address: str) -> None:
    assert silent({VARIABLE: address}) == ""


@linux
def test_K6_a_socket_that_nobody_listens_at_any_more(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "bus"))
    address = f"unix:path={tmp_path}/bus"
    assert silent({VARIABLE: address}) == f"Nothing answers at {VARIABLE}={address} (Connection refused)"


def fix_of(backend: str) -> str:
    with pytest.raises(InsecureKeyringBackendError) as caught:
        refusal.refuse_class(backend)
    return str(caught.value.details["fix"])


@linux
@pytest.mark.parametrize("address", ["unix:path=/run/user/4711/bus", "disabled:"])
def test_K6_P11_an_address_that_does_not_answer_is_named_with_the_remedy_of_none(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    without = fix_of(FAIL)
    monkeypatch.setenv(VARIABLE, address)
    fix = fix_of(FAIL)
    assert f"{VARIABLE}={address}" in fix
    assert fix.replace(f"{silent({VARIABLE: address})}. ", "") == without
    assert "dbus-run-session" in without


@linux
def test_K6_P11_a_keystore_that_is_gone_names_its_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "unix:path=/run/user/4711/bus")
    with pytest.raises(KeystoreError) as caught:
        refusal.translate(ConnectionRefusedError(111, "refused"), "read", 1)
    assert "unix:path=/run/user/4711/bus" in str(caught.value)
