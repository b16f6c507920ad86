"""Every event has one spelling as a JSON line, and comes back from it unchanged (U4)."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import SCHEMA, Event, Finding, FlowFinished, FlowStarted, from_json, to_json

numbers = st.floats(allow_nan=False, allow_infinity=False)
st.register_type_strategy(float, numbers)
events: st.SearchStrategy[Event] = st.one_of([st.builds(cls) for cls in get_args(Event)])


@given(events)
def test_U4_every_event_survives_its_json_line(event: Event) -> None:
    line = to_json(event, "2026-01-01T00:00:00Z")
    assert "\n" not in line
    assert from_json(line) == event
    assert hash(from_json(line)) == hash(event), "it stays frozen and hashable"


@pytest.mark.parametrize("cls", get_args(Event))
def test_U4_a_line_carries_schema_time_and_type(cls: type[Any]) -> None:
    event = _plain(cls)
    data = json.loads(to_json(event, "T"))
    assert (data["schema"], data["time"], data["event"]) == (SCHEMA, "T", cls.__name__)


def test_unknown_members_of_a_later_writer_are_ignored() -> None:
    data = json.loads(to_json(FlowStarted("migrate", "1"), "T")) | {"colour": "blue"}
    assert from_json(json.dumps(data)) == FlowStarted("migrate", "1")


@pytest.mark.parametrize(
    "change",
    [
        {"schema": SCHEMA + 1},
        {"schema": None},
        {"event": "Nonsense"},
        {"event": "SCHEMA"},
        {"event": ["Finding"]},
        {"event": None},
    ],
)
def test_another_schema_or_type_is_rejected(change: dict[str, Any]) -> None:
    data = json.loads(to_json(Finding("a.b", "info", "text"), "T")) | change
    with pytest.raises(ValueError, match="schema"):
        from_json(json.dumps(data))


@pytest.mark.parametrize("line", ["", "{", "[]", "1", "null", '{"schema": 1, "event": "Finding", "id": "x"}'])
def test_a_line_that_is_no_event_is_rejected(line: str) -> None:
    with pytest.raises(ValueError):
        from_json(line)


def _plain(cls: type[Any]) -> Any:
    if cls is FlowFinished:
        return FlowFinished("migrate", "changed", 0, ("a", "b"), 1.5)
    filler = {"expected": 1.0, "elapsed": 1.0, "attempt": 1, "next_in": 1.0, "reversible": True, "default": False}
    return cls(**{name: filler.get(name, "x") for name in cls.__dataclass_fields__})
