"""A recorded run again in the wizard: the same screens, by themselves, and nothing is done (U7)."""

from __future__ import annotations

import io
import json
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from textual.widgets import OptionList

from core.config.profile import Profile
from core.errors import SetupError
from core.events import (
    ChangeMade,
    Checked,
    Event,
    Finding,
    FlowFinished,
    FlowStarted,
    Question,
    StageStarted,
    StepFinished,
    StepStarted,
    Waiting,
    result_object,
    to_json,
)
from core.recording import writer
from core.recording.reader import read
from tests.tui import pictures
from tests.tui.play import Play, play, replay, run
from tests.tui.scenes import fail
from tests.tui.stand import standing
from wizard.console import dialogue
from wizard.tui.dialogs import Text

_BAR = re.compile(r'.*(?:clip-path="url\(#terminal-line-0\)"|<rect [^>]*y="1\.5").*\n')


def below(svg: str) -> str:
    """A picture without the top line, which says that it is a replay."""
    return _BAR.sub("", svg)


def recorded() -> Path:
    """The newest recording."""
    return writer.kept(Profile())[0]


async def to_the_end(shown: Play) -> None:
    """From the first screen to the summary."""
    await shown.at("welcome")
    await shown.press("enter")
    await shown.through("review")
    await shown.press("enter", "y")
    for place in ("progress", "verify", "summary"):
        await shown.at(place)
        if place != "summary":
            await shown.press("enter")


@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=str)
@pytest.mark.parametrize("scenario", ["legacy", "fresh"])
def test_U7_a_recorded_run_replays_to_the_same_final_screen(scenario: str, size: tuple[int, int]) -> None:
    async def same() -> None:
        async with play(scenario, size=size) as shown:
            await to_the_end(shown)
            await shown.pilot.pause()
            final = pictures.clean(shown.app.export_screenshot())
            assert len(writer.kept(Profile())) == 1, "the run and its verification are one file"
            before = {path: path.read_bytes() for path in Path.home().rglob("*") if path.is_file()}
            async with replay(recorded(), shown.stand, size=size) as again:
                await again.at("progress")
                await again.press("enter")
                await again.at("verify")
                await again.press("enter")
                await again.at("summary")
                assert again.shows("REPLAY 2026-11-22 at once +/-")
                second = pictures.clean(again.app.export_screenshot())
                assert below(second) == below(final)
                assert second != final
            assert {path: path.read_bytes() for path in Path.home().rglob("*") if path.is_file()} == before

    run(same())


async def to_a_failure(shown: Play) -> None:
    """From the first screen to the summary; the certificate is not taken."""
    fail(shown.stand, "PATCH", 400)
    await shown.at("welcome")
    await shown.press("enter")
    await shown.through("review")
    await shown.press("enter", "y")
    await shown.at("progress")
    await shown.press("enter")
    await shown.at("summary")


def test_U7_a_run_that_failed_replays_with_its_errors_and_the_replay_ends_with_0() -> None:
    async def same() -> None:
        async with play() as shown:
            await to_a_failure(shown)
            final = pictures.clean(shown.app.export_screenshot())
            assert "It did not succeed" in shown.text
            async with replay(recorded(), shown.stand) as again:
                await again.at("progress")
                await again.press("enter")
                await again.at("summary")
                assert below(pictures.clean(again.app.export_screenshot())) == below(final)
                await again.press("e")
                await again.on(Text)
                await again.press("escape", "q")
                await again.until(lambda: again.app.exiting)
            assert again.app.model.failed
            again.app.finish()
            assert again.app.exit_code == 0

    run(same())


def test_U7_where_a_failed_run_was_recorded_is_told_on_a_real_machine_alone() -> None:
    """In a demo the file goes away with it."""

    async def told(real: bool) -> None:
        async with play(real=real, size=(120, 40)) as shown:
            await to_a_failure(shown)
            assert shown.shows("Recorded, for support: entraclaw-setup replay") is real
            assert (recorded().name in re.sub(r"\s|│", "", shown.text)) is real

    run(told(True))
    run(told(False))


def test_U7_what_begins_something_is_off_or_begins_the_replay_again() -> None:
    async def tried() -> None:
        async with play() as shown:
            await to_the_end(shown)
            async with replay(recorded(), shown.stand) as again:
                app = again.app
                await again.at("progress")
                first = app.engine_thread
                await again.press("enter")
                await again.at("verify")
                await again.press("r")
                await again.at("progress")
                assert app.engine_thread is not first, "check again is the replay again"
                app.show("summary")
                await again.at("summary")
                await again.press("s")
                await again.on(Text)
                assert again.shows("Nothing is saved in a replay")
                await again.press("escape", "enter")
                await again.at("progress")
                assert app._job is None
                assert not list(Path(shown.stand.settings.folder).glob("*.toml"))

    run(tried())


