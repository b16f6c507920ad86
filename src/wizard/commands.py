"""What each command does: settings in, world up, flow through, result out."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from core.errors import Interrupted, SetupError
from core.events import Checked, Event, Finding, FlowFinished, Question, StepFinished
from core.flow.wait import Cancel, SystemClock
from core.settings import Settings, resolve
from core.support.recording import Recording, folder
from wizard.console.ndjson import Ndjson
from wizard.console.plain import Plain, clean
from wizard.process import flush, log, prepare, signals

if TYPE_CHECKING:
    from core.flow.engine import Result
    from core.stages.world import World


class Renderer(Protocol):
    """A front end."""

    def event(self, event: Event) -> None:
        """Show one event."""

    def ask(self, question: Question) -> bool:
        """Ask a person."""

    def result(self, command: str, outcome: str, code: int, data: dict[str, Any], errors: list[dict[str, Any]]) -> None:
        """Show the end."""


def run(command: str, given: dict[str, Any]) -> int:
    """Run one command.

    :param command: its name.
    :param given: long options that were given, with underscores.
    :returns: the exit code; `token` knows 0 and 1 only.
    """
    prepare()
    cancel, stack = Cancel(), ExitStack()
    with stack:
        session = _Session(command, given, cancel, stack)
        try:
            with signals(session):
                code = session.run()
        except SetupError as error:
            code = session.fail(error)
        except Exception as bug:  # noqa: BLE001  reported with an id; never a traceback with values in it
            from core.flow.engine import internal

            code = session.fail(internal(bug))
    code = session.told(code)
    code = flush(code, unread=1 if command == "token" else 0)
    return (0 if code == 0 else 1) if command == "token" else code


class _Session:
    """One command from settings to exit code."""

    def __init__(self, command: str, given: dict[str, Any], cancel: Cancel, stack: ExitStack) -> None:
        self.command, self.given, self.cancel, self.stack = command, given, cancel, stack
        self.asking = self.changed = False
        self.lost: Exception | None = None  # why standard output did not take all of it
        # before anything can be wrong with them: in which form a mistake in the settings is told
        wanted = os.environ.get("ENTRACLAW_SETUP_JSON", "").lower() in ("1", "true", "yes", "on")
        self.settings = Settings(json=bool(given.get("json", wanted)))
        self.renderer: Renderer = self._renderer(self.settings)
        self.sinks: list[Callable[[Event], None]] = []
        self.recording: Recording | None = None
        self.checks: list[dict[str, str]] = []

    def run(self) -> int:
        """Run it.

        :raises SetupError: before a flow has begun.
        """
        if self.command == "demo":
            return self._demo()
        if self.command == "explain":
            return self._explain()
        if self.command == "replay":
            return self._replay()
        if self.command == "token" and self.given.get("json"):
            raise SetupError(
                "usage.settings", detail="--json has no place here: the output is the token", command="token"
            )
        self._settle(self.given)
        match self.command:
            case "migrate" | "onboard" | "apply" | "rollback" as name:
                if name == "onboard" and self.given.get("only") != "provisioner":
                    detail = "the agent chain is not part of this version: pass --only provisioner"
                    raise SetupError("usage.settings", detail=detail, command="onboard")
                return self._finish(self._flow(name, self._real()))
            case "resume" | "undo":
                return self._interrupted(self._real())
            case "verify":
                return self._finish(self._verify(self._real()))
            case "doctor":
                return self._doctor()
            case "token":
                return self._token(self._real())
            case "sandbox":
                return self._sandbox()
        raise AssertionError(self.command)

    def fail(self, error: SetupError) -> int:
        """Show an error that no flow has shown; its exit code."""
        if self.command == "token":
            print(clean(f"entraclaw-setup token: {error}\n{error.remedy}"), file=sys.stderr)
        else:
            self._show("failed", error.exit_code, {}, [error.as_dict()])
        return error.exit_code

    def told(self, code: int) -> int:
        """The exit code; a result that could not be written is no success, unless whoever read it just went away (U4).

        :param code: what the run came to.
        """
        try:
            sys.stdout.flush()
        except (OSError, ValueError) as error:
            self._missed(error)
        if self.lost is None or self.command in ("token", "sandbox"):  # to those it is an error like any other
            return code
        failed = _unwritten(self.lost)
        with suppress(OSError, ValueError):
            if self.settings.json:
                Ndjson(sys.stderr, None).event(Finding(failed.id, "failure", failed.summary, failed.remedy))
            else:
                print(clean(f"entraclaw-setup: {failed}\n{failed.remedy}"), file=sys.stderr, flush=True)
        return code or (6 if self.changed else failed.exit_code)

    def emit(self, event: Event) -> None:
        """Hand an event to every sink."""
        if self.recording is not None:
            self.recording.event(event)
        if self.command == "token":
            # these must reach somebody (K5, M10), and standard output is the token's
            if isinstance(event, Finding) and event.id.startswith(("keystore.allowed", "rollback.")):
                with suppress(OSError):
                    text = f"entraclaw-setup token: {event.message} {event.remedy}".rstrip()
                    print(clean(text), file=sys.stderr)
            return
        try:
            self.renderer.event(event)
        except (OSError, ValueError) as error:  # what was begun is finished all the same
            if self.settings.json:
                self.renderer = Ndjson(None, sys.stdout)
            else:
                self._missed(error)
                self.renderer = Plain(io.StringIO(), sys.stderr, colour=False, quiet=True, verbose=False)
        for sink in list(self.sinks):
            try:
                sink(event)
            except (OSError, ValueError) as error:
                self.sinks.remove(sink)
                with suppress(OSError):
                    print(f"--log-file {self.settings.log_file}: {error}; it ends here", file=sys.stderr)

    def ask(self, question: Question) -> bool:
        """Answer from `--yes`, or ask a person if there is one."""
        if self.settings.yes:
            return True
        if self.settings.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise SetupError("flow.unasked")
        self.asking = True
        try:
            return self.renderer.ask(question)
        finally:
            self.asking = False

    def _settle(self, flags: dict[str, Any]) -> None:
        self.settings = resolve(flags)
        self.renderer = self._renderer(self.settings)
        if self.settings.log_file:
            self.sinks.append(Ndjson(self.stack.enter_context(log(self.settings, self.command)), None).event)

    def _renderer(self, settings: Settings) -> Renderer:
        if settings.json:
            return Ndjson(None if settings.quiet else sys.stderr, sys.stdout)
        colour = sys.stdout.isatty() and not settings.no_color and os.environ.get("TERM") != "dumb"
        return Plain(sys.stdout, sys.stderr, colour=colour, quiet=settings.quiet, verbose=settings.verbose)

    def _real(self) -> World:
        from core import assemble

        world = assemble.real(self.settings, self.cancel, self.emit, self.ask)
        self.stack.callback(world.close)
        if self.command != "token":
            self._record(world)
        return world

    def _record(self, world: World, *, lasting: bool = True) -> None:
        self.recording = Recording(self.command, SystemClock().now, lasting=lasting)
        self.recording.begin(world.profile, world.run_id, self.emit)

    def _flow(self, name: str, world: World, *, undo: bool = False) -> tuple[World, Result]:
        from importlib import import_module

        from core.flow import engine

        flow = import_module(f"core.stages.{name}").FLOW
        act = engine.undo if undo else engine.run
        return world, act(flow, world, world.run_id, dry_run=self.settings.dry_run)

    def _interrupted(self, world: World) -> int:
        """Continue, or take back, the run of this project that was interrupted."""
        from core.flow.engine import Result
        from core.stages import interrupted, leftover

        found = interrupted.find(world)
        if found is None:
            leftover.after(world)
            none = "No run of this project is open: nothing has to be resumed or undone."
            self.emit(FlowFinished(self.command, "unchanged", 0, (none,), 0.0))
            return self._finish((world, Result("unchanged", 0, summary=(none,))))
        undo = self.command == "undo"
        if undo:
            world.keeps_nothing()
        what = f"Open is an interrupted '{found.flow}': {'; '.join(found.done) or 'nothing that is left'}."
        self.emit(Finding("journal.open", "info", what))
        return self._finish(self._flow(found.flow, world, undo=undo))

    def _verify(self, world: World) -> tuple[World, Result]:
        from core.stages.verify import verify

        def note(event: Event) -> None:
            if isinstance(event, StepFinished):
                state = {"unchanged": "ok", "skipped": "warning"}.get(event.state, "failure")
                row = {"check": event.step, "title": event.title, "state": state, "evidence": event.detail}
                self.checks.append(row)

        self.sinks.append(note)
        try:
            return world, verify(world)
        finally:
            self.sinks.remove(note)

    def _doctor(self) -> int:
        self.sinks.append(self._note)
        try:
            from core.support.doctor import diagnose

            world = self._real()
        except ImportError as error:
            from core.machine import packages
            from core.support import installation

            result = installation.diagnose(packages.look(), error, "", self.emit)
            self._show(result.outcome, result.exit_code, {"checks": self.checks}, result.errors)
            return result.exit_code
        result = diagnose(world, self.given.get("check") or (), fix=bool(self.given.get("fix")))
        return self._finish((world, result))

    def _note(self, event: Event) -> None:
        """Keep the rows of a diagnosis for the result."""
        if isinstance(event, Checked):
            row = {key: value for key, value in asdict(event).items() if key not in ("seconds",)}
            self.checks = [*(kept for kept in self.checks if kept["check"] != event.check), row]

    def _token(self, world: World) -> int:
        from core.stages.token import token

        self._write(token(world).value.reveal())
        return 0

    def _sandbox(self) -> int:
        from core import assemble

        given = self.given
        latency = given["latency_ms"] / 1000
        lab = assemble.sandbox(given["scenario"] or "legacy", given["seed"], given["port"], latency, given["user"])
        self.stack.callback(lab.close)
        if given.get("env"):
            import shlex

            self._write("\n".join(f"export {name}={shlex.quote(value)}" for name, value in lab.environment().items()))
        elif show := given.get("show"):
            self._write(lab.recipes()[show].rstrip("\n"))
        else:
            import json

            self._write(json.dumps(lab.info()))
        if sys.stderr.isatty() and not (self.settings.json or given.get("quiet") or given.get("show")):  # by hand
            self._introduce(str(lab.info()["authority"]), lab.recipes()["az"])
        try:
            while True:
                SystemClock(self.cancel).wait(3600)
        except Interrupted:
            return 0  # stopping it is how it ends

    @staticmethod
    def _introduce(page: str, az: str) -> None:
        """Say what can be done with the sandbox; on standard error, because programs read the other one."""
        import textwrap

        text = f"""
