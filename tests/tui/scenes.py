"""Scenes: screens worth a picture, in reels that a person plays from the first one to the last with keys alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from textual.widgets import OptionList

from core.clock import Cancel
from core.sandbox.faults import Fault
from tests.machine import killed
from tests.tui.play import Play, play
from tests.tui.stand import Stand
from wizard import runs
from wizard.tui.account import SigningIn
from wizard.tui.dialogs import Ask, Line, Text, TooSmall

Drive = Callable[[Play], Awaitable[object]]
NORMAL: Final = (80, 24)
LARGE: Final = (120, 36)
NARROW: Final = (60, 20)


@dataclass(frozen=True)
class Scene:
    """One screen.

    :param name: of its pictures.
    :param drive: brings the play here from the scene before.
    :param text: what it shows; such a scene is in `screenshots/`, in two sizes.
    :param still: compared at all; not where the scroll bar depends on how many events came at a time.
    :param narrow: also compared in the smallest terminal.
    :param themes: also compared in the other themes.
    """

    name: str
    drive: Drive
    text: str = ""
    still: bool = True
    narrow: bool = False
    themes: bool = False


@dataclass(frozen=True)
class Reel:
    """Scenes of one play, in order.

    :param prepare: what was there before.
    """

    name: str
    scenes: Sequence[Scene]
    scenario: str = "legacy"
    real: bool = False
    prepare: Callable[[Stand], object] | None = None
    size: tuple[int, int] = field(default=NORMAL)

    async def roll(self, look: Callable[[Scene, Play], Awaitable[object]], last: str = "") -> None:
        """Play it.

        :param look: is called at every scene.
        :param last: name of the scene to stop at.
        """
        how: Any = {"real": self.real, "size": self.size, "prepare": self.prepare}
        async with play(self.scenario, **how) as shown:
            for scene in self.scenes:
                await scene.drive(shown)
                await look(scene, shown)
                if scene.name == last:
                    break


def at(place: str, *keys: str) -> Drive:
    """Press keys, then wait for a screen to be ready."""

    async def drive(play: Play) -> None:
        await play.press(*keys)
        await play.at(place)

    return drive


def on(dialog: type[object], *keys: str) -> Drive:
    """Press keys, then wait for a dialog."""

    async def drive(play: Play) -> None:
        await play.press(*keys)
        await play.on(dialog)

    return drive


def hold(stand: Stand, reason: str) -> None:
    """Go on until there is something to wait for, and stop there."""
    stand.hold_at = reason
    stand.time.release()


async def waiting(play: Play, reason: str) -> None:
    """Wait until the engine waits for something."""

    def waits() -> bool:
        seen = play.app.model.waiting
        return play.place == "progress" and seen is not None and reason in seen[0].reason and play.stand.time.held

    await play.until(waits)


def fail(stand: Stand, match: str, status: int = 403, nth: int = 0) -> Fault:
    """Let requests fail."""
    return stand.lab.tenant.faults.add(Fault("status", match, nth, status))


def interrupted(line: int) -> Callable[[Stand], None]:
    """A migration was killed after it wrote that line of its journal."""

    def prepare(stand: Stand) -> None:
        events = runs.Events(lambda event: None)
        context = partial(stand.context, Cancel(), events, lambda question: True)
        order = runs.Order("migrate")
        assert killed(line, lambda: runs.carry_out(order, context, events)), "it was not that long"

    return prepare


def _break(stand: Stand) -> None:
    path = stand.machine.state_file
    path.write_text("{ not JSON", encoding="utf-8")


async def _to_call(play: Play) -> None:
    """The row of the certificate, with its Graph call."""
    for _ in range(12):
        if play.shows("call PATCH /applications/"):
            return
        await play.press("down")
    raise AssertionError(play.text)


async def _before_marker(play: Play) -> None:
    play.stand.lab.tenant.lag = {"application": 20.0}
    hold(play.stand, "the certificate to appear")
    await play.press("y")
    await waiting(play, "the certificate to appear")
    play.stand.lab.tenant.lag = {}


async def _after_marker(play: Play) -> None:
    await play.press("n")
    hold(play.stand, "second clean read")
    await waiting(play, "second clean read")


async def _to_the_end(play: Play) -> None:
    await play.press("n")
    play.stand.release()
    await play.at("progress")


async def _small(play: Play) -> None:
    await play.press("escape")
    await play.pilot.resize_terminal(50, 15)
    await play.on(TooSmall)


async def _grown(play: Play) -> None:
    await play.pilot.resize_terminal(*NORMAL)
    await play.until(lambda: not play.app.screen.is_modal)
    await on(Ask, "enter")(play)


async def _again(play: Play) -> None:
    await play.press("escape", "enter")
    await play.at("welcome")
    await play.press("enter")
    await play.at("prereqs")
    await play.through("review")


async def _unchanged(play: Play) -> None:
    await play.press("enter")
    await play.through("summary")


MIGRATION: Final = Reel(
    "migration",
    (
        Scene("welcome", at("welcome"), "The demo: choose what to try on a pretend tenant.", narrow=True),
        Scene("prereqs", at("prereqs", "enter"), "What this computer has, and the state file.", narrow=True),
        Scene("quit", on(Ask, "q")),
        Scene("stop-nothing", on(Ask, "escape", "escape")),
        Scene("signin", at("signin", "n", "enter"), "Who is signed in to the Azure CLI.", narrow=True),
        Scene("keystore", at("keystore", "enter"), "The keystore, proven by a round trip.", narrow=True),
        Scene("hardware", at("hardware", "enter"), "What will hold the private key.", narrow=True),
        Scene("review", at("review", "enter"), "Every change before it is made.", narrow=True, themes=True),
        Scene("review-call", _to_call),
        Scene("findings", on(Text, "f")),
        Scene("too-small", _small),
        Scene("confirm", _grown, "The one question before anything is changed."),
        Scene("waiting", _before_marker, "Steps, and what is being waited for.", narrow=True, themes=True),
        Scene("stop-undo", on(Ask, "x")),
        Scene("past-the-marker", _after_marker),
        Scene("stop-forward", on(Ask, "x"), "What stopping would do now, before it does it."),
        Scene("changed", _to_the_end),
        Scene("verify", at("verify", "enter"), "The end state, proven independently.", narrow=True),
        Scene("summary", at("summary", "enter"), "What is true at the end.", narrow=True),
        Scene("save-answers", on(Line, "s")),
        Scene("log", on(Text, "escape", "l"), "The log, one key away on every screen."),
        Scene("help", on(Text, "escape", "question_mark"), "What can be done on a screen."),
        Scene("palette", at("summary", "escape", "ctrl+p"), "The command palette offers what applies now."),
        Scene("nothing-to-do", _again),
        Scene("unchanged", _unchanged),
    ),
)


async def _first(play: Play) -> None:
    """From the first screen to the prerequisites."""
    await play.at("welcome")
    await play.press("enter")
    await play.at("prereqs")


def through(place: str, *keys: str) -> Drive:
    """Press keys, then Enter until a screen is reached."""

    async def drive(play: Play) -> None:
        await play.press(*keys)
        await play.through(place)

    return drive


async def _change(play: Play) -> None:
    """From the review, a yes, and the end of what follows."""
    await play.press("enter")
    await play.on(Ask)
    await play.press("y")
    await play.at("progress")


def _sign_out(stand: Stand) -> None:
    ctx = stand.context(Cancel(), lambda event: None, lambda question: False)
    ctx.sign_in.logout()
    ctx.close()


async def _code(play: Play) -> None:
    play.stand.time.hold()
    await play.press("d")
    await play.on(SigningIn)
    await play.until(lambda: play.shows("enter this code"))


async def _signed_in(play: Play) -> None:
    play.stand.release()
    await play.until(lambda: not play.app.screen.is_modal)
    await play.at("signin")


async def _refused(play: Play) -> None:
    """The certificate is not taken."""
    fail(play.stand, "PATCH", 400)
    await _change(play)


async def _half_way(play: Play) -> None:
    """The deletions fail for good."""
    fail(play.stand, "removePassword|DELETE", 500)
    await _change(play)


def _no_app(stand: Stand) -> None:
    fail(stand, "GET /(v1.0/)?applications", 403)


SIGNED_OUT: Final = Reel(
    "signed-out",
    (
        Scene("signed-out", through("signin", "enter")),
        Scene("device-code", _code, "A device code, on this screen and nowhere else."),
        Scene("signed-in", _signed_in),
    ),
    prepare=_sign_out,
)
BROKEN: Final = Reel(
    "broken",
    (
        Scene("real-unreadable", at("welcome")),
        Scene("prereqs-failed", at("prereqs", "enter"), "An error: what happened, what to do, and its id."),
        Scene("explained", on(Text, "e")),
        Scene("copied", on(Text, "escape", "c")),
    ),
    real=True,
    prepare=_break,
)
LOCKED: Final = Reel(
    "locked",
    (
        Scene("keystore-locked", through("keystore", "enter")),
        Scene("keystore-unlocked", at("keystore", "r")),
    ),
    scenario="locked",
)
UNREAD: Final = Reel("unread", (Scene("review-failed", through("review", "enter")),), prepare=_no_app)
UNDONE: Final = Reel(
    "undone",
    (
        Scene("review-before", through("review", "enter")),
        Scene("undone", _refused, still=False),
        Scene("summary-undone", at("summary", "enter")),
    ),
)
HALF_WAY: Final = Reel(
    "half-way",
    (
        Scene("review-before", through("review", "enter")),
        Scene("half-way", _half_way),
        Scene("summary-half-way", at("summary", "enter"), "Left half-way: what is left, and how to finish it."),
        Scene("resume", at("welcome", "enter"), "An interrupted run comes before everything."),
    ),
)
HAND_OFF: Final = Reel(
    "hand-off",
    (
        Scene("review-hand-off", through("review", "enter")),
        Scene("handed-off", _change),
        Scene("summary-hand-off", at("summary", "enter")),
    ),
    scenario="unprivileged",
)
UNVERIFIED: Final = Reel(
    "unverified",
    (
        Scene("real", at("welcome")),
        Scene("verify-failed", at("verify", "down", "down", "enter"), still=False),
        Scene("summary-verify-failed", at("summary", "enter")),
    ),
    real=True,
)
INTERRUPTED: Final = Reel(
    "interrupted",
    (Scene("real-interrupted", at("welcome")),),
    real=True,
    prepare=interrupted(3),
)


def entry(name: str) -> Drive:
    """Choose an entry of the first screen, and wait for its screen."""

    async def drive(play: Play) -> None:
        await play.at("welcome")
        menu = play.app.base_screen.query_one(OptionList)
        while menu.highlighted_option is None or menu.highlighted_option.id != name:
            await play.press("down")
        await play.press("enter")
        await play.at({"doctor": "diagnose"}.get(name, name))

    return drive


async def _fixable(play: Play) -> None:
    """Somebody opened the state file to others; what would be mended is asked about."""
    play.stand.machine.state_file.chmod(0o644)
    await play.press("escape", "n", "R")
    await play.at("diagnose")
    await play.press("f")
    await play.on(Ask)


DIAGNOSIS: Final = Reel(
    "diagnosis",
    (
        Scene("diagnosis", entry("doctor"), "Everything that a run needs, what was seen, and what to do.", narrow=True),
        Scene("diagnosis-not-ok", at("diagnose", "n"), "The same without what is ok."),
        Scene("diagnosis-whole", on(Text, "space")),
        Scene("diagnosis-fix", _fixable),
    ),
)

REELS: Final = (
    MIGRATION,
    SIGNED_OUT,
    BROKEN,
    LOCKED,
    UNREAD,
    UNDONE,
    HALF_WAY,
    HAND_OFF,
    UNVERIFIED,
    INTERRUPTED,
    DIAGNOSIS,
)
