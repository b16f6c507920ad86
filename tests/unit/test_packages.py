"""The packages that are required: real distributions in a folder on the module path, none of them patched (D1)."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from core.machine import python_packages
from core.machine.python_packages import Package, look, required

Install = Callable[..., None]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution, and the module of its name if it has a source."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def make(name: str, version: str, *requires: str, source: str | None = None) -> None:
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir()
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
        (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")
        if source is not None:
            (folder / f"{name}.py").write_text(source)

    yield make
    for name in [name for name in sys.modules if name.startswith("pretend_")]:
        del sys.modules[name]


def seen(name: str, **options: object) -> Package:
    """What is seen of the only package that the product needs."""
    (found,) = look("pretend_product", **options)  # type: ignore[arg-type]
    assert found.name == name
    return found


def test_D1_every_requirement_of_this_program_is_there_and_loads() -> None:
    found = look()
    assert [(package.name, package.why) for package in found if not package.ok] == []
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    needed = [Requirement(line) for line in declared]
    here = {need.name.lower() for need in needed if need.marker is None or need.marker.evaluate()}
    assert {package.name for package in found} == here
    assert all(package.found for package in found)


def test_D1_what_this_program_declares_is_within_what_is_understood() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in project["dependencies"]:
        need = Requirement(line)
        assert {spec.operator for spec in need.specifier} <= {">=", "<"}, line
        assert need.marker is None or re.fullmatch(r'sys_platform [!=]= "\w+"', str(need.marker)), line


@pytest.mark.parametrize(("platform", "there"), [("linux", True), ("win32", False), ("darwin", False)])
def test_D1_what_another_system_needs_is_left_out(platform: str, there: bool) -> None:
    assert ("secretstorage" in {need.name for need in required(platform=platform)}) is there


@pytest.mark.parametrize(
    ("line", "platform", "names"),
    [
        ("pretend_a>=1 ; extra == 'more'", "linux", []),
        ("pretend_a>=1; sys_platform != 'win32'", "win32", []),
        ("pretend_a>=1; sys_platform != 'win32'", "linux", ["pretend-a"]),
        ("Pretend.A[x,y] (>=1,<2)", "linux", ["pretend-a"]),
        ("pretend_a", "linux", ["pretend-a"]),
    ],
)
def test_D1_markers_extras_and_spellings(install: Install, line: str, platform: str, names: list[str]) -> None:
    install("pretend_product", "1.0", line)
    assert [need.name for need in required("pretend_product", platform)] == names


@pytest.mark.parametrize(
    ("needed", "version", "why"),
    [
        (">=2", "2", ""),
        (">=2", "2.0.0", ""),
        (">=2.0", "2", ""),
        (">=2.10", "2.9", "it is too old"),
        (">=2.10", "10.0+local.1", ""),
        ("<9,>=8.2", "8.10.1", ""),
        ("<9,>=8.2", "9.0", "it is too new"),
        ("<9,>=8.2", "8.1.99", "it is too old"),
        (">=1.2", "1.2rc1", ""),
    ],
)
def test_D1_versions(install: Install, needed: str, version: str, why: str) -> None:
    install("pretend_product", "1.0", f"pretend_a{needed}")
    install("pretend_a", version, source="")
    found = seen("pretend-a")
    assert (found.found, found.ok, found.why) == (version, not why, why)


def test_D1_a_package_that_is_not_installed(install: Install) -> None:
    install("pretend_product", "1.0", "pretend_a>=1")
    assert seen("pretend-a") == Package("pretend-a", ">=1", "", ok=False, why="it is not installed")


def test_D1_a_package_whose_files_are_gone(install: Install) -> None:
    install("pretend_product", "1.0", "pretend_a>=1")
    install("pretend_a", "1.5")
    found = seen("pretend-a")
    assert (found.ok, found.found) == (False, "1.5")
    assert "files" in found.why


@pytest.mark.parametrize(
    "source",
    [
        "import pretend_of_nobody",
        "raise RuntimeError('half of it')",
        "raise BaseException('Rust panicked')",
        "raise SystemExit(3)",
        "def broken(:",
    ],
)
def test_D1_a_package_that_cannot_be_imported_is_named_with_its_file(
    install: Install, source: str, tmp_path: Path
) -> None:
    install("pretend_product", "1.0", "pretend_a>=1")
    install("pretend_a", "1.5", source=source)
    found = seen("pretend-a")
    assert not found.ok
    assert found.why.startswith(f"it cannot be imported from {tmp_path / 'site' / 'pretend_a.py'} (")


def test_D1_ctrl_c_is_no_broken_package(install: Install) -> None:
    install("pretend_product", "1.0", "pretend_a>=1")
    install("pretend_a", "1.5", source="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        look("pretend_product")


def test_D1_what_takes_long_is_looked_for_and_not_imported(install: Install) -> None:
    install("pretend_product", "1.0", "pretend_a>=1")
    install("pretend_a", "1.5", source="raise ImportError")
    assert seen("pretend-a", only_found=frozenset({"pretend-a"})).ok
    assert not seen("pretend-a").ok


def test_D1_a_program_that_is_not_installed_itself_says_so() -> None:
    (found,) = look("pretend_of_nobody")
    assert (found.name, found.ok, found.why) == (
        "pretend_of_nobody",
        False,
        "it is not installed, so nobody knows what it needs",
    )


def test_a_look_loads_no_user_interface_and_the_module_itself_no_package() -> None:
    names = [python_packages._MODULES.get(need.name, need.name) for need in required()]
    source = f"""
import sys
from core.machine import python_packages as packages
before = [name for name in {names!r} if name in sys.modules]
packages.look()
print(before, "textual" in sys.modules, "keyring" in sys.modules)
"""
    finished = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=60)
    assert finished.stdout.split("\n")[0] == "[] False True"
