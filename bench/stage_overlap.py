"""How well the stages of a job overlap: its wall time against its slowest stage, for engines of three speeds.

    python bench/stage_overlap.py [--bundles out/toy-bundles] [--engines null harmonize toy-harmovid] [--frames 48]

Stages are decoding (with the proxy), inference, and encoding (with the change of light), as the server's own metrics
count them; decoding and encoding run in several processes, so their time is divided by that number. 1.0 times the
slowest stage is perfect overlap; without any, the wall time is the sum of all. On a machine without a GPU inference
and codecs share the cores, so the wall time cannot be less than all processor time divided by the cores: "bound" is the
larger of that and the slowest stage. All engines are measured in one run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List
from urllib.request import urlopen

from support.frames import SIZES, write_sequence
from support.jobs import run_job
from support.server import LocalServer

SHIPPED = ("null", "harmonize", "deflicker", "harmonize-statistics")
STAGES = {"proxy": "decode", "engine": "inference", "finish": "encode"}
_LINE = re.compile(r"^harmovid_stage_seconds_(sum|count)\{(.*)\} (\S+)$", re.MULTILINE)
WAIT_S = 60.0
"""Main sends its figures once a second; this is far more."""


def stage_seconds(port: int, engine: str, count: int) -> Dict[str, float]:
    """Return the seconds of each stage, from the server's metrics, once they hold all `count` frames of an engine.

    Raises:
        SystemExit: they do not in time.
    """
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found: Dict[str, Dict[str, float]] = {"sum": {}, "count": {}}
        for kind, labels, value in _LINE.findall(text):
            named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            if named["engine"] == engine and named["stage"] in STAGES:
                found[kind][STAGES[named["stage"]]] = float(value)
        if found["count"].get("encode", 0) >= count:
            return found["sum"]
        time.sleep(0.2)
    raise SystemExit(f"the metrics do not hold {count} frames of {engine}")


def measure(folder: Path, engine: str, count: int, processes: int, bundles: str) -> Dict[str, Any]:
    """Run a job twice on one server, so that the engine is loaded and warm; return the second one's figures."""
    port = free_port()
    flags = ["--codecs", str(processes), "--engines", engine, "--metrics-port", str(port)]
    flags += ["--engine-folders", bundles] if bundles and engine not in SHIPPED else []
    with tempfile.TemporaryDirectory(dir=folder) as out, LocalServer(*flags) as server:
        run_job(server.address, engine, folder, Path(out), count)
        before, cpu_s = stage_seconds(port, engine, count), server.cpu_s() + time.process_time()
        started_s = time.perf_counter()
        run_job(server.address, engine, folder, Path(out), count)
        wall_s = time.perf_counter() - started_s
        cpu_s = server.cpu_s() + time.process_time() - cpu_s
        after = stage_seconds(port, engine, 2 * count)
    stages = {name: after[name] - before[name] for name in STAGES.values()}
    for name in ("decode", "encode"):
        stages[name] /= processes
    slowest = max(stages, key=lambda name: stages[name])
    bound_s = max(stages[slowest], cpu_s / len(os.sched_getaffinity(0)))
    return {
        "engine": engine, "wall_s": wall_s, "stages_s": stages, "slowest": slowest,
        "to_slowest": wall_s / stages[slowest], "to_bound": wall_s / bound_s,
        "to_sum": wall_s / sum(stages.values()),
    }  # fmt: skip


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Measure every engine, print a table, and one JSON line last."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engines", nargs="+", default=["null", "harmonize", "toy-harmovid"])
    parser.add_argument("--bundles", default="out/toy-bundles", help="folder of the toy's bundles")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--size", choices=list(SIZES), default="1080p")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="codec processes")
    parser.add_argument("--scratch", help="folder for frames (default: a temporary one)")
    given = parser.parse_args()
    rows: List[Dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        write_sequence(Path(scratch), given.size, given.frames)
        columns = ("decode", "inference", "encode", "wall", "/ slowest", "/ bound", "/ sum")
        print(f"{'engine':>14} " + " ".join(f"{name:>9}" for name in columns))
        for engine in given.engines:
            if engine not in SHIPPED and not Path(given.bundles).is_dir():
                print(f"{given.bundles} is not there: python -m harmovid_export.toy makes the toy's bundles")
                continue
            row = measure(Path(scratch), engine, given.frames, given.processes, given.bundles)
            rows.append(row)
            times = [*row["stages_s"].values(), row["wall_s"]]
            ratios = [row["to_slowest"], row["to_bound"], row["to_sum"]]
            print(f"{engine:>14} " + " ".join(f"{value:9.2f}" for value in [*times, *ratios]), flush=True)
    print(
        f"seconds for {given.frames} frames at {given.size}, {given.processes} codec processes, then ratios of one run"
    )
    print(json.dumps({"bench": "stage_overlap", "size": given.size, "frames": given.frames, "results": rows}))


if __name__ == "__main__":
    main()
