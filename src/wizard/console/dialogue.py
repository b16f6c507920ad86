"""The wizard as a linear dialogue: the same flows, no redraw, no spinner, answers by number (U1, U2, U6).

For screen readers, for terminals that can do nothing, and for whoever prefers it; every flow can be finished with it.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TextIO

from core import __version__
from core.clock import SystemClock
from core.config.settings import Settings
from core.errors import Interrupted, SetupError
from core.errors.exit_codes import ExitCode
from core.events import Event, FlowFinished, Question
from core.flows import registry
from wizard import answers, runs
from wizard.console import trouble
from wizard.console.menu import Menu
from wizard.console.ndjson import Ndjson
from wizard.console.plain import Plain
from wizard.process import log, signals
from wizard.runs import Ended, Kind, Order
from wizard.workspace import Demo, Workspace

if TYPE_CHECKING:
    from core.flows.interrupted import Open
    from core.flows.project_status import ProjectStatus
    from core.steps.context import Context

#: What the survey found, in words.
_SUBJECTS: Final = {
    "secret": "The state file of this project holds a client secret.",
    "certificate": "The state file of this project names an app and holds no client secret.",
    "nothing": "This project has no state file: nothing is set up here yet.",
    "unreadable": "The state file of this project cannot be read.",
}


def run(workspace: Workspace, out: TextIO, err: TextIO, source: TextIO) -> ExitCode:
    """Talk until the person quits.

    :param out: receives everything but errors.
    :param err: receives errors.
    :param source: gives the answers.
    :returns: the exit code: that of the last run; `NEEDS_HUMAN` when the input ended at a question and
        nothing had failed.
    """
    plain = Plain(out, err, colour=False, quiet=False, verbose=workspace.settings.verbose)
    menu = Menu(plain, source)
    dialogue = _Dialogue(workspace, plain, menu)
    with signals(menu), ExitStack() as stack:
        try:
            if (file := log(workspace.settings, "", stack)) is not None:
                dialogue.events.log = Ndjson(file, None).event
            dialogue.greet()
            dialogue.talk()
        except Interrupted as error:
            dialogue.code = plain.failure(error.copy(standing="No run was under way."))
        except SetupError as error:
            code = plain.failure(error)
            dialogue.code = dialogue.code or code
        except OSError:  # nobody reads it any more
            dialogue.code = dialogue.code or ExitCode.NEEDS_HUMAN
    return dialogue.code


class _Dialogue:
    """One workspace, from the greeting to the exit code.

    :param inner: it began in another dialogue, and ends there.
    """

    def __init__(self, workspace: Workspace, plain: Plain, menu: Menu, *, inner: bool = False) -> None:
        self._workspace, self._plain, self._menu, self._inner = workspace, plain, menu, inner
        self._kind: Kind = "verify"
        self.code = ExitCode.DONE
        self.events = runs.Events(self._show)

    def greet(self) -> None:
        """Say what this is, and where it stands."""
        settings = self._workspace.settings
        self._plain.say(f"entraclaw-setup {__version__}, plain mode: answer with a number; Ctrl-C stops safely.")
        where = f"Project {settings.folder}, cloud {settings.cloud}. Nothing is changed before you agree."
        told = f"{self._workspace.label}. Nothing real is touched." if self._workspace.label else where
        self._plain.say(told)

    def talk(self) -> None:
        """Look, ask, do, until the person quits.

        :raises SetupError: nothing can be done here at all, or the input ended.
        :raises Interrupted: a signal came at a question.
        """
        while True:
            found = self._survey()
            wish = self._interrupted(found.open) if found.open is not None else "menu"
            if wish == "menu":
                wish = self._choose(found)
            match wish:
                case "quit":
                    return
                case "sandbox":
                    self._visit()
                case "scenario":
                    self._move()
                case _:
                    row = registry.find(wish)
                    if row is None:
                        self._plain.say(f"\n{registry.missing(wish)}")
                    elif not self._undertake(wish):
                        return

    def _survey(self) -> ProjectStatus:
        from core.flows.project_status import survey

        with closing(self._context()) as ctx:
            return survey(ctx)

    def _context(self) -> Context:
        return self._workspace.context(self._menu.cancel, self.events, self._ask)

    def _interrupted(self, found: Open) -> str:
        """Offer an interrupted run before anything else: nothing new can begin while it is open."""
        parts = [f"A run of '{found.flow}' was not finished here. What it did:"]
        parts += [f"- {effect}" for effect in found.done] or ["- nothing that is left"]
        if found.request:
            parts.append("It waits for an administrator who applies its request: entraclaw-setup apply FILE")
        options = {"resume": "Go on with it"}
        if found.marked:
            parts.append("It is past the point of no return: it can only be finished.")
        else:
            options["undo"] = "Take it back"
        options |= {"menu": "Leave it as it is, and show what else there is", "quit": self._quit}
        return self._menu.choose("\n".join(parts), options, "resume")

    def _choose(self, found: ProjectStatus) -> str:
        options = {row.name: entry.line for row, entry in registry.menu() if entry.line}
        if self._workspace.scenarios:
            options["scenario"] = "Start over with another scenario of the sandbox"
        else:
            options["sandbox"] = "Try it on a sandbox: nothing real is touched"
        options["quit"] = self._quit
        trouble = f" {found.trouble}" if found.trouble else ""
        heading = f"{_SUBJECTS[found.subject]}{trouble}\nWhat do you want to do?"
        return self._menu.choose(heading, options, registry.likely(found.subject).name, "recommended, Enter")

    @property
    def _quit(self) -> str:
        return "Leave the sandbox" if self._inner else "Quit"

    def _move(self) -> None:
        names = {name: scenario.text for name, scenario in self._workspace.scenarios.items()}
        default = self._workspace.scenario if self._workspace.scenario in names else next(iter(names))
        name = self._menu.choose("Which scenario?", names, default)
        self._workspace.move(name)
        self._plain.say(f"\nThe sandbox starts over: {names[name]}.")

    def _visit(self) -> None:
        """A sandbox, and back to this machine."""
        try:
            demo = Demo({}, "legacy")
        except SetupError as error:  # it is not installed
            self._plain.failure(error)
            return
        with closing(demo):
            inner = _Dialogue(demo, self._plain, self._menu, inner=True)
            self._plain.say("")
            inner.greet()
            inner.talk()

    def _undertake(self, kind: Kind) -> bool:
        """Run it as often as the person likes.

        :returns: whether to go on after that.
        """
        while True:
            self.events.recording = self._workspace.recording(kind, SystemClock().now)
            last = ran = self._carry_out(kind)
            provable = registry.row(ran.flow).provable
            proven = provable and kind != "undo" and self.code == ExitCode.DONE and not self._menu.cancel.signal
            if proven:
                last = self._carry_out("verify")
            self._sum_up(ran, last)
            if self._menu.cancel.signal or "flow.unanswered" in last.ids:
                return False
            if self.code == ExitCode.DONE or last.ids == ["flow.no"]:
                if proven:
                    self._next(kind)
                return True
            wish = trouble.after(last.result.errors, self._workspace, last.tenant, self._plain, self._menu)
            if wish != "again":
                return wish == "menu"
            if proven:
                kind = "verify"
            elif kind == "resume" and provable:
                kind = ran.flow  # what it was to go on with may be undone by now

    def _carry_out(self, kind: Kind) -> Ended:
        self._kind = kind
        ended = runs.carry_out(Order(kind), self._context, self.events)
        self.code = ended.result.exit_code
        return ended

    def _sum_up(self, ran: Ended, last: Ended) -> None:
        """What was reached, and what failed."""
        sentences = [*ran.result.summary, *(last.result.summary if last is not ran else ())]
        if sentences:
            self._plain.gap()
            self._plain.say("Summary")
        for sentence in sentences:
            self._plain.say(sentence)
        if last.ids == ["flow.no"]:
            declined = last.result.errors[0]
            self._plain.say(f"\n{declined['message']} {declined['remedy']}")
        else:
            self._plain.result(self._kind, last.result.outcome, self.code, last.data, last.result.errors)
        if aside := self._workspace.aside():
            self._plain.say(f"\n{aside}")

    def _next(self, kind: Kind) -> None:
        """What can be done from here without the wizard, and the answers of this run for another time."""
        settings = self._replayed
        self._plain.say("\nTo prove it again at any time:")
        self._plain.verbatim(answers.command_line("verify", settings))
        self._plain.say("To print an access token of the app:")
        self._plain.verbatim(answers.command_line("token", settings))
        path = answers.free_path(kind, self._workspace.settings)
        gone = " (it goes with the sandbox)" if self._workspace.label else ""
        options = {True: f"Yes, to {path}{gone}", False: "No"}
        if not self._menu.choose("Save the answers of this run, to replay it without questions?", options, False):
            return
        try:
            answers.save(path, kind, settings)
        except SetupError as error:
            self._plain.failure(error)
            return
        self._plain.say("Saved. This replays it:")
        self._plain.verbatim(answers.replay(kind, settings, path))

    @property
    def _replayed(self) -> Settings:
        """The settings of a headless run; a sandbox that is gone by then is in none."""
        settings = self._workspace.settings
        return replace(settings, project=".", cloud="public") if self._workspace.label else settings

    def _ask(self, question: Question) -> bool:
        options = {True: "Yes", False: "No"}
        if question.flag == "--yes":
            options = {True: "Yes, do it", False: "No, change nothing"}
            with suppress(OSError):  # the question finds out that nobody is there
                self._plain.gap()
                self._plain.say(f"The same without questions{', on a real machine' if self._workspace.label else ''}:")
                self._plain.verbatim(answers.command_line(self._kind, self._replayed))
        return self._menu.choose(question.text, options, question.default)

    def _show(self, event: Event) -> None:
        if not isinstance(event, FlowFinished):  # its sentences are part of the summary
            with suppress(OSError, ValueError):  # nobody reads it; what was begun is finished all the same
                self._plain.event(event)
