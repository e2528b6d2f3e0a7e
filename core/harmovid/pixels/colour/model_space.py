"""Model space: how a learned engine sees linear light. Training and serving share these functions.

    anchor = exposure_anchor(first_frames)      # once per shot
    codes = to_model(rgb, anchor)               # codes = acescct(rgb * 0.18 / anchor)
    rgb = from_model(codes, anchor)

The anchor is the linear value of the shot's middle: dividing by it makes the encoding independent of
exposure, so a plate exposed one stop up looks the same to the model. What sits at the anchor is encoded to
0.4136 (ACEScct of 0.18), one stop is 1 / 17.52 of code, black is 0.0729, and 65504 with an anchor of 0.18 is
1.468. Primaries are not changed: the codes are in the shot's own linear primaries.

One anchor holds for a whole shot. An anchor per frame would hide exactly the flicker that is to be seen.
"""

from __future__ import annotations

from itertools import islice
from typing import Iterable, List

import numpy as np
import numpy.typing as npt

from harmovid.pixels.colour.acescct import acescct_decode, acescct_encode

Float32 = npt.NDArray[np.float32]

MID_GREY = 0.18
"""Where the anchor is put before encoding: the reflectance of a photographer's grey card."""

ANCHOR_FRAMES = 8
"""Frames that are looked at: a third of a second, so that one flash or dark flicker frame does not decide."""

ANCHOR_TRIM = 0.1
"""Share of pixels left out at either end of the histogram: lamps, letterbox, clipped shadows."""

ANCHOR_MIN = 2.0**-16
ANCHOR_MAX = 2.0**16
"""Anchors are kept within these, about the range of positive half floats."""

LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of the luma that is averaged (Rec. ITU-R BT.709-6, item 3.2), in whatever primaries: only a level
is sought."""

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
"""What a network was trained in, as its bundle states it; one trained in anything else is refused."""


def exposure_anchor(frames: Iterable[Float32]) -> float:
    """Return a shot's exposure anchor from its first frames: the median over frames of each frame's
    `trimmed_mean` of log luma.

    Args:
        frames: `(H, W, 3)` float32 linear, at proxy size; at most `ANCHOR_FRAMES` are taken. Pixels that do
            not count (outside the data window or the matte) may be set to 0 or NaN.

    Returns:
        a linear value; `MID_GREY` where no frame has a positive finite pixel. Scales with exposure: frames
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
    """Return log2 of the luma of `(..., 3)` pixels, `(N,)`: of those where it is positive and finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        luma = rgb.astype(np.float64) @ np.array(LUMA)
    return np.asarray(np.log2(luma[np.isfinite(luma) & (luma > 0.0)]))


def trimmed_mean(values: npt.NDArray[np.float64]) -> float:
    """Return the mean of `values` without the lowest and highest `ANCHOR_TRIM` of them."""
    cut = int(len(values) * ANCHOR_TRIM)
    ordered = np.partition(values, [cut, len(values) - 1 - cut])
    return float(ordered[cut : len(values) - cut].mean())


def to_model(rgb: Float32, anchor: float) -> Float32:
    """Return model-space codes `(..., 3)` float32 of linear `(..., 3)` float32; unbounded, negatives have
    codes too."""
    return np.asarray(acescct_encode(rgb * np.float32(MID_GREY / anchor)), np.float32)


def from_model(codes: Float32, anchor: float) -> Float32:
    """Return linear `(..., 3)` float32 of model-space codes; the inverse of `to_model` within
    `ROUND_TRIP_RELATIVE`."""
    return np.asarray(acescct_decode(codes) * np.float32(anchor / MID_GREY), np.float32)
