"""Local flicker: the residual of the joint fit as smooth gains over the picture, one small map per frame.

    gains = solve_local(links, curves, 12.0, 0.1)     # moving shadows, hot spots

The same method as `joint_fit.py` with other unknowns: `PATCHES` gains per channel and frame, interpolated bilinearly at
the samples' positions. Solved by conjugate gradients, since each sample depends on only four cells.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Callable, List, Optional, Tuple

import numpy as np
import numpy.typing as npt

from harmovid_server.engines.deflicker import kernels
from harmovid_server.engines.deflicker.colour_terms import Array64, terms
from harmovid_server.engines.deflicker.motion import Link, thinned

PATCHES = (9, 16)
"""Rows and columns of the cells for which gains are found."""
SMOOTH_STOPS = 0.1
"""Expected difference of neighbouring cells."""
ROUNDS, STEPS = 3, 15
"""Rounds of weights, and steps of conjugate gradients in each."""
RIDGE_STOPS = 0.5
# Errors of neighbouring samples correlate: this share of the samples counts as independent.
INDEPENDENT_SHARE = 0.06
# A map has more parameters than a curve: its samples count as this many times more independent ones.
SHARPER = 10.0
SMALLEST_SCALE_STOPS = 0.02
HELD_OUT_GAP = 2
"""Links over so many frames are left out of the first fit, and say how much it explains: a change of light belongs to a
frame and explains differences over any gap, while errors of lost motion differ from link to link."""
EXACT = 1e-4
"""Share of the error at which conjugate gradients stop."""


_SECOND = ThreadPoolExecutor(1, thread_name_prefix="deflicker-places")


@dataclass(frozen=True)
class LocalGains:
    """The result: `maps` `(count, rows, columns, 3)` in stops, and the share 0..1 of the samples' differences that they
    explain. Differences with another cause (lost motion, reflections) are not explained by a map.
    """

    maps: Array64
    explained: float


Cells = npt.NDArray[np.int32]


def slow_part(count: int, radius_frames: float) -> Array64:
    """Return `(count, count)`: the operator that fits a straight line around each frame, with Gaussian weights."""
    at = np.arange(count, dtype=np.float64)
    gap = at[None, :] - at[:, None]
    near = np.exp(-0.5 * (gap / radius_frames) ** 2)
    s0, s1, s2 = (near * gap**k for k in range(3))
    m0, m1, m2 = s0.sum(1), s1.sum(1), s2.sum(1)
    # The value of the weighted regression at the middle; the ridge keeps shots of one or two frames solvable.
    spread = m0 * m2 - m1**2 + 1e-9 * m0**2
    line: Array64 = (m2[:, None] * s0 - m1[:, None] * s1) / spread[:, None] if count > 1 else s0 / m0[:, None]
    return line


def _robust(residual: Array64, weight: Array64) -> Array64:
    """Return `weight` times the Geman-McClure factor for `(n, 3)` residuals, with a scale estimated from them."""
    size = np.sqrt((residual**2).mean(axis=1))
    scale = max(SMALLEST_SCALE_STOPS, 1.5 * float(weighted_median(size, weight)))
    factor: Array64 = weight / (1.0 + (size / scale) ** 2) ** 2
    independent = INDEPENDENT_SHARE * len(weight)
    return factor * (independent / max(float(weight.sum()), 1e-12)) / scale**2


@dataclass(frozen=True)
class Samples:
    """The samples of all links, one link after the other.

    Attributes:
        later, earlier: `(n,)` int32, both frames by index; at, earlier_at: `(n, 2)`, positions in them.
        wanted: `(n, 3)` stops by which they differ after the curves.
        trust: `(n,)` the samples' own weights; starts: where each link's samples begin, and the end.
    """

    later: Cells
    earlier: Cells
    at: npt.NDArray[np.float32]
    earlier_at: npt.NDArray[np.float32]
    wanted: Array64
    trust: Array64
    starts: List[int]


def joined(links: List[Link], curves: Array64, every: int = 1) -> Samples:
    """Return one in `every` samples of at least one link, with the differences that `curves` `(count, 10, 3)` leave."""
    kept = [thinned(link.samples, len(link.samples.weight) // every) for link in links]
    counts = [len(samples.weight) for samples in kept]
    later, earlier = (
        np.repeat(np.array([getattr(link, end) for link in links], np.int32), counts)
        for end in ("later", "earlier")
    )
    at, earlier_at, trust = (
        np.concatenate([getattr(samples, name) for samples in kept])
        for name in ("later_at", "earlier_at", "weight")
    )
    wanted = np.concatenate(
        [differences(replace(link, samples=own), curves) for link, own in zip(links, kept)]
    )
    return Samples(later, earlier, at, earlier_at, wanted, trust, [0, *np.cumsum(counts).tolist()])


def differences(link: Link, curves: Array64) -> Array64:
    """Return `(n, 3)`: earlier minus later colours in stops, each after its frame's curve, of `(count, 10, 3)`."""
    later, earlier = (
        colours + terms(colours) @ curves[frame]
        for colours, frame in ((link.samples.later, link.later), (link.samples.earlier, link.earlier))
    )
    difference: Array64 = earlier - later
    return difference


