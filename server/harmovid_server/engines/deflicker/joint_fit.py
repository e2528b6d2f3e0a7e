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
from typing import List, Mapping, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.pixels.field import Float32

from harmovid_server.engines.deflicker.colour_terms import (
    CHANNELS,
    OUTPUTS,
    TERMS,
    Array64,
    orthonormal,
    terms,
)
from harmovid_server.engines.deflicker.matching import Link, thinned
from harmovid_server.engines.deflicker.trajectories import Model, expected, likeliest

Index = npt.NDArray[np.int64]

ROUNDS, PRIOR_ROUNDS = 7, 4
"""Rounds of robust least squares: in all, and before the model over time is estimated from the trajectories."""
MOST_SAMPLES, FEWEST_SAMPLES, ALL_SAMPLES = 500, 100, 56_000
"""Number of samples: at most per link, at most per link in a long window, and per window."""
LEAST_SAMPLES = 12
"""A link with fewer samples is not used."""
FIRST_SCALE_STOPS, SMALLEST_SCALE_STOPS = 0.3, 0.01
LINK_STOPS = 0.012
"""Error of a link beyond its measured error, from turning objects and reflections."""
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
HELD = 1.0
"""How firmly the mean over the window is held at the identity, in units of the flicker's size."""

_SLOPES = np.array([[1 / 3, 1 / 3, 1 / 3], [1, -1, 0], [0, -1, 1]])
"""Derivatives of the terms l, u and v by r, g and b."""


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
        quantiles: for frames that could not be tracked: index, brightness quantiles `(q, 3)`, those of the frame
            before.
    """

    count: int
    later: Index
    earlier: Index
    y: Array64
    z: Array64
    weight: Array64
    place: Array64
    place_stops: Array64
    cell: Index
    lost: Array64
    quantiles: List[Tuple[int, Array64, Array64]]

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
                values = getattr(samples, name)
                row[: len(values)] = values
            return out

        at, earlier_at = (padded(name, 2).astype(np.float32) for name in ("later_at", "earlier_at"))
        columns, sizes = _place_terms(at, earlier_at, place, aspect)
        trust = np.array([link.samples.trust for link in links])
        return Batch(
            count,
            np.array([link.later for link in links], np.int64),
            np.array([link.earlier for link in links], np.int64),
            padded("later", 3), padded("earlier", 3), padded("weight"), columns, sizes, _cells(at),
            (LOST_STOPS / np.maximum(trust, LEAST_TRUST) ** 2) ** 2,
            [(frame, *both) for frame, both in quantiles.items()],
        )  # fmt: skip


@dataclass(frozen=True)
class Fit:
    """The result of the joint fit of a window.

    Attributes:
        trajectories: `(count, 10, 3)` coefficients over the orthonormal terms, outputs brightness and two colours.
        model: their model over time.
        basis: `(10, 10)`, orthonormal terms from `colour_terms.terms`.
        residual_stops: residual of a typical link: small in a still picture, large on a dancer.
    """

    trajectories: Array64
    model: Model
    basis: Array64
    residual_stops: float

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
    y_terms, z_terms = terms(batch.y), terms(batch.z)
    basis, explained, scale = np.eye(TERMS), np.zeros_like(batch.y), np.full(len(batch.y), FIRST_SCALE_STOPS)
    found = raw
    for round_ in range(ROUNDS):
        left = batch.z + z_terms @ raw[batch.earlier] - batch.y - y_terms @ raw[batch.later]
        weight = batch.weight
        if round_:
            size = np.sqrt(((left - explained) ** 2).mean(axis=-1))
            scale = np.maximum(SMALLEST_SCALE_STOPS, 1.3 * _medians(size, batch.weight))
            scale[:] = np.median(scale)
            weight = weight / (1 + (size / scale[:, None]) ** 2) ** 2
        share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
        inverse = np.linalg.inv(np.eye(3) + np.einsum("kj,tkc->tjc", _SLOPES, raw[:, 1:4]))
        y, z = (
            terms(batch.y + left @ inverse[batch.later] / 2),
            terms(batch.z - left @ inverse[batch.earlier] / 2),
        )
        if not round_:
            basis = orthonormal((np.swapaxes(y * share[..., None], 1, 2) @ y).mean(axis=0))
        system, right, explained = _system(batch, y, z, left, share, scale, basis)
        _add_quantiles(batch, raw, basis, system, right)
        if round_ == PRIOR_ROUNDS:
            model = likeliest(found, radius_frames, float(scale[0]))
        found = _step(system, right @ OUTPUTS.T, model, found, order)
        found[:, 1:] = np.clip(found[:, 1:], -MOST_STOPS, MOST_STOPS)
        raw = basis @ found @ CHANNELS.T
    return Fit(found, model, basis, float(scale[0]))


def _system(
    batch: Batch, y: Array64, z: Array64, left: Array64, share: Array64, scale: Array64, basis: Array64
) -> Tuple[Array64, Array64, Array64]:
    """Return the joint matrix of the links `(count, count, 10, 10)`, its right side `(count, 10, 3)`, and the part of
    `left` that the spatial terms explain.
    """
    y, z = y @ basis, z @ basis
    weighted_y, weighted_z = (np.swapaxes(each * share[..., None], 1, 2) for each in (y, z))
    yy, zz, yz = weighted_y @ y, weighted_z @ z, weighted_y @ z
    right_y, right_z = weighted_y @ left, weighted_z @ left
    explained = np.zeros_like(left)
    if batch.place.shape[-1]:
        # Spatial terms belong to one link each, so they are eliminated (Schur complement).
        weighted = np.swapaxes(batch.place * share[..., None], 1, 2)
        samples = np.maximum((batch.weight > 0).sum(axis=1), 1)[:, None]
        prior = PLACE_SAMPLES / samples * (scale[:, None] / batch.place_stops) ** 2
        own = weighted @ batch.place + prior[:, None, :] * np.eye(batch.place.shape[-1])
        with_y, with_z, with_left = (weighted @ each for each in (y, z, left))
        solved = np.linalg.solve(own, np.concatenate([with_y, with_z, with_left], axis=2))
        of_y, of_z, of_left = solved[..., :TERMS], solved[..., TERMS : 2 * TERMS], solved[..., 2 * TERMS :]
        with_y, with_z = np.swapaxes(with_y, 1, 2), np.swapaxes(with_z, 1, 2)
        yy, zz, yz = yy - with_y @ of_y, zz - with_z @ of_z, yz - with_y @ of_z
        right_y, right_z = right_y - with_y @ of_left, right_z - with_z @ of_left
        explained = batch.place @ of_left
    variance = _variance(batch, left - explained, share) + LINK_STOPS**2 * (batch.later - batch.earlier)
    trust = 1 / variance[:, None, None]
    system = np.zeros((batch.count, batch.count, TERMS, TERMS))
    right = np.zeros((batch.count, TERMS, 3))
    np.add.at(system, (batch.later, batch.later), yy * trust)
    np.add.at(system, (batch.earlier, batch.earlier), zz * trust)
    np.add.at(system, (batch.later, batch.earlier), -yz * trust)
    np.add.at(system, (batch.earlier, batch.later), -np.swapaxes(yz, 1, 2) * trust)
    np.add.at(right, batch.later, right_y * trust)
    np.add.at(right, batch.earlier, -right_z * trust)
    return system, right, explained


def _variance(batch: Batch, left: Array64, share: Array64) -> Array64:
    """Return each link's squared standard error from the disagreement of cells: errors of neighbours correlate."""
    cells = CELLS[0] * CELLS[1]
    flat, total = batch.cell.ravel(), cells * len(left)
    sums = np.bincount(flat, (share * left.mean(axis=-1)).ravel(), total).reshape(-1, cells)
    shares = np.bincount(flat, share.ravel(), total).reshape(-1, cells)
    variance: Array64 = (sums**2).sum(axis=1) + (shares**2).sum(axis=1) * LONELY_STOPS**2 + batch.lost
    return variance


