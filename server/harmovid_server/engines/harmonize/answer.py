"""From the network's outputs and the user's options to a lighting field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.pixels.field import NULL, Curve, Float64, GainMap, Grid, LightingField

from harmovid_server.engines.harmonize.network import Numbers
from harmovid_server.engines.harmonize.shading import even, stops_of
from harmovid_server.engines.harmonize.source import Comparison, share_of

Array = npt.NDArray[Any]

Box = Tuple[float, float, float, float]

LITTLE_STOPS = 0.02
"""If the foreground's typical colours change by less than this, the answer is the null field."""
RIDGE = 1e-3
"""Ridge that keeps the refitted curve of `protected` flat for colours that the foreground does not have."""
SKIN_RED_GREEN, SKIN_GREEN_BLUE, SKIN_SPREAD = 0.9, 0.6, 0.45
"""Skin in log2 light: stops of red over green, green over blue, and their deviations. Means over the reflectances of
fair to dark skin in neutral light."""
VIVID_FROM, VIVID_FULL = 1.2, 2.8
"""Stops between the strongest and the weakest channel at which a colour begins to be saturated, and fully is."""


@dataclass(frozen=True)
class Controls:
    """The engine's options; `variant` chooses the confidence, the amounts scale parts of the answer."""

    variant: str
    exposure: float
    colour: float
    contrast: float
    direction: float
    protect_skin: float
    protect_saturated: float


@dataclass(frozen=True)
class Found:
    """The network's outputs for a shot so far, in stops over its anchor.

    Attributes:
        coeffs: `(3, 10)` of `log2(rgb / anchor)`. grid: `(rows, columns, levels, 3)`.
        confidences: by variant, `(3,)`: for brightness, colour and the local part.
        need: estimated mismatch in stops. error: estimated error of the exposure in stops, one standard deviation.
        colours: `(n, 3)` typical colours of the foreground, `log2(rgb / anchor)`.
        anchor: linear.
        source: what the source plate says, if there is one. shading: `(2,)` as `shading.Shading.slopes`, with normals.
    """

    coeffs: Float64
    grid: Array
    confidences: Mapping[str, Array]
    need: float
    error: float
    colours: Float64
    anchor: float
    source: Optional[Comparison] = None
    shading: Optional[Float64] = None


@dataclass(frozen=True)
class Where:
    """Where a frame's field applies: the subject's `box` and the `frame`, in plate pixels, and the subject's `sides`
    (`shading.Shading`)."""

    box: Box
    frame: Tuple[int, int, int, int]
    sides: Array


def curve_terms(y: Float64) -> Float64:
    """Return the `(n, 10)` terms of `Curve` for colours `(n, 3)` in stops."""
    r, g, b = y.T
    return np.stack([np.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, g * b, b * r], axis=1)


def unscaled(coeffs: Array, unit_stops: float) -> Float64:
    """Return coefficients of stops from coefficients of stops / `unit_stops`."""
    powers = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2, 2])
    return np.asarray(coeffs, np.float64) / unit_stops**powers


def field_of(
    found: Found, controls: Controls, numbers: Numbers, where: Where
) -> Tuple[LightingField, Dict[str, object]]:
    """Return the field of a frame, and the facts of the decision."""
    coeffs, grid, share = _believed(found, controls.variant)
    coeffs = _controlled(coeffs, found.colours, controls)
    terms = curve_terms(np.clip(found.colours, numbers.low, numbers.high))
    if controls.protect_skin or controls.protect_saturated:
        coeffs = protected(coeffs, found.colours, terms, controls)
    grid = grid * controls.direction
    turned = np.zeros(2) if found.shading is None else even(found.shading, controls.variant)
    turned = turned * ((1 - share) * controls.direction)
    stops = terms @ coeffs.T
    local, side = float(np.sqrt((grid**2).mean())), float(np.abs(turned).max())
    facts = _facts(found, controls.variant, stops, local, share, turned)
    if max(float(np.sqrt((stops**2).mean())), local, side) < LITTLE_STOPS:
        return NULL, {
            "decision": "nothing",
            "reason": "the foreground fits the plate, as far as can be told",
            **facts,
        }
    parts: List[Any] = [Curve(coeffs, found.anchor, numbers.low, numbers.high)]
    if local >= LITTLE_STOPS / 4:
        level = float(np.log2(found.anchor))
        parts.append(
            Grid(grid.astype(np.float32), where.box, level + numbers.grid_low, level + numbers.grid_high)
        )
    if side >= LITTLE_STOPS:
        parts.append(GainMap(stops_of(where.sides, turned), where.frame))
    return LightingField(tuple(parts)), {"decision": "harmonized", **facts}


