"""Generated frames for benchmarks: slow waves of light, grain, flicker; opaque or cut out as a soft disc."""

from __future__ import annotations

import numpy as np

from harmovid.pixels import exr

GRAIN = 0.02
"""Standard deviation of the grain relative to the light, as of a camera at normal exposure."""

FLICKER_STOPS = 0.2


def picture(width: int, height: int, seed: int, cut_out: bool = False) -> bytes:
    """Return one frame as an EXR file: half RGBA, ZIP, scene-linear Rec. 709, premultiplied.

    Args:
        width: in pixels. height: in pixels.
        seed: of the grain, and the phase of the flicker.
        cut_out: alpha is a disc with a soft edge, not 1 everywhere.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    radius = np.hypot(x - width / 2, y - height / 2) / (0.35 * height)
    alpha = np.clip((1.1 - radius) * 10, 0, 1) if cut_out else np.ones((height, width), np.float32)
    gain = 2 ** (FLICKER_STOPS * np.sin(2.1 * seed))
    channels = {"A": alpha.astype(np.float16)}
    for index, name in enumerate("RGB"):
        wave = 0.3 + 0.2 * np.sin(x / 300 + index) * np.cos(y / 200 - index)
        grainy = gain * wave * (1 + GRAIN * rng.standard_normal(wave.shape, np.float32))
        channels[name] = (grainy * alpha).astype(np.float16)
    header = exr.PartHeader.make((0, 0, width, height), compression="zip")
    return bytes(exr.write(exr.make_frame(header, channels)))
