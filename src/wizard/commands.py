"""What each command does: settings in, context up, flow through, result out."""

from __future__ import annotations

import shlex
import shutil
import sys
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.clock import SystemClock
from core.config.settings import Settings
from core.errors import Interrupted, SetupError
from core.errors.exit_codes import ExitCode
from core.flows import registry
from core.recording.writer import folder
from wizard.console.ndjson import Ndjson
from wizard.output import Invocation
from wizard.process import flush, prepare, signals
from wizard.runs import Ended, Order
from wizard.text import clean
from wizard.workspace import Local


def run(command: str, given: dict[str, Any]) -> ExitCode:
    """Run one command.

    :param command: its name.
    :param given: long options that were given, with underscores.
    :returns: the exit code; `token` knows 0 and 1 only.
    """
    prepare()
    with ExitStack() as stack:
        session = _Session(command, given, stack)
        try:
            with signals(session):
                session.cancel.check()
                code = session.run()
        except Exception as error:  # noqa: BLE001  reported with an id; never a traceback with values in it
            code = session.fail(error)
    code = session.told(code)
    code = flush(code, unread=ExitCode.FAILED if command == "token" else ExitCode.DONE)
    return ExitCode.FAILED if command == "token" and code else code


class _Session(Invocation):
    """One command from settings to exit code."""

    def run(self) -> ExitCode:
        """Run it.

        :raises SetupError: before a flow has begun.
        """
        unsettled = {"demo": self._demo, "explain": self._explain, "replay": self._replay}
        if act := unsettled.get(self.command):
            return act()
        if self.command == "token" and self.given.get("json"):
            raise SetupError(
                "usage.settings", detail="--json has no place here: the output is the token", command="token"
            )
        self.settle(self.given)
        settled = {"token": self._token, "sandbox": self._sandbox, "doctor": self._doctor}
        if act := settled.get(self.command):
            return act()
        if self.command == "verify" and self.given.get("commands"):
            return self._commands()
        if (flow := registry.flow(self.command)) is not None and flow.part and self.given.get("only") != flow.part:
            detail = f"the agent chain is not part of this version: pass --only {flow.part}"
            raise SetupError("usage.settings", detail=detail, command=flow.name)
        return self._finish(self.carry_out(Order(self.command, headless=True)))

    def _commands(self) -> ExitCode:
        """Print what `verify` would look at, for a shell."""
        from core.checks.commands import commands

        with closing(self.context(Local(self.settings))) as ctx:
            rows = commands(ctx)
        text = "\n\n".join(f"# {row.check}: prints {row.expected}\n{row.line}" for row in rows)
        return self._answer({"commands": [row._asdict() for row in rows]}, text)

    def _doctor(self) -> ExitCode:
        only, fix = tuple(self.given.get("check") or ()), bool(self.given.get("fix"))
        ended = self.carry_out(Order("doctor", only, fix, headless=True))
        if not (self.settings.json or self.settings.quiet) and (elsewhere := self._elsewhere(ended)):
            self.say(f"The commands above are about this project only with: {elsewhere}")
        return self._finish(ended)

    def _elsewhere(self, ended: Ended) -> str:
        """What a command that is named in a remedy needs besides, if it is run from here."""
        if "cloud" not in ended.data:
            return ""  # this program cannot even begin
        folder, cloud = self.settings.folder, self.settings.cloud
        options = [] if folder.resolve() == Path.cwd().resolve() else ["--project", str(folder)]
        options += ["--cloud", cloud] if cloud != Settings.cloud else []
        remedies = any("entraclaw-setup" in row["remedy"] for row in ended.data.get("checks", ()))
        return clean(shlex.join(options)) if remedies else ""

    def _token(self) -> ExitCode:
        from core.flows.access_token import token

        with closing(self.context(Local(self.settings))) as ctx:
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
        return self._answer(data, text)

    def _answer(self, data: dict[str, Any], text: str) -> ExitCode:
        """Show data to a program, or a text to a person."""
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
            listing = "\n".join(str(each) for each in found) or f"No run was recorded yet in {folder(profile)}."
            return self._answer({"recordings": [asdict(each) for each in found]}, clean(listing))
        tape = replay.load(replay.find(name, profile))
        pace = replay.Pace(SystemClock(self.cancel), self.given["speed"], tape.started)
        if self.settings.json:
            self.renderer = Ndjson(None if self.settings.quiet else sys.stderr, sys.stdout, pace.now)
        else:
            self.say(replay.head(tape))
        replay.play(tape, self.emit, pace, self.cancel)
        if self.settings.json:
            self.show("unchanged", ExitCode.DONE, replay.facts(tape), [])
            return ExitCode.DONE
        if (told := tape.parts[-1].result) is not None:
            self.renderer.result(told.command, told.outcome, told.exit_code, told.data, told.errors)
        self.say(f"\n{replay.end(tape)}")
        return ExitCode.DONE

    def _demo(self) -> ExitCode:
        """Sandbox, seeded project, keystore in memory, flow, verification: one process, cleaned up (U8)."""
        from wizard.demo import refuse
        from wizard.workspace import Demo, chosen

        refuse(self.given)
        scenario, flow = chosen(self.given)
        workspace = Demo(self.given, scenario, self.given["seed"])
        self.stack.callback(workspace.close)
        self.settle(self.given | {"project": workspace.settings.project, "cloud": workspace.settings.cloud})
        if not (self.settings.json or self.settings.quiet):
            self.say("Demo: pretend tenant on 127.0.0.1, keystore in memory. Nothing real is touched.")
        workspace.settings = self.settings
        ended = self.carry_out(Order(flow.name, headless=True, command=self.command), workspace)
        result = ended.result
        if result.exit_code == ExitCode.DONE and not self.settings.dry_run:
            proof = self.carry_out(Order("verify", headless=True), workspace)
            ended.data.update({name: rows for name, rows in proof.data.items() if name == "checks"})
            if proof.result.exit_code:
                result.outcome, result.exit_code = "failed", proof.result.exit_code
                result.errors += proof.result.errors
        code = self._finish(ended)
        if not (self.settings.json or self.settings.quiet):
            self.say(f"\n{clean(workspace.aside(flow.name))}")
        return code

    def _finish(self, ended: Ended) -> ExitCode:
        result = ended.result
        self.show(result.outcome, result.exit_code, ended.data, result.errors)
        return result.exit_code
