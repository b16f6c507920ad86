"""Every citation in sources, tests and pages leads somewhere (Q3).

Cited are requirements, `(P1, M5)` or a range; decisions, by `ADR-` and four digits; sections of
docs/reference/entra-protocol.md and rows of their tables; and files and headings, by links and by paths below docs.
What reads as one of these and leads nowhere is red. T1, T2 and T3 are also the tokens of the three hops.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SUFFIXES: Final = {".py", ".md", ".toml", ".sh", ".c", ".tcss", ".html"}
REQUIREMENTS: Final = "docs/reference/requirements.md"
PROTOCOL: Final = "docs/reference/entra-protocol.md"
STATE: Final = re.compile(r"kept|planned(: .+)?|partly: .+")

BRACKET: Final = re.compile(r"(?<!\w)\(([^()]*)\)")
#: An id of a requirement as a word of its own, or a range of them.
REQUIREMENT: Final = re.compile(
    r"(?<![\w./+=$#-])([PMKTADUSCQ])(\d{1,3})(?:[-\u2013]([A-Z]?)(\d{1,3}))?(?![\w/+=-]|\.\w)"
)
#: What stands between commas of a bracket, and is meant as an id.
MEANT: Final = re.compile(r"[A-Z]{1,2}[ .-]?\d{1,3}[a-z]?|[a-z]\d{1,2}")
ID: Final = re.compile(r"[PMKTADUSCQ]\d{1,2}")
DECISION: Final = re.compile(r"\bADR[-\u2013_ ]?(\d+)")
SECTION: Final = re.compile(r"(?:entra-protocol ([A-Z](?:\.\d+)?)|(?<![\w.])([A-I]\.\d{1,2})(?![\w.%]))(?![\w-])")
#: What follows a section: rows of its table, or more chapters.
ROWS: Final = re.compile(
    r"(?:( rows?)\b|,(?= \d+[-\u2013]?\d*(?:[,;)]| and )))((?:(?:,| and)? \d+(?:[-\u2013]\d+)?(?![\w.]))*)"
)
CHAPTERS: Final = re.compile(r"(?:(?:, | and )[A-Z](?![\w.]))+")
PATH: Final = re.compile(r"(?<![\w/])docs/[\w./-]+\.(?:md|toml|py)(?:#[\w-]+)?")
LINK: Final = re.compile(r"\]\(([^()\s]+)\)")
CODE: Final = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
NAME: Final = re.compile(r"(?<=test)(?:_[A-Z]\d+)+(?=_|\b)")


@dataclass(frozen=True)
class Books:
    """What can be cited.

    :ivar requirements: state of each requirement, by its id.
    :ivar decisions: numbers of the decision records.
    :ivar sections: sections of the protocol page, each with the rows that its tables number.
    """

    requirements: dict[str, str]
    decisions: frozenset[str]
    sections: dict[str, frozenset[int]]


@cache
def books() -> Books:
    """Read from the pages."""
    rows = re.findall(r"^\| ([A-Z]\d+) \|.*\| ([^|]+) \|$", (ROOT / REQUIREMENTS).read_text("utf-8"), re.MULTILINE)
    assert len(rows) == len(dict(rows)), "an id has two rows"
    parts = re.split(r"^#+ ([A-Z](?:\.\d+)?)\.? .*$", (ROOT / PROTOCOL).read_text("utf-8"), flags=re.MULTILINE)[1:]
    return Books(
        dict(rows),
        frozenset(path.name[:4] for path in (ROOT / "docs/adr").glob("[0-9]*.md")),
        {
            label: frozenset(int(row) for row in re.findall(r"^\| (\d+) \|", text, re.MULTILINE))
            for label, text in zip(parts[::2], parts[1::2], strict=True)
        },
    )


def requirements(text: str) -> Iterator[str]:
    """Ids of the requirements that a text cites, ranges spelt out; a range that is none, as it stands."""
    for found in REQUIREMENT.finditer(text):
        letter, first, other, last = found.groups()
        if last is None:
            yield letter + first
        elif other in ("", letter) and int(first) < int(last):
            yield from (f"{letter}{number}" for number in range(int(first), int(last) + 1))
        else:
            yield found[0]


def bracketed(text: str) -> Iterator[str]:
    """What brackets hold in the place of an id and is none.

    Small letters count only beside an id; what other rules see is left to them.
    """
    for bracket in BRACKET.findall(text):
        words = [word.strip(" …") for word in re.split(r"[,;]| and ", " ".join(bracket.split()))]
        cites = any(ID.fullmatch(word) for word in words)
        for word in words:
            if MEANT.fullmatch(word) and not REQUIREMENT.fullmatch(word) and not SECTION.fullmatch(word):
                if cites or (word[0].isupper() and len(words) == 1):
                    yield word
            elif cites and re.fullmatch(rf"{ID.pattern}(?:[ /.+]{ID.pattern})+", word):
                yield word


def sections(text: str) -> Iterator[str]:
    """Sections and rows of the protocol page that a text cites and that are not there."""
    known = books().sections
    flat = " ".join(text.split())
    for found in SECTION.finditer(flat):
        label, rest = found[1] or found[2], flat[found.end() :]
        rows, others = ROWS.match(rest), CHAPTERS.match(rest) if found[1] else None
        if label not in known:
            yield label
        elif rows and not (rows[1] and rows[2]):  # numbers without the word, or the word without a number
            yield label + rows[0]
        elif rows:
            for first, last in re.findall(r"(\d+)(?:[-\u2013](\d+))?", rows[2]):
                wanted = range(int(first), int(last or first) + 1)
                if not wanted or not known[label].issuperset(wanted):
                    yield f"{label} row {first}"
        yield from (word for word in re.findall(r"[A-Z]", others[0] if others else "") if word not in known)


def unresolved(text: str) -> list[str]:
    """What a text cites and what is not there."""
    known = books()
    wrong = [word for word in requirements(text) if word not in known.requirements]
    wrong += bracketed(text)
    wrong += [
        found[0]
        for found in DECISION.finditer(text)
        if found[0] != f"ADR-{found[1]}" or found[1] not in known.decisions
    ]
    wrong += sections(text)
    wrong += [found[0] for found in PATH.finditer(text) if not there(ROOT / found[0])]
    return wrong


@cache
def anchors(page: Path) -> frozenset[str]:
    """What a link may name in a page: its headings, as GitHub spells them, and ids."""
    text = page.read_text("utf-8")
    bare: list[str] = []
    for heading in re.findall(r"^#+ (.+?)\s*$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()).replace(" ", "-")
        bare.append(slug)
    slugs = [slug + f"-{bare[:n].count(slug)}" * (slug in bare[:n]) for n, slug in enumerate(bare)]
    return frozenset([*slugs, *re.findall(r'<a id="([^"]+)">', text)])


def there(target: Path) -> bool:
    """Whether a file is there, and in it what stands behind `#`."""
    name, _, anchor = str(target).partition("#")
    return Path(name).exists() and (not anchor or anchor in anchors(Path(name)))


def broken(page: Path, text: str) -> list[str]:
    """Links of a page that lead nowhere."""
    targets = [link for link in LINK.findall(CODE.sub("", text)) if not re.match(r"[a-z]+:", link)]
    return [link for link in targets if not there(Path(f"{page}{link}" if link[0] == "#" else page.parent / link))]


def prose(path: Path) -> str:
    """What a person reads in a file: of Python comments, docstrings and what assertions say; else all of it."""
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        return text
    parts = re.findall(r"(?:^|[ \t])#:?[ \t](.*)$", text, re.MULTILINE)
    for node in ast.walk(ast.parse(text)):
        said = node.value if isinstance(node, ast.Expr) else node.msg if isinstance(node, ast.Assert) else None
        if isinstance(said, ast.Constant) and isinstance(said.value, str):
            parts.append(said.value)
    return re.sub(r"noqa: [A-Z]+\d+(?:, [A-Z]+\d+)*", "", "\n".join(parts))


def files(*folders: str) -> list[Path]:
    """Everything written by hand below these folders."""
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*") if p.suffix in SUFFIXES and p.is_file())


PAGES: Final = [*ROOT.glob("*.md"), *files("docs"), ROOT / "screenshots/README.md"]


def test_Q3_every_citation_resolves() -> None:
    wrong = {str(path.relative_to(ROOT)): unresolved(prose(path)) for path in [*files("src", "tests"), *PAGES]}
    assert not {path: words for path, words in wrong.items() if words}


def test_Q3_every_link_between_pages_resolves() -> None:
    pages = [page for page in PAGES if page.suffix == ".md"]
    wrong = {str(page.relative_to(ROOT)): broken(page, page.read_text("utf-8")) for page in pages}
    assert not {page: links for page, links in wrong.items() if links}


def test_Q3_the_name_of_a_test_cites_what_is_there() -> None:
    known = books().requirements.keys() | {f"G{row}" for row in books().sections["G"]}
    for path in files("tests"):
        for name in NAME.findall(path.read_text("utf-8")):
            assert set(name[1:].split("_")) <= known, f"{path.name}: test{name}_…"


def test_Q3_what_is_kept_is_cited_by_a_test() -> None:
    cited: set[str] = set()
    for path in files("tests"):
        names = NAME.findall(path.read_text("utf-8"))
        cited.update(requirements(prose(path)), *(name[1:].split("_") for name in names))
    states = books().requirements
    assert {state for state in states.values() if not STATE.fullmatch(state)} == set()
    assert {word for word, state in states.items() if state == "kept"} <= cited


@pytest.mark.parametrize(
    "text",
    [
        "one (P1)",
        "several (P1, M5), (P4, M5, K1 …), (M1, M8, D4)",
        "wrapped (P1,\n    M5)",
        "in a sentence: the order of M4, all or nothing as in M5; P8 and P9; P8: no ETag",
        "ranges (S1-S3), (U1-U3, U6-U8), P7\u2013P11, P7-11",
        "a decision (P1, ADR-0004)",
        "sections (entra-protocol A.2 rows 25 and 29), (entra-protocol A.2 rows 14-19, A.4), (A.2 rows 6, 13; A.5)",
        "lists of rows (A.2 rows 28, 29), (entra-protocol A.2 rows 11-13, A.4)",
        "chapters (entra-protocol A, B), (entra-protocol C, A.7), (M15, S2; entra-protocol B.7, A.2 row 28), (D.1-D.4)",
        'other things (GD "JSON batching"), (RFC 7523, D.2), v1.0, (v2), (x86), 80x24, P-256, (T1 of a Blueprint)',
        "docs/reference/requirements.md#words",
    ],
)
def test_Q3_what_is_spelt_well_resolves(text: str) -> None:
    assert unresolved(text) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("(P16)", "P16"),
        ("as in M77", "M77"),
        ("(P1, M55)", "M55"),
        ("(Z9)", "Z9"),
        ("(PM1)", "PM1"),
        ("(P 7)", "P 7"),
        ("(P-7)", "P-7"),
        ("(P1, m5)", "m5"),
        ("(P1, P7a)", "P7a"),
        ("(P1, M5 K1)", "M5 K1"),
        ("(S3-S1)", "S3-S1"),
        ("(S1-U3)", "S1-U3"),
        ("(S3-S9)", "S9"),
        ("P7\u2013P99", "P99"),
        ("(ADR-0099)", "ADR-0099"),
        ("ADR-2", "ADR-2"),
        ("(P1, ADR 0004)", "ADR 0004"),
        ("(entra-protocol A.9)", "A.9"),
        ("(entra-protocol Z)", "Z"),
        ("(entra-protocol A, Z)", "Z"),
        ("(P1; B.12)", "B.12"),
        ("(entra-protocol A.2 row 40)", "A.2 row 40"),
        ("(entra-protocol A.2 rows 26 and 99)", "A.2 row 99"),
        ("(entra-protocol A.2 rows 19-14)", "A.2 row 19"),
        ("(entra-protocol A.2 rows many)", "A.2 rows"),
        ("(entra-protocol A.2, 14-25)", "A.2, 14-25"),
        ("(entra-protocol A.4 row 1)", "A.4 row 1"),
        ("docs/reference/nowhere.md", "docs/reference/nowhere.md"),
        ("docs/reference/requirements.md#nowhere", "docs/reference/requirements.md#nowhere"),
    ],
)
def test_Q3_what_is_misspelt_is_named(text: str, wrong: str) -> None:
    assert wrong in unresolved(text)


def test_Q3_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One *two*: `three`\n## Same\n## Same\n## Same\n```\n# No heading\n```\n", encoding="utf-8")
    good = "[a](page.md) [b](page.md#one-two-three) [c](#same-2) [d](https://example.com/x#y) `[e](no.md)`"
    assert broken(page, good) == []
    bad = "[a](other.md) [b](page.md#two) [c](#same-3) ![d](none.svg) [e](#no-heading)"
    assert broken(page, bad) == ["other.md", "page.md#two", "#same-3", "none.svg", "#no-heading"]
