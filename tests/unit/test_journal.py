"""The journal: on the disk before the effect, readable after a crash, without secrets (M4, M5, M8)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import Effected, GraphError, NetworkError, SetupError
from core.events import ChangeMade, Event
from core.flow.journal import Journal
from tests.machine import Crash, VirtualClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / ".x" / "setup" / "journal" / "j.jsonl"


@pytest.fixture
def open_journal(path: Path, clock: VirtualClock) -> Callable[[], Journal]:
    """Open the journal as a new process would."""
    return lambda: Journal(path, "run-1", clock)


Open = Callable[[], Journal]


def states(journal: Journal) -> list[tuple[str, str]]:
    return [(effect.action, effect.state) for effect in journal.effects]


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_M8_an_effect_is_on_the_disk_before_it_happens(open_journal: Open, path: Path) -> None:
    events: list[Event] = []
    journal = open_journal()
    assert not path.exists(), "a run without effects leaves no file"
    with journal.effect("graph.application.addKey", "app-1", events.append, key_id="k") as effect:
        assert lines(path)[-1].items() >= {"state": "intend", "n": effect.number, "data": {"key_id": "k"}}.items()
        effect.data["more"] = "later"
    assert lines(path)[-1].items() >= {"state": "done", "data": {"key_id": "k", "more": "later"}}.items()
    assert events == [ChangeMade("graph.application.addKey", "app-1")]
    again = open_journal()
    assert (again.resumed, again.effects) == (True, journal.effects)


def test_M8_a_crash_after_the_intention_leaves_the_effect_standing(open_journal: Open) -> None:
    with pytest.raises(Crash), open_journal().effect("a", "t"):
        raise Crash
    again = open_journal()
    assert states(again) == [("a", "intend")]
    assert again.standing("a")
    assert again.resumed


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (GraphError(403, "c", "m", action="a", request_id="r", date="d", effected=Effected.NO), True),
        (GraphError(403, "c", "m", action="a", request_id="r", date="d"), False),
        (GraphError(403, "c", "m", action="a", request_id="r", date="d", effected=Effected.YES), False),
        (NetworkError("network.unreachable", effected=Effected.NO, host="h", detail="d"), True),
        (NetworkError("network.unreachable", host="h", detail="d"), False),
        (SetupError("flow.no"), False),
        (RuntimeError("bug"), False),
        (Crash(), False),
    ],
)
def test_M5_only_a_proven_refusal_closes_an_effect(open_journal: Open, error: BaseException, refused: bool) -> None:
    with pytest.raises(type(error)), open_journal().effect("a", "t"):
        raise error
    assert states(open_journal()) == [("a", "failed" if refused else "intend")]
    assert bool(open_journal().standing("a")) is not refused


def test_M5_the_marker_is_kept_taken_back_and_closed(open_journal: Open) -> None:
    journal = open_journal()
    with journal.effect("a", "t"):
        pass
    journal.mark()
    assert open_journal().marked
    journal.unmark()
    assert not open_journal().marked
    journal.undone(journal.effects[0])
    assert not open_journal().standing("a")
    journal.mark()
    journal.close("changed")
    again = open_journal()
    assert (again.marked, again.effects, again.resumed) == (False, [], False)
    with again.effect("b", "t") as effect:
        assert effect.number == 2, "numbers go on"


def test_closing_nothing_writes_nothing(open_journal: Open, path: Path) -> None:
    open_journal().close("changed")
    assert not path.exists()


@pytest.mark.parametrize("torn", [b"{", b'{"state": "done", "n": 1', b'{"state": "closed"}', b"\xff\x00", b"x" * 500])
def test_M8_a_torn_last_line_is_ignored_and_overwritten(open_journal: Open, path: Path, torn: bytes) -> None:
    journal = open_journal()
    with journal.effect("a", "t"):
        pass
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    again = open_journal()
    assert states(again) == [("a", "done")]
    again.mark()
    assert path.read_bytes().startswith(whole)
    assert [line["state"] for line in lines(path)] == ["intend", "done", "marker"]
    assert open_journal().marked


@pytest.mark.parametrize(
    "broken",
    ["{", "[]", "1", '"x"', "{}", '{"state": "later"}', '{"state": "intend"}', '{"state": "intend", "n": "x"}', "\x00"],
)
def test_M8_an_unreadable_entry_in_the_middle_is_named_by_its_line(open_journal: Open, path: Path, broken: str) -> None:
    journal = open_journal()
    with journal.effect("a", "t"):
        pass
    content = path.read_text() + broken + "\n" + path.read_text()
    path.write_text(content)
    with pytest.raises(SetupError) as caught:
        open_journal()
    assert (caught.value.id, caught.value.details["line"], caught.value.exit_code) == ("journal.broken", 3, 3)
    assert str(path) in caught.value.summary
    assert path.read_text() == content


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
def test_M8_the_journal_is_private(open_journal: Open, path: Path) -> None:
    open_journal().mark()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("obstacle", ["a file where the folder should be", "a folder where the file should be", "link"])
def test_M8_without_a_journal_the_effect_does_not_happen(path: Path, clock: VirtualClock, obstacle: str) -> None:
    journal = Journal(path, "run-1", clock)
    if obstacle == "link":
        path.parent.mkdir(parents=True)
        path.symlink_to(path.with_name("elsewhere"))
    elif obstacle.startswith("a folder"):
        path.mkdir(parents=True)
    else:
        path.parent.parent.mkdir(parents=True)
        path.parent.write_text("")
    happened = False
    with pytest.raises(SetupError) as caught, journal.effect("a", "t"):
        happened = True
    blocked = "journal.io" if obstacle.startswith("a file") else "file.unsafe"
    assert (caught.value.id, caught.value.exit_code) == (blocked, 3)
    assert not happened
    assert not path.with_name("elsewhere").exists()


@pytest.mark.parametrize("secret", ["abc8Q~" + "x" * 34, "eyJ0eXAiOiJKV1Qi.eyJhdWQiOiJod.c2ln"])
def test_P4_a_name_like_a_secret_never_enters_the_journal_and_is_an_error_with_a_remedy(
    open_journal: Open, path: Path, secret: str
) -> None:
    happened = False
    with pytest.raises(SetupError) as caught, open_journal().effect("a", "t", value=f"/srv/{secret}/x.json"):
        happened = True
    assert (caught.value.id, caught.value.exit_code) == ("journal.secret", 3)
    assert "/srv/" in caught.value.summary, "what is to be renamed"
    assert "Rename" in caught.value.remedy
    assert secret not in str(caught.value)
    assert not happened
    assert not path.exists()


def test_effects_of_one_kind_come_oldest_first(open_journal: Open) -> None:
    journal = open_journal()
    for target in ("one", "two", "three"):
        with journal.effect("a", target):
            pass
    journal.undone(journal.effects[1])
    assert [effect.target for effect in open_journal().standing("a")] == ["one", "three"]


def test_M7_what_an_undertaking_came_to_is_known_after_it_was_closed(open_journal: Open) -> None:
    journal = open_journal()
    for action, target in (("add", "a"), ("add", "b"), ("delete", "c")):
        journal.done(journal.intend(action, target))
    journal.undone(journal.effects[1])
    journal.close("changed")
    assert (journal.effects, journal.standing("add")) == ([], [])
    assert [effect.target for effect in journal.did("add")] == ["a"]
    assert [effect.target for effect in journal.did()] == ["a", "c"]
    assert open_journal().did() == []
