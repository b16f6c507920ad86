"""The command line: parse, assemble, run, and leave with a truthful exit code (U4, U5).

Heavy modules are imported by the command that needs them; a headless run never imports Textual.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from core import __version__
from core.machine.keystore import allowlist
from wizard.early import json_wanted

if TYPE_CHECKING:
    from core.errors import SetupError
    from core.errors.exit_codes import ExitCode

_DESCRIPTION: Final = """\
Gives a machine its Entra identity, and replaces client secrets by certificates
whose key lives in the system's keystore.

Without a command it opens the wizard, which looks at the project and asks what
to do: full screen; with --plain, and in a terminal that cannot show that,
as a dialogue that is answered by number.

examples:
  entraclaw-setup                       the wizard
  entraclaw-setup demo                  the wizard on a pretend tenant
  entraclaw-setup onboard --only provisioner
                                        set up the app registration from nothing
  entraclaw-setup migrate --dry-run     show what a migration would change
  entraclaw-setup migrate               migrate this project, asking first
  entraclaw-setup migrate --yes --json  the same in automation
  entraclaw-setup verify                prove that no secret is left
  entraclaw-setup rollback              a client secret again, for 15 minutes
  entraclaw-setup token                 print an access token, nothing else
  entraclaw-setup doctor                what is wrong here, and what to do
  entraclaw-setup explain AADSTS700027  what a code means, and what to do

