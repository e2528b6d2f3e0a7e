"""The joint fit: one colour transform per frame so that everything followed through the shot stays the same.

For matched samples `y_t`, `y_s` (log2 colours) of all pairs of frames together:

    minimise  sum w |y_t + f(y_t) A_t - y_s - f(y_s) A_s|^2  +  |prior A|^2  +  anchor |slow A|^2

`f` is the quadratic of `harmovid.pixels.field.CURVE_TERMS`, `A_t` the ten by three coefficients of frame t, weights
are refined robustly. The solution makes everything equal through the window, intended changes too; its slow part (a
straight line fitted around each frame) is therefore taken out again, so that a fade, a sunset or a pan into light stays
and only what is faster than `radius_frames` goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np
import numpy.typing as npt

from harmovid_server.engines.deflicker.match import Pairs

Array64 = npt.NDArray[np.float64]

ROUNDS = 4
# Frames that all lose their contrast agree best of all: the anchor holds what is common to them near no change.
ANCHOR = 1e3
# Expected size of a coefficient by its order, in stops, stops/stop, stops/stop^2: shrinks what data do not show.
PRIOR_SIZES = np.array([1.0] + [0.2] * 3 + [0.02] * 6)
# Neighbouring samples of a pair err together: this share of them counts as independent.
INDEPENDENT_SHARE = 0.06
SMALLEST_SCALE_STOPS = 0.02


@dataclass(frozen=True)
class Link:
    """Two frames of a window, by index, and what was matched between them; `later > earlier`."""

    later: int
    earlier: int
    pairs: Pairs


def terms(logs: Array64) -> Array64:
    """Return `(n, 10)` quadratic terms of `(n, 3)` log2 colours, in the order of `CURVE_TERMS`."""
    r, g, b = logs.T
    return np.stack([np.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, g * b, b * r], axis=1)


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


def without_slow_part(found: Array64, radius_frames: float) -> Array64:
    """Return `(count, ...)` corrections without what changes more slowly than about `radius_frames`."""
    fast: Array64 = found - np.tensordot(slow_part(len(found), radius_frames), found, 1)
    return fast


def robust_weight(residual: Array64, weight: Array64) -> Array64:
    """Return `weight` times Geman and McClure's factor for `(n, 3)` residuals, at a scale found from them."""
    size = np.sqrt((residual**2).mean(axis=1))
    order = np.argsort(size)
    half = np.searchsorted(np.cumsum(weight[order]), 0.5 * weight.sum())
    scale = max(SMALLEST_SCALE_STOPS, 1.5 * float(size[order][min(half, len(size) - 1)]))
    factor: Array64 = weight / (1.0 + (size / scale) ** 2) ** 2
    independent = INDEPENDENT_SHARE * len(weight)
    return factor * (independent / max(float(weight.sum()), 1e-12)) / scale**2


def solve(links: List[Link], count: int, radius_frames: float) -> Array64:
    """Return `(count, 10, 3)` coefficients of the window's frames; zeros where nothing links a frame.

    Args:
        links: matched pairs of frames, in any order.
        count: frames in the window.
        radius_frames: what changes more slowly than about this is kept.
    """
    slow = slow_part(count, radius_frames)
    base = np.zeros((count, 10, count, 10))
    keep = ANCHOR * (slow.T @ slow)
    for k, size in enumerate(PRIOR_SIZES):
        base[:, k, :, k] += (keep + np.eye(count)) / size**2
    prepared = [(link, terms(link.pairs.here), terms(link.pairs.there)) for link in links]
    found = np.zeros((count, 10, 3))
    for round_ in range(ROUNDS):
        found = _one_round(prepared, base, found, first=round_ == 0)
    return without_slow_part(found, radius_frames)


def _one_round(
    prepared: List[Tuple[Link, Array64, Array64]], base: Array64, found: Array64, *, first: bool
) -> Array64:
    count = len(found)
    matrix, right = base.copy(), np.zeros((count, 10, 3))
    for link, here, there in prepared:
        t, s, pairs = link.later, link.earlier, link.pairs
        gap = pairs.there - pairs.here
        left = gap - here @ found[t] + there @ found[s]
        # In the first round flicker itself would look like a misfit: what all samples of a pair share is left out.
        w = robust_weight(left - np.median(left, axis=0) if first else left, pairs.weight)[:, None]
        hw, tw = here * w, there * w
        cross = hw.T @ there
        matrix[t, :, t] += hw.T @ here
        matrix[s, :, s] += tw.T @ there
        matrix[t, :, s] -= cross
        matrix[s, :, t] -= cross.T
        right[t] += hw.T @ gap
        right[s] -= tw.T @ gap
    size = count * 10
    solved = np.linalg.solve(matrix.reshape(size, size), right.reshape(size, 3))
    return np.asarray(solved, np.float64).reshape(count, 10, 3)
