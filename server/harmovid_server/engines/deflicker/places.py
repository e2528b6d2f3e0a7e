"""Flicker with a place: what is left after the joint fit, as smooth gains over the picture, one small map per frame.

    maps = solve_places(matched, curves, 12.0, PATCHES, 0.1)     # moving shadows, hot spots
    rows = solve_places(matched, curves, 12.0, BANDS, 0.3)      # rolling bands: a profile over the rows

The same idea as `solve.py` with other unknowns: `rows x columns x 3` stops per frame, read bilinearly at the
samples' places. Solved by conjugate gradients, since each sample touches only four cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, List, Tuple

import numpy as np
import numpy.typing as npt

from harmovid_server.engines.deflicker import rows_numba
from harmovid_server.engines.deflicker.basis import Array64, terms
from harmovid_server.engines.deflicker.links import weighted_median
from harmovid_server.engines.deflicker.match import Pairs, thinned

ROUNDS = 3
RIDGE_STOPS = 0.5
# Neighbouring samples of a pair err together: this share of them counts as independent.
INDEPENDENT_SHARE = 0.06
# A map has more to say than one curve: its samples count as this many times more independent ones.
SHARPER = 10.0
SMALLEST_SCALE_STOPS = 0.02


@dataclass(frozen=True)
class Lattice:
    """Where gains are found.

    Attributes:
        rows, columns: cells down and across.
        smooth_stops: how far neighbouring cells agree.
        steps: of conjugate gradients, per round of weights.
        every: of the samples, each so-manieth is used: few unknowns need few.
    """

    rows: int
    columns: int
    smooth_stops: float
    steps: int
    every: int


PATCHES = Lattice(9, 16, 0.1, steps=15, every=1)
BANDS = Lattice(96, 1, 0.1, steps=50, every=4)


@dataclass(frozen=True)
class Places:
    """What was found: `maps` `(count, rows, columns, 3)` in stops, and the share 0..1 of the samples' differences that
    they explain. Differences that have another cause (motion that was lost, reflections) fit no map of light.
    """

    maps: Array64
    explained: float


@dataclass(frozen=True)
class Matched:
    """Two frames of a window, by index, and what was matched between them; `later > earlier`."""

    later: int
    earlier: int
    pairs: Pairs


Index = npt.NDArray[np.int64]
Corners = Tuple[Index, Array64]


def slow_part(count: int, radius_frames: float) -> Array64:
    """Return `(count, count)`: the operator that fits a straight line around each frame (Gaussian weights)."""
    at = np.arange(count, dtype=np.float64)
    gap = at[None, :] - at[:, None]
    near = np.exp(-0.5 * (gap / radius_frames) ** 2)
    s0, s1, s2 = (near * gap**k for k in range(3))
    m0, m1, m2 = s0.sum(1), s1.sum(1), s2.sum(1)
    # Weighted regression's value at the middle; the ridge keeps one- and two-frame shots solvable.
    spread = m0 * m2 - m1**2 + 1e-9 * m0**2
    line: Array64 = (m2[:, None] * s0 - m1[:, None] * s1) / spread[:, None] if count > 1 else s0 / m0[:, None]
    return line


def robust_weight(residual: Array64, weight: Array64) -> Array64:
    """Return `weight` times Geman and McClure's factor for `(n, 3)` residuals, at a scale found from them."""
    size = np.sqrt((residual**2).mean(axis=1))
    scale = max(SMALLEST_SCALE_STOPS, 1.5 * weighted_median(size, weight))
    factor: Array64 = weight / (1.0 + (size / scale) ** 2) ** 2
    independent = INDEPENDENT_SHARE * len(weight)
    return factor * (independent / max(float(weight.sum()), 1e-12)) / scale**2


def corners(at: npt.NDArray[np.float32], frame: int, lattice: Lattice) -> Corners:
    """Return `(n, 4)` cell numbers and bilinear weights for places `(n, 2)` in 0..1 of frame `frame`."""
    rows, columns = lattice.rows, lattice.columns
    x = np.clip(at[:, 0].astype(np.float64) * columns - 0.5, 0, columns - 1)
    y = np.clip(at[:, 1].astype(np.float64) * rows - 0.5, 0, rows - 1)
    # A lattice of one column has no neighbour to the right: both shares go to the same cell.
    x0, right = np.minimum(x.astype(np.int64), max(columns - 2, 0)), min(columns - 1, 1)
    y0 = np.minimum(y.astype(np.int64), rows - 2)
    fx, fy = x - x0, y - y0
    first = frame * rows * columns + y0 * columns + x0
    cells = np.stack([first, first + right, first + columns, first + columns + right], axis=1)
    shares = np.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], axis=1)
    return cells, shares


