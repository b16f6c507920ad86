"""`sandbox` and `demo` take a scenario file wherever they take a scenario's name (S3, U8)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_command_line import Run, run

__all__ = ["run"]


def result(finished: Any) -> dict[str, Any]:
    """The result object."""
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


def test_S3_U8_a_demo_meets_the_faults_of_a_file_that_is_named_from_here(run: Run, tmp_path: Path) -> None:
    (tmp_path / "busy.toml").write_text(
        '[[fault]]\nkind = "status"\nstatus = 429\nretry_after = 1\nmatch = "^PATCH"\n', encoding="utf-8"
    )
    finished = run("demo", "--scenario", "busy.toml", "--yes", "--json")
    assert finished.returncode == 0, finished.stderr
    events = [json.loads(line) for line in finished.stderr.splitlines()]
    waits = {event["reason"]: event["expected"] for event in events if event["event"] == "Waiting"}
    asked = waits["Microsoft Graph to take a new list of certificates"]
    assert 1.0 <= asked <= 3.5, "not before Retry-After, and soon after it"


def test_U8_a_demo_does_what_fits_the_scenario_that_a_file_begins_with(run: Run, tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text('scenario = "fresh"\n', encoding="utf-8")
    finished = run("demo", "--scenario", "f.toml", "--yes", "--json", "--dry-run")
    assert finished.returncode == 0, finished.stderr
    assert '"flow": "onboard"' in finished.stderr


@pytest.mark.parametrize("command", [("demo", "--yes"), ("sandbox",)], ids=" ".join)
def test_U4_a_file_that_is_wrong_is_2_and_names_the_key(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "f.toml").write_text('[[fault]]\nkind = "status"\nstatus = "429"\n', encoding="utf-8")
    finished = run(*command, "--scenario", "./f.toml", "--json")
    assert finished.returncode == 2
    (error,) = result(finished)["errors"]
    assert error["id"] == "sandbox.file"
    assert "fault[1].status must be a whole number from 200 to 599" in error["message"]
    missing = result(run(*command, "--scenario", "none.toml", "--json"))["errors"][0]
    assert (missing["id"], "none.toml" in missing["message"]) == ("sandbox.file", True)
