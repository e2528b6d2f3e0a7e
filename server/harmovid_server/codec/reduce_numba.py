"""The compiled loops of `reduce.py`, which alone imports them; needs numba, and F16C on x86.

A plane is read once, row by row, directly as half floats; the inner loops have no branches, so that the compiler can
use vector instructions. Compiled code is cached on disk beside this package, or in `NUMBA_CACHE_DIR`.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Tuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

Plane = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
F = TypeVar("F", bound=Callable[..., Any])

if binding.get_process_triple().startswith("x86") and not binding.get_host_cpu_features().get("f16c"):
    # Without this instruction LLVM calls a runtime function that numba does not link.
    raise ImportError("this processor has no F16C instructions")

_ALL_GOOD = np.zeros((0, 0), np.bool_)


def _compiled(function: F) -> F:
    return cast(F, njit(cache=True, nogil=True, error_model="numpy")(function))


def _load(context: Any, value: Any) -> Any:
    """Return float32 unchanged, and uint16 as the half float with the same bits."""
    if value == types.float32:
        return types.float32(types.float32), lambda _context, _builder, _signature, args: args[0]

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), generate


_as_float: Any = intrinsic(_load)


@_compiled
def _add_row(line: Float32, source: Plane, share: np.float32) -> None:
    for x in range(line.shape[0]):
        line[x] += share * _as_float(source[x])


@_compiled
def _add_good(line: Float32, source: Plane, good: npt.NDArray[np.bool_], share: np.float32) -> None:
    for x in range(line.shape[0]):
        if good[x]:
            line[x] += share * _as_float(source[x])


@_compiled
def _is_finite(line: Float32) -> bool:
    odd = 0
    for x in range(line.shape[0]):
        odd += line[x] - line[x] != np.float32(0)
    return odd == 0


@_compiled
def _area_sums(
    plane: Plane, good: npt.NDArray[np.bool_], rows: Float64, columns: Float64, out: Float32
) -> bool:
    """Fill `out` as `reduce.NumpyKernels.area_sums` does: rows of a cell first, then along the columns.

    Returns:
        whether the sums of all rows over the whole width are finite, also of rows outside the cells.
    """
    line = np.zeros(plane.shape[1], np.float32)
    masked = good.shape[0] > 0
    finite = True
    for j in range(out.shape[0]):
        line[:] = 0
        for y in range(int(rows[j]), int(np.ceil(rows[j + 1]))):
            share = np.float32(min(rows[j + 1], y + 1.0) - max(rows[j], float(y)))
            if masked:
                _add_good(line, plane[y], good[y], share)
            else:
                _add_row(line, plane[y], share)
        finite &= _is_finite(line)
        _line_sums(line, columns, out[j])
    if not masked:
        line[:] = 0
        for y in range(int(rows[0])):
            _add_row(line, plane[y], np.float32(1))
        for y in range(int(np.ceil(rows[-1])), plane.shape[0]):
            _add_row(line, plane[y], np.float32(1))
        finite &= _is_finite(line)
    return finite


@_compiled
def _line_sums(line: Float32, edges: Float64, out: Float32) -> None:
    """Sum `line` between neighbouring edges, the pixels at both ends in proportion."""
    start = edges[0]
    first = int(start)
    for i in range(out.shape[0]):
        stop = edges[i + 1]
        last = int(stop)
        if last == first:
            out[i] = np.float32(stop - start) * line[min(first, line.shape[0] - 1)]
        else:
            total = np.float32(first + 1 - start) * line[first]
            for x in range(first + 1, last):
                total += line[x]
            if last < line.shape[0]:
                total += np.float32(stop - last) * line[last]
            out[i] = total
        start, first = stop, last


class NumbaKernels:
    """See `reduce.Kernels`."""

    def area_sums(
        self, plane: Plane, good: Optional[npt.NDArray[np.bool_]], rows: Float64, columns: Float64
    ) -> Tuple[Float32, bool]:
        """See `reduce.NumpyKernels.area_sums`."""
        plane = np.ascontiguousarray(plane)
        readable = plane.view(np.uint16) if plane.dtype == np.float16 else plane
        out = np.empty((len(rows) - 1, len(columns) - 1), np.float32)
        finite = _area_sums(readable, _ALL_GOOD if good is None else good, rows, columns, out)
        return out, bool(finite)
