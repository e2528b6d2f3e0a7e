"""Means over clips with bootstrap intervals, and the same of the difference between two methods on the same clips."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

DRAWS = 2000
LEVEL = 95.0
"""Per cent of the bootstrap samples within an interval."""


def interval(values: npt.ArrayLike, seed: int = 0) -> tuple[float, float, float]:
    """Return the mean of one value per clip and the ends of its percentile bootstrap interval.

    For two methods on the same clips give the differences: the interval is then a paired one.
    """
    given = np.asarray(values, np.float64)
    rows = np.random.default_rng(seed).integers(len(given), size=(DRAWS, len(given)))
    means = given[rows].mean(1)
    low, high = np.percentile(means, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(given.mean()), float(low), float(high)
