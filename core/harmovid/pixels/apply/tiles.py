"""Apply a lighting field to a plate: `out = plate * 2 ** (stops * strength * mask)`, in tiles of rows.

    from harmovid.pixels.apply.fast import apply_field      # numba where it is installed, numpy otherwise

    relit, report = apply_field(rgb, field, origin=(x, y), alpha=alpha, premultiplied=True, mask=matte)

By default these functions use the reference implementation (`kernels_numpy.py`); those of `fast.py` take the same
arguments. Both return pixels bit-identical, NaN payloads and -0.0 included, wherever nothing changes: `strength * mask`
is 0, alpha is not above 0, the stops are exactly 0, or a colour channel is NaN or infinite. Negative values
keep their sign and get the gain; values above 1 survive. Memory beyond input and output stays under
`WORKING_BYTES` for pictures up to 8192 wide, whatever their height.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, List, Optional, Sequence, Tuple, TypeVar, Union

import numpy as np
import numpy.typing as npt

from harmovid.errors import InputError
from harmovid.pixels.apply.kernels_numpy import Kernels, NumpyKernels, Tile
from harmovid.pixels.field import Faded, Float32, LightingField, Part

Plane = npt.NDArray[Any]
Picture = Union[Plane, Sequence[Plane]]
P = TypeVar("P", bound=Picture)

TILE_PIXELS = 32768
"""Pixels worked on at once (whole rows, at least one): few enough that a tile stays in the core's cache."""

WORKING_BYTES = 32 << 20
"""Upper bound of the memory used beyond input and output, for pictures up to 8192 pixels wide."""

_LARGEST = {np.dtype(np.float16): 65504.0, np.dtype(np.float32): float(np.finfo(np.float32).max)}


@dataclass(frozen=True)
class ApplyReport:
    """What happened to the pixels of one picture.

    Attributes:
        changed_pixels: pixels that got stops other than 0.
        nonfinite_pixels: pixels with NaN or infinity in a colour channel, returned unchanged.
        clamped_values: channel values beyond the range of the pixel type (half: 65504), clamped to its largest value.
    """

    changed_pixels: int = 0
    nonfinite_pixels: int = 0
    clamped_values: int = 0

    def __add__(self, other: ApplyReport) -> ApplyReport:
        return ApplyReport(
            self.changed_pixels + other.changed_pixels,
            self.nonfinite_pixels + other.nonfinite_pixels,
            self.clamped_values + other.clamped_values,
        )


def apply_field(
    rgb: P,
    field: LightingField,
    *,
    origin: Tuple[int, int],
    alpha: Optional[Plane] = None,
    premultiplied: bool = False,
    mask: Optional[Plane] = None,
    strength: float = 1.0,
    kernels: Optional[Kernels] = None,
) -> Tuple[P, ApplyReport]:
    """Return `rgb` with `field` applied, in the same pixel type and form, and a report.

    Args:
        rgb: scene-linear colour, half or float32, not modified: one `(H, W, 3)` array, or three `(H, W)`
            planes of any strides (a tuple comes back).
        origin: plate coordinates of the first pixel: the upper left corner of the data window.
        alpha: `(H, W)`; pixels where it is not above 0 are left alone. Needed when `premultiplied`.
        premultiplied: the colours are multiplied by alpha; the field is then evaluated at `rgb / alpha`.
        mask: `(H, W)` of weights, multiplied with `strength`; NaN counts as 0.
        strength: factor for the stops.
        kernels: the implementation of the inner loops; default the reference.

    Raises:
        InputError: shapes or pixel types that do not match.
    """
    planes = _planes(rgb)
    result, targets = _empty_like(rgb, planes)
    if field.is_null or strength == 0:
        for target, plane in zip(targets, planes):
            target[...] = plane
        return result, ApplyReport()
    loops = kernels or NumpyKernels()
    reader = _StopsReader(planes, field, origin, alpha, premultiplied, mask, strength, loops)
    writer = _Writer(planes, targets, loops)
    for rows in _tiles(planes[0].shape):
        writer.write(rows, *reader.read(rows))
    return result, writer.report


def field_stops(
    rgb: Picture,
    field: LightingField,
    *,
    origin: Tuple[int, int],
    alpha: Optional[Plane] = None,
    premultiplied: bool = False,
    mask: Optional[Plane] = None,
    strength: float = 1.0,
    kernels: Optional[Kernels] = None,
) -> Float32:
    """Return the stops that `apply_field` with the same arguments applies, `(H, W, 3)` float32.

    `apply_stops(rgb, stops)` with the same kernels then gives the same bits as `apply_field`.
    """
    planes = _planes(rgb)
    result = np.zeros((*planes[0].shape, 3), np.float32)
    loops = kernels or NumpyKernels()
    reader = _StopsReader(planes, field, origin, alpha, premultiplied, mask, strength, loops)
    for rows in _tiles(planes[0].shape):
        result[rows] = np.moveaxis(reader.read(rows)[1], 0, -1)
    return result


def apply_stops(rgb: P, stops: Float32, *, kernels: Optional[Kernels] = None) -> Tuple[P, ApplyReport]:
    """Return `rgb * 2**stops`, with the same guarantees as `apply_field`.

    Args:
        rgb: as in `apply_field`.
        stops: `(H, W, 3)`; NaN and infinity count as 0.
        kernels: the implementation of the inner loops; default the reference.
    """
    planes = _planes(rgb)
    if stops.shape != (*planes[0].shape, 3):
        raise InputError(f"stops of shape {stops.shape} do not fit a picture of {planes[0].shape}.")
    result, targets = _empty_like(rgb, planes)
    loops = kernels or NumpyKernels()
    writer = _Writer(planes, targets, loops)
    for rows in _tiles(planes[0].shape):
        values = _read(planes, rows, loops)
        with np.errstate(invalid="ignore", over="ignore"):
            _, live, nonfinite = loops.guide(values, None, False)
            total = np.ascontiguousarray(np.moveaxis(stops[rows], -1, 0), dtype=loops.dtype)
            ready = loops.weigh(total, np.ones(live.shape, np.float32), live)
        writer.write(rows, values, ready, nonfinite)
    return result, writer.report


