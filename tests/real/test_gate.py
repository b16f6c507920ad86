"""The gate against a real gnome-keyring and real buses: what leads elsewhere, who serves it, where an entry is (K1)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.errors import InsecureKeyringBackendError
from core.machine.keystore import secret_service
from core.machine.keystore.system import SystemKeystore
from core.sandbox.lab import Lab
from core.secret import Secret
from tests.real.conftest import Desktop, desktop, missing, see
from tests.real.program import Program
from tests.real.test_keyring import SECRET_SERVICE, is_good, probe_in

COLLECTIONS = "/org/freedesktop/secrets/collection"
NOBODY = 65534
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
EMPTY = "[keyring]\ndisplay-name=plain\nctime=0\nmtime=0\nlock-on-idle=false\n"


@pytest.fixture
def two(home: Path) -> Iterator[Desktop]:
    """A session whose default collection is good, and which has one without a password beside it."""
    folder = home / ".local/share/keyrings"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "plain.keyring").write_text(EMPTY)
    for found in desktop(home, "correct horse"):
        unlock = f"import secretstorage as s; s.Collection(s.dbus_init(), '{COLLECTIONS}/plain').unlock()"
        inside(found, unlock)
        yield found


def plain_text(session: Desktop) -> str:
    """What the collection without a password holds, as anybody reads it."""
    return (session.home / ".local/share/keyrings/plain.keyring").read_text()


def inside(session: Desktop, script: str, *arguments: str, **variables: str) -> str:
    """What a script prints in a process of the session."""
    command = [sys.executable, "-c", script, *arguments]
    environment = session.environment | variables
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def refused(answer: dict[str, Any]) -> str:
    """Why, and the fix; both are there (K2)."""
    assert answer.get("error") == "keystore.insecure", answer
    assert answer["backend"]
    assert answer["fix"]
    return f"{answer['backend']}: {answer['why']} {answer['fix']}"


@pytest.mark.parametrize("collection", ["plain", "session"])
def test_K1_a_property_with_anything_before_its_name_leads_to_no_weak_collection(two: Desktop, collection: str) -> None:
    name = "X_KEYRING_PROPERTY_PREFERRED_COLLECTION"
    answer = probe_in(two, **{name: f"{COLLECTIONS}/{collection}"})
    assert f"unset {name}" in refused(answer)
    assert "probe-" not in plain_text(two)


@pytest.mark.parametrize(("command", "code"), [("migrate", 3), ("verify", 8), ("token", 1), ("doctor", 8)])
def test_K2_the_refusal_of_a_setting_reaches_the_user_from_every_command(
    two: Desktop, az: Path, command: str, code: int
) -> None:
    name = "X_KEYRING_PROPERTY_PREFERRED_COLLECTION"
    lab = Lab.start("legacy")
    program = Program(lab, two, az, {name: f"{COLLECTIONS}/plain"})
    finished = program.run(command, *(["--yes"] if command == "migrate" else []))
    lab.close()
    assert finished.returncode == code, finished.stdout + finished.stderr
    assert f"unset {name}" in finished.stdout + finished.stderr
    assert "PRIVATE KEY" not in plain_text(two)
    assert "probe-" not in plain_text(two)


@pytest.mark.parametrize("command", ["verify", "doctor"])
def test_K1_who_serves_the_keystore_is_shown(session: Desktop, az: Path, command: str) -> None:
    lab = Lab.start("legacy")
    program = Program(lab, session, az)
    migrated = program.result("migrate", "--yes")
    shown = program.run(command)
    lab.close()
    assert "gnome-keyring-d" in migrated["data"]["keystore"]["served_by"]
    assert f"{SECRET_SERVICE} (served by " in shown.stdout + shown.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"SECRET_BACKEND": "file"},
        {"SECRET_FILE_TEST_PATH": "/tmp/elsewhere", "SECRET_FILE_TEST_PASSWORD": "x"},
        {"SECRET_SERVICE_BUS_NAME": "org.example.Secrets"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_K1_libsecrets_own_settings_are_refused(session: Desktop, variables: dict[str, str]) -> None:
    assert f"unset {next(iter(variables))}" in refused(probe_in(session, **variables))


IMPORT = """
import sys
from core.errors import SetupError
from core.machine.keystore.system import SystemKeystore
before = list(sys.path)
try:
    SystemKeystore().read("ours", "tenant")
except SetupError as error:
    print(error.id)
