"""The screen of the diagnosis: what is marked, hidden, looked at again, mended, copied; the dialogue (D1, D4, U6)."""

from __future__ import annotations

import io
import json
import os
import stat
import unicodedata
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.widgets import OptionList

from core.checks import doctor
from core.events import Checked
from core.sandbox.faults import Fault
from tests.machine import PROFILE
from tests.tui.play import Play, play, run
from tests.tui.scenes import entry
from tests.tui.stand import Stand
from tests.tui.test_secrets import canaries, outputs
from wizard.console import dialogue
from wizard.console.menu import Menu
from wizard.tui import state as screens
from wizard.tui.dialogs import Ask, Text
from wizard.tui.screens.diagnose import Diagnose
from wizard.workspace import Demo

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
#: The first three are in the order of the screen.
FIRST, OK, LATER = "state-file", "git", "passwords"
Scene = Callable[[Play], Awaitable[None]]


def diagnosed(scene: Scene, prepare: Callable[[Stand], object] | None = None, **how: object) -> None:
    """Play a scene on the screen of a diagnosis that has ended."""

    async def whole() -> None:
        async with play(prepare=prepare, **how) as shown:  # type: ignore[arg-type]
            await entry("doctor")(shown)
            await scene(shown)

    run(whole())


def menu(shown: Play) -> OptionList:
    """The list."""
    return shown.app.base_screen.query_one(OptionList)


def name_of(line: str | None) -> str:
    """Name of the check of a line; an entry of the first screen is called by its own."""
    assert line is not None
    return screens.marked(line) if line.startswith("[") else line


def checks(shown: Play) -> dict[str, Checked]:
    """What was seen, by the name of the check."""
    return {seen.check: seen for seen in shown.app.model.checks.values()}


def marked(shown: Play) -> str:
    """Name of the check whose line is marked."""
    option = menu(shown).highlighted_option
    assert option is not None
    assert not option.disabled, "the cursor is on a heading"
    return name_of(option.id)


def listed(shown: Play) -> list[str]:
    """Names of the checks in the list."""
    return [name_of(option.id) for option in menu(shown).options if option.id]


async def mark(shown: Play, name: str) -> None:
    """Move the cursor to a line."""
    await shown.press("home")
    for _ in listed(shown):
        if marked(shown) == name:
            return
        await shown.press("down")
    raise AssertionError(name)


def state(shown: Play, name: str) -> str:
    """What is known of a check."""
    return checks(shown)[name].state


def clear(stand: Stand) -> None:
    """Somebody deletes every password of the app, and its secret from the state file."""
    machine = stand.machine
    members = {name: value for name, value in machine.state.items() if name != PROFILE.secret_member}
    machine.state_file.write_text(json.dumps(members))
    for kind in ("application", "servicePrincipal"):
        machine.change(kind, passwordCredentials=[])


def open_to_all(stand: Stand) -> None:
    """Others may read the state file."""
    stand.machine.state_file.chmod(0o644)


def mode(shown: Play) -> int:
    """Of the state file."""
    return stat.S_IMODE(shown.stand.machine.state_file.stat().st_mode)


# the cursor


def test_U6_the_arrows_skip_the_headings() -> None:
    async def scene(shown: Play) -> None:
        assert listed(shown) == list(doctor.names())
        headings = [option for option in menu(shown).options if option.disabled]
        assert len(headings) == len(doctor.GROUPS)
        await shown.press("home")
        seen = [marked(shown)]
        while len(seen) < len(listed(shown)):
            await shown.press("down")
            seen.append(marked(shown))
        assert seen == listed(shown)
        for key in ("down", "up", "up", "pageup", "pagedown", "end", "home", "up"):
            await shown.press(key)
            assert marked(shown)

    diagnosed(scene)


