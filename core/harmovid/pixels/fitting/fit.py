"""Fit a lighting field to two pictures: the plate's proxy, and the same proxy relit by an engine.

    field = fit_field(plate, result, box=(0, 0, 1920, 1080), weights=matte, trusted=False)

Three parts, each fitted to the residual of those before:

1. a **curve**, quadratic in log2 light. It is solved together with a coarse spatial map (which is then dropped);
   otherwise a lamp beside a red object would look like a change of red.
2. a **bilateral grid** of the residual (`fit_local.py`), coarse to fine, 0 in cells without samples.
3. for results that are right pixel by pixel, a **gain map** of the remaining residual: hard shadow edges.

The field can only multiply the plate, so it cannot invent detail, and a blurred or noisy result does little harm.
docs/lighting-field.md has the measured quality; tests check it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from harmovid.errors import InputError
from harmovid.pixels.apply.fast import field_stops
from harmovid.pixels.apply.kernels_numpy import curve_terms
from harmovid.pixels.field import (
    LUMA,
    MID_GREY,
    NULL,
    STOPS_LIMIT,
    Box,
    Curve,
    Faded,
    Float32,
    LightingField,
    Part,
)
from harmovid.pixels.fitting.fit_local import bilinear_weights, fit_grid, fit_map, seen_range

Plane = npt.NDArray[Any]

SMALLEST_LIGHT = 2.0**-20
"""Scene-linear values below this are not used."""

NOISE_SHARE = 1 / 16
"""Pixels at this share of the picture's median have a quarter of the weight, because of noise and 8-bit rounding."""

EDGE_STOPS = 0.5
"""A step of this size to a neighbour halves a pixel's weight: proxy pixels on edges mix two materials."""

CURVE_SAMPLES = 16000
"""Number of pixels from which the curve is solved, taken evenly from those with weight."""

CURVE_ROUNDS = 5
"""Rounds of re-weighting; the fits settle within four."""

PLACES = (6, 9)
"""Rows and columns of the coarse spatial map that is solved together with the curve."""

SLOPE_PENALTY, BEND_PENALTY, PLACE_PENALTY = 1e-4, 4e-4, 2e-5
"""Ridge on the linear terms, the quadratic terms and the map, relative to the mean squared sample: low enough not
to bias a colour with many samples, high enough that directions of colour without samples stay at 0."""

FEW_SAMPLES_PENALTY = 0.03
"""Added to every ridge term, divided by the number of samples: noise of 0.05 stops against slopes of 0.3."""

NEGLIGIBLE_STOPS = 1e-3
"""A grid or map that changes nothing by more than this is left out."""


def fit_field(
    plate: Float32, result: Float32, *, box: Box, weights: Optional[Plane] = None, trusted: bool = True
) -> LightingField:
    """Return the field that changes `plate` into `result`; the null field if nothing can be measured.

    Args:
        plate: `(h, w, 3)` proxy of the plate, scene-linear, unassociated.
        result: `(h, w, 3)` what the engine made of it, in the same light and primaries.
        box: `(x0, y0, x1, y1)` in plate pixels that the proxy covers, x1/y1 exclusive.
        weights: `(h, w)` 0 to 1: matte times coverage. Only pixels with weight are fitted.
        trusted: whether the result's pixels align with the plate's and each is right (8-bit rounding does no
            harm). False for generated pictures, which may be blurred, shifted or invent.

    Raises:
        InputError: the shapes do not match.
    """
    if plate.shape != result.shape or plate.ndim != 3 or plate.shape[2] != 3:
        raise InputError(f"a plate of {plate.shape} and a result of {result.shape} are no pair of pictures.")
    asked = np.ones(plate.shape[:2]) if weights is None else np.clip(np.nan_to_num(weights), 0, 1)
    if asked.shape != plate.shape[:2]:
        raise InputError(f"weights of {asked.shape} do not fit a proxy of {plate.shape[:2]}.")
    trust = measurable(plate, result, asked)
    if not (trust > 0).any():
        return NULL
    measured = (trust > 0)[..., None]
    clean = np.where(measured, plate, MID_GREY).astype(np.float32)
    wanted = np.log2(np.where(measured, result, MID_GREY)) - np.log2(clean)
    wanted = np.clip(wanted, -STOPS_LIMIT, STOPS_LIMIT).astype(np.float32)
    field = LightingField((fit_curve(clean, wanted, trust),))
    shift = field_stops(clean, field, origin=(0, 0))
    field = _with(field, fit_grid(clean * np.exp2(shift), wanted - shift, trust, careful=not trusted))
    if trusted:
        field = _with(field, fit_map(wanted - field_stops(clean, field, origin=(0, 0)), trust))
    return LightingField(tuple(_placed(part, box) for part in field.parts))


