"""Names and free texts of others, as a person may see them (P12, U6)."""

from __future__ import annotations

# ruff: noqa: RUF001
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.display import SHORT, hidden, oddities, one_line, quoted, skeleton, visible
from tests.machine import PROFILE

OURS = PROFILE.app_display_name


@pytest.mark.parametrize(
    "character",
    "\x00\x07\x1b\x7f\x9b\u00ad\u034f\u061c\u115f\u180e\u200b\u200f\u2028\u202e\u2060\u2066\u2800\u3164\ufe0f\ufeff"
    "\ufff9\uffa0\ud800\ue000\U000e0041\U000e0100",
)  # fmt: skip
def test_U6_every_hidden_character_is_in_the_one_list(character: str) -> None:
    assert hidden(character)
    assert visible(f"a{character}b") == one_line(f"a{character}b") == "a?b"
    assert quoted(f"a{character}b") in ("'a?b'", "'a b'")  # a separator of lines is a space
    assert "holds hidden characters" in oddities(f"a{character}b", OURS)


@given(st.text())
def test_U6_what_is_shown_hides_nothing_and_keeps_everything_else(text: str) -> None:
    shown = visible(text)
    assert len(shown) == len(text)
    assert not any(hidden(character) for character in shown if character != "\n")
    assert visible(shown) == shown
    assert all(new == old for new, old in zip(shown, text, strict=True) if old == "\n" or not hidden(old))
    assert "\n" not in one_line(text)


@given(st.text(max_size=300), st.integers(min_value=2, max_value=100))
def test_P12_a_free_text_is_one_short_quotation_that_it_cannot_end(text: str, most: int) -> None:
    shown = quoted(text, most)
    assert shown[0] == shown[-1] == "'"
    assert shown.count("'") == 2
    assert len(shown) <= most + 2
    assert "  " not in shown
    assert not any(map(hidden, shown))


def test_P12_a_cut_is_visible() -> None:
    assert quoted("x" * 200) == f"'{'x' * (SHORT - 1)}…'"
    assert quoted(" a\r\n \t b ") == "'a b'"
    assert quoted("laptop' is fine. App 'x") == "'laptop\u2019 is fine. App \u2019x'"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("EntraClaw Agent ID Provisi\u043ener", "U+043E CYRILLIC SMALL LETTER O"),
        ("\u0395ntraClaw Agent ID Provisioner", "Greek and Latin"),
        ("EntraClaw Agent ID Provisiοner", f"looks like '{OURS}' and is another name"),
        ("EntraC1aw Agent lD Provisioner", f"looks like '{OURS}' and is another name"),
        ("EntraClaw  Agent ID Provisioner", f"looks like '{OURS}' and is another name"),
        ("entraclaw agent id provisioner", f"looks like '{OURS}' and is another name"),
        ("\uff25ntraClaw Agent ID Provisioner", "variants of letters"),
        ("𝐄ntraClaw Agent ID Provisioner", "variants of letters"),
        ("EntraClaw\u200b Agent ID Provisioner", "hidden characters"),
        ("Microsoft Intune", "an app of Microsoft's own"),
        ("Mіcrosoft Intune", "an app of Microsoft's own"),
        ("lntune", "an app of Microsoft's own"),
        ("МІСRОЅОFТ Graph", "an app of Microsoft's own"),
        ("Azure CLI", "an app of Microsoft's own"),
    ],
)
def test_P12_look_alikes_are_named(name: str, part: str) -> None:
    assert part in "; ".join(oddities(name, OURS))


@pytest.mark.parametrize(
    "name", [OURS, "Payroll", "Gehälter Übersicht", "Проект Alpha", "人事 Portal", "Λογιστήριο", "Teams of teams"]
)
def test_P12_an_ordinary_name_is_not_odd(name: str) -> None:
    assert oddities(name, OURS) == []


@given(st.text())
def test_P12_the_look_of_a_text_is_stable(text: str) -> None:
    assert skeleton(text) == skeleton(unicodedata.normalize("NFKC", text))
    assert oddities(text, text) == []