def test_D1_the_cursor_begins_on_the_first_failure_unless_somebody_moved_it() -> None:
    async def scene() -> None:
        async with play() as shown:
            fault = shown.stand.lab.tenant.faults.add(Fault("hold-before", "^GET /v1.0/$", nth=2))
            await entry("doctor")(shown)
            assert marked(shown) == FIRST
            assert shown.shows("holds a client secret in plain text")
            await shown.press("escape")
            await begin(shown)
            await shown.until(lambda: fault.reached.is_set() and FIRST in checks(shown))
            assert marked(shown) == doctor.names()[0], "it does not jump while it looks"
            await shown.press("down", "down")
            fault.release()
            await shown.at("diagnose")
            assert marked(shown) == doctor.names()[2]

    run(scene())


async def begin(shown: Play) -> None:
    """From the first screen to a diagnosis that looks."""
    await shown.at("welcome")
    while menu(shown).highlighted_option is None or marked(shown) != "doctor":
        await shown.press("down")
    await shown.press("enter")
    await shown.until(lambda: shown.place == "diagnose")


def test_D1_n_hides_what_is_ok_and_comes_back_to_the_same_line() -> None:
    async def scene(shown: Play) -> None:
        await mark(shown, OK)
        await shown.press("n")
        bad = [name for name in doctor.names() if state(shown, name) != "ok"]
        assert listed(shown) == bad
        assert marked(shown) == FIRST
        assert shown.shows("n shows everything")
        await shown.press("n")
        assert listed(shown) == list(doctor.names())
        assert marked(shown) == OK
        await shown.press("n", "down", "down")
        moved = marked(shown)
        assert moved == bad[2]
        await shown.press("n")
        assert marked(shown) == moved, "what was chosen among the rest stays"
        await shown.press("n")
        assert marked(shown) == moved

    diagnosed(scene)


# looking again


def test_D1_r_looks_at_one_line_again_and_R_at_all() -> None:
    async def scene(shown: Play) -> None:
        before = checks(shown)
        clear(shown.stand)
        await mark(shown, FIRST)
        await shown.press("r")
        await shown.until(lambda: state(shown, FIRST) != "failure")
        await shown.at("diagnose")
        assert marked(shown) == FIRST
        after = checks(shown)
        assert [name for name in before if after[name] is not before[name]] == [FIRST]
        assert state(shown, LATER) == "failure", "nobody has looked at that again"
        assert listed(shown) == list(doctor.names())
        await shown.press("R")
        await shown.until(lambda: checks(shown)[LATER] is not before[LATER])
        await shown.at("diagnose")
        assert not [name for name in before if checks(shown)[name] is before[name]]
        assert state(shown, LATER) != "failure"

    diagnosed(scene)


def test_D1_one_line_asks_the_service_for_no_more_than_it_needs() -> None:
    async def scene(shown: Play) -> None:
        fault = shown.stand.lab.tenant.faults.add(Fault("status", ".", nth=10**6))
        for name, few in (("versions", 0), ("locks", 0)):
            await mark(shown, name)
            before = checks(shown)[name]
            await shown.press("r")
            await shown.until(lambda name=name, before=before: checks(shown)[name] is not before)  # type: ignore[misc]
            await shown.at("diagnose")
            assert fault.seen == few, name
        await shown.press("R")
        await shown.until(lambda: fault.seen > 5)
        await shown.at("diagnose")

    diagnosed(scene)


def test_D1_a_second_diagnosis_begins_anew() -> None:
    async def scene(shown: Play) -> None:
        model = shown.app.model
        await shown.press("n", "end", "escape")
        await entry("doctor")(shown)
        assert shown.app.model is not model
        assert shown.app.model.kind == "doctor"
        assert marked(shown) == FIRST
        assert listed(shown) == list(doctor.names())
        assert len(shown.app.model.checks) == len(doctor.names())

    diagnosed(scene)


# mending


