"""The tests on every Python that is installed: `python -m tests.versions [PYTEST ARGUMENT …]`, or `make test-versions`.

It looks for CPython 3.11 and newer on the PATH, among the versions of pyenv and among those of uv, takes the newest
patch release of each, and runs the unit, contract and cli tests there, each in a virtual environment of its own under
`.versions/`, which is kept until a requirement changes. One failure fails the whole.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
REQUIREMENTS: Final = "requirements/dev.txt"
PARTS: Final = ("tests/unit", "tests/contract", "tests/cli")
OLDEST: Final = (3, 11)
#: Prints what an interpreter is and where (a shim of pyenv is another program); Debian has `ensurepip` apart.
PROBE: Final = """
import json, sys
from importlib.util import find_spec
complete = all(map(find_spec, ("venv", "ensurepip")))
print(json.dumps([sys.implementation.name, *sys.version_info[:4], complete, sys.executable]))
"""


class Python(NamedTuple):
    """An interpreter: its version, such as (3, 12, 1), and the program."""

    version: tuple[int, int, int]
    program: Path

    @property
    def minor(self) -> str:
        """Its name among the versions of Python, such as "3.12"."""
        return f"{self.version[0]}.{self.version[1]}"


def folder_printed_by(*command: str) -> Path | None:
    """The folder that a program prints, or None where there is no such program, or no such folder."""
    program = shutil.which(command[0])
    if program is None:
        return None
    printed = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False).stdout.strip()
    return Path(printed) if printed and Path(printed).is_dir() else None


def folders() -> Iterator[Path]:
    """Where interpreters may lie: the PATH, the versions of pyenv, and those of uv."""
    yield from (Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry)
    yield from (Path.home() / ".pyenv" / "versions").glob("*/bin")
    for command, pattern in ((("pyenv", "root"), "versions/*/bin"), (("uv", "python", "dir"), "*/bin")):
        folder = folder_printed_by(*command)
        if folder is not None:
            yield from folder.glob(pattern)


def candidates() -> Iterator[Path]:
    """Programs whose name says that they are a Python of OLDEST or newer."""
    for folder in folders():
        for program in sorted(folder.glob("python3.*")):
            named = re.fullmatch(r"python3\.(\d+)", program.name)
            if named and (3, int(named[1])) >= OLDEST:
                yield program


def look_at(program: Path) -> Python | str:
    """The interpreter, or why it is none that can be used."""
    ran = subprocess.run([program, "-I", "-c", PROBE], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        return "does not start"
    name, major, minor, micro, level, complete, executable = json.loads(ran.stdout)
    if name != "cpython" or level != "final":
        return f"is {name} {major}.{minor}.{micro} {level}"
    if not complete:
        return "has no venv and ensurepip"
    return Python((major, minor, micro), Path(executable))


def installed() -> list[Python]:
    """The newest patch release of each version. What was left out is said, but for shims of pyenv that lead nowhere."""
    newest: dict[str, Python] = {}
    for program in candidates():
        found = look_at(program)
        if isinstance(found, str):
            if program.parent.name != "shims":
                print(f"{program} is left out: it {found}", flush=True)
        elif found.minor not in newest or found.version > newest[found.minor].version:
            newest[found.minor] = found
    return sorted(newest.values())


def environment(python: Python) -> Path:
    """The interpreter of its virtual environment, which is made or made anew where a requirement has changed.

    Raises:
        subprocess.CalledProcessError: If it cannot be made.
    """
    folder = ROOT / ".versions" / ".".join(map(str, python.version))
    program, ready = folder / "bin" / "python", folder / "ready"
    wanted = "".join((ROOT / name).read_text(encoding="utf-8") for name in (REQUIREMENTS, "pyproject.toml"))
    if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
        print(f"Preparing {folder.relative_to(ROOT)} (once, about half a minute) …", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        install = [str(program), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([python.program, "-m", "venv", folder], check=True)
        subprocess.run([*install, "--require-hashes", "-r", str(ROOT / REQUIREMENTS)], check=True)
        subprocess.run([*install, "--no-deps", "--no-build-isolation", "-e", str(ROOT)], check=True)
        ready.write_text(wanted, encoding="utf-8")
    return program


def holds(python: Python, arguments: list[str]) -> bool:
    """Whether the tests pass there."""
    print(f"\n===== Python {'.'.join(map(str, python.version))} ({python.program})", flush=True)
    try:
        program = environment(python)
    except subprocess.CalledProcessError as error:
        print(f"no environment: {error}", flush=True)
        return False
    tests = [str(program), "-m", "pytest", "-q", "-n", "4", "--dist", "worksteal", *PARTS, *arguments]
    return subprocess.run(tests, cwd=ROOT, check=False).returncode == 0


def main(arguments: list[str]) -> int:
    """Run the tests everywhere; the exit code is 0 if they pass everywhere."""
    pythons = installed()
    if not pythons:
        print("No Python 3.11 or newer was found.")
        return 1
    if len(pythons) == 1:
        print(f"Only one version was found, {pythons[0].minor}: this is no more than `make test` does.", flush=True)
    results = {python.minor: holds(python, arguments) for python in pythons}
    print("\n===== " + ", ".join(f"{minor}: {'passed' if good else 'FAILED'}" for minor, good in results.items()))
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
