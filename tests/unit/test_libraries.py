"""What the libraries below us read and start: listed in the docs, and kept from them (C4).

The list is compared with the sources that are installed, at the versions of `requirements/dev.txt`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import Distribution, distribution
from pathlib import Path
from sysconfig import get_paths

import pytest
from packaging.requirements import Requirement

from core.clock import SystemClock
from core.config.cloud import load as load_cloud
from core.entra.http import Session
from core.errors import NetworkError
from core.machine import libraries
from core.sandbox.lab import Lab
from tests.unit.libraries import Read, reads

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/what-libraries-read.md"
#: Their rows are in the section "Keystore" of the page.
_KEYSTORE = frozenset(("keyring", "jeepney", "secretstorage"))
#: Modules of the standard library that our libraries and we come to, and that look beyond their arguments.
_STANDARD = (
    "asyncio/coroutines asyncio/unix_events ctypes/__init__ ctypes/util getpass gettext http/server locale netrc "
    "ntpath os platform posixpath pydoc shutil site ssl subprocess sysconfig sysconfig/__init__ tempfile traceback "
    "urllib/request uuid warnings webbrowser zoneinfo/_tzpath _colorize _pyrepl/pager"
)
_DROPPED = "neutralised: dropped"
_TOOLS = "tool uname file gcc cc ld objdump ldconfig ifconfig ip arp netstat lanscan sh"
_MODULES = "core requests azure textual keyring msal platform argparse sitecustomize usercustomize evil socks"


@dataclass(frozen=True)
class Row:
    """A row of the page: what is read, by which modules, what becomes of it, and the tests of it."""

    names: tuple[str, ...]
    modules: tuple[str, ...]
    verdict: str
    tests: tuple[str, ...]


@cache
def page() -> tuple[Row, ...]:
    """All of them."""
    cells = [line.strip("|").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    quoted = [[tuple(re.findall(r"`([^`]+)`", cell)) for cell in row] for row in cells]
    return tuple(Row(ticks[0], ticks[1], row[2].strip(), ticks[3]) for row, ticks in zip(cells, quoted, strict=True))


@cache
def found() -> frozenset[Read]:
    """What is read by the libraries that a user installs with this program, and by the standard library."""
    standard = Path(get_paths()["stdlib"])
    files = [name for name in _STANDARD.split() if (standard / f"{name}.py").exists()]
    return frozenset(reads(Path(get_paths()["purelib"]), sorted(_packages())) | reads(standard, files))


def _packages() -> set[str]:
    """Import names of everything below us."""
    wanted, dists = [Requirement("entraclaw-setup[sandbox]")], dict[str, Distribution]()
    names: set[str] = set()
    while wanted:
        requirement = wanted.pop()
        if (name := requirement.name.lower()) in dists:
            continue
        dists[name] = distribution(name)
        for text in dists[name].requires or ():
            below = Requirement(text)
            extras = ["", *requirement.extras]
            if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in extras):
                wanted.append(below)
        if name != "entraclaw-setup":
            files = [Path(file) for file in dists[name].files or () if str(file).endswith(".py")]
            names |= {file.parts[0].removesuffix(".py") for file in files if ".." not in file.parts}
    return {name for name in names if name not in _KEYSTORE and not name.endswith("mypyc")}


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def fresh(script: str, *arguments: str, **variables: str) -> str:
    """What a Python of its own prints."""
    argv = [sys.executable, "-c", script, *arguments]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src"), **variables}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


RESTRAINED = "from core.machine import libraries; libraries.restrain()\n"


def test_C4_every_variable_that_a_library_reads_is_in_the_docs() -> None:
    listed = tuple(name for row in page() for name in row.names)
    unknown = {read for read in found() if read.kind == "variable" and read.name != "?"}
    assert {read for read in unknown if not matches(read.name, listed)} == set()


def test_C4_every_module_that_reads_a_variable_by_a_computed_name_is_in_the_docs() -> None:
    listed = tuple(module for row in page() for module in row.modules)
    computed = {read.module for read in found() if read.kind == "variable" and read.name == "?"}
    assert {module for module in computed if not matches(module, listed)} == set()


@pytest.mark.parametrize("kind", ["start", "load"])
def test_C4_every_module_that_starts_a_program_or_loads_code_by_name_is_in_the_docs(kind: str) -> None:
    listed = tuple(module for row in page() for module in row.modules)
    assert {read for read in found() if read.kind == kind and not matches(read.module, listed)} == set()


def test_C4_every_row_of_the_docs_is_judged_and_has_a_test() -> None:
    assert len(page()) > 40
    for row in page():
        assert row.verdict.startswith(("used", "neutralised", "refused")), row
        assert row.tests, row
        for test in row.tests:
            path, _, name = test.partition("::")
            assert re.search(rf"def {name}\(", (ROOT / path).read_text()), test


def test_every_test_that_the_security_page_names_exists() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", (ROOT / "SECURITY.md").read_text())
    assert named
    assert [name for name in named if not re.search(rf"def {name}\(", sources)] == []


def test_C4_what_the_docs_call_dropped_is_what_is_dropped() -> None:
    listed = [name for row in page() if row.verdict.startswith(_DROPPED) for name in row.names]
    assert sorted(listed) == sorted(libraries.NEUTRALISED)


def test_C4_variables_that_no_library_must_read_are_dropped_and_what_is_used_is_not() -> None:
    used = {
        name for row in page() if row.verdict.startswith("used") for name in row.names if re.fullmatch(r"\w+", name)
    }
    dropped = {pattern.replace("*", "X") for pattern in libraries.NEUTRALISED}
    assert len(used) > 30
    environ = dict.fromkeys(used | dropped, "1")
    libraries.neutralise(environ)
    assert environ.keys() == used


def test_C4_no_key_of_a_tls_session_is_written_down(tmp_path: Path) -> None:
    script = """
