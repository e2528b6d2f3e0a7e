"""The inner loops of `fast.py`, compiled by numba. Imported by `fast.py` only.

Why they are fast: a tile stays in the core's cache; every loop runs along one row of plain one-dimensional arrays,
which the compiler needs for vector instructions; logarithms and powers are short polynomials. Only a `Grid` or
`GainMap` is read with gathers, from a row that is interpolated first.

The polynomials were fitted by re-weighted least squares at Chebyshev points to minimise the largest error: log2 within
`LOG2_ERROR_STOPS`, exp2 within `EXP2_ERROR` of the value; a test measures both.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence, Tuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.extending import intrinsic

from harmovid.pixels.apply.kernels_numpy import TOTAL_STOPS_LIMIT, Leaf, Tile, Work, positions
from harmovid.pixels.field import (
    GUIDE_CEIL_STOPS,
    GUIDE_FLOOR_STOPS,
    LUMA,
    STOPS_LIMIT,
    Curve,
    Grid,
)

F = TypeVar("F", bound=Callable[..., Any])

LOG2_ERROR_STOPS = 1e-5
"""Bound of the error of the fast log2 over the whole guide range; most of it is float32 itself near 2**40."""
EXP2_ERROR = 4e-7
"""Bound of the relative error of the fast exp2; most of it is float32 itself."""

_FLOOR = np.float32(2.0**GUIDE_FLOOR_STOPS)
_CEIL = np.float32(2.0**GUIDE_CEIL_STOPS)
_LIMIT = np.float32(STOPS_LIMIT)
_TOTAL_LIMIT = np.float32(TOTAL_STOPS_LIMIT)
_LUMA = tuple(np.float32(weight) for weight in LUMA)

_SQRT_HALF_BITS = np.int32(0x3F3504F3)
_EXPONENT_BITS = np.int32(0x7F800000)
_HALF_BIAS = np.float32(2.0**112)
"""The exponent bias of float32 minus that of half."""

# Lowest power first: log2(1 + t) / t for t from sqrt(1/2) - 1 to sqrt(2) - 1, and (2**f - 1) / f for f from
# -1/2 to 1/2. Without the divisions both are exact at 0, which a gain of exactly 1 needs.
_LOG2 = tuple(
    np.float32(c)
    for c in (
        1.442694773491842,
        -0.7213571219039686,
        0.4809393894570087,
        -0.36008809826911203,
        0.2867085975547988,
        -0.25006148391938005,
        0.2368821574783252,
        -0.14575624693888034,
    )
)
_EXP2 = tuple(
    np.float32(c)
    for c in (
        0.6931472027823222,
        0.24022647914083536,
        0.055503325713381915,
        0.009618437511497303,
        0.00133988446641008,
        0.0001535328431386112,
    )
)


def _compiled(function: F) -> F:
    """Compile lazily and cache on disk; fused multiply-add is allowed, otherwise IEEE 754 is kept."""
    options: Any = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return cast(F, njit(cache=True, **options)(function))
    except RuntimeError:  # numba found no writable cache folder; compiling again each time still works
        return cast(F, njit(**options)(function))


def _inlined(function: F) -> F:
    """As `_compiled`, for helpers that must be inlined into their caller's loop to be vectorised with it."""
    return cast(F, njit(inline="always", error_model="numpy", fastmath={"contract"})(function))


def _bitcast(source: Any, target: Any) -> Any:
    """Return an intrinsic that reads the bits of a `source` scalar as a `target`."""

    def typing(typingctx: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(target))

        return target(source), codegen

    return intrinsic(typing)


_bits = _bitcast(types.float32, types.int32)
_float = _bitcast(types.int32, types.float32)


@_inlined
def _log2(value: Any) -> Any:
    """Return log2 of a float32 clipped to the guide's range."""
    bits = _bits(min(max(value, _FLOOR), _CEIL))
    exponent = (bits - _SQRT_HALF_BITS) >> np.int32(23)
    t = _float(bits - (exponent << np.int32(23))) - np.float32(1)
    p = _LOG2[7]
    p = p * t + _LOG2[6]
    p = p * t + _LOG2[5]
    p = p * t + _LOG2[4]
    p = p * t + _LOG2[3]
    p = p * t + _LOG2[2]
    p = p * t + _LOG2[1]
    p = p * t + _LOG2[0]
    return p * t + np.float32(exponent)


