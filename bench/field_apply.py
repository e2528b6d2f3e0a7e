"""Cost of applying a lighting field: per megapixel, compared with the reference implementation and the EXR codec, to
8K.

    python bench/field_apply.py [--rounds 5]

The input is half-float planes, as in a decoded EXR. Times are CPU time of one thread, the best of the rounds, with
newly allocated output; "2 at once" is wall time per frame when two threads work on two frames, like two codec
processes.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Callable

import numpy as np
from harmovid.pixels import exr
from harmovid.pixels.apply.fast import best_kernels
from harmovid.pixels.apply.kernels_numpy import NumpyKernels
from harmovid.pixels.apply.tiles import apply_field
from harmovid.pixels.field import Curve, GainMap, Grid, LightingField

SIZES = {"1080p": (1920, 1080), "4K": (3840, 2160), "8K": (7680, 4320)}
FIELDS = ("curve", "curve + grid", "curve + grid + map")


def planes(width: int, height: int) -> tuple[np.ndarray, ...]:
    """Three half planes of textured light; a small tile of noise is repeated, so that 8K is made quickly."""
    small = np.exp2(np.random.default_rng(0).normal(-2, 2, (3, 270, 480))).astype(np.float16)
    return tuple(np.tile(plane, (height // 270, width // 480)) for plane in small)


def field(name: str, width: int, height: int) -> LightingField:
    """A field of the sizes that `fit_field` makes."""
    rng = np.random.default_rng(1)
    box = (0, 0, width, height)
    curve = Curve(rng.normal(size=(3, 10)) * 0.02, low=-8, high=5)
    grid = Grid(rng.normal(size=(32, 48, 8, 3)) * 0.1, box, -8, 4)
    gain = GainMap(rng.normal(size=(480, 854, 3)) * 0.1, box)
    return LightingField((curve, grid, gain)[: FIELDS.index(name) + 1])


def best_ms(work: Callable[[], object], rounds: int, clock: Callable[[], float] = time.process_time) -> float:
    """Shortest of some runs, in milliseconds of CPU time (or of another clock)."""
    work()
    times = []
    for _ in range(rounds):
        start = clock()
        work()
        times.append((clock() - start) * 1e3)
    return min(times)


def two_at_once_ms(work: Callable[[], object], rounds: int) -> float:
    """Wall time per frame with two threads."""
    with ThreadPoolExecutor(2) as pool:
        return best_ms(lambda: list(pool.map(lambda _: work(), range(4))), rounds, time.perf_counter) / 4


def codec_ms(rgb: tuple[np.ndarray, ...], rounds: int) -> float:
    """Decode and encode of the same frame as ZIP, one call each."""
    height, width = rgb[0].shape
    frame = exr.make_frame(exr.PartHeader.make((0, 0, width, height)), dict(zip("RGB", rgb)))
    data = exr.write(frame)
    return best_ms(lambda: exr.write(exr.read(data)), rounds)


def measured(size: str, name: str, rgb: tuple[np.ndarray, ...], rounds: int) -> dict:
    """One row of the table, without the codec."""
    width, height = SIZES[size]
    work = partial(apply_field, rgb, field(name, width, height), origin=(0, 0))
    fast = best_ms(partial(work, kernels=best_kernels()), rounds)
    row = {"size": size, "field": name, "ms": fast, "ms_per_megapixel": fast / (width * height / 1e6)}
    row["two_at_once_ms"] = two_at_once_ms(partial(work, kernels=best_kernels()), 1 if size == "8K" else 3)
    if size == "1080p":
        row["slow_over_fast"] = best_ms(partial(work, kernels=NumpyKernels()), 1) / fast
    return row


def main() -> None:
    """Print the table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs to take the best of (default 5)")
    rounds = parser.parse_args().rounds
    rows = []
    print("size   field                      ms   ms/MP  2 at once  slow/fast  of codec")
    for size, (width, height) in SIZES.items():
        rgb = planes(width, height)
        codec = codec_ms(rgb, 1 if size == "8K" else rounds)
        for name in FIELDS:
            row = measured(size, name, rgb, rounds)
            row["of_codec"] = row["ms"] / codec
            numbers = (row["ms"], row["ms_per_megapixel"], row["two_at_once_ms"])
            slow = f"{row['slow_over_fast']:.1f}" if "slow_over_fast" in row else "-"
            text = "{:8.1f} {:7.1f} {:10.1f}".format(*numbers)
            print(f"{size:6s} {name:20s} {text} {slow:>10s} {row['of_codec']:9.2f}", flush=True)
            rows.append(
                {key: round(each, 3) if isinstance(each, float) else each for key, each in row.items()}
            )
    print(json.dumps({"bench": "field_apply", "rows": rows}))


if __name__ == "__main__":
    main()
