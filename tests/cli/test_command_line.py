"""The command line as a process: streams, exit codes, no terminal, and what is imported (U4, U5, P10)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.clock import SystemClock
from core.sandbox.lab import Lab
from core.sandbox.scenarios.catalogue import SCENARIOS

Finished = subprocess.CompletedProcess[str]
Run = Callable[..., Finished]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command in an empty home, without a terminal."""

    def start(*arguments: str, **variables: str) -> Finished:
        environment = {"HOME": str(tmp_path), "PATH": os.defpath, "LANG": "C.UTF-8", **variables}
        return subprocess.run(
            [sys.executable, "-m", "wizard", *arguments],
            env=environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return start


def test_version_and_help(run: Run) -> None:
    assert run("--version").stdout.startswith("entraclaw-setup 0.")
    shown = run("--help")
    assert shown.returncode == 0
    assert "examples:" in shown.stdout
    assert all(len(line) <= 80 for line in shown.stdout.splitlines()), "help fits 80 columns"


@pytest.mark.parametrize("command", ["sandbox", "demo"])
def test_U8_the_help_lists_every_scenario(run: Run, command: str) -> None:
    lines = run(command, "--help").stdout.splitlines()
    listed = {line.split()[0] for line in lines[lines.index("scenarios:") + 1 :] if line[:3].strip()}
    assert listed == set(SCENARIOS)
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize("option", ["", "--plain"])
def test_U4_without_a_command_and_a_terminal_the_commands_are_named(run: Run, option: str) -> None:
    finished = run(*option.split())
    assert (finished.returncode, finished.stdout) == (4, "")
    for command in ("migrate", "onboard --only provisioner", "verify", "demo", "--help"):
        assert command in finished.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["migrate", "--no-such-flag"],
        ["no-such-command"],
        ["migrate", "--tenant", "not-a-guid"],
        ["migrate", "--cloud", "atlantis"],
        ["migrate", "--answers", "missing.toml"],
        ["migrate", "--profile", "missing.toml"],
        ["demo", "--project", "."],
        ["demo", "--scenario", "no-such-scenario", "--yes"],
        ["sandbox", "--port", "70000"],
        ["sandbox", "--user", "nobody"],
        ["explain", "no.such-id"],
        ["explain", "az", "expired"],
        ["migrate", "--allow-keyring-backend"],
        ["verify", "--allow-keyring-backend", "Keyring"],
    ],
    ids=" ".join,
)
def test_usage_errors_exit_2_with_a_reason(run: Run, arguments: list[str]) -> None:
    finished = run(*arguments)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr
    assert "Traceback" not in finished.stderr
    result = json.loads(run(*arguments, "--json").stdout)
    assert (result["schema"], result["outcome"], result["exit_code"]) == (1, "failed", 2)
    assert result["errors"][0]["message"]


@pytest.mark.parametrize("arguments", [["token"], ["token", "--json"], ["token", "--no-such-flag"]], ids=" ".join)
def test_P10_token_exits_1_for_every_failure_and_prints_nothing(run: Run, arguments: list[str]) -> None:
    finished = run(*arguments)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr


def test_a_missing_state_file_is_3_and_says_where_it_was_looked_for(run: Run, tmp_path: Path) -> None:
    finished = run("migrate", "--yes")
    assert finished.returncode == 3
    assert str(tmp_path / ".entraclaw-state.json") in finished.stderr
    assert "--project" in finished.stderr


def test_U4_without_a_terminal_and_without_yes_nothing_is_asked(run: Run) -> None:
    finished = run("demo")
    assert finished.returncode == 4
    assert "--yes" in finished.stderr
    result = json.loads(run("demo", "--json").stdout)
    assert (result["exit_code"], result["errors"][0]["id"]) == (4, "flow.unasked")


def test_U4_json_is_one_object_on_standard_output_and_events_on_standard_error(run: Run) -> None:
    finished = run("demo", "--yes", "--json")
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout)
    assert set(result) == {"schema", "command", "outcome", "exit_code", "data", "errors"}
    assert (result["command"], result["outcome"]) == ("demo", "changed")
    events = [json.loads(line) for line in finished.stderr.splitlines()]
    assert events[0]["event"] == "FlowStarted"
    assert events[-1]["event"] == "FlowFinished"
    assert {event["schema"] for event in events} == {1}