@_inlined
def _exp2(stops: Any) -> Any:
    """Return 2**stops for -126 <= stops <= 126; exactly 1 for 0."""
    whole = np.int32(np.floor(stops + np.float32(0.5)))
    f = stops - np.float32(whole)
    p = _EXP2[5]
    p = p * f + _EXP2[4]
    p = p * f + _EXP2[3]
    p = p * f + _EXP2[2]
    p = p * f + _EXP2[1]
    p = p * f + _EXP2[0]
    return (p * f + np.float32(1)) * _float((whole + np.int32(127)) << np.int32(23))


@_compiled
def _load_half(half: Work, values: Work) -> None:
    """Convert halves, given as uint16, to float32 `values` `(n)` by shifting bits and exponent bias."""
    for i in range(half.size):
        raw = np.int32(half[i])
        shifted = (raw & np.int32(0x7FFF)) << np.int32(13)
        bits = _bits(_float(shifted) * _HALF_BIAS)
        bits = bits | _EXPONENT_BITS if shifted >= np.int32(0x0F800000) else bits
        values[i] = _float(bits | ((raw & np.int32(0x8000)) << np.int32(16)))


@_compiled
def _store_half(values: Work, half: Work) -> None:
    """Convert float32 `values` to `half` `(n)`, halves as uint16, rounded to nearest even; all NaN become one."""
    for i in range(values.size):
        raw = _bits(values[i])
        size = raw & np.int32(0x7FFFFFFF)
        rounded = size - np.int32(0x38000000) + np.int32(0xFFF) + ((size >> np.int32(13)) & np.int32(1))
        # Adding 1/2 makes the float addition round values that become denormal halves.
        denormal = _bits(_float(size) + np.float32(0.5)) - np.int32(0x3F000000)
        bits = denormal if size < np.int32(0x38800000) else rounded >> np.int32(13)
        bits = np.int32(0x7C00) if size >= np.int32(0x477FF000) else bits
        bits = np.int32(0x7E00) if size > _EXPONENT_BITS else bits
        half[i] = np.uint16(bits | ((raw >> np.int32(16)) & np.int32(0x8000)))


@_compiled
def _prepare(values: Work, alpha: Work, premultiplied: bool, guide: Work, live: Work) -> int:
    """Fill `guide` `(3, n)` and `live` `(n)`; an empty `alpha` is 1 everywhere. Count non-finite pixels."""
    nonfinite = 0
    top = _EXPONENT_BITS
    for i in range(live.size):
        r, g, b = values[0, i], values[1, i], values[2, i]
        finite = (_bits(r) & top != top) & (_bits(g) & top != top) & (_bits(b) & top != top)
        nonfinite += not finite
        a = alpha[i] if alpha.size > 0 else np.float32(1)
        sound = finite & (a > np.float32(0)) & (_bits(a) & top != top)
        live[i] = sound
        divisor = a if sound & premultiplied else np.float32(1)
        guide[0, i] = r / divisor if sound else np.float32(1)
        guide[1, i] = g / divisor if sound else np.float32(1)
        guide[2, i] = b / divisor if sound else np.float32(1)
    return nonfinite


@_compiled
def _log2_row(values: Work, offset: Any, low: Any, high: Any, out: Work) -> None:
    """Fill `out` `(n)` with `clip(log2(values) - offset, low, high)`."""
    for i in range(out.size):
        out[i] = min(max(_log2(values[i]) - offset, low), high)


@_compiled
def _quadratic_row(logs: Work, c: Work, out: Work) -> None:
    """Fill `out` `(n)` with the quadratic of coefficients `c` `(10)` of `logs` `(3, n)`."""
    c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 = c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9]
    for i in range(out.size):
        r, g, b = logs[0, i], logs[1, i], logs[2, i]
        linear = c0 + c1 * r + c2 * g + c3 * b
        out[i] = linear + (c4 * r + c7 * g) * r + (c5 * g + c8 * b) * g + (c6 * b + c9 * r) * b


