"""Who may allow another keyring backend, and who may not (K5)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.config.options import PREFIX
from core.config.settings import resolve
from core.errors import SetupError
from core.machine.keystore.allowlist import FLAG, VARIABLE, read


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def refused(flags: tuple[str, ...], environ: dict[str, str], file: Path) -> SetupError:
    with pytest.raises(SetupError) as caught:
        read(flags, environ, file)
    assert caught.value.exit_code == 2
    return caught.value


def test_K5_a_flag_allows_what_it_names(file: Path) -> None:
    assert read(("a.B", "c.d.E"), {}, file) == {"a.B": FLAG, "c.d.E": FLAG}


def test_K5_the_variable_counts_only_together_with_the_flag(file: Path) -> None:
    environ = {VARIABLE: "a.B, c.D,"}
    assert read((), environ, file) == {}
    assert read(("x.Y",), environ, file) == {"x.Y": FLAG}
    who = f"{VARIABLE} with {FLAG}"
    assert read((VARIABLE,), environ, file) == {"a.B": who, "c.D": who}
    assert VARIABLE in refused((VARIABLE,), {}, file).summary


@pytest.mark.parametrize("path", ["", "Keyring", "a.", ".B", "a b.C", "a.B()", "a.B,c.D", "../a.B"])
def test_K5_what_is_no_class_path_is_an_error(file: Path, path: str) -> None:
    assert FLAG in refused((path,), {}, file).summary


def test_K5_a_file_of_the_users_own_allows(file: Path) -> None:
    file.write_text('keyring_backend_allowlist = ["a.B"]\n')
    file.chmod(0o644)
    assert read((), {}, file) == {"a.B": str(file)}
    assert read(("a.B",), {}, file) == {"a.B": FLAG}, "who said it on this run is named first"


def test_K5_a_file_that_is_missing_or_says_nothing_allows_nothing(file: Path) -> None:
    assert read((), {}, file) == {}
    file.write_text("")
    assert read((), {}, file) == {}


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_K5_a_file_that_others_can_write_is_an_error(file: Path, mode: int) -> None:
    file.write_text('keyring_backend_allowlist = ["a.B"]\n')
    file.chmod(mode)
    error = refused((), {}, file)
    assert (error.id, str(file) in error.summary) == ("usage.config-file", True)
    assert "can write" in error.summary


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a file away")
def test_K5_a_file_of_another_user_is_an_error(file: Path) -> None:
    file.write_text('keyring_backend_allowlist = ["a.B"]\n')
    os.chown(file, 12345, -1)
    assert "belongs to the user with id 12345" in refused((), {}, file).summary


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_K5_what_is_no_regular_file_is_an_error(file: Path, kind: str) -> None:
    match kind:
        case "link":
            other = file.with_name("other.toml")
            other.write_text('keyring_backend_allowlist = ["a.B"]\n')
            file.symlink_to(other)
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
    assert refused((), {}, file).id == "usage.config-file"


@pytest.mark.parametrize(
    "content",
    [
        "keyring_backend_allowlist = ",
        'keyring_backend_allowlist = "a.B"',
        "keyring_backend_allowlist = [1]",
        'keyring_backends = ["a.B"]',
        'keyring_backend_allowlist = ["not a class"]',
        "\xff",
    ],
)
def test_K5_a_wrong_file_is_named(file: Path, content: str) -> None:
    file.write_bytes(content.encode("latin-1"))
    assert str(file) in refused((), {}, file).summary


def test_K5_neither_a_settings_variable_nor_an_answers_file_allows(tmp_path: Path) -> None:
    environ = {f"{PREFIX}ALLOW_KEYRING_BACKEND": "a.B", f"{PREFIX}YES": "1", VARIABLE: "a.B"}
    assert resolve({}, environ).allow_keyring_backend == ()
    answers = tmp_path / "answers.toml"
    answers.write_text('yes = true\nallow-keyring-backend = ["a.B"]\n')
    with pytest.raises(SetupError) as caught:
        resolve({"answers": str(answers)}, {})
    assert caught.value.id == "usage.answers-file"
    settings = resolve({"allow_keyring_backend": ["a.B"]}, environ)
    assert (settings.allow_keyring_backend, settings.origin["allow_keyring_backend"]) == (("a.B",), "flag")


def test_M16_that_a_key_outlives_its_job_is_a_setting_like_others(tmp_path: Path) -> None:
    answers = tmp_path / "answers.toml"
    answers.write_text("key-outlives-job = true\n")
    assert resolve({"answers": str(answers)}, {}).key_outlives_job is True
    assert resolve({}, {f"{PREFIX}KEY_OUTLIVES_JOB": "1"}).origin["key_outlives_job"] == "environment"
    assert resolve({}, {}).key_outlives_job is False
