"""Speed at 1080p: the deflicker engine (proxy, estimate, apply) and ffmpeg's tmidequalizer, on the same frames.

Both use the same cores. The engine's time is its own work on half-float planes, without EXR decoding and encoding;
tmidequalizer's time is that of a run with the filter minus that of the same run without it.
"""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.pixels.apply.fast import apply_field
from harmovid_evaluate.clips import Clip
from harmovid_evaluate.ffmpeg import Filter, ffmpeg_available, filter_command, raw_frames
from harmovid_server.codec.reduce import area_means, proxy_size
from harmovid_server.engines.base import Engine

from support.deflicker_engine import answers_of

Planes = Tuple[npt.NDArray[np.float16], ...]

WIDTH, HEIGHT = 1920, 1080
SHOT_FRAMES = 120
"""Length of the engine's shot, the clip forwards and backwards: longer than a window, so that its cost is included."""
DEFAULT = Filter("tmidequalizer=radius=5:sigma=0.5", "gbrp16le")
NOTHING = Filter("null", "gbrp16le")


def measure(
    engine: Engine, clip: Clip, cores: int, size: Tuple[int, int] = (WIDTH, HEIGHT)
) -> Dict[str, float]:
    """Return wall and processor milliseconds per frame of both, and their ratios (ours over tmidequalizer).

    The engine gets the clip forwards and backwards, as a shot of `SHOT_FRAMES`; the filter's time per frame is
    constant.

    Args:
        engine: activated.
        clip: resized to `size`.
        cores: how many of this process's cores may be used.
        size: width and height.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        large = [cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in clip.frames]
        planes = [_planes(frame) for frame in large]
        _ours(engine, planes[:4], size)  # compiled code
        shot = _there_and_back(planes, SHOT_FRAMES)
        wall, cpu = _timed(lambda: _ours(engine, shot, size), resource.RUSAGE_SELF)
        found = {"ours_ms": wall / len(shot), "ours_cpu_ms": cpu / len(shot)}
        theirs = _tmidequalizer(large, size, cores)
    finally:
        os.sched_setaffinity(0, before)
    if theirs is not None:
        found["tmidequalizer_ms"], found["tmidequalizer_cpu_ms"] = theirs
        found["ratio"] = found["ours_ms"] / theirs[0]
        found["cpu_ratio"] = found["ours_cpu_ms"] / theirs[1]
    return {"frames": len(shot), "cores": cores, **found}


def run(engine: Engine, clip: Clip) -> None:
    """Reduce, estimate and apply a clip at its own size, as half floats."""
    height, width = clip.frames.shape[1:3]
    _ours(engine, [_planes(frame) for frame in clip.frames], (width, height))


def _planes(frame: npt.NDArray[np.float32]) -> Planes:
    return tuple(frame[..., c].astype(np.float16) for c in range(3))


def _there_and_back(frames: List[Planes], count: int) -> List[Planes]:
    """Return `count` frames of a clip that is run forwards and backwards: no cut in it."""
    round_trip = [*frames, *frames[-2:0:-1]]
    return [round_trip[i % len(round_trip)] for i in range(count)]


def _ours(engine: Engine, frames: List[Planes], size: Tuple[int, int]) -> None:
    """Reduce, estimate and apply one clip; the results are discarded."""
    box = (0, 0, *size)
    small = proxy_size(box, engine.proxy_lines)
    proxies = np.stack([area_means(planes, box, box, small).means for planes in frames])
    for planes, answer in zip(frames, answers_of(engine, proxies, None)):
        apply_field(planes, answer.field, origin=(0, 0))


def _tmidequalizer(
    frames: List[npt.NDArray[np.float32]], size: Tuple[int, int], cores: int
) -> Optional[Tuple[float, float]]:
    if not ffmpeg_available():
        return None
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "frames.raw"
        with raw.open("wb") as file:
            for frame in frames:
                file.write(raw_frames(frame[None]))
        with_it, without = (_ffmpeg(each, raw, size, cores) for each in (DEFAULT, NOTHING))
    count = len(frames)
    return max(with_it[0] - without[0], 1e-3) / count, max(with_it[1] - without[1], 1e-3) / count


def _ffmpeg(each: Filter, raw: Path, size: Tuple[int, int], cores: int) -> Tuple[float, float]:
    command = filter_command(size, each, str(raw), ("-f", "null", "-"))
    command[1:1] = ["-filter_threads", str(cores)]

    def run() -> None:
        subprocess.run(command, check=True, capture_output=True)

    run()  # the raw file into the page cache
    return _timed(run, resource.RUSAGE_CHILDREN)


def _timed(work: Callable[[], None], whose: int) -> Tuple[float, float]:
    """Return wall and processor milliseconds of one run."""
    used, start = resource.getrusage(whose), time.perf_counter()
    work()
    wall, now = time.perf_counter() - start, resource.getrusage(whose)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return wall * 1e3, cpu * 1e3
