"""The reference implementation of the inner loops, in double precision: how each part of a field acts on a tile.

`kernels_numba.py` does the same faster; tests compare both within `PARITY_STOPS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Protocol, Sequence, Tuple, Union

import numpy as np
import numpy.typing as npt

from harmovid.pixels.field import (
    GUIDE_CEIL_STOPS,
    GUIDE_FLOOR_STOPS,
    LUMA,
    STOPS_LIMIT,
    Curve,
    GainMap,
    Grid,
)

Work = npt.NDArray[Any]
Leaf = Union[Curve, Grid, GainMap]

PARITY_STOPS = 1e-4
"""Both implementations agree on the stops of every pixel within this."""

TOTAL_STOPS_LIMIT = 80.0
"""The applied stops never exceed this: beyond it every pixel type is at its largest value or at 0."""


@dataclass
class Tile:
    """Some complete rows of a picture, with the stops summed so far.

    Attributes:
        guide: `(3, h, w)` unassociated scene-linear RGB with the stops so far applied; 1 where the pixel is not live.
        total: `(3, h, w)` stops summed so far.
        x, y: plate coordinates of the centre of the tile's first pixel.
    """

    guide: Work
    total: Work
    x: float
    y: float


class Kernels(Protocol):
    """The inner loops, implemented by `NumpyKernels` here and `NumbaKernels` in `kernels_numba.py`."""

    @property
    def dtype(self) -> npt.DTypeLike:
        """Number type of `Tile.guide` and `Tile.total`."""

    def load(self, source: Work, values: Work) -> None:
        """Fill float32 `values` `(h, w)` with half or float32 `source`; NaN stays NaN, with any payload."""

    def store(self, values: Work, target: Work) -> None:
        """Fill half or float32 `target` `(h, w)` with float32 `values`, rounded to nearest even."""

    def guide(self, values: Work, alpha: Optional[Work], premultiplied: bool) -> Tuple[Work, Work, int]:
        """Return the guide of `values` `(3, h, w)`, which pixels are live, and how many are not finite.

        Only live pixels are changed: all channels are finite and alpha, if given, is finite and above 0.
        """

    def add(self, part: Leaf, tile: Tile) -> None:
        """Add the part's stops to `tile.total` and apply them to `tile.guide`."""

    def weigh(self, total: Work, weight: Work, live: Work) -> Work:
        """Return `total * weight` as float32; 0 where a pixel is not live or a number is not finite."""

    def relight(self, values: Work, stops: Work, limits: Sequence[float]) -> Tuple[int, int]:
        """Multiply `values` by `2**stops` in place where stops are not 0; count changed and clamped ones."""


class NumpyKernels:
    """The reference implementation, in numpy."""

    @property
    def dtype(self) -> npt.DTypeLike:
        """See `Kernels.dtype`."""
        return np.float64

    def load(self, source: Work, values: Work) -> None:
        """See `Kernels.load`."""
        values[...] = source

    def store(self, values: Work, target: Work) -> None:
        """See `Kernels.store`."""
        target[...] = values

    def guide(self, values: Work, alpha: Optional[Work], premultiplied: bool) -> Tuple[Work, Work, int]:
        """See `Kernels.guide`."""
        finite: Work = np.logical_and.reduce(np.isfinite(values))
        live = finite if alpha is None else finite & np.isfinite(alpha) & (alpha > 0)
        guide = np.where(live, values, 1.0).astype(np.float64)
        if premultiplied and alpha is not None:
            guide /= np.where(live, alpha, 1.0)
        return guide, live, int(finite.size - np.count_nonzero(finite))

    def add(self, part: Leaf, tile: Tile) -> None:
        """See `Kernels.add`."""
        if isinstance(part, Curve):
            stops = np.tensordot(part.coeffs, curve_terms(tile.guide, part), axes=1)
        elif isinstance(part, Grid):
            stops = _grid_stops(part, tile)
        else:
            stops = _map_stops(part, tile)
        stops = np.clip(stops, -STOPS_LIMIT, STOPS_LIMIT)
        tile.total += stops
        tile.guide *= np.exp2(stops)

    def weigh(self, total: Work, weight: Work, live: Work) -> Work:
        """See `Kernels.weigh`."""
        stops = total * weight
        sound = live & np.isfinite(stops)
        return np.where(sound, np.clip(stops, -TOTAL_STOPS_LIMIT, TOTAL_STOPS_LIMIT), 0).astype(np.float32)

    def relight(self, values: Work, stops: Work, limits: Sequence[float]) -> Tuple[int, int]:
        """See `Kernels.relight`."""
        edited = stops != 0
        clamped = 0
        for value, stop, touched, limit in zip(values, stops, edited, limits):
            exact = value[touched] * np.exp2(stop[touched].astype(np.float64))
            clamped += int(np.count_nonzero(np.abs(exact) > limit))
            value[touched] = np.clip(exact, -limit, limit)
        return int(np.count_nonzero(edited.any(axis=0))), clamped


