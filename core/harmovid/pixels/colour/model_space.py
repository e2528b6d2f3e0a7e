"""Model space: how a learned engine sees linear light. Training and serving share these functions.

    anchor = exposure_anchor(first_frames)      # once per shot
    codes = to_model(rgb, anchor)               # codes = acescct(rgb * 0.18 / anchor)
    rgb = from_model(codes, anchor)

The anchor is a linear value in the middle of the shot's range. Dividing by it makes the encoding independent of
exposure: a plate exposed one stop brighter gets the same codes. A value equal to the anchor has code 0.4136 (ACEScct of
0.18), one stop is 1 / 17.52 in code, black is 0.0729, and 65504 with an anchor of 0.18 is 1.468. Primaries are not
changed: the codes are in the shot's own linear primaries.

There is one anchor for the whole shot. An anchor per frame would hide the flicker that an engine has to see.
"""

from __future__ import annotations

from itertools import islice
from typing import Iterable, List

import numpy as np
import numpy.typing as npt

from harmovid.pixels.colour.acescct import acescct_decode, acescct_encode

Float32 = npt.NDArray[np.float32]

MID_GREY = 0.18
"""The anchor is mapped to this value before encoding: the reflectance of a photographer's grey card."""

ANCHOR_FRAMES = 8
"""Frames used: a third of a second, so that a single flash or dark frame does not decide."""

ANCHOR_TRIM = 0.1
"""Share of pixels left out at either end of the histogram: lamps, letterbox, clipped shadows."""

ANCHOR_MIN = 2.0**-16
ANCHOR_MAX = 2.0**16
"""Anchors are clamped to this range, about that of positive half floats."""

LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of the luma that is averaged (Rec. ITU-R BT.709-6, item 3.2), for any primaries: only a level is needed."""

ROUND_TRIP_RELATIVE = 4e-6
"""`from_model(to_model(x))` in float32 is within this of x, relative, from the curve's straight piece up to
65504 with anchors from 0.001 to 10: one float32 step at code 1.4 (1.2e-7) times 17.52 stops times ln 2 is
1.5e-6."""

ROUND_TRIP_ABSOLUTE = 1e-8
"""The same in the straight piece and below zero, as a share of the anchor (plus `ROUND_TRIP_RELATIVE`): half
a float32 step at code 0.1 (3.7e-9) divided by the slope 10.54 and by 0.18 is 2e-9."""


CONTRACT = {
    "encoding": "acescct", "primaries": "working", "mid_grey": MID_GREY, "luma": list(LUMA),
    "anchor_frames": ANCHOR_FRAMES, "anchor_trim": ANCHOR_TRIM,
}  # fmt: skip
"""The colour encoding that a bundle must state; a network trained in another one is refused."""


def exposure_anchor(frames: Iterable[Float32]) -> float:
    """Return a shot's exposure anchor from its first frames: the median over frames of each frame's
    `trimmed_mean` of log luma.

    Args:
        frames: `(H, W, 3)` float32 linear, at proxy size; at most `ANCHOR_FRAMES` are taken. Pixels that do
            not count (outside the data window or the matte) may be set to 0 or NaN.

    Returns:
        a linear value; `MID_GREY` if no frame has a positive finite pixel. Scales with exposure: frames
        twice as bright have an anchor twice as high.
    """
    means: List[float] = []
    for frame in islice(frames, ANCHOR_FRAMES):
        stops = log_luma(frame)
        if stops.size:
            means.append(trimmed_mean(stops))
    if not means:
        return MID_GREY
    return float(np.clip(2.0 ** float(np.median(means)), ANCHOR_MIN, ANCHOR_MAX))


def log_luma(rgb: Float32) -> npt.NDArray[np.float64]:
    """Return log2 of the luma of `(..., 3)` pixels, `(N,)`: only of pixels where it is positive and finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        luma = rgb.astype(np.float64) @ np.array(LUMA)
    return np.asarray(np.log2(luma[np.isfinite(luma) & (luma > 0.0)]))


def trimmed_mean(values: npt.NDArray[np.float64]) -> float:
    """Return the mean of `values` without the lowest and highest `ANCHOR_TRIM` of them."""
    cut = int(len(values) * ANCHOR_TRIM)
    ordered = np.partition(values, [cut, len(values) - 1 - cut])
    return float(ordered[cut : len(values) - cut].mean())


def to_model(rgb: Float32, anchor: float) -> Float32:
    """Return model-space codes `(..., 3)` float32 of linear `(..., 3)` float32; unbounded, also for negative values."""
    return np.asarray(acescct_encode(rgb * np.float32(MID_GREY / anchor)), np.float32)


def from_model(codes: Float32, anchor: float) -> Float32:
    """Return linear `(..., 3)` float32 of model-space codes; the inverse of `to_model` within
    `ROUND_TRIP_RELATIVE`."""
    return np.asarray(acescct_decode(codes) * np.float32(anchor / MID_GREY), np.float32)
