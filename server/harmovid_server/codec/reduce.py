"""Full-resolution planes to proxy size by exact area averages, ignoring NaN and infinity.

    small = area_means([r, g, b, a], data_window, display_window, (width, height))
    small.planes      # (h, w) float32 each; small.means is (h, w, 4)
    small.coverage    # (h, w) float32, 0..1

The numpy loops here are the reference implementation; `reduce_numba.py` has compiled loops, which read half floats
without a float32 copy of the picture. Both agree within `PARITY`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, List, Optional, Protocol, Sequence, Tuple

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Box = Tuple[int, int, int, int]

PARITY = 1e-5
"""Relative tolerance between both implementations: float32 sums of a few thousand values against float64."""


@dataclass(frozen=True)
class Reduced:
    """A picture at proxy size.

    Attributes:
        planes: `(h, w)` float32 each, the mean over the covered part of each proxy pixel; 0 where nothing is covered.
        coverage: `(h, w)` float32, the share of each proxy pixel that is in the data window and finite.
        nan, inf: number of NaN and infinite values in all planes over the whole data window.
    """

    planes: Tuple[Float32, ...]
    coverage: Float32
    nan: int = 0
    inf: int = 0

    @property
    def means(self) -> Float32:
        """The planes as one picture `(h, w, planes)`."""
        return joined(self.planes)


def joined(planes: Sequence[Float32]) -> Float32:
    """Return planes `(h, w)` as one picture `(h, w, planes)`; numpy is slow where the last axis is that short."""
    return np.asarray(cv2.merge(list(planes)), np.float32).reshape(*planes[0].shape, len(planes))


class Kernels(Protocol):
    """The inner loop, in two implementations."""

    def area_sums(
        self, plane: Plane, good: Optional[npt.NDArray[np.bool_]], rows: Float64, columns: Float64
    ) -> Tuple[Float32, bool]:
        """Return sums over areas; see `NumpyKernels.area_sums`."""


class NumpyKernels:
    """The reference implementation, in numpy."""

    def area_sums(
        self, plane: Plane, good: Optional[npt.NDArray[np.bool_]], rows: Float64, columns: Float64
    ) -> Tuple[Float32, bool]:
        """Sum `plane` over the cells between neighbouring edges; pixels cut by an edge count in proportion.

        Args:
            plane: `(H, W)` half or float32.
            good: `(H, W)` which pixels count; None for all.
            rows, columns: ascending edges in pixels, within 0..H and 0..W.

        Returns:
            `(len(rows) - 1, len(columns) - 1)` sums, and whether all values that count are finite, also outside
            the cells; if not, the sums are invalid. False may also mean that sums overflowed.
        """
        values = plane.astype(np.float64) if good is None else np.where(good, plane, 0).astype(np.float64)
        if not np.isfinite(values).all():
            return np.zeros((len(rows) - 1, len(columns) - 1), np.float32), False
        sums = _overlaps(rows, plane.shape[0]) @ values @ _overlaps(columns, plane.shape[1]).T
        return sums.astype(np.float32), True


def _overlaps(edges: Float64, count: int) -> Float64:
    """Return how much of each of `count` unit pixels lies in each cell, `(cells, count)`."""
    starts = np.arange(count)
    shares = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    clipped: Float64 = np.clip(shares, 0.0, 1.0)
    return clipped


@lru_cache(maxsize=1)
def best_kernels() -> Kernels:
    """Return the compiled loops, or numpy's if numba or the CPU cannot run them."""
    try:
        from harmovid_server.codec.reduce_numba import NumbaKernels
    except ImportError:
        return NumpyKernels()
    return NumbaKernels()


def proxy_size(display: Box, lines: int) -> Tuple[int, int]:
    """Return (width, height) of a format's proxy: at most `lines` high, same aspect ratio, never enlarged."""
    width, height = display[2] - display[0], display[3] - display[1]
    small = min(lines, height)
    return max(1, round(width * small / height)), small


def area_means(
    planes: Sequence[Plane],
    window: Box,
    display: Box,
    size: Tuple[int, int],
    kernels: Optional[Kernels] = None,
) -> Reduced:
    """Average planes over the cells of a proxy.

    Args:
        planes: `(H, W)` half or float32 each, all of the same data window; a pixel that is NaN or
            infinite in one plane counts in none.
        window: the planes' data window, plate pixels, x1/y1 exclusive.
        display: the display window, which the proxy covers.
        size: (width, height) of the proxy.
        kernels: the implementation of the inner loops; default the fastest available.
    """
    loops = kernels or best_kernels()
    rows, row_shares = _edges(window[1], window[3], display[1], display[3], size[1])
    columns, column_shares = _edges(window[0], window[2], display[0], display[2], size[0])
    areas = np.outer(np.diff(rows), np.diff(columns)).astype(np.float32)
    sums, finite = _all_sums(planes, None, rows, columns, loops)
    nan = inf = 0
    if not finite:
        nan = sum(int(np.count_nonzero(np.isnan(plane))) for plane in planes)
        good = np.logical_and.reduce([np.isfinite(plane) for plane in planes])
        inf = sum(int(np.count_nonzero(~np.isfinite(plane))) for plane in planes) - nan
        areas, _ = loops.area_sums(good.astype(np.float32), None, rows, columns)
        sums, _ = _all_sums(planes, good, rows, columns, loops)
    per_area = np.divide(1, areas, out=np.zeros_like(areas), where=areas > 0)
    means = tuple(plane * per_area for plane in sums)
    return Reduced(means, np.clip(areas / np.float32(row_shares * column_shares), 0, 1), nan, inf)


def _all_sums(
    planes: Sequence[Plane],
    good: Optional[npt.NDArray[np.bool_]],
    rows: Float64,
    columns: Float64,
    loops: Kernels,
) -> Tuple[List[Float32], bool]:
    """Return each plane's sums `(h, w)` and whether all values are finite."""
    results = [loops.area_sums(plane, good, rows, columns) for plane in planes]
    return [sums for sums, _ in results], all(finite for _, finite in results)


def _edges(start: int, stop: int, first: int, last: int, cells: int) -> Tuple[Float64, float]:
    """Return the cells' edges in pixels of the data window, clipped to it, and the length of a whole cell."""
    edges = np.linspace(first, last, cells + 1) - start
    return np.clip(edges, 0, stop - start), (last - first) / cells
