"""What a run needs of this computer: found, too old, missing, and the command for each system (U3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.clock import Cancel
from core.errors import Interrupted, SetupError
from core.machine import prerequisites
from core.machine.prerequisites import Tool
from tests.unit.test_process import script

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shell scripts")
Look = Callable[..., dict[str, Tool]]
NEW = """echo '{"azure-cli": "2.91.0", "extensions": {}}'"""
DEB = "curl -fsSL https://aka.ms/InstallAzureCLIDeb | "
RHEL = (
    "sudo rpm --import https://packages.microsoft.com/keys/microsoft.asc && "
    "sudo dnf install https://packages.microsoft.com/config/rhel/{}/packages-microsoft-prod.rpm && "
    "sudo dnf install azure-cli"
)


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Look at a computer that has these programs and nothing else; by name."""

    def make(release: str = "", az: str = "", has: tuple[str, ...] = (), **options: object) -> dict[str, Tool]:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name in ("sudo", *has):
            script(folder / name, "")
        if az:
            script(folder / "az", az)
        (tmp_path / "os-release").write_text(release)
        monkeypatch.setenv("PATH", str(folder))
        given = {"platform": "linux", "os_release": tmp_path / "os-release", "run_user": tmp_path, "uid": 1000}
        found = prerequisites.look([tmp_path / "project"], Cancel(), **(given | {"environ": {}} | options))  # type: ignore[arg-type]
        return {tool.name: tool for tool in found}

    return make


