"""What is found by itself is found outside the project, and no file goes where nobody expects it (K1, C3, A8)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core import assemble, paths
from core.clock import Cancel
from core.config.settings import Settings
from core.errors import SetupError
from core.steps.context import Context

posix = pytest.mark.skipif(os.name != "posix", reason="XDG_CONFIG_HOME and HOME are of POSIX")
CONFIG = "entraclaw-setup/config.toml"


def real(project: Path) -> Context:
    ctx = assemble.real(Settings(project=str(project)), Cancel(), lambda event: None, lambda question: False)
    ctx.close()
    return ctx


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that would allow a keyring backend of its own; nobody works in it."""
    folder = tmp_path / "project"
    for config in (folder / "conf" / CONFIG, folder / ".config" / CONFIG):
        config.parent.mkdir(parents=True)
        config.write_text('keyring_backend_allowlist = ["evil.Keyring"]\n')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return folder


@posix
@pytest.mark.parametrize("way", ["by its name", "by a link", "by a link inside", "as the working folder"])
def test_K1_C3_a_configuration_file_inside_the_project_or_the_working_folder_never_counts(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    configured, named = project / "conf", project
    match way:
        case "by a link":
            configured = tmp_path / "link"
            configured.symlink_to(project / "conf")
        case "by a link inside":
            outside = tmp_path / "outside" / CONFIG
            outside.parent.mkdir(parents=True)
            outside.write_text((project / "conf" / CONFIG).read_text())
            configured = project / "linked"
            configured.symlink_to(tmp_path / "outside")
        case "as the working folder":
            monkeypatch.chdir(project)
            named = tmp_path
    monkeypatch.setenv("XDG_CONFIG_HOME", str(configured))
    with pytest.raises(SetupError) as caught:
        real(named)
    assert (caught.value.id, caught.value.exit_code) == ("usage.config-inside", 2)
    assert str(project) in caught.value.summary
    assert "XDG_CONFIG_HOME" in caught.value.remedy


@posix
def test_K5_the_users_own_configuration_counts_also_when_the_work_is_done_at_home(
    project: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = home / ".config" / CONFIG
    config.parent.mkdir(parents=True)
    config.write_text("keyring_backend_allowlist = 1\n")
    monkeypatch.chdir(home)
    for folder in (project, home):
        with pytest.raises(SetupError) as caught:
            real(folder)
        assert caught.value.id == "usage.config-file", "it was read"


@posix
def test_C3_where_no_configuration_file_is_nothing_is_in_the_way(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project))
    assert real(project).settings.folder == project


@posix
@pytest.mark.parametrize("value", ["", "home", "./home", "~"])
@pytest.mark.parametrize("arguments", [["migrate", "--dry-run"], ["verify"], ["token"], ["replay"]], ids=" ".join)
def test_A8_without_a_home_folder_no_file_goes_to_the_root_or_the_working_folder(
    project: Path, value: str, arguments: list[str]
) -> None:
    environment = {"HOME": value, "PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run(
        [sys.executable, "-m", "wizard", *arguments],
        env=environment, cwd=project, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == (1 if arguments == ["token"] else 3), finished.stderr
    assert "[folder.no-home]" in finished.stderr or arguments == ["token"]
    assert "HOME" in finished.stderr
    assert not list(project.rglob(".local"))
    assert not Path("/.local").exists()


def test_A8_a_user_that_no_database_knows_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(SetupError) as caught:
        paths.home()
    assert (caught.value.id, caught.value.exit_code) == ("folder.no-home", 3)