import azure.identity
print(azure.identity.__file__, sys.path == before)
"""


def test_K1_a_keyring_path_is_refused_and_its_azure_identity_never_loaded(session: Desktop, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    for package in ("azure", "azure/identity"):
        (planted / package).mkdir(parents=True)
        (planted / package / "__init__.py").touch()
    config = session.home / ".config/python_keyring/keyringrc.cfg"
    config.parent.mkdir(parents=True)
    config.write_text(f"[backend]\nkeyring-path={planted}\n")
    assert str(config) in refused(probe_in(session))
    refusal, imported = inside(session, IMPORT).splitlines()
    assert refusal == "keystore.insecure"
    assert str(planted) not in imported
    assert imported.endswith("True")


#: A plugin that keyring loads; it tries whatever a later import or a fresh backend would read.
RESTLESS = """
import os, sys
sys.path.insert(0, {folder!r})
os.environ["KEYRING_PROPERTY_PREFERRED_COLLECTION"] = "{collection}"
import azure.identity
"""


def plugin(folder: Path, source: str) -> dict[str, str]:
    """Plant a plugin of keyring; the variables of a process that has it."""
    about = folder / "planted-1.dist-info"
    about.mkdir(parents=True)
    (folder / "planted.py").write_text(source)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[keyring.backends]\nplanted = planted\n")
    return {"PYTHONPATH": str(folder)}


def test_K1_what_a_plugin_of_keyring_does_to_path_and_environment_does_not_last(two: Desktop, tmp_path: Path) -> None:
    bait = tmp_path / "bait/azure/identity"
    bait.mkdir(parents=True)
    for package in (bait, bait.parent):
        (package / "__init__.py").touch()
    source = RESTLESS.format(folder=str(tmp_path / "bait"), collection=f"{COLLECTIONS}/plain")
    variables = plugin(tmp_path / "plugin", source)
    assert is_good(probe_in(two, **variables))
    assert "probe-" not in plain_text(two)
    imported = inside(two, IMPORT, **variables)
    assert str(bait) not in imported
    assert imported.strip().endswith("True")


#: Code in this process can change even keyring's own class; then nothing but a look at the entry tells.
SWERVE = "from keyring.backends.SecretService import Keyring\nKeyring.preferred_collection = '{collection}'\n"


@pytest.mark.parametrize("collection", ["plain", "session"])
def test_K1_an_entry_that_landed_elsewhere_is_refused_and_deleted_again(
    two: Desktop, tmp_path: Path, collection: str
) -> None:
    variables = plugin(tmp_path / "plugin", SWERVE.format(collection=f"{COLLECTIONS}/{collection}"))
    said = refused(probe_in(two, **variables))
    assert f"({COLLECTIONS}/{collection}" in said
    assert "It was deleted again." in said
    assert "probe-" not in plain_text(two)
    count = (
        "import secretstorage as s; "
        f"print(len([*s.Collection(s.dbus_init(), '{COLLECTIONS}/{collection}').get_all_items()]))"
    )
    assert inside(two, count) == "0\n"


LIE = "from keyring.backends.SecretService import Keyring\nKeyring.set_password = lambda *entry: None\n"


def test_K1_an_entry_that_is_nowhere_after_a_write_is_refused(session: Desktop, tmp_path: Path) -> None:
    assert "nobody knows where it went" in refused(probe_in(session, **plugin(tmp_path / "plugin", LIE)))


READ = """
import sys
from core.errors import SetupError
from core.machine.keystore.system import SystemKeystore
from core.secret import Secret
keystore = SystemKeystore()
act = {"read": lambda: keystore.read("ours", "tenant"), "delete": lambda: keystore.delete("ours", "tenant"),
       "write": lambda: keystore.write("ours", "tenant", Secret("a value of ours", learn=False))}[sys.argv[1]]
try:
    print(act())
except SetupError as error:
    print(error.id, error.exit_code, error.summary, error.remedy)