@_compiled
def _add_row(stops: Work, total: Work, guide: Work) -> None:
    """Add `stops`, clamped, to `total` and apply them to `guide`: one row of one channel, `(n)` each."""
    for i in range(stops.size):
        clamped = min(max(stops[i], -_LIMIT), _LIMIT)
        total[i] += clamped
        guide[i] *= _exp2(clamped)


@_compiled
def _add_curve(coeffs: Work, span: Work, guide: Work, total: Work) -> None:
    """Add a curve to `total`, `(3, h, w)`; `span` is (log2 of the anchor, low, high)."""
    logs = np.empty((3, guide.shape[2]), np.float32)
    row = np.empty((3, guide.shape[2]), np.float32)
    for j in range(guide.shape[1]):
        for k in range(3):
            _log2_row(guide[k, j], span[0], span[1], span[2], logs[k])
        for k in range(3):
            _quadratic_row(logs, coeffs[k], row[k])
            _add_row(row[k], total[k, j], guide[k, j])


@_compiled
def _depth_row(red: Work, green: Work, blue: Work, span: Work, out: Work) -> None:
    """Fill `out` `(n)` with positions along a grid's z axis; `span` is (low, high, levels per stop)."""
    low, high, scale = span[0], span[1], span[2]
    for i in range(out.size):
        luma = _LUMA[0] * red[i] + _LUMA[1] * green[i] + _LUMA[2] * blue[i]
        out[i] = (min(max(_log2(luma), low), high) - low) * scale


@_compiled
def _split(places: Work) -> Tuple[Work, Work]:
    """Return the index of the first sample at each position, and the weight of the second."""
    first = places.astype(np.int32)
    return first, (places - first).astype(np.float32)


@_compiled
def _add_grid(cells: Work, places: Tuple[Work, Work], span: Work, guide: Work, total: Work) -> None:
    """Add a grid of `cells` `(gh, gw, gz, 3)` to `total`; `places` are of the tile's rows and columns."""
    last, gw, gz = cells.shape[0] - 1, cells.shape[1], cells.shape[2]
    rows, share_y = _split(places[0])
    columns, share_x = _split(places[1])
    # One extra sample, so that "the next one" always exists; its weight is 0.
    cut = np.zeros((gw + 1, gz + 1, 3), np.float32)
    stops = np.empty((3, guide.shape[2]), np.float32)
    depth = np.empty(guide.shape[2], np.float32)
    for j in range(guide.shape[1]):
        ty = share_y[j]
        cut[:gw, :gz] = cells[rows[j]] * (np.float32(1) - ty) + cells[min(rows[j] + 1, last)] * ty
        _depth_row(guide[0, j], guide[1, j], guide[2, j], span, depth)
        for i in range(depth.size):
            z = np.int32(depth[i])
            tz = depth[i] - np.float32(z)
            x, tx = columns[i], share_x[i]
            for k in range(3):
                near = cut[x, z, k] + tx * (cut[x + 1, z, k] - cut[x, z, k])
                far = cut[x, z + 1, k] + tx * (cut[x + 1, z + 1, k] - cut[x, z + 1, k])
                stops[k, i] = near + tz * (far - near)
        for k in range(3):
            _add_row(stops[k], total[k, j], guide[k, j])


@_compiled
def _add_map(samples: Work, places: Tuple[Work, Work], guide: Work, total: Work) -> None:
    """Add a gain map of `samples` `(h, w, 3)` to `total`; `places` as for `_add_grid`."""
    last, width = samples.shape[0] - 1, samples.shape[1]
    rows, share_y = _split(places[0])
    columns, share_x = _split(places[1])
    cut = np.zeros((width + 1, 3), np.float32)
    stops = np.empty((3, guide.shape[2]), np.float32)
    for j in range(guide.shape[1]):
        ty = share_y[j]
        cut[:width] = samples[rows[j]] * (np.float32(1) - ty) + samples[min(rows[j] + 1, last)] * ty
        for i in range(columns.size):
            x, tx = columns[i], share_x[i]
            for k in range(3):
                stops[k, i] = cut[x, k] + tx * (cut[x + 1, k] - cut[x, k])
        for k in range(3):
            _add_row(stops[k], total[k, j], guide[k, j])


