"""Explanations, and the reference that is made from them (P11, U5)."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from core import errors
from core.errors import SetupError, codes, explain

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("given", "id"),
    [
        ("keystore.insecure", "keystore.insecure"),
        (" Keystore.INSECURE ", "keystore.insecure"),
        ("AADSTS700027", "AADSTS700027"),
        ("aadsts700027:", "AADSTS700027"),
        ("AADSTS 700027", "AADSTS700027"),
        ("700027", "AADSTS700027"),
        ("Authorization_RequestDenied", "Authorization_RequestDenied"),
        ("authorization_requestdenied", "Authorization_RequestDenied"),
        ("ACTIVITYLIMITREACHED", "activityLimitReached"),
    ],
)
def test_P11_an_id_is_found_in_every_spelling(given: str, id: str) -> None:
    assert explain.find(given).id == id


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("keystore.insecur", "keystore.insecure"),
        ("7000225", "AADSTS7000229"),
        ("Authorization_RequestDenid", "Authorization_RequestDenied"),
        ("", "none"),
        ("AADSTS", "AADSTS"),
        ("{x}", "none"),
    ],
)
def test_U5_an_unknown_id_is_2_with_what_comes_closest(given: str, near: str) -> None:
    with pytest.raises(SetupError) as caught:
        explain.find(given)
    assert (caught.value.id, caught.value.exit_code) == ("usage.unknown-id", 2)
    assert near in caught.value.remedy
    assert f"'{given}'" in caught.value.summary


def test_P11_everything_is_explained_once() -> None:
    listed = [entry.id for entries in explain.groups().values() for entry in entries]
    assert sorted(listed) == sorted([*errors.table(), *(row.name for row in codes.table().values())])
    assert len({entry.docs for entry in explain.table().values()}) == len(listed)


@pytest.mark.parametrize("entry", explain.table().values(), ids=lambda entry: entry.id)
def test_U5_an_explanation_says_something_without_an_error_at_hand(entry: explain.Explanation) -> None:
    for text in (entry.meaning, entry.remedy):
        assert "{" not in text
        assert len(re.findall(r"[A-Za-z]{2,}", re.sub(r"<[^>]*>", "", text))) >= 2, f"only placeholders: {text!r}"


def test_placeholders_are_readable() -> None:
    assert explain.find("app.missing").meaning == "There is no app registration <app id> in tenant <tenant>."
    assert explain.find("usage.not-a-guid").meaning == "<name> is not a GUID: <value>."
    assert explain.find("az.signed-out").remedy == "Run: az login --tenant <tenant>"


def test_P11_the_reference_is_fresh() -> None:
    rendered = runpy.run_path(str(DOCS / "generate.py"))["render"]()
    assert (DOCS / "reference" / "errors.md").read_text(encoding="utf-8") == rendered, "run 'make docs'"


def test_P11_every_docs_anchor_is_there() -> None:
    page = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    anchors = set(re.findall(r'<a id="([^"]+)"></a>', page))
    for entry in explain.table().values():
        file, _, anchor = entry.docs.partition("#")
        assert file == "docs/reference/errors.md"
        assert anchor in anchors
    assert page.count("\n| <a id=") == len(explain.table()), "a row is one line"
