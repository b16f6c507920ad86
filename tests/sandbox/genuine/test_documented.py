"""Microsoft's request examples are answered as its documentation and its schema say, or a table says why not (S2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import requests

from core.sandbox.lab import Lab
from tests.sandbox.genuine import replay, shapes, table
from tests.sandbox.genuine.pages import Example, examples
from tests.sandbox.genuine.world import World

EXPLAINED = table.rows()


@pytest.fixture
def world(start_lab: Callable[[str], Lab]) -> Iterator[World]:
    lab = start_lab("office")
    with requests.Session() as session:
        session.verify, session.trust_env = str(lab.ca), False
        yield World(lab, session)


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.id.replace(" ", "-"))
def test_S2_an_example_is_answered_as_documented_or_a_row_says_why_not(world: World, example: Example) -> None:
    explained = {text for text, named in table.pairs(EXPLAINED) if named == example.id}
    found = set(replay.deviations(world, example))
    assert not found - explained, f"{table.PAGE.name} does not explain this ({example.page})"
    assert not explained - found, f"{table.PAGE.name} explains what is not so any more"


def test_S2_the_table_is_about_the_examples_and_gives_reasons() -> None:
    known = {example.id for example in examples()}
    named = [pair for row in EXPLAINED for pair in table.pairs([row])]
    assert {example for _, example in named} <= known
    assert [pair for pair, times in Counter(named).items() if times > 1] == []
    assert [row for row in EXPLAINED if len(row.reason.split()) < 3] == []
    differing = {example for _, example in named}
    assert table.counts() == (len(known), len(known) - len(differing))


def test_S2_the_examples_are_told_apart_and_speak_of_types_of_the_schema() -> None:
    assert len({example.id for example in examples()}) == len(examples()) >= 57
    assert all(shapes.members(example.type) for example in examples() if example.type)


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        ({"tags": None}, "tags is no list"),
        ({"tags": [None]}, "tags holds null"),
        ({"isDisabled": "false"}, "isDisabled is no Boolean"),
        ({"createdDateTime": "2026-01-01"}, "createdDateTime is no DateTimeOffset"),
        ({"tokenEncryptionKeyId": "x"}, "tokenEncryptionKeyId is no Guid"),
        ({"api": {"requestedAccessTokenVersion": True}}, "api/requestedAccessTokenVersion is no Int"),
        ({"web": []}, "web is no webApplication"),
        ({"weather": "fine"}, "weather, which the schema does not have"),
        ({"@odata.type": "#microsoft.graph.agentIdentity", "agentIdentityBlueprintId": 1}, "is no String"),
        ({"displayName": "x", "keyCredentials": [{"keyId": None}], "notes@odata.x": 1}, ""),
    ],
)
def test_S2_what_is_not_of_its_type_is_found(value: dict[str, object], flaw: str) -> None:
    found = list(shapes.flaws(value, "application"))
    assert (len(found) == 1 and found[0].endswith(flaw)) if flaw else found == []


@pytest.mark.parametrize(
    ("documented", "actual", "found"),
    [
        ({"a": None, "b": "s"}, {"a": 1, "b": None, "c": 2}, []),
        ({"a": {"b": [{"c": 0}]}}, {"a": {"b": [{"c": 1.5}, {}]}}, ["no a/b/c"]),
        ({"a": True}, {"a": "true"}, ["a is a text, documented as a flag"]),
        ({"a": [0]}, {"a": {}}, ["a is an object, documented as a list"]),
        ({"value": ["s"]}, {"value": []}, ["value is empty"]),
        ({"value": []}, {"value": ["s"]}, []),
        (893, "x", ["the body is a text, documented as a number"]),
        (
            {"@odata.context": "https://a/$metadata#users", "@odata.type": "#microsoft.graph.user"},
            {"@odata.context": "https://b/$metadata#users/$entity", "@odata.type": "user"},
            ["@odata.context `users/$entity`, documented as `users`"],
        ),
    ],
)
def test_S2_what_is_not_as_its_page_says_is_found(documented: object, actual: object, found: list[str]) -> None:
    assert list(replay.differences(documented, actual)) == found
