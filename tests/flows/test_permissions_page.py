"""docs/reference/permissions.md says what the commands come to without a right, and no run is left half-way (P15)."""

from __future__ import annotations

import pytest

from core.flows import registry
from tests.permissions import COMMANDS, OWN, TARGET, Command, page, row


@pytest.mark.parametrize("command", (*COMMANDS, *OWN), ids=lambda command: f"{type(command).__name__} {command.name}")
def test_P15_the_page_says_what_a_command_comes_to_without_a_right(command: Command) -> None:
    part = TARGET.read_text(encoding="utf-8").partition("## What the Provisioner")[command in OWN and 2]
    said = [line for line in part.splitlines() if line.startswith(f"| {command.name} |")]
    assert said == row(command).splitlines(), "make permissions writes it"


def test_P15_the_rest_of_the_page_is_the_generators(monkeypatch: pytest.MonkeyPatch) -> None:
    text = TARGET.read_text(encoding="utf-8")
    said = {line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")}
    assert said == {f"| {command.name}" for command in (*COMMANDS, *OWN)}
    monkeypatch.setattr("tests.permissions.row", lambda command: f"| {command.name} |")
    around = [line for line in page().splitlines() if not line.startswith("| `")]
    assert around == [line for line in text.splitlines() if not line.startswith("| `")]


def test_P15_every_command_that_talks_to_the_service_is_there() -> None:
    told = {command.name.split("`")[1].split()[0] for command in COMMANDS}
    silent = {"replay", "explain", "sandbox", "demo"}  # they meet no tenant of anybody's
    assert told == {row.name for row in registry.commands()} - silent
