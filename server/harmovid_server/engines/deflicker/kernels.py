"""The inner loops of matching and of the local fit, compiled. They release Python's lock, so two threads use two cores.

`sample` compares two frames along their motion, pixel by pixel, and averages reliable pixels over small blocks;
`likeness` is used to find cuts. tests/server/engines/deflicker has both in plain numpy.

The local fit maps cells to samples and back, as described in `local_gains.Rows`. Every sample reads two maps, the later
frame's with a plus and the earlier's with a minus, each interpolated between the four cells around its position:
`first` `(n, 2)` are the upper left ones, `inside` `(n, 4)` the weights to the right and down in both. `maps` is
`(cells, 3)`.
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


PATCHES = (9, 16)
"""Rows and columns of the cells of the local fit."""


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
def _between(image: Any, x0: Any, x1: Any, y0: Any, y1: Any, shares: Shares) -> float:
    """Return a plane's value, interpolated between four pixels."""
    upper = shares[0] * image[y0, x0] + shares[1] * image[y0, x1]
    return float(upper + shares[2] * image[y1, x0] + shares[3] * image[y1, x1])


@compiled
def _channel(image: Array32, x0: Any, x1: Any, y0: Any, y1: Any, shares: Shares, c: int) -> float:
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
    sums = np.zeros((rows * columns, COLUMNS))
    skip = stride_of(step)
    for y in range(rows * step):
        for k in range((columns * step - y % skip + skip - 1) // skip):
            column = y % skip + k * skip
            x, px = np.uintp(column), float(column)
            r, g, b = later[y, x, 0], later[y, x, 1], later[y, x, 2]
            if weights[0][y, x] <= 0 or min(r, g, b) <= low or max(r, g, b) >= high:
                continue
            to_x, to_y = px + flows[0][y, x, 0], y + flows[0][y, x, 1]
            if not (0 <= to_x <= width - 1 and 0 <= to_y <= height - 1):
                continue
            x0, x1, fx = _corners(to_x, width)
            y0, y1, fy = _corners(to_y, height)
            shares = (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx
            r_earlier = _channel(earlier, x0, x1, y0, y1, shares, 0)
            g_earlier = _channel(earlier, x0, x1, y0, y1, shares, 1)
            b_earlier = _channel(earlier, x0, x1, y0, y1, shares, 2)
            lowest, highest = min(r_earlier, g_earlier, b_earlier), max(r_earlier, g_earlier, b_earlier)
            if lowest <= low_earlier or highest >= high_earlier:
                continue
            off_x = flows[0][y, x, 0] + _channel(flows[1], x0, x1, y0, y1, shares, 0)
            off_y = flows[0][y, x, 1] + _channel(flows[1], x0, x1, y0, y1, shares, 1)
            trust = 1 / (1 + (off_x**2 + off_y**2) / off_px**2) ** 2
            trust *= min(weights[0][y, x], _between(weights[1], x0, x1, y0, y1, shares))
            luma = 0.5 * (LUMA[0] * (r + r_earlier) + LUMA[1] * (g + g_earlier) + LUMA[2] * (b + b_earlier))
            slope = 0.5 * (slopes[0][y, x] + _between(slopes[1], x0, x1, y0, y1, shares))
            weight = trust * np.exp2(min(luma - middle, 1.4) / 1.2) / (noise**2 + slope * error_px**2)
            block = sums[np.uintp((y // step) * columns + column // step)]
            block[0] += weight
            block[1] += weight * r
            block[2] += weight * g
            block[3] += weight * b
            block[4] += weight * r_earlier
            block[5] += weight * g_earlier
            block[6] += weight * b_earlier
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
    n, a, b, aa, bb, ab = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for y in range(height):
        for x in range(y % 2, width, 2):  # a chequerboard of pixels is enough
            x0, x1, fx = _corners(x + flow[y, x, 0], width)
            y0, y1, fy = _corners(y + flow[y, x, 1], height)
            shares = (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx
            other = _between(earlier, x0, x1, y0, y1, shares)
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
def _shares(across: float, along: float) -> Shares:
    across, along = np.float64(across), np.float64(along)
    return (1 - across) * (1 - along), across * (1 - along), (1 - across) * along, across * along


@compiled
def _cells(first: int) -> Tuple[Any, Any, Any, Any]:
    """Return the four cells of which `first` is the upper left one."""
    # Unsigned: a signed index is tested for being negative every time.
    below = first + PATCHES[1]
    return np.uintp(first), np.uintp(first + 1), np.uintp(below), np.uintp(below + 1)


@compiled
def _read(maps: Array64, first: int, shares: Shares, channel: int) -> float:
    at, beside, below, far = _cells(first)
    upper = shares[0] * maps[at, channel] + shares[1] * maps[beside, channel]
    return float(upper + shares[2] * maps[below, channel] + shares[3] * maps[far, channel])


@compiled
def _add(sums: Array64, first: int, shares: Shares, r: float, g: float, b: float) -> None:
    places = _cells(first)
    for k in range(4):
        at, share = places[k], shares[k]
        sums[at, 0] += share * r
        sums[at, 1] += share * g
        sums[at, 2] += share * b


@compiled
def _moved(colour: Array64, curve: Array64, centre: float, channel: int) -> float:
    """Return one channel of a colour after a curve over `colour_terms.terms`, whose products are written out here."""
    light = (colour[0] + colour[1] + colour[2]) / 3 - centre
    u, v = colour[0] - colour[1], colour[2] - colour[1]
    c = curve[:, channel]
    stops = c[0] + light * (c[1] + light * c[4] + u * c[7] + v * c[8])
    return float(colour[channel] + stops + u * (c[2] + u * c[5] + v * c[9]) + v * (c[3] + v * c[6]))


@compiled
def wanted(
    colours: Array64, earlier_colours: Array64, later: Index, earlier: Index, curves: Array64, centre: float
) -> Array64:
    """Return `(n, 3)`: the difference between earlier and later colours in stops, each after its frame's curve."""
    result = np.zeros((len(colours), 3))
    for i in range(len(colours)):
        for c in range(3):
            own = _moved(colours[i], curves[later[i]], centre, c)
            result[i, c] = _moved(earlier_colours[i], curves[earlier[i]], centre, c) - own
    return result


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
def gather(first: Index, inside: Array32, maps: Array64) -> Array64:
    """Return `(n, 3)`: the stops of the maps for every sample."""
    result = np.zeros((len(first), 3))
    for i in range(len(first)):
        later, earlier = _shares(inside[i, 0], inside[i, 1]), _shares(inside[i, 2], inside[i, 3])
        for c in range(3):
            plus = _read(maps, first[i, 0], later, c)
            result[i, c] = plus - _read(maps, first[i, 1], earlier, c)
    return result


@compiled
def scatter(first: Index, inside: Array32, values: Array64, total: int) -> Array64:
    """Return `(total, 3)`: the transpose of `gather`, of `(n, 3)` values."""
    sums = np.zeros((total, 3))
    for i in range(len(first)):
        later, earlier = _shares(inside[i, 0], inside[i, 1]), _shares(inside[i, 2], inside[i, 3])
        r, g, b = values[i, 0], values[i, 1], values[i, 2]
        _add(sums, first[i, 0], later, r, g, b)
        _add(sums, first[i, 1], earlier, -r, -g, -b)
    return sums


@compiled
def push(first: Index, inside: Array32, weights: Array64, maps: Array64) -> Array64:
    """Return `scatter(gather(maps) * weights)` in one pass; weights are `(n,)`."""
    sums = np.zeros_like(maps)
    for i in range(len(first)):
        later, earlier = _shares(inside[i, 0], inside[i, 1]), _shares(inside[i, 2], inside[i, 3])
        a, b, weight = first[i, 0], first[i, 1], weights[i]
        red = _read(maps, a, later, 0) - _read(maps, b, earlier, 0)
        green = _read(maps, a, later, 1) - _read(maps, b, earlier, 1)
        blue = _read(maps, a, later, 2) - _read(maps, b, earlier, 2)
        red, green, blue = red * weight, green * weight, blue * weight
        _add(sums, a, later, red, green, blue)
        _add(sums, b, earlier, -red, -green, -blue)
    return sums


@compiled
def diagonal(first: Index, inside: Array32, weights: Array64, total: int) -> Array64:
    """Return `(total,)`: the diagonal of the system: the sum of the squared weights of each cell."""
    sums = np.zeros(total)
    for i in range(len(first)):
        for end in range(2):
            shares = _shares(inside[i, 2 * end], inside[i, 2 * end + 1])
            places = _cells(first[i, end])
            for k in range(4):
                sums[places[k]] += shares[k] ** 2 * weights[i]
    return sums