@_compiled
def _weigh(total: Work, weight: Work, live: Work, stops: Work) -> None:
    """Fill `stops` `(3, n)` with `total * weight`, 0 where a pixel is not live or a number is not finite."""
    for k in range(3):
        for i in range(weight.size):
            product = total[k, i] * weight[i]
            sound = live[i] & (_bits(product) & _EXPONENT_BITS != _EXPONENT_BITS)
            stops[k, i] = min(max(product, -_TOTAL_LIMIT), _TOTAL_LIMIT) if sound else np.float32(0)


@_compiled
def _relight_row(values: Work, stops: Work, limit: Any) -> int:
    """Multiply `values` `(n)` by `2**stops` in place where stops are not 0; count the clamped ones."""
    clamped = 0
    for i in range(stops.size):
        before = values[i]
        after = before * _exp2(stops[i])
        edited = stops[i] != np.float32(0)
        clamped += edited & (abs(after) > limit)
        values[i] = min(max(after, -limit), limit) if edited else before
    return clamped


@_compiled
def _edited(stops: Work) -> int:
    """Count the pixels of `stops` `(3, n)` with a channel that is not 0."""
    count = 0
    for i in range(stops.shape[1]):
        count += (stops[0, i] != 0) | (stops[1, i] != 0) | (stops[2, i] != 0)
    return count


class NumbaKernels:
    """The compiled implementation; each method does the same as in `NumpyKernels`."""

    @property
    def dtype(self) -> npt.DTypeLike:
        """See `Kernels.dtype`."""
        return np.float32

    def load(self, source: Work, values: Work) -> None:
        """See `Kernels.load`."""
        if source.dtype == np.float16 and source.flags.c_contiguous:
            _load_half(source.reshape(-1).view(np.uint16), values.reshape(-1))
        else:
            values[...] = source

    def store(self, values: Work, target: Work) -> None:
        """See `Kernels.store`."""
        if target.dtype == np.float16 and target.flags.c_contiguous:
            _store_half(values.reshape(-1), target.reshape(-1).view(np.uint16))
        else:
            target[...] = values

    def guide(self, values: Work, alpha: Optional[Work], premultiplied: bool) -> Tuple[Work, Work, int]:
        """See `Kernels.guide`."""
        guide = np.empty_like(values)
        live = np.empty(values.shape[1:], np.bool_)
        divisor = np.empty(0, np.float32) if alpha is None else np.ascontiguousarray(alpha).reshape(-1)
        flat = guide.reshape(3, -1), live.reshape(-1)
        return guide, live, int(_prepare(values.reshape(3, -1), divisor, premultiplied, *flat))

    def add(self, part: Leaf, tile: Tile) -> None:
        """See `Kernels.add`."""
        if isinstance(part, Curve):
            span = np.array([np.log2(part.anchor), part.low, part.high], np.float32)
            _add_curve(part.coeffs.astype(np.float32), span, tile.guide, tile.total)
        elif isinstance(part, Grid):
            per_stop = (part.stops.shape[2] - 1) / (part.high - part.low)
            span = np.array([part.low, part.high, per_stop], np.float32)
            _add_grid(part.stops, positions(part, tile), span, tile.guide, tile.total)
        else:
            _add_map(part.stops, positions(part, tile), tile.guide, tile.total)

    def weigh(self, total: Work, weight: Work, live: Work) -> Work:
        """See `Kernels.weigh`."""
        stops = np.empty(total.shape, np.float32)
        _weigh(total.reshape(3, -1), weight.reshape(-1), live.reshape(-1), stops.reshape(3, -1))
        return stops

    def relight(self, values: Work, stops: Work, limits: Sequence[float]) -> Tuple[int, int]:
        """See `Kernels.relight`."""
        pairs = zip(values.reshape(3, -1), stops.reshape(3, -1), limits)
        clamped = sum(_relight_row(value, stop, np.float32(limit)) for value, stop, limit in pairs)
        return int(_edited(stops.reshape(3, -1))), int(clamped)
