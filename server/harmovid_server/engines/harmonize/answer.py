"""From the network's outputs and the user's options to a lighting field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.pixels.field import NULL, Curve, Float64, Grid, LightingField

from harmovid_server.engines.harmonize.network import Numbers

Array = npt.NDArray[Any]

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
    """

    coeffs: Float64
    grid: Array
    confidences: Mapping[str, Array]
    need: float
    error: float
    colours: Float64
    anchor: float


def curve_terms(y: Float64) -> Float64:
    """Return the `(n, 10)` terms of `Curve` for colours `(n, 3)` in stops."""
    r, g, b = y.T
    return np.stack([np.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, g * b, b * r], axis=1)


def unscaled(coeffs: Array, unit_stops: float) -> Float64:
    """Return coefficients of stops from coefficients of stops / `unit_stops`."""
    powers = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2, 2])
    return np.asarray(coeffs, np.float64) / unit_stops**powers


def field_of(
    found: Found, controls: Controls, numbers: Numbers, box: Tuple[float, float, float, float]
) -> Tuple[LightingField, Dict[str, object]]:
    """Return the field of a frame with its subject in `box` (plate pixels), and the facts of the decision."""
    confidence = found.confidences[controls.variant]
    coeffs = _controlled(found, confidence, controls)
    terms = curve_terms(np.clip(found.colours, numbers.low, numbers.high))
    if controls.protect_skin or controls.protect_saturated:
        coeffs = protected(coeffs, found.colours, terms, controls)
    grid = found.grid * (confidence[2] * controls.direction)
    stops = terms @ coeffs.T
    size = float(np.sqrt((stops**2).mean()))
    local = float(np.sqrt((grid**2).mean()))
    facts: Dict[str, object] = {
        "variant": controls.variant,
        "confidence": round(float(confidence[0]), 3),
        "wrong_stops": round(found.need, 3),
        "error_stops": round(found.error, 3),
        "exposure_stops": round(float(stops.mean()), 3),
        "colour_stops": [round(float(v), 3) for v in stops.mean(axis=0) - stops.mean()],
        "local_stops": round(local, 3),
    }
    if size < LITTLE_STOPS and local < LITTLE_STOPS:
        return NULL, {
            "decision": "nothing",
            "reason": "the foreground fits the plate, as far as can be told",
            **facts,
        }
    parts: List[Any] = [Curve(coeffs, found.anchor, numbers.low, numbers.high)]
    if local >= LITTLE_STOPS / 4:
        level = float(np.log2(found.anchor))
        parts.append(Grid(grid.astype(np.float32), box, level + numbers.grid_low, level + numbers.grid_high))
    return LightingField(tuple(parts)), {"decision": "harmonized", **facts}


def _controlled(found: Found, confidence: Array, controls: Controls) -> Float64:
    """Return the curve's coefficients scaled by confidence and amounts, separately for exposure, contrast and colour.

    Exposure is the mean of the channels at the foreground's typical colours, contrast its change from dark to bright,
    colour the differences between the channels.
    """
    common = found.coeffs.mean(axis=0, keepdims=True)
    colour = (found.coeffs - common) * confidence[1]
    common = common * confidence[0]
    level = np.zeros_like(common)
    level[0, 0] = float((curve_terms(found.colours) @ common[0]).mean())
    mixed = level * controls.exposure + (common - level) * controls.contrast + colour * controls.colour
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
