"""From the network's pictures to a lighting field: a fit of what the network changed, in the plate's own light.

Both pictures, before and after, have gone through the VAE. So its effects (blur, a shift of colour) are in both and
cancel out, and no full picture has to be kept while a shot is sampled.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.pixels.apply.fast import field_stops
from harmovid.pixels.field import NULL, Curve, Faded, LightingField
from harmovid.pixels.fitting.fit import fit_field

Float32 = npt.NDArray[np.float32]
Box = Tuple[int, int, int, int]

GLOBAL, LOCAL, SHARP = "global", "local", "sharp"
DETAILS = (GLOBAL, LOCAL, SHARP)
"""Detail of a field: a curve; also a grid over position and brightness; also a map for hard shadows."""

LITTLE_STOPS = 0.005
"""If the RMS change of the masked pixels is below this, the answer is the null field."""


def answer(
    before: Float32, after: Float32, weights: Float32, box: Box, detail: str
) -> Tuple[LightingField, Dict[str, Any]]:
    """Return the field that turns `before` into `after`, and the facts of the decision.

    Args:
        before, after: `(h, w, 3)` scene-linear, both decoded by the VAE.
        weights: `(h, w)` where the field is needed and can be measured.
        box: the display window in plate pixels.
        detail: one of `DETAILS`.
    """
    rows, columns = weights.shape
    field = fit_field(before, after, box=(0, 0, columns, rows), weights=weights, trusted=detail == SHARP)
    if field.is_null:
        return NULL, {"decision": "nothing", "reason": "nothing under the matte can be measured"}
    if detail == GLOBAL:
        field = LightingField(field.parts[:1])
    change = field_stops(before, field, origin=(0, 0))[weights > 0.5 * weights.max()].astype(np.float64)
    size = float(np.sqrt(np.mean(change**2)))
    if size < LITTLE_STOPS:
        return NULL, {"decision": "nothing", "reason": "the network changed next to nothing"}
    mean = change.mean(axis=0)
    return _placed(field, box), {
        "decision": "relit",
        "exposure_stops": round(float(mean.mean()), 3),
        "colour_stops": [round(float(value - mean.mean()), 3) for value in mean],
        "local_stops": round(float(change.std(axis=0).mean()), 3),
    }


def _placed(field: LightingField, box: Box) -> LightingField:
    """Return a field with its boxes converted from proxy pixels to plate pixels."""
    return LightingField(
        tuple(part if isinstance(part, (Curve, Faded)) else replace(part, box=box) for part in field.parts)
    )
