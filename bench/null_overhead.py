"""Overhead of a round trip: the null engine through client and server and back, compared with the codec alone.

    python bench/null_overhead.py [--sizes 1080p 4K] [--rounds 3] [--quick]

Both sides read the same EXR files (half RGBA, 2 % grain, ZIP) and write every result to the same disk, with the same
library calls (`exr.read`, `exr.write`) in the same number of processes; the client shares the cores with the server.
Rounds alternate, so that both sides meet the same load of the machine; the best round of each is taken. "cpu" is the
processor time of all processes, client included, which other load disturbs less than wall time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any, Dict, List, Tuple

from harmovid.pixels import exr
from support.frames import SIZES, write_sequence
from support.jobs import run_job
from support.server import LocalServer, cpu_s

TARGET_RATIO = 1.15


@dataclass
class Timed:
    """Seconds of one round: wall time and processor time."""

    wall_s: float
    cpu_s: float


def copy_frame(paths: Tuple[str, str]) -> None:
    """Decode one file and encode it into another: the minimum work for any tool."""
    exr.write(exr.read(paths[0]), paths[1])


def pure(pool: Pool, folder: Path, count: int) -> Timed:
    """Decode and encode all frames in the pool's processes."""
    out = _fresh(folder / "pure")
    pairs = [(str(folder / f"plate.{n}.exr"), str(out / f"plate.{n}.exr")) for n in range(1, count + 1)]
    workers = [child.pid for child in multiprocessing.active_children() if child.pid]
    cpu, wall = sum(map(cpu_s, workers)), time.perf_counter()
    pool.map(copy_frame, pairs, chunksize=1)
    return Timed(time.perf_counter() - wall, sum(map(cpu_s, workers)) - cpu)


def through(server: LocalServer, folder: Path, count: int) -> Timed:
    """Send all frames through the server's null engine and write what comes back."""
    out = _fresh(folder / "null")
    cpu, wall = server.cpu_s() + time.process_time(), time.perf_counter()
    run_job(server.address, "null", folder, out, count)
    return Timed(time.perf_counter() - wall, server.cpu_s() + time.process_time() - cpu)


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.sync()  # so that dirty pages of the other side are not written during this one
    return folder


def measure(size: str, count: int, rounds: int, processes: int, scratch: Path) -> Dict[str, Any]:
    """Run all rounds at one size; return milliseconds per frame and ratios."""
    folder = scratch / size
    frame_bytes = write_sequence(folder, size, count)
    timed: Dict[str, List[Timed]] = {"pure": [], "null": []}
    spawn = multiprocessing.get_context("spawn")
    with (
        spawn.Pool(processes) as pool,
        LocalServer("--codecs", str(processes), "--engines", "null") as server,
    ):
        pure(pool, folder, min(count, 2 * processes))  # warm-up: imports, compiled code, page cache
        through(server, folder, min(count, 2 * processes))
        for _ in range(rounds):
            timed["pure"].append(pure(pool, folder, count))
            timed["null"].append(through(server, folder, count))
    best = {
        f"{side}_{kind}_ms": min(getattr(round_, f"{kind}_s") for round_ in runs) * 1e3 / count
        for side, runs in timed.items()
        for kind in ("wall", "cpu")
    }
    return {
        "size": size, "frames": count, "frame_mb": frame_bytes / 1e6, "processes": processes, "rounds": rounds, **best,
        "ratio": best["null_wall_ms"] / best["pure_wall_ms"], "cpu_ratio": best["null_cpu_ms"] / best["pure_cpu_ms"],
    }  # fmt: skip


def main() -> None:
    """Measure, print a table, and one JSON line last."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=["1080p", "4K"])
    parser.add_argument("--frames", type=int, help="frames per round (default: 96 at 1080p, 32 at 4K)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="codec processes")
    parser.add_argument("--scratch", help="folder for frames (default: a temporary one)")
    parser.add_argument(
        "--quick", action="store_true", help="one round of few small frames: does it run at all?"
    )
    given = parser.parse_args()
    sizes = ["270p"] if given.quick else given.sizes
    rows = []
    columns = ("codec wall", "null wall", "ratio", "codec cpu", "null cpu", "ratio")
    print(f"{'size':>6} {'MB':>6} " + " ".join(f"{name:>10}" for name in columns))
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        for size in sizes:
            count = given.frames or {"1080p": 96, "4K": 32}.get(size, 24)
            row = measure(size, count, 1 if given.quick else given.rounds, given.processes, Path(scratch))
            rows.append(row)
            walls = f"{row['pure_wall_ms']:10.1f} {row['null_wall_ms']:10.1f} {row['ratio']:10.3f}"
            cpus = f"{row['pure_cpu_ms']:10.1f} {row['null_cpu_ms']:10.1f} {row['cpu_ratio']:10.3f}"
            print(f"{size:>6} {row['frame_mb']:6.1f} {walls} {cpus}")
    print(f"ms per frame; the target is a wall ratio of at most {TARGET_RATIO}")
    print(json.dumps({"bench": "null_overhead", "target_ratio": TARGET_RATIO, "results": rows}))


if __name__ == "__main__":
    main()
