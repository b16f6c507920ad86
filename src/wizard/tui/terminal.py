"""The wizard in this terminal, from the first screen to the last word: signals, exit code, and what remains (U2)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from types import FrameType

from core.errors.exit_codes import ExitCode
from core.secret import redactor
from wizard.console.ndjson import Ndjson
from wizard.process import handling, log
from wizard.report import support
from wizard.text import clean
from wizard.tui.app import Wizard
from wizard.tui.hangup import Watch, lasting
from wizard.workspace import Demo, Workspace


def run(workspace: Workspace, app: Wizard | None = None) -> ExitCode:
    """Run the wizard.

    :param app: one that was made already for this workspace.
    :returns: the exit code of what was done last; what must not stay half-done is finished first.
    :raises SetupError: the sandbox that was chosen cannot be started; the log file cannot be written.
    """
    if workspace.settings.no_color:
        os.environ["NO_COLOR"] = "1"  # the framework reads it there
    app = app or Wizard(workspace)
    with ExitStack() as stack:
        if (file := log(workspace.settings, "", stack)) is not None:
            app.log_to = Ndjson(file, None).event
        code = conduct(app)
    if not app.to_sandbox:
        return code
    with closing(Demo({}, "legacy", at_once=False)) as demo:
        return conduct(Wizard(demo))


def conduct(app: Wizard) -> ExitCode:
    """Run an app that was made already.

    :returns: as `run`.
    :raises SetupError: the sandbox of a demo cannot be started.
    """
    with _signals(app):
        app.run()
        app.finish()
        _epilogue(app)
    if app.refused is not None:
        raise app.refused
    return app.exit_code


@contextmanager
def _signals(app: Wizard) -> Iterator[None]:
    """Hand signals to the app, also when its loop is over: a terminal that is closed sends more than one of them.

    A terminal that cannot be written to counts as closed, and whoever does not hear a signal is ended from outside.
    """
    watch = Watch(app)

    def heard(number: int, frame: FrameType | None = None) -> None:
        app.signalled(number)
        watch.signalled(number)

    with handling(heard):
        try:
            with lasting(lambda: heard(getattr(signal, "SIGHUP", signal.SIGTERM))):
                yield
        finally:
            watch.end()


def _epilogue(app: Wizard) -> None:
    """What remains on the terminal when the screens are gone."""
    with suppress(OSError):
        if app.incident:
            print(redactor.redact(app.incident), file=sys.stderr)
        if app.preface:
            print(clean(app.preface))
        model, proof = (app.model, app.proof) if app.model.ended or app.proof.ended else app.last
        for sentence in dict.fromkeys([*model.sentences, *proof.sentences]):
            print(clean(sentence))
        for error in [*model.failed, *proof.failed]:
            print(clean(f"{error['message']} [{error['id']}]\n{error['remedy']}"), file=sys.stderr)
        for ended in (model.ended, proof.ended):
            if ended is not None and (told := support(ended.result.exit_code, ended.data)):
                print(clean(told), file=sys.stderr)
        if (model.ended or proof.ended) and (aside := app.workspace.aside()):
            print(clean(aside))