import ssl
from urllib3.util.ssl_ import create_urllib3_context
print(create_urllib3_context().keylog_filename, ssl.create_default_context().keylog_filename)
"""
    assert fresh(RESTRAINED + script, SSLKEYLOGFILE=str(tmp_path / "keys")) == "None None"
    assert not (tmp_path / "keys").exists()


def test_C4_no_configuration_of_openssl_is_read(tmp_path: Path) -> None:
    (tmp_path / "openssl.cnf").write_text("openssl_conf = a\n[a]\nalg_section = b\n[b]\ndefault_properties = no=such\n")
    ask = """
import _hashlib
from cryptography.hazmat.primitives import hashes
for make in (_hashlib.openssl_sha256, lambda: hashes.Hash(hashes.SHA256())):
    try:
        print(bool(make()), end=" ")
    except Exception:
        print("no", end=" ")
"""
    variables = {"OPENSSL_CONF": str(tmp_path / "openssl.cnf")}
    assert "no" in fresh(ask, **variables), "OpenSSL would read it"
    assert fresh(RESTRAINED + ask, **variables) == "True True"


def test_C4_azure_takes_no_setting_from_the_environment() -> None:
    script = """
from azure.core.settings import settings
from azure.core.pipeline.policies import UserAgentPolicy
from azure.identity._internal import get_default_authority
print(settings.log_level() == 20 or settings.log_level(), settings.tracing_implementation(), settings.tracing_enabled())
print("planted" in UserAgentPolicy().user_agent, get_default_authority())
"""
    said = fresh(
        RESTRAINED + script,
        AZURE_LOG_LEVEL="DEBUG",
        AZURE_SDK_TRACING_IMPLEMENTATION="opentelemetry",
        AZURE_TRACING_ENABLED="yes",
        AZURE_HTTP_USER_AGENT="planted",
        AZURE_AUTHORITY_HOST="login.example",
    )
    assert said.splitlines() == ["True None False", "False https://login.microsoftonline.com"]


def test_C4_textual_takes_no_driver_no_log_and_no_keys_from_the_environment(tmp_path: Path) -> None:
    script = """
