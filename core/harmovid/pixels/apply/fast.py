"""The functions of `tiles.py`, with inner loops compiled by numba where it is installed.

    from harmovid.pixels.apply.fast import apply_field, apply_stops, field_stops

One thread per call: frames run in parallel in their own processes. The compiled loops are cached on disk beside this
package (or in `NUMBA_CACHE_DIR`), so only the first frame of an installation waits for the compiler. Without numba the
reference implementation in numpy is used, and the log says so once.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Optional, Tuple

from harmovid.pixels.apply import tiles
from harmovid.pixels.apply.kernels_numpy import PARITY_STOPS, Kernels, NumpyKernels
from harmovid.pixels.apply.tiles import ApplyReport, P, Picture, Plane
from harmovid.pixels.field import Float32, LightingField

__all__ = ["PARITY_STOPS", "ApplyReport", "apply_field", "apply_stops", "best_kernels", "field_stops"]

log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def best_kernels() -> Kernels:
    """Return the compiled inner loops, or numpy's if numba cannot be imported (logged once)."""
    try:
        from harmovid.pixels.apply.kernels_numba import NumbaKernels
    except ImportError as error:
        log.warning(
            "numba is not installed (%s): lighting fields are applied by numpy, several times slower", error
        )
        return NumpyKernels()
    return NumbaKernels()


def apply_field(
    rgb: P,
    field: LightingField,
    *,
    origin: Tuple[int, int],
    alpha: Optional[Plane] = None,
    premultiplied: bool = False,
    mask: Optional[Plane] = None,
    strength: float = 1.0,
) -> Tuple[P, ApplyReport]:
    """See `harmovid.pixels.apply.tiles.apply_field`."""
    return tiles.apply_field(
        rgb,
        field,
        origin=origin,
        alpha=alpha,
        premultiplied=premultiplied,
        mask=mask,
        strength=strength,
        kernels=best_kernels(),
    )


def field_stops(
    rgb: Picture,
    field: LightingField,
    *,
    origin: Tuple[int, int],
    alpha: Optional[Plane] = None,
    premultiplied: bool = False,
    mask: Optional[Plane] = None,
    strength: float = 1.0,
) -> Float32:
    """See `harmovid.pixels.apply.tiles.field_stops`."""
    return tiles.field_stops(
        rgb,
        field,
        origin=origin,
        alpha=alpha,
        premultiplied=premultiplied,
        mask=mask,
        strength=strength,
        kernels=best_kernels(),
    )


def apply_stops(rgb: P, stops: Float32) -> Tuple[P, ApplyReport]:
    """See `harmovid.pixels.apply.tiles.apply_stops`."""
    return tiles.apply_stops(rgb, stops, kernels=best_kernels())
