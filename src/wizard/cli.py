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
from core.config import options
from core.config.options import OPTIONS, Option
from core.flows import registry
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


#: What argparse quotes of the command line; a name of an option, which it may be told by.
_GIVEN: Final = re.compile(
    r"(invalid choice|invalid \w+ value|ignored explicit argument): .*?(?=$| \(choose from )", re.S
)
_OPTION: Final = re.compile(r"--[a-z][a-z-]{0,30}|-[A-Za-z]")


class _Usage(Exception):
    """The arguments do not parse."""


class _Parser(argparse.ArgumentParser):
    """Names options and choices, and never what was given: it may be a secret (D4)."""

    def error(self, message: str) -> NoReturn:
        raise _Usage(_GIVEN.sub(r"\1", message))

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
        return _usage(argv, str(error))
    if unknown:
        return _usage(argv, _unrecognized(unknown))
    given = vars(known)
    command = given.pop("command", None)
    if command is None and given.get("json"):
        return _usage(argv, "a command is missing")
    from wizard import front_end

    if command is None or (command == "demo" and front_end.opens(given)):
        return front_end.run(given, demo=command == "demo")
    if command == "replay" and front_end.watches(given):
        return front_end.replay(given)
    from wizard import commands

    return commands.run(command, given)


def _usage(argv: Sequence[str], detail: str) -> ExitCode:
    from core.errors import SetupError

    return refuse(argv, SetupError("usage.settings", detail=detail, command=_command_in(argv)))


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
        from wizard.text import clean

        told = error.details["detail"] if error.id == "usage.settings" else error
        print(clean(f"entraclaw-setup: {told}\n{remedy}"), file=sys.stderr)
    return ExitCode.FAILED if command == "token" else error.exit_code


def _command_in(argv: Sequence[str]) -> str:
    """The command that was meant, where the arguments did not parse: the first word that no option takes."""
    taken = False
    for word in argv:
        if not taken and not word.startswith("-"):
            return word if registry.find(word) is not None else ""
        taken = word in {option.flag for option in options.everywhere() if option.valued}
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
    for row in registry.commands():
        text = row.help
        sub = commands.add_parser(
            row.name, help=text, description=text[0].upper() + text[1:] + ".", parents=[common], allow_abbrev=False
        )
        says, groups = dict(row.says), dict[str, Any]()
        for option in (OPTIONS[name] for name in registry.options(row)):
            if option.group and option.group not in groups:
                groups[option.group] = sub.add_mutually_exclusive_group()
            _add(groups.get(option.group, sub), option, says.get(option.name, option.help))
    return parser


def _common() -> _Parser:
    """The global options; they may stand before or after the command."""
    parser = _Parser(add_help=False)
    group = parser.add_argument_group("global options")
    for option in options.everywhere():
        _add(group, option, option.help)
    return parser


def _add(place: Any, option: Option, text: str) -> None:
    """One row of the table of options; a setting that is not given is absent, and taken from elsewhere.

    :param place: a parser, or a group of one.
    :param text: its help.
    """
    how: dict[str, Any] = {"help": text, "default": option.default if option.source == "line" else argparse.SUPPRESS}
    if option.kind == "word":
        if option.optional:
            how["nargs"] = "?"
        else:
            del how["default"]
        place.add_argument(option.name, metavar=option.metavar, **how)
        return
    if option.metavar:
        how["metavar"] = option.metavar
    how |= _HOW.get(option.kind, {})
    if option.kind == "class":
        how["const"] = option.instead
    elif option.kind == "flow":
        how["choices"] = tuple(flow.name for flow in registry.flows() if flow.scenarios)
    elif option.choices and not option.setting:
        how["choices"] = option.choices
    place.add_argument(option.flag, **how)


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


#: What an option of a kind does with what is given.
_HOW: Final[dict[str, dict[str, Any]]] = {
    "switch": {"action": "store_true"},
    "class": {"action": "append", "nargs": "?"},
    "name": {"action": "append"},
    "number": {"type": _natural},
    "whole": {"type": int},
    "port": {"type": _port},
    "speed": {"type": _speed},
}
