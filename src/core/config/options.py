"""The table of options: one row gives flag, variable, key of the answers file, and help (U4).

Which command takes which is said by its row (`core.flows.registry`). What a setting is read as stands in
`core.config.settings.Settings`, which has a member for each. Named tuples, for the reason given in `core.flow.spec`.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

PREFIX: Final = "ENTRACLAW_SETUP_"

#: Where a value is taken from: `any` source; the `environment` or a flag; the `flag` alone, because only a person at
#: the keyboard may say it; or the command `line`, and it is no setting.
Source = Literal["any", "environment", "flag", "line"]
#: What it holds. A `class` may be left out and may be repeated, a `name` may be repeated, a `word` stands alone and has
#: no flag.
Kind = Literal[
    "switch", "text", "guid", "thumbprint", "number", "whole", "port", "speed", "class", "name", "word", "flow"
]


class Option(NamedTuple):
    """One option.

    :param name: its long name with underscores.
    :param help: what it says, for a person.
    :param kind: what it holds.
    :param default: without it; its type is that of the setting.
    :param metavar: what the help calls its value.
    :param source: where it is taken from.
    :param everywhere: every command takes it.
    :param front_end: it is about how a run is shown or asked, so it is no part of one that is replayed.
    :param choices: the values that there are; empty: any. Those of a setting are checked whatever they are from.
    :param bounds: the least and the largest number, if there are such.
    :param optional: the `word` may be missing.
    :param instead: the value where the flag stands without one; a variable that is read then.
    :param group: of options that exclude each other.
    :param command: a command whose help tells of it, for an error; empty: any that takes it.
    """

    name: str
    help: str
    kind: Kind = "switch"
    default: Any = False
    metavar: str = ""
    source: Source = "any"
    everywhere: bool = False
    front_end: bool = False
    choices: tuple[str, ...] = ()
    bounds: tuple[int, int] | None = None
    optional: bool = False
    instead: str = ""
    group: str = ""
    command: str = "COMMAND"

    @property
    def flag(self) -> str:
        """As it is typed."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def setting(self) -> bool:
        """Whether it is a member of the settings."""
        return self.source in ("any", "flag")

    @property
    def variable(self) -> str:
        """The variable it is taken from; empty: from none."""
        return PREFIX + self.name.upper() if self.source in ("any", "environment") else ""

    @property
    def key(self) -> str:
        """The key of the answers file, which may have hyphens instead; empty: it is none."""
        return self.name if self.source == "any" else ""

    @property
    def valued(self) -> bool:
        """Whether the flag is followed by a value."""
        return self.kind not in ("switch", "word")


def _text(name: str, metavar: str, default: str, help: str, **more: Any) -> Option:
    """A global option with a text."""
    return Option(name, help, **{"kind": "text", "default": default, "metavar": metavar, "everywhere": True, **more})


def _switch(name: str, help: str, *, front_end: bool = False) -> Option:
    """A global switch."""
    return Option(name, help, everywhere=True, front_end=front_end)


def _line(name: str, help: str, kind: Kind = "switch", default: Any = False, metavar: str = "", **more: Any) -> Option:
    """One of a command, which is no setting."""
    return Option(name, help, kind, default, metavar, "line", **more)


_ALLOWLIST: Final = "ENTRACLAW_KEYRING_BACKEND_ALLOWLIST"

