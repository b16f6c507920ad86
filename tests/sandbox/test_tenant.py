"""Objects of the pretend tenant are copies: nobody changes the directory by accident (S1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from core.sandbox.tenant import Tenant, copied
from tests.machine import VirtualClock


@pytest.fixture
def tenant() -> Tenant:
    tenant = Tenant(VirtualClock())
    tenant.commit("user", "u", {"id": "u", "name": "n", "list": [{"a": 1}, ["x"]], "deep": {"er": {"b": None}}})
    return tenant


@pytest.mark.parametrize("how", ["latest", "find", "all_latest"])
def test_S1_what_is_read_to_be_changed_changes_nothing_by_itself(tenant: Tenant, how: str) -> None:
    ways: dict[str, Any] = {
        "latest": lambda: tenant.latest("user", "u"),
        "find": lambda: tenant.find("user", "name", "n"),
        "all_latest": lambda: next(tenant.all_latest("user")),
    }
    before = ways[how]()
    spoilt = ways[how]()
    spoilt["list"][0]["a"] = 2
    spoilt["list"][1].append("y")
    spoilt["deep"]["er"]["b"] = 3
    assert ways[how]() == before == {"id": "u", "name": "n", "list": [{"a": 1}, ["x"]], "deep": {"er": {"b": None}}}


def test_S1_what_was_committed_is_out_of_reach(tenant: Tenant) -> None:
    state: dict[str, Any] = {"id": "v", "list": [1], "since": datetime(2026, 1, 1, tzinfo=UTC)}
    tenant.commit("user", "v", state)
    state["list"].append(2)
    assert (tenant.latest("user", "v") or {})["list"] == [1]


def test_a_copy_takes_what_JSON_cannot_hold_along() -> None:
    value: dict[str, Any] = {"set": {1, 2}, "when": datetime(2026, 1, 1, tzinfo=UTC), "pair": ([1], 2)}
    found = copied(value)
    assert found == value
    assert found["set"] is not value["set"]
    assert found["pair"][0] is not value["pair"][0]


def test_find_of_nothing_is_nothing(tenant: Tenant) -> None:
    tenant.commit("user", "u", None)
    assert tenant.find("user", "name", "n") is None
    assert list(tenant.all_latest("user")) == []
