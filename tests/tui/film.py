"""The moving picture of the README: a recorded migration, replayed by the wizard and drawn frame by frame (U7).

An SVG in which a tall strip of screens is moved up step by step by a style alone, so that it plays wherever a picture
is shown: no script, no font, nothing that is loaded. Rows that frames have in common are there once.
"""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from core.clock import SystemClock
from core.config.profile import Profile
from core.config.settings import Settings
from core.events import Checked, Event, Question, StageStarted, StepFinished, Waiting
from core.recording import writer
from core.recording.reader import Part, Tape
from tests.tui.pictures import still
from tests.tui.play import Play, PosedReplay, play, stop
from wizard.replay import Pace, load
from wizard.tui.replay import Recorded

NAME: Final = "migration.svg"
ALT: Final = (
    "A migration, replayed: the wizard looks at the computer, the sign-in and the keystore, shows every change before "
    "it is made, makes them, waits for the directory, proves the new certificate, and verifies that no secret is left"
)
#: Seconds for which is shown what an event has changed: what took long has to be short, what took no time to be seen.
_SHOWN: Final[dict[type[Event], float]] = {StepFinished: 0.35, Checked: 0.3, Waiting: 1.2, Question: 3.5}
#: Seconds at the end of a stage, on a screen that waits for Enter, and on the last one.
_READ: Final = 0.9
_LAST: Final = 6.0
#: Of one character, as the framework draws it, and of the window around them.
_LINE: Final = 24.4
_LEFT, _TOP = 9, 41
_RECT: Final = re.compile(r'<rect fill="([^"]+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/>')
_SHAPE: Final = re.compile(r"<(?:rect|text) [^>]*?(?:/>|>[^<]*</text>)")


class _Directed(Pace):
    """A pace at which nothing passes before the camera has seen it.

    :ivar waits: somebody waits for `moment`.
    """

    def __init__(self, started: datetime) -> None:
        super().__init__(SystemClock(), 1.0, started)
        self.at = self.moment = 0.0
        self.waits = threading.Event()
        self._go = threading.Event()

    def monotonic(self) -> float:
        return self.at

    def approach(self, moment: float) -> bool:
        if moment <= self.at:
            return True
        self.moment = moment
        self.waits.set()
        if self._go.wait(0.05):
            self._go.clear()
            self.at = moment
            return True
        return False

    def leap(self, moment: float) -> None:
        self.at = max(self.at, moment)

    def go_on(self) -> None:
        """Let pass what is waited for."""
        self.waits.clear()
        self._go.set()


@dataclass(frozen=True)
class Frame:
    """One screen.

    :param svg: as the framework exports it.
    :param seconds: for which it is shown.
    """

    svg: str
    seconds: float


async def shoot(scenario: str = "legacy", lag: float = 12.0) -> list[Frame]:
    """The frames of a migration in 80 x 24.

    :param lag: seconds of the directory's replication.
    """
    async with play(scenario, prepare=lambda stand: stand.lab.tenant.lag.update(application=lag)) as live:
        await live.at("welcome")
        await live.press("enter")
        await live.through("review")
        await live.press("enter", "y")
        for place in ("progress", "verify"):
            await live.at(place)
            await live.press("enter")
        await live.at("summary")
        tape = retimed(load(writer.kept(Profile())[0]))
        pace = _Directed(tape.started)
        app = PosedReplay(Recorded(tape, Settings(), pace), live.stand.normal)
        async with app.run_test(size=(80, 24)) as pilot:
            try:
                return [frame async for frame in _frames(Play(app, pilot, live.stand), pace)]
            finally:
                stop(app, live.stand)


async def _frames(shown: Play, pace: _Directed) -> AsyncIterator[Frame]:
    while True:
        await shown.until(lambda: _rests(shown, pace))
        picture = await still(shown)
        if pace.waits.is_set():
            yield Frame(picture, pace.moment - pace.at)
            pace.go_on()
        elif shown.place == "summary":
            yield Frame(picture, _LAST)
            return
        else:
            yield Frame(picture, _READ)
            await shown.press("enter")


def _rests(shown: Play, pace: _Directed) -> bool:
    """Whether everything is shown that has happened."""
    thread = shown.app.engine_thread
    return thread is not None and (pace.waits.is_set() or not thread.running) and not thread._items


def retimed(tape: Tape) -> Tape:
    """The same, as fast as somebody can look."""
    return replace(tape, parts=tuple(replace(part, events=tuple(_retimed(part))) for part in tape.parts))


def _retimed(part: Part) -> Iterator[tuple[float, Event]]:
    moment = 0.0
    for n, (_, event) in enumerate(part.events):
        if isinstance(event, StageStarted) and n:
            moment += _READ
        yield round(moment, 3), event
        moment += next((seconds for kind, seconds in _SHOWN.items() if isinstance(event, kind)), 0.0)


