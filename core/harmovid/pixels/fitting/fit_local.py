"""The local parts of a fitted lighting field: a bilateral grid, and a gain map of the residual."""

from __future__ import annotations

from typing import Any, List, Tuple

import numpy as np
import numpy.typing as npt

from harmovid.pixels.apply.kernels_numpy import log2_clipped
from harmovid.pixels.field import LUMA, Float32, GainMap, Grid

Plane = npt.NDArray[Any]

GRID_LINES = 240
"""The grid is fitted from every n-th pixel, so that about this many rows are used: its cells are much
larger."""

GRID_SIZES = ((8, 12), (16, 24), (32, 48))
"""Rows and columns of the grid, coarse to fine: coarse cells fill fine cells without samples."""

GRID_LEVELS = 8
"""Number of samples along log2 luma."""

DOUBT, DOUBT_CAREFUL = 0.03, 0.3
"""Weight that pulls a cell's stops to 0, as a share of an average cell's pixels: small for results that are right
pixel by pixel, larger for generated ones."""

MAP_PASSES = 2
"""Passes of smoothing of the gain map; each reaches one proxy pixel further."""

MAP_STEP_STOPS = 0.2
"""Neighbours of the map that differ by more than this are an edge, not noise, and are kept apart."""

SEEN_PERCENTILES = (0.5, 99.5)
"""Percentiles of the input that are the ends of the range of a curve or grid."""


def seen_range(logs: Plane) -> Tuple[float, float]:
    """Return the range of log2 light in the input, at least a tenth of a stop wide."""
    low, high = np.percentile(logs, SEEN_PERCENTILES)
    return float(low), float(max(high, low + 0.1))


def bilinear_weights(places: Plane, length: float, samples: int) -> Plane:
    """Return `(samples, places)` weights of samples at the centres of equal cells of `length`, clamped."""
    position = np.clip(places * (samples / length) - 0.5, 0, samples - 1)
    weights: Plane = np.maximum(0, 1 - np.abs(position[None] - np.arange(samples)[:, None]))
    return weights.astype(np.float32)