@pytest.mark.parametrize(
    ("release", "az", "newer", "keyring", "bus"),
    [
        ("ID=debian", DEB + "sudo bash", DEB + "sudo bash", "sudo apt-get install ", "dbus-user-session"),
        ('ID="ubuntu"\nID_LIKE=debian', DEB + "sudo bash", "", "sudo apt-get install ", "dbus-user-session"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"', DEB + "sudo bash", "", "sudo apt-get install ", "dbus-user-session"),
        (
            "ID=fedora\nVERSION_ID=42",
            "sudo dnf install azure-cli",
            "sudo dnf upgrade azure-cli",
            "sudo dnf install ",
            "dbus-daemon",
        ),
        ("ID='rhel'\nVERSION_ID='9.4'\nID_LIKE=fedora", RHEL.format("9.0"), "", "sudo dnf install ", "dbus-daemon"),
        ('ID=rocky\nVERSION_ID=8.10\nID_LIKE="rhel centos fedora"', RHEL.format("8"), "", "", "dbus-daemon"),
        ("ID=centos\nVERSION_ID=10", RHEL.format("10"), "", "sudo dnf install ", "dbus-daemon"),
        (
            'ID=opensuse-tumbleweed\nID_LIKE="opensuse suse"',
            "sudo zypper install azure-cli",
            "sudo zypper update azure-cli",
            "sudo zypper install ",
            "dbus-1",
        ),
        ("ID=sles", "sudo zypper install azure-cli", "", "sudo zypper install ", "dbus-1"),
        ("ID=arch", "sudo pacman -S azure-cli", "sudo pacman -Syu azure-cli", "sudo pacman -S ", "dbus"),
        (
            "ID=alpine",
            "sudo apk add pipx gcc musl-dev python3-dev libffi-dev openssl-dev cargo make && pipx install azure-cli",
            "pipx upgrade azure-cli",
            "sudo apk add ",
            "dbus",
        ),
    ],
)
def test_every_linux_has_its_own_commands(
    look: Look, release: str, az: str, newer: str, keyring: str, bus: str
) -> None:
    found = look(release)
    assert found[prerequisites.AZ] == Tool("Azure CLI", ">= 2.61", "", False, "it is not on the PATH", az, True)
    assert found[prerequisites.SECRETS].install.startswith(keyring)
    assert found[prerequisites.SECRETS].install.endswith(" gnome-keyring")
    assert not found[prerequisites.SECRETS].required
    assert found[prerequisites.BUS].install.endswith(
        f"install {bus} && dbus-run-session -- bash".removeprefix("install")
    )
    assert found[prerequisites.BUS].required
    assert found[prerequisites.GIT].install.endswith(" git")
    assert not found[prerequisites.GIT].required
    if newer:
        old = look(release, """echo '{"azure-cli": "2.60.9"}'""")[prerequisites.AZ]
        assert (old.found, old.ok, old.why, old.install) == ("2.60.9", False, "it is too old", newer)


@pytest.mark.parametrize("release", ["ID=void", "", "no line\nID", "ID=" + "x" * 99])
def test_an_unknown_linux_uses_pipx(look: Look, release: str) -> None:
    found = look(release)
    assert found[prerequisites.AZ].install == "pipx install azure-cli"
    assert (found[prerequisites.GIT].ok, found[prerequisites.GIT].install) == (False, "")
    assert found[prerequisites.BUS].install == "dbus-run-session -- bash"


def test_a_linux_without_os_release(look: Look, tmp_path: Path) -> None:
    assert look(os_release=tmp_path / "none")[prerequisites.AZ].install == "pipx install azure-cli"


def test_macos_and_windows(look: Look) -> None:
    without = look(platform="darwin")
    assert without[prerequisites.AZ].install == "pipx install azure-cli"
    assert without[prerequisites.GIT].install == "xcode-select --install"
    mac = look(platform="darwin", has=("brew",))
    assert mac[prerequisites.AZ].install == "brew install azure-cli"
    windows = look(platform="win32")
    assert windows[prerequisites.AZ].install == "winget install --exact --id Microsoft.AzureCLI"
    assert windows[prerequisites.GIT].install == "winget install --exact --id Git.Git"
    for found in (mac, windows):
        assert list(found) == [prerequisites.PYTHON, prerequisites.GIT, prerequisites.AZ], "their keystore needs no bus"


def test_root_needs_no_sudo_and_some_have_doas(look: Look, tmp_path: Path) -> None:
    assert look("ID=debian", uid=0)[prerequisites.AZ].install == DEB + "bash"
    assert look("ID=arch", uid=0)[prerequisites.AZ].install == "pacman -S azure-cli"

    def find(name: str) -> Path | None:
        return tmp_path / name if name == "doas" else None

    assert look("ID=arch", find=find)[prerequisites.AZ].install == "doas pacman -S azure-cli"


@contextmanager
def listening(path: Path) -> Iterator[None]:
    """Somebody who listens at a socket."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield


def test_everything_is_there(look: Look, tmp_path: Path) -> None:
    address = f"unix:path={tmp_path / 'bus'},guid=1"
    with listening(tmp_path / "bus"):
        found = look("ID=debian", NEW, ("git", "kwalletd6"), environ={"DBUS_SESSION_BUS_ADDRESS": address})
    assert list(found) == [
        prerequisites.PYTHON,
        prerequisites.GIT,
        prerequisites.SECRETS,
        prerequisites.BUS,
        prerequisites.AZ,
    ]
    assert all(tool.ok and not tool.why and not tool.install for tool in found.values())
    assert found[prerequisites.PYTHON].found.startswith("3.")
    assert (found[prerequisites.AZ].found, found[prerequisites.SECRETS].found) == ("2.91.0", "kwalletd6")
    assert found[prerequisites.GIT].found == str(tmp_path / "bin" / "git")


@pytest.mark.parametrize(
    ("az", "why"),
    [
        ("echo not json", "does not tell its version"),
        ("echo []", "does not tell its version"),
        ("echo '{}'", "does not tell its version"),
        ("""echo '{"azure-cli": 7}'""", "does not tell its version"),
        ("""echo '{"azure-cli": "new; rm -rf"}'""", "does not tell its version"),
        ("""echo '{"azure-cli": "3"}'""", "does not tell its version"),
        ("exit 1", "failed with exit code 1"),
        ("exec yes", "printed more than 4 MB"),
    ],
)
def test_an_az_that_says_something_else_is_a_reason_and_no_exception(look: Look, az: str, why: str) -> None:
    found = look("ID=debian", f"PATH=/usr/bin:/bin\n{az}")[prerequisites.AZ]
    assert (found.ok, found.found) == (False, "")
    assert why in found.why
    assert found.install, "there is always something to do"
    assert not found.install.startswith(DEB), "installing it again changes nothing"


def test_an_az_that_hangs_is_a_reason(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prerequisites, "PATIENCE", 0.5)
    assert "did not answer" in look("ID=debian", "exec /bin/sleep 600")[prerequisites.AZ].why


def test_an_az_that_cannot_be_started_is_a_reason(look: Look, tmp_path: Path) -> None:
    look("ID=debian", NEW)
    (tmp_path / "bin" / "az").write_text("#!/no/such/interpreter\n")
    assert "cannot be started" in look("ID=debian")[prerequisites.AZ].why


def test_newer_versions_will_do(look: Look) -> None:
    for version in ("2.61.0", "2.100.1", "3.0.0b1"):
        assert look("ID=debian", f"""echo '{{"azure-cli": "{version}"}}'""")[prerequisites.AZ].ok, version


def test_C4_programs_of_the_project_do_not_count(look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> Path | None:
        raise SetupError("program.untrusted", path=name, folder=tmp_path)

    found = look("ID=debian", NEW, find=find)
    assert not any(found[name].ok for name in (prerequisites.AZ, prerequisites.GIT, prerequisites.SECRETS))
    assert str(tmp_path) in found[prerequisites.AZ].why


def test_U2_looking_can_be_interrupted(look: Look) -> None:
    def ask(argv: object) -> object:
        raise Interrupted(2)

    with pytest.raises(Interrupted):
        look("ID=debian", NEW, ask=ask)


def test_a_bus_that_the_variable_does_not_name_or_that_is_gone(look: Look, tmp_path: Path) -> None:
    variable = "DBUS_SESSION_BUS_ADDRESS"
    gone = look("ID=debian", environ={variable: "unix:path=/no/such/bus"})[prerequisites.BUS]
    assert (gone.ok, gone.install) == (False, "dbus-run-session -- bash")
    with listening(tmp_path / "dead"):
        pass
    dead = look("ID=debian", environ={variable: f"unix:path={tmp_path}/dead"})[prerequisites.BUS]
    assert (dead.ok, "Connection refused" in dead.why) == (False, True), "its socket is there, and nobody listens"
    (tmp_path / "1000").mkdir()
    with listening(tmp_path / "1000" / "bus"):
        unnamed = look("ID=debian")[prerequisites.BUS]
    assert (unnamed.ok, unnamed.install) == (False, f"export {variable}=unix:path={tmp_path}/1000/bus")


def test_K1_a_bus_that_is_refused_does_not_pass_for_one(look: Look) -> None:
    found = look("ID=debian", environ={"DBUS_SESSION_BUS_ADDRESS": "unixexec:path=/tmp/evil"})[prerequisites.BUS]
    assert (found.ok, found.required) == (False, True)
    assert "unixexec:path=/tmp/evil: 'unixexec:' starts a program" in found.why
    assert "dbus-run-session" in found.install


def test_K5_another_keystore_needs_no_bus(look: Look) -> None:
    assert not look("ID=debian", own_keystore=False)[prerequisites.BUS].required
