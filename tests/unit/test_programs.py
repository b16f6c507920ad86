"""The table of programs: which may be started, from where, and what reaches them (C4, P4)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import Cancel
from core.errors import SetupError
from core.flows import registry
from core.machine import process, programs, source_scan
from tests.unit.test_process import script

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shell scripts")
CANARY = "not-shaped-like-a-secret"
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def started(name: str, variables: dict[str, str], *untrusted: Path) -> dict[str, str]:
    given = programs.environment(name, untrusted, variables)
    fixed = programs.PROGRAMS[name].fixed
    assert given.items() >= fixed.items()
    return {key: value for key, value in given.items() if key not in fixed}


@pytest.mark.parametrize("name", programs.PROGRAMS)
@pytest.mark.parametrize(
    "variable",
    # secrets of any shape; what loads code; what git obeys; what libraries of az obey
    [
        *("PROVISIONER_CLIENT_SECRET", "AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET", "AZURE_PASSWORD", "GITHUB_TOKEN"),
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"),
        *("BASH_ENV", "ENV", "NODE_OPTIONS", "OPENSSL_CONF", "SSLKEYLOGFILE", "AZURE_EXTENSION_DIR", "NETRC"),
        *("GIT_DIR", "GIT_CONFIG_COUNT", "GIT_EXEC_PATH", "GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF", "PAGER"),
    ],
)
def test_C4_no_variable_that_is_not_needed_reaches_a_program(name: str, variable: str) -> None:
    assert started(name, {variable: CANARY, "LANG": "C"}) == {"LANG": "C"}


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True), st.just(CANARY), max_size=30))
def test_C4_only_variables_of_its_row_reach_a_program(variables: dict[str, str]) -> None:
    for name, program in programs.PROGRAMS.items():
        patterns = [re.escape(pattern).replace(r"\*", ".*") for pattern in program.variables]
        assert all(any(re.fullmatch(pattern, key) for pattern in patterns) for key in started(name, variables))


def test_C4_az_gets_what_the_sandbox_exports_and_a_browser_needs() -> None:
    needed = "HOME PATH AZURE_CONFIG_DIR REQUESTS_CA_BUNDLE NO_PROXY no_proxy HTTPS_PROXY https_proxy LANG LC_ALL TERM"
    needed += " DISPLAY WAYLAND_DISPLAY DBUS_SESSION_BUS_ADDRESS XDG_RUNTIME_DIR SYSTEMROOT APPDATA"
    variables = dict.fromkeys(needed.split(), "/usr/bin")
    assert started("az", variables) == variables


def test_C4_a_program_gets_a_path_without_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "bin").mkdir()
    (link := project.parent / "link").symlink_to(project / "bin")
    path = os.pathsep.join(["", ".", "bin", str(project / "bin"), str(link), str(project), "/usr/bin", "/bin"])
    assert started("az", {"PATH": path}, project)["PATH"] == "/usr/bin:/bin"
    assert started("az", {"PATH": str(project)}, project)["PATH"] == os.defpath, "an empty one is the working folder"
    monkeypatch.setenv("PATH", path)
    monkeypatch.chdir(project)
    program = script(project.parent / "tools" / "az", 'echo "$PATH"')
    assert process.run([str(program)], seconds=30, cancel=Cancel()).stdout == "/usr/bin:/bin\n"


@pytest.mark.parametrize(
    "command", ["./browser", "bin/browser %s", "{project}/browser", "firefox:{project}/browser %s"]
)
def test_C4_a_browser_inside_the_project_is_not_handed_on(project: Path, command: str) -> None:
    assert started("az", {"BROWSER": command.format(project=project)}, project) == {}
    assert started("az", {"BROWSER": "firefox:/usr/bin/browser %s"}, project) != {}


@pytest.mark.parametrize(
    "command",
    [
        "sh ./run %s",
        "python3 -mrun %s",
        "env -S./run %s",
        "firefox:sh\t./run",
        "sh -c './run' %s",
        "'sh' run %s",
        "sh '",
    ],
)
def test_C4_a_browser_that_is_handed_anything_but_the_page_is_not_handed_on(project: Path, command: str) -> None:
    """It is started in the working folder, and what looks like an argument may be a program of the project."""
    assert started("az", {"BROWSER": command}, project) == {}
    assert started("az", {"BROWSER": "wslview:'/usr/bin/www browser' %s &"}, project) != {}


@pytest.mark.parametrize("entry", ["", ".", "bin"])
def test_C4_a_relative_or_empty_entry_of_the_path_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    script(tmp_path / entry / "az", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{entry}{os.pathsep}/usr/bin")
    with pytest.raises(SetupError) as caught:
        process.find("az", [])
    assert caught.value.id == "program.untrusted"


@pytest.mark.parametrize("below", ["", ".local", ".local/bin"])
def test_C4_the_home_folder_and_its_programs_are_no_project(
    home: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    az = script(home / ".local/bin/az", "")
    monkeypatch.setenv("PATH", str(az.parent))
    assert process.find("az", [home / below]) == az
    project = home / "project"
    script(project / "az", "")
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(SetupError, match="lies inside"):
        process.find("az", [home / below, project])


@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("place", ["program", "folder"])
def test_C4_a_program_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    az = script(tmp_path / "bin" / "az", "")
    monkeypatch.setenv("PATH", str(az.parent))
    os.chown(az if place == "program" else az.parent, 4711, -1)
    with pytest.raises(SetupError) as caught:
        process.find("az", [])
    assert (caught.value.id, caught.value.exit_code) == ("program.altered", 3)
    assert "4711" in caught.value.summary


@pytest.mark.parametrize("place", ["bin/az", "bin", "real/az", "real", ""])
def test_C4_a_program_that_every_user_can_replace_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    real = script(tmp_path / "opt/real/az", "")
    (tmp_path / "opt/bin").mkdir()
    az = tmp_path / "opt/bin/az"
    az.symlink_to(real)
    monkeypatch.setenv("PATH", str(az.parent))
    assert process.find("az", []) == az
    (tmp_path / "opt" / place).chmod(0o777)
    with pytest.raises(SetupError) as caught:
        process.find("az", [])
    assert caught.value.id == "program.altered"
    assert str(az.parent) not in programs.search_path([], str(az.parent)) or "az" in place or place == "real"


def test_C4_a_folder_where_others_can_only_add_is_trusted_on_the_way_and_not_as_an_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    az = script(shared / "mine" / "az", "")
    shared.chmod(0o1777)
    monkeypatch.setenv("PATH", str(az.parent))
    assert process.find("az", []) == az
    assert programs.search_path([], os.pathsep.join([str(shared), str(az.parent)])) == [str(az.parent)]


@pytest.mark.parametrize(
    "config",
    [
        "[core]\n\tfsmonitor = {evil}",
        "[core]\n\thooksPath = {folder}",
        "[core]\n\tpager = {evil}\n[pager]\n\tls-files = {evil}\n\tcheck-ignore = {evil}",
        "[alias]\n\tls-files = !{evil}\n\tcheck-ignore = !{evil}",
        '[core]\n\tsshCommand = {evil}\n[extensions]\n\tpartialClone = origin\n[remote "origin"]\n\turl = ext::{evil}',
        '[diff]\n\texternal = {evil}\n[filter "x"]\n\tclean = {evil}\n\tprocess = {evil}',
        "[core]\n\taskPass = {evil}\n\teditor = {evil}\n[credential]\n\thelper = !{evil}",
        "[include]\n\tpath = ../included",
    ],
)
def test_C4_git_starts_nothing_that_a_repository_names(project: Path, config: str) -> None:
    ran = project.parent / "ran"
    evil = script(project / "evil", f"touch {ran}")
    for hook in ("post-index-change", "fsmonitor-watchman", "pre-auto-gc", "reference-transaction"):
        script(project / hook, f"touch {ran}")
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    (project / ".gitattributes").write_text("* filter=x diff=x\n")
    (project / ".env").write_text("A=b\n")
    (project / "included").write_text(f"[core]\n\tfsmonitor = {evil}\n")
    with (project / ".git/config").open("a") as file:
        file.write(config.format(evil=evil, folder=project) + "\n")
    assert source_scan.git_view(project / ".env", [project], Cancel()) == "not ignored"
    assert not ran.exists()


def test_C4_a_folder_that_looks_like_a_bare_repository_answers_nothing(project: Path) -> None:
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    inner = project / "inner"
    subprocess.run(["git", "init", "-q", "--bare", str(inner)], check=True)
    subprocess.run(["git", "-C", str(inner), "config", "core.bare", "false"], check=True)
    subprocess.run(["git", "-C", str(inner), "config", "core.worktree", str(inner)], check=True)
    (inner / "info/exclude").write_text(".env\n")
    (inner / ".env").write_text("A=b\n")
    with pytest.raises(SetupError, match="bare repository") as caught:  # nobody believes what it says
        source_scan.git_view(inner / ".env", [project], Cancel())
    assert caught.value.id == "git.failed"


def test_C4_the_table_has_a_row_for_every_command_and_is_in_the_docs() -> None:
    assert set(registry.programs()) == {"", *(row.name for row in registry.commands())}
    assert {name for allowed in registry.programs().values() for name in allowed} == set(programs.PROGRAMS)
    page = (DOCS / "reference/programs.md").read_text()
    rows = dict(re.findall(r"^\| `entraclaw-setup ?(\S*)` \| (.*?) \|$", page, re.M))
    assert rows == {name: ", ".join(f"`{each}`" for each in row) or "none" for name, row in registry.programs().items()}
    for name, program in programs.PROGRAMS.items():
        shown = re.search(rf"^## `{name}`\n\n(.*?)\n\nIt gets: (.*?)\n\nAlways set for it: (.*?)$", page, re.M)
        assert shown is not None
        assert shown[1].lower().startswith(program.purpose.lower())
        assert re.findall(r"`(.*?)`", shown[2]) == list(program.variables)
        assert re.findall(r"`(.*?)`", shown[3]) == [f"{name}={value}" for name, value in program.fixed.items()]


def test_C4_the_names_of_programs_on_windows_are_read() -> None:
    for path in (r"C:\Program Files\az.CMD", r"C:\git\cmd\git.exe", "/usr/bin/az"):
        assert programs.name_of(path) in ("az", "git")


def test_the_tests_run_where_files_can_be_judged() -> None:
    assert programs.altered_by(Path(sys.executable)) == ""
