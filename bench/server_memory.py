"""Whether the server's memory depends on the length of a clip: resident memory of its processes, short against long.

    python bench/server_memory.py [--short 50] [--long 1000] [--engine null] [--bundles FOLDER] [--quick]

A fresh server for each length runs one job; ten times a second the resident memory of main, front, worker
and codec processes is added up (pages that they share count in each). The peaks must differ by at most 64
MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Dict

from support.frames import SIZES, write_sequence
from support.jobs import run_job
from support.memory import MemorySamples
from support.server import LocalServer

TARGET_MIB = 64


def measure(folder: Path, count: int, engine: str, processes: int, bundles: str) -> Dict[str, float]:
    """Run one job on a fresh server; return its peak by kind of process, "total" and "seconds"."""
    flags = ["--codecs", str(processes), *(["--engine-folders", bundles] if bundles else [])]
    with tempfile.TemporaryDirectory(dir=folder) as out, LocalServer(*flags) as server:
        watch = MemorySamples(server)
        watch.start()
        started_s = time.perf_counter()
        run_job(server.address, engine, folder, Path(out), count)
        seconds = time.perf_counter() - started_s
        peak = watch.peak()
    return {**peak, "total": sum(peak.values()), "seconds": seconds}


def main() -> None:
    """Measure both lengths, print a table, and one JSON line last."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", type=int, default=50, help="frames of the short clip")
    parser.add_argument("--long", type=int, default=1000, help="frames of the long clip")
    parser.add_argument("--size", choices=list(SIZES), default="540p")
    parser.add_argument("--engine", default="null")
    parser.add_argument("--bundles", default="", help="folder of the engine's bundle")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="codec processes")
    parser.add_argument("--scratch", help="folder for frames (default: a temporary one)")
    parser.add_argument(
        "--quick", action="store_true", help="short clips of small frames: does it run at all?"
    )
    given = parser.parse_args()
    size = "270p" if given.quick else given.size
    counts = (16, 64) if given.quick else (given.short, given.long)
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        write_sequence(Path(scratch), size, max(counts))
        peaks = {
            count: measure(Path(scratch), count, given.engine, given.processes, given.bundles)
            for count in counts
        }
    roles = sorted({role for peak in peaks.values() for role in peak})
    print(f"{'frames':>7} " + " ".join(f"{role:>8}" for role in roles))
    for count, peak in peaks.items():
        print(f"{count:>7} " + " ".join(f"{peak.get(role, 0):8.1f}" for role in roles))
    difference = peaks[counts[1]]["total"] - peaks[counts[0]]["total"]
    print(
        f"MiB resident at the peak, {size}, engine {given.engine}; difference {difference:+.1f} MiB of {TARGET_MIB}"
    )
    print(json.dumps({
        "bench": "server_memory", "size": size, "engine": given.engine, "peaks_mib": peaks,
        "difference_mib": difference, "target_mib": TARGET_MIB,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
