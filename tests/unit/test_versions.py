"""Which Pythons `make test-versions` finds, and what it says of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests import versions

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shell scripts")


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of the PATH, where no Python lies yet."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(program: Path, answer: object) -> None:
    """An interpreter that answers so to the question what it is, or does not start."""
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n" if answer else "#!/bin/sh\nexit 127\n")
    program.chmod(0o700)


def cpython(program: Path, micro: int, *, level: str = "final", complete: bool = True) -> None:
    put(program, ["cpython", 3, int(program.name.rpartition(".")[2]), micro, level, complete, str(program)])


def test_the_newest_patch_of_each_version_is_taken(path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cpython(path / "python3.9", 20)
    cpython(path / "python3.12", 1)
    cpython(home / ".pyenv" / "versions" / "3.12.4" / "bin" / "python3.12", 4)
    cpython(path / "python3.11", 2, complete=False)
    cpython(path / "python3.15", 0, level="alpha")
    put(path / "python3.13", None)
    put(path / "shims" / "python3.14", None)
    cpython(home / "uv" / "3.14" / "bin" / "python3.14", 0)
    (path / "uv").write_text(f"#!/bin/sh\necho {home}/uv\n")
    (path / "uv").chmod(0o700)

    assert [python.version for python in versions.installed()] == [(3, 12, 4), (3, 14, 0)]
    told = capsys.readouterr().out
    assert f"{path / 'python3.11'} is left out: it has no venv and ensurepip" in told
    assert f"{path / 'python3.13'} is left out: it does not start" in told
    assert f"{path / 'python3.15'} is left out: it is cpython 3.15.0 alpha" in told


def test_one_version_that_fails_fails_the_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cpython(path / "python3.12", 1)
    cpython(path / "python3.13", 1)
    monkeypatch.setattr(versions, "holds", lambda python, arguments: python.minor == "3.13")
    assert versions.main([]) == 1
    assert "3.12: FAILED, 3.13: passed" in capsys.readouterr().out


def test_it_says_when_there_was_one_version_only_or_none(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert versions.main([]) == 1
    assert "No Python 3.11 or newer was found" in capsys.readouterr().out
    cpython(path / "python3.12", 1)
    monkeypatch.setattr(versions, "holds", lambda python, arguments: True)
    assert versions.main([]) == 0
    assert "Only one version was found, 3.12" in capsys.readouterr().out
