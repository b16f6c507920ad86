"""The state file is foreign property: read carefully, replaced atomically, never given a secret (M1, M7, P4)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config.profile import Profile
from core.errors import SetupError
from core.machine.state_file import LARGEST, Basis, StateFile
from core.secret import Secret, looks_secret

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX files")
SECRET = "abc8Q~" + "x" * 34
MEMBER = Profile.secret_member
texts = st.text(max_size=12)
#: Members that are ours to write are plain texts; foreign ones may be anything that JSON can say.
foreign = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
within_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    folder = tmp_path / "project"
    folder.mkdir()
    state = StateFile(folder / "state.json", tmp_path / "locks" / "x.lock")
    state.path.write_text('{"A": "1", "B": "2"}\n')
    return state


def failure(act: Callable[[], object]) -> SetupError:
    with pytest.raises(SetupError) as caught:
        act()
    assert caught.value.summary
    assert caught.value.remedy
    return caught.value


def names(file: StateFile) -> list[str]:
    return [path.name for path in file.path.parent.iterdir()]


@within_one_folder
@given(
    members=st.dictionaries(texts, foreign, max_size=6),
    values=st.dictionaries(texts, texts, max_size=3),
    remove=st.lists(texts, max_size=2),
)
def test_M1_unknown_members_and_their_order_are_kept(
    file: StateFile, members: dict[str, Any], values: dict[str, str], remove: list[str]
) -> None:
    remove += list(members)[:1]
    file.path.write_text(json.dumps(members), encoding="utf-8")
    file.update(values, tuple(remove))
    after = file.read().members
    untouched = [name for name in members if name not in remove and name not in values]
    assert {name: after[name] for name in untouched} == {name: members[name] for name in untouched}
    kept = [name for name in members if name not in remove]
    assert list(after) == kept + [name for name in values if name not in kept]
    assert values.items() <= after.items()
    assert names(file) == ["state.json"]


def test_a_lone_surrogate_in_a_foreign_member_does_not_keep_the_purge_from_happening(file: StateFile) -> None:
    file.path.write_text('{"half an emoji": "\\ud83d", "SECRET": "x"}')
    file.update({}, ("SECRET",))
    assert json.loads(file.path.read_text()) == {"half an emoji": "\ud83d"}


def test_P9_an_update_that_changes_nothing_writes_nothing(file: StateFile) -> None:
    file.path.write_text('{"A":"1"}')
    before = file.path.stat()
    file.update({"A": "1"}, ("absent",))
    after = file.path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert file.path.read_text() == '{"A":"1"}'


@posix
@pytest.mark.parametrize("mode", [0o644, 0o600, 0o666])
def test_M1_the_file_is_private_after_a_write(file: StateFile, mode: int) -> None:
    file.path.chmod(mode)
    file.update({"A": "new"})
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file._lock.stat().st_mode & 0o777 == 0o600


@posix
def test_M8_a_reader_sees_the_old_file_or_the_new_one(file: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    file._lock.parent.mkdir(mode=0o700)  # it is flushed, too, when it is made
    seen: list[dict[str, Any]] = []
    real = os.fsync

    def look(descriptor: int) -> None:
        seen.append(file.read().members)
        real(descriptor)

    monkeypatch.setattr("core.files.os.fsync", look)
    with file.path.open() as old:
        file.update({"A": "new"})
        assert json.load(old) == {"A": "1", "B": "2"}, "an open reader keeps the old file"
    assert [members["A"] for members in seen] == ["1", "new"], "flushed before and after the replacement"


@pytest.mark.parametrize("call", ["replace", "fsync", "mkstemp"])
def test_M8_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    file: StateFile, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    where = {"replace": "pathlib.Path.replace", "fsync": "os.fsync", "mkstemp": "tempfile.mkstemp"}[call]
    monkeypatch.setattr(where, fail)
    error = failure(lambda: file.update({"A": "new"}))
    monkeypatch.undo()
    assert error.id == "statefile.io"
    assert "No space left" in error.summary
    assert file.path.read_text() == '{"A": "1", "B": "2"}\n'
    assert names(file) == ["state.json"]


def test_a_lock_that_cannot_be_made_is_a_named_error(file: StateFile, tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("a file where the folder should be")
    assert failure(lambda: file.update({"A": "new"})).id in ("statefile.io", "lock.held", "journal.io")
    assert file.read().members["A"] == "1"


def test_a_change_by_somebody_else_is_not_overwritten(file: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    file._lock.parent.mkdir(mode=0o700)  # it is flushed, too, when it is made
    real = os.fsync

    def interfere(descriptor: int) -> None:
        real(descriptor)
        file.path.write_text('{"A": "theirs"}')

    monkeypatch.setattr("core.files.os.fsync", interfere)
    error = failure(lambda: file.update({"A": "ours"}))
    monkeypatch.undo()
    assert (error.id, error.exit_code) == ("statefile.changed", 6)
    assert file.path.read_text() == '{"A": "theirs"}'
    assert names(file) == ["state.json"]


def link(file: StateFile) -> None:
    real = file.path.rename(file.path.with_name("real.json"))
    file.path.symlink_to(real)


def fifo(file: StateFile) -> None:
    file.path.unlink()
    os.mkfifo(file.path)


def folder(file: StateFile) -> None:
    file.path.unlink()
    file.path.mkdir()


def large(file: StateFile) -> None:
    file.path.write_text(json.dumps({"A": "x" * LARGEST}))


def dangling(file: StateFile) -> None:
    file.path.unlink()
    file.path.symlink_to(file.path.with_name("nothing"))


@posix
@pytest.mark.parametrize("make", [link, dangling, fifo, folder, large])
@pytest.mark.parametrize("act", [StateFile.read, lambda file: file.update({"A": "new"})])
def test_M1_anything_but_a_regular_file_of_sane_size_is_refused(
    file: StateFile, make: Callable[[StateFile], None], act: Callable[[StateFile], object]
) -> None:
    make(file)
    before = sorted(names(file))
    error = failure(lambda: act(file))
    assert (error.id, error.exit_code) == ("statefile.unsafe", 3)
    assert sorted(names(file)) == before


def test_M1_a_missing_file_is_said_to_be_missing(file: StateFile) -> None:
    file.path.unlink()
    assert failure(file.read).id == "statefile.missing"
    assert failure(lambda: file.update({"A": "1"})).id == "statefile.missing"


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        (b'{"A": "1"\n "B": 2}', 2, 2),
        (b"", 1, 1),
        (b'{"A": 1}\n}', 2, 1),
        (b'{"A":\r\n  oops}', 2, 3),
        (b'{"A": "\xff"}', 1, 8),
        (b'{\n"A": "\xff"}', 2, 7),
        (b"[1, 2]", 1, 1),
        (b'"text"', 1, 1),
        (b"null", 1, 1),
        (b"[" * 100_000, 1, 1),
        (b'{"A": "1", "A": "2"}', 1, 12),
        (b'{"A": NaN}', 1, 1),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_M1_a_broken_file_is_reported_by_line_and_column_and_left_alone(
    file: StateFile, content: bytes, line: int, column: int
) -> None:
    file.path.write_bytes(content)
    for act in (file.read, lambda: file.update({"A": "new"})):
        error = failure(act)
        assert (error.id, error.details["line"], error.details["column"]) == ("statefile.broken", line, column)
        assert f"line {line}" in error.summary + error.remedy
    assert file.path.read_bytes() == content


@pytest.mark.parametrize(
    "content", [b'\xef\xbb\xbf{"A": "1"}', b'{\r\n  "A": "1"\r\n}\r\n', '{"A": "1", "ü": "\u2028"}'.encode()]
)
def test_M1_other_editors_spellings_are_read(file: StateFile, content: bytes) -> None:
    file.path.write_bytes(content)
    assert file.read().members["A"] == "1"
    file.update({"A": "2"})
    assert file.read().members["A"] == "2"


@pytest.fixture
def ours(file: StateFile) -> StateFile:
    """A state file of this product's."""
    return StateFile(file.path, file._lock, Profile())