@dataclass(frozen=True)
class _StopsReader:
    """Evaluates a field tile by tile; its attributes are the arguments of `apply_field`."""

    planes: Sequence[Plane]
    field: LightingField
    origin: Tuple[int, int]
    alpha: Optional[Plane]
    premultiplied: bool
    mask: Optional[Plane]
    strength: float
    kernels: Kernels

    def __post_init__(self) -> None:
        if self.premultiplied and self.alpha is None:
            raise InputError("premultiplied colour without its alpha cannot be relit.", fix="Give the alpha.")
        for name, plane in (("alpha", self.alpha), ("mask", self.mask)):
            if plane is not None and plane.shape != self.planes[0].shape:
                raise InputError(f"the {name} is {plane.shape}, the picture {self.planes[0].shape}.")

    def read(self, rows: slice) -> Tuple[Float32, Float32, int]:
        """Return values and effective stops, `(3, h, w)` each, and the count of non-finite pixels."""
        values = _read(self.planes, rows, self.kernels)
        with np.errstate(invalid="ignore", over="ignore"):
            alpha = None if self.alpha is None else self.alpha[rows].astype(np.float32)
            guide, live, nonfinite = self.kernels.guide(values, alpha, self.premultiplied)
            x, y = self.origin[0] + 0.5, self.origin[1] + rows.start + 0.5
            tile = Tile(guide, np.zeros(guide.shape, self.kernels.dtype), x, y)
            _add_parts(self.field.parts, tile, self.kernels)
            weight = np.full(live.shape, self.strength, np.float32)
            if self.mask is not None:
                weight *= self.mask[rows]
            return values, self.kernels.weigh(tile.total, weight, live), nonfinite


@dataclass
class _Writer:
    """Applies stops to tiles, writes them into `targets` and sums up the report."""

    planes: Sequence[Plane]
    targets: Sequence[Plane]
    kernels: Kernels
    report: ApplyReport = ApplyReport()

    def write(self, rows: slice, values: Float32, stops: Float32, nonfinite: int) -> None:
        """Apply `stops` to `values` in place and write them in the targets' pixel types."""
        limits = [_LARGEST[plane.dtype] for plane in self.planes]
        broken = ~np.isfinite(values).all(axis=0) if nonfinite else None
        changed, clamped = self.kernels.relight(values, stops, limits)
        for value, plane, target in zip(values, self.planes, self.targets):
            with np.errstate(invalid="ignore"):
                self.kernels.store(value, target[rows])
            if broken is not None:
                # A NaN's payload does not survive conversion to float32 and back; finite values do, exactly.
                target[rows][broken] = plane[rows][broken]
        self.report += ApplyReport(changed, nonfinite, clamped)


def _add_parts(parts: Sequence[Part], tile: Tile, kernels: Kernels) -> None:
    """Add the stops of `parts` in order, each sees the guide with the stops of the parts before it applied."""
    for part in parts:
        if isinstance(part, Faded):
            inner = Tile(tile.guide.copy(), np.zeros_like(tile.total), tile.x, tile.y)
            _add_parts(part.parts, inner, kernels)
            inner.total *= part.strength
            tile.total += inner.total
            tile.guide *= np.exp2(inner.total)
        else:
            kernels.add(part, tile)


def _tiles(shape: Tuple[int, ...]) -> Iterator[slice]:
    height, width = shape
    step = max(1, TILE_PIXELS // max(1, width))
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def _read(planes: Sequence[Plane], rows: slice, kernels: Kernels) -> Float32:
    values = np.empty((3, *planes[0][rows].shape), np.float32)
    with np.errstate(invalid="ignore"):
        for value, plane in zip(values, planes):
            kernels.load(plane[rows], value)
    return values


def _planes(rgb: Picture) -> List[Plane]:
    """Return three `(H, W)` views of `rgb`; `InputError` if it is not a picture of half or float32."""
    if isinstance(rgb, np.ndarray):
        if rgb.ndim != 3 or rgb.shape[2] != 3:
            raise InputError(f"colour of shape {rgb.shape} is not (H, W, 3).")
        planes = [rgb[..., channel] for channel in range(3)]
    else:
        planes = list(rgb)
    shapes = {plane.shape for plane in planes}
    if len(planes) != 3 or len(shapes) != 1 or planes[0].ndim != 2:
        raise InputError(f"colour planes of shapes {[plane.shape for plane in planes]} are not three (H, W).")
    for plane in planes:
        if plane.dtype not in _LARGEST:
            raise InputError(f"colour of type {plane.dtype} cannot be relit.", fix="Use half or float32.")
    return planes


def _empty_like(rgb: P, planes: Sequence[Plane]) -> Tuple[P, List[Plane]]:
    """Return an uninitialised picture of the same form as `rgb`, and its three planes."""
    if isinstance(rgb, np.ndarray):
        whole: Any = np.empty(rgb.shape, rgb.dtype)
        return whole, [whole[..., channel] for channel in range(3)]
    fresh = [np.empty(plane.shape, plane.dtype) for plane in planes]
    made: Any = tuple(fresh)
    return made, fresh
