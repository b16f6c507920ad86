"""What a user installs is pinned and hashed like what a developer installs (Q2)."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "requirements"
ROW = re.compile(r"([\w.-]+)==(\S+)(?: ; ([^\\\n]+?))?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n(?:    # .*\n)*")


class Pin(NamedTuple):
    version: str
    hashes: frozenset[str]


def text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def pins(name: str) -> dict[str, Pin]:
    """Every package of a file of requirements."""
    rows = ROW.finditer(text(name))
    return {canonicalize_name(row[1]): Pin(row[2], frozenset(re.findall(r"sha256:(\w+)", row[4]))) for row in rows}


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.txt")))
def test_Q2_every_requirement_has_a_version_and_hashes_and_names_no_index(name: str) -> None:
    assert pins(name)
    assert ROW.sub("", text(name)) == "", "what is no pinned and hashed requirement"
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host|\w\.(com|io|net|org)\b", text(name))


def test_Q2_users_get_every_dependency_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    run = pins("run.txt")
    for line in chain(project["dependencies"], *project["optional-dependencies"].values()):
        wanted = Requirement(line)
        assert wanted.specifier.contains(run[canonicalize_name(wanted.name)].version), line


def test_Q2_users_get_what_the_dependencies_need() -> None:
    run = pins("run.txt")
    for name in run:
        try:
            lines = requires(name) or []
        except PackageNotFoundError:  # of another system or another Python
            continue
        for need in map(Requirement, lines):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                assert canonicalize_name(need.name) in run, f"{name} needs {need.name}"


def test_Q2_users_get_the_files_that_the_tests_run_with() -> None:
    assert pins("run.txt").items() <= pins("dev.txt").items(), "make lock"


def test_Q2_the_readme_tells_how_to_install_them() -> None:
    commands = re.findall(r"^(?:pipx|\S+/pip) install .*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert sum("requirements/run.txt" in command for command in commands) == 2, "with pipx, and without"