def log2_clipped(values: Work) -> Work:
    """Return log2 of `values` clipped to the guide's range; black and negative values count as the lower limit."""
    clipped: Work = np.log2(np.clip(values, 2.0**GUIDE_FLOOR_STOPS, 2.0**GUIDE_CEIL_STOPS))
    return clipped


def curve_terms(rgb: Work, curve: Curve) -> Work:
    """Return the ten terms `(10, ...)` that `curve.coeffs` multiply, for unassociated linear `(3, ...)`."""
    r, g, b = np.clip(log2_clipped(rgb) - np.log2(curve.anchor), curve.low, curve.high)
    return np.stack([np.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, g * b, b * r])


def positions(part: Union[Grid, GainMap], tile: Tile) -> Tuple[Work, Work]:
    """Return the positions of the tile's rows `(h)` and columns `(w)` in units of the part's samples, clamped, float64.

    Sample 0 is at position 0; samples are at the centres of equal cells of the part's box, like pixels.
    """
    rows, columns = tile.guide.shape[1:]
    x0, y0, x1, y1 = part.box
    count_y, count_x = part.stops.shape[:2]
    at_y = (tile.y + np.arange(rows) - y0) * (count_y / (y1 - y0)) - 0.5
    at_x = (tile.x + np.arange(columns) - x0) * (count_x / (x1 - x0)) - 0.5
    return np.clip(at_y, 0, count_y - 1), np.clip(at_x, 0, count_x - 1)


def _split(position: Work, samples: int) -> Tuple[Work, Work, Work]:
    """Return the two samples next to each `position` and the weight of the second."""
    first = position.astype(np.intp)
    return first, np.minimum(first + 1, samples - 1), position - first


def _grid_stops(part: Grid, tile: Tile) -> Work:
    rows, columns = positions(part, tile)
    y0, y1, ty = _split(rows[:, None], part.stops.shape[0])
    x0, x1, tx = _split(columns[None, :], part.stops.shape[1])
    luma = np.tensordot(LUMA, tile.guide, axes=1)
    levels = part.stops.shape[2]
    depth = np.clip(log2_clipped(luma), part.low, part.high) - part.low
    z0, z1, tz = _split(depth * ((levels - 1) / (part.high - part.low)), levels)
    stops = np.zeros_like(tile.guide)
    for y, wy in ((y0, 1 - ty), (y1, ty)):
        for x, wx in ((x0, 1 - tx), (x1, tx)):
            for z, wz in ((z0, 1 - tz), (z1, tz)):
                stops += np.moveaxis(part.stops[y, x, z], -1, 0) * (wy * wx * wz)
    return stops


def _map_stops(part: GainMap, tile: Tile) -> Work:
    rows, columns = positions(part, tile)
    y0, y1, ty = _split(rows[:, None], part.stops.shape[0])
    x0, x1, tx = _split(columns[None, :], part.stops.shape[1])
    stops = np.zeros_like(tile.guide)
    for y, wy in ((y0, 1 - ty), (y1, ty)):
        for x, wx in ((x0, 1 - tx), (x1, tx)):
            stops += np.moveaxis(part.stops[y, x], -1, 0) * (wy * wx)
    return stops