def _add_quantiles(batch: Batch, raw: Array64, basis: Array64, system: Array64, right: Array64) -> None:
    """Add the equations of brightness quantiles for frames that could not be tracked."""
    for frame, own, before in batch.quantiles:
        left = before + terms(before) @ raw[frame - 1] - own - terms(own) @ raw[frame]
        trust = 1 / (QUANTILE_STOPS**2 + float(np.median(left**2))) / len(own)
        y, z = terms(own + left / 2), terms(before - left / 2)
        y[:, QUANTILE_TERMS:], z[:, QUANTILE_TERMS:] = 0, 0
        y, z = y @ basis, z @ basis
        system[frame, frame] += y.T @ y * trust
        system[frame - 1, frame - 1] += z.T @ z * trust
        system[frame, frame - 1] -= y.T @ z * trust
        system[frame - 1, frame] -= z.T @ y * trust
        right[frame] += y.T @ left * trust
        right[frame - 1] -= z.T @ left * trust


def _step(system: Array64, right: Array64, model: Model, found: Array64, order: int) -> Array64:
    """Return the trajectories after one Gauss-Newton step, by output."""
    count, size = len(found), len(found) * order
    matrix = np.ascontiguousarray(system[..., :order, :order].transpose(0, 2, 1, 3))
    held = HELD / count
    result = np.zeros_like(found)
    for outputs in (slice(0, 1), slice(1, 3)):
        whole, pull = matrix.copy(), right[:, :order, outputs].copy()
        for term in range(order):
            prior = (model.inverse_of(term, outputs.start) + held) / model.flicker[term, outputs.start] ** 2
            whole[:, term, :, term] += prior
            pull[:, term] -= prior @ found[:, term, outputs]
        step = np.linalg.solve(whole.reshape(size, size), pull.reshape(size, -1))
        result[:, :order, outputs] = found[:, :order, outputs] + step.reshape(count, order, -1)
    return result


def _medians(values: Array64, weight: Array64) -> Array64:
    """Return the weighted median of each row."""
    order = np.argsort(values, axis=1)
    running = np.cumsum(np.take_along_axis(weight, order, 1), axis=1)
    middle = np.minimum((running < running[:, -1:] / 2).sum(axis=1), values.shape[1] - 1)
    medians: Array64 = np.take_along_axis(np.take_along_axis(values, order, 1), middle[:, None], 1)[:, 0]
    return medians


def _cells(at: Float32) -> Index:
    row, column = (
        np.clip((at[..., axis] * count).astype(np.int64), 0, count - 1)
        for axis, count in ((1, CELLS[0]), (0, CELLS[1]))
    )
    numbered: Index = row * CELLS[1] + column + CELLS[0] * CELLS[1] * np.arange(len(at))[:, None]
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
