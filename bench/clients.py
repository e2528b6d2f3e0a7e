"""Measure whether clients share a server fairly, and how long a job takes with 1, 4 or 16 active clients.

    python bench/clients.py [--clients 1 4 16] [--seconds 20] [--engine null] [--quick]

Each client is a user with its own key, and sends one job of ten frames after the other. For each number of clients it
prints the frames per second of all together, how far the client with the most and the one with the fewest frames are
from the mean, and how long a job took from its start until its last result was on the disk. The shares must be within
20 % of the mean.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

from harmovid import Client, JobFiles
from harmovid.keys import AuthorizedKeys, KeyPair, new_pair
from support.frames import write_sequence
from support.server import LocalServer

FRAMES = 10
SIZE = "270p"
TARGET_PERCENT = 20.0
LISTED_S = 60.0
"""How long the server may take to read the new keys; it looks twice a second."""


class Artist(threading.Thread):
    """One client: one job after the other until the time is over. `frames` counts results within the time."""

    def __init__(self, address: str, keys: KeyPair, engine: str, plate: str, out: Path, times: Times) -> None:
        super().__init__(daemon=True)
        self.frames = 0
        self.jobs_s: List[float] = []
        self.error: Exception | None = None
        self._client = Client(address, keys, timeout_s=LISTED_S)
        self._engine, self._plate, self._out, self._times = engine, plate, out, times

    def run(self) -> None:
        """Work."""
        try:
            with self._client as client:
                engine = client.engine(self._engine)
                self._times.wait()
                while not self._times.over:
                    self._job(client, engine)
        except Exception as error:  # reported by the main thread
            self.error = error

    def _job(self, client: Client, engine: Any) -> None:
        out = str(self._out / "out.#.exr")
        frames = f"1-{FRAMES}"
        job = JobFiles.prepare(engine, {"plate": self._plate}, out, frames=frames, overwrite=True, handles=0)
        begun_s = time.monotonic()
        client.start(job, on_result=self._count).result()
        if self._times.over:
            return
        self.jobs_s.append(time.monotonic() - begun_s)
        if len(self.jobs_s) == 1:
            self._times.had_first()

    def _count(self, _frame: int, _report: object) -> None:
        self.frames += not self._times.over


class Times:
    """When all clients begin, and when the time is over: not before each has had a job, however slow the machine is."""

    def __init__(self, clients: int, seconds: float) -> None:
        self._together = threading.Barrier(clients)
        self._seconds = seconds
        self._begun_s = 0.0
        self._waiting = clients
        self._lock = threading.Lock()
        self.taken_s = float("inf")

    def wait(self) -> None:
        """Wait until all are there."""
        self._together.wait()
        self._begun_s = time.monotonic()

    def had_first(self) -> None:
        """A client has had its first job."""
        with self._lock:
            self._waiting -= 1

    @property
    def over(self) -> bool:
        """Whether the time is over; `taken_s` is then how long it was."""
        with self._lock:
            taken_s = time.monotonic() - self._begun_s
            if self.taken_s == float("inf") and not self._waiting and taken_s >= self._seconds:
                self.taken_s = taken_s
            return self.taken_s < float("inf")


def measure(clients: int, seconds: float, engine: str, folder: Path) -> Dict[str, Any]:
    """Run so many clients on a fresh server; return their numbers."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch, LocalServer(with_keys=True) as server:
        assert server.keys is not None
        pairs = [replace(new_pair(f"artist-{n}"), server=server.keys.server) for n in range(clients)]
        listed = AuthorizedKeys(server.folder / "authorized_keys")
        for pair in pairs:
            listed.add(pair.name, pair.public)
        time.sleep(2.0)  # the front reads the list twice a second, main once
        times = Times(clients, seconds)
        artists = []
        for pair in pairs:
            out = Path(scratch) / pair.name
            out.mkdir()
            artists.append(Artist(server.address, pair, engine, str(folder / "plate.#.exr"), out, times))
        for artist in artists:
            artist.start()
        for artist in artists:
            artist.join()
    for artist in artists:
        if artist.error is not None:
            raise SystemExit(f"a client ended badly: {artist.error}")
    return _numbers(
        [artist.frames for artist in artists], sorted(s for a in artists for s in a.jobs_s), times.taken_s
    )


def _numbers(frames: List[int], jobs_s: List[float], seconds: float) -> Dict[str, Any]:
    mean = statistics.mean(frames)
    return {
        "clients": len(frames),
        "frames_per_second": sum(frames) / seconds,
        "frames": frames,
        "least_percent": 100 * (min(frames) / mean - 1) if mean else 0.0,
        "most_percent": 100 * (max(frames) / mean - 1) if mean else 0.0,
        "jobs": len(jobs_s),
        "job_median_s": statistics.median(jobs_s) if jobs_s else None,
        "job_95_s": jobs_s[math.ceil(0.95 * len(jobs_s)) - 1] if jobs_s else None,
    }


def main() -> int:
    """Measure, print a table, and one JSON line last; 1 where the shares are not within the target."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="how long each number of clients is at work"
    )
    parser.add_argument("--engine", default="null")
    parser.add_argument("--scratch", help="folder for frames (default: a temporary one)")
    parser.add_argument(
        "--quick", action="store_true", help="two clients for three seconds: does it run at all?"
    )
    given = parser.parse_args()
    counts, seconds = ([2], 3.0) if given.quick else (given.clients, given.seconds)
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        write_sequence(Path(scratch), SIZE, FRAMES)
        rows = [measure(count, seconds, given.engine, Path(scratch)) for count in counts]
    print(
        f"{'clients':>7} {'frames/s':>9} {'least':>7} {'most':>7} {'jobs':>5} {'job median':>11} {'job 95 %':>9}"
    )
    for row in rows:
        median, late = (f"{row[name]:.2f} s" if row[name] else "-" for name in ("job_median_s", "job_95_s"))
        print(
            f"{row['clients']:>7} {row['frames_per_second']:>9.1f} {row['least_percent']:>+6.1f}% "
            f"{row['most_percent']:>+6.1f}% {row['jobs']:>5} {median:>11} {late:>9}"
        )
    worst = max(max(-row["least_percent"], row["most_percent"]) for row in rows)
    print(
        f"jobs of {FRAMES} frames, {SIZE}, engine {given.engine}; largest distance from the mean {worst:.1f} %"
    )
    print(
        json.dumps(
            {
                "bench": "clients",
                "engine": given.engine,
                "seconds": seconds,
                "rows": rows,
                "worst_percent": worst,
            }
        )
    )
    return 1 if worst > TARGET_PERCENT and not given.quick else 0


if __name__ == "__main__":
    sys.exit(main())
