"""The changelog has the form of Keep a Changelog, so that people and programs find what a version brought."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from packaging.version import Version

CHANGELOG = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
RELEASE = re.compile(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)")


def sections() -> list[tuple[str, str]]:
    """Heading and text of every version, the newest first."""
    return [(heading, text) for heading, _, text in (part.partition("\n") for part in CHANGELOG.split("\n## ")[1:])]


def test_the_changelog_begins_with_what_is_not_released() -> None:
    assert CHANGELOG.startswith("# Changelog\n\n")
    assert "https://keepachangelog.com/" in CHANGELOG.partition("\n## ")[0]
    assert sections()[0][0] == "[Unreleased]"


def test_versions_and_their_dates_descend() -> None:
    released = [RELEASE.fullmatch(heading) for heading, _ in sections()[1:]]
    rows = [(Version(row[1]), date.fromisoformat(row[2])) for row in released if row]
    assert len(rows) == len(released), "a version is headed '## [1.2.3] - 2027-01-31'"
    versions, dates = [row[0] for row in rows], [row[1] for row in rows]
    assert versions == sorted(set(versions), reverse=True)
    assert dates == sorted(dates, reverse=True)


def test_every_change_is_a_list_item_of_one_of_the_six_kinds() -> None:
    for version, text in sections():
        before, *parts = re.split(r"^### ", text, flags=re.M)
        assert not before.strip(), f"{version}: text outside of the six kinds"
        kinds = [part.partition("\n")[0] for part in parts]
        assert kinds == [kind for kind in KINDS if kind in kinds], version
        for kind, part in zip(kinds, parts, strict=True):
            items = part.partition("\n")[2].strip("\n").split("\n")
            assert items[0].startswith("- "), f"{version}, {kind}: empty, or no list"
            assert all(re.match(r"- \S|  \S", item) for item in items), f"{version}, {kind}: not one list"