def fit_grid(guide: Float32, wanted: Float32, trust: Plane, *, careful: bool) -> Grid:
    """Return a grid that gives about the `wanted` stops, 0 in cells without samples, with its box in proxy pixels.

    Each size is splatted from the residual of the coarser ones, blurred, and divided by its weight.

    Args:
        guide: `(h, w, 3)` scene-linear, above 0, with the parts before the grid applied.
        wanted: `(h, w, 3)` stops still missing.
        trust: `(h, w)` weights.
        careful: trust single cells less, for results that are wrong in detail.
    """
    height, width = trust.shape
    step = max(1, height // GRID_LINES)
    rows, columns = np.arange(step // 2, height, step), np.arange(step // 2, width, step)
    picked = np.ix_(rows, columns)
    logs, left, weight = log2_clipped(guide[picked] @ np.array(LUMA)), wanted[picked].copy(), trust[picked]
    if not (weight > 0).any():
        return Grid(np.zeros((1, 1, 1, 3), np.float32), (0, 0, width, height), 0, 1)
    low, high = seen_range(logs[weight > 0])
    levels = (np.clip(logs, low, high) - low) * ((GRID_LEVELS - 1) / (high - low))
    shares = [np.maximum(0, 1 - np.abs(levels - z)).astype(np.float32) for z in range(GRID_LEVELS)]
    cells = GRID_SIZES[-1][0] * GRID_SIZES[-1][1] * GRID_LEVELS
    doubt = (DOUBT_CAREFUL if careful else DOUBT) * weight.size / cells
    total = np.zeros((*GRID_SIZES[-1], GRID_LEVELS, 3), np.float32)
    for size in GRID_SIZES:
        down = bilinear_weights(rows + 0.5, height, size[0])
        across = bilinear_weights(columns + 0.5, width, size[1])
        stops = _splat(left, weight * _robust(left, weight), shares, (down, across), doubt)
        total += _resampled(stops, GRID_SIZES[-1])
        for channel in range(3):
            left[..., channel] -= _slice(stops[..., channel], shares, (down, across))
    return Grid(total, (0, 0, width, height), low, high)


def _robust(left: Plane, weight: Plane) -> Plane:
    """Return robust weights: 1 for pixels like most others, towards 0 for outliers."""
    error = np.abs(left).mean(axis=-1)
    usual = 1.4826 * np.median(error[weight > 0]) + 0.02
    spread: Plane = 1 / (1 + (error / (4 * usual)) ** 2)
    return spread


def _splat(left: Plane, weight: Plane, shares: List[Plane], axes: Tuple[Plane, Plane], doubt: float) -> Plane:
    """Return the weighted mean of `left` in each cell and its neighbours, `(gh, gw, gz, 3)`."""
    down, across = (_blur(axis.shape[0]) @ axis for axis in axes)
    layers = np.concatenate([left * weight[..., None], weight[..., None]], axis=-1).astype(np.float32)
    sums = np.zeros((len(shares), 4, down.shape[0], across.shape[0]), np.float32)
    for z, share in enumerate(shares):
        for channel in range(4):
            sums[z, channel] = down @ (layers[..., channel] * share) @ across.T
    sums = np.tensordot(_blur(len(shares)), sums, axes=1)
    return np.ascontiguousarray((sums[:, :3] / (sums[:, 3:] + doubt)).transpose(2, 3, 0, 1))


def _slice(stops: Plane, shares: List[Plane], axes: Tuple[Plane, Plane]) -> Plane:
    """Return the stops of every pixel, `(h, w)`, from the cells `(gh, gw, gz)` of one channel."""
    down, across = axes
    total: Plane = sum(share * (down.T @ stops[..., z] @ across) for z, share in enumerate(shares))
    return total


def _blur(samples: int) -> Plane:
    """Return the matrix of a 1-2-1 blur; what leaves at an end is lost, from sums and weights alike."""
    middle, sides = np.eye(samples) / 2, (np.eye(samples, k=1) + np.eye(samples, k=-1)) / 4
    blur: Plane = (middle + sides).astype(np.float32)
    return blur


def _resampled(stops: Plane, size: Tuple[int, int]) -> Plane:
    """Return the cells `(gh, gw, gz, 3)` at another number of rows and columns, bilinearly."""
    for axis, count in enumerate(size):
        weights = bilinear_weights(np.arange(count) + 0.5, count, stops.shape[axis])
        stops = np.moveaxis(np.tensordot(weights.T, stops, axes=(1, axis)), 0, axis)
    return stops


def fit_map(wanted: Float32, trust: Plane) -> GainMap:
    """Return the `wanted` stops as a gain map, its box in proxy pixels.

    The map is smoothed: neighbours that agree within `MAP_STEP_STOPS` are averaged by their weights, so noise and mixed
    pixels go and the edges of shadows stay. Pixels without weight take the values beside them.
    """
    height, width = trust.shape
    weight = trust.astype(np.float32)
    known = np.concatenate([wanted * weight[..., None], weight[..., None]], axis=-1)
    alike = [_alike(wanted, trust, axis) for axis in (0, 1)]
    for _ in range(MAP_PASSES):
        for axis, share in enumerate(alike):
            flow = np.diff(known, axis=axis) * share[..., None]
            first, second = _neighbours(known, axis)
            first += flow
            second -= flow
    stops = known[..., :3] / np.maximum(known[..., 3:], 1e-6)
    return GainMap(stops, (0, 0, width, height))


def _alike(wanted: Plane, trust: Plane, axis: int) -> Plane:
    """Return the share of the difference to the next pixel that is exchanged in one pass, at most a quarter.

    A pixel that was not measured takes the full share, since it has no value of its own.
    """
    step = np.abs(np.diff(wanted, axis=axis)).max(axis=-1)
    first, second = _neighbours(trust, axis)
    unknown = (first <= 0) | (second <= 0)
    return np.where(unknown, 0.25, np.exp(-((step / MAP_STEP_STOPS) ** 2)) / 4).astype(np.float32)


def _neighbours(values: Plane, axis: int) -> Tuple[Plane, Plane]:
    """Return views of all pixels but the last, and all but the first, along `axis`."""
    return (values[:-1], values[1:]) if axis == 0 else (values[:, :-1], values[:, 1:])
