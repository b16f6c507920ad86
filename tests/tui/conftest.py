"""What the tests of the screens share: one fixture for pictures, and a report that prints no environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytest_textual_snapshot as report
from syrupy.assertion import SnapshotAssertion

_save = report.save_svg_diffs


def _without_environment(diffs: list[Any], *others: Any) -> None:
    for diff in diffs:
        diff.environment = {}
    _save(diffs, *others)


report.save_svg_diffs = _without_environment


@pytest.fixture
def kept(snapshot: SnapshotAssertion) -> Callable[[str, str], bool]:
    """Whether a picture is the one that was kept under its name; `--snapshot-update` keeps it."""
    pictures = snapshot.use_extension(report.SVGImageExtension)
    return lambda name, svg: bool(svg == pictures(name=name))