def measurable(plate: Float32, result: Float32, weights: Plane) -> Plane:
    """Return the weight of each pixel of a pair, `(h, w)` 0 to 1, from `weights` and the pictures.

    0 where a channel of either picture is not finite or hardly above 0; lower on the plate's edges and in dark
    areas.
    """
    darkest = np.minimum(plate.min(axis=-1), result.min(axis=-1))
    finite = np.isfinite(plate).all(axis=-1) & np.isfinite(result).all(axis=-1)
    sound = finite & (darkest > SMALLEST_LIGHT) & (weights > 0)
    if not sound.any():
        return np.zeros(weights.shape)
    logs = np.log2(np.where(sound, np.where(sound[..., None], plate, 1.0) @ np.array(LUMA), 1.0))
    middle = np.exp2(np.average(logs[sound], weights=weights[sound]))
    darkest = np.where(sound, darkest, 1.0).astype(np.float64)
    bright = (darkest / (darkest + NOISE_SHARE * middle)) ** 2
    around = np.pad(np.where(sound, logs, np.nan), 1, mode="edge")
    steps = [around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]]
    edge = np.max([np.nan_to_num(np.abs(step - logs)) for step in steps], axis=0)
    trust: Plane = np.where(sound, weights * bright / (1 + (edge / EDGE_STOPS) ** 2), 0.0)
    return trust


def fit_curve(plate: Float32, wanted: Float32, trust: Plane) -> Curve:
    """Return the curve that best gives the `wanted` stops, robust against local differences.

    Args:
        plate: `(h, w, 3)` scene-linear, above 0.
        wanted: `(h, w, 3)` stops.
        trust: `(h, w)` weights, above 0 somewhere.
    """
    rows, columns = trust.shape
    chosen = np.flatnonzero(trust > 0)
    if chosen.size > CURVE_SAMPLES:
        chosen = chosen[np.linspace(0, chosen.size - 1, CURVE_SAMPLES).astype(np.intp)]
    light, stops = plate.reshape(-1, 3)[chosen].astype(np.float64), wanted.reshape(-1, 3)[chosen]
    weight = trust.reshape(-1)[chosen]
    low, high = seen_range(np.log2(light / MID_GREY))
    terms = curve_terms(light.T, Curve(np.zeros((3, 10)), MID_GREY, low, high))[1:]
    down = bilinear_weights(np.arange(rows) + 0.5, rows, PLACES[0])[:, chosen // columns]
    across = bilinear_weights(np.arange(columns) + 0.5, columns, PLACES[1])[:, chosen % columns]
    places = (down[:, None] * across[None]).reshape(-1, chosen.size)
    solved = _solve(np.concatenate([terms, places]), stops, weight)[: len(terms)]
    constant = np.average(stops - terms.T @ solved, axis=0, weights=weight)
    return Curve(np.concatenate([constant[None], solved]).T, MID_GREY, low, high)


def _solve(terms: Plane, stops: Plane, weight: Plane) -> Plane:
    """Return `(terms, 3)` coefficients of the centred terms, by re-weighted ridge regression.

    Args:
        terms: `(9 + places, n)`, the nine of the curve without its constant first.
        stops: `(n, 3)`.
        weight: `(n)`.
    """
    count = terms.shape[0]
    penalty = np.array([SLOPE_PENALTY] * 3 + [BEND_PENALTY] * 6 + [PLACE_PENALTY] * (count - 9))
    penalty += FEW_SAMPLES_PENALTY / stops.shape[0]
    robust = np.ones_like(weight)
    solved = np.zeros((count, 3))
    for _ in range(CURVE_ROUNDS):
        share = weight * robust
        share /= share.sum()
        # Centred, so that the ridge pulls towards "the same stops everywhere", not towards "no change".
        centred, target = terms - (terms @ share)[:, None], stops - share @ stops
        weighted = centred * share
        solved = np.linalg.solve(weighted @ centred.T + np.diag(penalty), weighted @ target)
        error = np.abs(target - centred.T @ solved).mean(axis=1)
        robust = 1 / (1 + (error / (2 * (1.4826 * np.median(error) + 0.02))) ** 2)
    return solved


def _with(field: LightingField, part: Part) -> LightingField:
    """Return `field` followed by a grid or map, or `field` alone if that changes next to nothing."""
    stops = None if isinstance(part, (Curve, Faded)) else part.stops
    if stops is not None and np.abs(stops).max() <= NEGLIGIBLE_STOPS:
        return field
    return field.then(LightingField((part,)))


def _placed(part: Part, box: Box) -> Part:
    """Return the part with its box converted from proxy pixels to plate pixels."""
    return part if isinstance(part, (Curve, Faded)) else replace(part, box=box)
