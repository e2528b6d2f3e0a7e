"""ffmpeg's deflicker filters on a clip: the freely available baseline.

    if ffmpeg_available():
        calmed = run_filter(frames, TMIDEQUALIZER[0])

The filters work on integers in display space: frames are converted by `quality.view` to 16 bits a channel and back.
They take no masks. The program is that of the package imageio-ffmpeg.
"""

from __future__ import annotations

import importlib.util
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Tuple

import numpy as np
from harmovid_training.metrics.degrade import Array
from harmovid_training.metrics.quality import unview, view

CODE_MAX = 65535


@dataclass(frozen=True)
class Filter:
    """One filter with its settings and its input pixel format (both filters take 16 bits in it)."""

    text: str
    pixel_format: str


DEFLICKER: Tuple[Filter, ...] = tuple(
    # The filter measures and scales the first plane only, so it gets a format in which that is luma.
    Filter(f"deflicker=size={size}:mode={mode}", "yuv444p16le")
    for size, mode in (*product((5, 10, 20), ("am", "gm", "median")), (5, "pm"), (40, "am"))
)
"""ffmpeg `deflicker` at the settings that are tried; the power mean of more than 5 frames overflows to black."""

TMIDEQUALIZER: Tuple[Filter, ...] = tuple(
    Filter(f"tmidequalizer=radius={radius}:sigma={sigma}", "gbrp16le")
    for radius, sigma in ((5, 0.5), *product((5, 10, 20), (0.9, 1.0)))
)
"""ffmpeg `tmidequalizer` at the settings that are tried."""


def ffmpeg_available() -> bool:
    """Return whether the package with the ffmpeg program is installed."""
    return importlib.util.find_spec("imageio_ffmpeg") is not None


def ffmpeg_program() -> str:
    """Return the path of the ffmpeg program.

    Raises:
        ModuleNotFoundError: imageio-ffmpeg is not installed.
    """
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def filter_command(size: Tuple[int, int], each: Filter, source: str, target: Tuple[str, ...]) -> list[str]:
    """Return the command line that sends raw 16-bit RGB frames through a filter.

    Args:
        size: width and height.
        each: the filter.
        source: "-" for standard input, or a file of raw frames.
        target: the arguments for the output.
    """
    width, height = size
    given = ["-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", f"{width}x{height}", "-r", "24", "-i", source]
    chain = f"format={each.pixel_format},{each.text},format=rgb48le"
    return [ffmpeg_program(), "-v", "error", *given, "-vf", chain, *target]


def run_filter(frames: Array, each: Filter) -> Array:
    """Return the filtered clip `(T, H, W, 3)`, scene-linear.

    Raises:
        RuntimeError: ffmpeg fails, or returns another number of frames.
    """
    count, height, width, _ = frames.shape
    command = filter_command((width, height), each, "-", ("-f", "rawvideo", "-pix_fmt", "rgb48le", "-"))
    done = subprocess.run(command, input=raw_frames(frames), capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ffmpeg cannot run {each.text}: {done.stderr.decode(errors='replace').strip()}")
    codes = np.frombuffer(done.stdout, "<u2")
    if codes.size != frames.size:
        got = codes.size // (height * width * 3)
        raise RuntimeError(f"ffmpeg {each.text} gave {got} frames for {count}.")
    return _light_of_codes()[codes].reshape(frames.shape)


@lru_cache(maxsize=1)
def _light_of_codes() -> Array:
    """Return the scene-linear value of each 16-bit code, `(65536,)`."""
    return unview(np.arange(CODE_MAX + 1, dtype=np.float32) / np.float32(CODE_MAX))


def raw_frames(frames: Array) -> bytes:
    """Return a clip as ffmpeg's rgb48le, in display space."""
    return (view(frames) * CODE_MAX + 0.5).astype("<u2").tobytes()
