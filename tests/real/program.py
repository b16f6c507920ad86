"""The program as a process of its own, with a real az, a real keyring, and a sandbox over TLS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.config.profile import Profile
from core.sandbox.lab import Lab
from tests.real.conftest import Desktop


@dataclass
class Program:
    """Runs commands inside a desktop session.

    :param az: folder of the real `az`.
    :param variables: what the environment differs in; None takes a variable away.
    """

    lab: Lab
    session: Desktop
    az: Path
    variables: dict[str, str | None] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What a person has after `eval "$(entraclaw-setup sandbox --env)"`."""
        path = f"{self.az}{os.pathsep}{os.environ['PATH']}"
        found = self.session.environment | self.lab.environment() | {"PATH": path, "PYTHONSAFEPATH": "1"}
        return {name: value for name, value in (found | self.variables).items() if value is not None}

    @property
    def state(self) -> dict[str, str]:
        """The state file's members."""
        members: dict[str, str] = json.loads((self.lab.project / Profile.state_file).read_text())
        return members

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(self._argv(arguments), **self._options(), timeout=120, check=False)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(self._argv(arguments), **self._options())

    def result(self, *arguments: str) -> dict[str, Any]:
        """The result object of a command with --json."""
        finished = self.run(*arguments, "--json")
        assert finished.stdout.count("\n") == 1, finished.stdout + finished.stderr
        result: dict[str, Any] = json.loads(finished.stdout)
        assert result["exit_code"] == finished.returncode
        return result

    def az_json(self, *arguments: str) -> Any:
        """What the real az prints."""
        argv = [str(self.az / "az"), *arguments, "-o", "json"]
        finished = subprocess.run(argv, **self._options(), timeout=60, check=False)
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout) if finished.stdout.strip() else None

    def _argv(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "wizard", *arguments]

    def _options(self) -> dict[str, Any]:
        return {
            "env": self.environment,
            "cwd": self.session.home,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
        }
