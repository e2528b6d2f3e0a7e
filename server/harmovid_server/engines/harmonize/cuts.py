"""Detection of cuts: two neighbouring frames with nothing in common.

A job should be one shot, but users also send whole edits. Averages over one scene do not apply to the next, so the
session starts again at a cut. The small composites are compared by layout (correlation of log luma, which does not
change with exposure or contrast) and by colour (quantiles without exposure).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

COLUMNS, ROWS = 16, 12
"""Size at which the layout is compared: coarse, so that a fast pan does not look like a cut."""
QUANTILES = np.linspace(0.05, 0.95, 10)
DARKEST = 2.0**-8
"""Light is clamped to at least this share of the frame's mean, so that noise in black does not count."""
LEAST_ALIKE, PER_STOP = 0.05, 0.75
"""Two frames belong to different shots if the correlation of their layouts is below `LEAST_ALIKE` plus `PER_STOP` for
each stop of difference between their colours. On the four clips of docs/harmonize.md neighbouring frames stay above by
0.4."""


def signature(picture: Float32) -> Float32:
    """Return a frame's signature for the comparison, `(ROWS * COLUMNS + 3 * quantiles,)`, from its light `(h, w, 3)`.

    First the layout: log luma minus its mean; then the quantiles of log light minus their mean.
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
    return alike < LEAST_ALIKE + PER_STOP * apart


def _correlation(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Return the correlation of two layouts; 1 if one of them is flat, since a fade to black is no cut."""
    size = float(np.sqrt((a * a).sum(dtype=np.float64) * (b * b).sum(dtype=np.float64)))
    return float((a * b).sum(dtype=np.float64)) / size if size > 1e-3 else 1.0
