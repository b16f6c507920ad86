"""The same run without the wizard: as a command, and as an answers file that replays it (U4)."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from core import files
from core.config import options
from core.config.options import OPTIONS
from core.config.settings import Settings
from core.errors import SetupError
from core.flows import registry
from core.secret import looks_secret
from wizard.runs import Kind
from wizard.text import clean

_NEXT_NAMES: Final = 99


def command_line(kind: Kind, settings: Settings) -> str:
    """The headless command that does the same, quoted for a POSIX shell.

    :param settings: only those that are not default are named.
    """
    changed = _changed(settings)
    words = [word for name, value in changed.items() if name in _taken(kind) for word in _words(name, value)]
    yes = [OPTIONS["yes"].flag] if registry.row(kind).changes else []  # the others ask nothing
    return shlex.join([*_command(kind), *words, *yes])


def replay(kind: Kind, settings: Settings, path: Path) -> str:
    """The command that takes its answers from a file; what a file may not say stands beside it.

    :param path: of the answers file.
    """
    said = {name: value for name, value in _changed(settings).items() if name in _taken(kind) and not OPTIONS[name].key}
    words = [word for name, value in said.items() for word in _words(name, value)]
    return shlex.join([*_command(kind), "--answers", str(path), *words])


def free_path(kind: Kind, settings: Settings) -> Path:
    """A name in the project folder that nothing has yet."""
    names = (f"entraclaw-{kind}{f'-{n}' if n > 1 else ''}.toml" for n in range(1, _NEXT_NAMES))
    paths = [settings.folder / name for name in names]
    return next((path for path in paths if not os.path.lexists(path)), paths[-1])


def save(path: Path, kind: Kind, settings: Settings) -> None:
    """Write an answers file that replays this run; nothing that exists is overwritten or followed.

    :param path: of a file that does not exist yet.
    :raises SetupError: `answers.exists`, `answers.io`, `file.unsafe`.
    """
    changed = {name: value for name, value in _changed(settings).items() if OPTIONS[name].key}
    for name, value in changed.items():
        if looks_secret(str(value)):
            raise SetupError("answers.io", path=path, detail=f"{name} looks like a secret")
    told = f"Replays a run:\n{replay(kind, settings, path)}\nin the folder {Path.cwd()}\nThe same without this file:"
    comment = clean(f"{told}\n{command_line(kind, settings)}").replace("\n", "\n# ")
    lines = [f"# {comment}", "", *(f"{name} = {_toml(value)}" for name, value in changed.items()), "yes = true", ""]
    try:
        _write(path, "\n".join(lines).encode())
    except FileExistsError:
        raise SetupError("answers.exists", path=path) from None
    except (OSError, UnicodeEncodeError) as error:  # a path with bytes that are no text has no place in TOML
        raise SetupError("answers.io", path=path, detail=error) from None


def _write(path: Path, content: bytes) -> None:
    descriptor = files.created(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        with suppress(OSError):  # half of the answers would replay something else
            path.unlink()
        raise


def _changed(settings: Settings) -> dict[str, Any]:
    """Settings of the run that are not default, by name."""
    own = [option for option in options.settings() if not option.front_end]
    values = {option.name: (getattr(settings, option.name), option.default) for option in own}
    return {name: value for name, (value, default) in values.items() if value != default}


def _taken(kind: Kind) -> frozenset[str]:
    """Names of the options that a command takes."""
    row = registry.row(kind)
    return frozenset(
        {*registry.options(row), *(option.name for option in options.everywhere())}.difference(row.refuses)
    )


def _command(kind: Kind) -> list[str]:
    part = registry.row(kind).part
    return ["entraclaw-setup", kind, *([OPTIONS["only"].flag, part] if part else [])]


def _words(name: str, value: Any) -> list[str]:
    option = OPTIONS[name]
    if value is True:
        return [option.flag]
    if isinstance(value, tuple):
        return [word for item in value for word in ([option.flag] if item == option.instead else [option.flag, item])]
    text = str(value)
    if option.kind == "word":
        return [text]
    return [f"{option.flag}={text}"] if text.startswith("-") else [option.flag, text]


def _toml(value: Any) -> str:
    """A boolean, a number or a text as TOML; whatever does not print is escaped."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    return '"' + "".join(_escaped(character) for character in value) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable() or 0xD800 <= ord(character) <= 0xDFFF:  # TOML has no spelling for a lone surrogate
        return character
    return f"\\U{ord(character):08X}"
