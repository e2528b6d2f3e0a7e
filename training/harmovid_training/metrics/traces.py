"""Steadiness of a clip over time: the roughness of its level, of the levels of tiles, and errors of its rows.

A trace is a level in stops (mean log2 light) over time. Its **roughness** is the root mean square of the second
difference divided by sqrt(6): white flicker of deviation s gives s, a linear fade of any strength gives 0. Clips are
`(T, H, W, 3)` float32 scene-linear, masks `(T, H, W)` float32 in 0..1 (None: the whole frame).
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

import cv2
import numpy as np
import numpy.typing as npt

from harmovid_training.metrics.degrade import LUMA, MID_GREY, Array

Float64 = npt.NDArray[np.float64]

TILES = (6, 8)
"""Rows and columns of the tiles in which local flicker is measured."""
LEVEL_FLOOR = 2.0**-9
"""Smaller values are raised to this: 6.5 stops below grey, where film grain starts to dominate the logarithm."""
FEWEST_SHARE = 0.05
"""A tile that the mask covers by less than this has no level in that frame."""
FEWEST_PIXELS = 4.0
"""A foreground of fewer has no level."""
WHITE_SECOND_DIFFERENCE = 6.0
"""Variance of the second difference of white noise of variance 1: 1 + 4 + 1."""


def levels(clip: Array, mask: Optional[Array] = None, tiles: Tuple[int, int] = TILES) -> Float64:
    """Return the mean log2 luma of every tile over time, `(T, rows, columns)`; NaN where a tile is not covered."""
    weight = np.ones(clip.shape[:3], np.float32) if mask is None else mask
    traces = np.full((len(clip), *tiles), np.nan)
    for t, frame in enumerate(clip):
        traces[t] = tile_levels(luma_stops(frame), weight[t], tiles, FEWEST_SHARE)
    return traces


def luma_stops(frame: Array) -> Array:
    """Return a frame's log2 luma `(H, W)`, in stops from middle grey."""
    stops: Array = np.log2(np.maximum(frame @ LUMA, LEVEL_FLOOR) / MID_GREY)
    return stops


def tile_levels(values: Array, weight: Array, tiles: Tuple[int, int], fewest_share: float) -> Float64:
    """Return the weighted means over equal tiles, `(rows, columns)`; NaN where the weight's mean is below a share."""
    share = _tile_means(weight, tiles)
    with np.errstate(invalid="ignore", divide="ignore"):
        level = _tile_means(values * weight, tiles) / share
    return np.where(share >= fewest_share, level, np.nan)


def foreground_level(clip: Array, mask: Array) -> Float64:
    """Return the mean log2 luma inside the mask over time, `(T,)`; NaN where the mask is all but empty.

    Works for any size of foreground, where `levels` needs a minimum share of a tile.
    """
    course = np.full(len(clip), np.nan)
    for t, frame in enumerate(clip):
        weight = float(mask[t].sum(dtype=np.float64))
        if weight >= FEWEST_PIXELS:
            course[t] = float((luma_stops(frame) * mask[t]).sum(dtype=np.float64)) / weight
    return course


def roughness(traces: npt.NDArray[Any]) -> float:
    """Return the roughness in stops of traces `(T, ...)`, NaN where unknown; 0 without three levels in a row."""
    return second_roughness(np.diff(traces, n=2, axis=0))


def second_roughness(second: npt.NDArray[Any]) -> float:
    """Return the roughness in stops of second differences in stops; 0 where all are NaN."""
    known = second[np.isfinite(second)]
    return float(np.sqrt((known**2).mean() / WHITE_SECOND_DIFFERENCE)) if known.size else 0.0


def roughness_stops(clip: Array, mask: Optional[Array] = None) -> float:
    """Return the roughness of the clip's level as a whole, in stops."""
    return roughness(levels(clip, mask, (1, 1)))


def local_roughness_stops(clip: Array, mask: Optional[Array] = None) -> float:
    """Return the roughness over all tiles, in stops; it also shows flicker of parts of the frame."""
    return roughness(levels(clip, mask, TILES))


def row_profile_stops(result: Array, truth: Array) -> float:
    """Return the error of whole rows, as bands leave it: the RMS over rows and frames, in stops.

    A row's value is the mean over its pixels of log2 result over truth, luma, bright pixels counting more (as
    `quality.stops_rmse`); each frame's own mean is taken out, so that flicker of the whole frame does not count.
    """
    change = np.empty(result.shape[:2])
    for t, (frame, clean) in enumerate(zip(result, truth)):
        light = np.maximum(clean @ LUMA, LEVEL_FLOOR)
        stops = np.log2(np.maximum(frame @ LUMA, LEVEL_FLOOR)) - np.log2(light)
        weight = np.cbrt(light)
        change[t] = (stops * weight).sum(1) / weight.sum(1)
    change -= change.mean(1, keepdims=True)
    return float(np.sqrt((change**2).mean()))


def _tile_means(plane: Array, tiles: Tuple[int, int]) -> Float64:
    """Return the means over equal tiles, `(rows, columns)`."""
    means = cv2.resize(plane.astype(np.float32), tiles[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(means, np.float64).reshape(tiles)