"""
STORE = """
import secretstorage as s, sys
entry = {"service": "ours", "username": "tenant", "application": "Python keyring library"}
s.Collection(s.dbus_init(), sys.argv[1]).create_item("label", entry, b"an older value")
"""


@pytest.mark.parametrize("collection", ["plain", "session"])
@pytest.mark.parametrize("also_in_the_default_one", [False, True])
def test_K1_an_entry_in_another_collection_is_refused_before_it_is_read_or_written(
    two: Desktop, collection: str, also_in_the_default_one: bool
) -> None:
    if also_in_the_default_one:
        assert inside(two, READ, "write") == "None\n"
    inside(two, STORE, f"{COLLECTIONS}/{collection}")
    for action in ("read", "write"):
        said = inside(two, READ, action)
        assert said.startswith("keystore.insecure 3 "), said
        assert f"({COLLECTIONS}/{collection}" in said
        assert "ours" in said
        assert "dbus-send" in said
    assert "a value of ours" not in plain_text(two)
    assert inside(two, READ, "delete") == "None\n", "a run that is taken back must get rid of its own entry"
    (command,) = (line for line in said.splitlines() if "dbus-send" in line)
    subprocess.run(command[command.index("dbus-send") :].split(), env=two.environment, check=True, capture_output=True)
    assert inside(two, READ, "read") == "None\n", "the command in the remedy mends it"


@ROOT
def test_K1_a_collection_whose_file_belongs_to_another_user_is_refused(session: Desktop) -> None:
    assert is_good(probe_in(session))
    (file,) = (file for file in session.keyring_files() if file.name != "user.keystore")
    os.chown(file, NOBODY, -1)
    assert f"user with id {NOBODY}" in refused(probe_in(session))


def test_K1_a_good_file_that_the_daemon_does_not_use_proves_nothing(
    here: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon with capabilities hides its environment: then only the files that we guess can be looked at."""
    keystore = SystemKeystore()
    keystore.write("ours", "tenant", Secret("a value", learn=False))
    shutil.copytree(here.home / ".local/share/keyrings", tmp_path / "aside/keyrings")
    monkeypatch.setattr(secret_service, "_data_folders", lambda pid: [tmp_path / "aside"])
    assert keystore.read("ours", "tenant") == Secret("a value", learn=False)
    with pytest.raises(InsecureKeyringBackendError, match="nobody knows where it is"):
        keystore.write("ours", "tenant#2", Secret("another value", learn=False))
    assert keystore.read("ours", "tenant#2") is None


