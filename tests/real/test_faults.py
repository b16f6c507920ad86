"""The unmodified Azure CLI meets faults of a scenario file: it takes them for the real thing (S3, S4)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from core.config.profile import Profile
from core.sandbox.directory.store import State
from core.sandbox.lab import Lab


class Bench(NamedTuple):
    """A sandbox that fails by script, and the real az in front of it."""

    lab: Lab
    run: Callable[..., subprocess.CompletedProcess[str]]

    @property
    def app(self) -> State:
        found = self.lab.tenant.find("application", "displayName", Profile.app_display_name)
        assert found is not None
        return found


@pytest.fixture
def bench(az: Path, home: Path, tmp_path: Path) -> Iterator[Callable[[str], Bench]]:
    labs: list[Lab] = []

    def start(text: str) -> Bench:
        path = tmp_path / "scenario.toml"
        path.write_text(text, encoding="utf-8")
        lab = Lab.start(str(path))
        labs.append(lab)
        surroundings = {"HOME": str(home), "LANG": "C.UTF-8", "PYTHONSAFEPATH": "1"}
        surroundings |= lab.environment() | {"PATH": f"{az}{os.pathsep}{os.environ['PATH']}"}

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            argv = [str(az / "az"), *arguments]
            return subprocess.run(argv, env=surroundings, capture_output=True, text=True, timeout=60, check=False)

        return Bench(lab, run)

    yield start
    for lab in labs:
        lab.close()


LIST = ("ad", "app", "list", "--display-name", Profile.app_display_name, "-o", "json")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ('kind = "status"\nstatus = 429\nretry_after = 7', "ERROR: By script."),
        ('kind = "status"\nstatus = 502\nbody = "html"', "JSONDecodeError: Expecting value"),
        ('kind = "cut-before"', "Remote end closed connection without response"),
        ('kind = "half-body"', "IncompleteRead("),
    ],
)
def test_S4_az_fails_on_a_read_as_it_does_elsewhere_and_asks_once(
    bench: Callable[[str], Bench], fault: str, said: str
) -> None:
    """It repeats nothing, and takes a page for a bug of its own."""
    stand = bench(f'[[fault]]\nmatch = "^GET /v1.0/applications"\n{fault}\n')
    failed = stand.run(*LIST)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert said in failed.stderr
    assert [line for line in stand.lab.tenant.faults.log if "applications" in line] == ["GET /v1.0/applications"]
    again = stand.run(*LIST)
    assert (again.returncode, again.stderr) == (0, "")
    assert [app["appId"] for app in json.loads(again.stdout)] == [stand.app["appId"]]


@pytest.mark.parametrize(("fault", "notes"), [("cut-before", None), ("cut-after", "changed")])
def test_S4_az_does_not_know_whether_a_write_that_was_cut_happened(
    bench: Callable[[str], Bench], fault: str, notes: str | None
) -> None:
    stand = bench(f'[[fault]]\nmatch = "^PATCH"\nkind = "{fault}"\n')
    failed = stand.run("ad", "app", "update", "--id", stand.app["appId"], "--set", "notes=changed")
    assert failed.returncode == 1
    assert "Remote end closed connection without response" in failed.stderr
    assert stand.app["notes"] == notes


def test_P11_az_tells_the_code_and_the_ids_of_a_throttled_sign_in(bench: Callable[[str], Bench]) -> None:
    stand = bench('[[fault]]\nmatch = "/token$"\nkind = "status"\nstatus = 429\nretry_after = 1\n')
    failed = stand.run("account", "get-access-token", "--resource", f"{stand.lab.tenant.graph}/", "-o", "json")
    assert failed.returncode == 1
    assert "AADSTS90055: By script. Trace ID: " in failed.stderr


def test_S4_az_trusts_no_certificate_of_another_ca(bench: Callable[[str], Bench]) -> None:
    stand = bench('[[fault]]\nkind = "tls-stranger"\nevery = 1\n')
    failed = stand.run(*LIST)
    assert failed.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in failed.stderr
    assert stand.lab.tenant.faults.log == []
