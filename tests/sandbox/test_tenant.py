"""Objects of the pretend tenant are copies: nobody changes the directory by accident (S1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from core.sandbox.directory.store import Tenant, copied
from tests.machine import VirtualClock
from tests.sandbox.client import Client


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


def made(client: Client) -> tuple[Any, ...]:
    """What the seed decides of a new app and of a new password."""
    app = client.call("POST", "/applications", {"displayName": "new"}).json()
    password = client.call("POST", f"/applications/{app['id']}/addPassword", {}).json()
    return app["id"], app["appId"], password["keyId"], password["secretText"]


BETWEEN: dict[str, tuple[int, Callable[[Client], Any]]] = {
    "a read": (200, lambda c: c.call("GET", "/me")),
    "a refused read": (404, lambda c: c.call("GET", "/applications/00000000-0000-0000-0000-000000000001")),
    "a sign-in": (200, lambda c: c.sign_in(client_secret=c.secret)),
    "a refused sign-in": (401, lambda c: c.sign_in(client_secret="wrong")),
    "a refused app": (400, lambda c: c.call("POST", "/applications", {"displayName": "x", "nonsense": 1})),
    "a refused password": (
        400,
        lambda c: c.call(
            "POST", f"/applications/{c.app['id']}/addPassword", {"passwordCredential": {"endDateTime": "1999-01-01"}}
        ),
    ),
}


@pytest.mark.parametrize("what", BETWEEN)
def test_S3_ids_of_objects_depend_on_the_objects_alone(what: str) -> None:
    status, ask = BETWEEN[what]
    client = Client()
    assert [ask(client).status for _ in range(2)] == [status, status]
    assert made(client) == made(Client())
    assert made(client) != made(Client(seed=2))


def test_S3_ids_of_requests_and_tokens_follow_from_the_seed_and_differ() -> None:
    def seen() -> list[str]:
        client = Client()
        ids = [client.call("GET", "/me").headers["request-id"] for _ in range(3)]
        return [*ids, *(client.sign_in(client_secret="wrong").json()["trace_id"] for _ in range(2))]

    assert seen() == seen()
    assert len(set(seen())) == 5
