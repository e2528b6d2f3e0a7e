"""The inner loops of matching, compiled. They hold no Python lock, so two threads use two cores.

`sample` compares two frames along their motion, pixel by pixel, and averages what can be trusted over small blocks;
`likeness` tells shots apart. tests/server/engines has both written out in numpy.
"""

from __future__ import annotations

from typing import Any, Callable, Tuple, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from harmovid.pixels.field import LUMA

Array32 = npt.NDArray[np.float32]
Array64 = npt.NDArray[np.float64]
ENOUGH_PX = 4
"""Blocks of this size and larger are read like a chequerboard: every second pixel says enough."""
F = TypeVar("F", bound=Callable[..., Any])

COLUMNS = 12
"""Of a block: total weight, its colours here (3) and there (3), places here (2) and there (2), trust."""


def compiled(function: F) -> F:
    """Compile a function; it runs without Python's lock."""
    return cast(F, numba.njit(cache=True, nogil=True, fastmath=False)(function))


@compiled
def _corners(position: float, size: int) -> Tuple[int, int, float]:
    """Return the two pixels that a position lies between, and the second one's share; edges repeat."""
    position = min(max(position, 0.0), size - 1.0)
    first = min(int(position), max(size - 2, 0))
    return first, min(first + 1, size - 1), position - first


@compiled
def sample(
    here: Array32,
    there: Array32,
    slopes: Tuple[Array32, Array32],
    weights: Tuple[Array32, Array32],
    flows: Tuple[Array32, Array32],
    numbers: Array64,
    step: int,
) -> Array64:
    """Return `(blocks, 12)` sums over blocks of `step` pixels; see `COLUMNS`. Blocks run along the rows.

    Args:
        here, there: `(h, w, 3)` log2 colours.
        slopes: `(h, w)` squared gradients of both frames' brightness, stops^2 per pixel^2.
        weights: `(h, w)` where light may be measured, of both frames.
        flows: `(h, w, 2)` motion from here to there, and back.
        numbers: disagreement of the flows in pixels, flow's error in pixels, noise in stops, lowest and highest colour
            that is no clipping.
        step: size of a block in pixels; what does not fill a block is left out.
    """
    height, width = here.shape[:2]
    off_px, error_px, noise, low, high = numbers
    rows, columns = height // step, width // step
    sums = np.zeros((rows * columns, COLUMNS))
    skip = 2 if step >= ENOUGH_PX else 1
    for y in range(rows * step):
        for x in range(y % skip, columns * step, skip):
            if weights[0][y, x] <= 0:
                continue
            there_x, there_y = x + flows[0][y, x, 0], y + flows[0][y, x, 1]
            if not (0 <= there_x <= width - 1 and 0 <= there_y <= height - 1):
                continue
            x0, x1, fx = _corners(there_x, width)
            y0, y1, fy = _corners(there_y, height)
            a, b, c, d = (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx
            p, q, s, t = flows[1][y0, x0], flows[1][y0, x1], flows[1][y1, x0], flows[1][y1, x1]
            back_x = a * p[0] + b * q[0] + c * s[0] + d * t[0]
            back_y = a * p[1] + b * q[1] + c * s[1] + d * t[1]
            gap = (flows[0][y, x, 0] + back_x) ** 2 + (flows[0][y, x, 1] + back_y) ** 2
            trust = 1 / (1 + gap / off_px**2) ** 2
            measured = weights[1]
            seen = a * measured[y0, x0] + b * measured[y0, x1] + c * measured[y1, x0] + d * measured[y1, x1]
            trust *= min(weights[0][y, x], seen)
            p, q, s, t = there[y0, x0], there[y0, x1], there[y1, x0], there[y1, x1]
            r = a * p[0] + b * q[0] + c * s[0] + d * t[0]
            g = a * p[1] + b * q[1] + c * s[1] + d * t[1]
            u = a * p[2] + b * q[2] + c * s[2] + d * t[2]
            mine = here[y, x]
            if min(mine[0], mine[1], mine[2]) <= low or min(r, g, u) <= low:
                continue
            if max(mine[0], mine[1], mine[2]) >= high or max(r, g, u) >= high:
                continue
            luma = 0.5 * (LUMA[0] * (mine[0] + r) + LUMA[1] * (mine[1] + g) + LUMA[2] * (mine[2] + u))
            other = slopes[1]
            slope = a * other[y0, x0] + b * other[y0, x1] + c * other[y1, x0] + d * other[y1, x1]
            slope = 0.5 * (slopes[0][y, x] + slope)
            weight = trust * 2 ** (min(luma, 1.4) / 1.2) / (noise**2 + slope * error_px**2)
            block = sums[(y // step) * columns + x // step]
            block[0] += weight
            for k in range(3):
                block[1 + k] += weight * mine[k]
            block[4] += weight * r
            block[5] += weight * g
            block[6] += weight * u
            block[7] += weight * (x + 0.5)
            block[8] += weight * (y + 0.5)
            block[9] += weight * (there_x + 0.5)
            block[10] += weight * (there_y + 0.5)
            block[11] += trust
    return sums


@compiled
def likeness(here: npt.NDArray[np.uint8], there: npt.NDArray[np.uint8], flow: Array32) -> float:
    """Return the correlation -1..1 of two pictures `(h, w)` after motion; 1 where one of them is flat."""
    height, width = here.shape
    n, a, b, aa, bb, ab = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for y in range(height):
        for x in range(width):
            x0, x1, fx = _corners(x + flow[y, x, 0], width)
            y0, y1, fy = _corners(y + flow[y, x, 1], height)
            other = (1 - fy) * ((1 - fx) * there[y0, x0] + fx * there[y0, x1])
            other += fy * ((1 - fx) * there[y1, x0] + fx * there[y1, x1])
            mine = float(here[y, x])
            n += 1
            a += mine
            b += other
            aa += mine * mine
            bb += other * other
            ab += mine * other
    spread = np.sqrt(max(aa / n - (a / n) ** 2, 0.0) * max(bb / n - (b / n) ** 2, 0.0))
    if spread < 1.0:
        return 1.0
    return float((ab / n - a * b / n / n) / spread)
