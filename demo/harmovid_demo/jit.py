"""The one door to numba: compiled kernels keep their types and run without the interpreter's lock."""

from __future__ import annotations

from typing import Any, Callable, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(function: _Function) -> _Function:
    """Compile `function` to machine code on first use and keep the result on disk for the next run.

    numba's cache watches only the file a kernel stands in, so kernels call kernels of their own file only.
    """
    options: Any = {"nogil": True, "error_model": "numpy", "fastmath": {"nsz", "arcp", "contract"}}
    try:
        return cast(_Function, numba.njit(cache=True, **options)(function))
    except RuntimeError:  # no folder where the cache could be kept: compiling anew each time works, too
        return cast(_Function, numba.njit(**options)(function))
