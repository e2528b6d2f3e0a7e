"""The colour basis of the fit: quadratics in log2 light, written so that each term says one thing.

    terms(y) @ coeffs          # stops per channel, for y = log2 of scene-linear RGB over middle grey
    to_curve_terms @ coeffs    # the same polynomial over `field.CURVE_TERMS`

`Curve` holds coefficients over `1, r, g, b, rr, ...`, in which a change of contrast and a change of colour are almost
the same numbers on a grey picture. Here the terms are brightness `l` (mean of the channels, from `CENTRE_STOPS`) and
the two colour differences `u = r - g`, `v = b - g`: 1, l, u, v, ll, uu, vv, lu, lv, uv. What the data do not show can
then be held back term by term.
"""

from __future__ import annotations

from typing import Any, Dict, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.pixels.field import CURVE_TERMS

Array64 = npt.NDArray[np.float64]

TERMS = 10
CENTRE_STOPS = -1.5
"""Where brightness is counted from: about the middle of a natural picture, in stops from middle grey."""

EXPECTED_STOPS = np.array([0.4, 0.12, 0.15, 0.15, 0.03, 0.05, 0.05, 0.05, 0.05, 0.05])
"""Size that flicker's coefficients have, in stops per unit of the term: what grades and lamps do."""

_PRODUCTS: Tuple[Tuple[int, int], ...] = ((1, 1), (2, 2), (3, 3), (1, 2), (1, 3), (2, 3))


def terms(logs: Array64) -> Array64:
    """Return `(n, 10)` terms of `(n, 3)` log2 colours; each term's column lies in one piece."""
    r, g, b = logs.T
    light, u, v = (r + g + b) / 3 - CENTRE_STOPS, r - g, b - g
    first = (light, u, v)
    products = [first[i - 1] * first[j - 1] for i, j in _PRODUCTS]
    return np.stack([np.ones_like(light), light, u, v, *products]).T


def _identity() -> Array64:
    """Return `(10, 3)`: the coefficients that give back the colour itself, r, g and b."""
    coeffs = np.zeros((TERMS, 3))
    coeffs[0] = CENTRE_STOPS
    coeffs[1] = 1.0
    coeffs[2] = (2 / 3, -1 / 3, -1 / 3)
    coeffs[3] = (-1 / 3, -1 / 3, 2 / 3)
    return coeffs


def _expansion() -> Array64:
    """Return `(10, 10)`: row k is what `CURVE_TERMS[k]` gets from each of this module's terms."""
    place: Dict[str, int] = {name: k for k, name in enumerate(CURVE_TERMS)}
    linear = np.zeros((4, 4))  # rows: 1, l, u, v; columns: 1, r, g, b
    linear[0, 0] = 1
    linear[1] = (-CENTRE_STOPS, 1 / 3, 1 / 3, 1 / 3)
    linear[2, 1:] = (1, -1, 0)
    linear[3, 1:] = (0, -1, 1)
    names = ("1", "r", "g", "b")
    out = np.zeros((TERMS, TERMS))
    for k in range(4):
        for i, name in enumerate(names):
            out[place[name], k] += linear[k, i]
    for k, (left, right) in enumerate(_PRODUCTS, start=4):
        for i, first in enumerate(names):
            for j, second in enumerate(names):
                out[_place(place, first, second), k] += linear[left, i] * linear[right, j]
    return out


def _place(place: Dict[str, int], first: str, second: str) -> int:
    if "1" in (first, second):
        return place[second if first == "1" else first]
    return place[first + second] if first + second in place else place[second + first]


IDENTITY: Array64 = _identity()
"""`terms(y) @ IDENTITY == y`."""

to_curve_terms: Array64 = _expansion()
"""`to_curve_terms @ coeffs` are the coefficients over `CURVE_TERMS` of the same polynomial."""


def visibility(light: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return how much an error of a stop is seen at brightness `light` (stops from middle grey): display values
    grow with about the 2.4th root of light, up to where the view rolls off.
    """
    seen: npt.NDArray[Any] = np.exp2(np.minimum(light, 1.4) / 1.2)
    return seen
