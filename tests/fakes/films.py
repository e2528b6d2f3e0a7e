"""Small films for tests, written by ffmpeg from numbers that the test knows."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Sequence

import numpy as np
import numpy.typing as npt
from harmovid.pixels.films.program import program

WIDTH, HEIGHT = 32, 24


def planes(
    seed: int, count: int = 3, depth: int = 8, width: int = WIDTH, height: int = HEIGHT
) -> npt.NDArray[np.integer]:
    """Return planes `(count, height, width)` of random numbers of a film's narrow range, with a few beyond it."""
    rng = np.random.default_rng(seed)
    unit = 2 ** (depth - 8)
    kind = np.uint8 if depth == 8 else np.dtype("<u2")
    return rng.integers(4 * unit, 250 * unit, (count, height, width)).astype(kind)


def film(
    path: Path,
    frames: Sequence[npt.NDArray[np.integer]],
    pix_fmt: str = "yuv444p",
    codec: Sequence[str] = ("-c:v", "ffv1"),
    tags: str = "setparams=colorspace=bt709:range=tv",
    rate: str = "24",
    sound: bool = False,
) -> Path:
    """Write planes as they are into a film of their own pixel format; FFV1 keeps every number."""
    height, width = frames[0].shape[1:]
    raw = ["-f", "rawvideo", "-pix_fmt", pix_fmt, "-s", f"{width}x{height}", "-r", rate, "-i", "pipe:0"]
    seconds = len(frames) / 24
    tone = ["-f", "lavfi", "-i", f"sine=duration={seconds}", "-c:a", "pcm_s16le"] if sound else []
    words = [program(), "-v", "error", "-y", *raw, *tone, *codec, "-vf", tags or "null", str(path)]
    subprocess.run(
        words, input=b"".join(frame.tobytes() for frame in frames), check=True, capture_output=True
    )
    return path
