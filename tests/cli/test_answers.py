"""The same run as a command and as an answers file: both say what the wizard was told, and nothing else (U4, P4)."""

from __future__ import annotations

import shlex
import tempfile
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from core.config.settings import HARDWARE, Settings, resolve
from core.errors import SetupError
from core.flows import registry
from core.machine.keystore import allowlist
from core.secret import Secret
from wizard import answers, cli
from wizard.runs import Kind

#: But for "--" alone, which argparse takes from every option.
TEXT = (st.text(max_size=20) | st.text('"\\\x7f\x00\t\n\r\x85\u2028\u202eé漢🔑-= $', max_size=8)).filter(
    lambda text: text != "--"
)
KINDS = [row.name for row in registry.commands() if row.started]
GUID = st.just("") | st.uuids().map(str)
CLASSES = st.lists(st.sampled_from(["a.B", "keyrings.alt.file.PlaintextKeyring", allowlist.VARIABLE]), max_size=2)
SETTINGS = st.builds(
    Settings,
    verbose=st.booleans(),
    plain=st.booleans(),
    no_color=st.booleans(),
    strict=st.booleans(),
    lock=st.booleans(),
    drop_expired=st.booleans(),
    extra_roles=st.booleans(),
    new=st.booleans(),
    repair_permissions=st.booleans(),
    key_outlives_job=st.booleans(),
    log_file=TEXT,
    project=TEXT,
    profile=TEXT,
    cloud=TEXT,
    acknowledge=TEXT,
    tenant=GUID,
    app_id=GUID,
    certificate_days=st.integers(1, 365),
    hardware=st.sampled_from(HARDWARE),
    allow_keyring_backend=CLASSES.map(tuple),
)


def same(left: Settings, right: Settings) -> bool:
    return replace(left, origin={}) == replace(right, origin={}, yes=True, plain=False)


@bounded(max_examples=40)
@given(st.sampled_from(KINDS), SETTINGS)
def test_U4_a_file_gives_the_same_settings_again(kind: Kind, settings: Settings) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "answers.toml")
        answers.save(path, kind, settings)
        found = resolve({"answers": str(path)}, {})
    without = replace(settings, drop_expired=False, extra_roles=False, new=False, allow_keyring_backend=())
    assert same(found, without), "what only a flag may say is in no file"


@bounded(max_examples=40)
@given(st.sampled_from(["migrate", "onboard", "resume"]), SETTINGS)
def test_U4_the_command_parses_to_the_same_settings(kind: Kind, settings: Settings) -> None:
    settings = replace(settings, strict=False)  # none of these has it
    if kind == "migrate":
        settings = replace(settings, extra_roles=False, new=False)
    if kind == "onboard":
        settings = replace(settings, repair_permissions=False)
    program, *arguments = shlex.split(answers.command_line(kind, settings))
    given = vars(cli._parser().parse_args(arguments))
    assert (program, given["command"], given.get("only")) == (
        "entraclaw-setup",
        kind,
        "provisioner" if kind == "onboard" else None,
    )
    assert same(resolve(given, {}), settings)


@pytest.mark.parametrize("kind", [*KINDS, "token"])
@pytest.mark.parametrize("new", [False, True])
def test_every_command_takes_what_it_is_given(kind: Kind, new: bool) -> None:
    settings = Settings(
        strict=new, new=new, lock=new, extra_roles=new, repair_permissions=new, drop_expired=new, key_outlives_job=new,
        certificate_days=30 if new else 365,
        hardware="off" if new else "prefer", allow_keyring_backend=("a.B",) if new else (), app_id="x", project="p",
    )  # fmt: skip
    arguments = shlex.split(answers.command_line(kind, settings))[1:]
    assert vars(cli._parser().parse_args(arguments))["project"] == "p"


def test_only_what_is_not_default_is_named() -> None:
    assert answers.command_line("migrate", Settings(plain=True)) == "entraclaw-setup migrate --yes"
    assert answers.command_line("onboard", Settings()) == "entraclaw-setup onboard --only provisioner --yes"
    assert answers.command_line("verify", Settings()) == "entraclaw-setup verify", "it asks nothing"
    settings = Settings(project="my project", cloud="usgov", new=True)
    told = "entraclaw-setup onboard --only provisioner --new --project 'my project' --cloud usgov --yes"
    assert answers.command_line("onboard", settings) == told


def test_the_file_is_private_says_the_command_and_holds_the_yes(tmp_path: Path) -> None:
    path = tmp_path / "answers.toml"
    answers.save(path, "migrate", Settings(lock=True, drop_expired=True, project="a\nyes = false"))
    text = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"# entraclaw-setup migrate --answers {path} --drop-expired" in text, "with what a file may not say"
    assert tomllib.loads(text) == {"lock": True, "project": "a\nyes = false", "yes": True}


@pytest.mark.parametrize("there", ["file", "link", "dangling link", "folder"])
def test_nothing_that_exists_is_overwritten_or_followed(tmp_path: Path, there: str) -> None:
    path, target = tmp_path / "entraclaw-migrate.toml", tmp_path / "target"
    match there:
        case "file":
            path.write_text("mine")
        case "link":
            target.write_text("mine")
            path.symlink_to(target)
        case "dangling link":
            path.symlink_to(target)
        case _:
            path.mkdir()
    with pytest.raises(SetupError) as caught:
        answers.save(path, "migrate", Settings())
    assert caught.value.id == "answers.exists"
    assert not target.exists() or target.read_text() == "mine"
    assert answers.free_path("migrate", Settings(project=str(tmp_path))).name == "entraclaw-migrate-2.toml"


def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    secret = Secret("Abc8Q~planted-canary-value-planted-canary-v").reveal()
    for path, settings in (
        (tmp_path / "missing/answers.toml", Settings()),
        (tmp_path / "answers.toml", Settings(project="no text: \udc80")),
        (tmp_path / "answers.toml", Settings(acknowledge=secret)),
    ):
        with pytest.raises(SetupError) as caught:
            answers.save(path, "migrate", settings)
        assert caught.value.id == "answers.io"
        assert secret not in caught.value.summary
        assert not path.exists()
