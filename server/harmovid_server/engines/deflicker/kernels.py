"""The inner loops of matching and of the local fit, compiled. They release Python's lock, so two threads use two cores.

`sample` compares two frames along their motion, pixel by pixel, and averages reliable pixels over small blocks;
`likeness` is used to find cuts. tests/server/engines/deflicker has both in plain numpy.

The local fit maps cells to samples and back, as described in `local_gains.Rows`. Every sample reads two maps, the later
frame's with a plus and the earlier's with a minus, each interpolated between the four cells around its position:
`cells` and `shares` are `(n, 8)`, `maps` is `(cells, 3)`.
"""

from __future__ import annotations

from typing import Any, Callable, Tuple, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from harmovid.pixels.field import LUMA

Array32 = npt.NDArray[np.float32]
Array64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]
Shares = Tuple[float, float, float, float]
F = TypeVar("F", bound=Callable[..., Any])

COLUMNS = 12
"""Columns of a block: total weight, colours in the later (3) and earlier frame (3), positions in both (2, 2), trust."""


def compiled(function: F) -> F:
    """Compile a function; it runs without Python's lock."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


@compiled
def stride_of(step: int) -> int:
    """Return the step between pixels that are read: large blocks do not need all of theirs."""
    return 3 if step >= 8 else 2 if step >= 4 else 1


@compiled
def _corners(position: float, size: int) -> Tuple[Any, Any, float]:
    """Return the two pixels next to a position, and the weight of the second; edges repeat."""
    position = min(max(position, 0.0), size - 1.0)
    first = min(int(position), max(size - 2, 0))
    # Unsigned: a signed index is tested for being negative every time.
    return np.uintp(first), np.uintp(min(first + 1, size - 1)), position - first


@compiled
def _between(image: Any, x0: Any, x1: Any, y0: Any, y1: Any, shares: Shares, c: int) -> float:
    """Return a channel's value, interpolated between four pixels."""
    upper = shares[0] * image[y0, x0, c] + shares[1] * image[y0, x1, c]
    return float(upper + shares[2] * image[y1, x0, c] + shares[3] * image[y1, x1, c])


