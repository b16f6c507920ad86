"""Settings: flag > environment > answers file > default, each with its origin (U4)."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config.options import PREFIX
from core.config.profile import load as load_profile
from core.config.settings import Settings, guid, resolve
from core.errors import SetupError

ID = "8c1f5b0e-3f3c-4d4c-9a47-0b8f3f6d2a11"


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    path = tmp_path / "answers.toml"
    path.write_text('profile = "file"\ncloud = "file"\nproject = "file"\ndry-run = true\nyes = true\n')
    return path


def refused(flags: dict[str, object], environ: dict[str, str] | None = None) -> SetupError:
    with pytest.raises(SetupError) as caught:
        resolve(flags, environ or {})
    assert caught.value.summary
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.skipif(os.name != "posix", reason="pipes with names are POSIX's")
def test_U4_an_answers_or_profile_file_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(SetupError, match="not a regular file") as answers:
        resolve({"answers": str(tmp_path / "pipe.toml")}, {})
    with pytest.raises(SetupError, match="not a regular file") as profiles:
        load_profile(str(tmp_path / "pipe.toml"))
    assert [answers.value.id, profiles.value.id] == ["usage.answers-file", "usage.profile-file"]


def test_U4_the_four_sources_in_their_order(answers: Path) -> None:
    settings = resolve(
        {"answers": str(answers), "profile": "flag", "yes": None},
        {f"{PREFIX}PROFILE": "env", f"{PREFIX}CLOUD": "env", f"{PREFIX}YES": "no"},
    )
    assert (settings.profile, settings.cloud, settings.project, settings.log_file) == ("flag", "env", "file", "")
    assert (settings.yes, settings.dry_run) == (False, True)
    names = ("profile", "cloud", "project", "log_file", "yes", "dry_run")
    assert [settings.origin[name] for name in names] == [
        "flag",
        "environment",
        "file",
        "default",
        "environment",
        "file",
    ]
    assert set(settings.origin) == set(Settings.__dataclass_fields__) - {"origin"}


def test_U4_the_answers_file_may_be_named_by_a_variable(answers: Path) -> None:
    assert resolve({}, {f"{PREFIX}ANSWERS": str(answers)}).profile == "file"
    assert refused({"answers": "no-such-file"}, {f"{PREFIX}ANSWERS": str(answers)}).id == "usage.answers-file"


def test_C3_nothing_is_discovered_in_the_working_directory(answers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(answers.parent)
    settings = resolve({}, {})
    assert set(settings.origin.values()) == {"default"}
    assert settings.folder == answers.parent


@pytest.mark.parametrize("text", ["1", "true", "YES", "On"])
def test_U4_a_variable_can_be_true(text: str) -> None:
    assert resolve({}, {f"{PREFIX}DRY_RUN": text}).dry_run is True


@pytest.mark.parametrize("text", ["0", "False", "no", "off", ""])
def test_U4_a_variable_can_be_false(text: str) -> None:
    assert resolve({}, {f"{PREFIX}DRY_RUN": text}).dry_run is False


@pytest.mark.parametrize("text", ["maybe", "2", "tru", " "])
def test_U4_a_variable_that_is_neither_is_an_error(text: str) -> None:
    error = refused({}, {f"{PREFIX}DRY_RUN": text})
    assert error.id == "usage.settings"
    assert f"{PREFIX}DRY_RUN" in error.summary


@pytest.mark.parametrize(
    "content",
    [
        "yes = ",
        'yes = "true"',
        "yes = 1",
        "profile = 1",
        "tenant = true",
        "nonsense = 1",
        "drop-expired = true",
        "drop_expired = true",
        "accept_live_secret = true",
        'origin = "x"',
        'answers = "x"',
        "[yes]\na = 1",
        "\xff",
    ],
)
def test_U4_a_wrong_answers_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content.encode("latin-1"))
    error = refused({"answers": str(path)})
    assert error.id == "usage.answers-file"
    assert str(path) in error.summary


def test_U4_a_folder_is_no_answers_file(tmp_path: Path) -> None:
    assert refused({"answers": str(tmp_path)}).id == "usage.answers-file"


def test_P8_dropping_expired_entries_is_said_by_a_flag_and_by_nothing_else() -> None:
    assert resolve({}, {f"{PREFIX}DROP_EXPIRED": "1"}).drop_expired is False
    settings = resolve({"drop_expired": True}, {})
    assert (settings.drop_expired, settings.origin["drop_expired"]) == (True, "flag")


def test_M10_a_live_secret_on_disk_is_accepted_by_a_flag_and_by_nothing_else() -> None:
    assert resolve({}, {f"{PREFIX}ACCEPT_LIVE_SECRET": "1"}).accept_live_secret is False
    settings = resolve({"accept_live_secret": True}, {})
    assert (settings.accept_live_secret, settings.origin["accept_live_secret"]) == (True, "flag")


@pytest.mark.parametrize(
    ("environ", "flags", "expected"),
    [
        ({"NO_COLOR": "1"}, {}, True),
        ({"NO_COLOR": ""}, {}, False),
        ({}, {"no_color": True}, True),
        ({f"{PREFIX}NO_COLOR": "1"}, {}, True),
        ({}, {}, False),
    ],
)
def test_U4_no_color(environ: dict[str, str], flags: dict[str, object], expected: bool) -> None:
    assert resolve(flags, environ).no_color is expected


@pytest.mark.parametrize("value", ["prefer", "require", "off"])
def test_T1_where_the_key_is_to_be_is_a_setting_like_others(tmp_path: Path, value: str) -> None:
    answers = tmp_path / "answers.toml"
    answers.write_text(f'hardware = "{value}"\n')
    for flags, environ, origin in (
        ({"hardware": value}, {}, "flag"),
        ({}, {f"{PREFIX}HARDWARE": value}, "environment"),
        ({"answers": str(answers)}, {}, "file"),
    ):
        settings = resolve(flags, environ)
        assert (settings.hardware, settings.origin["hardware"]) == (value, origin)
    assert resolve({}, {}).hardware == "prefer"


@pytest.mark.parametrize("value", ["", "always", "Require", " off", "prefer,require"])
def test_T1_another_word_is_an_error_wherever_it_comes_from(tmp_path: Path, value: str) -> None:
    answers = tmp_path / "answers.toml"
    answers.write_text(f'hardware = "{value}"\n')
    for flags, environ, origin in (
        ({"hardware": value}, {}, "flag"),
        ({}, {f"{PREFIX}HARDWARE": value}, "environment"),
        ({"answers": str(answers)}, {}, "file"),
    ):
        error = refused(dict(flags), environ)
        assert error.id == "usage.settings"
        assert f"not {value!r} (from: {origin})" in error.summary
        assert "prefer, require, off" in error.summary


@pytest.mark.parametrize(("flag", "name"), [("tenant", "--tenant"), ("app_id", "--app-id")])
def test_ids_are_guids_from_every_source(flag: str, name: str) -> None:
    assert resolve({flag: ID.upper()}, {}).__dict__[flag] == ID
    for error in (refused({flag: "contoso"}), refused({}, {PREFIX + flag.upper(): "contoso"})):
        assert error.id == "usage.not-a-guid"
        assert name in error.summary


@given(st.uuids(), st.booleans())
def test_a_guid_is_written_in_one_way(value: UUID, upper: bool) -> None:
    text = str(value).upper() if upper else str(value)
    assert guid("x", text) == str(value)


@given(st.text(max_size=50).filter(lambda text: text.lower() != ID))
def test_anything_else_is_no_guid(text: str) -> None:
    with pytest.raises(SetupError):
        guid("x", text)


@pytest.mark.parametrize("text", [f"{{{ID}}}", f"urn:uuid:{ID}", ID.replace("-", ""), f"{ID}/..", f"{ID}'", None, 7])
def test_other_spellings_of_a_guid_are_refused(text: object) -> None:
    with pytest.raises(SetupError):
        guid("x", text)
