"""What happened to the light between two frames: one robust colour transform per matched pair of frames.

    change = fit(pairs, aspect)     # from matched samples, None where too little was matched
    change = from_quantiles(a, b)   # from brightness quantiles alone

Three things keep the transform from being biased, which a chain of frames would add up:

- it is fitted in both directions and averaged, so that noise in the samples does not flatten it;
- light also changes with place: a lens darkens the corners of a pan, a lamp flickers in one corner. Terms of
  place are fitted along and left out of the result; few of them (`_lens`), and many (`_waves`) where those explain
  far more;
- misfits (reflections, occlusions, other lamps) weigh little (Geman and McClure).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np
import numpy.typing as npt

from harmovid_server.engines.deflicker.basis import EXPECTED_STOPS, TERMS, Array64, terms
from harmovid_server.engines.deflicker.match import Pairs

ORDERS = (1, 4, 4, TERMS, TERMS, TERMS)
"""Terms in use per round: gain, then colour and contrast, then all of the quadratic."""
LENS_STOPS = np.array([0.1, 0.1, 0.2])
"""Expected size of the lens's terms, in stops per half height of the picture (squared for the third)."""
WAVE_ROWS, WAVE_COLUMNS = 4, 6
WAVES = [
    (a, b) for a in range(WAVE_ROWS) for b in range(WAVE_COLUMNS) if 0 < a / WAVE_ROWS + b / WAVE_COLUMNS <= 1
]
WAVE_STOPS = np.array([0.3 / (1 + 0.25 * (a * a + 0.5 * b * b)) for a, b in WAVES])
"""Cosine waves over the picture, by half periods down and across, and their expected size."""
LOCAL_SCALE_STOPS, LOCAL_RATIO = 0.1, 0.7
"""Waves are believed where the plain fit leaves more than the first, and they leave less than the second of that."""
PRIOR_SAMPLES = 5.0
"""The expected sizes weigh as much as this many samples."""
SMALLEST_SCALE_STOPS = 0.01
CELLS = (6, 8)
"""Rows and columns of the cells whose disagreement tells how far a transform can be trusted."""
FEWEST_SAMPLES = 24
LOST_STOPS = 0.001
"""Error of a transform between frames of which all was matched; it grows with the square of what was lost, since what
is left then is mostly false: in a fast pan, the subject that the camera follows."""
LEAST_TRUST = 0.03
QUANTILE_STOPS = 0.03
"""How much the quantiles of a moving picture change by themselves from one frame to the next."""


@dataclass(frozen=True)
class Change:
    """The change of light from a later frame to an earlier one, as the joint fit needs it.

    With `y` the later frame's colours and `z` what they were in the earlier one (the transform's own answer, without
    noise), weighted means over the samples of the products of `terms`:

    Attributes:
        here: `(10, 10)` of terms(y) and terms(y); there: terms(z) and terms(z); across: terms(y) and terms(z).
        variance: squared standard error of the transform as a whole, in stops^2.
    """

    here: Array64
    there: Array64
    across: Array64
    variance: float


@dataclass(frozen=True)
class _Fitted:
    """A fit: coefficients towards the earlier and the later frame, robust weights, residuals and their scale."""

    there: Array64
    here: Array64
    weight: Array64
    left: Array64
    scale: float


def fit(pairs: Pairs, aspect: float) -> Optional[Change]:
    """Fit the transform between two matched frames; None with too few samples.

    Args:
        pairs: matched samples.
        aspect: width over height of the picture.
    """
    if len(pairs.here) < FEWEST_SAMPLES:
        return None
    found = _fitted(pairs, _lens(pairs, aspect), LENS_STOPS, ORDERS)
    if found.scale > LOCAL_SCALE_STOPS:
        waves = _waves(pairs.at), _waves(pairs.at_there)
        # All at once from the start: what flickers most would else be taken for a misfit.
        richer = _fitted(pairs, waves, WAVE_STOPS, (TERMS,) * 4)
        if richer.scale < LOCAL_RATIO * found.scale:
            found = richer
    y, of_y = pairs.here, terms(pairs.here)
    moved = y + of_y @ found.there
    moved = y + (of_y @ found.there - terms(moved) @ found.here) / 2
    lost = (LOST_STOPS / max(pairs.trust, LEAST_TRUST) ** 2) ** 2
    return _change(of_y, terms(moved), found.weight, _error(found.left, found.weight, pairs.at) + lost)