from textual import constants as c
import os
print(c.DRIVER, c.LOG_FILE, c.PRESS or None, c.SCREENSHOT_DELAY, c.DEBUG, c.FILTERS or None, os.environ.get("TEXTUAL"))
print(c.TEXTUAL_ANIMATIONS)
"""
    said = fresh(
        RESTRAINED + script,
        TEXTUAL="devtools,debug",
        TEXTUAL_DRIVER="evil:Driver",
        TEXTUAL_LOG=str(tmp_path / "log"),
        TEXTUAL_PRESS="enter",
        TEXTUAL_SCREENSHOT="1",
        TEXTUAL_DEBUG="1",
        TEXTUAL_FILTERS="dim",
        TEXTUAL_ANIMATIONS="none",
    )
    assert said.splitlines() == ["None None None -1 False None None", "none"]


@pytest.mark.parametrize(
    "start",
    [
        "import subprocess; subprocess.run(['{tool}'])",
        "import subprocess; subprocess.run('{tool}', shell=True)",
        "import subprocess; subprocess.Popen('{tool}', close_fds=False)",
        "import os; os.system('{tool}')",
        "import os; os.popen('{tool}')",
        "import os; os.execv('{tool}', ['x'])",
        "import os; os.execvp('{tool}', ['x'])",
        "import os; os.posix_spawn('{tool}', ['x'], {{}})",
        "import os; assert os.spawnv(os.P_WAIT, '{tool}', ['x']) == 127; raise PermissionError",
        "import pty; pty.spawn(['{tool}'])",
        "import asyncio; asyncio.run(asyncio.create_subprocess_exec('{tool}'))",
        "import webbrowser; assert not webbrowser.GenericBrowser('{tool}').open('x'); raise PermissionError",
        "import platform; assert platform.processor() == ''; raise PermissionError",
        "import uuid; uuid.getnode(); raise PermissionError",
        "import ctypes.util; assert ctypes.util.find_library('m') is None; raise PermissionError",
        "import ctypes; ctypes.CDLL('libm.so.6')",
        "import ctypes; ctypes.cdll.LoadLibrary('./evil.so')",
    ],
)
def test_C4_a_library_starts_no_program_and_loads_no_library(tmp_path: Path, start: str) -> None:
    ran = tmp_path / "ran"
    for name in _TOOLS.split():
        (tool := tmp_path / name).write_text(f"#!/bin/sh\necho {name} >> {ran}\n")
        tool.chmod(0o755)
    script = RESTRAINED + f"try:\n    {start.format(tool=tmp_path / 'tool')}\nexcept PermissionError:\n    print('no')"
    assert fresh(script, PATH=f"{tmp_path}:/usr/bin:/bin") == "no"
    assert not ran.exists(), ran.read_text()


def test_C4_only_the_announced_program_is_started(tmp_path: Path) -> None:
    (tool := tmp_path / "az").write_text("#!/bin/sh\necho started $1\n")
    tool.chmod(0o755)
    script = f"""
