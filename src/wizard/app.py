"""The full-screen wizard: it owns the engine, shows its events, and hands it the answers (U1-U3, U6-U8)."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider

from core.errors import SetupError
from core.flow.wait import SystemClock
from core.secret import redactor
from wizard.bridge import Bridge, Job, Moved, Told
from wizard.console.plain import clean
from wizard.model import LOOK, RAIL, Model
from wizard.screens.dialogs import SMALLEST, Ask, Line, Text, TooSmall

if TYPE_CHECKING:
    from types import FrameType

    from textual.events import Resize
    from textual.geometry import Size
    from textual.screen import Screen

    from core.events import Finding, Question
    from core.flow.wait import Cancel, Clock
    from core.stages.survey import Survey
    from core.stages.world import World
    from wizard.ground import Ground
    from wizard.screens.base import WizardScreen
    from wizard.screens.signin import SigningIn
    from wizard.undertaking import Kind

THEMES: Final = ("textual-dark", "textual-light", "ansi-dark", "ansi-light")
_SUBJECTS: Final = {"onboard": "set up", "verify": "verify"}
#: Seconds in which what runs may take back what it keeps for a moment: a probe of the keystore, a program.
_GRACE: Final = 0.3
_STOPPING: Final = {
    "nothing": "Nothing was changed yet. Stopping now leaves everything as it is.",
    "undo": "Stopping now undoes what this run has done so far, and then ends. That takes some seconds.",
    "forward": "The point of no return is behind: password credentials are being deleted, and the certificate was "
    "proven to work. Stopping now leaves this half-way; `entraclaw-setup resume` finishes it. There is no way back.",
}


class Offers(Provider):
    """The command palette: what applies on this screen now, and the themes."""

    def _offers(self) -> list[tuple[str, str, Callable[[], Any]]]:
        app = self.app
        assert isinstance(app, Wizard)
        offers: dict[str, tuple[str, str, Callable[[], Any]]] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            ours = type(active.node).__module__.startswith("wizard.")
            if ours and active.enabled and binding.description:
                told = f"key {binding.key_display or binding.key}"
                run = _action(app, binding.action, active.node)
                offers.setdefault(binding.action, (binding.description, told, run))
        themes = [(f"Theme: {name}", "", _theme(app, name)) for name in THEMES if name != app.theme]
        return [*offers.values(), *themes]

    async def discover(self) -> Hits:
        for title, told, run in self._offers():
            yield DiscoveryHit(title, run, help=told)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, told, run in self._offers():
            if (score := matcher.match(title)) > 0:
                yield Hit(score, matcher.highlight(title), run, help=told)


def _action(app: Wizard, action: str, node: Any) -> Callable[[], Any]:
    async def run() -> None:
        await app.run_action(action, node)

    return run


def _theme(app: Wizard, name: str) -> Callable[[], Any]:
    return lambda: setattr(app, "theme", name)


class Wizard(App[None]):
    """The app.

    :param ground: where it stands.
    :param scenario: what is highlighted first in a demo.
    :param clock: time of the screens; tests and pictures give their own.
    """

    CSS_PATH = "wizard.tcss"
    TITLE = "entraclaw-setup"
    COMMANDS: ClassVar[set[Any]] = {Offers}
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012  the framework types it so
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "log", "Log"),
        Binding("f1,question_mark", "keys", "Help", key_display="?"),
        Binding("f2", "theme", "Theme", show=False),
        Binding("q", "leave", "Quit"),
        Binding("ctrl+q", "leave", show=False, priority=True),
    ]

    def __init__(self, ground: Ground, scenario: str = "", clock: Clock | None = None) -> None:
        super().__init__()
        self.ground, self.scenario = ground, scenario
        self.clock = clock or SystemClock()
        self.model, self.proof = Model("verify"), Model("verify")
        self.survey: Survey | None = None
        self.bridge: Bridge | None = None
        self.exit_code, self.outcome = 0, ""
        self.passed: set[str] = set()
        self.incident = ""
        self.again_on: type[object] | None = None
        self._asking: Question | None = None
        self._open_doors: frozenset[str] = frozenset()
        self._job: Job | None = None
        self._after_job: Callable[[object], None] | None = None
        self._telling: SigningIn | None = None
        self._leaving = self._begun = False
        self._home: asyncio.AbstractEventLoop | None = None
        self._signal = 0

    # what the screens read

    @property
    def subject(self) -> str:
        """What is being done, for the top line."""
        return _SUBJECTS.get(self.model.kind, self.model.kind) if self._begun else ""

    @property
    def prospect(self) -> str:
        """What stopping now would do."""
        return self.bridge.prospect if self.bridge is not None else "nothing"

    def now(self) -> float:
        """Seconds on the screens' clock."""
        return self.clock.monotonic()

    # start and end

    def on_mount(self) -> None:
        """First screen."""
        self.theme = THEMES[0]
        self._home = asyncio.get_running_loop()
        self.restart()
        if self._signal:  # it came before there was a loop
            self._signalled()

    def restart(self) -> None:
        """Back to the first screen."""
        self._drop()
        self.survey, self._begun = None, False
        self.model, self.proof = Model("verify"), Model("verify")
        self._open_doors = frozenset()
        self._show("welcome")

        def look(world: World, say: Callable[[object], None], cancel: Cancel) -> object:
            from core.stages.survey import survey

            return survey(world)

        self._begin_job(look, self._surveyed)

    def _surveyed(self, value: object) -> None:
        if isinstance(value, SetupError):
            self.push_screen(Text("This cannot start", f"{value.summary}\n{value.remedy}\n[{value.id}]"))
        else:
            self.survey = value  # type: ignore[assignment]
            self._moved_screen()

    def signalled(self, number: int) -> None:
        """End in order instead of leaving the terminal as it is; for a signal's handler, at any time.

        :param number: the signal's.
        """
        self._signal = self._signal or number
        if self._home is not None:
            with suppress(RuntimeError):  # it is closed: the screens are gone, and what must be finished is
                self._home.call_soon_threadsafe(self._signalled)

    def _signalled(self) -> None:
        if self.bridge is not None and self.bridge.running:
            self.bridge.stop(self._signal)
        self.exit_code = 128 + self._signal
        self.exit(return_code=self.exit_code)

    def action_leave(self) -> None:
        """Quit; asks first when something is under way, and says what quitting does."""
        if self._leaving or self.bridge is None or not self.bridge.running:
            self.exit(return_code=self.exit_code)
        elif self.prospect == "nothing" and self.bridge.kind == "verify":
            self._stop_now()
        else:
            self.ask_to_stop(leave=True)

    def ask_to_stop(self, *, leave: bool = False) -> None:
        """Say what stopping would do now, and ask."""

        def answered(yes: bool | None) -> None:
            if not yes or self.bridge is None or not self.bridge.running:
                return
            if self.prospect == "nothing":
                if leave:
                    self._stop_now()
                else:
                    self._drop()
                    self.restart()
                return
            self._leaving = leave
            self.bridge.stop()

        self.push_screen(Ask(_STOPPING[self.prospect], "Quit" if leave else "Stop", "Go on"), answered)

    def _stop_now(self) -> None:
        assert self.bridge is not None
        self.bridge.stop()
        self.exit_code = 130
        self.exit(return_code=130)

    def finish(self) -> None:
        """When the screens are gone: end what runs, after it took back or named what must not stay half-done."""
        if self._job is not None:
            self._job.stop()
            self._job.join(_GRACE)
        bridge = self.bridge
        if bridge is None:
            return
        if bridge.running:
            bridge.stop(self._signal or signal.SIGINT)
            bridge.join(_GRACE)
        if bridge.running and bridge.prospect != "nothing":
            with suppress(OSError):  # the terminal may be gone
                print("Finishing what must not stay half-done …", file=sys.stderr, flush=True)
            bridge.join()
        model = self.proof if bridge.kind == "verify" else self.model
        was = model.ended
        model.take(bridge.take())
        if model.ended is not was and model.ended is not None and not self.incident:
            self.exit_code = model.ended.result.exit_code

    async def action_quit(self) -> None:
        """The framework's own way out takes the same road."""
        self.action_leave()

    def _handle_exception(self, error: Exception) -> None:
        """An error of this program: a redacted file and its path instead of a traceback with local variables."""
        from core.flow.engine import internal
        from wizard import incident

        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._return_code = self.exit_code = 70
        trace = str(internal(error).facts["trace"])
        try:
            path = incident.write(trace, self.model.log, self.clock.now())
            where = f"What happened before it is in {path}"
            if self.ground.label:  # its home is about to be removed
                where = path.read_text(encoding="utf-8")
        except OSError as failed:
            where = f"It could not be written to a file ({failed.strerror}):\n{trace}"
        kind = type(error).__name__
        self.incident = f"entraclaw-setup: a bug in this program ({kind}) [bug.internal].\n{where}"
        if self.bridge is not None and self.bridge.running:
            self.bridge.stop()
        self._close_messages_no_wait()

    # the way through

    def choose(self, name: str) -> None:
        """Start what was chosen on the first screen."""
        if name == "sandbox":
            self.again_on = object
            self.exit(return_code=0)
            return
        if name.startswith("demo:"):
            chosen = name.removeprefix("demo:")
            scenario = self.ground.scenarios[chosen]
            if not (chosen == self.scenario and self.survey is not None and self.survey.open is None):
                self.ground.move(chosen)
            self.scenario = chosen
            name = scenario.flow
        self._begin(name)  # type: ignore[arg-type]

    def _begin(self, kind: Kind) -> None:
        self._drop()
        self._begun = True
        self.passed = set(self._open_doors)
        if kind == "verify":
            self.model = Model("verify")
            self.verify()
            return
        self.model, self.proof = Model(kind), Model("verify")
        self.exit_code, self.outcome = 0, ""
        self.bridge = Bridge(self.ground, kind, self.post_message, self._open_doors, self.now)
        self._asking = None
        self._show("progress" if kind == "undo" else "prereqs")
        self.bridge.start()

    def verify(self) -> None:
        """Prove the end state."""
        self._drop()
        self.proof = Model("verify")
        self.bridge = Bridge(self.ground, "verify", self.post_message, now=self.now)
        self._show("verify")
        self.bridge.start()

    def forward(self, place: str) -> None:
        """Go on from a screen."""
        model = self.model
        if place not in ("progress", "verify") or not (model.failed or self.proof.failed):
            self.passed.add(place)
        if place == "review" and model.question is not None:
            self._ask(model.question)
        elif place in LOOK and model.door == place:
            model.door = ""
            self._open_doors |= {place}
            assert self.bridge is not None
            self.bridge.answer(True)
            if place == "review":
                self._show("progress")
        elif place in LOOK:
            names = [name for name, _ in RAIL]
            self._show(names[names.index(place) + 1])
        elif place == "progress":
            if model.failed or model.kind == "undo":
                self._show("summary")
            else:
                self.verify()
        else:
            self._show("summary")

    def back(self, place: str) -> None:
        """Back to the screen before; from the first one the run is given up."""
        names = [name for name, _ in RAIL]
        at = names.index(place)
        if at:
            self._show(names[at - 1])
        elif self.bridge is not None and self.bridge.running:
            self.ask_to_stop()
        else:
            self.restart()

    def again(self, place: str) -> None:
        """Look again: a new run, which passes by itself the screens that were left before this one."""
        names = [name for name, _ in RAIL]
        self._open_doors = frozenset(names[: names.index(place)])
        self._begin(self.model.kind)

    def _drop(self) -> None:
        """Give up a run that only looks."""
        if self.bridge is not None and self.bridge.running:
            self.bridge.stop()
            self.bridge.join(2.0)  # its lock must be free for the next
        self.bridge, self._asking = None, None

    def on_moved(self, message: Moved) -> None:
        """Something happened."""
        bridge = message.bridge
        if self._exit:
            return  # nothing is shown any more; `finish` takes it
        items = bridge.take()
        if bridge is not self.bridge:
            return  # of a run that was given up
        model = self.proof if bridge.kind == "verify" else self.model
        was = model.stage
        model.take(items)
        if model.ended is not None:
            self._ended(model)
        if bridge.kind not in ("verify", "undo") and model.stage != was:
            self._follow(model.stage)
        self._moved_screen()
        question = model.question
        if question is not None and question is not self._asking:
            self._asking = question
            if not self._on_review(question):
                self._ask(question)

    def _follow(self, stage: str) -> None:
        """Show the screen of the stage that has begun."""
        place = stage if stage in LOOK else "progress"
        if getattr(self._base_screen, "place", "") != place:
            self._show(place)

    def _on_review(self, question: Question) -> bool:
        """The question of the plan is asked from the screen of the plan."""
        return self.model.stage == "review" and bool(self.model.plan)

    def _ask(self, question: Question) -> None:
        bridge = self.bridge
        planned = self._on_review(question)

        def answered(yes: bool | None) -> None:
            if bridge is None or bridge is not self.bridge or self.model.question is not question:
                return
            if planned and not yes:
                return  # back to the plan, which is still open
            self.model.question = None
            bridge.answer(bool(yes))
            if planned:
                self._open_doors = frozenset(LOOK)
                self._show("progress")

        yes = "Yes, make these changes" if planned else "Yes"
        self.push_screen(Ask(question.text, yes, "No", default=question.default and not planned), answered)
        self._guard(self.size)

    def _ended(self, model: Model) -> None:
        assert model.ended is not None
        result = model.ended.result
        self.exit_code, self.outcome = result.exit_code, result.outcome if model is self.model else self.outcome
        for error in result.errors:
            if error["id"] == "bug.internal":
                self._report_bug(error)
        if self._leaving:
            self.exit(return_code=self.exit_code)

    def _report_bug(self, error: dict[str, Any]) -> None:
        from wizard import incident

        try:
            path = incident.write(str(error["remedy"]), self.model.log, self.clock.now())
        except OSError:
            return  # the card shows it whole
        error["remedy"] = f"Please report it with the file {path}; it holds no secrets."

    # sign-in

    def sign_in(self, *, device_code: bool, tenant: str = "") -> None:
        """Run `az login`."""
        from wizard.screens.signin import SigningIn

        self._drop()
        tenant = tenant or self._tenant()
        telling = self._telling = SigningIn(device_code=device_code)

        def work(world: World, say: Callable[[object], None], cancel: Cancel) -> object:
            world.sign_in.login(tenant, device_code=device_code, tell=say, cancel=cancel)
            return None

        self.push_screen(telling)
        self._begin_job(work, self._signed_in)

    def sign_out(self) -> None:
        """Run `az logout`, after a yes."""

        def work(world: World, say: Callable[[object], None], cancel: Cancel) -> object:
            world.sign_in.logout()
            return None

        def answered(yes: bool | None) -> None:
            if yes:
                self._drop()
                self._begin_job(work, self._signed_in)

        self.push_screen(Ask("Sign the Azure CLI out? Other programs that use its account lose it too."), answered)

    def other_tenant(self) -> None:
        """Sign in to another tenant."""

        def answered(tenant: str | None) -> None:
            if tenant:
                self.sign_in(device_code=True, tenant=tenant)

        self.push_screen(Line("Tenant to sign in to: its id, or one of its domains.", self._tenant()), answered)

    def stop_job(self) -> None:
        """Give up what runs beside the engine."""
        if self._job is not None:
            self._job.stop()

    def _tenant(self) -> str:
        """The tenant of the plan, as far as it is known."""
        if self.model.ended is not None:
            return str(self.model.ended.data.get("tenant") or self.ground.settings.tenant)
        return self.ground.settings.tenant

    def _signed_in(self, value: object) -> None:
        if self._telling is not None:
            self._telling.dismiss()
            self._telling = None
        self.again("signin")
        if isinstance(value, SetupError) and value.id != "flow.interrupted":
            self.push_screen(Text("The sign-in did not succeed", f"{value.summary}\n\n{value.remedy}\n\n[{value.id}]"))

    def _begin_job(
        self,
        work: Callable[[World, Callable[[object], None], Cancel], object],
        after: Callable[[object], None],
    ) -> None:
        self._job, self._after_job = Job(self.ground, self.post_message, work), after
        self._job.start()

    def on_told(self, message: Told) -> None:
        """What runs beside the engine says something, or has ended."""
        if message.job is not self._job:
            return
        if message.over:
            self._job, after = None, self._after_job
            if after is not None:
                after(message.value)
        elif self._telling is not None:
            prompt: Any = message.value
            self._telling.tell(prompt.code, prompt.address, prompt.text)

    # small things

    def action_log(self) -> None:
        """Everything that happened, as text."""
        lines = [*self.model.log, *self.proof.log]
        self.push_screen(Text("Log", "\n".join(lines) or "Nothing has happened yet.", end=True))

    def action_keys(self) -> None:
        """What can be done here."""
        screen = self._base_screen
        keys = [
            f"{active.binding.key_display or active.binding.key.split(',')[0]:<10} {active.binding.description}"
            for active in self.screen.active_bindings.values()
            if active.enabled and active.binding.show and active.binding.description
        ]
        listing = "\n".join(dict.fromkeys([*keys, "f2         Theme", "ctrl+p     Everything that applies now"]))
        advice = getattr(screen, "advice", "")
        self.push_screen(Text("Help", f"{advice}\n\n{listing}\n\narrows and Tab move, Enter takes what is marked"))

    def action_theme(self) -> None:
        """The next theme."""
        at = THEMES.index(self.theme) if self.theme in THEMES else -1
        self.theme = THEMES[(at + 1) % len(THEMES)]

    def explain(self, errors: list[dict[str, Any]]) -> None:
        """Say more about an error."""
        from wizard.explain import answer

        if errors:
            _, text = answer(str(errors[-1]["id"]), min(self.size.width * 9 // 10 - 6, 84))
            self.push_screen(Text("Explanation", text))

    def copy(self, text: str) -> None:
        """Put a text on the clipboard, and show it: a terminal does not say whether it took it."""
        told = clean(text)
        self.copy_to_clipboard(told)
        self.push_screen(Text("Sent to the terminal's clipboard, if it supports that", told))

    def show_command(self) -> None:
        """The command that does the same without screens."""
        from wizard.answers import command_line

        self.copy(command_line(self.model.kind, self.ground.settings))

    def show_findings(self, findings: list[Finding]) -> None:
        """What was found on the way, whole."""
        text = "\n\n".join(f"{f.severity}: {f.message}\n{f.remedy}".rstrip() for f in findings)
        self.push_screen(Text("Findings", text))

    def save_answers(self) -> None:
        """Save an answers file that replays this run."""
        from pathlib import Path

        from wizard.answers import save

        def answered(name: str | None) -> None:
            if not name:
                return
            path = Path(name).expanduser()
            try:
                save(path, self.model.kind, self.ground.settings)
            except SetupError as error:
                self.push_screen(Text("Not saved", f"{error.summary}\n{error.remedy}\n[{error.id}]"))
                return
            told = f"entraclaw-setup {self.model.kind} --answers {path}"
            self.push_screen(Text("Saved", f"{path}\n\n{told}\n\nreplays this run without a question."))

        default = str(Path.home() / f"entraclaw-{self.model.kind}.toml")
        self.push_screen(Line("Save the answers of this run to", default), answered)

    def on_resize(self, event: Resize) -> None:
        """A terminal in which nothing can be read safely answers nothing."""
        self._guard(event.size)

    def _guard(self, size: Size) -> None:
        """Cover everything when the terminal is too small; the app's own size follows a resize some time later."""
        small = size.width < SMALLEST[0] or size.height < SMALLEST[1]
        if small and not isinstance(self.screen, TooSmall):
            self.push_screen(TooSmall())

    @property
    def _base_screen(self) -> Screen[Any]:
        """The screen below whatever stands on top of it."""
        return next((s for s in reversed(self.screen_stack) if not s.is_modal), self.screen)

    def _moved_screen(self) -> None:
        screen = self._base_screen
        if screen.is_mounted and hasattr(screen, "moved"):
            screen.moved()

    def _show(self, name: str) -> None:
        while self.screen.is_modal:
            self.pop_screen()
        if len(self.screen_stack) > 1:
            self.switch_screen(_screen(name))
        else:
            self.push_screen(_screen(name))
        self._guard(self.size)


def _screen(name: str) -> WizardScreen:
    from wizard.screens.hardware import Hardware
    from wizard.screens.keystore import Keystore
    from wizard.screens.prereqs import Prereqs
    from wizard.screens.progress import Progress
    from wizard.screens.review import Review
    from wizard.screens.signin import SignIn
    from wizard.screens.summary import Summary
    from wizard.screens.verify import Verify
    from wizard.screens.welcome import Welcome

    screens: dict[str, type[WizardScreen]] = {
        "welcome": Welcome,
        "prereqs": Prereqs,
        "signin": SignIn,
        "keystore": Keystore,
        "hardware": Hardware,
        "review": Review,
        "progress": Progress,
        "verify": Verify,
        "summary": Summary,
    }
    return screens[name]()


def run(ground: Ground, scenario: str = "") -> int:
    """Run the wizard in this terminal.

    :returns: the exit code of what was done last; what must not stay half-done is finished first.
    """
    return conduct(Wizard(ground, scenario))


def conduct(app: Wizard) -> int:
    """Run an app that was made already.

    :returns: as `run`.
    """
    with _signals(app):
        app.run()
        app.finish()
        _epilogue(app)
    return app.exit_code


@contextmanager
def _signals(app: Wizard) -> Iterator[None]:
    """Hand signals to the app, also when its loop is over: a terminal that is closed sends more than one of them."""

    def handle(number: int, frame: FrameType | None) -> None:
        app.signalled(number)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _epilogue(app: Wizard) -> None:
    """What remains on the terminal when the screens are gone."""
    with suppress(OSError):
        if app.incident:
            print(redactor.redact(app.incident), file=sys.stderr)
        for sentence in app.model.sentences:
            print(clean(sentence))
        for error in app.model.failed:
            print(clean(f"{error['message']} [{error['id']}]\n{error['remedy']}"), file=sys.stderr)
