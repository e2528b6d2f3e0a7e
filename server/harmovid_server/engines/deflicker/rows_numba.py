"""The two inner loops of the local fit, compiled: maps to samples and back. `local.Rows` holds their meaning."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Array64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


@numba.njit(cache=True)  # type: ignore[misc]
def gather(cells: Index, shares: Array64, maps: Array64) -> Array64:
    """Return `(n, 3)`: the cells `(n, 8)` of `maps` `(cells, 3)`, weighted by `shares` and summed."""
    result = np.zeros((cells.shape[0], 3))
    for i in range(cells.shape[0]):
        for k in range(8):
            cell, share = cells[i, k], shares[i, k]
            for c in range(3):
                result[i, c] += share * maps[cell, c]
    return result


@numba.njit(cache=True)  # type: ignore[misc]
def scatter(cells: Index, shares: Array64, values: Array64, total: int) -> Array64:
    """Return `(total, 3)`: the transpose of `gather`."""
    result = np.zeros((total, 3))
    for i in range(cells.shape[0]):
        for k in range(8):
            cell, share = cells[i, k], shares[i, k]
            for c in range(3):
                result[cell, c] += share * values[i, c]
    return result
