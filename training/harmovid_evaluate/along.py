"""Flicker of a film measured along its motion: roughness at places that move with the picture.

    motion = FilmMotion(film)                  # once, from the original film
    motion.along_stops(result)                 # at the same places for the film and for every result
    motion.held_stops(film)                    # roughness of fixed tiles that is due to motion alone

Fixed tiles (`traces.local_roughness_stops`) measure the picture's motion as well as its flicker: a dark coat that
enters a tile changes its level. Here each pixel is tracked into the frame before and the frame after. The second
difference of its log2 luma is averaged over the tile and scaled as in `traces`: white flicker of s stops gives s, and a
steady picture gives almost 0 whatever its motion.

The motion is DIS optical flow on log2 luma normalised by its local mean and deviation, so that changes of exposure and
contrast are not taken for motion. Places that fail the forward-backward check are left out, and so are cuts.

Limits. Places that cannot be tracked are not measured: occlusions, image borders in a pan, most blots and scratches
that appear in one frame only, motion too fast for the flow; `followed` is the share that could be tracked. Just outside
the edges of foreground objects some wrong motion passes the check: steady clips of people and cars give 0.006 to 0.03
stops.
Real changes of light on moving things (a turning face, a reflection, a passing shadow) count as flicker, and so do
textures that change by themselves: falling water, leaves in the wind.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, List, Tuple

import cv2
import numpy as np
import numpy.typing as npt
from harmovid_training.metrics.degrade import Array
from harmovid_training.metrics.structure import moved, step
from harmovid_training.metrics.traces import TILES, Float64, luma_stops, second_roughness, tile_levels

DETAIL_SIGMA_PX, SPREAD_SIGMA_PX = 5.0, 12.0
"""Of the Gaussians for the local mean and the local deviation."""
FAINT_STOPS = 0.1
"""Lower bound of deviations, so that grain on a flat wall is not tracked as texture."""
CODES_PER_DEVIATION = 40.0
AGREE_PX = 0.5
"""Bound of the forward-backward check: half of that of the flow-warped error, because along the edges
of foreground objects the flow drags the background with it."""
FOLLOWED_SHARE = 0.25
"""A tile of which a smaller share was tracked in both directions has no second difference in that frame."""
CUT_LIKENESS = 0.4
"""Correlation of two frames, aligned and without their light: below this they are different shots."""

Step = Tuple[Array, Array]
"""Where each pixel of a frame is in a neighbour, `(H, W, 2)`, and `(H, W)` 1 where that can be trusted."""


class FilmMotion:
    """A film's motion between neighbouring frames, measured on the original, flickering film.

    Args:
        film: `(T, H, W, 3)` scene-linear.
    """

    def __init__(self, film: Array) -> None:
        plain = [_plain(luma_stops(frame)) for frame in film]
        pairs = list(zip(plain, plain[1:]))
        self._back: List[Step] = [_step(now, before) for before, now in pairs]
        self._ahead: List[Step] = [_step(before, now) for before, now in pairs]

    @cached_property
    def followed(self) -> float:
        """The share of pixels that could be tracked in both directions, over all frames but the first and last."""
        shares = [float(self._seen(t).mean()) for t in range(1, len(self._back))]
        return float(np.mean(shares)) if shares else 0.0

    def along_stops(self, clip: Array) -> float:
        """Return the local roughness along motion in stops; 0 where nothing can be tracked over three frames.

        Args:
            clip: the film or a method's result, `(T, H, W, 3)` scene-linear.
        """
        levels = [luma_stops(frame) for frame in clip]
        second: List[Float64] = []
        for t in range(1, len(self._back)):
            before = moved(levels[t - 1], self._back[t - 1][0])
            after = moved(levels[t + 1], self._ahead[t][0])
            second.append(tile_levels(before - 2 * levels[t] + after, self._seen(t), TILES, FOLLOWED_SHARE))
        return second_roughness(np.array(second))

    def held_stops(self, film: Array) -> float:
        """Return the roughness of fixed tiles that is due to motion alone, in stops ("light held").

        Each frame is warped to its place one frame before and one frame after, without a change of light, and the three
        are measured in fixed tiles. A deflicker that removes flicker alone cannot get below this value in
        `traces.local_roughness_stops`; one that darkens the frame when bright things enter can. Occluded areas are
        filled by stretching, so clips without flicker have up to a seventh more roughness than this.
        """
        second: List[Float64] = []
        for t in range(1, len(self._back)):
            level = luma_stops(film[t])
            three = (moved(level, self._ahead[t - 1][0]), level, moved(level, self._back[t][0]))
            whole = np.full_like(level, float(self._ahead[t - 1][1].any() and self._back[t][1].any()))
            before, now, after = (tile_levels(each, whole, TILES, FOLLOWED_SHARE) for each in three)
            second.append(before - 2 * now + after)
        return second_roughness(np.array(second))

    def _seen(self, index: int) -> Array:
        """Return `(H, W)` 1 where a frame's pixels can be tracked in both directions."""
        seen: Array = self._back[index - 1][1] * self._ahead[index][1]
        return seen


def _plain(stops: Array) -> npt.NDArray[np.uint8]:
    """Return log2 luma normalised by its local mean and deviation, so that it does not depend on the light."""
    detail = stops - cv2.GaussianBlur(stops, (0, 0), DETAIL_SIGMA_PX)
    spread = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), SPREAD_SIGMA_PX))
    codes = 127.5 + CODES_PER_DEVIATION * detail / np.maximum(spread, FAINT_STOPS)
    return np.asarray(np.clip(codes, 0, 255), np.uint8)


def _step(now: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> Step:
    """Return the motion from a frame to its neighbour; across a cut none of it is trusted."""
    places, seen = step(now, other, AGREE_PX)
    there = moved(other.astype(np.float32), places)
    if _likeness(now, there) < CUT_LIKENESS:
        return places, np.zeros_like(seen)
    return places, seen


def _likeness(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    """Return the correlation of two pictures; 1 where they are flat."""
    a, b = (each - each.mean(dtype=np.float64) for each in (first, second))
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size else 1.0
