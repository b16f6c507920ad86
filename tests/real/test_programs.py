"""Every command, traced: it starts only what the table allows it, and no secret reaches what it starts (C4, P4, D4).

The working folder is a hostile project: modules and programs lie in it under the names that libraries look for, it is
first on the PATH, and every variable that makes a library load code, write secrets down or ask elsewhere is set.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pexpect
import pytest

from core.config.profile import Profile
from core.flows import registry
from core.sandbox.faults import Fault
from core.sandbox.lab import Lab
from tests.real.conftest import Desktop, missing
from tests.real.program import Program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="strace")

#: Shaped like no secret, so that only the table keeps it away.
CANARY = "canary-of-the-environment"
#: Names that the standard library and the libraries look up on the PATH.
_TOOLS = "uname file lsb_release gcc cc ld ldconfig objdump ifconfig ip arp lanscan netstat xdg-open wslview powershell"
_TOOLS += " pbcopy xclip wl-copy pwsh azd www-browser sh python3 stty tput less"
_MODULES = "azure requests textual msal keyring urllib3 certifi socks chardet simplejson"
_MODULES += " core cryptography platform secretstorage uuid evil opentelemetry brotli zstandard h2 rich"
_CALL = re.compile(r"^(?P<pid>\d+) +(?:<\.\.\. )?(?P<call>\w+)(?: resumed>|\()(?P<rest>.*)$")


@dataclass
class Start:
    """A program that a process asked for, whether it was there or not.

    :param by_az: whether that process is az, or one that az started.
    """

    path: str
    by_az: bool
    text: str


@dataclass
class Traced(Program):
    """Runs commands under strace, in a hostile project."""

    folder: Path = field(default_factory=Path)

    def __post_init__(self) -> None:
        if shutil.which("strace") is None:
            missing("strace")
        project = self.lab.project
        subprocess.run(["git", "init", "-q", str(project)], check=True)
        (project / ".gitignore").write_text(f"{Profile.state_file}\n")
        self.ran = self.folder / "ran"
        for name in _TOOLS.split():
            (tool := project / "bin" / name).parent.mkdir(exist_ok=True)
            tool.write_text(f'#!/bin/bash\necho "program {name}" >> {self.ran}\n')
            tool.chmod(0o755)
        for name in _MODULES.split():
            (module := project / name / "__init__.py").parent.mkdir(exist_ok=True)
            module.write_text(f"open({str(self.ran)!r}, 'a').write('module {name}\\n')\nraise ImportError\n")
        extension = self.lab.az_config_dir / "cliextensions/evil"
        for name, text in (
            ("azext_evil/__init__.py", f"open({str(self.ran)!r}, 'a').write('extension of az\\n')\n"),
            ("evil-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n"),
            ("evil-1.0.dist-info/metadata.json", "{}"),
        ):
            (extension / name).parent.mkdir(parents=True, exist_ok=True)
            (extension / name).write_text(text)
        (project / "openssl.cnf").write_text(
            "openssl_conf = a\n[a]\nproviders = b\n[b]\nevil = c\ndefault = c\n[c]\nactivate = 1\n"
            f"module = {project}/evil.so\n"
        )

    @property
    def environment(self) -> dict[str, str]:
        found = super().environment
        del found["PYTHONSAFEPATH"]
        project = self.lab.project
        hostile = dict.fromkeys(("PROVISIONER_CLIENT_SECRET", "AZURE_CLIENT_SECRET", "AZURE_PASSWORD"), CANARY)
        return found | hostile | {
            "PATH": f"{project / 'bin'}:bin:.::{found['PATH']}",
            "PYTHONPATH": os.pathsep.join(["", "."]),
            "OPENSSL_CONF": str(project / "openssl.cnf"),
            "OPENSSL_MODULES": str(project),
            "SSLKEYLOGFILE": str(self.folder / "tls-keys"),
            "TEXTUAL_DRIVER": "evil:Driver",
            "TEXTUAL_LOG": str(self.folder / "textual-log"),
            "AZURE_SDK_TRACING_IMPLEMENTATION": "opentelemetry",
            "AZURE_REGIONAL_AUTHORITY_NAME": "westus",
            "MSAL_FORCE_REGION": "westus",
            "AZURE_AUTHORITY_HOST": "login.example",
            "BROWSER": "./bin/www-browser",
            "TERM": "xterm-256color",
        }  # fmt: skip

    def starts(self, *arguments: str, codes: Sequence[int] = (0,)) -> list[Start]:
        """Run a command to its end; the programs that were asked for, but for the command itself."""
        finished = self.run(*arguments)
        assert finished.returncode in codes, finished.stdout + finished.stderr
        return self.traced()

    def traced(self) -> list[Start]:
        """What the trace says."""
        return list(_starts((self.folder / "trace").read_text(errors="replace").splitlines(), str(self.az)))[1:]

    def holds(self, command: str, starts: list[Start]) -> None:
        """Assert what every command must hold to."""
        own = [Path(start.path).name for start in starts if not start.by_az]
        assert set(own) <= set(registry.programs()[command]), own
        for start in starts:
            assert CANARY not in start.text, f"{start.path} was handed a secret"
            assert "openssl.cnf" not in start.text
            path = Path(self.lab.project, start.path)
            assert not path.resolve().is_relative_to(self.lab.project), f"{start.path} lies in the project"
        assert not self.ran.exists(), self.ran.read_text()
        assert not [path.name for path in self.folder.iterdir() if path.name not in ("trace", "home", "log")]

    def _argv(self, arguments: tuple[str, ...]) -> list[str]:
        strace = ["strace", "-f", "-qq", "-v", "-s", "4000", "--seccomp-bpf", "-o", str(self.folder / "trace")]
        return [*strace, "-e", "trace=execve,execveat,clone,clone3,fork,vfork", *super()._argv(arguments)]

    def _options(self) -> dict[str, Any]:
        return super()._options() | {"cwd": self.lab.project}


def _starts(lines: list[str], az: str) -> Iterator[Start]:
    """Calls of execve in the order of a trace."""
    parent: dict[str, str] = {}
    of_az: set[str] = set()
    for line in lines:
        if (call := _CALL.match(line)) is None:
            continue
        pid, rest = call["pid"], call["rest"]
        if call["call"].startswith("exec"):
            if "unfinished" not in line and "resumed" in line:
                continue  # it was counted when it began
            ancestor: str | None = pid
            while ancestor is not None and ancestor not in of_az:
                ancestor = parent.get(ancestor)
            found = re.match(r'"((?:[^"\\]|\\.)*)"', rest)
            assert found is not None, f"only root can trace what forbids core dumps: {line}"
            yield Start(found[1], ancestor is not None, rest)
            if found[1] == f"{az}/az":
                of_az.add(pid)
        elif child := re.search(r"= (\d+)$", rest):
            parent[child[1]] = pid


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (found := tmp_path / "traced").mkdir()
    return found


@pytest.fixture
def legacy(session: Desktop, az: Path, folder: Path) -> Iterator[Traced]:
    lab = Lab.start("legacy")
    yield Traced(lab, session, az, folder=folder)
    lab.close()


def test_C4_a_migration_and_what_follows_it_start_only_what_the_table_allows(legacy: Traced) -> None:
    for command, arguments, codes in (
        ("migrate", ("--dry-run",), (0,)),
        ("doctor", (), (0, 8)),
        ("migrate", ("--yes",), (0,)),
        ("verify", (), (0,)),
        ("token", (), (0,)),
        ("rollback", ("--yes", "--accept-live-secret"), (0,)),
    ):
        legacy.holds(command, starts := legacy.starts(command, *arguments, codes=codes))
        asked = {Path(start.path).name for start in starts if not start.by_az}
        assert asked == set(registry.programs()[command]), "the trace sees what is started, and no row is too wide"


def test_C4_an_interrupted_run_is_resumed_or_undone_with_nothing_else(legacy: Traced) -> None:
    for command in ("undo", "resume"):
        fault = legacy.lab.tenant.faults.add(Fault("hold-after", "^PATCH /v1.0/applications/"))
        process = legacy.start("migrate", "--yes", "--json")
        assert fault.reached.wait(60)
        os.kill(_traced(process), signal.SIGKILL)
        process.communicate(timeout=60)
        fault.release()
        legacy.lab.tenant.faults.script.clear()
        legacy.holds(command, legacy.starts(command, "--yes"))


def _traced(strace: subprocess.Popen[str]) -> int:
    """The process that strace has started."""
    return int(Path(f"/proc/{strace.pid}/task/{strace.pid}/children").read_text().split()[0])


def test_C4_onboard_starts_only_what_the_table_allows(session: Desktop, az: Path, folder: Path) -> None:
    lab = Lab.start("fresh")
    try:
        program = Traced(lab, session, az, folder=folder)
        program.holds("onboard", program.starts("onboard", "--only", "provisioner", "--yes"))
    finally:
        lab.close()


def test_C4_apply_starts_only_what_the_table_allows(session: Desktop, az: Path, folder: Path) -> None:
    lab = Lab.start("unprivileged")
    try:
        developer = Traced(lab, session, az, folder=folder)
        request = developer.result("migrate", "--yes")["data"]["request"]
        developer.holds("migrate", developer.traced())
        developer.variables = {"AZURE_CONFIG_DIR": str(lab.az_folder("alex"))}
        told = json.loads(Path(request).read_text())["thumbprint"]
        developer.holds("apply", developer.starts("apply", request, "--yes", "--thumbprint", told))
    finally:
        lab.close()


@pytest.mark.parametrize("command", [("replay",), ("explain", "AADSTS700027")])
def test_C4_a_command_without_a_tenant_starts_nothing(legacy: Traced, command: tuple[str, ...]) -> None:
    for name in ("ENTRACLAW_SETUP_CLOUD", "ENTRACLAW_SETUP_PROJECT", "ENTRACLAW_SETUP_KEY_OUTLIVES_JOB"):
        legacy.variables[name] = None
    starts = legacy.starts(*command)
    legacy.holds(command[0], starts)
    assert starts == []


def test_C4_the_sandbox_starts_nothing(legacy: Traced) -> None:
    process = legacy.start("sandbox", "--env")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("export ")
    os.kill(_traced(process), signal.SIGTERM)
    process.communicate(timeout=60)
    legacy.holds("sandbox", starts := legacy.traced())
    assert starts == []


@pytest.mark.parametrize("front", ["--plain", ""])
def test_C4_the_wizard_starts_only_what_the_table_allows(legacy: Traced, front: str) -> None:
    argv = legacy._argv((front,) if front else ())
    options = {"env": legacy.environment, "cwd": str(legacy.lab.project), "encoding": "utf-8", "timeout": 90}
    child = pexpect.spawn(argv[0], argv[1:], dimensions=(40, 100), **options)
    try:
        if front:
            child.expect(r"Number, 1 to \d+: ")
            child.sendline("1")
            child.expect("(?s)Azure sign-in.*Number, 1 to")
        else:
            child.expect(r"migrate\s+it")
            child.send("\r")
            child.expect("Step 1 of 8")
            child.expect("Enter continues")
            child.send("\r")
            child.expect("Step 2 of 8")
            child.expect("Enter continues")
        child.kill(signal.SIGTERM)
    finally:
        child.close(force=True)
    legacy.holds("", starts := legacy.traced())
    assert "az" in {Path(start.path).name for start in starts}
