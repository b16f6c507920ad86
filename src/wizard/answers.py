"""The same run without the wizard: as a command, and as an answers file that replays it (U4)."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, Literal

from core import files
from core.config.settings import FLAG_ONLY, Settings
from core.display import visible
from core.errors import SetupError
from core.machine.keystore import allowlist
from core.secret import looks_secret, redactor
from wizard.runs import Kind

Replayed = Kind | Literal["token"]
#: What belongs to the front end and not to the run; `yes` is part of every replay.
_NOT_REPLAYED: Final = frozenset({"origin", "plain", "yes"})
_EVERYWHERE: Final = frozenset(
    {"quiet", "verbose", "json", "dry_run", "no_color", "log_file", "project", "profile", "cloud", "tenant", "app_id"}
    | {"acknowledge"}
)
_CERTIFYING: Final = frozenset(
    {"drop_expired", "key_outlives_job", "lock", "certificate_days", "allow_keyring_backend", "hardware"}
)
#: Members that a command has an option for.
_OPTIONS: Final[Mapping[Replayed, frozenset[str]]] = {
    "migrate": _EVERYWHERE | _CERTIFYING | {"repair_permissions"},
    "onboard": _EVERYWHERE | _CERTIFYING | {"extra_roles", "new"},
    "resume": _EVERYWHERE | _CERTIFYING | {"repair_permissions", "extra_roles", "new"},
    "undo": _EVERYWHERE | {"allow_keyring_backend"},
    "verify": _EVERYWHERE | {"allow_keyring_backend", "strict"},
    "doctor": _EVERYWHERE | {"allow_keyring_backend"},
    "token": (_EVERYWHERE - {"json"}) | {"allow_keyring_backend"},
}
_NEXT_NAMES: Final = 99


def command_line(kind: Replayed, settings: Settings) -> str:
    """The headless command that does the same, quoted for a POSIX shell.

    :param settings: only those that are not default are named.
    """
    changed = _changed(settings)
    words = [word for name, value in changed.items() if name in _OPTIONS[kind] for word in _words(name, value)]
    return shlex.join([*_command(kind), *words, *_yes(kind)])


def replay(kind: Kind, settings: Settings, path: Path) -> str:
    """The command that takes its answers from a file; what a file may not say stands beside it.

    :param path: of the answers file.
    """
    said = {name: value for name, value in _changed(settings).items() if name in FLAG_ONLY & _OPTIONS[kind]}
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
    changed = {name: value for name, value in _changed(settings).items() if name not in FLAG_ONLY}
    for name, value in changed.items():
        if looks_secret(str(value)):
            raise SetupError("answers.io", path=path, detail=f"{name} looks like a secret")
    told = f"Replays a run:\n{replay(kind, settings, path)}\nin the folder {Path.cwd()}\nThe same without this file:"
    comment = visible(redactor.redact(f"{told}\n{command_line(kind, settings)}")).replace("\n", "\n# ")
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
    """Members that are not default, by name."""
    members = [member for member in fields(Settings) if member.name not in _NOT_REPLAYED]
    values = {member.name: (getattr(settings, member.name), member.default) for member in members}
    return {name: value for name, (value, default) in values.items() if value != default}


def _command(kind: Replayed) -> list[str]:
    return ["entraclaw-setup", kind, *(["--only", "provisioner"] if kind == "onboard" else [])]


def _yes(kind: Replayed) -> list[str]:
    return [] if kind in ("verify", "doctor", "token") else ["--yes"]  # these ask nothing


def _words(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if value is True:
        return [flag]
    if isinstance(value, tuple):
        return [word for item in value for word in ([flag] if item == allowlist.VARIABLE else [flag, item])]
    text = str(value)
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]


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
