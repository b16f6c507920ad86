"""The reference names every check of the diagnosis, in its order, under its group (D1)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from core.checks import base, doctor, network
from core.events import Grade
from core.steps.app import find

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "doctor.md").read_text(encoding="utf-8")
ROW = re.compile(r"\| `([\w-]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|")


def test_D1_the_reference_lists_every_check() -> None:
    sections = [part.partition("\n") for part in PAGE.split("\n## ")[1:]]
    told = [(title, [(row[1], row[2]) for row in ROW.finditer(text)]) for title, _, text in sections]
    assert told == [(group.title, [(check.name, check.title) for check in group.checks]) for group in doctor.GROUPS]


def test_D1_the_reference_names_states_that_there_are() -> None:
    grades = set(get_args(Grade))
    rows = list(ROW.finditer(PAGE.partition("\n## ")[2]))
    assert len(rows) == len(doctor.names())
    for row in rows:
        states = row[4].split(", ")
        assert states[0] == "ok", row[1]
        assert set(states) <= grades, row[1]
    assert {row[1] for row in re.finditer(r"^\| `(\w+)` \|", PAGE.partition("\n## ")[0], re.M)} == grades


def test_D1_the_numbers_of_the_reference_are_those_of_the_program() -> None:
    assert f"within {base.PATIENCE:.0f} seconds ({base.ATTENDED:.0f} where a keystore" in " ".join(PAGE.split())
    assert f"a warning from {network._NOTABLE:.0f} s, a failure beyond {find.TOLERANCE:.0f} s" in PAGE
