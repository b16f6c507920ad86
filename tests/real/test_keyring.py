"""The gate and the keystore against a real gnome-keyring (K1-K6)."""

from __future__ import annotations

import json
import os
import re
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
from core.machine.keystore import weak_files
from core.machine.keystore.system import Keystore, SystemKeystore
from core.secret import Secret
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
from core.errors import SetupError
from core.machine.keystore.system import SystemKeystore, probe
try:
    result = probe(SystemKeystore(patience=3, allowlist=dict.fromkeys(sys.argv[1:], "the test")))
    print(json.dumps({"ok": result.ok, "backend": str(result.backend)}))
except SetupError as error:
    print(json.dumps({"error": error.id, **{k: str(v) for k, v in error.details.items()}}))
"""


def probe_in(session: Desktop, *allowed: str, **variables: str) -> dict[str, Any]:
    """What the probe says in a process of its own.

    :param allowed: backends that an operator allows.
    """
    finished = subprocess.run(
        [sys.executable, "-c", PROBE, *allowed],
        env=session.environment | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.stdout, finished.stderr
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


def is_good(answer: dict[str, Any]) -> bool:
    """Whether the system's own took the probe; who serves it is part of its name."""
    served = re.escape(f"{SECRET_SERVICE} (served by ") + rf"(/\S+/)?gnome-keyring-d\w*, user \S+ \({os.geteuid()}\)\)"
    return answer.get("ok") is True and re.fullmatch(served, answer["backend"]) is not None


@dataclass(frozen=True)
class Case:
    """One row of the matrix: what is configured, and whether the keystore is to be used.

    :param module: source of a module `planted` on Python's path.
    :param plugin: whether `planted` presents itself to keyring as a plugin.
    :param bus: whether the Secret Service can be reached.
    """

    name: str
    accepted: bool
    variables: dict[str, str]
    config: str = ""
    module: str = ""
    plugin: bool = False
    bus: bool = True


PLAINTEXT = "keyrings.alt.file.PlaintextKeyring"
PLANTED = {"PYTHON_KEYRING_BACKEND": "planted.Keyring"}
SUBCLASS = "from keyring.backends import SecretService\nclass Keyring(SecretService.Keyring):\n    priority = 99\n"
SPOOF = SUBCLASS + "Keyring.__module__ = 'keyring.backends.SecretService'\n"
#: A class decides by its metaclass what it is equal to.
EQUAL = """
from keyring.backends import SecretService
class Equal(type(SecretService.Keyring)):
    def __eq__(cls, other): return True
    def __hash__(cls): return hash(SecretService.Keyring)
class Keyring(SecretService.Keyring, metaclass=Equal):
    priority = 99
    def set_password(self, *entry): open(__file__ + ".took", "w").write(repr(entry))
"""
#: What a chainer asks before anything else.
GREEDY = """
from keyring.backend import KeyringBackend
class Keyring(KeyringBackend):
    priority = 99
    def get_password(self, service, username): return None
    def set_password(self, *entry): open(__file__ + ".took", "w").write(repr(entry))
    def delete_password(self, service, username): pass
"""
CHAINER = {"PYTHON_KEYRING_BACKEND": "keyring.backends.chainer.ChainerBackend"}
#: keyrings.alt is installed beside the tests; below zero a chainer leaves it out.
ONLY_GOOD = "import keyrings.alt.file as f\nf.PlaintextKeyring.priority = -1\n"
MATRIX = [
    Case("fail", False, {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}),
    Case("null", False, {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}),
    Case("chainer of good", True, CHAINER, module=ONLY_GOOD, plugin=True),
    Case("chainer with bad", True, CHAINER, module=GREEDY, plugin=True),
    Case("chainer of bad", False, CHAINER, bus=False),
    Case("alt plaintext", False, {"PYTHON_KEYRING_BACKEND": PLAINTEXT}),
    Case("alt plaintext as the silent default", False, {}, bus=False),
    Case("alt encrypted", False, {"PYTHON_KEYRING_BACKEND": "keyrings.alt.file.EncryptedKeyring"}),
    Case("subclass", False, PLANTED, module=SUBCLASS),
    Case("spoofed module name", False, PLANTED, module=SPOOF),
    Case("spoofed equality", False, PLANTED, module=EQUAL),
    Case("env variable", False, PLANTED, module=GREEDY),
    Case("env variable, empty", False, {"PYTHON_KEYRING_BACKEND": ""}),
    Case("env variable, unknown module", False, {"PYTHON_KEYRING_BACKEND": "no.such.Keyring"}),
    Case("env variable, the system's own", True, {"PYTHON_KEYRING_BACKEND": SECRET_SERVICE}),
    Case("keyringrc.cfg", False, {}, config=f"[backend]\ndefault-keyring={PLAINTEXT}\n"),
    Case(
        "property variables", False, {"KEYRING_PROPERTY_PREFERRED_COLLECTION": "/org/freedesktop/secrets/collection/x"}
    ),
    Case("default", True, {}),
]


