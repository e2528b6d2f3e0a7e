"""The demo's measures: how much a clip flickers, and how far it is from the truth.

All pictures are `(h, w, 3)` float32, scene-linear. Differences of light are in stops (log2); values below `FLOOR` are
raised to `FLOOR`, so that grain in black does not dominate. PSNR is measured in view space (`view.view`), as a viewer
sees the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from harmovid_demo.jit import Floats, Image
from harmovid_demo.view import view

FLOOR = 2.0**-9  # six and a half stops below grey: about the grain of the demo's plate in black
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # Rec. ITU-R BT.709
BLOCKS = (6, 8)  # rows and columns of the blocks in which local flicker is measured


def stops(picture: Image) -> Image:
    """Return log2 of a linear picture, floored."""
    logs: Image = np.log2(np.maximum(picture, np.float32(FLOOR)))
    return logs


def block_levels(picture: Image) -> Floats:
    """Return the mean log2 luma of each block, `BLOCKS`: one frame of the clip's flicker trace."""
    level = stops(picture @ LUMA)
    blocks = cv2.resize(level, BLOCKS[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(blocks, np.float64)


def roughness(levels: Floats) -> float:
    """Return the frame-to-frame roughness of traces `(frames, ...)` in stops.

    The root mean square of the second difference, divided by sqrt(6): white noise of deviation s gives s, and
    a fade, however strong, gives 0. Fewer than three frames have no roughness: 0.
    """
    if len(levels) < 3:
        return 0.0
    second = levels[2:] - 2.0 * levels[1:-1] + levels[:-2]
    return float(np.sqrt(np.mean(second**2) / 6.0))


class Flicker:
    """Collects a clip's trace, frame by frame, in order."""

    def __init__(self) -> None:
        self._levels: list[Floats] = []

    def add(self, levels: Floats) -> None:
        """Take the next frame's `block_levels`."""
        self._levels.append(levels)

    @property
    def trace(self) -> Floats:
        """Mean log2 luma of every frame, `(frames,)`."""
        return np.array([levels.mean() for levels in self._levels])

    @property
    def whole(self) -> float:
        """Roughness of the whole frame's level, stops."""
        return roughness(self.trace)

    @property
    def local(self) -> float:
        """Roughness over all blocks, stops; it also shows flicker of parts of the frame."""
        return roughness(np.array(self._levels))


@dataclass(frozen=True)
class Distance:
    """One frame's part of a clip's distance to its truth: weighted sums over its pixels.

    Attributes:
        weight: sum of the weights.
        first, second: `(3,)` sums of the differences in stops and of their squares, per channel.
        seen: sum of squared differences in view space, mean over channels.
    """

    weight: float
    first: Floats
    second: Floats
    seen: float

    def __add__(self, other: Distance) -> Distance:
        return Distance(
            self.weight + other.weight,
            self.first + other.first,
            self.second + other.second,
            self.seen + other.seen,
        )

    @property
    def rmse_stops(self) -> float:
        """Root mean square difference over pixels and channels, stops."""
        return math.sqrt(float(self.second.mean()) / self.weight) if self.weight else 0.0

    @property
    def steady_stops(self) -> float:
        """The same after the best gain per channel for the whole clip, so that a constant look is not an error."""
        if not self.weight:
            return 0.0
        mean = self.first / self.weight
        return math.sqrt(max(float((self.second / self.weight - mean**2).mean()), 0.0))

    @property
    def psnr_db(self) -> float:
        """Peak signal to noise ratio in view space, decibel; infinite for equal pictures."""
        return -10.0 * math.log10(self.seen / self.weight) if self.seen else math.inf


NOWHERE = Distance(0.0, np.zeros(3), np.zeros(3), 0.0)


def distance(picture: Image, truth: Image, weight: Image | None = None) -> Distance:
    """Return one frame's distance to its truth, with `weight` `(h, w)` for each pixel."""
    share = np.ones((*picture.shape[:2], 1), np.float32) if weight is None else weight[..., None]
    difference = stops(picture) - stops(truth)
    seen = view(picture) - view(truth)
    return Distance(
        float(share.sum(dtype=np.float64)),
        (share * difference).sum(axis=(0, 1), dtype=np.float64),
        (share * difference**2).sum(axis=(0, 1), dtype=np.float64),
        float((share * seen**2).sum(dtype=np.float64)) / 3.0,
    )
