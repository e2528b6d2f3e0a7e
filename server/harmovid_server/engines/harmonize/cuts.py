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
CELL_BITS = 14
"""The quantiles are found by a histogram of this many bits of the values' own."""
DARKEST = 2.0**-8
"""Light is clamped to at least this share of the frame's mean, so that noise in black does not count."""
LEAST_ALIKE, PER_STOP = 0.05, 0.75
"""Two frames belong to different shots if the correlation of their layouts is below `LEAST_ALIKE` plus `PER_STOP` for
each stop of difference between their colours. On the four clips of docs/harmonize.md neighbouring frames stay above by
0.4."""


def signature(picture: Float32) -> Float32:
    """Return a frame's signature for the comparison, `(ROWS * COLUMNS + 3 * quantiles,)`, from its light `(h, w, 3)`.

    First the layout: log luma minus its mean; then the quantiles of log light minus their mean, from every second pixel
    of every second row.
    """
    small = np.asarray(cv2.resize(picture, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA), np.float64)
    floor = max(float(small.mean()) * DARKEST, 1e-12)
    layout = np.log2(np.maximum(small.mean(axis=2), floor)).ravel()
    planes = cv2.split(np.maximum(picture[::2, ::2], np.float32(floor)))
    colours = np.stack(
        [log_quantiles(np.asarray(plane.ravel(), np.float32)) for plane in planes], axis=1
    ).ravel()
    return np.concatenate([layout - layout.mean(), colours - colours.mean()]).astype(np.float32)


def log_quantiles(values: Float32) -> npt.NDArray[np.float64]:
    """Return `np.quantile(np.log2(values), QUANTILES)` of values above 0 `(n,)`, the same bits many times faster.

    Logarithms keep the order, so only those of the values at the wanted ranks are computed.
    """
    places = QUANTILES * (len(values) - 1)
    below = np.floor(places).astype(np.int64)
    lower, upper = np.log2(_ranked(values, np.stack([below, np.minimum(below + 1, len(values) - 1)])))
    share, step = places - below, upper - lower
    return np.asarray(np.where(share < 0.5, lower + step * share, upper - step * (1 - share)), np.float64)


def _ranked(values: Float32, ranks: npt.NDArray[np.int64]) -> Float32:
    """Return `np.sort(values)[ranks]` of values above 0; only those in the same cells of a histogram as the wanted ones
    are sorted.
    """
    # The bits of floats above 0 are in the order of the floats, and evenly spread for light, which is seen in stops.
    bits = values.view(np.uint32)
    low, high = bits.min(), bits.max()
    shift = max(0, int(high - low).bit_length() - CELL_BITS)
    cells = ((bits - low) >> np.uint32(shift)).astype(np.intp)
    counts = np.bincount(cells)
    starts = np.cumsum(counts) - counts
    homes = np.searchsorted(starts, ranks, side="right") - 1
    wanted = np.zeros(len(counts), np.bool_)
    wanted[homes] = True
    kept = np.sort(values[wanted[cells]])
    skipped = np.cumsum(np.where(wanted, 0, counts))
    return np.asarray(kept[ranks - skipped[homes]])


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