def test_P4_the_secret_stands_apart_and_no_member_holds_it(ours: StateFile) -> None:
    plain = "a secret of no known shape".replace(" ", "-")
    nested = {"deep": [f"password={plain}"], "other": "x"}
    members = {"COPY": f" {plain}\n", MEMBER: plain, "TENANT_ID": "t", "NESTED": nested, "NAMED": {plain: 1}}
    ours.path.write_text(json.dumps(members))
    contents = ours.read()
    assert contents.secret == Secret(plain, learn=False)
    assert (contents.present, contents.unusable) == (True, "")
    assert list(contents.members) == ["COPY", "TENANT_ID", "NESTED", "NAMED"]
    assert contents.members["TENANT_ID"] == "t"
    assert plain not in repr(contents)
    assert looks_secret(f"it is {plain}"), "the redactor knows it"
    assert contents.holding(contents.secret) == ("COPY", MEMBER)
    assert contents.holding(None) == (MEMBER,)
    assert contents.basis.only((MEMBER, "MISSING")) == Basis.of(members, (MEMBER, "MISSING"))
    assert ours.holds(Secret(plain))
    assert not ours.holds(Secret(f"{plain}-and-more"))


def test_M11_a_copy_is_known_when_the_secrets_own_member_is_gone(ours: StateFile) -> None:
    ours.path.write_text(json.dumps({"A": 1, "COPY": f" {SECRET}"}))
    assert ours.read().holding(Secret(SECRET)) == ("COPY",)
    assert not ours.read().present
    assert not ours.holds(Secret(SECRET))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        ("", '""'),
        (5, "no text"),
        ({"value": "unusable, and not learnt"}, "no text"),
        ("  ", "no text"),
        ("<put it here, please>", "a placeholder"),
        ("unusable, and not learnt", "another text"),
        ("11111111-2222-4333-8444-555555555555", "another text"),
    ],
)
def test_P4_what_can_be_no_secret_is_not_learnt_and_goes_all_the_same(ours: StateFile, value: Any, kind: str) -> None:
    ours.path.write_text(json.dumps({"TENANT_ID": "11111111-2222-4333-8444-555555555555", MEMBER: value}))
    contents = ours.read()
    assert (contents.secret, contents.unusable, contents.present) == (None, kind, True)
    assert MEMBER not in contents.members
    assert contents.holding(None) == (MEMBER,)
    assert not looks_secret(str(value))
    assert "not learnt" not in repr(contents)