def from_quantiles(here: Array64, there: Array64) -> Change:
    """Return the gain and contrast per channel that lead from one frame's quantiles `(q, 3)` to another's."""
    first = terms(here)[:, :2]
    ridge = np.diag((QUANTILE_STOPS / EXPECTED_STOPS[:2]) ** 2)
    coeffs = np.linalg.solve(first.T @ first + ridge, first.T @ (there - here))
    moved = here + first @ coeffs
    misfit = float(((there - moved) ** 2).mean())
    return _change(terms(here), terms(moved), np.ones(len(here)), QUANTILE_STOPS**2 + misfit)


def _change(here: Array64, there: Array64, weight: Array64, variance: float) -> Change:
    """Return the change from the `(n, 10)` terms of both frames' colours."""
    share = (weight / weight.sum())[:, None]
    mine, theirs = here * share, there * share
    return Change(mine.T @ here, theirs.T @ there, mine.T @ there, variance)


def _fitted(pairs: Pairs, place: Tuple[Array64, Array64], sizes: Array64, orders: Tuple[int, ...]) -> _Fitted:
    start, change = pairs.weight / pairs.weight.max(), pairs.there - pairs.here
    # Gain, then the terms of place, then the other terms: what a round uses comes first.
    forth, back = (
        np.concatenate([colour.T[:1], of_place.T, colour.T[1:]]).T
        for colour, of_place in zip((terms(pairs.here), terms(pairs.there)), place)
    )
    expected = np.concatenate([EXPECTED_STOPS[:1], sizes, EXPECTED_STOPS[1:]])
    weight, scale = start, 0.1
    for order in orders:
        used = order if order == 1 else order + len(sizes)
        first, second = forth[:, :used], back[:, :used]
        prior = np.diag(PRIOR_SAMPLES * (scale / expected[:used]) ** 2)
        there = _regression(first, change, weight, prior)
        here = _regression(second, -change, weight, prior)
        left = change - (first @ there - second @ here) / 2
        size = np.sqrt((left * left) @ np.full(3, 1 / 3))
        scale = max(SMALLEST_SCALE_STOPS, 1.3 * weighted_median(size, start))
        weight = start / (1 + (size / scale) ** 2) ** 2
    of_colour = np.r_[0, 1 + len(sizes) : len(expected)]
    return _Fitted(there[of_colour], here[of_colour], weight, left, scale)


def _lens(pairs: Pairs, aspect: float) -> Tuple[Array64, Array64]:
    """Return `(n, 3)` for the way there and the way back: place (mean of both ends), and growth of the squared distance
    from the centre.
    """
    scale = np.array([2 * aspect, 2.0])
    here, there = ((at.astype(np.float64) - 0.5) * scale for at in (pairs.at, pairs.at_there))
    x, y = ((here + there) / 2).T
    growth = (there**2 - here**2) @ np.ones(2)
    terms_of_place = np.stack([x, y, growth]).T
    return terms_of_place, -terms_of_place


def _waves(at: npt.NDArray[np.float32]) -> Array64:
    """Return `(n, waves)` cosines at places `(n, 2)` in 0..1, of mean square 1."""
    x = at.astype(np.float64)
    down = [np.cos(np.pi * a * x[:, 1]) * (np.sqrt(2) if a else 1) for a in range(WAVE_ROWS + 1)]
    across = [np.cos(np.pi * b * x[:, 0]) * (np.sqrt(2) if b else 1) for b in range(WAVE_COLUMNS + 1)]
    return np.stack([down[a] * across[b] for a, b in WAVES]).T


def _regression(design: Array64, change: Array64, weight: Array64, prior: Array64) -> Array64:
    weighted = design * weight[:, None]
    return np.asarray(np.linalg.solve(weighted.T @ design + prior, weighted.T @ change), np.float64)


def _error(left: Array64, weight: Array64, at: npt.NDArray[np.float32]) -> float:
    """Return the squared standard error of the mean, from how the picture's cells disagree: neighbours err together."""
    rows = np.clip((at[:, 1] * CELLS[0]).astype(int), 0, CELLS[0] - 1)
    columns = np.clip((at[:, 0] * CELLS[1]).astype(int), 0, CELLS[1] - 1)
    cell, total = rows * CELLS[1] + columns, CELLS[0] * CELLS[1]
    sums = np.bincount(cell, weight * left.mean(axis=1), total)
    share = np.bincount(cell, weight, total) / weight.sum()
    # A single cell that holds everything cannot disagree with itself: its share counts as doubt.
    lonely = float((share**2).sum()) * QUANTILE_STOPS**2
    return float((sums**2).sum() / weight.sum() ** 2) + lonely


def weighted_median(values: Array64, weight: Array64) -> float:
    """Return the value below which half of the weight lies."""
    order = np.argsort(values)
    running = np.cumsum(weight[order])
    return float(values[order][min(int(np.searchsorted(running, running[-1] / 2)), len(values) - 1)])
