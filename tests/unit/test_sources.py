"""Source files that still read the secret, and what git knows of the state file (M2, M9)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from core.errors import SetupError
from core.flow.wait import Cancel
from core.machine.sources import git_view, readers

MEMBER = "PROVISIONER_CLIENT_SECRET"
USE = f'value = 1\nsecret = state["{MEMBER}"]\nagain = state["{MEMBER}"]\n'
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def put(folder: Path, name: str, text: str = USE) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "name", ["a.py", "b/c.sh", "Dockerfile", "Makefile", "x.tf", "ci.yml", "deep/er/s.ps1", "a.ts"]
)
def test_M2_source_files_that_read_the_secret_are_found_by_line(tmp_path: Path, name: str) -> None:
    path = put(tmp_path, name)
    found = readers(tmp_path, MEMBER)
    assert found.complete
    assert [(reader.path, reader.line, reader.what) for reader in found.found] == [(path, 2, MEMBER)]


def test_M2_a_credential_from_a_secret_is_found_too(tmp_path: Path) -> None:
    put(tmp_path, "a.py", "import x\n\nc = ClientSecretCredential(t, a, s)\n")
    assert [(reader.line, reader.what) for reader in readers(tmp_path, MEMBER).found] == [(3, "ClientSecretCredential")]


@pytest.mark.parametrize(
    "name", ["notes.md", "a.pyc", ".git/hooks/x.sh", ".venv/lib/a.py", "node_modules/m/a.js", "b/__pycache__/c.py"]
)
def test_M2_other_files_are_skipped(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    assert readers(tmp_path, MEMBER).found == ()


def test_M2_large_files_links_and_loops_are_skipped(tmp_path: Path) -> None:
    put(tmp_path, "large.py", USE + "#" * 1024 * 1024)
    outside = put(tmp_path, "elsewhere/a.py")
    project = tmp_path / "project"
    project.mkdir()
    (project / "link.py").symlink_to(outside)
    (project / "loop").symlink_to(project)
    (project / "gone.py").symlink_to("nothing")
    assert readers(project, MEMBER).found == ()
    assert [reader.path for reader in readers(tmp_path, MEMBER).found] == [outside]


def test_M2_a_tree_that_is_too_large_is_said_to_be_incomplete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.machine.sources._MOST", 2)
    for name in ("a.py", "b.py", "c.py"):
        put(tmp_path, name)
    found = readers(tmp_path, MEMBER)
    assert (len(found.found), found.complete) == (2, False)


def git(folder: Path, *arguments: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, env=environment)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    put(folder, "project/.state.json", "{}")
    return folder


def view(repository: Path) -> str:
    return git_view(repository / "project" / ".state.json", [], Cancel())


def test_M9_without_a_repository(tmp_path: Path) -> None:
    assert git_view(put(tmp_path, ".state.json", "{}"), [], Cancel()) == "no repository"


@needs_git
@pytest.mark.parametrize("present", [True, False])
@pytest.mark.parametrize(
    ("ignore", "track", "expected"),
    [("", False, "not ignored"), (".state.json\n", False, "ignored"), (".state.json\n", True, "tracked")],
)
def test_M9_what_git_would_do_with_the_file(
    repository: Path, ignore: str, track: bool, expected: str, present: bool
) -> None:
    put(repository, ".gitignore", ignore)
    if track:
        git(repository, "add", "--force", "project/.state.json")
    if not present:
        (repository / "project" / ".state.json").unlink()
    assert view(repository) == expected


@needs_git
def test_P11_why_git_cannot_tell_is_told_in_its_own_words(repository: Path) -> None:
    (repository / ".git" / "HEAD").unlink()
    with pytest.raises(SetupError) as caught:
        view(repository)
    assert caught.value.id == "git.failed"
    assert "not a git repository" in caught.value.summary
    assert "exit code 128" in caught.value.summary


def test_M9_without_git_nothing_is_known(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert view(repository) == "unknown"


@needs_git
def test_M9_variables_of_another_repository_do_not_mislead(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repository, "add", "project/.state.json")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert view(repository) == "tracked"


@needs_git
def test_C4_a_repository_does_not_get_to_run_programs(repository: Path) -> None:
    trap, ran = repository / "trap.sh", repository / "ran"
    trap.write_text(f"#!/bin/sh\ntouch {ran}\n")
    trap.chmod(0o755)
    git(repository, "add", "project/.state.json")
    for name in ("core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "filter.x.clean", "diff.external"):
        git(repository, "config", name, str(trap))
    put(repository, ".gitattributes", "* filter=x\n")
    for hook in ("post-index-change", "fsmonitor-watchman", "pre-auto-gc"):
        shutil.copy(trap, repository / ".git" / "hooks" / hook)
    assert view(repository) == "tracked"
    assert not ran.exists()
