"""The joint fit: one colour transform per frame so that everything tracked through the shot stays the same.

    batch = Batch.of(links, quantiles, count, Place.LENS, aspect)
    fit = solve(batch, radius_frames)           # fit.trajectories, fit.model, fit.residual_stops

With `M_t(y) = y + terms(y) A_t`, all `A_t` of a window are found together from the matched samples of all links
(matched pairs of frames): `M_t(y)` and `M_s(z)` should agree if `y` in frame t and `z` in frame s show the same point.
Four measures avoid bias:

- outliers get low weights (Geman and McClure), judged by the fit of *all* frames, not pair by pair;
- the terms are evaluated at the mean of both colours, so that noise does not reduce the contrast;
- the mean of all transforms over the window is held at the identity; otherwise removing all contrast would fit best;
- light that varies over the picture (lens falloff in a pan, a lamp in one corner) is fitted per link, and dropped.

`trajectories.Model` is the prior of the transforms over time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import product
from typing import List, Mapping, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.pixels.field import Float32

from harmovid_server.engines.deflicker import kernels
from harmovid_server.engines.deflicker.colour_terms import (
    CENTRE_STOPS,
    CHANNELS,
    OUTPUTS,
    TERMS,
    Array64,
    orthonormal,
)
from harmovid_server.engines.deflicker.local_gains import conjugate_gradients, weighted_median
from harmovid_server.engines.deflicker.motion import Link, thinned
from harmovid_server.engines.deflicker.trajectories import Model, expected, likeliest

Frames = npt.NDArray[np.int32]

ROUNDS, PRIOR_ROUNDS = 7, 4
"""Rounds of robust least squares: in all, and before the model over time is estimated from the trajectories."""
MOST_SAMPLES, FEWEST_SAMPLES, ALL_SAMPLES = 500, 100, 56_000
"""Number of samples: at most per link, at most per link in a long window, and per window."""
LEAST_SAMPLES = 12
"""A link with fewer samples is not used."""
FIRST_SCALE_STOPS, SMALLEST_SCALE_STOPS = 0.3, 0.01
LINK_STOPS = np.array([0.012, 0.004, 0.004])
"""Error of a link's outputs (brightness, two colours) beyond the measured one, from turning objects and reflections."""
LOST_STOPS, LEAST_TRUST = 0.001, 0.03
"""Error of a link in which everything was matched; it grows with the square of the lost share, since the remaining
matches are then mostly wrong: in a fast pan, on the subject that the camera follows."""
LONELY_STOPS = 0.03
"""Error of a link with all samples in one cell, where disagreement between cells cannot be measured."""
QUANTILE_STOPS = 0.03
"""How much the quantiles of a moving picture change from one frame to the next without flicker."""
QUANTILE_TERMS = 2
"""Quantiles determine gain and contrast only."""
CELLS = (6, 8)
"""Rows and columns of the cells whose disagreement gives the error of a link."""
LENS_STOPS = np.array([0.1, 0.1, 0.2])
"""Expected size of the lens terms, in stops per half height of the picture (squared for the third)."""
WAVES = [(a, b) for a in range(4) for b in range(6) if 0 < a / 4 + b / 6 <= 1]
WAVE_STOPS = np.array([0.3 / (1 + 0.25 * (a * a + 0.5 * b * b)) for a, b in WAVES])
"""Cosine waves over the picture, by number of half periods down and across, and their expected size."""
PLACE_SAMPLES = 5.0
"""The prior of the spatial terms has the weight of this many samples."""
MOST_STOPS = 0.5
"""Limit of each coefficient beyond the gain: a larger one comes from lost motion, not from a change of light."""
HELD = 3.0
"""How firmly the mean over the window is held at the identity, in units of the flicker's size."""

LATER, EARLIER, LEFT, PLACE = slice(0, 10), slice(10, 20), slice(20, 23), slice(23, None)
"""Columns of the linearised samples: terms in the later and in the earlier frame, differences, spatial terms."""


class Place(Enum):
    """Spatial variation that is allowed in a link's change of light."""

    NOTHING = "nothing"
    LENS = "lens"
    WAVES = "waves"


