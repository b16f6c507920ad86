"""What the interpreter and libraries print when nobody else does: type and place, no values (D4, U5)."""

from __future__ import annotations

import ast
import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.cli.planted import PLANTS

#: No redactor knows it, and it has no shape that one could find.
CANARY = "hunter2/ä\"q\\u'&=%-plain-enough"
BUGS = ("message", "bare", "leaving", "local", "chained", "grouped", "noted")


def spellings(value: str) -> set[str]:
    """How it could be written: as it is, escaped, percent-encoded, in hex, in base64 wherever that begins."""
    raw = value.encode()
    shifted = {base64.b64encode(b"x" * shift + raw).decode()[4:-4] for shift in range(3)}
    escaped = {json.dumps(value)[1:-1], repr(value)[1:-1], ascii(value)[1:-1], ascii(raw)[2:-1]}
    return {value, value[:7], quote(value, safe=""), raw.hex(), *escaped, *shifted}


def run(folder: Path, plant: str, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the program with the canary in its way, and look for it in everything that it wrote."""
    paths = os.pathsep.join(path for path in sys.path if path)
    finished = subprocess.run(
        [sys.executable, *options, "-m", "tests.cli.planted", plant, *arguments],
        env={"HOME": str(folder), "PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": paths},
        cwd=folder,
        input=f"{CANARY}\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    written = finished.stdout + finished.stderr
    written += "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert not [spelling for spelling in spellings(CANARY) if spelling in written], written
    assert "Traceback (most recent call last)" not in written
    return finished


@pytest.mark.parametrize("place", ["command", "program"])
@pytest.mark.parametrize("plant", BUGS)
def test_D4_U5_a_bug_anywhere_is_70_with_its_place_and_without_its_values(
    tmp_path: Path, plant: str, place: str
) -> None:
    finished = run(tmp_path, f"{plant}@{place}", "explain")
    assert finished.returncode == 70
    assert "bug.internal" in finished.stderr
    assert f"planted.py:{_line(plant)} in {plant}" in finished.stderr
    told = json.loads(run(tmp_path, f"{plant}@{place}", "explain", "--json").stdout)
    assert (told["command"], told["exit_code"], told["errors"][0]["id"]) == ("explain", 70, "bug.internal")


@pytest.mark.parametrize(
    ("plant", "options"),
    [(plant, ()) for plant in sorted(PLANTS.keys() - set(BUGS))]
    + [(plant, ("-X", "dev")) for plant in ("unclosed", "task", "warning")],
)
def test_D4_nothing_that_is_printed_at_the_last_resort_holds_values(
    tmp_path: Path, plant: str, options: tuple[str, ...]
) -> None:
    finished = run(tmp_path, f"{plant}@command", "explain", options=options)
    assert finished.returncode == 0
    silent = {"at-the-last", "unloggable"} | (set() if options else {"unclosed"})
    assert ("planted.py:" in finished.stderr) == (plant not in silent), finished.stderr


@pytest.mark.parametrize("plant", ["thread", "warning", "logged"])
def test_U4_with_json_what_is_printed_at_the_last_resort_is_an_event_too(tmp_path: Path, plant: str) -> None:
    finished = run(tmp_path, f"{plant}@command", "explain", "--json")
    (event, *_) = [json.loads(line) for line in finished.stderr.splitlines()]
    assert (event["event"], event["severity"]) == ("Finding", "warning")
    assert "planted.py:" in event["message"]


def test_D4_a_library_that_uses_core_keeps_its_own_printers() -> None:
    script = (
        "import logging, pkgutil, importlib, sys, threading, warnings\n"
        "before = sys.excepthook, threading.excepthook, sys.unraisablehook, logging.lastResort\n"
        "import core, wizard.cli, wizard.commands, wizard.__main__\n"
        "[importlib.import_module(m.name) for m in pkgutil.walk_packages(core.__path__, 'core.')]\n"
        "assert before == (sys.excepthook, threading.excepthook, sys.unraisablehook, logging.lastResort)\n"
        "assert warnings.showwarning.__module__ == 'warnings'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("form", ["--client-secret={}", "{}", "--client-secret {}", "--pärt={}"])
@pytest.mark.parametrize("command", ["migrate", "", "token"])
def test_D4_a_secret_given_as_an_argument_is_not_echoed(tmp_path: Path, form: str, command: str) -> None:
    arguments = [*command.split(), *(word.format(CANARY) for word in form.split())]
    for more in ([], ["--json"]):
        finished = subprocess.run(
            [sys.executable, "-m", "wizard", *arguments, *more],
            env={"HOME": str(tmp_path), "PATH": os.defpath, "LANG": "C.UTF-8"},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == (1 if command == "token" else 2)
        told = finished.stdout + finished.stderr
        assert told
        assert not [spelling for spelling in spellings(CANARY) if spelling in told], told


@pytest.mark.parametrize(
    "form", ["migrate --tenant {}", "migrate --app-id {}", "migrate --cloud {}", "verify --project {}", "explain {}",
             "demo --yes --scenario {}", "migrate --answers {}", "migrate --profile {}", "replay {}", "apply {} --yes"]
)  # fmt: skip
def test_D4_a_client_secret_in_the_place_of_a_value_is_not_echoed(tmp_path: Path, form: str) -> None:
    secret = "abc8Q~" + "x" * 30 + ".~_Z"
    finished = subprocess.run(
        [sys.executable, "-m", "wizard", *form.format(secret).split()],
        env={"HOME": str(tmp_path), "PATH": os.defpath, "LANG": "C.UTF-8"},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode not in (0, 70), finished
    assert "x" * 30 not in finished.stdout + finished.stderr


def _line(plant: str) -> int:
    """Where a plant raises."""
    tree = ast.parse(Path(__file__).with_name("planted.py").read_text(encoding="utf-8"))
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == plant]
    raising = [node for node in ast.walk(function) if isinstance(node, ast.Raise)]
    return raising[-1].lineno if raising else function.body[-1].lineno