#: In the order of the global help, and of a command that replays a run.
_ROWS: Final = (
    _switch("yes", "answer every question of the plan with yes", front_end=True),
    _switch("dry_run", "stop after the plan; change nothing"),
    _switch("json", "events as JSON lines on standard error, one result object on standard output"),
    _switch("plain", "the wizard as a dialogue: no redraw, answers by number (also ACCESSIBLE=1)", front_end=True),
    _switch("quiet", "only warnings, failures and the summary"),
    _switch("verbose", "also what each change calls"),
    _switch("no_color", "no colour (also NO_COLOR)"),
    Option("strict", "source files that use a secret are failures, not warnings"),
    Option(
        "drop_expired",
        "remove expired entries of others if they block the write; they cannot be put back",
        source="flag",
    ),
    Option("extra_roles", "also grant agent permissions that are not known yet", source="flag"),
    Option("repair_permissions", "also grant what the app declares and was not granted"),
    Option("new", "create an app even if one of that name exists", source="flag"),
    Option(
        "retire_older",
        "also retire the app of before a renaming: the yes to deleting its passwords and this machine's certificate",
        "guid",
        "",
        "ID",
        "flag",
    ),
    Option("lock", "forbid new password credentials on the app by a policy, or print how"),
    Option("accept_live_secret", "the second yes: a live secret in plain text in the state file", source="flag"),
    _text("log_file", "F", "", "append every event to this file"),
    _text("project", "DIR", ".", "the project's folder (default: the current one)"),
    _text("profile", "NAME|FILE", "entraclaw", "names of the product (default: by the state file, else entraclaw)"),
    _text("cloud", "NAME|FILE", "public", "public (default), usgov, china, or a TOML file"),
    _text("answers", "FILE", "", "TOML file with long option names as keys", source="environment"),
    _text("tenant", "ID", "", "tenant id", kind="guid", command="migrate"),
    _text(
        "app_id", "ID", "", "app id; also the yes to an app that was found by its name", kind="guid", command="migrate"
    ),
    _text("acknowledge", "ID,…", "", "keys, federated credentials and owners that are known and no finding"),
    Option("request", "the file that the developer's run wrote", "word", "", "REQUEST"),
    Option(
        "thumbprint",
        "the certificate's thumbprint, as the developer told it to you; the yes to the certificate",
        "thumbprint",
        "",
        "HEX",
        "flag",
        command="apply",
    ),
    Option("certificate_days", "life of a new certificate, 1 to 365", "number", 365, "N", bounds=(1, 365)),
    Option("key_outlives_job", "the keystore outlives this CI job or container, against all appearances"),
    Option(
        "hardware",
        "a key in hardware: prefer (default; falls back to the keystore with a warning), require, off",
        "text",
        "prefer",
        "WHEN",
        choices=("prefer", "require", "off"),
        command="migrate",
    ),
    Option(
        "allow_keyring_backend",
        "use this keyring backend (module.Class) although it is not the system's own; repeatable; "
        f"without CLASS: those that {_ALLOWLIST} lists",
        "class",
        (),
        "CLASS",
        "flag",
        instead=_ALLOWLIST,
        command="migrate",
    ),
    _line("only", "which part (the agent chain is not part of this version)", "text", "", choices=("provisioner",)),
    _line(
        "fix",
        "mend what is safe to mend: file modes, idle locks, an expired rollback secret, keystore entries left over",
    ),
    _line("commands", "print the same checks as commands of az, jq, openssl and the keystore, and run none"),
    _line("check", "only this check; repeatable", "name", None, "NAME"),
    _line("file", "a recording, or last for the newest", "word", None, "FILE", optional=True),
    _line("speed", "times as fast as it was (default 1); 0: at once", "speed", 1.0, "N"),
    _line("id", "an id or a code; without one all are listed", "word", None, "ID", optional=True),
    _line(
        "scenario", "what it starts with (legacy, or fresh to onboard), or a scenario file in TOML", "text", "", "NAME"
    ),
    _line("seed", "decides ids and secrets (default 1)", "whole", None, "N"),
    _line("port", "port on 127.0.0.1 (default: any)", "port", 0, "N"),
    _line("latency_ms", "delay of every answer", "number", 0, "N"),
    _line("user", "who az is signed in as (default: dana); alex is an administrator", "text", "", "NAME"),
    _line("proxy", "also answer as the public cloud, through a proxy on 127.0.0.1"),
    _line("env", "print shell exports instead of JSON", group="output"),
    _line(
        "show",
        "print how a client is led here instead: az, python, terraform or browser",
        "text",
        None,
        "CLIENT",
        choices=("az", "python", "terraform", "browser"),
        group="output",
    ),
    _line("flow", "which flow", "flow", ""),
)

OPTIONS: dict[str, Option] = {option.name: option for option in _ROWS}


def settings() -> tuple[Option, ...]:
    """The options that are settings."""
    return tuple(option for option in OPTIONS.values() if option.setting)


def everywhere() -> tuple[Option, ...]:
    """The global options; they may stand before or after the command."""
    return tuple(option for option in OPTIONS.values() if option.everywhere)