@dataclass(frozen=True)
class Batch:
    """The samples of all links of a window, padded to one length with samples of no weight.

    Attributes:
        count: frames of the window.
        later, earlier: `(m,)` both frames of each link, by index.
        y, z: `(m, n, 3)` colours in the later and the earlier frame; weight: `(m, n)`.
        place, place_stops: `(m, n, p)` spatial terms, and their expected sizes.
        cell: `(m, n)` the cell of each sample, numbered over all links.
        lost: `(m,)` variance added to each link for its unmatched share.
        quantiles: of frames that could not be tracked, `(q, 24, 3)`, and of the frames before them.
        ends: later and earlier frame of all links and of all pairs of quantiles.
    """

    count: int
    later: Frames
    earlier: Frames
    y: Array64
    z: Array64
    weight: Array64
    place: Array64
    place_stops: Array64
    cell: npt.NDArray[np.int64]
    lost: Array64
    quantiles: Tuple[Array64, Array64]
    ends: Tuple[Frames, Frames]

    @staticmethod
    def of(
        links: List[Link],
        quantiles: Mapping[int, Tuple[Array64, Array64]],
        count: int,
        place: Place,
        aspect: float,
    ) -> Batch:
        """Return the batch of some links; those with too few samples are left out.

        Args:
            links: matched pairs of frames, in any order.
            quantiles: by frame, its own and those of the frame before.
            count: frames of the window.
            place: the spatial variation that is allowed.
            aspect: width over height of the picture.
        """
        most = int(np.clip(ALL_SAMPLES // max(len(links), 1), FEWEST_SAMPLES, MOST_SAMPLES))
        links = [link for link in links if len(link.samples.weight) >= LEAST_SAMPLES]
        kept = [thinned(link.samples, most) for link in links]
        longest = max((len(samples.weight) for samples in kept), default=1)

        def padded(name: str, *inner: int) -> Array64:
            out = np.zeros((len(kept), longest, *inner))
            for row, samples in zip(out, kept):
                row[: len(samples.weight)] = getattr(samples, name)
            return out

        at, earlier_at = (padded(name, 2).astype(np.float32) for name in ("later_at", "earlier_at"))
        columns, sizes = _place_terms(at, earlier_at, place, aspect)
        trust = np.array([link.samples.trust for link in links])
        later, earlier = (
            np.array([getattr(link, end) for link in links], np.int32) for end in ("later", "earlier")
        )
        lost = np.array(list(quantiles), np.int32)
        own, before = (
            np.reshape([each[end] for each in quantiles.values()], (len(lost), -1 if len(lost) else 1, 3))
            for end in range(2)
        )
        return Batch(
            count, later, earlier,
            padded("later", 3), padded("earlier", 3), padded("weight"), columns, sizes, _cells(at),
            (LOST_STOPS / np.maximum(trust, LEAST_TRUST) ** 2) ** 2,
            (own, before), (np.concatenate([later, lost]), np.concatenate([earlier, lost - 1])),
        )  # fmt: skip


@dataclass(frozen=True)
class Fit:
    """The result of the joint fit of a window.

    Attributes:
        trajectories: `(count, 10, 3)` coefficients over the orthonormal terms, outputs brightness and two colours.
        model: their model over time.
        basis: `(10, 10)`, orthonormal terms from `colour_terms.terms`.
        residual_stops: residual of a typical link: small in a still picture, large on a dancer.
        misfits: `(count,)` the median residual of each frame's links, in stops.
    """

    trajectories: Array64
    model: Model
    basis: Array64
    residual_stops: float
    misfits: Array64

    def curves(self, found: Array64) -> Array64:
        """Return coefficients `(count, 10, 3)` over `colour_terms.terms` for r, g and b."""
        curves: Array64 = self.basis @ found @ CHANNELS.T
        return curves


def solve(batch: Batch, radius_frames: float, order: int = TERMS) -> Fit:
    """Return the trajectories of a window.

    Args:
        batch: the matches, at least one link.
        radius_frames: changes slower than about this are kept; 0 estimates it from the shot.
        order: number of terms used; 1 is a gain.
    """
    count, model = batch.count, expected(batch.count)
    raw = np.zeros((count, TERMS, 3))
    columns = np.concatenate([np.zeros((*batch.weight.shape, LEFT.stop)), batch.place], axis=2)
    basis, explained, scale = np.eye(TERMS), np.zeros_like(batch.y), FIRST_SCALE_STOPS
    found, medians = raw, np.zeros(len(batch.later))
    for round_ in range(ROUNDS):
        # The derivatives of the terms l, u and v by r, g and b are those of the outputs.
        inverse = np.linalg.inv(np.eye(3) + np.einsum("kj,tkc->tjc", OUTPUTS, raw[:, 1:4])) / 2
        kernels.linearised(batch.y, batch.z, batch.later, batch.earlier, raw, inverse, CENTRE_STOPS, columns)
        left, weight = columns[..., LEFT], batch.weight
        if round_:
            size = np.sqrt(((left - explained) ** 2).mean(axis=-1))
            medians = weighted_median(size, batch.weight)
            scale = float(np.median(np.maximum(SMALLEST_SCALE_STOPS, 1.3 * medians)))
            weight = weight / (1 + (size / scale) ** 2) ** 2
        share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
        sums = np.swapaxes(columns * share[..., None], 1, 2) @ columns
        if not round_:
            basis = orthonormal(sums[:, LATER, LATER].mean(axis=0))
        sums, explained = _link_sums(batch, sums, left, share, scale)
        helped = _quantile_sums(batch, raw, inverse)
        variance = np.concatenate([_variance(batch, left - explained, share), np.ones((len(helped), 2))])
        sums = np.concatenate([sums, helped])
        if round_ == PRIOR_ROUNDS:
            model = likeliest(found, radius_frames, scale)
        found = _step(batch, _in_basis(sums, basis), variance, model, found, order)
        found[:, 1:] = np.clip(found[:, 1:], -MOST_STOPS, MOST_STOPS)
        raw = basis @ found @ CHANNELS.T
    linked = np.stack([(batch.later == t) | (batch.earlier == t) for t in range(count)])
    misfits = np.array([float(np.median(medians[own])) if own.any() else 0.0 for own in linked])
    return Fit(found, model, basis, scale, misfits)


def _link_sums(
    batch: Batch, sums: Array64, left: Array64, share: Array64, scale: float
) -> Tuple[Array64, Array64]:
    """Return the sums `(m, 23, 23)` of all links without their spatial terms, and the part of the differences `left`
    that these explain.

    Args:
        batch: the matches.
        sums: `(m, k, k)` sums over each link of the products of all columns.
        left: `(m, n, 3)`.
        share: `(m, n)` weight of each sample, 1 per link.
        scale: residual of a typical link, in stops.
    """
    explained = np.zeros_like(left)
    if batch.place.shape[-1]:
        # Spatial terms belong to one link each, so they are eliminated (Schur complement).
        samples = np.maximum((batch.weight > 0).sum(axis=1), 1)[:, None]
        prior = PLACE_SAMPLES / samples * (scale / batch.place_stops) ** 2
        own = sums[:, PLACE, PLACE] + prior[:, None, :] * np.eye(batch.place.shape[-1])
        solved = np.linalg.solve(own, sums[:, PLACE, : LEFT.stop])
        sums = sums[:, : LEFT.stop, : LEFT.stop] - sums[:, : LEFT.stop, PLACE] @ solved
        explained = batch.place @ solved[..., LEFT]
    return sums, explained


def _in_basis(sums: Array64, basis: Array64) -> Array64:
    """Return sums whose terms are orthonormal and whose differences are those of the outputs."""
    whole = np.zeros((LEFT.stop, LEFT.stop))
    whole[LATER, LATER] = whole[EARLIER, EARLIER] = basis
    whole[LEFT, LEFT] = OUTPUTS.T
    turned: Array64 = whole.T @ sums @ whole
    return turned


def _variance(batch: Batch, left: Array64, share: Array64) -> Array64:
    """Return each link's squared standard error in brightness and in colour, `(m, 2)`.

    It follows from the disagreement of cells, because errors of neighbours correlate. Colour is measured more exactly
    than brightness, so that with one error for both the prior would remove part of a slow change of colour. In a small
    region (a picture without spatial terms) too few cells disagree to show that: there colour counts as no more exact.
    A link's own figure comes from few cells, so a small one is averaged with that of a typical link (in logarithms). A
    large one stays: the dark frames of a fade do fit worse.
    """
    cells, found = CELLS[0] * CELLS[1], []
    flat, total = batch.cell.ravel(), cells * len(left)
    shares = np.bincount(flat, share.ravel(), total).reshape(-1, cells)
    lonely = (shares**2).sum(axis=1) * LONELY_STOPS**2 + batch.lost
    for output, own in zip(OUTPUTS, LINK_STOPS):
        sums = np.bincount(flat, (share * (left @ output)).ravel(), total).reshape(-1, cells)
        found.append((sums**2).sum(axis=1) + lonely + own**2 * (batch.later - batch.earlier))
    brightness, colour = found[0], (found[1] + found[2]) / 2
    if not batch.place.shape[-1]:
        colour = np.maximum(colour, brightness)
    variance = np.stack([brightness, colour], axis=1)
    careful: Array64 = np.sqrt(variance * np.maximum(variance, np.median(variance, axis=0)))
    return careful


def _quantile_sums(batch: Batch, raw: Array64, inverse: Array64) -> Array64:
    """Return the sums `(q, 23, 23)` of brightness quantiles for frames that could not be tracked."""
    (y, z), (later, earlier) = batch.quantiles, (each[len(batch.later) :] for each in batch.ends)
    if not len(y):
        return np.zeros((0, LEFT.stop, LEFT.stop))
    columns = np.zeros((*y.shape[:2], LEFT.stop))
    kernels.linearised(y, z, later, earlier, raw, inverse, CENTRE_STOPS, columns)
    for side in (LATER, EARLIER):
        columns[..., side.start + QUANTILE_TERMS : side.stop] = 0
    spread = np.median(columns[..., LEFT] ** 2, axis=(1, 2))
    trust = 1 / (QUANTILE_STOPS**2 + spread) / y.shape[1]
    sums: Array64 = np.swapaxes(columns, 1, 2) @ columns * trust[:, None, None]
    return sums


def _step(
    batch: Batch, sums: Array64, variance: Array64, model: Model, found: Array64, order: int
) -> Array64:
    """Return the trajectories after one Gauss-Newton step, by output, by conjugate gradients over all frames.

    Each term's own system over time is the preconditioner: the terms are nearly independent. `variance` is that of
    each row of `sums` in brightness and in colour.
    """
    later, earlier = batch.ends
    count, held, result = len(found), HELD / len(found), np.zeros_like(found)
    terms_of = np.arange(order)
    for outputs, size in zip((slice(0, 1), slice(1, 3)), variance.T):
        scaled = sums / size[:, None, None]
        alone, right = np.zeros((count, count, order)), np.zeros((count, TERMS, 3))
        for (one, rows), (other, columns) in product(((later, LATER), (earlier, EARLIER)), repeat=2):
            sign = 1 if rows is columns else -1
            np.add.at(alone, (one, other), sign * scaled[:, rows.start + terms_of, columns.start + terms_of])
        np.add.at(right, later, scaled[:, LATER, LEFT])
        np.add.at(right, earlier, -scaled[:, EARLIER, LEFT])
        o = outputs.start
        prior = np.stack([(model.inverse_of(k, o) + held) / model.flicker[k, o] ** 2 for k in range(order)])
        before, pull = (each[:, :order, outputs].swapaxes(0, 1) for each in (found, right))

        def normal(step: Array64, scaled: Array64 = scaled, prior: Array64 = prior) -> Array64:
            pushed: Array64 = kernels.push_links(later, earlier, scaled, step) + prior @ step
            return pushed

        inverse = np.linalg.inv(alone.transpose(2, 0, 1) + prior)
        step = conjugate_gradients(normal, pull - prior @ before, partial(np.matmul, inverse))
        result[:, :order, outputs] = (before + step).swapaxes(0, 1)
    return result


def _cells(at: Float32) -> npt.NDArray[np.int64]:
    row, column = (
        np.clip((at[..., axis] * count).astype(np.int64), 0, count - 1)
        for axis, count in ((1, CELLS[0]), (0, CELLS[1]))
    )
    numbered: npt.NDArray[np.int64] = (
        row * CELLS[1] + column + CELLS[0] * CELLS[1] * np.arange(len(at))[:, None]
    )
    return numbered


def _place_terms(at: Float32, earlier_at: Float32, place: Place, aspect: float) -> Tuple[Array64, Array64]:
    """Return `(m, n, p)` spatial terms at positions `(m, n, 2)` in both frames, and their expected sizes."""
    if place is Place.LENS:
        # Position (mean of both ends), and growth of the squared distance from the centre.
        later, earlier = ((each.astype(np.float64) - 0.5) * (2 * aspect, 2.0) for each in (at, earlier_at))
        growth = (earlier**2).sum(axis=-1) - (later**2).sum(axis=-1)
        return np.concatenate([(later + earlier) / 2, growth[..., None]], axis=-1), LENS_STOPS
    if place is Place.NOTHING:
        return np.zeros((*at.shape[:2], 0)), np.zeros(0)
    x = np.pi * at.astype(np.float64)
    columns = [
        np.cos(a * x[..., 1]) * np.cos(b * x[..., 0]) * np.sqrt((1 + (a > 0)) * (1 + (b > 0)))
        for a, b in WAVES
    ]
    return np.stack(columns, axis=-1), WAVE_STOPS
