"""The renderers: nothing secret, nothing that drives a terminal, and every event in words (D4, U4, U6)."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import events
from core.secret import Secret
from wizard.console.ndjson import Ndjson
from wizard.console.plain import Plain

SECRET = "Abc8Q~planted-canary-value-planted-canary-v"
EVENTS: list[events.Event] = [
    events.FlowStarted("migrate", "1"),
    events.StageStarted("review", "Review"),
    events.StepStarted("review", "app", "Find the app"),
    events.StepFinished("review", "app", "Find the app", "failed", "not there"),
    events.Waiting("a thing", 60, 2, 1, 4),
    events.Finding("x.y", "warning", "Beware", "Do this"),
    events.ChangePlanned("delete", "password credential", "app registration", "Abc…", "", False, "POST /x"),
    events.ChangeMade("graph.application.addKey", "id"),
    events.FlowFinished("migrate", "failed", 7, ("One.", "Two."), 3.5),
]


def plain(*shown: events.Event, quiet: bool = False, colour: bool = False) -> str:
    out, err = io.StringIO(), io.StringIO()
    renderer = Plain(out, err, colour=colour, quiet=quiet, verbose=True)
    for event in shown:
        renderer.event(event)
    error = {"id": "x.y", "message": "It failed", "remedy": "Try again"}
    renderer.result("migrate", "failed", 7, {}, [error] if not shown else [])
    return out.getvalue() + err.getvalue()


def test_every_event_has_its_words() -> None:
    text = plain(*EVENTS)
    for words in (
        "Review",
        "FAIL    Find the app: not there",
        "waiting for a thing (usually 60 s, 2 s so far, next try in 4 s)",
        "warn    Beware",
        "Do this",
        "- delete  password credential: Abc… (cannot be undone)",
        "POST /x",
        "One.",
    ):
        assert words in text
    assert "\x1b" not in text


def test_quiet_keeps_warnings_failures_and_the_summary() -> None:
    text = plain(*EVENTS, quiet=True)
    assert "Review" not in text
    assert "waiting" not in text
    for words in ("not there", "Beware", "One."):
        assert words in text


def test_colour_never_stands_alone() -> None:
    assert plain(*EVENTS, colour=True).replace("\x1b[0m", "") != plain(*EVENTS)
    assert "FAIL" in plain(*EVENTS, colour=True)


@pytest.mark.parametrize(
    "hostile", ["\x1b[2J", "\x1b]52;c;aGk=\x07", "\x9b31m", "\u202egnp.exe", "\r overwritten", "\x08"]
)
def test_a_name_from_the_tenant_cannot_drive_the_terminal(hostile: str) -> None:
    text = plain(
        events.Finding("plan.subject", "info", f"App '{hostile}'"),
        events.ChangePlanned("keep", hostile, hostile, hostile, hostile, True, hostile),
        events.FlowFinished("migrate", "changed", 0, (f"Migrated {hostile}",), 1),
    )
    assert not set(text) & {"\x1b", "\x9b", "\u202e", "\r", "\x07", "\x08"}


def test_D4_a_planted_secret_reaches_no_renderer() -> None:
    Secret(SECRET)
    planted: list[events.Event] = [
        events.Finding("x", "info", f"it is {SECRET}", SECRET),
        events.StepFinished("s", "t", SECRET, "done", SECRET),
        events.ChangePlanned("add", SECRET, SECRET, SECRET, SECRET, True, SECRET),
        events.FlowFinished("f", "changed", 0, (SECRET,), 0),
    ]
    lines, result = io.StringIO(), io.StringIO()
    machine = Ndjson(lines, result)
    for event in planted:
        machine.event(event)
    machine.result("migrate", "failed", 7, {"x": SECRET}, [{"id": "x", "message": SECRET, "remedy": ""}])
    for text in (plain(*planted), lines.getvalue(), result.getvalue()):
        assert "canary" not in text
    assert all(json.loads(line) for line in lines.getvalue().splitlines())
    assert json.loads(result.getvalue())["data"]["x"] == "[redacted]"


@given(st.text(), st.text())
def test_a_redacted_line_is_still_json(message: str, remedy: str) -> None:
    out = io.StringIO()
    Ndjson(out, None).event(events.Finding("x", "info", message + SECRET, remedy))
    assert "canary" not in json.dumps(json.loads(out.getvalue()))


@pytest.mark.parametrize("name", ["-----BEGIN PRIVATE KEY-----", 'client_secret=abc"def', '"secretText": "', "eyJ\\n"])
def test_U4_no_name_breaks_the_json(name: str) -> None:
    lines, result = io.StringIO(), io.StringIO()
    machine = Ndjson(lines, result)
    machine.event(events.Finding("x", "info", f"password '{name}' there", "remedy"))
    machine.result("migrate", "changed", 0, {"plan": [name, {"after": 1}]}, [])
    assert json.loads(lines.getvalue())["remedy"] == "remedy"
    assert json.loads(result.getvalue())["data"]["plan"][1] == {"after": 1}


def test_M2_quiet_shows_the_plan_when_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    renderer = Plain(out, io.StringIO(), colour=False, quiet=True, verbose=False)
    monkeypatch.setattr("builtins.input", lambda: "n")
    renderer.event(events.ChangePlanned("delete", "password credential", "app", "Abc…", "", False, ""))
    assert out.getvalue() == ""
    assert renderer.ask(events.Question("migrate", "Make these changes?", False, "--yes")) is False
    assert "- delete  password credential: Abc…" in out.getvalue()