def corners(at: npt.NDArray[np.float32], frame: Cells) -> Tuple[Cells, Array64]:
    """Return the four cells `(n, 4)` around each position `(n, 2)` in 0..1 of a frame `(n,)`, and their shares."""
    rows, columns = PATCHES
    x = np.clip(at[:, 0] * np.float32(columns) - np.float32(0.5), 0, columns - 1)
    y = np.clip(at[:, 1] * np.float32(rows) - np.float32(0.5), 0, rows - 1)
    x0 = np.minimum(x.astype(np.int32), columns - 2)
    y0 = np.minimum(y.astype(np.int32), rows - 2)
    first = frame * (rows * columns) + y0 * columns + x0
    right, down = x.astype(np.float64) - x0, y.astype(np.float64) - y0
    shares = [(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down]
    cells = first[:, None] + np.array([0, 1, columns, columns + 1])
    return cells.astype(np.int32), np.stack(shares, axis=1)


@dataclass(frozen=True)
class Rows(Samples):
    """The samples as rows of one sparse system: four cells in each of two maps, and the target.

    Attributes:
        cells, shares: `(n, 8)` of both frames' maps; the shares of the earlier frame are negative.
    """

    cells: Cells
    shares: Array64

    def gather(self, maps: Array64) -> Array64:
        """Return `(n, 3)`: the product of the system with `maps`."""
        read: Array64 = kernels.gather(self.cells, self.shares, maps.reshape(-1, 3))
        return read

    def scatter(self, values: Array64, count: int) -> Array64:
        """Return `(count, rows, columns, 3)`: the transpose of `gather`."""
        return self._summed([self.shares * one[:, None] for one in values.T], count)

    def push(self, maps: Array64, weights: Array64) -> Array64:
        """Return `scatter(gather(maps) * weights)`, `weights` being `(n, 1)`; on two cores."""
        flat, half = maps.reshape(-1, 3), len(self.cells) // 2
        parts = (
            (self.cells[part], self.shares[part], weights[part, 0], flat)
            for part in (slice(half), slice(half, None))
        )
        other = _SECOND.submit(kernels.push, *next(parts))
        pushed: Array64 = (kernels.push(*next(parts)) + other.result()).reshape(maps.shape)
        return pushed

    def diagonal(self, weights: Array64, count: int) -> Array64:
        """Return `(count, rows, columns, 1)`: the diagonal of the system without the prior."""
        return self._summed([self.shares**2 * weights], count)

    def _summed(self, values: List[Array64], count: int) -> Array64:
        """Return `(count, rows, columns, k)`: the sums over each cell of `k` values `(n, 8)`."""
        shape = (count, *PATCHES)
        cells, total = self.cells.ravel(), int(np.prod(shape))
        return np.stack([np.bincount(cells, one.ravel(), total).reshape(shape) for one in values], axis=-1)

    def explained(self, maps: Array64, among: npt.NDArray[np.bool_]) -> float:
        """Return the share of the brightness differences of some rows (default all) that `maps` explain."""
        trust = self.trust if not among.any() else self.trust * among
        before, after = (np.abs(one.mean(axis=1)) for one in (self.wanted, self.wanted - self.gather(maps)))
        total = float((trust * before).sum())
        return max(0.0, 1.0 - float((trust * after).sum()) / total) if total > 0 else 0.0

    def weights(self, left: Array64) -> Array64:
        """Return `(n, 1)` robust weights for the rows' residuals, each link at its own scale."""
        parts = [_robust(left[a:b], self.trust[a:b]) for a, b in zip(self.starts, self.starts[1:])]
        return SHARPER * np.concatenate(parts)[:, None]


def solve_local(links: List[Link], curves: Array64, radius_frames: float, least: float) -> LocalGains:
    """Return the stops that remove what `curves` (`(count, 10, 3)` over `colour_terms.terms`) leave.

    Args:
        links: matched pairs of frames, in any order.
        curves: the window's corrections so far.
        radius_frames: changes slower than about this are kept.
        least: share of the differences that must be explained to be useful; far below it only one round is made.
    """
    count = len(curves)
    maps = np.zeros((count, *PATCHES, 3))
    if not links:
        return LocalGains(maps, 0.0)
    rows = rows_of(links, curves)
    stiff, slow = 1 / SMOOTH_STOPS**2, slow_part(count, radius_frames)
    held_out, explained, fast = rows.later - rows.earlier == HELD_OUT_GAP, 0.0, maps
    for round_ in range(ROUNDS):
        # The first round weights all samples alike, because the strongest flicker would look like outliers.
        left = rows.wanted - rows.gather(maps) if round_ else np.zeros_like(rows.wanted)
        weights = rows.weights(left)
        if not round_:
            weights[held_out] = 0

        def normal(guess: Array64, weights: Array64 = weights) -> Array64:
            return rows.push(guess, weights) + _rough(guess) * stiff + guess / RIDGE_STOPS**2

        size = rows.diagonal(weights, count) + 4 * stiff + 1 / RIDGE_STOPS**2
        right = rows.scatter(rows.wanted * weights, count)
        maps = conjugate_gradients(normal, right, partial(np.multiply, 1 / size), maps, STEPS)
        fast = maps - np.tensordot(slow, maps, 1)
        if not round_:
            explained = rows.explained(fast, held_out)
        if explained < least / 2:  # better weights would not double it
            break
    return LocalGains(fast, explained)


def rows_of(links: List[Link], curves: Array64) -> Rows:
    """Return the rows of all links, with the residual of the curves as the target."""
    samples = joined(links, curves)
    (cells, shares), (earlier_cells, earlier_shares) = (
        corners(at, frame)
        for at, frame in ((samples.at, samples.later), (samples.earlier_at, samples.earlier))
    )
    both = np.concatenate([cells, earlier_cells], axis=1)
    return Rows(**vars(samples), cells=both, shares=np.concatenate([shares, -earlier_shares], axis=1))


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


def conjugate_gradients(
    normal: Callable[[Array64], Array64],
    right: Array64,
    even: Callable[[Array64], Array64],
    found: Optional[Array64] = None,
    steps: int = 100,
) -> Array64:
    """Return the solution of `normal(x) = right` after at most `steps` steps from `found` (0).

    Args:
        normal: the system, symmetric and positive.
        right: its right side.
        even: about the inverse of the system.
        found: where to start.
        steps: fewer are made once the error, as `even` measures it, is below a millionth of what it was.
    """
    found = np.zeros_like(right) if found is None else found.copy()
    left = right - normal(found) if found.any() else right.copy()
    direction = evened = even(left)
    power = first = float((left * evened).sum())
    for _ in range(steps):
        if power <= EXACT**2 * first:
            break
        pushed = normal(direction)
        step = power / float((direction * pushed).sum())
        found += step * direction
        left -= step * pushed
        evened = even(left)
        before, power = power, float((left * evened).sum())
        direction = evened + (power / before) * direction
    return found


def weighted_median(values: Array64, weight: Array64) -> Array64:
    """Return the weighted median over the last axis."""
    order = np.argsort(values, axis=-1)
    running = np.cumsum(np.take_along_axis(weight, order, -1), axis=-1)
    middle = np.minimum((running < running[..., -1:] / 2).sum(axis=-1, keepdims=True), values.shape[-1] - 1)
    medians: Array64 = np.take_along_axis(values, np.take_along_axis(order, middle, -1), -1)[..., 0]
    return medians
