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

from tests.bench.table import Row, counted, markdown, timed
from tests.bench.track import PROGRAM, Counter, Lap, Track, run
from tests.bench.trips import AGAIN, AZ, LEAST, SPARE, SPAWNS, SPAWNS_AGAIN
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
        rows = [*start(here, given.runs), *token(here, counter, given.runs)]
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


def token(session: Desktop, counter: Counter, runs: int) -> list[Row]:
    """The token helper against the bare script and against the Azure CLI."""
    ours, bare, az = [], [], []
    with Track.open("legacy", 0, session, counter) as track:
        track.flow("migrate")
        for _ in range(runs):
            bare.append(track.bare())
            ours.append(track.token())
            az.append(track.az())
    return [
        timed("`token`", ours, bare, "bare script", 1.10),
        timed("`token`", ours, az, "`az account get-access-token`, uncached", 1),
    ]


def flow(name: str, session: Desktop, counter: Counter, runs: int) -> list[Row]:
    """A flow, and the same again when nothing is left to do, without and with latency."""
    scenario, arguments = FLOWS[name]
    rows: list[Row] = []
    own: dict[float, float] = {}
    every: list[Lap] = []
    every_again: list[Lap] = []
    command = f"`{' '.join(arguments)} --yes`"
    for latency in (0.0, LATENCY):
        laps: list[Lap] = []
        again: list[Lap] = []
        floor, floor_again = [], []
        for _ in range(runs):
            with Track.open(scenario, latency, session, counter) as track:
                az = track.az()
                laps.append(track.flow(*arguments))
                again.append(track.flow(*arguments))
                cached, bare = track.az(cached=True), track.bare()
            # the bare script has two trips of its own: discovery and token
            floor.append(az + bare + latency * (LEAST[name] - 2))
            floor_again.append(cached + bare)
        ms = f"{latency * 1000:.0f} ms latency"
        own[latency] = median(lap.seconds for lap in laps)
        waited = f"{max(lap.waited for lap in laps):.0f} s"
        what = f"{command}, {ms}, without {waited} of declared waits"
        rows.append(timed(what, [lap.seconds for lap in laps], floor, "az + bare script + least trips"))
        what = f"{command} again, {ms}"
        rows.append(timed(what, [lap.seconds for lap in again], floor_again, "az + bare script"))
        every, every_again = every + laps, every_again + again
    least, trips = LEAST[name] + AZ, [len(lap.trips) for lap in laps]
    by_clock = (own[LATENCY] - own[0.0]) / LATENCY
    counts = [
        counted(f"{command}: az spawns", [lap.spawns for lap in every], None, SPAWNS),
        counted(f"{command}: sequential round trips", trips, least, least + SPARE),
        Row("… by the clock: time that 100 ms latency adds ÷ 100 ms", f"{by_clock:.1f}", str(max(trips)),
            f"{by_clock / max(trips):.2f}", "", None),
        counted(f"{command} again: az spawns", [lap.spawns for lap in every_again], None, SPAWNS_AGAIN),
        counted(f"{command} again: sequential round trips", [len(lap.trips) for lap in again], None, AGAIN),
    ]  # fmt: skip
    return counts + rows


if __name__ == "__main__":
    main()