def test_demo_dry_run_and_quiet(run: Run) -> None:
    dry = run("demo", "--dry-run")
    assert dry.returncode == 0
    assert "dry run" in dry.stdout
    assert "Migrated" not in dry.stdout
    quiet = run("demo", "--yes", "--quiet", "--scenario", "clean")
    assert quiet.returncode == 0
    assert "Prerequisites" not in quiet.stdout
    assert "\x1b" not in dry.stdout, "no colour without a terminal"


def test_precedence_of_answers_file_environment_and_flag(run: Run, tmp_path: Path) -> None:
    answers = tmp_path / "answers.toml"
    answers.write_text('project = "from-file"\n')
    assert "from-file" in run("migrate", "--answers", str(answers)).stderr
    variable = {"ENTRACLAW_SETUP_PROJECT": "from-environment"}
    assert "from-environment" in run("migrate", "--answers", str(answers), **variable).stderr
    assert "from-flag" in run("migrate", "--answers", str(answers), "--project", "from-flag", **variable).stderr


def test_a_log_file_is_private_and_redacted(run: Run, tmp_path: Path) -> None:
    lab = Lab.start("legacy", clock=SystemClock(), sign_in=False)
    log = tmp_path / "run.log"
    finished = run("migrate", "--yes", "--log-file", str(log), **lab.environment())
    lab.close()
    assert finished.returncode == 3, "there is no az on this PATH"
    assert "FlowFinished" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "arguments",
    [
        "--version",
        "explain 700027",
        "explain",
        "demo --yes --json",
        "demo --flow onboard --yes --json",
        "token",
        "migrate --dry-run",
        "onboard --only provisioner --yes",
        "verify --json",
        "resume",
        "undo",
    ],
)
def test_a_headless_run_imports_no_user_interface(arguments: str, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom wizard.cli import run\n"
        "try:\n    run(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = {name.partition('.')[0] for name in sys.modules}\n"
        "print('LOADED', *sorted(heavy & {'textual', 'rich', 'azure', 'cryptography', 'aiohttp', 'requests'}))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, *arguments.split()],
        env={"HOME": str(tmp_path), "PATH": os.defpath},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = finished.stdout.splitlines()[-1].split()[1:]
    assert not {"textual", "rich"} & set(loaded)
    if arguments == "--version" or arguments.startswith("explain"):
        assert loaded == [], "nothing heavy for what needs nothing"


def test_core_alone_imports_no_user_interface() -> None:
    script = (
        "import pkgutil, importlib, sys, core\n"
        "[importlib.import_module(m.name) for m in pkgutil.walk_packages(core.__path__, 'core.')]\n"
        "assert not {'wizard', 'textual', 'rich'} & set(sys.modules), 'core imported a user interface'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("form", ["flag", "variable", "no command"])
def test_U4_a_usage_error_is_json_too(run: Run, form: str) -> None:
    match form:
        case "flag":
            finished = run("--project", "token", "migrate", "--bogus", "--json")
        case "variable":
            finished = run("migrate", ENTRACLAW_SETUP_JSON="1", ENTRACLAW_SETUP_TENANT="x")
        case _:
            finished = run("--json")
    assert finished.returncode == 2
    assert json.loads(finished.stdout)["exit_code"] == 2


def test_a_log_that_is_the_state_file_or_no_file_is_refused(run: Run, tmp_path: Path) -> None:
    state = tmp_path / ".entraclaw-state.json"
    state.write_text("{}")
    os.mkfifo(tmp_path / "pipe")
    for name, code in ((".entraclaw-state.json", 2), ("pipe", 3), ("/dev/full", 3)):
        assert run("migrate", "--dry-run", "--log-file", name).returncode == code
    assert state.read_text() == "{}"


def test_a_reader_that_goes_away_and_a_narrow_encoding_end_nothing(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PATH": os.defpath, "PYTHONIOENCODING": "ascii"}
    process = subprocess.Popen(
        [sys.executable, "-m", "wizard", "demo", "--yes"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0, errors


@pytest.mark.parametrize("id", ["keystore.insecure", "AADSTS700027", "700027", "authorization_requestdenied"])
def test_P11_explain_says_what_it_means_and_what_to_do(run: Run, id: str) -> None:
    # broken settings are one of the things that it explains, so they are not in its way
    finished = run("explain", id, ENTRACLAW_SETUP_TENANT="x")
    assert (finished.returncode, finished.stderr) == (0, "")
    result = json.loads(run("explain", id, "--json").stdout)
    assert (result["command"], result["outcome"], result["exit_code"]) == ("explain", "unchanged", 0)
    assert result["errors"] == []
    data = result["data"]
    assert set(data) == {"id", "group", "meaning", "remedy", "exit_code", "docs"}
    assert id.lower() in data["id"].lower()
    for member in data.keys() - {"group"}:
        assert str(data[member]) in finished.stdout


def test_P11_explain_alone_lists_every_id_by_its_group(run: Run) -> None:
    result = json.loads(run("explain", "--json").stdout)
    ids = result["data"]["ids"]
    assert {"keystore.insecure", "keystore.locked"} <= set(ids["keystore"])
    assert "AADSTS700027" in ids["AADSTS"]
    assert "Authorization_RequestDenied" in ids["Graph"]
    finished = run("explain")
    assert finished.returncode == 0
    assert {id for group in ids.values() for id in group} <= set(finished.stdout.split())


def test_U5_explain_names_what_comes_closest_and_shows_no_secret(run: Run) -> None:
    finished = run("explain", "keystore.insecur")
    assert finished.returncode == 2
    assert "keystore.insecure" in finished.stderr
    secret = "abc8Q~" + "x" * 34
    for form in ((), ("--json",)):
        told = run("explain", secret, *form)
        assert told.returncode == 2
        assert secret not in told.stdout + told.stderr


def test_M16_a_CI_job_is_stopped_with_3_and_the_variable_or_the_flag_overrides(run: Run) -> None:
    lab = Lab.start("legacy", clock=SystemClock(), sign_in=False)
    environment = lab.environment() | {"CI": "true"}
    allowed = environment.pop("ENTRACLAW_SETUP_KEY_OUTLIVES_JOB")
    stopped = json.loads(run("migrate", "--yes", "--json", **environment).stdout)
    assert (stopped["exit_code"], stopped["errors"][0]["id"]) == (3, "platform.short-lived")
    for finished in (
        run("migrate", "--yes", "--key-outlives-job", **environment),
        run("migrate", "--yes", ENTRACLAW_SETUP_KEY_OUTLIVES_JOB=allowed, **environment),
    ):
        assert "it was said" in finished.stdout
        assert "[az.missing]" in finished.stderr, "it went on to the sign-in"
    lab.close()


def test_K5_a_broken_configuration_file_stops_every_command_that_opens_the_keystore(
    run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("config")
    config = folder / "entraclaw-setup/config.toml"
    config.parent.mkdir()
    config.write_text("keyring_backend_allowlist = 1\n")
    for command in ("migrate", "verify", "token"):
        finished = run(command, XDG_CONFIG_HOME=str(folder))
        assert finished.returncode == (1 if command == "token" else 2)
        assert str(config) in finished.stderr
        assert "[usage.config-file]" in finished.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the file system takes no such name")
@pytest.mark.parametrize(
    "arguments",
    ["migrate --yes", "onboard --only provisioner --yes", "undo", "resume", "verify", "doctor", "rollback --yes"],
)
def test_U4_a_project_whose_path_is_no_utf8_is_no_bug_and_its_name_can_be_written(
    run: Run, tmp_path: Path, arguments: str
) -> None:
    project = Path(os.fsdecode(os.fsencode(tmp_path) + b"/pr\xff\xe4"))
    project.mkdir()
    project.joinpath(".entraclaw-state.json").write_text("{}")
    log = tmp_path / "log"
    finished = run(*arguments.split(), "--json", "--project", str(project), "--log-file", str(log))
    assert finished.returncode not in (0, 70) or arguments in ("undo", "resume")
    lines = [*finished.stdout.splitlines(), *finished.stderr.splitlines(), *log.read_text().splitlines()]
    lines += [line for path in tmp_path.rglob("recordings/*") for line in path.read_text().splitlines()]
    for line in lines:
        json.dumps(json.loads(line), ensure_ascii=False).encode()  # half a character is no text for other programs
    if arguments not in ("undo", "resume", "onboard --only provisioner --yes"):
        assert any("pr\\\\xff\\\\xe4" in line for line in lines), "it is told which"
    plain = run(*arguments.split(), "--project", str(project))
    assert plain.returncode == finished.returncode
