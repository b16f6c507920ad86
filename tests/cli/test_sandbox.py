"""`entraclaw-setup sandbox` as a tool of its own: what it prints, and what it leaves behind (S1, S4)."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from core.sandbox.lab import Lab
from core.sandbox.recipes import recipes
from tests.cli.screens import Screens
from wizard import cli

INFO = {"authority": "https://127.0.0.1:1", "graph": "", "ca": "/x/ca.pem", "az_config_dir": "/x", "tenant": "t"}
ARGV = [sys.executable, "-m", "wizard", "sandbox"]


@pytest.fixture
def environment(home: Path, tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "temporary"
    folder.mkdir()
    paths = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return {"HOME": str(home), "TMPDIR": str(folder), "TERM": "xterm", "LANG": "C.UTF-8", **paths}


@contextmanager
def started(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([*ARGV, *arguments], env=environment, text=True, **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_S1_a_signal_ends_it_and_nothing_is_left(environment: dict[str, str], number: int) -> None:
    with started(environment) as process:
        assert process.stdout is not None
        info = json.loads(process.stdout.readline())
        folder = Path(info["ca"]).parent
        assert folder.parent == Path(environment["TMPDIR"])
        (folder / "browser" / "data").mkdir(parents=True)  # what a recipe makes there
        (folder / "browser" / "data" / "History").touch()
        status = requests.get(f"{info['authority']}/status.json", verify=info["ca"], timeout=20).json()
        assert (status["tenant"]["id"], status["scenario"]) == (info["tenant"], "legacy")
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")
        assert list(Path(environment["TMPDIR"]).iterdir()) == []


def test_S4_on_a_terminal_it_says_what_to_open_and_what_to_export(environment: dict[str, str], tmp_path: Path) -> None:
    screens = Screens(ARGV, environment, tmp_path)
    try:
        screens.see("Look at it:")
        screens.see("--show python, terraform or browser.")
        screens.child.sendintr()
        assert screens.end() == 0
    finally:
        screens.close()
    wrote = screens.raw.getvalue().decode()
    info = json.loads(wrote.splitlines()[0])
    assert f"{info['authority']}/\r" in wrote
    assert f"AZURE_CONFIG_DIR={info['az_config_dir']}" in wrote


@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_S4_who_reads_the_line_alone_gets_it_alone(environment: dict[str, str], tmp_path: Path, option: str) -> None:
    screens = Screens([*ARGV, option], environment, tmp_path)
    try:
        screens.see('"variables": {}}')
        screens.child.sendintr()
        assert screens.end() == 0
    finally:
        screens.close()
    assert "Look at it" not in screens.raw.getvalue().decode()


def test_S4_the_lines_for_a_client_come_instead_of_the_JSON(environment: dict[str, str]) -> None:
    with started(environment, "--show", "az") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        variables = dict(word.split("=", 1) for word in shlex.split(line)[1:])
        assert Path(variables["AZURE_CONFIG_DIR"]).is_dir()
        assert Path(variables["REQUESTS_CA_BUNDLE"]).read_text().startswith("-----BEGIN CERTIFICATE")
        proxies = dict(word.split("=", 1) for word in shlex.split(process.stdout.readline())[1:])
        assert proxies == dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        assert process.stdout.readline() == "az ad signed-in-user show\n"


def test_S4_behind_the_proxy_a_shell_gets_its_variables_and_no_other_recipe(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["sandbox", "--proxy", "--show", "az"]) == 2
    assert "--env" in capsys.readouterr().err
    text = recipes({**INFO, "proxy": "http://127.0.0.1:1"})["az"]
    assert "HTTPS_PROXY=http://127.0.0.1:1" in text
    assert "https_proxy=http://127.0.0.1:1" in text


def test_S4_every_recipe_can_be_asked_for() -> None:
    for name in recipes(INFO):
        given = vars(cli._parser().parse_args(["sandbox", "--show", name]))
        assert given["show"] == name
    with pytest.raises(cli._Usage, match=", ".join(f"'{name}'" for name in recipes(INFO))):
        cli._parser().parse_args(["sandbox", "--show", "none of them"])


def test_S4_the_lines_for_a_shell_survive_a_folder_with_a_space() -> None:
    info = {
        "authority": "https://127.0.0.1:1",
        "graph": "",
        "ca": "/a b/ca.pem",
        "az_config_dir": "/a b/$x",
        "tenant": "t",
    }
    lines = recipes(info)
    assert {"AZURE_CONFIG_DIR=/a b/$x", "REQUESTS_CA_BUNDLE=/a b/ca.pem"} <= set(
        shlex.split(lines["az"], comments=True)
    )
    assert "SSL_CERT_FILE=/a b/ca.pem" in shlex.split(lines["terraform"], comments=True)
    assert "--user-data-dir=/a b/browser/data" in shlex.split(lines["browser"], comments=True)


def test_S4_the_lines_for_python_get_a_token_with_azure_identity_as_it_is(environment: dict[str, str]) -> None:
    lab = Lab.start("clean")
    try:
        code = lab.recipes()["python"].replace("credential.get_token(", "token = credential.get_token(")
        argv = [sys.executable, "-c", f"{code}\nprint(token.token)"]
        finished = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert finished.returncode == 0, finished.stderr
        issued = lab.tenant.issued[finished.stdout.split()[-1]]
        assert (issued.claims["aud"], issued.claims["oid"]) == (lab.tenant.graph, lab.tenant.signed_in_user)
    finally:
        lab.close()


def test_the_help_of_the_sandbox_fits_80_columns_and_separates_the_scenarios(environment: dict[str, str]) -> None:
    argv = [*ARGV, "--help"]
    shown = subprocess.run(argv, env=environment | {"COLUMNS": "80"}, capture_output=True, text=True, check=True).stdout
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    listed = lines[lines.index("scenarios:") + 1 :]
    assert all(re.match(r"  [a-z][a-z-]{0,15} +\S| {20}\S", line) for line in listed), listed
    assert all(line[19] == " " and line[20] != " " for line in listed), "one column of texts"