Every flow of the wizard is a command, too.
Documentation: docs/ in the source tree.
"""
_COMMANDS: Final = {
    "onboard": "set up what is missing: app registration, certificate, permissions",
    "migrate": "replace the client secret by a certificate whose key is in the keystore",
    "resume": "continue the interrupted run of this project",
    "undo": "take back what an interrupted run did before the point of no return",
    "apply": "as an administrator, do what a developer's request file asks for",
    "rollback": "a new client secret in the state file, for 15 minutes (needs two yeses)",
    "verify": "prove the end state: no secret anywhere, certificate works (exit 8 if not)",
    "doctor": "look at everything a run needs, and say what is wrong and what to do (exit 8 if something is)",
    "token": "print a Microsoft Graph access token for this machine's app",
    "replay": "show a recorded run again, in the wizard or as lines; without FILE, list them",
    "explain": "say what an error id, an AADSTS code or a Graph code means, and what to do",
    "sandbox": "run a pretend tenant (Entra ID, Graph, ARM) on loopback",
    "demo": "the wizard, or with --yes a flow, on a pretend tenant; touches nothing real",
}
_VALUES: Final = (
    ("--log-file", "F", "append every event to this file"),
    ("--project", "DIR", "the project's folder (default: the current one)"),
    ("--profile", "NAME|FILE", "names of the product to set up (default: entraclaw)"),
    ("--cloud", "NAME|FILE", "public (default), usgov, china, or a TOML file"),
    ("--answers", "FILE", "TOML file with long option names as keys"),
    ("--tenant", "ID", "tenant id"),
    ("--app-id", "ID", "app id; also the yes to an app that was found by its name"),
    ("--acknowledge", "ID,…", "keys, federated credentials and owners that are known and no finding"),
)


#: What argparse quotes of the command line; a name of an option, which it may be told by.
_GIVEN: Final = re.compile(
    r"(invalid choice|invalid \w+ value|ignored explicit argument): .*?(?=$| \(choose from )", re.S
)
_OPTION: Final = re.compile(r"--[a-z][a-z-]{0,30}|-[A-Za-z]")


class _Usage(Exception):
    """The arguments do not parse.

    :param command: the command whose arguments they are, or an empty text.
    """

    def __init__(self, message: str, command: str) -> None:
        super().__init__(message)
        self.command = command


class _Parser(argparse.ArgumentParser):
    """Names options and choices, and never what was given: it may be a secret (D4)."""

    def error(self, message: str) -> NoReturn:
        raise _Usage(_GIVEN.sub(r"\1", message), self.prog.partition(" ")[2])

    def format_help(self) -> str:
        if self.get_default("scenario") is not None:
            self.formatter_class = argparse.RawDescriptionHelpFormatter
            self.epilog = _scenarios()
        return super().format_help()


def _unrecognized(unknown: Sequence[str]) -> str:
    """What is wrong with arguments that no option takes; the names of options alone are told."""
    names = [name for name in (word.partition("=")[0] for word in unknown) if _OPTION.fullmatch(name)]
    others = len(unknown) - len(names)
    more = [f"{others} {'argument' if others == 1 else 'arguments'} too many"] if others else []
    return f"unrecognized: {', '.join(names + more)}"


def _scenarios() -> str:
    import textwrap

    from core import assemble

    wrap = textwrap.TextWrapper(80, initial_indent="  ", subsequent_indent=" " * 20)
    return "\n".join(["scenarios:", *(wrap.fill(f"{name:<18}{text}") for name, text in assemble.scenarios().items())])


def run(argv: Sequence[str]) -> ExitCode:
    """Run one command.

    :param argv: arguments without the program's name.
    :returns: the exit code.
    """
    try:
        known, unknown = _parser().parse_known_args(argv)
    except _Usage as error:
        return _usage(argv, error)
    if unknown:
        return _usage(argv, _Usage(_unrecognized(unknown), ""))
    given = vars(known)
    command = given.pop("command", None)
    if command is None:
        if given.get("json"):
            return _usage(argv, _Usage("a command is missing", ""))
        from wizard import front_end

        return front_end.run(given)
    if command == "demo":
        from wizard import front_end

        if front_end.opens(given):
            return front_end.run(given, demo=True)
    if command == "replay":
        from wizard import front_end

        if front_end.watches(given):
            return front_end.replay(given)
    from wizard import commands

    return commands.run(command, given)


def _usage(argv: Sequence[str], usage: _Usage) -> ExitCode:
    from core.errors import SetupError

    command = usage.command or _command_in(argv)
    return refuse(argv, SetupError("usage.settings", detail=str(usage), command=command))


def refuse(argv: Sequence[str], error: SetupError) -> ExitCode:
    """Tell why nothing runs.

    :param argv: arguments without the program's name.
    :returns: the exit code.
    """
    from core.errors.exit_codes import ExitCode

    command = str(error.details.get("command") or _command_in(argv))
    remedy = error.remedy.replace("  ", " ")  # without a command it is the help of the program itself
    if json_wanted(argv) and command != "token":
        from wizard.console.ndjson import Ndjson

        Ndjson(None, sys.stdout).result(command, "failed", error.exit_code, {}, [error.as_dict() | {"remedy": remedy}])
    else:
        from wizard.console.plain import clean

        told = error.details["detail"] if error.id == "usage.settings" else error
        print(clean(f"entraclaw-setup: {told}\n{remedy}"), file=sys.stderr)
    return ExitCode.FAILED if command == "token" else error.exit_code


def _command_in(argv: Sequence[str]) -> str:
    """The command that was meant, where the arguments did not parse: the first word that no option takes."""
    taken = False
    for word in argv:
        if not taken and not word.startswith("-"):
            return word if word in _COMMANDS else ""
        taken = word in {flag for flag, _, _ in _VALUES}
    return ""


def _parser() -> _Parser:
    common = _common()
    parser = _Parser(
        prog="entraclaw-setup",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"entraclaw-setup {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=_Parser)
    subs: dict[str, _Parser] = {}
    for name, text in _COMMANDS.items():
        subs[name] = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", parents=[common], allow_abbrev=False
        )
    quiet: dict[str, Any] = {"default": argparse.SUPPRESS}
    for name in ("migrate", "onboard", "resume", "undo", "verify", "doctor", "token"):
        subs[name].add_argument(
            allowlist.FLAG,
            metavar="CLASS",
            nargs="?",
            const=allowlist.VARIABLE,
            action="append",
            help="use this keyring backend (module.Class) although it is not the system's own; repeatable; "
            f"without CLASS: those that {allowlist.VARIABLE} lists",
            **quiet,
        )
    for name in ("migrate", "onboard", "resume"):
        _changing(subs[name])
    for name in ("onboard", "resume"):
        subs[name].add_argument(
            "--extra-roles", action="store_true", help="also grant agent permissions that are not known yet", **quiet
        )
        subs[name].add_argument(
            "--new", action="store_true", help="create an app even if one of that name exists", **quiet
        )
    for name in ("migrate", "resume"):
        text = "also grant what the app declares and was not granted"
        subs[name].add_argument("--repair-permissions", action="store_true", help=text, **quiet)
    text = "also grant permissions that no Provisioner needs, if the request asks for them"
    subs["apply"].add_argument("--extra-roles", action="store_true", help=text, **quiet)
    text = "remove expired entries of others if they block the write; they cannot be put back"
    subs["apply"].add_argument("--drop-expired", action="store_true", help=text, **quiet)
    text = "the certificate's thumbprint, as the developer told it to you; the yes to the certificate"
    subs["apply"].add_argument("--thumbprint", metavar="HEX", help=text, **quiet)
    subs["onboard"].add_argument(
        "--only", choices=("provisioner",), help="which part (the agent chain is not part of this version)", **quiet
    )
    subs["apply"].add_argument("request", metavar="REQUEST", help="the file that the developer's run wrote")
    subs["rollback"].add_argument(
        "--accept-live-secret",
        action="store_true",
        help="the second yes: a live secret in plain text in the state file",
        **quiet,
    )
    subs["verify"].add_argument(
        "--strict", action="store_true", help="source files that use a secret are failures, not warnings", **quiet
    )
    text = "mend what is safe to mend: file modes, idle locks, an expired rollback secret, keystore entries left over"
    subs["doctor"].add_argument("--fix", action="store_true", help=text, **quiet)
    text = "only this check; repeatable"
    subs["doctor"].add_argument("--check", metavar="NAME", action="append", help=text, **quiet)
    subs["replay"].add_argument("file", nargs="?", metavar="FILE", help="a recording, or last for the newest")
    text = "times as fast as it was (default 1); 0: at once"
    subs["replay"].add_argument("--speed", type=_speed, metavar="N", default=1.0, help=text)
    subs["explain"].add_argument("id", nargs="?", metavar="ID", help="an id or a code; without one all are listed")
    for name in ("sandbox", "demo"):
        subs[name].add_argument(
            "--scenario",
            metavar="NAME",
            default="",
            help="what it starts with (legacy, or fresh to onboard), or a scenario file in TOML",
        )
        subs[name].add_argument("--seed", type=int, metavar="N", help="decides ids and secrets (default 1)")
    subs["sandbox"].add_argument("--port", type=_port, metavar="N", default=0, help="port on 127.0.0.1 (default: any)")
    subs["sandbox"].add_argument("--latency-ms", type=_natural, metavar="N", default=0, help="delay of every answer")
    subs["sandbox"].add_argument(
        "--user", metavar="NAME", default="", help="who az is signed in as (default: dana); alex is an administrator"
    )
    subs["sandbox"].add_argument(
        "--proxy", action="store_true", help="also answer as the public cloud, through a proxy on 127.0.0.1"
    )
    instead = subs["sandbox"].add_mutually_exclusive_group()
    instead.add_argument("--env", action="store_true", help="print shell exports instead of JSON")
    text = "print how a client is led here instead: az, python, terraform or browser"
    instead.add_argument("--show", choices=("az", "python", "terraform", "browser"), metavar="CLIENT", help=text)
    subs["demo"].add_argument("--flow", choices=("migrate", "onboard"), default="", help="which flow")
    return parser


def _changing(parser: _Parser) -> None:
    """Options of the flows that put a certificate on the app."""
    quiet: dict[str, Any] = {"default": argparse.SUPPRESS}
    for flag, text in (
        ("--drop-expired", "remove expired entries of others if they block the write; they cannot be put back"),
        ("--key-outlives-job", "the keystore outlives this CI job or container, against all appearances"),
        ("--lock", "forbid new password credentials on the app by a policy, or print how"),
    ):
        parser.add_argument(flag, action="store_true", help=text, **quiet)
    parser.add_argument(
        "--hardware",
        metavar="WHEN",
        help="a key in hardware: prefer (default; falls back to the keystore with a warning), require, off",
        **quiet,
    )
    parser.add_argument(
        "--certificate-days", type=_natural, metavar="N", help="life of a new certificate, 1 to 365", **quiet
    )


def _common() -> _Parser:
    """The global options; they may stand before or after the command."""
    parser = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = parser.add_argument_group("global options")
    for flag, text in (
        ("--yes", "answer every question of the plan with yes"),
        ("--dry-run", "stop after the plan; change nothing"),
        ("--json", "events as JSON lines on standard error, one result object on standard output"),
        ("--plain", "the wizard as a dialogue: no redraw, answers by number (also ACCESSIBLE=1)"),
        ("--quiet", "only warnings, failures and the summary"),
        ("--verbose", "also what each change calls"),
        ("--no-color", "no colour (also NO_COLOR)"),
    ):
        group.add_argument(flag, action="store_true", help=text)
    for flag, metavar, text in _VALUES:
        group.add_argument(flag, metavar=metavar, help=text)
    return parser


def _natural(text: str) -> int:
    value = int(text) if text.isdecimal() else -1
    if value < 0:
        raise argparse.ArgumentTypeError("not a whole number, 0 or more")
    return value


def _speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e6:
        raise argparse.ArgumentTypeError("not a number from 0 to 1000000")
    return value


def _port(text: str) -> int:
    value = _natural(text)
    if value > 65535:
        raise argparse.ArgumentTypeError("not a port, 0 to 65535")
    return value
