"""Codes of the service: what they mean and what to do, and how they are read from an answer (P11).

The rows are data (codes.toml): AADSTS codes of the token endpoint, and codes of Microsoft Graph.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final, Literal

from core import tables
from core.errors.exit_codes import ExitCode

#: Codes that say so little that any code next to them says more.
_VAGUE: Final = frozenset({"request_badrequest", "badrequest", "unknown"})
_LONGEST: Final = 600
_GUID: Final = r"([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"
_TRACE: Final = re.compile(rf"\s*Trace ID:\s*{_GUID}", re.I)
_CORRELATION: Final = re.compile(rf"\s*Correlation ID:\s*{_GUID}", re.I)
#: What az adds to the command that it recommends, where the service wants more to be proven.
CLAIMS: Final = re.compile(r'--claims-challenge "?([A-Za-z0-9+/=]+)"?')
_TIMESTAMP: Final = re.compile(r"\s*Timestamp:\s*(\d{4}-\d\d-\d\d)[\sT]+(\d\d:\d\d:\d\d(?:\.\d+)?Z?)", re.I)


Service = Literal["AADSTS", "Graph"]


@dataclass(frozen=True)
class Code:
    """A code of the service.

    :param name: as the service spells it, for example `AADSTS700027`.
    :param remedy: a format string over the details of the error that carries the code.
    :param exit: the exit code of the process if nothing else happens.
    :param rights: whether it says that a permission or a role is missing, which another person may have (P12).
    :param vague: whether it is given for many causes, among them an object that has not arrived everywhere yet (P7).
    """

    service: Service
    name: str
    meaning: str
    remedy: str
    exit: ExitCode
    rights: bool = False
    vague: bool = False


@cache
def table() -> Mapping[str, Code]:
    """The rows of codes.toml by their name in lower case."""
    data = tables.read("errors/codes")
    rows: dict[str, Code] = {}
    services: tuple[tuple[Service, str], ...] = (("AADSTS", "AADSTS"), ("Graph", ""))
    for service, start in services:
        for group in data[service.lower()]:
            rest = (group["remedy"], ExitCode(group["exit"]), bool(group.get("rights")), bool(group.get("vague")))
            for name, meaning in group["meaning"].items():
                rows[f"{start}{name}".lower()] = Code(service, f"{start}{name}", meaning, *rest)
    return rows


def of_token(*numbers: int) -> Code | None:
    """The first of these AADSTS codes that is known."""
    return next((row for number in numbers if (row := table().get(f"aadsts{number}"))), None)


def of_graph(*names: str) -> Code | None:
    """The most telling of these Graph codes that is known: a vague one only when no other is.

    :param names: `error.code` first, then the codes inside it.
    """
    lower = sorted((name.lower() for name in names), key=lambda name: name in _VAGUE)
    return next((row for name in lower if (row := table().get(name)) and row.service == "Graph"), None)


@dataclass(frozen=True)
class Refusal:
    """What the token endpoint said, in parts (entra-protocol D.1). A part that is missing is empty.

    :param codes: AADSTS numbers in the order of the text, each once.
    :param text: the sentence, without what follows.
    """

    codes: tuple[int, ...]
    text: str
    trace_id: str = ""
    correlation_id: str = ""
    timestamp: str = ""

    def __str__(self) -> str:
        """One line with everything; only a very long sentence is cut, and never what support asks for."""
        parts = [self.text if len(self.text) <= _LONGEST else f"{self.text[:_LONGEST]}…"]
        named = {"Trace ID": self.trace_id, "Correlation ID": self.correlation_id, "Timestamp": self.timestamp}
        return " ".join([*parts, *(f"{name}: {value}" for name, value in named.items() if value)])

    def named(self, *, but: str = "") -> str:
        """The first id in the sentence: mostly that of the app which it is about; empty when there is none.

        :param but: an id that is not meant.
        """
        return next((found for found in re.findall(_GUID, self.text) if found.lower() != but.lower()), "")

    def as_dict(self) -> dict[str, Any]:
        """The parts without the sentence, for the result object of --json."""
        return {name: value for name, value in asdict(self).items() if name != "text"} | {"codes": list(self.codes)}


def read(text: str) -> Refusal:
    """Take an `error_description` apart, however a library or a program has wrapped it.

    :param text: its parts may be separated by spaces or line breaks. It may be cut when shown: redact it before.
    """
    codes = tuple(dict.fromkeys(int(code) for code in re.findall(r"AADSTS(\d{4,8})(?!\d)", text)))
    found = [pattern.search(text) for pattern in (_TRACE, _CORRELATION, _TIMESTAMP)]
    parts = [" ".join(match.groups()) if match else "" for match in found]
    for match in sorted((match for match in found if match), key=lambda match: -match.start()):
        text = text[: match.start()] + " " + text[match.end() :]
    return Refusal(codes, re.sub(r"\s+", " ", text).strip(), *parts)


def docs(name: str) -> str:
    """Where the reference explains a code or an id of errors.toml: a file and its anchor."""
    return f"docs/reference/errors.md#{name.lower().replace('.', '-')}"


class _Shown(str):
    """A fact that is not known, readable under every conversion."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def __format__(self, spec: str) -> str:
        return str(self)


class _Filler(string.Formatter):
    def get_value(self, key: int | str, args: Any, kwargs: Mapping[str, Any]) -> Any:
        if kwargs.get(str(key)) not in (None, ""):
            return kwargs[str(key)]
        if key == "tenant_option":
            return _Shown(" --tenant <tenant>")
        if key == "login":
            return _Shown(login("<tenant>"))
        return _Shown(f"<{str(key).replace('_', ' ')}>")


def login(tenant: str, claims: str = "") -> str:
    """The command that signs a person in again.

    :param tenant: its id; empty when nobody knows which.
    :param claims: what the service asks the sign-in to prove, in base64, as az takes it; empty when it does not say.
    """
    option = f" --tenant {tenant}" if tenant else ""
    return f"az login{option}" + (f' --claims-challenge "{claims}"' if claims else "")


def fill(template: str, details: Mapping[str, Any]) -> str:
    """A format string with its details; one that is missing or empty is shown by its name, as `<app id>`."""
    return _Filler().vformat(template, (), details)