class Slow:
    """A clock that lets no time pass by itself: somebody has to."""

    def __init__(self) -> None:
        self._now, self._more = 0.0, threading.Condition()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        with self._more:
            return self._now

    def wait(self, seconds: float) -> None:
        with self._more:
            self._more.wait(0.01)

    def let_pass(self, seconds: float) -> None:
        with self._more:
            self._now += seconds
            self._more.notify_all()


def test_U7_it_keeps_the_pace_and_the_keys_change_it(tmp_path: Path) -> None:
    """A run of a hundred seconds: ten of them at its own speed, the rest at twice that."""
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    times = [0, 0, 10, 50, 100]
    events: list[Event] = [
        FlowStarted("migrate", "1"),
        StageStarted("prereqs", "Prerequisites"),
        StageStarted("signin", "Sign-in"),
        StageStarted("keystore", "Keystore"),
        FlowFinished("migrate", "unchanged", 0, ("Nothing to do.",), 100.0),
    ]
    lines = [to_json(event, (begun + timedelta(seconds=s)).isoformat()) for s, event in zip(times, events, strict=True)]
    path = tmp_path / "run.jsonl"
    path.write_text("\n".join([*lines, json.dumps(result_object("migrate", "unchanged", 0, {}, []))]) + "\n")
    clock = Slow()

    async def paced() -> None:
        async with play() as shown, replay(path, shown.stand, speed=1.0, clock=clock) as again:
            model = again.app.model
            await again.until(lambda: model.stage == "prereqs" and model.pause == "prereqs")
            assert again.shows("REPLAY 2026-01-01 1x +/-")
            clock.let_pass(9.9)
            await again.pilot.pause()
            assert model.stage == "prereqs"
            clock.let_pass(0.2)
            await again.until(lambda: model.stage == "signin")
            await again.press("plus")
            assert again.shows("REPLAY 2026-01-01 2x +/-")
            clock.let_pass(20.1)
            await again.until(lambda: model.stage == "keystore")
            await again.press("minus", "minus")
            assert again.shows("0.5x")
            clock.let_pass(99)
            await again.pilot.pause()
            assert model.ended is None
            clock.let_pass(2)
            await again.until(lambda: model.ended is not None)
            assert model.sentences == ("Nothing to do.",)

    run(paced())


def test_U7_enter_goes_on_before_a_pause_is_over(tmp_path: Path) -> None:
    """Whoever has read a screen need not wait as long as the one who was recorded."""

    async def hurried() -> None:
        async with play() as shown:
            await to_the_end(shown)
            lines = recorded().read_text().splitlines()
        path = tmp_path / "slow.jsonl"
        begun, slow = datetime(2026, 1, 1, tzinfo=UTC), []
        for line in map(json.loads, lines):
            begun += timedelta(seconds=1000 if line.get("event") in ("StageStarted", "ChangeMade") else 0)
            slow.append(json.dumps(line | {"time": begun.isoformat()} if "event" in line else line))
        path.write_text("\n".join(slow) + "\n")
        async with play() as shown, replay(path, shown.stand, speed=1.0, clock=Slow()) as again:
            app = again.app

            async def paused(place: str) -> None:
                await again.until(lambda: again.place == place and (app.model.pause == place or app.model.question))

            async def first() -> None:
                assert app.engine_thread is not None
                app.engine_thread.answer(True)  # no screen has begun yet
                await paused("prereqs")

            await first()
            await again.press("enter")
            await paused("signin")
            screen = app.screen
            assert not [name for name in ("browser", "device", "tenant", "out") if screen.check_action(name, ())]
            before = app.engine_thread
            await again.press("r")
            await again.until(lambda: app.engine_thread is not before)
            await first()
            for place in ("signin", "keystore", "hardware", "review"):
                await again.press("enter")
                await paused(place)
            assert again.shows("Make these changes")
            assert app.screen.check_action("headless", ()) is False
            await again.press("enter")
            await again.until(lambda: again.place == "progress")
            assert app.model.stage in app.model.changing
            assert app.model.ended is None
            assert again.shows("a replay."), again.text
            await again.press("x")
            await again.until(lambda: app.exiting)
        assert app.exit_code == 0

    run(hurried())


