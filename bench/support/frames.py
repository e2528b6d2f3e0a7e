"""Synthetic frames with a camera's statistics: smooth light with 2 % grain, half RGBA, ZIP."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from harmovid.pixels import exr

SIZES = {"270p": (480, 270), "540p": (960, 540), "1080p": (1920, 1080), "4K": (4096, 2160)}
GRAIN = 0.02
DISTINCT = 4
"""Different pictures in a sequence; more would only take longer to make."""


def picture(width: int, height: int, seed: int, compression: str = "zip") -> exr.ExrFrame:
    """Return one frame: slow waves of light, grain in proportion to it, alpha 1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [0.3 + 0.2 * np.sin(x / 300 + seed + c) * np.cos(y / 200 - c) for c in range(3)]
    grainy = [wave * (1 + GRAIN * rng.standard_normal(wave.shape, np.float32)) for wave in waves]
    channels = {name: plane.astype(np.float16) for name, plane in zip("RGB", grainy)}
    channels["A"] = np.ones((height, width), np.float16)
    return exr.make_frame(exr.PartHeader.make((0, 0, width, height), compression=compression), channels)


def write_sequence(folder: Path, size: str, count: int, compression: str = "zip") -> int:
    """Write `plate.1.exr` to `plate.<count>.exr`; return the bytes of one frame.

    Every frame is a file of its own on the disk; every `DISTINCT`-th has the same content.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [exr.write(picture(*SIZES[size], seed, compression)) for seed in range(min(DISTINCT, count))]
    for number in range(1, count + 1):
        (folder / f"plate.{number}.exr").write_bytes(files[number % len(files)])
    os.sync()
    return len(files[0])
