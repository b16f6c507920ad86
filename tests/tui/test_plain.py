"""Plain mode on a real terminal: the same flows, linear, answered by number, with no escape sequence (U1, U2, U6)."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

import wizard
from core.clock import Cancel
from core.config.profile import Profile
from core.config.settings import Settings
from core.events import Event, StepFinished
from core.sandbox.fake_machine.az import SandboxSignIn
from core.sandbox.lab import Lab
from core.steps.context import Context
from tests.machine import Crash, Machine
from wizard import front_end
from wizard.console import dialogue
from wizard.workspace import Ask, Demo, Emit, Local

PROMPT = r"Number, 1 to \d+: "
YES, NO = "1", "2"


class Terminal:
    """A person at a terminal of 80 columns."""

    def __init__(self, home: Path, *arguments: str, program: str = "", **variables: str) -> None:
        environment = {"HOME": str(home), "PATH": os.defpath, "LANG": "C.UTF-8", "TERM": "xterm-256color", **variables}
        environment["PYTHONPATH"] = str(Path(wizard.__file__).parents[1])
        self.heard = io.StringIO()
        run = ["-m", "wizard", *arguments] if not program else ["-c", program, *arguments]
        self.child = pexpect.spawn(
            sys.executable,
            run,
            env={name: value for name, value in environment.items() if value != "unset"},
            cwd=str(home),
            timeout=60,
            dimensions=(24, 80),
            encoding="utf-8",
        )
        self.child.logfile_read = self.heard

    def says(self, *texts: str) -> None:
        """Wait for texts in this order; a line break may stand for any space."""
        for text in texts:
            self.child.expect(r"\s+".join(re.escape(word) for word in text.split()))

    def answer(self, *numbers: str) -> None:
        """Answer the next questions."""
        for number in numbers:
            self.child.expect(PROMPT)
            self.child.sendline(number)

    def choose(self, text: str) -> None:
        """Answer with the number of the entry that begins like this."""
        self.child.expect(r"(\d)  " + re.escape(text))
        number = self.child.match.group(1)
        self.answer(number)

    def ends(self) -> int:
        """The exit code."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        assert self.child.signalstatus is None
        return int(self.child.exitstatus)


@pytest.fixture
def terminal(tmp_path: Path, home: Path) -> Iterator[Callable[..., Terminal]]:
    """Start it; afterwards nothing that was shown is an escape, a secret, or too wide."""
    terminals: list[Terminal] = []
    lab = Lab.start("legacy", sign_in=False)
    secret = json.loads((lab.project / Profile.state_file).read_text())[Profile.secret_member]
    lab.close()

    def start(*arguments: str, **options: str) -> Terminal:
        terminals.append(Terminal(home, *arguments, **options))
        return terminals[-1]

    yield start
    for one in terminals:
        one.child.close(force=True)
        shown = one.heard.getvalue()
        assert "\x1b" not in shown
        assert secret not in shown, "the sandbox of seed 1 holds this one"
        assert "Traceback" not in shown


@pytest.fixture
def demo(terminal: Callable[..., Terminal]) -> Callable[..., Terminal]:
    return lambda *arguments, **variables: terminal("demo", "--plain", *arguments, **variables)


def test_U1_a_migration_from_the_greeting_to_the_proof(demo: Callable[..., Terminal]) -> None:
    person = demo()
    person.says("plain mode", "SANDBOX, keystore in memory", "holds a client secret", "(recommended, Enter)")
    person.answer("")
    person.says("Plan", "cannot be undone", "The same without questions", "entraclaw-setup migrate --yes")
    person.says("5 of them cannot be undone.", "2 No, change nothing (Enter)")
    person.answer(YES)
    person.says("Migration", "Point of no return", "Verification", "Summary")
    person.says("3 password credentials removed from the app registration.", "Verified: ")
    person.says("entraclaw-setup verify", "entraclaw-setup token", "Save the answers of this run")
    person.answer(YES)
    person.says("Saved. This replays it: entraclaw-setup migrate --answers")
    person.choose("Verify")
    person.says("Verification", "Summary", "Verified: no password credential is left")  # the summary was true
    person.choose("Quit")
    assert person.ends() == 0
    assert max(map(len, person.heard.getvalue().split("Saved.")[0].splitlines())) <= 80


