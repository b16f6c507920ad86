"""`make bench`: measures the goals of docs/explanation/performance.md in one run, and prints them as a table.

Real processes, the real Azure CLI, a real gnome-keyring, and a sandbox without replication lag. What is compared is run
in turns, so that a busy machine slows both. Nothing here fails because a machine is slow.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import pytest

from tests.bench.screens import screens
from tests.bench.service import rates
from tests.bench.table import Row, counted, markdown, timed
from tests.bench.track import PROGRAM, Counter, Lap, Track, run
from tests.bench.trips import (
    AGAIN,
    AZ,
    FORMER_SLEEP,
    FORMER_SPAWNS,
    LEAST,
    SHARE,
    SPARE,
    SPAWNS,
    SPAWNS_AGAIN,
    WAITED,
    WAITS,
)
from tests.real.conftest import Desktop, az_folder, desktop

LATENCY = 0.1
FLOWS = {"migrate": ("legacy", ("migrate",)), "onboard": ("fresh", ("onboard", "--only", "provisioner"))}


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="of everything short (default 9)")
    parser.add_argument("--flows", type=int, default=3, help="of every flow at every latency (default 3)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        try:
            here = stack.enter_context(contextmanager(desktop)(Path(folder) / "home", "correct horse"))
            counter = Counter.before(az_folder(), Path(folder) / "az")
        except (pytest.skip.Exception, pytest.fail.Exception) as missing:
            sys.exit(str(missing))
        rows = [
            *start(here, given.runs),
            look(here, given.runs),
            *screens(given.runs),
            *token(here, counter, given.runs),
            *rates(),
        ]
        for name in FLOWS:
            rows += flow(name, here, counter, given.flows)
    print(markdown(rows))


def start(session: Desktop, runs: int) -> list[Row]:
    """What the interpreter alone costs, and what the program adds before it does anything."""
    lines = {"pass": [sys.executable, "-c", "pass"]}
    lines |= {option: [str(PROGRAM), option] for option in ("--version", "--help")}
    seconds: dict[str, list[float]] = {name: [] for name in lines}
    for _ in range(runs * 2):
        for name, argv in lines.items():
            seconds[name].append(run(argv, session.environment, session.home)[0])
    return [timed(f"`{name}`", seconds[name], seconds["pass"], "`python -c pass`", 6) for name in list(lines)[1:]]


def look(session: Desktop, runs: int) -> Row:
    """What the first look for hardware costs a run: the modules that it alone needs, and the look itself."""
    timer = "from time import perf_counter as now; start = now()"
    script = f"from core.assemble import detect; {timer}; detect(); print(now() - start)"
    ours, bare = [], []
    for _ in range(runs * 2):
        bare.append(run([sys.executable, "-c", "pass"], session.environment, session.home)[0])
        ours.append(float(run([sys.executable, "-c", script], session.environment, session.home)[1].stdout))
    return timed("look for hardware", ours, bare, "`python -c pass`", 1)


def token(session: Desktop, counter: Counter, runs: int) -> list[Row]:
    """The token helper against the bare script and against the Azure CLI."""
    ours, bare, app, az = [], [], [], []
    with Track.open("legacy", 0, session, counter) as track:
        track.flow("migrate")
        for _ in range(runs):
            bare.append(track.bare())
            ours.append(track.token())
            app.append(track.az_as_app())
            az.append(track.az())
    return [
        timed("`token`", ours, bare, "bare script", 1.10),
        timed("`token`", ours, app, "`az account get-access-token` as the app, uncached", 1),
        timed("`token`", ours, az, "`az account get-access-token` as a person, uncached", 1),
    ]


def flow(name: str, session: Desktop, counter: Counter, runs: int) -> list[Row]:
    """A flow, and the same again when nothing is left to do, without and with latency in turns."""
    scenario, arguments = FLOWS[name]
    laps: dict[float, list[Lap]] = {0.0: [], LATENCY: []}
    again: dict[float, list[Lap]] = {0.0: [], LATENCY: []}
    floor: dict[float, list[float]] = {0.0: [], LATENCY: []}
    floor_again: dict[float, list[float]] = {0.0: [], LATENCY: []}
    former: list[float] = []
    for _ in range(runs):
        for latency in (0.0, LATENCY):
            with Track.open(scenario, latency, session, counter) as track:
                az, passwords = track.az(), track.passwords
                laps[latency].append(track.flow(*arguments))
                again[latency].append(track.flow(*arguments))
                cached, bare = track.az(cached=True), track.bare()
            if not latency:
                former.append(az + cached * (FORMER_SPAWNS - 1 + passwords) + FORMER_SLEEP)
            # the bare script has two trips of its own: discovery and token
            floor[latency].append(az + bare + latency * (LEAST[name] - 2))
            floor_again[latency].append(cached + bare)
    command = f"`{' '.join(arguments)} --yes`"
    least, slow = LEAST[name] + AZ, laps[LATENCY]
    trips = [len(lap.trips) for lap in slow]
    rows = [
        counted(f"{command}: az spawns", [lap.spawns for some in laps.values() for lap in some], None, SPAWNS),
        counted(f"{command}: sequential round trips", trips, least, least + SPARE),
        checked("… time with a request under way ÷ latency", median(lap.under_way for lap in slow) / LATENCY, trips),
        checked("… time that latency adds ÷ latency", (_seconds(slow) - _seconds(laps[0.0])) / LATENCY, trips),
        counted(f"{command} again: az spawns", [x.spawns for some in again.values() for x in some], None, SPAWNS_AGAIN),
        counted(f"{command} again: sequential round trips", [len(lap.trips) for lap in again[LATENCY]], None, AGAIN),
    ]
    if name == "migrate":
        rows.append(waits(f"{command}: declared waits", [lap.waited for some in laps.values() for lap in some]))
        whole = [lap.seconds + lap.waited for lap in laps[0.0]]
        rows.append(timed(f"{command}, waits and all", whole, former, "what it replaces", SHARE))
    for latency, some in laps.items():
        ms, waited = f"{latency * 1000:.0f} ms latency", f"{max(lap.waited for lap in some):.0f} s"
        what = f"{command}, {ms}, without {waited} of declared waits"
        rows.append(timed(what, [lap.seconds for lap in some], floor[latency], "az + bare script + least trips"))
        seconds = [lap.seconds for lap in again[latency]]
        rows.append(timed(f"{command} again, {ms}", seconds, floor_again[latency], "az + bare script"))
    return rows


def waits(what: str, seconds: list[float]) -> Row:
    """What a run waits for by its own choice, against what it once waited."""
    longest = max(seconds)
    ratio, goal = f"{longest / WAITED:.2f}", f"≤ {WAITS:.0f} s"
    return Row(what, f"{longest:.1f} s", f"{WAITED:.0f} s before", ratio, goal, longest <= WAITS)


def checked(what: str, measured: float, trips: list[int]) -> Row:
    """A count of trips by another way."""
    return Row(what, f"{measured:.1f}", str(max(trips)), f"{measured / max(trips):.2f}", "", None)


def _seconds(laps: list[Lap]) -> float:
    return median(lap.seconds for lap in laps)


if __name__ == "__main__":
    main()
