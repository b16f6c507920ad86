"""What keyring and libsecret read to go elsewhere: settings, the bus, and the module path (K1)."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from core.errors import InsecureKeyringBackendError
from core.machine.interpreter import undisturbed
from core.machine.keystore import bus
from core.machine.keystore.redirection import refuse, refuse_portal
from tests.unit.test_gate import ASK

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="D-Bus and libsecret are Linux's")
NOWHERE = Path("/nonexistent/keyringrc.cfg")


def refusal(environ: Mapping[str, str], config: Path = NOWHERE) -> dict[str, str]:
    with pytest.raises(InsecureKeyringBackendError) as caught:
        refuse(environ, config)
    assert caught.value.exit_code == 3
    return {name: str(value) for name, value in caught.value.details.items()}


@pytest.mark.parametrize("name", ["KEYRING_PROPERTY_SCHEME", "X_KEYRING_PROPERTY_SCHEME", "KEYRING_PROPERTY_"])
def test_K1_a_property_variable_counts_wherever_the_text_stands_in_its_name(name: str) -> None:
    assert refusal({"HOME": "/", name: "value"})["fix"] == f"unset {name}"


@pytest.mark.parametrize("name", ["keyring_property_scheme", "KEYRING_PROPERTYSCHEME", "KEYRING"])
def test_K1_a_name_that_keyring_takes_for_no_property_is_no_finding(name: str) -> None:
    refuse({name: "value"}, NOWHERE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_BACKEND", "file"),
        ("SECRET_FILE_TEST_PATH", "/tmp/keyring"),
        ("SECRET_FILE_TEST_PASSWORD", "hunter2 hunter2"),
        ("SECRET_SERVICE_BUS_NAME", "org.example.Secrets"),
    ],
)
def test_K1_a_variable_that_leads_libsecret_elsewhere_is_refused_without_its_value(name: str, value: str) -> None:
    said = refusal({name: value})
    assert (said["backend"], said["fix"]) == ("libsecret", f"unset {name}")
    assert value not in said["why"]


def test_K1_the_values_of_libsecrets_variables_that_change_nothing_are_no_finding() -> None:
    refuse({"SECRET_BACKEND": "service", "SECRET_SERVICE_BUS_NAME": "org.freedesktop.secrets"}, NOWHERE)
    refuse({"SECRET_BACKEND": "", "SECRET_FILE_TEST_PATH": "", "SNAP_NAME": "code"}, NOWHERE)


@pytest.mark.parametrize(("environ", "flatpak"), [({"SNAP_NAME": ""}, False), ({}, True)])
def test_K1_libsecret_in_a_snap_or_a_flatpak_may_use_a_file_and_is_refused(
    tmp_path: Path, environ: dict[str, str], flatpak: bool
) -> None:
    info = tmp_path / ".flatpak-info"
    refuse_portal("libsecret", {}, info)
    if flatpak:
        info.touch()
    with pytest.raises(InsecureKeyringBackendError):
        refuse_portal("libsecret", environ, info)


@pytest.mark.parametrize(
    "content",
    [
        "[backend]\nkeyring-path=/tmp/planted\n",
        "[backend]\nKeyring-Path: /tmp/planted\ndefault-keyring = keyring.backends.SecretService.Keyring\n",
        "[backend]\nkeyring-path=\n",
        "[DEFAULT]\nkeyring-path=/tmp/planted\n[backend]\n",
    ],
)
def test_K1_a_keyring_path_in_keyringrc_is_refused(tmp_path: Path, content: str) -> None:
    config = tmp_path / "keyringrc.cfg"
    config.write_text(content)
    said = refusal({}, config)
    assert said["backend"] == str(config)
    assert "keyring-path" in said["fix"]


@pytest.mark.parametrize(
    "content",
    ["", "[backend]\ndefault-keyring=a.B\n", "[other]\nkeyring-path=/x\n", "[DEFAULT]\nkeyring-path=/x\n", "broken"],
)
def test_K1_a_keyringrc_without_a_keyring_path_that_counts_is_no_finding(tmp_path: Path, content: str) -> None:
    config = tmp_path / "keyringrc.cfg"
    config.write_text(content)
    refuse({}, config)


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("unixexec:path=/tmp/evil", "starts a program"),
        ("autolaunch:", "starts a program"),
        ("tcp:host=192.0.2.1,port=1234", "one socket"),
        ("nonce-tcp:host=127.0.0.1,port=1,noncefile=/tmp/n", "one socket"),
        ("tcp:host=192.0.2.1,port=1234;unix:path=/run/user/1000/bus", "several"),
        ("unix:path=/run/user/1000/bus;unixexec:path=/tmp/evil", "several"),
        ("unix:path=/run/user/1000/bus,abstract=/tmp/evil", "one socket"),
        ("unix:path=/tmp/%c3%a4", "one socket"),
        ("unix:runtime=yes", "one socket"),
        ("launchd:env=X", "one socket"),
        ("nonsense", "one socket"),
    ],
)
def test_K1_a_bus_that_is_not_one_socket_on_this_machine_is_refused(address: str, word: str) -> None:
    assert word in bus.fault(address)
    if sys.platform == "linux":
        with pytest.raises(InsecureKeyringBackendError) as caught:
            bus.refuse_stranger({bus.VARIABLE: address})
        assert address in caught.value.summary
        assert "dbus-run-session" in caught.value.remedy


@pytest.mark.parametrize(
    "address",
    [
        "unix:path=/run/user/1000/bus",
        "unix:abstract=/tmp/dbus-x7Fq,guid=291efd293ca060cd477f5d6b0cec44",
        "unix:path=/tmp/with%20space/%5bx%5d,guid=29",
    ],
)
def test_K1_a_bus_that_is_one_socket_on_this_machine_is_none_of_them(address: str) -> None:
    assert bus.fault(address) == ""
    bus.refuse_stranger({bus.VARIABLE: address})


@LINUX
def test_C4_without_a_bus_no_library_is_loaded_that_would_start_dbus_launch(tmp_path: Path, home: Path) -> None:
    for name in ("gi", "dbus"):
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'loaded')!r}, 'a').write({name!r})\nraise ImportError"
        )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(tmp_path)}

    def loaded() -> str:
        finished = subprocess.run(
            [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=False
        )
        assert finished.returncode == 0, finished.stderr
        return (tmp_path / "loaded").read_text() if (tmp_path / "loaded").exists() else ""

    assert loaded() == ""
    environment[bus.VARIABLE] = f"unix:path={tmp_path}/nobody-listens"
    assert "gi" in loaded(), "with a bus they are asked"


def test_K1_keyring_ignores_the_path_of_a_keychain_that_KEYCHAIN_PATH_names() -> None:
    """Its source, which cannot be run here: the path is handed on, and nothing is done with it."""
    origin = find_spec("keyring")
    assert origin is not None
    assert origin.origin is not None
    source = Path(origin.origin).with_name("backends") / "macOS/api.py"
    functions = {node.name: node for node in ast.parse(source.read_text()).body if isinstance(node, ast.FunctionDef)}
    ours = [function for name, function in functions.items() if name.endswith("_generic_password")]
    assert len(ours) == 3
    for function in ours:
        calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
        passed_on = [
            ast.unparse(call.args[0]) for call in calls if ast.unparse(call.func).endswith("_generic_password")
        ]
        path = function.args.args[0].arg
        uses = [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == path]
        assert [path] * len(uses) == passed_on


class Finder:
    """An import hook that finds nothing."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        return None


def test_K1_module_path_hooks_and_environment_are_as_before_around_foreign_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAYS", "before")
    monkeypatch.setenv("GOES", "before")
    (tmp_path / "planted_module.py").touch()
    before = [list(sys.path), list(sys.meta_path), list(sys.path_hooks), dict(os.environ)]
    path = sys.path

    def foreign() -> None:
        with undisturbed():
            sys.path.insert(0, str(tmp_path))
            import planted_module  # type: ignore[import-not-found]

            assert planted_module.__name__ in sys.modules
            sys.path = ["elsewhere", *sys.path]
            sys.meta_path.insert(0, Finder())
            sys.path_hooks.clear()
            os.environ["STAYS"] = "changed"
            os.environ["KEYRING_PROPERTY_SCHEME"] = "KeePassXC"
            del os.environ["GOES"]
            raise ValueError("and it fails")

    with pytest.raises(ValueError, match="fails"):
        foreign()
    assert [list(sys.path), list(sys.meta_path), list(sys.path_hooks), dict(os.environ)] == before
    assert sys.path is path
    assert "planted_module" not in sys.modules