def _believed(found: Found, variant: str) -> Tuple[Float64, Array, float]:
    """Return the curve's coefficients, the grid, and the source plate's share in them, before the amounts."""
    confidence = found.confidences[variant]
    common = found.coeffs.mean(axis=0, keepdims=True)
    coeffs = common * confidence[0] + (found.coeffs - common) * confidence[1]
    grid = found.grid * confidence[2]
    if found.source is None:
        return coeffs, grid, 0.0
    share = share_of(found.source.pairs, float(found.source.map[-1]), variant)
    return (1 - share) * coeffs + share * _source_curve(found.source, found.anchor), grid * (1 - share), share


def _facts(
    found: Found, variant: str, stops: Float64, local: float, share: float, turned: Float64
) -> Dict[str, object]:
    """Return the facts for the report; `stops` are the curve's at the foreground's typical colours."""
    facts: Dict[str, object] = {
        "variant": variant,
        "confidence": round(float(found.confidences[variant][0]), 3),
        "wrong_stops": round(found.need, 3),
        "error_stops": round(found.error, 3),
        "exposure_stops": round(float(stops.mean()), 3),
        "colour_stops": [round(float(v), 3) for v in stops.mean(axis=0) - stops.mean()],
        "local_stops": round(local, 3),
    }
    if found.shading is not None:
        facts["shading_stops"] = [round(float(v), 3) for v in turned]
    if found.source is not None:
        facts["source_share"], facts["source_pairs"] = round(share, 3), round(found.source.pairs, 1)
        facts["source_spread_stops"] = round(float(found.source.map[-1]), 3)
    return facts


def _source_curve(source: Comparison, anchor: float) -> Float64:
    """Return the source plate's map as `(3, 10)` coefficients over `log2(rgb / anchor)`."""
    coeffs = np.zeros((3, 10))
    coeffs[:, :4] = source.map[:-1].reshape(3, 4)
    coeffs[:, 0] += coeffs[:, 1:4].sum(axis=1) * np.log2(anchor)
    return coeffs


def _controlled(coeffs: Float64, colours: Float64, controls: Controls) -> Float64:
    """Return the curve's coefficients scaled by the amounts, separately for exposure, contrast and colour.

    Exposure is the mean of the channels at the foreground's typical colours, contrast its change from dark to bright,
    colour the differences between the channels.
    """
    common = coeffs.mean(axis=0, keepdims=True)
    level = np.zeros_like(common)
    level[0, 0] = float((curve_terms(colours) @ common[0]).mean())
    mixed = (
        level * controls.exposure + (common - level) * controls.contrast + (coeffs - common) * controls.colour
    )
    return np.asarray(mixed, np.float64)


def protected(coeffs: Float64, colours: Float64, terms: Float64, controls: Controls) -> Float64:
    """Return the curve with less effect on skin and saturated colours, refitted to the foreground's colours."""
    red_green, green_blue = colours[:, 0] - colours[:, 1], colours[:, 1] - colours[:, 2]
    stray = ((red_green - SKIN_RED_GREEN) ** 2 + (green_blue - SKIN_GREEN_BLUE) ** 2) / SKIN_SPREAD**2
    skin = np.exp(-0.5 * stray)
    spread = colours.max(axis=1) - colours.min(axis=1)
    vivid = np.clip((spread - VIVID_FROM) / (VIVID_FULL - VIVID_FROM), 0, 1)
    keep = (1 - controls.protect_skin * skin) * (1 - controls.protect_saturated * vivid)
    lacking = (terms @ coeffs.T) * (keep - 1)[:, None]
    normal = terms.T @ terms / len(terms) + RIDGE * np.eye(terms.shape[1])
    change = np.linalg.solve(normal, terms.T @ lacking / len(terms))
    return np.asarray(coeffs + change.T, np.float64)
