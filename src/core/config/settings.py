"""Settings of one run, each with its origin: flag > environment > answers file > default (U4)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from core import files
from core.config import options
from core.errors import SetupError

#: Whether the key is to be in hardware: better there, there or nowhere, not looked for (T1).
HARDWARE: Final = options.OPTIONS["hardware"].choices
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_THUMBPRINT: Final = re.compile("[0-9A-F]{40}")
_FALSE: Final = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True)
class Settings:
    """What a run was asked to do: a typed member for each setting of the table of options, with its default.

    :param allow_keyring_backend: values of a repeatable flag; what they mean is told in
        `core.machine.keystore.allowlist`.
    :param hardware: one of `HARDWARE`.
    :param origin: member name → `flag`, `environment`, `file` or `default`.
    """

    yes: bool = False
    dry_run: bool = False
    json: bool = False
    plain: bool = False
    quiet: bool = False
    verbose: bool = False
    no_color: bool = False
    strict: bool = False
    drop_expired: bool = False
    extra_roles: bool = False
    repair_permissions: bool = False
    new: bool = False
    retire_older: str = ""
    lock: bool = False
    accept_live_secret: bool = False
    log_file: str = ""
    project: str = "."
    profile: str = "entraclaw"
    cloud: str = "public"
    tenant: str = ""
    app_id: str = ""
    acknowledge: str = ""
    request: str = ""
    thumbprint: str = ""
    certificate_days: int = 365
    key_outlives_job: bool = False
    hardware: str = "prefer"
    allow_keyring_backend: tuple[str, ...] = ()
    origin: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The project folder, absolute."""
        return Path(self.project).absolute()

    def said(self, name: str, value: object) -> Settings:
        """These settings, with one more that a person at the keyboard said just now, as if by its flag.

        :raises SetupError: `usage.not-a-guid`.
        """
        given = guid(options.OPTIONS[name].flag, value) if options.OPTIONS[name].kind == "guid" else value
        return replace(self, **{name: given, "origin": {**self.origin, name: "flag"}})  # type: ignore[arg-type]

    def named(self, app_id: str) -> bool:
        """Whether the person named this app by the flag; a variable or a file may have come with a checkout (P1)."""
        return self.origin.get("app_id", "flag") == "flag" and self.app_id == app_id


def resolve(flags: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """Merge the four sources.

    :param flags: long options that were given; absent ones are missing or None. `answers` names the answers file.
    :param environ: the environment.
    :raises SetupError: `usage.answers-file`, `usage.settings`, `usage.not-a-guid`.
    """
    file = options.OPTIONS["answers"]
    answers_path = flags.get(file.name) or environ.get(file.variable)
    answers = _answers(Path(answers_path)) if answers_path else {}
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for option in options.settings():
        name, kind = option.name, type(option.default)
        if flags.get(name) is not None:
            values[name], origin[name] = tuple(flags[name]) if kind is tuple else flags[name], "flag"
        elif option.variable and option.variable in environ:
            values[name], origin[name] = _parse(option.variable, environ[option.variable], kind), "environment"
        elif option.key and option.key in answers:
            if type(answers[name]) is not kind:
                raise SetupError("usage.answers-file", path=answers_path, detail=f"{name} must be a {kind.__name__}")
            values[name], origin[name] = answers[name], "file"
        else:
            origin[name] = "default"
    if not values.get("no_color") and environ.get("NO_COLOR"):
        values["no_color"], origin["no_color"] = True, "environment"
    for option in options.settings():
        if option.name in values:
            values[option.name] = _checked(option, values[option.name], origin[option.name])
    return Settings(**values, origin=origin)


def _checked(option: options.Option, value: Any, origin: str) -> Any:
    """The value as it is kept.

    :raises SetupError: `usage.settings`, `usage.not-a-guid`.
    """
    detail = ""
    if option.bounds is not None and not option.bounds[0] <= value <= option.bounds[1]:
        detail = f"{option.flag} must lie between {option.bounds[0]} and {option.bounds[1]}, not {value}"
    elif option.choices and value not in option.choices:
        detail = f"{option.flag} must be one of {', '.join(option.choices)}, not {value!r} (from: {origin})"
    elif option.kind == "guid" and value:
        return guid(option.flag, value)
    elif option.kind == "thumbprint":
        if _THUMBPRINT.fullmatch(thumbprint(value)):
            return thumbprint(value)
        detail = f"{option.flag} must be 40 hexadecimal digits, not {value!r}"
    if detail:
        raise SetupError("usage.settings", detail=detail, command=option.command)
    return value


def thumbprint(text: str) -> str:
    """A thumbprint as a person may have written it down: in upper case, without spaces, colons and hyphens."""
    return re.sub(r"[\s:-]", "", text).upper()


def guid(name: str, value: object) -> str:
    """The value as a lower-case GUID.

    :param name: what to call it in the error.
    :raises SetupError: `usage.not-a-guid`.
    """
    text = str(value)
    try:
        canonical = str(UUID(text.strip()))
    except ValueError:
        canonical = ""
    if not canonical or canonical != text.strip().lower():
        raise SetupError("usage.not-a-guid", name=name, value=text)
    return canonical


def _answers(path: Path) -> dict[str, Any]:
    answers = {key.replace("-", "_"): value for key, value in files.toml(path, "usage.answers-file").items()}
    known = {option.key for option in options.settings() if option.key}
    for key in answers:
        if key not in known:
            raise SetupError("usage.answers-file", path=path, detail=f"{key} is not an answer")
    return answers


def _parse(variable: str, text: str, kind: type) -> Any:
    if kind is int:
        if text.isascii() and text.isdecimal():
            return int(text)
        raise SetupError("usage.settings", detail=f"{variable} is not a number: {text!r}", command="COMMAND")
    if kind is not bool:
        return text
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise SetupError("usage.settings", detail=f"{variable} is neither true nor false: {text!r}", command="COMMAND")
