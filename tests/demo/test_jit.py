"""Numba in the demo: a notice when a kernel is compiled, none when it is found in the cache."""

from __future__ import annotations

import numba
from harmovid_demo.jit import on_compiling


def test_compiling_is_reported_once():
    """The first compilation within the block calls back, later ones do not; a compiled kernel never does."""
    told = []
    kernels = [numba.njit(lambda x: x + 1), numba.njit(lambda x: x + 2)]
    with on_compiling(lambda: told.append("now")):
        assert not told
        assert [kernel(1) for kernel in kernels] == [2, 3]
    assert told == ["now"]
    with on_compiling(lambda: told.append("again")):
        assert kernels[0](5) == 6
    assert told == ["now"]
