"""What the deflicker costs, each as a ratio to its bar: up to 1 is met.

    python bench/deflicker_speed.py [--clips FOLDER --only davis_scooter-black] [--cores 2]

Four figures: milliseconds a 1080p frame in a shot of 120 frames, and the same over ffmpeg's tmidequalizer in the same
run; frames pushed before the first answer with --quick; seconds for the demo's 32 frames of 540 lines in a fresh
process whose cache of compiled loops is empty, and once more with the cache that it left. All are the engine's own work
(proxy, estimate, apply) without files and servers. Take them on an idle machine: wall time is what counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in the server's workers, and read on import

import numpy as np
from harmovid_evaluate.clips import Clip, clip_folders, load_clip, synthetic_clip
from harmovid_server.engines import deflicker
from harmovid_server.engines.base import ProxyFrame, ShotInfo
from harmovid_server.runtimes.base import RuntimeSettings
from support import deflicker_speed

BAR_MS, BAR_RATIO, BAR_FRAMES, BAR_SECONDS = 75.0, 2.0, 24, 8.0
LINES, CLIP_FRAMES = 240, 24
"""Size of the clip that is enlarged to 1080p, and its length; the shot runs it forwards and backwards."""
DEMO_FRAMES, DEMO_LINES = 32, 540


def main() -> None:
    """Print each figure with its ratio, and one JSON line last."""
    given = _arguments()
    if given.demo:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
        print(_demo_seconds())
        return
    engine = deflicker.create()
    engine.activate(RuntimeSettings())
    first = _frames_before_an_answer(engine)
    speed = deflicker_speed.measure(engine, _clip(given), given.cores)
    with tempfile.TemporaryDirectory() as cache:
        fresh, compiled = (_in_a_process(cache, given.cores) for _ in range(2))
    figures = {
        "1080p, ms a frame": (speed["ours_ms"], BAR_MS),
        "1080p, processor ms a frame (no bar)": (speed["ours_cpu_ms"], BAR_MS),
        "1080p over tmidequalizer": (speed.get("ratio", float("nan")), BAR_RATIO),
        "frames before the first answer, --quick": (float(first), float(BAR_FRAMES)),
        "demo's frames, seconds, nothing compiled": (fresh, BAR_SECONDS),
        "demo's frames, seconds, compiled": (compiled, BAR_SECONDS),
    }
    for name, (value, bar) in figures.items():
        print(f"  {name:42s} {value:8.2f}   ratio to the bar {value / bar:.2f}")
    found = {name: {"value": value, "ratio": value / bar} for name, (value, bar) in figures.items()}
    print(json.dumps({"bench": "deflicker_speed", "engine": engine.info.version, "found": found, **speed}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, help="folder of clips (default: a made clip)")
    parser.add_argument("--only", default="", metavar="NAME", help="the clip whose name holds this")
    parser.add_argument("--cores", type=int, default=2, help="that both may use (default 2)")
    parser.add_argument("--demo", action="store_true", help="the demo's frames alone, in this process")
    return parser.parse_args()


def _clip(given: argparse.Namespace) -> Clip:
    """Return the clip to measure on.

    Raises:
        SystemExit: no clip has that name.
    """
    if given.clips is None:
        return synthetic_clip(CLIP_FRAMES, LINES)
    for folder in clip_folders(given.clips):
        if given.only in folder.name:
            return load_clip(folder, LINES, CLIP_FRAMES)
    raise SystemExit(f"no clip in {given.clips} has {given.only!r} in its name")


def _frames_before_an_answer(engine: deflicker.DeflickerEngine) -> int:
    """Return how many frames the preset for interactive use takes before it answers one."""
    options = engine.info.check_options({"quick": True})
    session = engine.start(ShotInfo(tuple(range(10 * BAR_FRAMES)), options, ("plate",)))
    picture = np.random.default_rng(1).uniform(0.1, 0.5, (48, 64, 3)).astype(np.float32)
    whole = {"coverage": np.ones((48, 64), np.float32)}
    for number in range(10 * BAR_FRAMES):
        if session.push(ProxyFrame(number, {"plate": picture}, whole, (0, 0, 64, 48))):
            return number + 1
    raise RuntimeError(f"no answer after {10 * BAR_FRAMES} frames")


def _demo_seconds() -> float:
    """Return the seconds from a process's start of the engine to its last answer."""
    clip = synthetic_clip(DEMO_FRAMES, DEMO_LINES)
    start = time.perf_counter()
    engine = deflicker.create()
    engine.activate(RuntimeSettings())
    deflicker_speed.run(engine, clip)
    return time.perf_counter() - start


def _in_a_process(cache: str, cores: int) -> float:
    """Return the seconds that a process of its own needs, with compiled loops kept in the folder `cache`."""
    line = [sys.executable, __file__, "--demo", "--cores", str(cores)]
    environment: Dict[str, str] = {**os.environ, "NUMBA_CACHE_DIR": cache}
    return float(subprocess.run(line, check=True, capture_output=True, text=True, env=environment).stdout)


if __name__ == "__main__":
    main()