def test_U1_onboarding_from_nothing(demo: Callable[..., Terminal]) -> None:
    person = demo("--flow", "onboard")
    person.says("nothing is set up here yet", "(recommended, Enter)")
    person.answer("")
    person.says("entraclaw-setup onboard --only provisioner --yes", "26 permission(s) to grant")
    person.answer(YES)
    person.says("Summary", "Created 'EntraClaw Agent ID Provisioner'", "Verified: ")
    person.answer("")
    person.choose("Quit")
    assert person.ends() == 0


def test_U2_a_missing_role_ends_with_a_request_and_can_be_taken_back(demo: Callable[..., Terminal]) -> None:
    person = demo("--scenario", "unprivileged")
    person.answer("")
    person.says("writes a request; an administrator applies it", "Go on?")
    person.answer(YES)
    person.says("a request was written", "[handoff.waiting]", "It needs an owner of the app")
    person.choose("Explain")
    person.says("handoff.waiting", "means", "exit code 5")
    person.choose("Back to the menu")
    person.says("A run of 'migrate' was not finished here.", "keystore.write", "It waits for an administrator")
    person.choose("Take it back")
    person.says("entraclaw-setup undo --yes", "Undo what the interrupted migrate did")
    person.answer(YES)
    person.says("undone", "Undone: what the interrupted migrate had done.", "holds a client secret")
    person.choose("Quit")
    assert person.ends() == 0


def test_the_exit_code_tells_what_was_left(demo: Callable[..., Terminal]) -> None:
    person = demo("--scenario", "unprivileged")
    person.answer("", YES)
    person.choose("Quit")
    assert person.ends() == 5


def test_U2_a_locked_keystore_and_another_try(demo: Callable[..., Terminal]) -> None:
    person = demo("--scenario", "locked")
    person.answer("")
    person.says("[keystore.locked]", "What now?", "1 Try again (Enter)")
    person.answer("")
    person.says("cannot be undone", "Make these changes?")
    person.answer(NO)
    person.says("The answer was no.", "Nothing was changed.")
    person.choose("Quit")
    assert person.ends() == 4, "what the last run came to"


def test_wrong_answers_change_nothing_and_are_told(demo: Callable[..., Terminal]) -> None:
    person = demo()
    for wrong in ("0", "8", "migrate", "y", "1 1", "-1", "1" * 300, "é", "１"):  # noqa: RUF001
        person.answer(wrong)
        person.says("Please answer with a number from 1 to 7.")
    person.answer("5")
    person.says("Rotation is not in this version.")
    person.choose("Start over")
    person.says("Which scenario?", "2 Set up an app registration from nothing")
    person.answer("2")
    person.says("The sandbox starts over", "nothing is set up here yet")
    person.choose("Quit")
    assert person.ends() == 0


