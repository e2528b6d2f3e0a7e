"""The colour basis of the fit: quadratics in log2 light, with one meaning per term.

    terms(y) @ coeffs          # stops per channel, for y = log2 of scene-linear RGB over middle grey
    to_curve_terms @ coeffs    # the same polynomial over `field.CURVE_TERMS`

`Curve` holds coefficients over `1, r, g, b, rr, ...`. On a grey picture, a change of contrast and a change of colour
have almost the same coefficients there. Here the terms are brightness `l` (mean of the channels, from `CENTRE_STOPS`)
and the two colour differences `u = r - g`, `v = b - g`: 1, l, u, v, ll, uu, vv, lu, lv, uv. Terms that the data do not
determine can then be damped one by one.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.pixels.field import CURVE_TERMS

Array64 = npt.NDArray[np.float64]

TERMS = 10
CENTRE_STOPS = -1.5
"""The origin of brightness: about the middle of a natural picture, in stops from middle grey."""

OUTPUTS: Array64 = np.array([[1 / 3, 1 / 3, 1 / 3], [1, -1, 0], [0, -1, 1]])
"""Matrix from r, g, b to brightness and the two colour differences."""
CHANNELS: Array64 = np.asarray(np.linalg.inv(OUTPUTS), np.float64)

RIDGE = 1e-4
"""Added to the mean squares of the terms, so that a grey or flat shot still has an orthonormal basis."""

_PRODUCTS: Tuple[Tuple[int, int], ...] = ((1, 1), (2, 2), (3, 3), (1, 2), (1, 3), (2, 3))


def terms(logs: Array64) -> Array64:
    """Return `(..., 10)` terms of `(..., 3)` log2 colours."""
    r, g, b = logs[..., 0], logs[..., 1], logs[..., 2]
    light, u, v = (r + g + b) / 3 - CENTRE_STOPS, r - g, b - g
    first = (light, u, v)
    products = [first[i - 1] * first[j - 1] for i, j in _PRODUCTS]
    return np.stack([np.ones_like(light), light, u, v, *products], axis=-1)


def _expansion() -> Array64:
    """Return `(10, 10)`: row k holds the share of `CURVE_TERMS[k]` in each of this module's terms."""
    place = {tuple(sorted(name.strip("1"))): k for k, name in enumerate(CURVE_TERMS)}
    names, out = ("", "r", "g", "b"), np.zeros((TERMS, TERMS))
    linear = np.zeros((4, 4))  # rows: 1, l, u, v; columns: 1, r, g, b
    linear[0, 0] = 1
    linear[1:, 1:] = OUTPUTS
    linear[1, 0] = -CENTRE_STOPS
    for k, (left, right) in enumerate(((0, 0), (1, 0), (2, 0), (3, 0), *_PRODUCTS)):
        for (i, first), (j, second) in product(enumerate(names), repeat=2):
            out[place[tuple(sorted(first + second))], k] += linear[left, i] * linear[right, j]
    return out


to_curve_terms: Array64 = _expansion()
"""`to_curve_terms @ coeffs` are the coefficients over `CURVE_TERMS` of the same polynomial."""


def visibility(light: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return how visible an error of one stop is at brightness `light` (stops from middle grey): display values grow
    with about the 2.4th root of light, up to the soft shoulder of the view.
    """
    seen: npt.NDArray[Any] = np.exp2(np.minimum(light, 1.4) / 1.2)
    return seen


def orthonormal(mean: Array64) -> Array64:
    """Return `(10, 10)`: columns combine the terms into orthonormal ones, in order.

    Args:
        mean: of the products of the terms, `(10, 10)`.
    """
    basis: Array64 = np.linalg.inv(np.linalg.cholesky(mean + RIDGE * np.eye(TERMS))).T
    return basis
