"""What each command does: settings in, context up, flow through, result out."""

from __future__ import annotations

import shlex
import shutil
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.clock import Cancel, SystemClock
from core.config.settings import Settings
from core.errors import Interrupted, SetupError
from core.errors.exit_codes import ExitCode
from core.events import Checked, Event, Finding, FlowFinished, StepFinished
from core.flows import registry
from core.recording.writer import folder
from wizard.console.ndjson import Ndjson
from wizard.console.plain import clean
from wizard.output import Invocation
from wizard.process import flush, prepare, signals

if TYPE_CHECKING:
    from core.flow.engine import Result
    from core.flow.spec import FlowSpec
    from core.steps.context import Context


def run(command: str, given: dict[str, Any]) -> ExitCode:
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
                cancel.check()
                code = session.run()
        except SetupError as error:
            code = session.fail(error)
        except Exception as bug:  # noqa: BLE001  reported with an id; never a traceback with values in it
            from core.flow.engine import internal

            code = session.fail(internal(bug))
    code = session.told(code)
    code = flush(code, unread=ExitCode.FAILED if command == "token" else ExitCode.DONE)
    return ExitCode.FAILED if command == "token" and code else code


class _Session(Invocation):
    """One command from settings to exit code."""

    def run(self) -> ExitCode:
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
        self.settle(self.given)
        if (flow := registry.flow(self.command)) is not None:
            if flow.part and self.given.get("only") != flow.part:
                detail = f"the agent chain is not part of this version: pass --only {flow.part}"
                raise SetupError("usage.settings", detail=detail, command=flow.name)
            return self._finish(self._flow(flow, self.real()))
        match self.command:
            case "resume" | "undo":
                return self._interrupted(self.real())
            case "verify" if self.given.get("commands"):
                return self._commands(self.real())
            case "verify":
                return self._finish(self._verify(self.real()))
            case "doctor":
                return self._doctor()
            case "token":
                return self._token(self.real())
            case "sandbox":
                return self._sandbox()
        raise AssertionError(self.command)

    def _flow(self, flow: FlowSpec, ctx: Context, *, undo: bool = False) -> tuple[Context, Result]:
        from core.flow import engine

        act = engine.undo if undo else engine.run
        return ctx, act(registry.load(flow.load), ctx, ctx.run_id, dry_run=self.settings.dry_run)

    def _interrupted(self, ctx: Context) -> ExitCode:
        """Continue, or take back, the run of this project that was interrupted."""
        from core.flow.engine import Result
        from core.flows import interrupted
        from core.steps.passwords import rollback_secret

        found = interrupted.find(ctx)
        if found is None:
            rollback_secret.after(ctx)
            none = "No run of this project is open: nothing has to be resumed or undone."
            self.emit(FlowFinished(self.command, "unchanged", ExitCode.DONE, (none,), 0.0))
            return self._finish((ctx, Result("unchanged", ExitCode.DONE, summary=(none,))))
        undo = self.command == "undo"
        if undo:
            ctx.keeps_nothing()
        what = f"Open is an interrupted '{found.flow}': {'; '.join(found.done) or 'nothing that is left'}."
        self.emit(Finding("journal.open", "info", what))
        flow = registry.flow(found.flow)
        assert flow is not None  # any other journal was refused
        return self._finish(self._flow(flow, ctx, undo=undo))

    def _verify(self, ctx: Context) -> tuple[Context, Result]:
        from core.checks.verify import verify

        def note(event: Event) -> None:
            if isinstance(event, StepFinished):
                state = {"unchanged": "ok", "skipped": "warning"}.get(event.state, "failure")
                row = {"check": event.step, "title": event.title, "state": state, "evidence": event.detail}
                self.checks.append(row)

        self.sinks.append(note)
        try:
            return ctx, verify(ctx)
        finally:
            self.sinks.remove(note)

    def _commands(self, ctx: Context) -> ExitCode:
        """Print what `verify` would look at, for a shell."""
        from core.checks.commands import commands

        rows = commands(ctx)
        if self.settings.json:
            self.show("unchanged", ExitCode.DONE, {"commands": [row._asdict() for row in rows]}, [])
        else:
            self.say("\n\n".join(f"# {row.check}: prints {row.expected}\n{row.line}" for row in rows))
        return ExitCode.DONE

    def _doctor(self) -> ExitCode:
        self.sinks.append(self._note)
        try:
            from core.checks.doctor import diagnose

            ctx = self.real()
        except (ImportError, SetupError) as error:
            if isinstance(error, Interrupted):
                raise
            from core.checks import broken_install
            from core.machine import python_packages

            result = broken_install.diagnose(python_packages.look(), error, "", self.emit)
            self.show(result.outcome, result.exit_code, {"checks": self.checks}, result.errors)
            return result.exit_code
        result = diagnose(ctx, self.given.get("check") or (), fix=bool(self.given.get("fix")))
        if not (self.settings.json or self.settings.quiet) and (elsewhere := self._elsewhere()):
            self.say(f"The commands above are about this project only with: {elsewhere}")
        return self._finish((ctx, result))

    def _elsewhere(self) -> str:
        """What a command that is named in a remedy needs besides, if it is run from here."""
        folder, cloud = self.settings.folder, self.settings.cloud
        options = [] if folder.resolve() == Path.cwd().resolve() else ["--project", str(folder)]
        options += ["--cloud", cloud] if cloud != Settings.cloud else []
        remedies = any("entraclaw-setup" in row["remedy"] for row in self.checks)
        return clean(shlex.join(options)) if remedies else ""

    def _note(self, event: Event) -> None:
        """Keep the rows of a diagnosis for the result."""
        if isinstance(event, Checked):
            row = {key: value for key, value in asdict(event).items() if key not in ("seconds",)}
            self.checks = [*(kept for kept in self.checks if kept["check"] != event.check), row]

    def _token(self, ctx: Context) -> ExitCode:
        from core.flows.access_token import token

        self.write(token(ctx).value.reveal())
        return ExitCode.DONE

    def _sandbox(self) -> ExitCode:
        from core import assemble

        given = self.given
        latency = given["latency_ms"] / 1000
        chosen = (given["scenario"] or "legacy", given["seed"], given["port"], latency, given["user"], given["proxy"])
        lab = assemble.sandbox(*chosen)
        self.stack.callback(lab.close)
        if given.get("show") and given.get("proxy"):
            detail = "--show tells how clients are led to the sandbox's own names; with --proxy take the lines of --env"
            raise SetupError("usage.settings", detail=detail, command="sandbox")
        if given.get("env"):
            import shlex

            self.write("\n".join(f"export {name}={shlex.quote(value)}" for name, value in lab.environment().items()))
        elif show := given.get("show"):
            self.write(lab.recipes()[show].rstrip("\n"))
        else:
            import json

            self.write(json.dumps(lab.info()))
        if sys.stderr.isatty() and not (self.settings.json or given.get("quiet") or given.get("show")):  # by hand
            self._introduce(str(lab.info()["authority"]), lab.recipes()["az"])
        try:
            while True:
                SystemClock(self.cancel).wait(3600)
        except Interrupted:
            return ExitCode.DONE  # stopping it is how it ends

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

    def _explain(self) -> ExitCode:
        """Needs no settings, so that it can explain what is wrong with them."""
        from wizard.explain import answer

        width = min(shutil.get_terminal_size().columns, 100) if sys.stdout.isatty() else 0
        data, text = answer(self.given.get("id"), width)
        if self.settings.json:
            self.show("unchanged", ExitCode.DONE, data, [])
        else:
            self.say(text)
        return ExitCode.DONE

    def _replay(self) -> ExitCode:
        """Recordings, or one of them as lines; whatever the settings say, nothing is written (U7)."""
        from core.config import profile as profiles
        from wizard import replay

        replay.refuse(self.given)
        self.settle(self.given | {"log_file": ""})
        profile = profiles.of(self.settings)
        if (name := self.given.get("file")) is None:
            found = replay.listed(profile)
            if self.settings.json:
                self.show("unchanged", ExitCode.DONE, {"recordings": [asdict(each) for each in found]}, [])
            else:
                none = f"No run was recorded yet in {folder(profile)}."
                self.say(clean("\n".join(str(each) for each in found) or none))
            return ExitCode.DONE
        tape = replay.load(replay.find(name, profile))
        pace = replay.Pace(SystemClock(self.cancel), self.given["speed"], tape.started)
        if self.settings.json:
            self.renderer = Ndjson(None if self.settings.quiet else sys.stderr, sys.stdout, pace.now)
            replay.play(tape, self.emit, pace, self.cancel)
            self.show("unchanged", ExitCode.DONE, replay.facts(tape), [])
            return ExitCode.DONE
        self.say(replay.head(tape))
        replay.play(tape, self.emit, pace, self.cancel)
        if (told := tape.parts[-1].result) is not None:
            self.renderer.result(told.command, told.outcome, told.exit_code, told.data, told.errors)
        self.say(f"\n{replay.end(tape)}")
        return ExitCode.DONE

    def _demo(self) -> ExitCode:
        """Sandbox, seeded project, keystore in memory, flow, verification: one process, cleaned up (U8)."""
        from wizard.demo import refuse
        from wizard.report import data
        from wizard.workspace import Demo, chosen

        refuse(self.given)
        scenario, flow = chosen(self.given)
        workspace = Demo(self.given, scenario, self.given["seed"])
        self.stack.callback(workspace.close)
        self.settle(self.given | {"project": workspace.settings.project, "cloud": workspace.settings.cloud})
        if not (self.settings.json or self.settings.quiet):
            self.say("Demo: pretend tenant on 127.0.0.1, keystore in memory. Nothing real is touched.")
        workspace.settings = self.settings
        ctx = workspace.context(self.cancel, self.emit, self.ask)
        self.stack.callback(ctx.close)
        self.record(ctx, lasting=False)
        ctx, result = self._flow(flow, ctx)
        if result.exit_code == ExitCode.DONE and not self.settings.dry_run:
            assert self.recording is not None
            told = data(flow.name, ctx, result, [])
            self.recording.result(flow.name, result.outcome, result.exit_code, told, result.errors)
            again = workspace.context(self.cancel, self.emit, self.ask)
            self.stack.callback(again.close)
            _, proof = self._verify(again)
            if proof.exit_code:
                result.outcome, result.exit_code = "failed", proof.exit_code
                result.errors += proof.errors
        return self._finish((ctx, result))

    def _finish(self, ran: tuple[Context, Result]) -> ExitCode:
        from wizard.report import data

        ctx, result = ran
        self.show(result.outcome, result.exit_code, data(self.command, ctx, result, self.checks), result.errors)
        return result.exit_code
