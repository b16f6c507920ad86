"""Opens the wizard: full screen where the terminal can do it, else as a dialogue (U1, U6, U8).

What opens is decided before anything of Textual is imported, because Textual writes escapes wherever it is started.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any, Final, TextIO

from core.clock import SystemClock
from core.config.options import OPTIONS
from core.config.settings import Settings, resolve
from core.errors import SetupError
from core.errors.exit_codes import ExitCode
from wizard import process
from wizard.console.plain import Plain
from wizard.demo import refuse
from wizard.runs import failed
from wizard.workspace import Demo, Local, Workspace, chosen

#: What only a run without a wizard can honour.
_HEADLESS: Final = ("yes", "dry_run", "json", "quiet")
#: What of the framework's variables only changes how it draws. Others lead what is shown and typed to a file or a
#: server, press keys, or name code to load (D4).
_DRAWING: Final = frozenset(f"TEXTUAL_{name}" for name in ("ANIMATIONS", "COLOR_SYSTEM", "DISABLE_KITTY_KEY", "FPS"))


def opens(given: Mapping[str, Any]) -> bool:
    """Whether a demo is shown by the wizard: a person sits there, and nothing asks for a run without one.

    :param given: the command line's options.
    """
    return _terminal(sys.stdin) and not any(given.get(name) for name in _HEADLESS)


def plain(wished: bool, environ: Mapping[str, str], out: TextIO | None, platform: str = sys.platform) -> bool:
    """Whether the dialogue is right.

    :param wished: somebody said so.
    :param out: standard output; None where there is none.
    """
    accessible = environ.get("ACCESSIBLE", "") not in ("", "0")
    dumb = environ.get("TERM", "") in ("", "dumb") if platform != "win32" else environ.get("TERM") == "dumb"
    return wished or accessible or dumb or not _terminal(out)


def watches(given: Mapping[str, Any]) -> bool:
    """Whether a replay is shown by the wizard: a file is named, and a person sits where it can be shown.

    :param given: the command line's options.
    """
    try:
        settings = resolve(given)
    except SetupError:
        return False  # whoever goes on says so
    headless = any(getattr(settings, name) for name in _HEADLESS)
    linear = headless or plain(settings.plain, os.environ, sys.stdout) or not _terminal(sys.stderr)
    return given.get("file") is not None and not linear and _terminal(sys.stdin)


def run(given: Mapping[str, Any], *, demo: bool = False) -> ExitCode:
    """Open the wizard.

    :param given: the command line's options.
    :param demo: on a sandbox.
    :returns: the exit code.
    """

    def begin(starting: process.Interruptible, stack: ExitStack) -> ExitCode:
        settings = _demo(given) if demo else _real(given)
        # the screens are written to standard error, as the framework does
        linear = plain(settings.plain, os.environ, sys.stdout) or not _terminal(sys.stderr)
        workspace: Workspace = Demo(given, chosen(given)[0], given["seed"], at_once=linear) if demo else Local(settings)
        stack.callback(workspace.close)
        starting.asking = False  # from here on the front end decides, and what is removed is removed completely
        starting.cancel.check()
        if linear:
            from wizard.console import dialogue

            return dialogue.run(workspace, sys.stdout, sys.stderr, sys.stdin)
        from wizard.tui import terminal

        return terminal.run(workspace)

    return _open(begin)


def replay(given: Mapping[str, Any]) -> ExitCode:
    """Show a recording in the wizard.

    :param given: the command line's options.
    :returns: the exit code.
    """

    def begin(starting: process.Interruptible, stack: ExitStack) -> ExitCode:
        from core.config import profile as profiles
        from wizard import replay

        replay.refuse(given)
        settings = resolve({**given, "log_file": ""})
        tape = replay.load(replay.find(given["file"], profiles.of(settings)))
        pace = replay.Pace(SystemClock(), given["speed"], tape.started)
        starting.asking = False
        starting.cancel.check()
        from wizard.tui import terminal
        from wizard.tui.replay import Recorded, Replay

        workspace = Recorded(tape, settings, pace)
        return terminal.run(workspace, Replay(workspace))

    return _open(begin)


def _open(begin: Callable[[process.Interruptible, ExitStack], ExitCode]) -> ExitCode:
    process.prepare()
    for name in os.environ.keys() - _DRAWING:
        if name.startswith("TEXTUAL"):
            del os.environ[name]
    starting = process.Interruptible(asking=True)  # a signal ends it at once: nothing has been changed
    with ExitStack() as stack:
        try:
            stack.enter_context(process.signals(starting))
            code = begin(starting, stack)
        except Exception as error:  # noqa: BLE001  reported with an id; never a traceback with values in it
            result = failed(error, "")
            with suppress(OSError):  # nobody is there to read it; the exit code still tells
                printer = Plain(sys.stdout, sys.stderr, colour=False, quiet=False, verbose=False)
                printer.result("", result.outcome, result.exit_code, {}, result.errors)
            code = result.exit_code
    return process.flush(code)


def _real(given: Mapping[str, Any]) -> Settings:
    settings = resolve(given)
    for name in _HEADLESS:
        if getattr(settings, name):
            detail = f"{OPTIONS[name].flag} ({settings.origin[name]}) needs a command: the wizard shows and asks"
            raise SetupError("usage.settings", detail=detail, command="COMMAND")
    if not _terminal(sys.stdin):
        raise SetupError("flow.no-terminal")
    return settings


def _demo(given: Mapping[str, Any]) -> Settings:
    """Which front end it is; everything else of the environment is dropped before a demo begins (U8)."""
    refuse(given)
    variable = OPTIONS["plain"].variable
    return resolve({"plain": given.get("plain")}, {variable: os.environ[variable]} if variable in os.environ else {})


def _terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
