"""Recordings: private, redacted, the last twenty, never in the way of a run, and read without trust (U7, D4)."""

from __future__ import annotations

import json
import os
import re
import stat
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config.profile import Profile
from core.errors import SetupError
from core.events import SCHEMA, Event, Finding, FlowFinished, FlowStarted, StepStarted, from_json, to_json
from core.recording.reader import LONGEST, read
from core.recording.writer import KEPT, LARGEST, LINE, LINES, Recording, folder, kept
from core.secret import Secret, redacted
from tests.unit.test_events import events
from wizard.replay import load

CANARY = "Rec8Q~planted-canary-value-planted-canary-v"
START = datetime(2026, 1, 1, tzinfo=UTC)
RESULT: dict[str, Any] = {
    "schema": SCHEMA, "command": "migrate", "outcome": "changed", "exit_code": 0, "data": {}, "errors": [],
}  # fmt: skip


class Said(list[Event]):
    """What a run is told."""


def made(command: str = "migrate", run: str = "0123456789ab", said: Said | None = None, **how: Any) -> Recording:
    """A recording that has begun; every event is a second after the one before."""
    times = iter(range(10**6))
    one = Recording(command, lambda: START + timedelta(seconds=next(times)), **how)
    one.begin(Profile(), run, (said if said is not None else Said()).append)
    return one


def line(event: Event, seconds: float = 0) -> str:
    return to_json(event, (START + timedelta(seconds=seconds)).isoformat())


def written(path: Path, *lines: str | bytes | dict[str, Any]) -> Path:
    """A file of lines."""
    texts = [json.dumps(text) if isinstance(text, dict) else text for text in lines]
    path.write_bytes(b"".join((text.encode() if isinstance(text, str) else text) + b"\n" for text in texts))
    return path


def refused(path: Path) -> str:
    """Why a file is no recording."""
    with pytest.raises(SetupError) as error:
        read(path)
    assert (error.value.id, error.value.exit_code) == ("replay.unreadable", 2)
    return str(error.value.details["detail"])


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_U7_A8_it_is_private_and_follows_nothing(home: Path) -> None:
    before = os.umask(0)
    try:
        made().event(FlowStarted("migrate", "0123456789ab"))
    finally:
        os.umask(before)
    (path,) = kept(Profile())
    assert path.name == "20260101T000000000000Z_migrate_0123456789ab.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.unlink()
    target = home / "target"
    target.write_text("mine")
    path.symlink_to(target)
    made().event(FlowStarted("migrate", "0123456789ab"))
    assert target.read_text() == "mine"
    assert len(kept(Profile())) == 2, "a name that is taken is left alone, and the next one is used"


def test_U7_the_last_twenty_stay_and_nothing_else_is_deleted(home: Path) -> None:
    place = folder(Profile())
    place.mkdir(parents=True)
    others = [
        place / "notes.jsonl",
        place / "20200101T000000000000Z_migrate_0123456789ab.jsonl.bak",
        place / "20200101",
    ]
    for other in others:
        other.write_text("kept")
    for number in range(KEPT + 5):
        moment = START + timedelta(days=number)
        Recording("verify", partial(max, moment, moment)).begin(Profile(), f"{number:012x}", print)
    names = [path.name for path in kept(Profile())]
    assert len(names) == KEPT
    assert names == sorted(names, reverse=True)
    assert names[-1].endswith(f"{5:012x}.jsonl"), "the oldest went first"
    assert [other.read_text() for other in others] == ["kept"] * 3