def read(maps: Array64, at: npt.NDArray[np.float32], frame: int, lattice: Lattice) -> Array64:
    """Return `(n, 3)`: the stops that `maps` have at places `(n, 2)` of a frame."""
    cells, shares = corners(at, frame, lattice)
    stops: Array64 = (maps.reshape(-1, 3)[cells] * shares[..., None]).sum(axis=1)
    return stops


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
    lattice: Lattice

    def gather(self, maps: Array64) -> Array64:
        """Return `(n, 3)`: what `maps` give to every row."""
        read: Array64 = rows_numba.gather(self.cells, self.shares, maps.reshape(-1, 3))
        return read

    def scatter(self, values: Array64, count: int) -> Array64:
        """Return `(count, rows, columns, 3)`: the transpose of `gather`."""
        flat: Array64 = rows_numba.scatter(self.cells, self.shares, values, self._cells(count))
        return flat.reshape(count, self.lattice.rows, self.lattice.columns, 3)

    def diagonal(self, weights: Array64, count: int) -> Array64:
        """Return `(count, rows, columns, 1)`: how much the samples alone say of each cell."""
        sums = np.bincount(self.cells.ravel(), (self.shares**2 * weights).ravel(), self._cells(count))
        return sums.astype(np.float64).reshape(count, self.lattice.rows, self.lattice.columns, 1)

    def _cells(self, count: int) -> int:
        return count * self.lattice.rows * self.lattice.columns

    def explained(self, maps: Array64) -> float:
        """Return the share of the rows' brightness differences that `maps` take away."""
        before, after = (np.abs(one.mean(axis=1)) for one in (self.wanted, self.wanted - self.gather(maps)))
        total = float((self.trust * before).sum())
        return max(0.0, 1.0 - float((self.trust * after).sum()) / total) if total > 0 else 0.0

    def weights(self, left: Array64) -> Array64:
        """Return `(n, 1)` robust weights for the rows' residuals, each link at its own scale."""
        parts = [robust_weight(left[a:b], self.trust[a:b]) for a, b in zip(self.starts, self.starts[1:])]
        return SHARPER * np.concatenate(parts)[:, None]


def solve_places(
    links: List[Matched], curves: Array64, radius_frames: float, lattice: Lattice, least: float
) -> Places:
    """Return the stops that remove what `curves` (`(count, 10, 3)` over `basis.terms`) leave.

    Args:
        links: matched pairs of frames, in any order.
        curves: the window's corrections so far.
        radius_frames: what changes more slowly than about this is kept.
        lattice: where gains are found.
        least: share of the differences that must be explained to be of use; far below it the first round is the last.
    """
    count = len(curves)
    rows = _rows([link for link in links if link.pairs.trust > 0], curves, lattice)
    maps = np.zeros((count, lattice.rows, lattice.columns, 3))
    if not len(rows.cells):
        return Places(maps, 0.0)
    stiff, slow = 1 / lattice.smooth_stops**2, slow_part(count, radius_frames)
    for round_ in range(ROUNDS):
        # The first round trusts all samples alike: what flickers most would look like a misfit.
        left = rows.wanted - rows.gather(maps) if round_ else np.zeros_like(rows.wanted)
        weights = rows.weights(left)

        def normal(guess: Array64, weights: Array64 = weights) -> Array64:
            data = rows.scatter(rows.gather(guess) * weights, count)
            return data + _rough(guess) * stiff + guess / RIDGE_STOPS**2

        size = rows.diagonal(weights, count) + 4 * stiff + 1 / RIDGE_STOPS**2
        right = rows.scatter(rows.wanted * weights, count)
        maps = _conjugate_gradients(normal, right, maps, size, lattice.steps)
        fast: Array64 = maps - np.tensordot(slow, maps, 1)
        explained = rows.explained(fast)
        if explained < least / 2:  # better weights do not double it
            break
    return Places(fast, explained)


def _rows(links: List[Matched], curves: Array64, lattice: Lattice) -> Rows:
    """Return the rows of all links that have places, with what the curves leave as the wanted stops."""
    cells, shares, wanted, trust, starts = (
        [np.zeros((0, 8), np.int64)],
        [np.zeros((0, 8))],
        [np.zeros((0, 3))],
        [],
        [0],
    )
    for link in links:
        t, s, every = link.later, link.earlier, lattice.every
        pairs = thinned(link.pairs, len(link.pairs.here) // every)
        here, there = corners(pairs.at, t, lattice), corners(pairs.at_there, s, lattice)
        cells.append(np.concatenate([here[0], there[0]], axis=1))
        shares.append(np.concatenate([here[1], -there[1]], axis=1))
        wanted.append(
            pairs.there + terms(pairs.there) @ curves[s] - pairs.here - terms(pairs.here) @ curves[t]
        )
        trust.append(pairs.weight)
        starts.append(starts[-1] + len(pairs.weight))
    weight = np.concatenate(trust) if trust else np.zeros(0)
    return Rows(
        np.concatenate(cells), np.concatenate(shares), np.concatenate(wanted), weight, starts, lattice
    )


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
    normal: Callable[[Array64], Array64], right: Array64, found: Array64, size: Array64, steps: int
) -> Array64:
    """Return `steps` steps of conjugate gradients from `found`; dividing by `size` evens out unequal cells."""
    found = found.copy()
    left = right - normal(found)
    even = left / size
    direction = even.copy()
    power = float((left * even).sum())
    for _ in range(steps):
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
