"""Synthetic flicker: degradations of a clean clip in scene-linear light, so that the truth is known.

    degraded = DEGRADATIONS["exposure"].apply(clip, mask, seed=7)

A clip is `(T, H, W, 3)` float32 scene-linear, a mask `(T, H, W)` float32 in 0..1. Every degradation is a change in
stops (log2 of linear light) except `looks`, which grades in display space and clips as real looks do. Amounts are
those of `docs/deflicker.md`; the same seed gives the same flicker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Optional

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Rng = np.random.Generator

FLOOR = 2.0**-14
"""Linear value below which curves add constant stops (far below a 10-bit black)."""
MID_GREY = 0.18
LUMA = np.array((0.2126, 0.7152, 0.0722), np.float32)
"""Rec. ITU-R BT.709-6, item 3.2."""

EXPOSURE_STOPS = 0.22
"""Standard deviation of the exposure flicker; without deflicker it gives about 31 dB in view space."""
CHANNEL_STOPS = 0.05
CURVE_OFFSET_STOPS = 0.22
CURVE_SLOPE = 0.06
CURVE_BUMP_STOPS = 0.12
BLOB_STOPS = 0.8
BLOB_COUNT = 3


def to_stops(linear: Array) -> Array:
    """Return log2 of linear light over mid grey; values below `FLOOR` are raised to `FLOOR`."""
    stops: Array = np.log2(np.maximum(linear, FLOOR) / MID_GREY).astype(np.float32)
    return stops


def exposure(clip: Array, rng: Rng) -> Array:
    """Gain per frame, white in time, with a small independent part per channel (iris, shutter, old film)."""
    return gained(clip, exposure_course(len(clip), rng)[:, None, None, :])


def exposure_course(count: int, rng: Rng) -> Float64:
    """Return the random gains of `exposure` in stops, `(count, 3)`, one row per frame."""
    return rng.normal(0, EXPOSURE_STOPS, (count, 1)) + rng.normal(0, CHANNEL_STOPS, (count, 3))


def curves(clip: Array, rng: Rng) -> Array:
    """A random curve per channel and frame: offset, contrast about mid grey, and three bumps over the range."""
    out = np.empty_like(clip)
    for index, frame in enumerate(clip):
        y = to_stops(frame)
        change = np.empty_like(y)
        shared = rng.normal(0, CURVE_OFFSET_STOPS)
        for channel in range(3):
            offset = shared + rng.normal(0, CURVE_OFFSET_STOPS / 2)
            change[..., channel] = offset + rng.normal(0, CURVE_SLOPE) * y[..., channel]
            change[..., channel] += _bumps(y[..., channel], rng)
        out[index] = frame * np.exp2(change)
    return out


def _bumps(y: Array, rng: Rng) -> Array:
    total = np.zeros_like(y)
    for centre in rng.uniform(-5, 2, 3):
        total += rng.normal(0, CURVE_BUMP_STOPS) * np.exp(-0.5 * ((y - centre) / rng.uniform(1, 2)) ** 2)
    return total


def blobs(clip: Array, rng: Rng) -> Array:
    """Gaussian spots of light that drift slowly over the frame while their strength flickers (local flicker)."""
    count, height, width, _ = clip.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) / height
    stops = np.zeros((count, height, width), np.float32)
    for _ in range(BLOB_COUNT):
        centre = np.array([rng.uniform(0, 1), rng.uniform(0, width / height)])
        speed = np.array([rng.normal(0, 0.01), rng.normal(0, 0.01)])
        radius = rng.uniform(0.15, 0.35)
        strength = rng.normal(0, BLOB_STOPS, (count,))
        for t in range(count):
            y, x = centre + speed * t
            stops[t] += strength[t] * np.exp(-0.5 * ((rows - y) ** 2 + (columns - x) ** 2) / radius**2)
    return gained(clip, stops[..., None])


def looks(clip: Array, rng: Rng) -> Array:
    """A strong grade per frame in display space: exposure, balance, crosstalk, saturation, S-curve, clip and crush."""
    return np.stack([_look(frame, rng) for frame in clip])


def _look(frame: Array, rng: Rng) -> Array:
    matrix = np.eye(3) + rng.normal(0, 0.06, (3, 3))
    matrix /= matrix.sum(1, keepdims=True)
    graded = np.maximum(frame @ matrix.T.astype(np.float32), 0)
    graded = graded * np.exp2(rng.normal(0, 0.5) + rng.normal(0, 0.2, 3))
    display = np.clip(graded, 0, 1) ** (1 / 2.4)
    grey = display @ LUMA
    display = grey[..., None] + (display - grey[..., None]) * np.exp(rng.normal(0, 0.2))
    contrast, crush = rng.normal(0, 0.25), rng.uniform(-0.02, 0.04)
    display = display + contrast * display * (1 - display) * (2 * display - 1)
    display = np.clip(crush + (1 - crush) * display, 0, 1)
    linear: Array = (display**2.4).astype(np.float32)
    return linear


def bands(
    clip: Array, rng: Rng, cycles: float = 2.3, drift: float = 0.17, amount_stops: float = 0.25
) -> Array:
    """Rolling bands of mains light on a rolling shutter: a sine over the rows whose phase drifts every frame.

    Args:
        cycles: bands over the height of the frame.
        drift: cycles the pattern moves from frame to frame.
    """
    count, height = clip.shape[:2]
    start = rng.uniform(0, 1)
    rows = np.arange(height) / height
    phase = cycles * rows[None, :] + drift * np.arange(count)[:, None] + start
    return gained(clip, amount_stops * np.sin(2 * np.pi * phase)[:, :, None, None])


def fade(clip: Array, stops: float, first: int, last: int) -> Array:
    """An intended change that must survive: gain from 0 to `stops`, linear from frame index `first` to `last`."""
    ramp = np.clip((np.arange(len(clip)) - first) / max(last - first, 1), 0, 1) * stops
    return gained(clip, ramp[:, None, None, None])


def gained(clip: Array, stops: npt.NDArray[np.floating]) -> Array:
    """Return the clip with gains in stops that broadcast to it."""
    out: Array = (clip * np.exp2(stops)).astype(np.float32)
    return out


@dataclass(frozen=True)
class Degradation:
    """A named degradation, on the whole frame or on the foreground only."""

    name: str
    function: Callable[[Array, Rng], Array]
    foreground: bool

    def apply(self, clip: Array, mask: Optional[Array], seed: int) -> Array:
        """Return the degraded clip; the background keeps its exact values where `foreground` is set.

        Args:
            mask: `(T, H, W)` in 0..1, needed where `foreground` is set, else ignored.
        """
        changed = self.function(clip, np.random.default_rng(seed))
        if not self.foreground or mask is None:
            return changed
        weight = mask[..., None]
        mixed: Array = np.where(weight > 0, clip + (changed - clip) * weight, clip)
        return mixed


DEGRADATIONS: Dict[str, Degradation] = {
    item.name: item
    for item in (
        Degradation("curves-fg", curves, True),
        Degradation("curves", curves, False),
        Degradation("exposure", exposure, False),
        Degradation("local", blobs, False),
        Degradation("local-fg", blobs, True),
        Degradation("looks-fg", looks, True),
    )
}
"""The six rows of the bench, by name."""
