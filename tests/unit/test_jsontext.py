"""Foreign JSON is kept to the character: only the members that are ours change (M1)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.machine import json_text

names = st.text(max_size=6) | st.sampled_from(["A", "B", "SECRET"])
spaces = st.text(alphabet=" \t\n\r", max_size=3)
numbers = st.sampled_from(
    ["1.0", "1.10", "-0", "1E5", "1e-7", "0.12345678901234567890123", "12345678901234567890123", "1e400", "9" * 5000]
)
strings = st.text(max_size=8).map(json.dumps) | st.text(max_size=8).map(lambda t: json.dumps(t, ensure_ascii=False))
strings = strings.filter(lambda text: text.isprintable())
strings |= st.sampled_from([r'"\u0041\/\ud83d"', r'"a\"b\\"', '"}"', '"{\\"A\\": 1,"'])


@st.composite
def values(draw: st.DrawFn, depth: int = 2) -> str:
    """A value, spelled in some way."""
    if depth and draw(st.booleans()):
        inner = draw(st.lists(values(depth - 1), max_size=3))
        if draw(st.booleans()):
            return "[" + draw(spaces) + ",".join(draw(spaces) + value + draw(spaces) for value in inner) + "]"
        pairs = [f"{draw(strings)}{draw(spaces)}:{draw(spaces)}{value}" for value in inner]
        return "{" + draw(spaces) + f",{draw(spaces)}".join(pairs) + draw(spaces) + "}"
    return draw(numbers | strings | st.sampled_from(["true", "false", "null"]))


@st.composite
def objects(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    """An object spelled in some way, and its members as they are spelled."""
    pairs = [(name, draw(values())) for name in draw(st.lists(names, max_size=5))]
    spelled = [(name, draw(st.sampled_from([json.dumps(name), json.dumps(name)])), value) for name, value in pairs]
    body = ",".join(f"{draw(spaces)}{key}{draw(spaces)}:{draw(spaces)}{v}{draw(spaces)}" for _, key, v in spelled)
    return draw(spaces) + "{" + (body or draw(spaces)) + "}" + draw(spaces), pairs


def pairs_of(text: str) -> list[tuple[str, str]]:
    """Names and the spelling of their values, by an independent way: Python's own reader keeps every number as text."""
    return [(m.name, text[m.value : m.end]) for m in json_text.members(text)]


def read(text: str) -> list[tuple[str, Any]]:
    """What Python's reader makes of it; numbers as they are spelled."""
    found: list[tuple[str, Any]] = json.loads(text, object_pairs_hook=list, parse_int=str, parse_float=str)
    return found


@given(objects())
def test_M1_every_member_is_found_where_it_stands(given: tuple[str, list[tuple[str, str]]]) -> None:
    text, pairs = given
    assert pairs_of(text) == pairs
    assert json_text.edit(text, {}) == text


@given(
    given=objects(),
    new=st.dictionaries(names, st.text(max_size=6), max_size=3),
    remove=st.lists(names, max_size=3),
)
def test_M1_foreign_members_are_kept_to_the_character(
    given: tuple[str, list[tuple[str, str]]], new: dict[str, str], remove: list[str]
) -> None:
    text, pairs = given
    after = json_text.edit(text, new, remove)
    assert [name for name, _ in read(after)] == [name for name, _ in pairs_of(after)], "it is JSON, and read alike"
    foreign = [(name, value) for name, value in pairs if name not in new and name not in remove]
    assert [pair for pair in pairs_of(after) if pair[0] not in new] == foreign
    result = dict(read(after))
    assert {name: result[name] for name in new} == new
    assert not set(result) & (set(remove) - set(new))
    if not set(remove) & set(new):
        assert json_text.edit(after, new, remove) == after, "a second time changes nothing"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"S": "x"}', '{"N": "1"}'),
        ('{"A": 1.0, "S": "x"}\n', '{"A": 1.0, "N": "1"}\n'),
        ('{\n\t"S" : "x",\n\t"A" : 1E5\n}\n', '{\n\t"A" : 1E5,\n\t"N" : "1"\n}\n'),
        ('{\r\n  "A": 1,\r\n  "S": "x"\r\n}', '{\r\n  "A": 1,\r\n  "N": "1"\r\n}'),
        ('{"S":"x","A":1,"A":2,"S":"y"}', '{"A":1,"A":2,"N":"1"}'),
        ("{}", '{\n  "N": "1"\n}'),
        ('{"N": "\\u0031", "S": 1}', '{"N": "\\u0031"}'),
    ],
)
def test_M1_how_a_text_looks_afterwards(before: str, after: str) -> None:
    assert json_text.edit(before, {"N": "1"}, ("S",)) == after


@pytest.mark.parametrize(
    "text",
    [
        '{"A": "the secret"}',
        '{"A": "it is the secret, you know"}',
        '{"A": [1, {"b": ["the secret"]}]}',
        '{"A": {"the secret": 1}}',
        r'{"A": "the\u0020secret"}',
        '{"A": "the secret", "A": 1}',
        '{"A": {"x": "the secret", "x": 1}}',
    ],
)
def test_M9_a_value_is_found_wherever_it_stands(text: str) -> None:
    assert json_text.where(text, lambda part: "the secret" in part) == ("A",)
    assert json_text.where(text, lambda part: "another" in part) == ()
