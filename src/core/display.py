"""Texts of others (names in a tenant, members of a request, paths) as a person may see them (P12, U6).

Whoever may name an app may try to be read as somebody else. So this is the one list of characters that hide or reorder
text, and the one check for letters that look like others. The check is by scripts and a short table: it knows the
look-alikes of Latin letters in Cyrillic, Greek and Armenian, and everything that Unicode itself folds (NFKC). It does
not know fonts.
"""

from __future__ import annotations

# ruff: noqa: RUF001  look-alikes are its subject
import re
import unicodedata
from functools import cache
from typing import Final

#: Controls, formats, private characters, halves of characters, separators of lines.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
#: Letters and marks that show nothing, and what is ignored although it is not assigned: joiners, fillers, selectors.
_BLANK: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U0001d159\U000e0000-\U000e0fff]"
)
#: What looks like a Latin letter: capitals, before case is folded, and what is left after accents are gone, too.
_CAPITALS: Final = str.maketrans("АВЕЅІЈКМНОРСТХУΑΒΕΖΗΙΚΜΝΟΡΤΥΧՕՍ", "abesijkmhopctxyabezhikmnoptyxou")
_LETTERS: Final = str.maketrans(
    "авеԍһіјкӏмноԛрсѕтѵԝхуαεηικνορτυχϲϳօսոհցզıiɡɑ01|",
    "abeghljklmhoqpcstvwxyaenlkvoptuxcjounhgqllgaoll",
)
#: Scripts of which one word has one: nobody writes two of them in a word but to be taken for somebody else.
_SCRIPTS: Final = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "GEORGIAN"})
#: Characters of a free text that are shown.
SHORT: Final = 80


def hidden(character: str) -> bool:
    """Whether a character shows nothing, or acts on what is around it."""
    return unicodedata.category(character) in _UNSEEN or bool(_BLANK.match(character))


def visible(text: str, keep: str = "\n") -> str:
    """The text with a question mark for each hidden character.

    :param keep: hidden characters that stay.
    """
    if text.isprintable() and not _BLANK.search(text):
        return text
    return "".join("?" if character not in keep and hidden(character) else character for character in text)


def one_line(text: object) -> str:
    """What others named, in one line: a line break in it would look like a row of ours wherever it is shown."""
    return visible(str(text or ""), keep="")


def short(text: str, most: int = SHORT) -> str:
    """A free text in one line, runs of spaces collapsed, and cut visibly.

    :param most: characters that stay of it.
    """
    told = one_line(" ".join(text.split()))
    return told if len(told) <= most else f"{told[: most - 1]}…"


def quoted(text: str, most: int = SHORT) -> str:
    """A free text as `short` gives it, in quotation marks that it cannot end itself."""
    return "'" + short(text, most).replace("'", "\u2019") + "'"


def skeleton(text: str) -> str:
    """What a reader takes a text for: letters and digits alone, without case, accents and look-alikes."""
    folded = unicodedata.normalize("NFKC", text).translate(_CAPITALS).casefold()
    bare = (character for character in unicodedata.normalize("NFD", folded) if not unicodedata.combining(character))
    plain = "".join(bare).translate(_LETTERS)
    return "".join(character for character in plain if character.isalnum()).replace("rn", "m").replace("vv", "w")


def oddities(name: str, expected: str) -> list[str]:
    """What about a name may mislead whoever reads it, each in words that follow "it".

    :param name: what somebody else chose.
    :param expected: what it would be if all were well.
    """
    if name == expected:
        return []
    odd = []
    if any(map(hidden, name)):
        odd.append("holds hidden characters")
    if unicodedata.normalize("NFKC", name) != unicodedata.normalize("NFC", name):
        odd.append(f"is written with variants of letters, for {quoted(unicodedata.normalize('NFKC', name))}")
    if mixed := sorted({script for word in name.split() if len(found := _scripts(word)) > 1 for script in found}):
        strange = [c for c in dict.fromkeys(name) if _script(c) in _SCRIPTS - {"LATIN"}] if "LATIN" in mixed else []
        listed = ", ".join(f"U+{ord(c):04X} {unicodedata.name(c)}" for c in strange[:3])
        odd.append(f"mixes {' and '.join(s.capitalize() for s in mixed)} letters{f' ({listed})' if listed else ''}")
    if skeleton(name) == skeleton(expected):
        odd.append(f"looks like {quoted(expected)} and is another name")
    elif skeleton(name).startswith(_microsoft()):
        odd.append("looks like the name of an app of Microsoft's own")
    return odd


def _scripts(word: str) -> set[str]:
    return {script for character in word if (script := _script(character)) in _SCRIPTS}


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0] if character.isalpha() else ""


@cache
def _microsoft() -> tuple[str, ...]:
    """How the names of Microsoft's own apps begin."""
    names = ("Microsoft", "Azure", "Office 365", "Windows", "Intune", "SharePoint", "Exchange", "Outlook", "OneDrive")
    return tuple(map(skeleton, names))