def test_K6_a_user_whom_the_user_database_does_not_know_has_a_keystore_too(
    here: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In containers that is usual."""

    def unknown(uid: int) -> Any:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    keystore = SystemKeystore()
    keystore.write("ours", "tenant", Secret("a value", learn=False))
    assert keystore.read("ours", "tenant") == Secret("a value", learn=False)
    assert keystore.backend().served_by.endswith(f"user {os.geteuid()}")


@pytest.mark.parametrize("name", [".gnome-keyring-daemon-wrapped", "ld-linux-x86-64.so.2"])
def test_K1_gnome_keyring_is_judged_whatever_its_program_is_called(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """NixOS calls it so; what else starts it by way of another program is shown as that one."""
    program = tmp_path / name
    shutil.copy(shutil.which("gnome-keyring-daemon") or missing("gnome-keyring-daemon"), program)
    for session in desktop(home, "correct horse", str(program)):
        see(session, monkeypatch)
        monkeypatch.setattr(secret_service, "_data_folders", lambda pid: [tmp_path / "elsewhere"])
        with pytest.raises(InsecureKeyringBackendError, match="nobody knows where it is"):
            SystemKeystore().write("ours", "tenant", Secret("a value", learn=False))
        assert SystemKeystore().read("ours", "tenant") is None


@contextmanager
def started(command: list[str], environment: dict[str, str], **options: Any) -> Iterator[str]:
    """The first line of a program that runs meanwhile."""
    if shutil.which(command[0]) is None:
        missing(command[0])
    program = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, **options)
    assert program.stdout is not None
    try:
        yield program.stdout.readline().strip()
    finally:
        program.terminate()
        program.wait()
        program.stdout.close()


@ROOT
def test_K1_a_bus_of_another_user_is_refused_by_name(session: Desktop, tmp_path: Path) -> None:
    command = ["dbus-daemon", "--session", "--nofork", "--print-address=1", "--address=unix:tmpdir=/tmp"]
    with started(command, {"PATH": os.environ["PATH"]}, user=NOBODY, group=NOBODY, extra_groups=[]) as address:
        said = refused(probe_in(session, DBUS_SESSION_BUS_ADDRESS=address))
    assert address in said
    assert f"nobody ({NOBODY})" in said
    assert "root (0)" in said


BUS = """<busconfig><type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow receive_sender="*"/></policy>
</busconfig>"""
#: Gives up root only after its modules are loaded: another user may not read them.
SERVE = """
import os, sys
from jeepney import MessageType, new_error, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection
if sys.argv[2:]:
    os.setresuid(*3 * [int(sys.argv[2])])
with open_dbus_connection() as bus:
    bus.send_and_get_reply(message_bus.RequestName(sys.argv[1]))
    print("serving", flush=True)
    while True:
        message = bus.receive()
        if message.header.message_type is MessageType.method_call:
            bus.send(new_error(message, "org.example.No"))
"""


@ROOT
def test_K1_a_service_of_another_user_on_the_own_bus_is_refused_by_name(session: Desktop, tmp_path: Path) -> None:
    config = tmp_path / "bus.conf"
    config.write_text(BUS.format(path=tmp_path / "bus"))
    tmp_path.chmod(0o755)
    for folder in (*tmp_path.parents,):
        if folder.is_relative_to("/tmp/") and folder.stat().st_uid == 0 and folder != Path("/tmp"):
            folder.chmod(0o755)
    with started(
        ["dbus-daemon", "--nofork", "--print-address=1", f"--config-file={config}"], session.environment
    ) as bus:
        variables = {"DBUS_SESSION_BUS_ADDRESS": bus}
        serve = [sys.executable, "-c", SERVE, "org.freedesktop.secrets", str(NOBODY)]
        with started(serve, session.environment | variables) as line:
            assert line == "serving"
            said = refused(probe_in(session, **variables))
    assert f"nobody ({NOBODY})" in said
    assert "org.freedesktop.secrets" in said


#: Stands for python-dbus and KWallet behind it; who serves the name is asked of the real bus.
WALLET = """
class DBusException(Exception): pass
class Wallet(dict):
    def networkWallet(self): return "kdewallet"
    def open(self, *_): return 1
    def isOpen(self, *_): return True
    def hasFolder(self, *_): return False
    def readPasswordList(self, *_): return {}
    def removeFolder(self, *_): pass
    def hasEntry(self, handle, service, name, app): return (service, name) in self
    def readPassword(self, handle, service, name, app): return self[service, name]
    def writePassword(self, handle, service, name, value, app): self[service, name] = value
    def removeEntry(self, handle, service, name, app): del self[service, name]
wallet = Wallet()
class SessionBus:
    def __init__(self, mainloop=None): pass
    def get_object(self, *_): return wallet
    def name_has_owner(self, name): return True
    def list_activatable_names(self): return ["org.kde.kwalletd5"]
def Interface(obj, name): return obj
"""


def test_K1_who_serves_kwallet_is_shown_too(session: Desktop, tmp_path: Path) -> None:
    (tmp_path / "dbus/mainloop").mkdir(parents=True)
    (tmp_path / "dbus/__init__.py").write_text(WALLET)
    (tmp_path / "dbus/mainloop/__init__.py").touch()
    (tmp_path / "dbus/mainloop/glib.py").write_text("DBusGMainLoop = object\n")
    wanted = "keyring.backends.kwallet.DBusKeyring"
    variables = {"PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": wanted}
    with started([sys.executable, "-c", SERVE, "org.kde.kwalletd5"], session.environment) as line:
        assert line == "serving"
        answer = probe_in(session, **variables)
    assert answer["ok"]
    assert answer["backend"].startswith(f"{wanted} (served by {Path(sys.executable).resolve()}, user ")
    assert probe_in(session, **variables)["error"] == "keystore.gone", "nobody serves it any more"


def libsecret(folder: Path) -> dict[str, str]:
    """The variables of a process that reaches the Secret Service by libsecret, where the system has its bindings."""
    system = Path("/usr/lib/python3/dist-packages/gi")
    extension = f"_gi.cpython-{sys.version_info[0]}{sys.version_info[1]}-*.so"
    if not list(system.glob(extension)) or not list(Path("/usr/lib").glob("*/girepository-1.0/Secret-1.typelib")):
        pytest.skip("python3-gi and gir1.2-secret-1 for this version of Python are not here")
    (folder / "gi").symlink_to(system)
    return {"PYTHONPATH": str(folder), "PYTHON_KEYRING_BACKEND": "keyring.backends.libsecret.Keyring"}


def test_K1_libsecret_is_judged_like_secretstorage(two: Desktop, tmp_path: Path) -> None:
    variables = libsecret(tmp_path)
    answer = probe_in(two, **variables)
    assert answer["ok"]
    assert answer["backend"].startswith("keyring.backends.libsecret.Keyring (served by ")
    file = {"SECRET_BACKEND": "file", "SECRET_FILE_TEST_PATH": str(tmp_path / "f"), "SECRET_FILE_TEST_PASSWORD": "x"}
    assert "unset SECRET_BACKEND" in refused(probe_in(two, **variables, **file))
    assert "Snap" in refused(probe_in(two, **variables, SNAP_NAME="code"))
    inside(two, STORE, f"{COLLECTIONS}/plain")
    assert inside(two, READ, "read", **variables).startswith("keystore.insecure 3 "), "libsecret asks every collection"