A pretend tenant, on this computer alone. Ctrl-C stops it and removes all of it.

Look at it:  {page}/
Use it with the Azure CLI:
{textwrap.indent(az, "  ")}
The lines for Python, Terraform and a browser: start it with --show python, terraform or browser."""
        print(text, file=sys.stderr, flush=True)

    def _explain(self) -> int:
        """Needs no settings, so that it can explain what is wrong with them."""
        from wizard.explain import answer

        width = min(shutil.get_terminal_size().columns, 100) if sys.stdout.isatty() else 0
        data, text = answer(self.given.get("id"), width)
        if self.settings.json:
            self._show("unchanged", 0, data, [])
        else:
            self._say(text)
        return 0

    def _replay(self) -> int:
        """Recordings, or one of them as lines; whatever the settings say, nothing is written (U7)."""
        from core import profile as profiles
        from wizard import replay

        replay.refuse(self.given)
        self._settle(self.given | {"log_file": ""})
        profile = profiles.load(self.settings.profile)
        if (name := self.given.get("file")) is None:
            found = replay.listed(profile)
            if self.settings.json:
                self._show("unchanged", 0, {"recordings": [asdict(each) for each in found]}, [])
            else:
                none = f"No run was recorded yet in {folder(profile)}."
                self._say(clean("\n".join(str(each) for each in found) or none))
            return 0
        tape = replay.load(replay.find(name, profile))
        pace = replay.Pace(SystemClock(self.cancel), self.given["speed"], tape.started)
        if self.settings.json:
            self.renderer = Ndjson(None if self.settings.quiet else sys.stderr, sys.stdout, pace.now)
            replay.play(tape, self.emit, pace, self.cancel)
            self._show("unchanged", 0, replay.facts(tape), [])
            return 0
        self._say(replay.head(tape))
        replay.play(tape, self.emit, pace, self.cancel)
        if (told := tape.parts[-1].result) is not None:
            self.renderer.result(told.command, told.outcome, told.exit_code, told.data, told.errors)
        self._say(f"\n{replay.end(tape)}")
        return 0

    def _demo(self) -> int:
        """Sandbox, seeded project, keystore in memory, flow, verification: one process, cleaned up (U8)."""
        from wizard.demo import refuse
        from wizard.ground import Demo, chosen
        from wizard.report import data

        refuse(self.given)
        scenario, flow = chosen(self.given)
        ground = Demo(self.given, scenario, self.given["seed"])
        self.stack.callback(ground.close)
        self._settle(self.given | {"project": ground.settings.project, "cloud": ground.settings.cloud})
        if not (self.settings.json or self.settings.quiet):
            self._say("Demo: pretend tenant on 127.0.0.1, keystore in memory. Nothing real is touched.")
        ground.settings = self.settings
        world = ground.world(self.cancel, self.emit, self.ask)
        self.stack.callback(world.close)
        self._record(world, lasting=False)
        world, result = self._flow(flow, world)
        if result.exit_code == 0 and not self.settings.dry_run:
            assert self.recording is not None
            told = data(flow, world, result, [])
            self.recording.result(flow, result.outcome, result.exit_code, told, result.errors)
            again = ground.world(self.cancel, self.emit, self.ask)
            self.stack.callback(again.close)
            _, proof = self._verify(again)
            if proof.exit_code:
                result.outcome, result.exit_code = "failed", proof.exit_code
                result.errors += proof.errors
        return self._finish((world, result))

    def _finish(self, ran: tuple[World, Result]) -> int:
        from wizard.report import data

        world, result = ran
        self._show(result.outcome, result.exit_code, data(self.command, world, result, self.checks), result.errors)
        return result.exit_code

    def _show(self, outcome: str, code: int, data: dict[str, Any], errors: list[dict[str, Any]]) -> None:
        self.changed = outcome in ("changed", "partial")
        if self.recording is not None:
            data = self.recording.result(self.command, outcome, code, data, errors)
        try:
            self.renderer.result(self.command, outcome, code, data, errors)
        except (OSError, ValueError) as error:
            self._missed(error)

    def _say(self, text: str) -> None:
        try:
            print(text, flush=True)
        except (OSError, ValueError) as error:
            self._missed(error)

    def _missed(self, error: Exception) -> None:
        """Remember what standard output did not take; that nobody is there to read it is no failure."""
        if not isinstance(error, BrokenPipeError):
            self.lost = self.lost or error

    @staticmethod
    def _write(text: str) -> None:
        """Write what the command is for.

        :raises SetupError: `output.lost`.
        """
        try:
            print(text, flush=True)
        except (OSError, ValueError) as error:
            raise _unwritten(error) from None


def _unwritten(error: Exception) -> SetupError:
    return SetupError("output.lost", detail=getattr(error, "strerror", None) or error)