def test_U7_a_recording_that_was_cut_short_says_so(tmp_path: Path) -> None:
    async def cut() -> None:
        async with play() as shown:
            await to_the_end(shown)
            content = recorded().read_bytes()
            path = tmp_path / "cut.jsonl"
            path.write_bytes(content[: content.index(b"StepFinished", content.index(b"ChangeMade"))])
            async with replay(path, shown.stand) as again:
                await again.at("progress")
                assert again.shows("The recording ends here")
                await again.press("enter")
                await again.at("summary")
                assert again.shows("How it ended is not known.")

    run(cut())


def test_D4_nothing_of_a_hostile_recording_drives_the_terminal(tmp_path: Path) -> None:
    bad = "\x1b[2J\x9b31m\u202eevil\x07"
    events: list[Event] = [
        FlowStarted(bad, bad),
        StageStarted("prereqs", bad),
        StepStarted("prereqs", bad, bad),
        StepFinished("prereqs", bad, bad, "done", bad),
        Finding(bad, "warning", bad, bad),
        StageStarted(bad, bad),
        Waiting(bad, 1e300, 10**300, 1, 1e308),
        ChangeMade(bad, bad),
        Question(bad, bad, True, bad),
        FlowFinished(bad, bad, 0, (bad,), 1.0),
    ]
    error = {"id": bad, "message": bad, "remedy": "[bold]" + bad, "docs": bad}
    result = result_object(bad, bad, 7, {"recording": bad, "certificate": {"due": bad, "not_after": bad}}, [error])
    path = tmp_path / "hostile.jsonl"
    lines = [*(to_json(event, "2026-01-01T00:00:00Z") for event in events), json.dumps(result)]
    path.write_text("\n".join(lines) + "\n")

    async def shown_it() -> None:
        async with play() as shown, replay(path, shown.stand) as again:
            await again.at("progress")
            seen = [again.text, *again.app.model.log]
            await again.press("enter")
            await again.at("summary")
            seen.append(again.text)
            await again.press("e")
            await again.on(Text)
            seen.append(again.text)
            assert "evil" in seen[0]
            assert not set("".join(seen)) & set("\x1b\x9b\u202e\x07")

    run(shown_it())


@pytest.mark.parametrize(
    "names", [("net", "az"), ("", "a", "a b", '","', "\n", "[bold]", "#x", "\x1b"), ("x",)], ids=str
)
def test_U7_checks_of_the_same_name_in_two_groups_are_two_lines(tmp_path: Path, names: tuple[str, ...]) -> None:
    """A file from elsewhere may call its checks as it likes."""
    seen: list[Event] = [
        Checked(group, check, f"{index}.", "warning", f"{index} of {group!r}, {check!r}")
        for index, (group, check) in enumerate((group, check) for group in names for check in names)
    ]
    begun: list[Event] = [FlowStarted("doctor", "1")]
    path = tmp_path / "doctor.jsonl"
    lines = [to_json(event, "2026-01-01T00:00:00Z") for event in begun + seen]
    path.write_text("\n".join([*lines, json.dumps(result_object("doctor", "unchanged", 0, {}, []))]) + "\n")

    async def shown_it() -> None:
        async with play() as shown, replay(path, shown.stand) as again:
            await again.at("diagnose")
            lines = again.app.screen.query_one(OptionList)
            texts = [str(option.prompt) for option in lines.options if not option.disabled]
            assert [text.split()[1] for text in texts] == [f"{index}.:" for index in range(len(seen))]
            await again.press("end")
            assert again.shows(f"{len(seen) - 1}. {len(seen) - 1} of")

    run(shown_it())


def test_U7_a_recording_of_a_result_alone_leads_to_the_summary(tmp_path: Path) -> None:
    path = tmp_path / "result.jsonl"
    error = SetupError("replay.cut").as_dict()
    path.write_text(json.dumps(result_object("migrate", "failed", 1, {}, [error])) + "\n")

    async def shown_it() -> None:
        async with play() as shown, replay(path, shown.stand) as again:
            await again.at("summary")
            assert again.shows("The recording ends here")

    run(shown_it())


def test_U7_the_dialogue_records_a_run_and_its_verification_in_one_file() -> None:
    with standing() as stand:
        out, err = io.StringIO(), io.StringIO()
        dialogue.run(stand, out, err, io.StringIO("\n1\n"))  # what is recommended, and yes; then nobody is there
        (path,) = writer.kept(Profile())
        tape = read(path)
    results = [part.result for part in tape.parts]
    assert [(part.flow, part.events[-1][1].__class__) for part in tape.parts] == [
        ("migrate", FlowFinished),
        ("verify", FlowFinished),
    ]
    assert [(each.command, each.outcome, each.exit_code) for each in results if each] == [
        ("migrate", "changed", 0),
        ("verify", "unchanged", 0),
    ]
    assert results[0] is not None
    assert results[0].data["certificate"]
