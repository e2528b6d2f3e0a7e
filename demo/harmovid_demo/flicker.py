"""The synthetic flicker of the demo shot, made in scene-linear light: as of lamps that beat against the shutter.

Every frame gets an exposure, a gain and a contrast per channel, and two slowly moving hot spots whose strength changes
from frame to frame. The result is a gain in stops, so values below 0 and above 1 are kept, and the truth is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harmovid_demo.jit import Floats, Image

GREY = 0.18  # the pivot of the contrast
LOW_STOPS, HIGH_STOPS = -6.0, 5.0  # pixels further from grey than this follow the end of the curve
EXPOSURE_NOISE, EXPOSURE_BEAT, BEAT_PERIOD_FRAMES = 0.22, 0.20, 3.27
COLOUR_NOISE, CONTRAST_NOISE, SPOT_NOISE = 0.045, 0.030, 0.28


@dataclass(frozen=True)
class Flicker:
    """One frame's flicker.

    Attributes:
        exposure: `(3,)` stops per channel.
        contrast: `(3,)` stops per stop of distance from grey.
        spots: rows of (x, y, radius, stops): positions and radius in picture widths and heights.
    """

    exposure: Floats
    contrast: Floats
    spots: Floats

    def stops(self, picture: Image, display: tuple[int, int], offset: tuple[int, int]) -> Image:
        """Return the gain in stops `(h, w, 3)` for a linear picture.

        Args:
            picture: `(h, w, 3)`, the clean frame over its data window.
            display: width and height of the display window in pixels.
            offset: where the data window begins, x and y in display pixels.
        """
        return self.tone(picture) + self.local(picture.shape[:2], display, offset)[..., None]

    def tone(self, picture: Image) -> Image:
        """The part that depends on a pixel's own light: `(h, w, 3)` stops."""
        light = np.log2(np.maximum(picture, 1e-6) / np.float32(GREY))
        away = np.clip(light, LOW_STOPS, HIGH_STOPS)
        return away * self.contrast.astype(np.float32) + self.exposure.astype(np.float32)

    def local(self, shape: tuple[int, ...], display: tuple[int, int], offset: tuple[int, int]) -> Image:
        """The part that depends on place: `(h, w)` stops, smooth."""
        y = (np.arange(shape[0], dtype=np.float32)[:, None] + 0.5 + offset[1]) / display[1]
        x = (np.arange(shape[1], dtype=np.float32) + 0.5 + offset[0]) / display[0]
        aspect = display[0] / display[1]
        total = np.zeros(shape[:2], np.float32)
        for cx, cy, radius, stops in self.spots.astype(np.float32):
            square = ((x - cx) ** 2 + ((y - cy) / aspect) ** 2) / radius**2
            total += stops * np.exp(-0.5 * square)
        return total


def flicker_at(index: int, seed: int) -> Flicker:
    """Return the flicker of the frame `index` (0 is the first), the same for the same seed."""
    rng = np.random.default_rng((seed, index))
    beat = EXPOSURE_BEAT * math.sin(2 * math.pi * index / BEAT_PERIOD_FRAMES)
    exposure = beat + rng.normal(0, EXPOSURE_NOISE) + rng.normal(0, COLOUR_NOISE, 3)
    contrast = rng.normal(0, CONTRAST_NOISE) + rng.normal(0, CONTRAST_NOISE / 3, 3)
    t = index / 24.0
    spots = np.array(
        [
            [0.30 + 0.10 * t, 0.42 + 0.05 * math.sin(2 * t), 0.16, rng.normal(0, SPOT_NOISE)],
            [0.74 - 0.07 * t, 0.60 + 0.04 * math.cos(3 * t), 0.13, rng.normal(0, SPOT_NOISE)],
        ]
    )
    return Flicker(exposure, contrast, spots)
