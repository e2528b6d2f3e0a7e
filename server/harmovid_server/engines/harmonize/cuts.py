"""Where a shot ends: two frames that follow each other and have nothing in common.

A job is meant to be one shot, but edits are sent whole. What was averaged over one scene says nothing of the next, so
the session begins anew at a cut. Compared are the small composites: how their light is laid out (correlation of log
luma, which no change of exposure or contrast touches), and what colours there are (quantiles, exposure taken out).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

COLUMNS, ROWS = 16, 12
"""The layout is compared this coarsely, so that a fast pan does not look like a cut."""
QUANTILES = np.linspace(0.05, 0.95, 10)
DARKEST = 2.0**-8
"""Light counts from here up, in shares of the frame's mean: black noise is no layout."""
ALIEN, PER_STOP = 0.05, 0.75
"""Two frames are of two shots where the correlation of their layouts is below `ALIEN`, or below that and `PER_STOP` for
each stop that their colours lie apart. On the four clips of docs/harmonize.md neighbouring frames stay above by 0.4."""


def signature(picture: Float32) -> Float32:
    """Return what a frame is compared by, `(ROWS * COLUMNS + 3 * quantiles,)`, of its light `(h, w, 3)`.

    The layout comes first: log luma less its mean; then the quantiles of log light less their mean.
    """
    small = np.asarray(cv2.resize(picture, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA), np.float64)
    floor = max(float(small.mean()) * DARKEST, 1e-12)
    layout = np.log2(np.maximum(small.mean(axis=2), floor)).ravel()
    colours = np.quantile(np.log2(np.maximum(picture, floor)).reshape(-1, 3), QUANTILES, axis=0).ravel()
    return np.concatenate([layout - layout.mean(), colours - colours.mean()]).astype(np.float32)


def is_cut(before: Float32, now: Float32) -> bool:
    """Whether two frames' signatures are of different shots."""
    cells = ROWS * COLUMNS
    alike = _correlation(before[:cells], now[:cells])
    apart = float(np.abs(before[cells:] - now[cells:]).mean())
    return alike < ALIEN + PER_STOP * apart


def _correlation(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Return the correlation of two layouts; 1 where one of them is flat: a fade to black is no cut."""
    size = float(np.sqrt((a * a).sum(dtype=np.float64) * (b * b).sum(dtype=np.float64)))
    return float((a * b).sum(dtype=np.float64)) / size if size > 1e-3 else 1.0