import subprocess, threading
from core.clock import Cancel
from core.machine import process
print(process.run([{str(tool)!r}, "once"], seconds=30, cancel=Cancel()).stdout, end="")
with libraries.announced({str(tool)!r}):
    for program in ("/bin/true", "az"):
        try:
            subprocess.run([program])
        except PermissionError as error:
            print("no", error.filename)
    def other():
        try:
            subprocess.run([{str(tool)!r}])
        except PermissionError:
            print("not in another thread")
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
"""
    said = fresh(RESTRAINED + script)
    assert said.splitlines() == ["started once", "no /bin/true", "no az", "not in another thread"]


@pytest.mark.parametrize(
    ("system", "name", "allowed"),
    [
        *[(system, None, True) for system in ("linux", "darwin", "win32")],
        *[("linux", name, False) for name in ("libc.so.6", "/usr/lib/libm.so", "", b"libm.so")],
        ("darwin", "/System/Library/Frameworks/Security.framework/Security", True),
        ("darwin", "/usr/lib/../../tmp/evil.dylib", False),
        ("darwin", "Security", False),
        ("win32", "kernel32", True),
        ("win32", r"C:\project\kernel32.dll", False),
        ("win32", "./kernel32", False),
    ],
)
def test_C4_libraries_of_the_system_alone_are_loaded(
    monkeypatch: pytest.MonkeyPatch, system: str, name: str | bytes | None, allowed: bool
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    if allowed:
        libraries._refuse("ctypes.dlopen", (name,))
    else:
        with pytest.raises(PermissionError):
            libraries._refuse("ctypes.dlopen", (name,))


def test_C4_azures_user_agent_is_written_without_a_process(tmp_path: Path) -> None:
    (tool := tmp_path / "uname").write_text(f"#!/bin/sh\nenv > {tmp_path / 'ran'}\n")
    tool.chmod(0o755)
    script = """
import sys
seen = []
sys.addaudithook(lambda event, given: seen.append(given) if event == "subprocess.Popen" else None)
from core.entra import tokens
tokens._name_no_processor()
from azure.identity import CertificateCredential
from azure.core.pipeline.policies import UserAgentPolicy
print(seen, "Python" in UserAgentPolicy().user_agent)
"""
    assert fresh(script, PATH=f"{tmp_path}:/usr/bin:/bin", PROVISIONER_CLIENT_SECRET="canary") == "[] True"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "PYTHONHTTPSVERIFY", "SSL_CERT_DIR"])
def test_C4_roots_come_from_the_cloud_or_the_bundle_that_requests_names(
    start_lab: Callable[[str], Lab], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    lab = start_lab("clean")
    cloud = replace(load_cloud(str(lab.cloud_file)), ca_bundle=None)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    values = {"SSL_CERT_FILE": str(lab.ca), "PYTHONHTTPSVERIFY": "0", "SSL_CERT_DIR": str(lab.ca.parent)}
    monkeypatch.setenv(variable, values[variable])
    with pytest.raises(NetworkError) as caught:
        Session(cloud, SystemClock()).call("GET", f"{cloud.authority}/x")
    assert caught.value.id == "network.untrusted"


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Path]:
    """A working folder with modules under the names of ours, of libraries and of hooks of Python."""
    for name in _MODULES.split():
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\nraise ImportError\n"
        )
    yield tmp_path


@pytest.mark.parametrize("path", ["", ":", ".", "{here}", "{here}/inner", ":{source}", "{source}:.", "./inner"])
def test_C4_nothing_is_imported_from_the_working_folder(hostile: Path, path: str) -> None:
    if path:  # with such an entry Python itself imports them, before the first line of ours
        (hostile / "sitecustomize.py").unlink()
        (hostile / "usercustomize.py").unlink()
    (hostile / "inner").mkdir()
    (hostile / "inner/requests.py").write_text((hostile / "requests.py").read_text())
    variables = {"PYTHONPATH": path.format(here=hostile, source=ROOT / "src")} if path else {}
    argv = [sys.executable, "-m", "wizard", "explain", "AADSTS700027", "--json"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(hostile), **variables}
    done = subprocess.run(argv, cwd=hostile, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (hostile / "ran").exists()


def test_C4_the_script_starts_no_program_of_its_name_in_the_working_folder(hostile: Path) -> None:
    """`python -m wizard` would: Python itself looks there first (SECURITY.md)."""
    shutil.copy(hostile / "requests.py", hostile / "wizard.py")
    argv = [str(Path(sys.executable).with_name("entraclaw-setup")), "explain", "AADSTS700027", "--json"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(hostile)}
    done = subprocess.run(argv, cwd=hostile, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (hostile / "ran").exists()


def test_C4_the_folder_that_this_program_lies_in_stays_on_the_path(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "wizard", "explain", "AADSTS700027", "--json"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": "."}
    done = subprocess.run(
        argv, cwd=ROOT / "src", env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