def test_P4_without_a_secret_or_a_file_there_is_none(ours: StateFile) -> None:
    contents = ours.read()
    assert (contents.members, contents.secret, contents.present) == ({"A": "1", "B": "2"}, None, False)
    ours.path.unlink()
    assert ours.read_or_empty().members == {}
    assert not ours.read_or_empty().present


@pytest.mark.parametrize("value", [SECRET, "eyJ0eXAiOiJKV1Qi.eyJhdWQiOiJod.c2ln", "-----BEGIN PRIVATE KEY-----\nMII"])
def test_P4_a_value_that_looks_like_a_secret_is_refused(file: StateFile, value: str) -> None:
    before = file.path.read_bytes()
    error = failure(lambda: file.update({"NEW": value}))
    assert (error.id, error.exit_code) == ("statefile.secret", 70)
    assert value not in str(error) + error.remedy
    assert file.path.read_bytes() == before


def test_M10_a_rollback_alone_puts_a_secret_in_and_no_other_member_passes_with_it(file: StateFile) -> None:
    file.put_secret("S", Secret(SECRET))
    assert file.read().members == {"A": "1", "B": "2", "S": SECRET}
    assert failure(lambda: file.update({"S": SECRET + "y"})).id == "statefile.secret"
    file.update({}, ("S",))
    assert file.read().members == {"A": "1", "B": "2"}


def test_M10_what_a_killed_write_left_is_found_by_the_secrets_first_characters(file: StateFile) -> None:
    mine = file.path.with_name("state.json.new-abcdefgh")
    mine.write_text(json.dumps({"A": "1", "S": SECRET}, indent=2))
    file.path.with_name("state.json.new-torn0000").write_text('{\n  "S": "abcx')
    file.path.with_name("state.json.new-other000").write_text(json.dumps({"S": "xyz8Q~"}, indent=2))
    file.path.with_name("state.json.backup").write_text(mine.read_text())
    assert sorted(path.name for path in file.strays("S", "abc")) == [
        "state.json.new-abcdefgh",
        "state.json.new-torn0000",
    ]
    assert file.strays("S", "abc8Q") == [mine]


def test_a_foreign_secret_is_kept_and_the_named_member_goes(file: StateFile) -> None:
    file.path.write_text(json.dumps({"OURS": SECRET, "THEIRS": SECRET}))
    file.update({"X": "1"}, ("OURS",))
    assert file.read().members == {"THEIRS": SECRET, "X": "1"}