@posix
def test_D1_f_asks_and_mends() -> None:
    async def scene(shown: Play) -> None:
        await shown.press("f")
        await shown.on(Ask)
        assert shown.shows("chmod 600")
        await shown.press("n")
        await shown.at("diagnose")
        assert mode(shown) == 0o644
        await shown.press("f")
        await shown.on(Ask)
        await shown.press("enter")
        await shown.at("diagnose")
        assert mode(shown) == 0o644, "Enter is no yes"
        await mark(shown, FIRST)
        await shown.press("space", "end")
        await shown.on(Text)
        assert shown.shows("f mends it chmod 600")
        await shown.press("escape", "f")
        await shown.on(Ask)
        await shown.press("y")
        await shown.until(lambda: mode(shown) == 0o600)
        await shown.until(lambda: not checks(shown)[FIRST].fix)
        await shown.at("diagnose")
        assert checks(shown)[FIRST].evidence.startswith("mended (chmod 600")
        await shown.press("f")
        assert not shown.app.screen.is_modal, "nothing is left to mend"

    diagnosed(scene, open_to_all)


@posix
@pytest.mark.parametrize("how", ["nothing to mend", "nothing can be begun"])
def test_D1_f_is_not_offered_where_nothing_can_be_mended(how: str) -> None:
    async def scene(shown: Play) -> None:
        shown.stand.live = how != "nothing can be begun"  # as in a replay
        await shown.press("n")
        assert not shown.shows("f Fix")
        await shown.press("f")
        assert not shown.app.screen.is_modal

    diagnosed(scene, open_to_all if how == "nothing can be begun" else None)


# what is shown and copied


@posix
def test_U6_D4_names_that_are_no_text_are_shown_and_copied() -> None:
    """A file name is bytes, and need not be UTF-8; a line break in one must not begin a line of ours."""

    def prepare(stand: Stand) -> None:
        for name in (b"bad\xff.py", b"two\nFAIL  lines.py"):
            path = os.fsencode(stand.lab.project) + b"/" + name
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            Path(os.fsdecode(path)).write_text(PROFILE.secret_member)

    async def scene(shown: Play) -> None:
        await mark(shown, "sources")
        await shown.press("c")
        await shown.on(Text)
        assert "bad?.py:1 uses" in shown.app.clipboard
        assert "two?FAIL  lines.py:1 uses" in shown.app.clipboard

    diagnosed(scene, prepare)


def test_D4_c_and_a_copy_what_is_shown_and_nothing_secret() -> None:
    async def scene(shown: Play) -> None:
        await mark(shown, LATER)
        await shown.press("c")
        await shown.on(Text)
        line = shown.app.clipboard
        assert line.startswith("FAIL  Password credentials")
        assert "What to do  Run 'entraclaw-setup migrate'." in line
        assert "State file" not in line
        await shown.press("escape", "a")
        await shown.on(Text)
        whole = shown.app.clipboard
        for check in shown.app.model.checks.values():
            assert check.title in whole
        text = line + whole + outputs(shown)
        assert len(canaries(shown)) > 20
        assert not [value for value in canaries(shown) if value in text]

    diagnosed(scene)


@pytest.mark.parametrize("key", ["space", "enter"])
def test_D1_space_and_enter_show_it_whole(key: str) -> None:
    async def scene(shown: Play) -> None:
        await mark(shown, LATER)
        assert not shown.shows("It replaces them by a"), "the box is too small for it"
        await shown.press(key)
        await shown.on(Text)
        assert shown.shows("FAIL Password credentials")
        assert shown.shows("It replaces them by a")
        await shown.press("escape")
        assert not shown.app.screen.is_modal
        assert marked(shown) == LATER

    diagnosed(scene)


HOSTILE = "[bold red]evil[/] \x1b[31mred\x1b[0m\r\nWhat to do  run evil \u202egnp.exe [link=http://evil]x[/link]"