def film(frames: Sequence[Frame]) -> str:
    """The moving picture."""
    shown: list[Frame] = []
    for frame in frames:
        if shown and shown[-1].svg == frame.svg:
            shown[-1] = replace(frame, seconds=shown[-1].seconds + frame.seconds)
        else:
            shown.append(frame)
    first = shown[0].svg
    width, height = (float(size) for size in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', first)[0])
    inner = re.findall(r'clip-terminal">\s*<rect x="0" y="0" width="([\d.]+)" height="([\d.]+)"', first)[0]
    window = first[first.index("</defs>") + len("</defs>") : first.index('<g transform="translate(9, 41)"')].strip()
    drawn = _Rows()
    strip = [drawn.frame(frame.svg, n * height) for n, frame in enumerate(shown)]
    total, passed, steps = sum(frame.seconds for frame in shown), 0.0, []
    for n, frame in enumerate(shown):
        steps.append(f"{passed / total:.3%}{{transform:translateY(-{n * height:g}px)}}")
        passed += frame.seconds
    last = f"translateY(-{(len(shown) - 1) * height:g}px)"
    styles = "\n".join(f".{name}{{{style}}}" for style, name in drawn.styles.items())
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{ALT}">
<style>
text{{font:20px monospace}}
.strip rect{{shape-rendering:crispEdges}}
.terminal-title{{font:bold 18px sans-serif}}
{styles}
.strip{{animation:play {total:.2f}s step-end infinite}}
@keyframes play{{{"".join(steps)}}}
@media (prefers-reduced-motion:reduce){{.strip{{animation:none;transform:{last}}}}}
</style>
<defs>
<clipPath id="screen"><rect width="{inner[0]}" height="{float(inner[1]):g}"/></clipPath>
{drawn.defined}
</defs>
{window}
<g transform="translate({_LEFT},{_TOP})" clip-path="url(#screen)"><g class="strip">
{chr(10).join(strip)}
</g></g>
</svg>
"""


class _Rows:
    """Rows of all frames, each once.

    :ivar styles: style of a text to its class.
    """

    def __init__(self) -> None:
        self.styles: dict[str, str] = {}
        self._known: dict[str, int] = {}

    @property
    def defined(self) -> str:
        """All of them, to be used."""
        return "\n".join(f'<g id="r{n}">{row}</g>' for row, n in self._known.items())

    def frame(self, svg: str, top: float) -> str:
        """One frame of the strip.

        :param top: where it lies in the strip.
        """
        style = dict(re.findall(r"\.terminal-(r\d+) \{ (.*?) \}", svg))
        body = svg[svg.index('<g transform="translate(9, 41)"') :]
        rows: dict[int, list[str]] = {}
        for shape in _SHAPE.findall(body):
            if shape.endswith(">\n</text>"):
                continue
            y = float(re.findall(r' y="([\d.]+)"', shape)[0])
            line = int((y - 1) // _LINE)
            rows.setdefault(line, []).append(self._shape(shape, y - line * _LINE, style))
        used = (f'<use href="#r{self._number("".join(row))}" y="{line * _LINE:.1f}"/>' for line, row in rows.items())
        return f'<g transform="translate(0,{top:g})">{"".join(used)}</g>'

    def _number(self, row: str) -> int:
        row = _joined(row)
        return self._known.setdefault(row, len(self._known))

    def _shape(self, shape: str, y: float, style: dict[str, str]) -> str:
        shape = re.sub(r' (?:clip-path|shape-rendering)="[^"]*"', "", shape)
        shape = re.sub(r' y="[\d.]+"', f' y="{y:.1f}"', shape, count=1)
        shape = re.sub(r'(x|width|height|textLength)="(\d+)\.0"', r'\1="\2"', shape)
        return re.sub(r'class="terminal-(r\d+)"', lambda found: f'class="{self._class(style[found[1]])}"', shape)

    def _class(self, style: str) -> str:
        return self.styles.setdefault(style, f"s{len(self.styles)}")


def _joined(row: str) -> str:
    """A row whose neighbouring backgrounds of one colour are one."""
    kept: list[list[str]] = []
    for fill, x, y, width, height in _RECT.findall(row):
        if kept and kept[-1][0] == fill:
            kept[-1][3] = f"{float(x) + float(width) - float(kept[-1][1]):.1f}"
        else:
            kept.append([fill, x, y, width, height])
    shapes = (
        f'<rect fill="{fill}" x="{x}" y="{y}" width="{width}" height="{height}"/>' for fill, x, y, width, height in kept
    )
    return "".join(shapes) + _RECT.sub("", row)
