"""The gate and the keystore against a real gnome-keyring (K1, K2, K4, K6)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keyring.core
import pytest

from core.errors import KeystoreError
from core.machine.keystore import Keystore, SystemKeystore
from tests.contract.test_keystore import KeystoreSuite
from tests.real.conftest import Desktop, desktop

SECRET_SERVICE = "keyring.backends.SecretService.Keyring"


class TestGnomeKeyring(KeystoreSuite):
    """The suite of every keystore, with the real one in this process."""

    @pytest.fixture
    def keystore(self, session: Desktop, monkeypatch: pytest.MonkeyPatch) -> Keystore:
        for name, value in session.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(keyring.core, "_keyring_backend", None)  # keyring remembers the one of another test
        return SystemKeystore()


PROBE = """
import json, sys
sys.path[:0] = sys.argv[1:]
from core.errors import SetupError
from core.machine.keystore import SystemKeystore, probe
try:
    result = probe(SystemKeystore(patience=3))
    print(json.dumps({"ok": result.ok, "backend": result.backend}))
except SetupError as error:
    print(json.dumps({"error": error.id, **{k: str(v) for k, v in error.facts.items()}}))
"""


def probe_in(session: Desktop, *paths: Path, **variables: str) -> dict[str, Any]:
    """What the probe says in a process of its own."""
    finished = subprocess.run(
        [sys.executable, "-c", PROBE, *map(str, paths)],
        env=session.environment | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.stdout, finished.stderr
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


@dataclass(frozen=True)
class Case:
    """One row of the matrix: what is configured, and whether the keystore is to be used."""

    name: str
    accepted: bool
    variables: dict[str, str]
    config: str = ""
    module: str = ""
    bus: bool = True


SUBCLASS = "from keyring.backends import SecretService\nclass Keyring(SecretService.Keyring):\n    priority = 99\n"
SPOOF = SUBCLASS + "Keyring.__module__ = 'keyring.backends.SecretService'\n"
CHAINER = "keyring.backends.chainer.ChainerBackend"
MATRIX = [
    Case("fail", False, {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}),
    Case("null", False, {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}),
    Case("chainer with a good member", True, {"PYTHON_KEYRING_BACKEND": CHAINER}),
    Case("chainer of bad members", False, {"PYTHON_KEYRING_BACKEND": CHAINER}, bus=False),
    Case("plaintext file", False, {"PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring"}),
    Case("encrypted file", False, {"PYTHON_KEYRING_BACKEND": "keyrings.alt.file.EncryptedKeyring"}),
    Case("plaintext file as the silent default", False, {}, bus=False),
    Case("subclass", False, {"PYTHON_KEYRING_BACKEND": "planted.Keyring"}, module=SUBCLASS),
    Case("spoofed module name", False, {"PYTHON_KEYRING_BACKEND": "planted.Keyring"}, module=SPOOF),
    Case("empty variable", False, {"PYTHON_KEYRING_BACKEND": ""}),
    Case("unknown module", False, {"PYTHON_KEYRING_BACKEND": "no.such.Keyring"}),
    Case("keyringrc.cfg", False, {}, config="[backend]\ndefault-keyring=keyrings.alt.file.PlaintextKeyring\n"),
    Case(
        "property variable", False, {"KEYRING_PROPERTY_PREFERRED_COLLECTION": "/org/freedesktop/secrets/collection/x"}
    ),
    Case("the system's own", True, {"PYTHON_KEYRING_BACKEND": SECRET_SERVICE}),
    Case("default", True, {}),
]


@pytest.mark.parametrize("case", MATRIX, ids=lambda case: case.name)
def test_K1_matrix(session: Desktop, tmp_path: Path, case: Case) -> None:
    variables = dict(case.variables)
    if case.config:
        folder = session.home / ".config/python_keyring"
        folder.mkdir(parents=True)
        (folder / "keyringrc.cfg").write_text(case.config)
    if case.module:
        (tmp_path / "planted.py").write_text(case.module)
        variables["PYTHONPATH"] = str(tmp_path)
    if not case.bus:
        variables["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=/nonexistent"
    answer = probe_in(session, **variables)
    if case.accepted:
        assert answer == {"ok": True, "backend": SECRET_SERVICE}
    else:
        assert answer["error"] == "keystore.insecure"
        assert answer["backend"]
        assert answer["why"]
        assert answer["fix"], "backend, reason and fix are named (K2)"
    assert not list(session.home.rglob("*_pass.cfg")), "nothing reached a weak keystore (K4)"


def test_K1_a_session_collection_is_refused(session: Desktop) -> None:
    script = (
        "import secretstorage as s\nfrom secretstorage.util import DBusAddressWrapper as A\n"
        "A('/org/freedesktop/secrets', 'org.freedesktop.Secret.Service', s.dbus_init()).call("
        "'SetAlias', 'so', 'default', '/org/freedesktop/secrets/collection/session')"
    )
    subprocess.run([sys.executable, "-c", script], env=session.environment, check=True)
    answer = probe_in(session)
    assert answer["error"] == "keystore.insecure"
    assert "in memory" in answer["why"]


def test_K1_a_collection_with_an_empty_password_is_refused(home: Path) -> None:
    folder = home / ".local/share/keyrings"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "plain.keyring").write_text("[keyring]\ndisplay-name=plain\nctime=0\nmtime=0\nlock-on-idle=false\n")
    (folder / "default").write_text("plain")
    for session in desktop(home, ""):
        answer = probe_in(session)
        assert answer["error"] == "keystore.insecure", answer
        assert "plain text" in answer["why"]
        assert "probe-" not in (folder / "plain.keyring").read_text(), "nothing was written before it was noticed"


def test_K1_a_collection_that_lies_where_the_daemon_and_not_we_look_is_found(home: Path) -> None:
    folder = home / ".local/share/keyrings"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "plain.keyring").write_text("[keyring]\ndisplay-name=plain\nctime=0\nmtime=0\nlock-on-idle=false\n")
    (folder / "default").write_text("plain")
    for session in desktop(home, ""):
        answer = probe_in(session, XDG_DATA_HOME=str(home / "elsewhere"), HOME=str(home / "nowhere"))
        assert answer["error"] == "keystore.insecure", answer
        assert "probe-" not in (folder / "plain.keyring").read_text()


@pytest.fixture
def locked(home: Path) -> Iterator[Desktop]:
    """A session whose collection exists and is locked."""
    for session in desktop(home, "correct horse"):
        assert probe_in(session)["ok"]
        script = "import secretstorage as s; s.get_default_collection(s.dbus_init()).lock()"
        subprocess.run([sys.executable, "-c", script], env=session.environment, check=True)
        yield session


def test_K6_a_locked_keystore_is_its_own_error(locked: Desktop) -> None:
    assert probe_in(locked)["error"] == "keystore.locked"


def test_K6_no_bus_is_refused_with_the_fix_for_this_system(session: Desktop) -> None:
    bare = {key: value for key, value in session.environment.items() if key != "DBUS_SESSION_BUS_ADDRESS"}
    # without keyrings.alt nothing is left but `fail`
    answer = probe_in(Desktop(bare, session.home), PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring")
    assert answer["error"] == "keystore.insecure"
    answer = probe_in(Desktop(bare, session.home))
    assert "dbus-run-session" in answer["fix"]


@pytest.fixture
def here(session: Desktop, monkeypatch: pytest.MonkeyPatch) -> Desktop:
    """The session, seen by this process."""
    for name, value in session.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    return session


def _daemon(session: Desktop) -> int:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environ = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if command.startswith(b"gnome-keyring-daemon") and f"HOME={session.home}".encode() in environ:
            return int(entry.name)
    raise AssertionError("no daemon")


def test_K6_a_keystore_that_does_not_answer_times_out(here: Desktop) -> None:
    keystore = SystemKeystore(patience=1)
    assert keystore.read("suite", "nobody") is None
    daemon = _daemon(here)
    os.kill(daemon, signal.SIGSTOP)
    try:
        with pytest.raises(KeystoreError) as caught:
            keystore.read("suite", "nobody")
    finally:
        os.kill(daemon, signal.SIGCONT)
        for thread in threading.enumerate():
            if thread.name == "keystore":
                thread.join()
    assert caught.value.id == "keystore.unanswered"


def test_K6_a_bus_that_vanished_is_its_own_error(here: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    keystore = SystemKeystore(patience=5)
    assert keystore.read("suite", "nobody") is None
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
    with pytest.raises(KeystoreError) as caught:
        keystore.read("suite", "nobody")
    assert caught.value.id == "keystore.gone"
