"""Values that must never be shown, and the one redactor that every sink uses (P4, D4).

A `Secret` never prints itself. Creating one also teaches the redactor its value in every spelling in which it could
reach a sink, so that a log line, a traceback or a recorded event that quotes it by accident is cleaned.
"""

from __future__ import annotations

import base64
import ctypes
import hmac
import json
import re
import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn, final
from urllib.parse import quote, quote_plus

#: Anything shorter would blank out ordinary words when it is used for exact-value redaction.
SHORTEST: Final = 8

# An Entra client secret: three characters, a digit, "Q~", then the rest (40 characters usual). There is no look at what
# stands around it: a full stop after it, or the n of an escaped line break before it, must not hide it.
ENTRA_SECRET: Final = re.compile(r"[\w~.-]{3}\dQ~[\w~.-]{31,}")
_HALF: Final = re.compile("[\ud800-\udfff]")
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.S)
#: What each is replaced by, and a text that every match has: a look for that takes a twentieth of the time.
_PATTERNS: Final = (
    ("[redacted client secret]", "Q~", ENTRA_SECRET),
    ("[redacted token]", "eyJ", re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?")),
    (
        "[redacted private key]",
        "-----BEGIN ",
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S),
    ),
    # what a URL-encoded or JSON spelling of a request would carry
    (
        "[redacted]",
        "=",
        re.compile(
            r"(?i)(?<=client_secret=)[^&\s\"']+|(?<=client_assertion=)[^&\s\"']+|(?<=refresh_token=)[^&\s\"']+"
            r"|(?<=device_code=)[^&\s\"']+"
        ),
    ),
    ("[redacted]", '":', re.compile(r"(?i)(?<=\"secretText\": \")[^\"]+|(?<=\"secretText\":\")[^\"]+")),
)
#: How many texts are kept in which nothing was found, and their longest: names and titles come again and again.
_CLEAN: Final = (2000, 200)


@final
class Secret:
    """A string that only `reveal()` hands out.

    It has no useful `repr`, `str` or `format`, cannot be pickled or copied into JSON, and compares in constant time.

    :param value: the secret itself.
    :param learn: False for random test data, which need not be recognised later.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str, *, learn: bool = True) -> None:
        self.__value = value
        if learn:
            redactor.learn(value)

    def reveal(self) -> str:
        """The value. Only what sends, stores or parses it calls this: `tests/unit/test_revealed.py` lists where."""
        return self.__value

    @property
    def hint(self) -> str:
        """The first three characters, by which Entra, too, tells one client secret from another."""
        return self.__value[:3]

    def occurs_in(self, text: str) -> bool:
        """Whether a text holds the value."""
        return bool(self.__value) and self.__value in text

    def begins(self, start: str | Secret) -> bool:
        """Whether the value begins like that."""
        return self.__value.startswith(start.__value if isinstance(start, Secret) else start)

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._bytes(), other._bytes())

    def __hash__(self) -> int:
        return id(self)

    def _bytes(self) -> bytes:
        return self.__value.encode("utf-8", "surrogatepass")

    def __len__(self) -> int:
        return len(self.__value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


class Redactor:
    """Removes secrets from text: known values exactly, unknown ones by shape.

    Known values are also found percent-encoded, JSON-escaped and in base64.
    """

    def __init__(self) -> None:
        self._known: list[str] = []  # longest first, so that no part of one is left behind another
        self._learnt: frozenset[str] = frozenset()
        self._clean: set[str] = set()  # of what is known now: whoever learns a value begins another

    def learn(self, value: str) -> None:
        """Remember a value that must not appear anywhere from now on; one that is known costs nothing."""
        if value in self._learnt:
            return
        self._learnt |= {value}
        raw = value.encode("utf-8", "surrogatepass")  # JSON can hold half a character
        spellings = {
            value,
            *_lines(value),
            quote(raw, safe=""),
            quote_plus(raw),
            json.dumps(value)[1:-1],
            base64.b64encode(raw).decode().rstrip("="),
            base64.urlsafe_b64encode(raw).decode().rstrip("="),
        }
        fresh = {spelling for spelling in spellings if len(spelling) >= SHORTEST}
        if not fresh <= set(self._known):
            self._known = sorted(fresh | set(self._known), key=len, reverse=True)
            self._clean = set()

    def redact(self, text: str) -> str:
        """The text without secrets; idempotent.

        :param text: anything about to leave the process.
        """
        clean, given = self._clean, text  # taken before the values: what is known has grown at most since
        if text in clean:
            return text
        for value in self._known:
            if value in text:
                text = text.replace(value, "[redacted]")
        for instead, mark, pattern in _PATTERNS:
            if mark in text:
                text = pattern.sub(instead, text)
        most, longest = _CLEAN
        if text == given and len(text) <= longest and len(clean) < most:
            clean.add(text)
        return text

    def finds(self, text: str) -> bool:
        """Whether the text holds something that `redact` would remove."""
        return self.redact(text) != text


def _lines(value: str) -> list[str]:
    """The lines that a key may be quoted by. A certificate is public, and so is what a key shares with its own: the
    modulus, which a request for an administrator holds within the certificate.
    """
    public = b"".join(_decoded("".join(found.splitlines()[1:-1])) for found in _CERTIFICATE.findall(value))
    lines = [line for line in _CERTIFICATE.sub("", value).splitlines() if "-----" not in line]
    return [line for line in lines if not (public and _decoded(line) in public)]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except ValueError:
        return b"no base64"


redactor: Final = Redactor()


def redacted(value: Any) -> Any:
    """The same structure with every text redacted: a text that holds half a key must not swallow the rest of a line.

    What is no Unicode, such as a path that is not UTF-8, is escaped: half a character is no text for other programs.
    """
    return mapped(value, lambda text: _whole(redactor.redact(text)))


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """The same structure of JSON with every text changed, the names of members included."""
    match value:
        case str():
            return change(value)
        case dict():
            return {change(str(key)): mapped(item, change) for key, item in value.items()}
        case list() | tuple():
            return [mapped(item, change) for item in value]
        case _:
            return value


def _whole(text: str) -> str:
    if text.isascii() or not _HALF.search(text):
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # not from a path
        return text.encode("utf-8", "backslashreplace").decode()


def looks_secret(value: str) -> bool:
    """Whether a value has the shape of a client secret, token or private key, or is a known secret.

    :param value: what is about to be written to a file.
    """
    return redactor.finds(value)


def forbid_core_dumps() -> None:
    """Keep the memory of this process out of core files and away from other processes of the same user (P4).

    On Linux the process also becomes undumpable, which covers core handlers that are fed through a pipe and ignore
    the size limit. Children are not affected. Windows has no switch that a program can set for itself.
    """
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        pr_set_dumpable = 4
        ctypes.CDLL(None).prctl(pr_set_dumpable, 0, 0, 0, 0)
