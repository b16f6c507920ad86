"""Keys that an earlier run may have left in a weak keystore: the files of keyrings.alt, and of GNOME's plain text (K3).

The formats are read here and not through those packages: what is searched for is a leftover of a package that may long
be gone, and nothing is decrypted.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NAMES: Final = ("keyring_pass.cfg", "crypted_pass.cfg", "cryptfile_pass.cfg")


@dataclass(frozen=True)
class WeakFile:
    """A file that holds entries of a service, or that cannot be read.

    :param sections: the sections that hold them, as the file spells them.
    :param accounts: their accounts, in lower case, as keyrings.alt keeps them.
    :param unreadable: why nobody knows what it holds; empty when it was read.
    """

    path: Path
    sections: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    unreadable: str = ""

    @property
    def encrypted(self) -> bool:
        """Whether a password protects what it holds."""
        return self.path.name.startswith("crypt")

    def holds(self, tenant: str) -> bool:
        """Whether the key of a tenant is among them, pending or not."""
        return any(account.partition("#")[0] == tenant.lower() for account in self.accounts)


def find(service: str) -> tuple[WeakFile, ...]:
    """Every weak file that holds a key of a service, or that cannot be read.

    :param service: keystore service of the key bundle.
    """
    found = []
    for path in dict.fromkeys(_candidates()):
        try:
            if not path.is_file():
                continue
            sections, accounts = _entries(path, service)
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            found.append(WeakFile(path, unreadable=reason))
            continue
        if accounts:
            found.append(WeakFile(path, tuple(dict.fromkeys(sections)), tuple(dict.fromkeys(accounts))))
    return tuple(found)


def usual() -> Path:
    """Where keyrings.alt's plain text backend keeps its entries in this environment.

    :raises StopIteration: Windows without its variables.
    """
    return next(_candidates())


def _candidates() -> Iterator[Path]:
    """Where `keyring` puts its data, also without the variable that a run now may have and an earlier one had not."""
    if sys.platform == "win32":
        for variable in ("LOCALAPPDATA", "ProgramData"):
            if folder := os.environ.get(variable):
                yield from (Path(folder, "Python Keyring", name) for name in _NAMES)
        return
    for folder in (os.environ.get("XDG_DATA_HOME"), Path.home() / ".local/share"):
        if folder:
            yield from (Path(folder, "python_keyring", name) for name in _NAMES)
            yield from sorted(Path(folder, "keyrings").glob("*.keyring"))


def _entries(path: Path, service: str) -> tuple[list[str], list[str]]:
    """Sections and accounts of a service."""
    content = path.read_bytes()
    gnome = path.suffix == ".keyring"
    if gnome and not content.startswith(b"[keyring]"):
        return [], []  # encrypted
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True, delimiters=("=",) if gnome else ("=", ":"))
    parser.read_string(content.decode(), str(path))
    return _gnome(parser, service) if gnome else _alt(parser, service)


def _alt(parser: configparser.RawConfigParser, service: str) -> tuple[list[str], list[str]]:
    """keyrings.alt: a section per service, an option per account, both with `_XX` for what is not alphanumeric."""
    sections = [section for section in parser.sections() if _unescaped(section) == service and parser.options(section)]
    return sections, [_unescaped(option).lower() for section in sections for option in parser.options(section)]


def _gnome(parser: configparser.RawConfigParser, service: str) -> tuple[list[str], list[str]]:
    """GNOME's plain text: a section per item, and one per attribute of an item."""
    items: dict[str, dict[str, str]] = {}
    for section in parser.sections():
        item, separator, _ = section.partition(":attribute")
        if separator:
            name, value = (parser.get(section, key, fallback="") or "" for key in ("name", "value"))
            items.setdefault(item, {})[name] = value
    ours = {item: attributes for item, attributes in items.items() if attributes.get("service") == service}
    return list(ours), [attributes.get("username", "").lower() for attributes in ours.values()]


def _unescaped(text: str) -> str:
    codes = re.sub(rb"_([0-9A-Fa-f]{2})", lambda code: bytes([int(code[1], 16)]), text.encode())
    return codes.decode(errors="replace")