def plant(stand: Stand) -> None:
    """Names that others chose."""
    machine = stand.machine
    named = [entry | {"displayName": HOSTILE} for entry in machine.app["passwordCredentials"]]
    keys = [entry | {"displayName": HOSTILE} for entry in machine.app["keyCredentials"]]
    machine.change("application", displayName=HOSTILE, passwordCredentials=named, keyCredentials=keys)


@pytest.mark.parametrize("check", ["app", "passwords", "others"])
def test_U6_names_from_the_tenant_stay_inert(check: str) -> None:
    async def scene(shown: Play) -> None:
        await shown.pilot.resize_terminal(200, 60)
        await mark(shown, check)
        for key in ("", "space"):
            if key:
                await shown.press(key)
                await shown.on(Text)
            assert shown.shows("[bold red]evil[/]"), "markup is text"
            text = shown.text
            assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf") and c != "\n"]
            starts = [line.strip(" │") for line in text.splitlines()]
            assert not [line for line in starts if line.startswith("What to do  run evil")], "no line of its own"
        await shown.press("escape", "c")
        assert "\x1b" not in shown.app.clipboard
        assert "\u202e" not in shown.app.clipboard

    diagnosed(scene, plant)


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (200, 60)], ids=str)
def test_U6_it_fits_every_terminal(size: tuple[int, int]) -> None:
    async def scene(shown: Play) -> None:
        width, height = size
        screen = shown.app.base_screen
        found, detail = menu(shown).region, screen.query_one(".detail").region
        assert found.height >= 5
        assert detail.height >= 5
        assert not found.overlaps(detail)
        for region in (found, detail):
            assert region.right <= width
            assert region.bottom < height, "the keys are below"
        if width < 100:
            assert detail.bottom == height - 1, "and no empty line above them"
        assert shown.shows("FAIL State file")
        assert shown.shows("holds a client secret")
        assert shown.text.splitlines()[-1].startswith("space Whole")

    diagnosed(scene, size=size)


# leaving


def test_U2_quitting_waits_for_no_answer() -> None:
    async def scene() -> None:
        async with play() as shown:
            fault = shown.stand.lab.tenant.faults.add(Fault("hold-before", "^GET /v1.0/$"))
            await begin(shown)
            await shown.until(fault.reached.is_set)
            assert not isinstance(shown.app.screen, Ask)
            await shown.press("q")
            assert shown.app.return_code == 130
            assert not fault.released.is_set()

    run(scene())


def test_U2_escape_goes_back_while_it_looks() -> None:
    async def scene() -> None:
        async with play() as shown:
            fault = shown.stand.lab.tenant.faults.add(Fault("hold-before", "^GET /v1.0/$"))
            await begin(shown)
            await shown.until(fault.reached.is_set)
            assert shown.shows("looking …")
            await shown.press("escape")
            await shown.at("welcome")
            assert shown.app.engine_thread is None
            assert not isinstance(shown.app.base_screen, Diagnose)

    run(scene())


# the dialogue


def test_D1_U6_the_dialogue_diagnoses_too(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[str] = []
    choose = Menu.choose

    def noted(menu: Menu, text: str, options: dict[object, str], *more: object) -> object:
        found = choose(menu, text, options, *more)  # type: ignore[arg-type]
        chosen.append(options[found])
        return found

    monkeypatch.setattr(Menu, "choose", noted)
    workspace = Demo({}, "legacy")
    out, err = io.StringIO(), io.StringIO()
    try:
        code = dialogue.run(workspace, out, err, io.StringIO("4\n4\n"))
    finally:
        workspace.close()
    assert chosen == ["Diagnose: look at everything that a run needs, and say what is wrong", "Quit"]
    assert code == 8
    told = out.getvalue()
    for group in doctor.GROUPS:
        assert f"\n{group.title}\n" in told
        for check in group.checks:
            assert f" {check.title}: " in told
    assert told.count(f"{len(doctor.names())} checks: ") == 1
    assert "[doctor.failed]" in err.getvalue()
    assert "\x1b" not in told