@compiled
def sample(
    later: Array32,
    earlier: Array32,
    slopes: Tuple[Array32, Array32],
    weights: Tuple[Array32, Array32],
    flows: Tuple[Array32, Array32],
    numbers: Array64,
    step: int,
) -> Array64:
    """Return `(blocks, 12)` sums over blocks of `step` pixels; see `COLUMNS`. Blocks run along the rows.

    Args:
        later, earlier: `(h, w, 3)` log2 colours of both frames.
        slopes: `(h, w)` squared gradients of both frames' brightness, stops^2 per pixel^2.
        weights: `(h, w)` of both frames, where light can be measured.
        flows: `(h, w, 2)` motion from the later frame to the earlier, and back.
        numbers: tolerated disagreement of the flows in pixels, error of the flow in pixels, noise in stops, the level
            of middle grey, and for both frames the lowest and highest colour that is not clipped.
        step: size of a block in pixels; incomplete blocks are left out.
    """
    height, width = later.shape[:2]
    off_px, error_px, noise, middle, low, high, low_earlier, high_earlier = numbers
    rows, columns = height // step, width // step
    sums, seen = np.zeros((rows * columns, COLUMNS)), np.zeros(3)
    slope_earlier, weight_earlier = (
        slopes[1].reshape(height, width, 1),
        weights[1].reshape(height, width, 1),
    )
    skip = stride_of(step)
    for y in range(rows * step):
        for k in range((columns * step - y % skip + skip - 1) // skip):
            column = y % skip + k * skip
            x, px = np.uintp(column), float(column)
            own = later[y, x]
            if (
                weights[0][y, x] <= 0
                or min(own[0], own[1], own[2]) <= low
                or max(own[0], own[1], own[2]) >= high
            ):
                continue
            to_x, to_y = px + flows[0][y, x, 0], y + flows[0][y, x, 1]
            if not (0 <= to_x <= width - 1 and 0 <= to_y <= height - 1):
                continue
            x0, x1, fx = _corners(to_x, width)
            y0, y1, fy = _corners(to_y, height)
            shares = (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx
            for c in range(3):
                seen[c] = _between(earlier, x0, x1, y0, y1, shares, c)
            if (
                min(seen[0], seen[1], seen[2]) <= low_earlier
                or max(seen[0], seen[1], seen[2]) >= high_earlier
            ):
                continue
            off_x = flows[0][y, x, 0] + _between(flows[1], x0, x1, y0, y1, shares, 0)
            off_y = flows[0][y, x, 1] + _between(flows[1], x0, x1, y0, y1, shares, 1)
            trust = 1 / (1 + (off_x**2 + off_y**2) / off_px**2) ** 2
            trust *= min(weights[0][y, x], _between(weight_earlier, x0, x1, y0, y1, shares, 0))
            luma = 0.5 * (
                LUMA[0] * (own[0] + seen[0]) + LUMA[1] * (own[1] + seen[1]) + LUMA[2] * (own[2] + seen[2])
            )
            slope = 0.5 * (slopes[0][y, x] + _between(slope_earlier, x0, x1, y0, y1, shares, 0))
            weight = trust * np.exp2(min(luma - middle, 1.4) / 1.2) / (noise**2 + slope * error_px**2)
            block = sums[np.uintp((y // step) * columns + column // step)]
            block[0] += weight
            for c in range(3):
                block[1 + c] += weight * own[c]
                block[4 + c] += weight * seen[c]
            block[7] += weight * (px + 0.5)
            block[8] += weight * (y + 0.5)
            block[9] += weight * (to_x + 0.5)
            block[10] += weight * (to_y + 0.5)
            block[11] += trust
    return sums


@compiled
def likeness(later: npt.NDArray[np.uint8], earlier: npt.NDArray[np.uint8], flow: Array32) -> float:
    """Return the correlation -1..1 of two pictures `(h, w)` after motion; 1 if one of them is flat."""
    height, width = later.shape
    moved = earlier.reshape(height, width, 1)
    n, a, b, aa, bb, ab = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for y in range(height):
        for x in range(y % 2, width, 2):  # a chequerboard of pixels is enough
            x0, x1, fx = _corners(x + flow[y, x, 0], width)
            y0, y1, fy = _corners(y + flow[y, x, 1], height)
            shares = (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx
            other = _between(moved, x0, x1, y0, y1, shares, 0)
            mine = float(later[y, x])
            n += 1
            a += mine
            b += other
            aa += mine * mine
            bb += other * other
            ab += mine * other
    if not n:
        return 1.0
    spread = np.sqrt(max(aa / n - (a / n) ** 2, 0.0) * max(bb / n - (b / n) ** 2, 0.0))
    if spread < 1.0:
        return 1.0
    return float((ab / n - a * b / n / n) / spread)


@compiled
def _moved(colour: Array64, curve: Array64, centre: float, channel: int) -> float:
    """Return one channel of a colour after a curve over `colour_terms.terms`, whose products are written out here."""
    light = (colour[0] + colour[1] + colour[2]) / 3 - centre
    u, v = colour[0] - colour[1], colour[2] - colour[1]
    c = curve[:, channel]
    stops = c[0] + light * (c[1] + light * c[4] + u * c[7] + v * c[8])
    return float(colour[channel] + stops + u * (c[2] + u * c[5] + v * c[9]) + v * (c[3] + v * c[6]))


@compiled
def _moved_terms(colour: Array64, left: Array64, inverse: Array64, centre: float, out: Array64) -> None:
    """Write `colour_terms.terms` of a colour plus `left @ inverse`."""
    r = colour[0] + left[0] * inverse[0, 0] + left[1] * inverse[1, 0] + left[2] * inverse[2, 0]
    g = colour[1] + left[0] * inverse[0, 1] + left[1] * inverse[1, 1] + left[2] * inverse[2, 1]
    b = colour[2] + left[0] * inverse[0, 2] + left[1] * inverse[1, 2] + left[2] * inverse[2, 2]
    light, u, v = (r + g + b) / 3 - centre, r - g, b - g
    out[0], out[1], out[2], out[3] = 1.0, light, u, v
    out[4], out[5], out[6] = light * light, u * u, v * v
    out[7], out[8], out[9] = light * u, light * v, u * v


@compiled
def linearised(
    y: Array64,
    z: Array64,
    later: Index,
    earlier: Index,
    curves: Array64,
    inverse: Array64,
    centre: float,
    out: Array64,
) -> None:
    """Write the first 23 columns of all samples: terms in the later (10) and in the earlier frame (10), and the
    differences (3) that `curves` leave. The terms are those of the colours moved half of the difference each.

    Args:
        y, z: `(m, n, 3)` colours in the later and in the earlier frame of `m` links.
        later, earlier: `(m,)` both frames of each link.
        curves: `(count, 10, 3)`.
        inverse: `(count, 3, 3)`, half of the inverse derivative of each frame's curve.
        centre: as `colour_terms.CENTRE_STOPS`.
        out: `(m, n, 23 or more)`.
    """
    back = -inverse
    for i in range(y.shape[0]):
        a, b = later[i], earlier[i]
        for k in range(y.shape[1]):
            own, other, row = y[i, k], z[i, k], out[i, k]
            for c in range(3):
                row[20 + c] = _moved(other, curves[b], centre, c) - _moved(own, curves[a], centre, c)
            _moved_terms(own, row[20:23], inverse[a], centre, row[:10])
            _moved_terms(other, row[20:23], back[b], centre, row[10:20])


@compiled
def push_links(later: Index, earlier: Index, sums: Array64, step: Array64) -> Array64:
    """Return the product of the links' joint system with `step` `(terms, count, outputs)`.

    Args:
        later, earlier: `(m,)` both frames of each link.
        sums: `(m, 23, 23)` sums over each link of the products of the columns of `linearised`.
        step: a change of every frame's coefficients.
    """
    pushed = np.zeros_like(step)
    order, _, outputs = step.shape
    for i in range(len(later)):
        a, b, own = later[i], earlier[i], sums[i]
        for j in range(order):
            for k in range(order):
                for c in range(outputs):
                    pushed[j, a, c] += own[j, k] * step[k, a, c] - own[j, 10 + k] * step[k, b, c]
                    pushed[j, b, c] += own[10 + j, 10 + k] * step[k, b, c] - own[10 + j, k] * step[k, a, c]
    return pushed


@compiled
def _difference(cells: Index, shares: Array64, maps: Array64, channel: int) -> float:
    """Return what a sample reads of one channel of the maps."""
    later = earlier = 0.0
    for k in range(4):
        # Unsigned: a signed index is tested for being negative every time.
        later += shares[k] * maps[np.uintp(cells[k]), channel]
        earlier += shares[4 + k] * maps[np.uintp(cells[4 + k]), channel]
    return later + earlier


@compiled
def gather(cells: Index, shares: Array64, maps: Array64) -> Array64:
    """Return `(n, 3)`: the stops of the maps for every sample."""
    result = np.zeros((len(cells), 3))
    for i in range(len(cells)):
        for c in range(3):
            result[i, c] = _difference(cells[i], shares[i], maps, c)
    return result


@compiled
def push(cells: Index, shares: Array64, weights: Array64, maps: Array64) -> Array64:
    """Return the transpose of `gather` of `gather(maps) * weights` in one pass; weights are `(n,)`."""
    sums = np.zeros_like(maps)
    for i in range(len(cells)):
        for c in range(3):
            value = _difference(cells[i], shares[i], maps, c) * weights[i]
            for k in range(8):
                sums[np.uintp(cells[i, k]), c] += shares[i, k] * value
    return sums
