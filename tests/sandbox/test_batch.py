"""`$batch` of the pretend Graph: ids, order, dependence, throttling of single items (S1-S3; GD "JSON batching")."""

from __future__ import annotations

from typing import Any

import pytest

from core.sandbox.directory.store import State
from core.sandbox.faults import Fault
from tests.sandbox.client import Client

JSON = {"Content-Type": "application/json"}

NESTED = ("/$batch", "$batch?x=1", "/%24batch", "/%24%62atch", "//%2F$batch", "/%2f/%2F%24batch")


@pytest.fixture
def client() -> Client:
    return Client()


def item(name: str, url: Any = "/me", **values: Any) -> State:
    return {"id": name, "method": "GET", "url": url, **values}


def batch(client: Client, *items: State) -> dict[str, State]:
    response = client.call("POST", "/$batch", {"requests": list(items)})
    assert response.status == 200, response.body
    replies = response.json()["responses"]
    assert sorted(reply["id"] for reply in replies) == sorted(item["id"] for item in items)
    return {reply["id"]: reply for reply in replies}


@pytest.mark.parametrize(
    "items",
    [
        [item("1"), item("1")],
        [item("")],
        [item("1", id=7)],
        [item("1", url=7)],
        [item("1", method=None)],
        [item("1", headers="x")],
        [item("1", headers={"Content-Type": 7})],
        [item("1", method="POST", url="/applications", body={"displayName": "x"})],
        [item("1", dependsOn=["2"])],
        [item("1", dependsOn=["1"])],
        [item("1", dependsOn="2"), item("2")],
        [item("1", dependsOn=[2]), item("2")],
        [item("1", dependsOn=["2"]), item("2", dependsOn=["3"]), item("3", dependsOn=["1"])],
        *([item("1", url=url, method="POST")] for url in NESTED),
    ],
    ids=["same", "empty", "number", "url", "method", "headers", "header", "content type", "unknown", "itself", "text",
         "numbers", "circle", *NESTED],
)  # fmt: skip
def test_S2_a_batch_that_makes_no_sense_is_refused_as_a_whole(client: Client, items: list[State]) -> None:
    create = item("0", "/applications", method="POST", body={"displayName": "made"}, headers=JSON)
    before = len(list(client.tenant.all_latest("application")))
    assert client.refused("POST", "/$batch", {"requests": [create, *items]}) == (400, "BadRequest")
    assert len(list(client.tenant.all_latest("application"))) == before, "and nothing of it happens"
    assert batch(client, create)["0"]["status"] == 201


def test_S1_an_item_waits_for_what_it_depends_on_wherever_that_stands(client: Client) -> None:
    path = f"/applications/{client.app['id']}"
    replies = batch(
        client,
        item("read", path, dependsOn=["second"]),
        item("second", path, method="PATCH", body={"notes": "b"}, headers=JSON, dependsOn=["first"]),
        item("first", path, method="PATCH", body={"notes": "a"}, headers=JSON),
    )
    assert [replies[name]["status"] for name in ("first", "second", "read")] == [204, 204, 200]
    assert replies["read"]["body"]["notes"] == "b"


def test_S3_one_item_is_throttled_and_what_depends_on_it_does_not_happen(client: Client) -> None:
    path = f"/applications/{client.app['id']}"
    client.tenant.faults.add(Fault("status", "^PATCH", status=429, retry_after=7))
    items = (
        item("1", path, method="PATCH", body={"notes": "x"}, headers=JSON),
        item("2", path, method="DELETE", dependsOn=["1"]),
        item("3", path),
    )
    replies = batch(client, *items)
    assert [replies[name]["status"] for name in "123"] == [429, 424, 200]
    assert replies["1"]["headers"]["Retry-After"] == "7"
    assert replies["1"]["body"]["error"]["code"] == "TooManyRequests"
    assert client.app["notes"] is None
    replies = batch(client, *items)
    assert [replies[name]["status"] for name in "12"] == [204, 204], "the fault is over"


def test_S1_a_batch_needs_a_token_of_its_own(client: Client) -> None:
    body = {"requests": [item("1", headers={"Authorization": f"Bearer {client.token}"})]}
    assert client.refused("POST", "/$batch", body, "made-up") == (401, "InvalidAuthenticationToken")
    assert client.refused("GET", "/$batch") == (400, "BadRequest")
    other = item("1", headers={"Authorization": "Bearer made-up"})
    assert batch(client, other)["1"]["status"] == 200, "the batch's own counts"


@pytest.mark.parametrize(
    ("method", "url"),
    [("GET", "/me"), ("GET", "me"), ("get", "/me"), ("gEt", "//me?$select=id"), ("GET", "/m%65"), ("GET", "%2Fme")],
)
def test_S3_a_script_names_an_item_as_the_service_reads_it(client: Client, method: str, url: str) -> None:
    assert batch(client, item("1", url, method=method))["1"]["body"]["id"] == client.tenant.signed_in_user
    fault = client.tenant.faults.add(Fault("status", "^GET /me$", status=429))
    assert batch(client, item("1", url, method=method))["1"]["status"] == 429
    assert fault.struck == 1


def test_S2_a_batch_of_more_than_twenty_is_refused(client: Client) -> None:
    items = [item(str(number)) for number in range(21)]
    refused = client.call("POST", "/$batch", {"requests": items})
    message = "Number of batch request steps exceeds the maximum value of 20."
    assert (refused.status, refused.json()["error"]["message"]) == (400, message)
    assert len(batch(client, *items[1:])) == 20


def test_S1_the_id_of_an_item_keeps_its_letters(client: Client) -> None:
    name = client.tenant.new_id().upper()
    assert batch(client, item(name))[name]["status"] == 200
