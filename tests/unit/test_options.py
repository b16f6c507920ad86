"""One row of the table gives flag, variable, key of the answers file, and help; the reference shows the table (U4)."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from core.config import options, settings
from core.config.options import OPTIONS, PREFIX, Option
from core.errors import SetupError
from core.flows import registry
from tests.dummy import add_option
from wizard import answers, early
from wizard.cli import _parser

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(--[\w-]+|[A-Z]+)[^`]*` \| ([^|]*?) \| ([^|]*?) ?\|", re.M)
DUMMY = Option("dummy_days", "how long a dummy lives", "number", 7, "N", bounds=(1, 9), command="migrate")


def given(*arguments: str) -> dict[str, Any]:
    return vars(_parser().parse_args(arguments))


def dummy(**found: Any) -> tuple[Any, str]:
    flags, environ = found.get("flags", {}), found.get("environ", {})
    told = settings.resolve(flags, environ)
    return getattr(told, DUMMY.name), told.origin[DUMMY.name]


def test_U4_a_row_is_all_that_an_option_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_option(monkeypatch, DUMMY)
    monkeypatch.setattr(registry, "ROWS", (registry.MIGRATE._replace(options=(DUMMY.name,)),))
    with pytest.raises(SystemExit):
        given("migrate", "--help")
    assert "--dummy-days N how long a dummy lives" in " ".join(capsys.readouterr().out.split())
    assert dummy() == (7, "default")
    assert dummy(flags=given("migrate", "--dummy-days", "3")) == (3, "flag")
    assert dummy(environ={f"{PREFIX}DUMMY_DAYS": "4"}) == (4, "environment")
    path = tmp_path / "answers.toml"
    path.write_text("dummy-days = 5\n")
    assert dummy(flags={"answers": str(path)}) == (5, "file")

    told = settings.resolve({DUMMY.name: 3}, {})
    assert "--dummy-days 3" in answers.command_line("migrate", told)
    answers.save(tmp_path / "replay.toml", "migrate", told)
    assert dummy(flags={"answers": str(tmp_path / "replay.toml")}) == (3, "file")

    for wrong in ({"flags": {DUMMY.name: 10}}, {"environ": {f"{PREFIX}DUMMY_DAYS": "0"}}):
        with pytest.raises(SetupError, match="--dummy-days must lie between 1 and 9") as caught:
            dummy(**wrong)
        assert caught.value.remedy == "See 'entraclaw-setup migrate --help'."


def test_U4_what_only_a_person_may_say_is_in_no_variable_and_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add_option(monkeypatch, DUMMY._replace(source="flag"))
    assert dummy(flags={DUMMY.name: 3}, environ={f"{PREFIX}DUMMY_DAYS": "4"}) == (3, "flag")
    assert dummy(environ={f"{PREFIX}DUMMY_DAYS": "4"}) == (7, "default")
    path = tmp_path / "answers.toml"
    path.write_text("dummy-days = 5\n")
    with pytest.raises(SetupError, match="dummy_days is not an answer"):
        dummy(flags={"answers": str(path)})


def test_U4_a_global_row_is_taken_by_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    add_option(monkeypatch, DUMMY._replace(everywhere=True))
    assert given("--dummy-days", "3", "verify")["dummy_days"] == 3
    assert given("doctor", "--dummy-days", "3")["dummy_days"] == 3


def test_every_setting_is_a_member_with_the_default_of_its_row() -> None:
    members = {member.name: member.default for member in fields(settings.Settings) if member.name != "origin"}
    assert members == {option.name: option.default for option in options.settings()}


def test_every_option_is_taken_by_a_command_and_named_as_it_is_typed() -> None:
    taken = {name for row in registry.commands() for name in registry.options(row)}
    assert taken | {option.name for option in options.everywhere()} == set(OPTIONS)
    assert not taken & {option.name for option in options.everywhere()}
    assert {name: option.name for name, option in OPTIONS.items() if option.name != name} == {}
    known = {row.name for row in registry.commands()} | {"COMMAND"}
    assert {option.command for option in OPTIONS.values()} <= known


@pytest.mark.parametrize("wanted", [True, False])
def test_U4_what_is_read_before_the_table_is_loaded_agrees_with_it(
    monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    json = OPTIONS["json"]
    monkeypatch.setenv(json.variable, str(wanted))
    assert early.json_wanted(()) is wanted
    assert early.json_wanted((json.flag,))


def test_U4_the_reference_is_the_table() -> None:
    """Its flags, who takes them, and where else they are taken from."""
    told = {row[1]: (row[2], row[3]) for row in ROW.finditer(PAGE.partition("\n## ")[0])}
    assert told == {
        (option.metavar if option.kind == "word" else option.flag): (_commands(option), _sources(option))
        for option in OPTIONS.values()
        if option.source != "line"
    }


def _commands(option: Option) -> str:
    if option.everywhere:
        refused = [f"`{row.name}`" for row in registry.commands() if option.name in row.refuses]
        return "all" + (f" but {', '.join(refused)}" if refused else "")
    return ", ".join(f"`{row.name}`" for row in registry.commands() if option.name in registry.options(row))


def _sources(option: Option) -> str:
    return {"any": "variable, file", "environment": "variable"}.get(option.source, "")
