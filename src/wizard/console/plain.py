"""The flow as a linear text: no redraw, no spinner; every state in a word (U4, U6).

Names come from a tenant that others can write to, so control characters never reach the terminal.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import Any, Final, TextIO, assert_never

from core import events
from core.config.settings import thumbprint
from core.errors import SetupError
from core.errors.exit_codes import ExitCode
from core.secret import redactor
from wizard.report import support
from wizard.text import clean, wrapped

_COLOURS: Final = {"ok": "32", "done": "32", "warn": "33", "FAIL": "31", "delete": "31", "add": "32", "wait": "36"}
WORDS: Final = {"unchanged": "ok", "done": "done", "undone": "undone", "failed": "FAIL", "skipped": "warn"}
SEVERITY: Final = {"ok": "ok", "info": "note", "warning": "warn", "failure": "FAIL", "unseen": "unseen"}
#: Seconds from which on it is told how long a check took.
_SLOW: Final = 0.1
SIGNS: Final = {"add": "+", "delete": "-", "change": "~", "keep": " "}


class Plain:
    """A renderer for people, and for screen readers.

    :param out: receives everything but errors.
    :param err: receives errors.
    :param colour: whether to colour the state words, which say the same without.
    :param quiet: only warnings, failures and the summary.
    :param verbose: also what each change calls.
    :ivar width: columns of a terminal; 0 where lines are not wrapped.
    """

    def __init__(self, out: TextIO, err: TextIO, *, colour: bool, quiet: bool, verbose: bool) -> None:
        self._out, self._err = out, err
        self._colour, self._quiet, self._verbose = colour, quiet, verbose
        self._in_plan = False
        self._apart = True  # whether an empty line was the last
        self._place = ""  # of the rows above: it is shown once under those that share it
        self._held: list[events.ChangePlanned] = []  # rows that --quiet keeps back until somebody is asked about them
        # a terminal is wrapped for reading; a pipe gets whole lines
        self.width = min(shutil.get_terminal_size().columns, 100) if out.isatty() else 0

    def event(self, event: events.Event) -> None:  # noqa: PLR0912  a branch for each member of the union
        """Show one event."""
        if self._in_plan and not isinstance(event, events.ChangePlanned):
            self._in_plan = False
            self._placed()
            self._print("")
        match event:
            case events.FlowStarted() | events.StepStarted() | events.Question():
                pass
            case events.StageStarted():
                self._print(f"\n{event.title}")
            case events.StepFinished():
                detail = f": {event.detail}" if event.detail else ""
                self._row(WORDS[event.state], f"{event.title}{detail}", loud=event.state in ("failed", "skipped"))
            case events.Waiting():
                usual = f"usually {event.expected:.0f} s, " if event.expected else ""
                times = f"{usual}{event.elapsed:.0f} s so far, next try in {event.next_in:.0f} s"
                self._row("wait", f"waiting for {event.reason} ({times})")
            case events.Finding():
                self._row(SEVERITY[event.severity], event.message, loud=event.severity in ("warning", "failure"))
                if event.remedy:
                    self._row("", event.remedy, loud=event.severity in ("warning", "failure"))
            case events.Checked():
                took = f" ({event.seconds:.1f} s)" if event.seconds >= _SLOW else ""
                bad = event.state in ("warning", "failure")
                told = f"{event.title}: {event.evidence}{took}"
                self._row(SEVERITY[event.state], told, loud=event.state != "ok")
                if event.remedy and (event.state != "ok" or self._verbose):
                    self._row("", event.remedy, loud=bad)
                if event.fix and bad:
                    self._row("", f"--fix: {event.fix}", loud=True)
            case events.ChangePlanned():
                (self._held.append if self._quiet else self._planned)(event)
            case events.ChangeMade():
                if self._verbose:
                    self._row("", f"{event.action} {event.target}")
            case events.FlowFinished():
                if event.summary:
                    self._print("", always=True)
                for sentence in event.summary:
                    self.say(sentence)
            case _:
                assert_never(event)

    def ask(self, question: events.Question) -> bool:
        """Ask on the terminal; Enter means the default, the end of the input means no."""
        hint = "[Y/n]" if question.default else "[y/N]"
        quiet, self._quiet = self._quiet, False
        for row in self._held:
            self._planned(row)
        self._placed()
        self._quiet, self._in_plan = quiet, False
        if self._held:
            self._print("", always=True)
        *before, last = question.text.split("\n")
        for line in before:
            self.say(line)
        while True:
            self.prompt(last if question.typed else f"{last} {hint}")
            try:
                given = input().strip().lower()
            except EOFError:
                return False
            if question.typed:
                return thumbprint(given) == question.typed
            if given in ("", "y", "yes", "n", "no"):
                return question.default if not given else given.startswith("y")
            self._print("Please answer y or n.", always=True)

    def result(self, command: str, outcome: str, code: int, data: dict[str, Any], errors: list[dict[str, Any]]) -> None:
        """Show what went wrong; the summary was shown with the last event."""
        width = self.width if self._err.isatty() else 0
        for error in errors:
            lines = wrapped(f"{error['message']} [{error['id']}]\n{error['remedy']}", width - 6)
            print(f"\n{self._paint('FAIL', 'FAIL')}  " + "\n      ".join(lines), file=self._err, flush=True)
        if told := support(code, data):
            print(f"\n{clean(told)}", file=self._err, flush=True)
        if outcome in ("planned", "unchanged") and not errors and "plan" in data and data.get("dry_run"):
            self._print(f"\nNothing was changed: this was a dry run (plan {data['plan']['fingerprint']}).", always=True)

    def failure(self, error: SetupError) -> ExitCode:
        """Show what went wrong where nothing was run, if anybody is there; its exit code."""
        with suppress(OSError):
            self.result("", "failed", error.exit_code, {}, [error.as_dict()])
        return error.exit_code

    def gap(self) -> None:
        """Show an empty line, unless the last one is empty."""
        if not self._apart:
            self._print("", always=True)

    def say(self, text: str) -> None:
        """Show sentences."""
        self._print("\n".join(wrapped(text, self.width)), always=True)

    def item(self, number: int, text: str) -> None:
        """Show one entry of a list to choose from."""
        head = f"  {number}  "
        self._print(head + f"\n{' ' * len(head)}".join(wrapped(text, self.width - len(head))), always=True)

    def verbatim(self, text: str) -> None:
        """Show what is to be copied: no line is broken."""
        self._print(clean(text), always=True)

    def prompt(self, text: str) -> None:
        """Show what is asked, and leave the cursor behind it."""
        self._out.write(f"{clean(text)} ")
        self._out.flush()

    def _planned(self, change: events.ChangePlanned) -> None:
        if not self._in_plan:
            self._in_plan = True
            self._print("\nPlan")
        if change.where != self._place:
            self._placed()
        note = " (cannot be undone)" if change.action == "delete" and not change.reversible else ""
        value = change.before or change.after
        self._row(change.action, f"{change.what}{': ' if value else ''}{value}{note}", sign=SIGNS[change.action])
        if self._verbose and change.call:
            self._row("", change.call, sign=" ")
        self._place = change.where

    def _placed(self) -> None:
        if self._place:
            self._row("", f"on {self._place}", sign=" ")
        self._place = ""

    def _row(self, word: str, text: str, *, loud: bool = False, sign: str = "") -> None:
        """One row: a state word, then the text, wrapped under itself on a terminal."""
        head = f"{sign} {word:<7}" if sign else f"{word:<7}"
        margin = " " * (len(head) + 3)
        lines = wrapped(text, self.width - len(margin))
        self._print(f"  {self._paint(word, head)} " + f"\n{margin}".join(lines), always=loud)

    def _paint(self, word: str, text: str) -> str:
        code = _COLOURS.get(word)
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code else text

    def _print(self, text: str, *, always: bool = False) -> None:
        if always or not self._quiet:
            self._apart = text == ""
            print(redactor.redact(text), file=self._out, flush=True)
