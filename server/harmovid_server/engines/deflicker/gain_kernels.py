"""The inner loops of the local fit, compiled: maps to samples and back. `local_gains.Rows` holds their meaning.

Every sample reads two maps, the later frame's with a plus and the earlier's with a minus, each between the four cells
around its place: `first` `(n, 2)` are the upper left ones, `inside` `(n, 4)` how far right and down of their middles it
lies in both, `right` and `down` the steps to the neighbours. `maps` is `(cells, 3)`. No Python lock is held.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
import numpy.typing as npt

from harmovid_server.engines.deflicker.kernels import compiled

Array32 = npt.NDArray[np.float32]
Array64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]
Shares = Tuple[float, float, float, float]


@compiled
def _shares(across: float, along: float) -> Shares:
    across, along = np.float64(across), np.float64(along)
    return (1 - across) * (1 - along), across * (1 - along), (1 - across) * along, across * along


@compiled
def _read(maps: Array64, cell: int, shares: Shares, right: int, down: int, channel: int) -> float:
    # Unsigned: a signed index is tested for being negative every time.
    at, beside, below = np.uintp(cell), np.uintp(cell + right), np.uintp(cell + down)
    far = np.uintp(cell + down + right)
    upper = shares[0] * maps[at, channel] + shares[1] * maps[beside, channel]
    return float(upper + shares[2] * maps[below, channel] + shares[3] * maps[far, channel])


@compiled
def _add(
    sums: Array64, cell: int, shares: Shares, right: int, down: int, r: float, g: float, b: float
) -> None:
    places = (np.uintp(cell), np.uintp(cell + right), np.uintp(cell + down), np.uintp(cell + down + right))
    for k in range(4):
        at, share = places[k], shares[k]
        sums[at, 0] += share * r
        sums[at, 1] += share * g
        sums[at, 2] += share * b


@compiled
def _moved(colour: Array64, curve: Array64, centre: float, channel: int) -> float:
    """Return one channel of a colour after a curve over `basis.terms`, whose products are written out here."""
    light = (colour[0] + colour[1] + colour[2]) / 3 - centre
    u, v = colour[0] - colour[1], colour[2] - colour[1]
    c = curve[:, channel]
    stops = c[0] + light * (c[1] + light * c[4] + u * c[7] + v * c[8])
    return float(colour[channel] + stops + u * (c[2] + u * c[5] + v * c[9]) + v * (c[3] + v * c[6]))


@compiled
def wanted(
    colours: Array64, earlier_colours: Array64, later: Index, earlier: Index, curves: Array64, centre: float
) -> Array64:
    """Return `(n, 3)`: by how many stops earlier colours differ from later ones, each after its frame's curve."""
    result = np.zeros((len(colours), 3))
    for i in range(len(colours)):
        for c in range(3):
            own = _moved(colours[i], curves[later[i]], centre, c)
            result[i, c] = _moved(earlier_colours[i], curves[earlier[i]], centre, c) - own
    return result


@compiled
def gather(first: Index, inside: Array32, right: int, down: int, maps: Array64) -> Array64:
    """Return `(n, 3)`: what the maps give to every sample."""
    result = np.zeros((len(first), 3))
    for i in range(len(first)):
        later, earlier = _shares(inside[i, 0], inside[i, 1]), _shares(inside[i, 2], inside[i, 3])
        for c in range(3):
            plus = _read(maps, first[i, 0], later, right, down, c)
            result[i, c] = plus - _read(maps, first[i, 1], earlier, right, down, c)
    return result


@compiled
def scatter(first: Index, inside: Array32, right: int, down: int, values: Array64, total: int) -> Array64:
    """Return `(total, 3)`: the transpose of `gather`, of `(n, 3)` values."""
    sums = np.zeros((total, 3))
    for i in range(len(first)):
        later, earlier = _shares(inside[i, 0], inside[i, 1]), _shares(inside[i, 2], inside[i, 3])
        r, g, b = values[i, 0], values[i, 1], values[i, 2]
        _add(sums, first[i, 0], later, right, down, r, g, b)
        _add(sums, first[i, 1], earlier, right, down, -r, -g, -b)
    return sums


@compiled
def push(first: Index, inside: Array32, right: int, down: int, weights: Array64, maps: Array64) -> Array64:
    """Return `scatter(gather(maps) * weights)` in one pass; weights are `(n,)`."""
    sums = np.zeros_like(maps)
    for i in range(len(first)):
        later, earlier = _shares(inside[i, 0], inside[i, 1]), _shares(inside[i, 2], inside[i, 3])
        a, b, weight = first[i, 0], first[i, 1], weights[i]
        red = _read(maps, a, later, right, down, 0) - _read(maps, b, earlier, right, down, 0)
        green = _read(maps, a, later, right, down, 1) - _read(maps, b, earlier, right, down, 1)
        blue = _read(maps, a, later, right, down, 2) - _read(maps, b, earlier, right, down, 2)
        red, green, blue = red * weight, green * weight, blue * weight
        _add(sums, a, later, right, down, red, green, blue)
        _add(sums, b, earlier, right, down, -red, -green, -blue)
    return sums


@compiled
def diagonal(first: Index, inside: Array32, right: int, down: int, weights: Array64, total: int) -> Array64:
    """Return `(total,)`: how much the samples alone say of each cell, by the squares of their shares."""
    sums = np.zeros(total)
    for i in range(len(first)):
        for end in range(2):
            shares = _shares(inside[i, 2 * end], inside[i, 2 * end + 1])
            cell = first[i, end]
            sums[np.uintp(cell)] += shares[0] ** 2 * weights[i]
            sums[np.uintp(cell + right)] += shares[1] ** 2 * weights[i]
            sums[np.uintp(cell + down)] += shares[2] ** 2 * weights[i]
            sums[np.uintp(cell + down + right)] += shares[3] ** 2 * weights[i]
    return sums
