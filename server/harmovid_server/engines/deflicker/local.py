"""Local flicker: what is left after the joint fit, as smooth gains over the picture, one small map per frame.

The same idea as `solve.py` with other unknowns: `rows x columns x 3` stops per frame, read bilinearly at the
samples' places. Solved by conjugate gradients, since each sample touches only four cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, List, Tuple

import numpy as np
import numpy.typing as npt

from harmovid_server.engines.deflicker import rows_numba
from harmovid_server.engines.deflicker.solve import Array64, Link, robust_weight, terms, without_slow_part

ROWS, COLUMNS = 9, 16
ROUNDS = 3
STEPS = 15
# Neighbouring cells agree to about this (stops); a cell without samples takes its neighbours' gain.
SMOOTH_STOPS = 0.1
RIDGE_STOPS = 0.5
# A map has more to say than one curve: its samples count as this many times more independent ones.
SHARPER = 10.0

Index = npt.NDArray[np.int64]
Corners = Tuple[Index, Array64]


def corners(at: np.ndarray[Tuple[int, int], np.dtype[np.float32]], frame: int) -> Corners:
    """Return `(n, 4)` cell numbers and bilinear weights for places `(n, 2)` in 0..1 of frame `frame`."""
    x = np.clip(at[:, 0].astype(np.float64) * COLUMNS - 0.5, 0, COLUMNS - 1)
    y = np.clip(at[:, 1].astype(np.float64) * ROWS - 0.5, 0, ROWS - 1)
    x0, y0 = np.minimum(x.astype(np.int64), COLUMNS - 2), np.minimum(y.astype(np.int64), ROWS - 2)
    fx, fy = x - x0, y - y0
    first = frame * ROWS * COLUMNS + y0 * COLUMNS + x0
    cells = np.stack([first, first + 1, first + COLUMNS, first + COLUMNS + 1], axis=1)
    shares = np.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], axis=1)
    return cells, shares


@dataclass(frozen=True)
class Rows:
    """The samples of all links as rows of one sparse system: eight cells of two maps, and what they should give.

    Attributes:
        cells, shares: `(n, 8)` cell numbers and signed bilinear weights; wanted: `(n, 3)` stops;
        starts: where each link's samples begin, and the end; trust: `(n,)` the samples' own weights.
    """

    cells: Index
    shares: Array64
    wanted: Array64
    trust: Array64
    starts: List[int]

    def gather(self, maps: Array64) -> Array64:
        """Return `(n, 3)`: what `maps` give to every row."""
        read: Array64 = rows_numba.gather(self.cells, self.shares, maps.reshape(-1, 3))
        return read

    def scatter(self, values: Array64, count: int) -> Array64:
        """Return `(count, ROWS, COLUMNS, 3)`: the transpose of `gather`."""
        flat: Array64 = rows_numba.scatter(self.cells, self.shares, values, count * ROWS * COLUMNS)
        return flat.reshape(count, ROWS, COLUMNS, 3)

    def diagonal(self, weights: Array64, count: int) -> Array64:
        """Return `(count, ROWS, COLUMNS, 1)`: how much the samples alone say of each cell."""
        total = count * ROWS * COLUMNS
        sums = np.bincount(self.cells.ravel(), (self.shares**2 * weights).ravel(), total)
        return sums.astype(np.float64).reshape(count, ROWS, COLUMNS, 1)

    def weights(self, left: Array64) -> Array64:
        """Return `(n, 1)` robust weights for the rows' residuals, each link at its own scale."""
        parts = [robust_weight(left[a:b], self.trust[a:b]) for a, b in zip(self.starts, self.starts[1:])]
        return SHARPER * np.concatenate(parts)[:, None]


def solve_local(links: List[Link], curves: Array64, radius_frames: float) -> Array64:
    """Return `(count, ROWS, COLUMNS, 3)` stops that remove what `curves` (`(count, 10, 3)`) leave."""
    count = len(curves)
    rows = _rows([link for link in links if link.pairs.trust > 0], curves)
    maps = np.zeros((count, ROWS, COLUMNS, 3))
    if not len(rows.cells):
        return maps
    for round_ in range(ROUNDS):
        # The first round trusts all samples alike: what flickers most would look like a misfit.
        left = rows.wanted - rows.gather(maps) if round_ else np.zeros_like(rows.wanted)
        weights = rows.weights(left)

        def normal(guess: Array64, weights: Array64 = weights) -> Array64:
            data = rows.scatter(rows.gather(guess) * weights, count)
            return data + _rough(guess) / SMOOTH_STOPS**2 + guess / RIDGE_STOPS**2

        size = rows.diagonal(weights, count) + 4 / SMOOTH_STOPS**2 + 1 / RIDGE_STOPS**2
        maps = _conjugate_gradients(normal, rows.scatter(rows.wanted * weights, count), maps, size)
    return without_slow_part(maps, radius_frames)


def _rows(links: List[Link], curves: Array64) -> Rows:
    """Return the rows of all links that have places, with what the curves leave as the wanted stops."""
    cells, shares, wanted, trust, starts = (
        [np.zeros((0, 8), np.int64)],
        [np.zeros((0, 8))],
        [np.zeros((0, 3))],
        [],
        [0],
    )
    for link in links:
        pairs, t, s = link.pairs, link.later, link.earlier
        here, there = corners(pairs.at, t), corners(pairs.at_there, s)
        cells.append(np.concatenate([here[0], there[0]], axis=1))
        shares.append(np.concatenate([here[1], -there[1]], axis=1))
        wanted.append(
            pairs.there + terms(pairs.there) @ curves[s] - pairs.here - terms(pairs.here) @ curves[t]
        )
        trust.append(pairs.weight)
        starts.append(starts[-1] + len(pairs.weight))
    weight = np.concatenate(trust) if trust else np.zeros(0)
    return Rows(np.concatenate(cells), np.concatenate(shares), np.concatenate(wanted), weight, starts)


def _rough(maps: Array64) -> Array64:
    """Return the gradient of the squared differences between neighbouring cells."""
    result = np.zeros_like(maps)
    for axis in (1, 2):
        step = np.diff(maps, axis=axis)
        before = [slice(None)] * 4
        after = [slice(None)] * 4
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        result[tuple(before)] -= step
        result[tuple(after)] += step
    return result


def _conjugate_gradients(
    normal: Callable[[Array64], Array64], right: Array64, found: Array64, size: Array64
) -> Array64:
    """Return `STEPS` steps of conjugate gradients from `found`; dividing by `size` evens out unequal cells."""
    found = found.copy()
    left = right - normal(found)
    even = left / size
    direction = even.copy()
    power = float((left * even).sum())
    for _ in range(STEPS):
        if power < 1e-12:
            break
        pushed = normal(direction)
        step = power / float((direction * pushed).sum())
        found += step * direction
        left -= step * pushed
        even = left / size
        before, power = power, float((left * even).sum())
        direction = even + (power / before) * direction
    return found