def prepare(case: Case, session: Desktop, folder: Path) -> dict[str, str]:
    """Configure a case; the variables of a process in it.

    :param folder: for what is planted on Python's path.
    """
    variables = dict(case.variables)
    if case.config:
        config = session.home / ".config/python_keyring"
        config.mkdir(parents=True)
        (config / "keyringrc.cfg").write_text(case.config)
    if case.module:
        (folder / "planted.py").write_text(case.module)
        variables["PYTHONPATH"] = str(folder)
    if case.plugin:
        about = folder / "planted-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1\n")
        (about / "entry_points.txt").write_text("[keyring.backends]\nplanted = planted\n")
    if not case.bus:
        variables["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=/nonexistent"
    return variables


@pytest.mark.parametrize("case", MATRIX, ids=lambda case: case.name)
def test_K1_matrix(session: Desktop, tmp_path: Path, case: Case) -> None:
    answer = probe_in(session, **prepare(case, session, tmp_path))
    if case.accepted:
        assert is_good(answer)
    else:
        assert answer["error"] == "keystore.insecure"
        assert answer["backend"]
        assert answer["why"]
        assert answer["fix"], "backend, reason and fix are named (K2)"
    assert not list(session.home.rglob("*_pass.cfg")), "nothing reached a weak keystore (K4)"
    assert not list(tmp_path.glob("*.took"))


MEMBERS = "from keyring.backends.chainer import ChainerBackend as c; print(*(type(b).__module__ for b in c.backends))"


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("chainer of good", ["keyring.backends.SecretService"]),
        ("chainer with bad", ["planted", "keyring.backends.SecretService", "keyrings.alt.file"]),
        ("chainer of bad", ["keyrings.alt.file"]),
    ],
)
def test_K1_the_chainers_of_the_matrix_are_what_they_are_called(
    session: Desktop, tmp_path: Path, name: str, members: list[str]
) -> None:
    (case,) = (case for case in MATRIX if case.name == name)
    environment = session.environment | prepare(case, session, tmp_path)
    finished = subprocess.run(
        [sys.executable, "-c", MEMBERS], env=environment, capture_output=True, text=True, check=True
    )
    assert finished.stdout.split() == members, finished.stderr


@pytest.mark.parametrize(
    ("name", "allowed", "backend"),
    [
        ("alt plaintext", PLAINTEXT, PLAINTEXT),
        ("alt plaintext as the silent default", PLAINTEXT, PLAINTEXT),
        ("chainer of bad", PLAINTEXT, PLAINTEXT),
        ("subclass", "planted.Keyring", "planted.Keyring"),
        ("alt plaintext", "keyrings.alt.file.EncryptedKeyring", ""),
        ("spoofed module name", SECRET_SERVICE, ""),
        ("spoofed equality", SECRET_SERVICE, ""),
        ("fail", PLAINTEXT, ""),
        ("null", PLAINTEXT, ""),
        ("property variables", PLAINTEXT, ""),
    ],
)
def test_K5_an_operator_allows_one_class_and_nothing_else(
    session: Desktop, tmp_path: Path, name: str, allowed: str, backend: str
) -> None:
    (case,) = (case for case in MATRIX if case.name == name)
    answer = probe_in(session, allowed, **prepare(case, session, tmp_path))
    if backend:
        assert answer == {"ok": True, "backend": f"{backend} (not the system's own; allowed by the test)"}
    else:
        assert answer["error"] == "keystore.insecure"


@pytest.mark.parametrize("name", ["default", "chainer with bad"])
def test_K5_the_systems_own_is_preferred_to_what_is_only_allowed(session: Desktop, tmp_path: Path, name: str) -> None:
    (case,) = (case for case in MATRIX if case.name == name)
    answer = probe_in(session, PLAINTEXT, **prepare(case, session, tmp_path))
    assert is_good(answer)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("alt plaintext", PLAINTEXT),
        ("chainer of bad", PLAINTEXT),
        ("subclass", "planted.Keyring"),
        ("spoofed module name", ""),
        ("fail", ""),
        ("null", ""),
        ("property variables", ""),
        ("env variable, unknown module", ""),
    ],
)
def test_K5_a_refusal_names_the_last_resort_where_there_is_one(
    session: Desktop, tmp_path: Path, name: str, hint: str
) -> None:
    (case,) = (case for case in MATRIX if case.name == name)
    fix = probe_in(session, **prepare(case, session, tmp_path))["fix"]
    assert (f"--allow-keyring-backend {hint}\n" in fix) if hint else ("--allow" not in fix)


def test_K1_session_collection_is_refused(session: Desktop) -> None:
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


def test_K3_a_key_in_a_plain_text_collection_of_gnome_keyring_is_found(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / ".local/share/keyrings"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "plain.keyring").write_text("[keyring]\ndisplay-name=plain\nctime=0\nmtime=0\nlock-on-idle=false\n")
    (folder / "default").write_text("plain")
    script = "import keyring; keyring.set_password('our-service', 'tenant-1', 'KEY\\n' * 900)"
    for session in desktop(home, ""):
        variables = {"PYTHON_KEYRING_BACKEND": SECRET_SERVICE}
        subprocess.run([sys.executable, "-c", script], env=session.environment | variables, check=True)
    (found,) = weak_files.find("our-service")
    assert (found.path, found.unreadable) == (folder / "plain.keyring", "")
    assert found.holds("tenant-1")
    assert weak_files.find("another-service") == ()


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


def test_K6_a_keystore_that_cannot_write_its_file_is_not_called_unreachable(here: Desktop) -> None:
    keystore = SystemKeystore(patience=10)
    keystore.write("suite", "first", Secret("value", learn=False))
    folder = here.home / ".local/share/keyrings"
    folder.rename(folder.with_name("aside"))
    folder.write_text("a file where the folder should be")
    with pytest.raises(KeystoreError) as caught:
        keystore.write("suite", "second", Secret("value", learn=False))
    # on a busy machine the daemon has locked the collection by the time it is asked
    assert caught.value.id in ("keystore.failed", "keystore.locked")
    assert caught.value.id != "keystore.failed" or "full or read-only" in caught.value.remedy
