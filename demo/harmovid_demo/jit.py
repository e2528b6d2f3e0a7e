"""Numba in the demo: kernels that release the interpreter's lock, and a notice while they are compiled.

A first run spends most of its time in the compiler, without any other output.
"""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from numba.core import event

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


class _Once(event.Listener):  # type: ignore[misc]
    """Calls back at the first compilation."""

    def __init__(self, begun: Callable[[], None]) -> None:
        self._begun = begun
        self._told = False

    def on_start(self, _: Any) -> None:
        """A compilation begins."""
        if not self._told:
            self._told = True
            self._begun()

    def on_end(self, _: Any) -> None:
        """A compilation is over."""


@contextlib.contextmanager
def on_compiling(begun: Callable[[], None]) -> Iterator[None]:
    """Call `begun` once, when numba first compiles within the block; not where all is found in its cache."""
    with event.install_listener("numba:compile", _Once(begun)):
        yield