@pytest.mark.parametrize("place", ["menu", "plan"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_U2_a_signal_at_a_question_ends_at_once(
    demo: Callable[..., Terminal], place: str, number: int, code: int
) -> None:
    person = demo()
    if place == "plan":
        person.answer("")
        person.says("Make these changes?")
    person.child.expect(PROMPT)
    person.child.kill(number)
    person.says("Interrupted", "No run was under way" if place == "menu" else "Nothing was changed")
    assert person.ends() == code


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A scenario in which a new certificate is accepted late."""
    file = tmp_path / "slow.toml"
    file.write_text('scenario = "legacy"\n[lag]\nlogin = 40\n')
    return file


def test_U2_a_key_in_the_middle_undoes_what_was_done(demo: Callable[..., Terminal], slow: Path) -> None:
    person = demo("--scenario", str(slow))
    person.answer("", YES)
    person.says("waiting for the certificate to be accepted everywhere")
    person.child.sendintr()
    person.says("undone", "[flow.interrupted]", "Everything that this run had done was undone.")
    assert person.ends() == 130


def test_U2_a_key_after_the_point_of_no_return_says_what_finishes_it(demo: Callable[..., Terminal]) -> None:
    person = demo()
    person.answer("", YES)
    person.says("waiting for the second clean read")
    person.child.sendintr()
    finishes = "`entraclaw-setup resume`: it finishes."
    person.says("Interrupted after the point of no return.", finishes)
    assert person.ends() == 130


@pytest.mark.parametrize("place", ["question", "run"])
def test_U2_a_terminal_that_is_closed_leaves_nothing(
    demo: Callable[..., Terminal], slow: Path, tmp_path: Path, place: str
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    person = demo("--scenario", str(slow), TMPDIR=str(folder))
    if place == "run":
        person.answer("", YES)
        person.says("waiting for the certificate to be accepted everywhere")
    else:
        person.child.expect(PROMPT)
    os.dup2(os.open(os.devnull, os.O_RDWR), person.child.child_fd)  # the terminal has no other end any more
    assert person.child.wait() == 129
    assert list(folder.iterdir()) == [], "the sandbox and the home of the demo"


def test_the_end_of_the_input_is_4_and_changes_nothing(demo: Callable[..., Terminal]) -> None:
    for place in ("menu", "plan"):
        person = demo()
        if place == "plan":
            person.answer("")
            person.says("Make these changes?")
        person.child.expect(PROMPT)
        person.child.sendeof()
        person.says("[flow.unanswered]")
        assert person.ends() == 4


@pytest.mark.parametrize(
    "variables",
    [{"TERM": "dumb"}, {"TERM": "unset"}, {"ACCESSIBLE": "1"}, {"ENTRACLAW_SETUP_PLAIN": "1"}],
    ids=lambda variables: " ".join(map("=".join, variables.items())),
)
def test_U6_a_terminal_that_can_do_little_gets_the_dialogue(
    terminal: Callable[..., Terminal], variables: dict[str, str]
) -> None:
    person = terminal("demo", **variables)
    person.says("plain mode", "What do you want to do?")
    person.choose("Quit")
    assert person.ends() == 0


def test_U6_a_pipe_gets_the_dialogue_and_nothing_of_the_full_screen_is_imported(
    terminal: Callable[..., Terminal],
) -> None:
    script = (
        "import sys, os\n"
        "read, write = os.pipe()\n"
        "terminal = os.dup(1)\n"
        "os.dup2(write, 1)\n"
        "from wizard.cli import run\n"
        "print(run(['demo']), 'textual' in sys.modules, 'rich' in sys.modules, flush=True)\n"
        "os.write(terminal, os.read(read, 65536))\n"
    )
    person = terminal(program=script)
    person.child.sendline("7")  # the question itself is in the pipe
    person.says("plain mode", "What do you want to do?", "0 False False")
    assert person.ends() == 0


def test_U6_where_standard_error_goes_to_a_file_the_dialogue_opens(terminal: Callable[..., Terminal]) -> None:
    """The screens are written there."""
    script = (
        "import os\n"
        "os.dup2(os.open('errors', os.O_CREAT | os.O_WRONLY), 2)\n"
        "from wizard.cli import run\n"
        "run(['demo'])\n"
    )
    person = terminal(program=script)
    person.says("plain mode", "What do you want to do?")
    person.choose("Quit")
    assert person.ends() == 0


def test_U6_the_full_screen_is_for_a_terminal_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    able = {"TERM": "xterm-256color", "ACCESSIBLE": "0"}
    assert front_end.plain(False, able, Screen()) is False
    assert front_end.plain(False, {"ACCESSIBLE": ""}, Screen(), "win32") is False, "Windows sets no TERM"
    for wished, environ, out in (
        (True, able, Screen()),
        (False, able | {"ACCESSIBLE": "1"}, Screen()),
        (False, able | {"TERM": "dumb"}, Screen()),
        (False, {}, Screen()),
        (False, able, io.StringIO()),
        (False, able, None),
    ):
        assert front_end.plain(wished, environ, out) is True


def killed_at(machine: Machine, step: str) -> None:
    def kill(event: Event) -> None:
        if isinstance(event, StepFinished) and event.step == step:
            raise Crash

    machine.watch = kill
    with pytest.raises(Crash):
        machine.migrate()


@pytest.mark.parametrize("step", ["register", "marker"])
def test_U2_an_interrupted_run_is_offered_first(terminal: Callable[..., Terminal], machine: Machine, step: str) -> None:
    killed_at(machine, step)
    where = ("--project", str(machine.lab.project), "--cloud", str(machine.lab.cloud_file))
    person = terminal("--plain", *where)
    person.says("A run of 'migrate' was not finished here.", "graph.application.addKey")
    if step == "marker":
        person.says("It is past the point of no return: it can only be finished.", "1 Go on with it (Enter)", "2 Leave")
        person.answer("1")
        person.says("[tools.missing]", "What now?", "3 Back to the menu", "4 Quit")  # there is no D-Bus in here
        person.answer("4")
        assert person.ends() == 3
        return
    person.says("1 Go on with it (Enter)", "2 Take it back", "3 Leave it as it is")
    person.answer("3")
    person.choose("Quit")
    assert person.ends() == 0


def test_U1_from_this_machine_to_a_sandbox_and_back(terminal: Callable[..., Terminal], home: Path) -> None:
    person = terminal("--plain")
    person.says(f"Project {home}", "nothing is set up here yet")
    person.choose("Try it on a sandbox")
    person.says("SANDBOX, keystore in memory", "holds a client secret")
    person.choose("Leave the sandbox")
    person.says("nothing is set up here yet")
    person.choose("Quit")
    assert person.ends() == 0
    assert list(home.iterdir()) == [], "nothing real is touched"


@pytest.mark.parametrize("option", ["--yes", "--dry-run", "--quiet"])
def test_U4_what_only_a_command_can_honour_is_no_option_of_the_wizard(
    terminal: Callable[..., Terminal], option: str
) -> None:
    person = terminal("--plain", option)
    person.says(option, "needs a command", "[usage.settings]")
    assert person.ends() == 2


def test_U4_a_log_has_every_event_and_no_dialogue(terminal: Callable[..., Terminal], home: Path) -> None:
    person = terminal("--plain", "--log-file", "run.log")
    person.choose("Verify")
    person.says("[statefile.missing]")
    person.choose("Quit")
    assert person.ends() == 3
    assert {json.loads(line)["event"] for line in (home / "run.log").read_text().splitlines()} >= {"FlowStarted"}


class SignedOut(Demo):
    """A sandbox in which nobody is signed in yet."""

    def context(self, cancel: Cancel, emit: Emit, ask: Ask) -> Context:
        ctx = super().context(cancel, emit, ask)
        self.somebody = getattr(self, "somebody", None) or SandboxSignIn(self.lab.tenant, ctx.cloud, signed_in=False)
        ctx.sign_in = self.somebody
        return ctx


@pytest.mark.parametrize(("entry", "shown"), [("3", "pretend person signed in"), ("4", "Code: ")])
def test_U3_signing_in_is_offered_and_leads_to_another_try(entry: str, shown: str) -> None:
    workspace = SignedOut({}, "legacy")
    out, err = io.StringIO(), io.StringIO()
    try:
        code = dialogue.run(workspace, out, err, io.StringIO(f"1\n{entry}\n2\n7\n"))
    finally:
        workspace.close()
    assert code == 4, "the answer to the plan was no"
    assert "[az.signed-out]" in err.getvalue()
    told = out.getvalue()
    assert "3  Sign in to Azure in the browser" in told
    assert told.index(shown) < told.index("Signed in.") < told.index("Make these changes?")


def test_nobody_reads_and_the_input_ends(tmp_path: Path) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    assert dialogue.run(Local(Settings(project=str(tmp_path))), Gone(), Gone(), io.StringIO()) == 4