def test_U7_runs_that_look_push_out_none_that_changed_something(home: Path) -> None:
    commands = ["migrate", "undo", *["doctor", "verify"] * KEPT, *["apply"] * (KEPT - 1)]
    for number, command in enumerate(commands):
        moment = START + timedelta(days=number)
        Recording(command, partial(max, moment, moment)).begin(Profile(), f"{number:012x}", print)
    names = [path.name.split("_")[1] for path in reversed(kept(Profile()))]
    assert names == ["undo", *["doctor", "verify"] * (KEPT // 2), *["apply"] * (KEPT - 1)]


@pytest.mark.parametrize("text", ["x" * LINE, "\U0001f600" * LINE, "\x00" * 5000], ids=["ascii", "escaped", "control"])
def test_U7_what_is_too_long_is_cut_and_read_back(home: Path, text: str) -> None:
    one = made()
    one.event(Finding("a", "info", text, text))
    one.event(FlowFinished("migrate", "changed", 0, (text[:99],) * 2000, 1))
    error = {"id": "x", "message": text, "remedy": text}
    one.result("migrate", "failed", 7, {"many": {str(n): text[:99] for n in range(2000)}}, [error] * 20)
    finding, end = (event for _, event in read(kept(Profile())[0]).parts[0].events)
    assert isinstance(finding, Finding)
    assert re.fullmatch(rf"(.)\1*… cut, {len(text)} characters", finding.message, re.DOTALL)
    assert isinstance(end, FlowFinished)
    result = read(kept(Profile())[0]).outcome
    assert result is not None
    assert (result.exit_code, result.errors[0]["id"]) == (7, "x")


def test_D4_a_secret_at_the_cut_is_found_before_it_is_cut(home: Path) -> None:
    Secret(CANARY)
    made().event(Finding("a", "info", "x" * 3980 + CANARY + "y" * 100))
    assert CANARY[:6] not in kept(Profile())[0].read_text()


@pytest.mark.parametrize("counted", ["_lines", "_bytes"])
def test_U7_a_recording_that_is_full_says_so_and_keeps_the_result(home: Path, counted: str) -> None:
    one = made()
    setattr(
        one, counted, {"_lines": LINES - 200, "_bytes": LARGEST - 2**20 - 5000}[counted]
    )  # there was so much before
    for number in range(300):
        one.event(Finding(str(number), "info", "x" * 40))
    one.result("migrate", "changed", 0, {}, [])
    for _ in range(300):
        one.result("verify", "unchanged", 0, {}, [])
    tape = read(kept(Profile())[0])
    last = tape.parts[0].events[-1][1]
    assert isinstance(last, Finding)
    assert last.id == "recording.full"
    assert tape.parts[0].result is not None
    assert len(kept(Profile())[0].read_text().splitlines()) <= (200 if counted == "_lines" else 400)


def test_U7_a_line_that_is_too_long_and_lines_that_are_too_many_are_refused(tmp_path: Path) -> None:
    fits = line(Finding("a", "info", ""))
    fits = line(Finding("a", "info", "x" * (LINE - len(fits))))
    assert len(read(written(tmp_path / "x", fits)).parts[0].events) == 1
    long = line(Finding("a", "info", "x" * LINE))
    assert refused(written(tmp_path / "y", fits, long)) == "line 2: it is longer than 64 KiB"
    torn = tmp_path / "z"
    torn.write_bytes(b"x" * 8 * 2**20)
    assert refused(torn) == "line 1: it is longer than 64 KiB"
    assert refused(written(tmp_path / "many", *[GOOD] * (LINES + 1))).startswith("line 50001: ")


def test_D4_a_planted_secret_reaches_no_recording(home: Path) -> None:
    Secret(CANARY)
    one = made()
    one.event(Finding("x", "info", f"it is {CANARY}", "-----BEGIN PRIVATE KEY-----"))
    one.event(FlowFinished("f", "changed", 0, (CANARY,), 0))
    one.result("migrate", "failed", 7, {CANARY: [CANARY]}, [{"id": "x", "message": CANARY, "remedy": ""}])
    (path,) = kept(Profile())
    text = path.read_text()
    assert "canary" not in text
    assert [set(json.loads(each)) >= {"schema"} for each in text.splitlines()] == [True] * 3


@pytest.mark.parametrize("how", ["a file in its place", "no more room"])
def test_U7_a_recording_that_cannot_be_written_is_one_warning(how: str, home: Path) -> None:
    said = Said()
    if how == "a file in its place":
        folder(Profile()).parent.mkdir(parents=True)
        folder(Profile()).write_text("")
    one = made(said=said)

    if how == "no more room":
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full")
        assert one._file is not None
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, one._file)
        os.close(full)
    one.event(FlowStarted("migrate", "1"))
    one.event(FlowStarted("migrate", "2"))
    assert one.result("migrate", "changed", 0, {"a": 1}, []) == {"a": 1}, "no file is named"
    assert [(event.id, event.severity) for event in said if isinstance(event, Finding)] == [
        ("recording.ended", "warning")
    ]


def test_U7_what_json_prints_names_the_file_where_it_lasts(home: Path) -> None:
    assert made(lasting=False).result("demo", "changed", 0, {}, []) == {}
    told = made().result("migrate", "changed", 0, {"a": 1}, [])
    assert told == {"a": 1, "recording": str(kept(Profile())[0])}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(st.lists(events, max_size=6), st.integers(0, 255))
def test_U7_whatever_was_recorded_is_read_back(home: Path, happened: list[Event], code: int) -> None:
    one = made()
    for event in happened:
        one.event(event)
    one.result("migrate", "failed", code, {"n": [1.5, None, True]}, [])
    tape = read(kept(Profile())[-1])
    for path in kept(Profile()):
        path.unlink()
    seen = [(moment, event) for part in tape.parts for moment, event in part.events]
    wanted = [from_json(json.dumps(redacted(json.loads(to_json(event, "T"))))) for event in happened]
    assert [event for _, event in seen] == wanted
    assert [moment for moment, _ in seen] == [float(n) for n in range(len(happened))]
    last = tape.parts[-1].result
    assert last is not None
    assert (last.exit_code, last.data["n"], tape.torn) == (code, [1.5, None, True], False)


def test_U7_a_run_and_its_verification_are_two_parts(tmp_path: Path) -> None:
    verified = RESULT | {"command": "verify", "outcome": "unchanged"}
    path = written(
        tmp_path / "x",
        line(Finding("early", "info", "before the flow")),
        line(FlowStarted("migrate", "abc")),
        line(FlowFinished("migrate", "changed", 0, (), 1), 5),
        RESULT,
        line(FlowStarted("verify", "def"), 7),
        verified,
    )
    tape = read(path)
    assert [(part.flow, [moment for moment, _ in part.events]) for part in tape.parts] == [
        ("migrate", [0, 0, 5]), ("verify", [7]),
    ]  # fmt: skip
    assert (tape.started, tape.run, tape.command) == (START, "abc", "migrate")
    assert tape.outcome is not None
    assert (tape.outcome.outcome, tape.outcome.exit_code) == ("changed", 0)
    wrong = verified | {"exit_code": 8, "outcome": "failed"}
    outcome = read(written(tmp_path / "y", line(FlowStarted("migrate", "a")), RESULT, wrong)).outcome
    assert outcome is not None
    assert (outcome.outcome, outcome.exit_code) == ("failed", 8), "what failed counts"
    again = read(written(tmp_path / "w", line(FlowStarted("doctor", "a")), wrong, RESULT)).outcome
    assert again is not None
    assert (again.outcome, again.exit_code) == (RESULT["outcome"], 0), "what was mended meanwhile counts"
    killed = read(written(tmp_path / "z", line(FlowStarted("migrate", "a")), line(FlowStarted("verify", "b"))))
    assert [(part.flow, part.result) for part in killed.parts] == [("migrate", None), ("verify", None)]
    assert killed.outcome is None


def test_U7_a_torn_last_line_is_left_out_and_said(tmp_path: Path) -> None:
    path = written(
        tmp_path / "x", line(FlowStarted("migrate", "a")), line(FlowFinished("migrate", "changed", 0, (), 1))
    )
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    tape = read(path)
    assert tape.torn
    assert [type(event) for _, event in tape.parts[0].events] == [FlowStarted]
    assert tape.outcome is None
    path.write_bytes(whole[:-1])
    assert not read(path).torn, "only its line break is missing"
    assert len(read(path).parts[0].events) == 2


GOOD = line(FlowStarted("migrate", "a"))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"", "line 2: it is no JSON"),
        (b"\xff\xfe", "line 2:"),
        (b"[1]", "line 2: this is no recording"),
        (b'{"schema": true, "event": "FlowStarted"}', "line 2: this is no recording"),
        (b'{"schema": 2, "event": "Later"}', "line 2: a later version wrote it (schema 2; this one knows 1)"),
        (b'{"schema": 1, "time": "2026-01-01T00:00:00Z", "event": "Nonsense"}', "line 2: not an event of schema 1"),
        (b'{"schema": 1, "event": "FlowStarted", "flow": "x", "run": "y"}', "line 2: it has no time"),
        (b'{"schema": 1, "time": "soon", "event": "FlowStarted"}', "line 2:"),
        (b'{"schema": 1, "time": "2026-01-01T00:00:00", "event": "FlowStarted"}', "line 2: its time has no zone"),
        (b'{"schema": 1, "time": "0001-01-01T00:00:00+23:00", "event": "FlowStarted"}', "line 2:"),
        (b'{"schema": 1, "time": "9999-12-31T00:00:00Z", "event": "FlowStarted"}', "line 2: its time is too late"),
        (b'{"schema": 1, "data": {"x": NaN}}', "line 2: NaN is no number"),
        (b'{"schema": 1, "data": {"x": [-Infinity]}}', "line 2: -Infinity is no number"),
        (b'{"schema": 1, "command": "migrate"}', "line 2: it is neither an event nor a result"),
        (b"[" * 100_000, "line 2:"),
        (b'{"schema": 1, "a": ' + b"[" * 50 + b"]" * 50 + b"}", "line 2: it is nested too deeply"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_U7_a_foreign_line_is_refused_by_its_number(tmp_path: Path, bad: bytes, why: str) -> None:
    assert refused(written(tmp_path / "x", GOOD, bad)).startswith(why)


@pytest.mark.parametrize(
    "change",
    [
        {"exit_code": 256}, {"exit_code": True}, {"exit_code": "0"}, {"outcome": 1}, {"command": None},
        {"data": []}, {"errors": {}}, {"errors": ["x"]}, {"errors": [{"id": "x", "message": "y"}]},
        {"data": {"certificate": {"due": 1, "not_after": "x"}}}, {"data": {"plan": "x"}}, {"data": {"recording": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_U7_a_result_of_another_shape_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    assert refused(written(tmp_path / "x", GOOD, RESULT | change)).startswith("line 2: it")


@pytest.mark.parametrize(
    "change",
    [
        {"event": "Finding", "id": ["x"], "severity": "info", "message": "m"},
        {"event": "Finding", "id": "x", "severity": "loud", "message": "m"},
        {"event": "Finding", "id": "x", "severity": "info"},
        {"event": "FlowFinished", "flow": "f", "outcome": "o", "exit_code": 0, "summary": "ab", "seconds": 1},
        {"event": "FlowFinished", "flow": "f", "outcome": "o", "exit_code": 0, "summary": [1], "seconds": 1},
        {"event": "FlowFinished", "flow": "f", "outcome": "o", "exit_code": False, "summary": [], "seconds": 1},
        {"event": "Waiting", "reason": "r", "expected": float("inf"), "elapsed": 1, "attempt": 1, "next_in": 1},
        {"event": "Waiting", "reason": "r", "expected": 10**400, "elapsed": 1, "attempt": 1, "next_in": 1},
    ],
    ids=str,
)
def test_U7_an_event_of_another_shape_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    body = {"schema": SCHEMA, "time": START.isoformat(), **change}
    assert refused(written(tmp_path / "x", GOOD, body)).startswith("line 2:")


def test_U7_what_is_no_file_or_too_large_or_empty_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "missing") == "No such file or directory"
    assert refused(tmp_path)
    assert refused(written(tmp_path / "empty")) == "it holds no event"
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(LARGEST + 1)
    assert "MiB" in refused(large)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert refused(tmp_path / "pipe") == "it is not a regular file"


def test_U7_time_runs_forward_and_no_pause_is_endless(tmp_path: Path) -> None:
    steps = [StepStarted("s", str(n), "t") for n in range(4)]
    path = written(tmp_path / "x", *(line(step, s) for step, s in zip(steps, (0, 10, 4, 10**9), strict=True)))
    assert [moment for moment, _ in read(path).parts[0].events] == [0, 10, 10, 10 + LONGEST]


def test_D4_texts_are_clean_once_it_is_loaded(tmp_path: Path) -> None:
    bad = "\x1b[2J\u202e\ud800x"
    error = {"id": bad, "message": bad, "remedy": bad}
    result = RESULT | {"command": bad, "outcome": bad, "data": {bad: [bad]}, "errors": [error]}
    tape = load(written(tmp_path / "x", line(FlowStarted(bad, bad)), line(Finding(bad, "info", bad, bad)), result))
    assert not set(repr(tape.parts) + tape.run) & set("\x1b\u202e\ud800")
    assert "\\x1b" not in repr(tape.parts)
    assert "\\ud800" not in repr(tape.parts)
    assert tape.run == "?[2J??x"
