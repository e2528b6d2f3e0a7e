"""The lighting field: its parts, and its forms as bytes and in an EXR. Import the parts from here.

    from harmovid.pixels.field import NULL, Curve, LightingField

`parts` defines them, `encoding` converts a field to bytes, `exr_channels` writes it into an EXR. In
`harmovid.pixels.fitting`, `fit` and `fit_local` make a field from two pictures; `grade`, `cdl` and `nuke_grade` export
a field's global part.
"""

from __future__ import annotations

from harmovid.pixels.field.parts import (
    CURVE_TERMS,
    GUIDE_CEIL_STOPS,
    GUIDE_FLOOR_STOPS,
    LUMA,
    MID_GREY,
    NULL,
    STOPS_LIMIT,
    STRENGTH_LIMIT,
    Box,
    Curve,
    Faded,
    Float32,
    Float64,
    GainMap,
    Grid,
    LightingField,
    Part,
)

__all__ = [
    "NULL", "Curve", "Faded", "GainMap", "Grid", "LightingField", "Part",
    "CURVE_TERMS", "GUIDE_CEIL_STOPS", "GUIDE_FLOOR_STOPS", "LUMA", "MID_GREY", "STOPS_LIMIT", "STRENGTH_LIMIT",
    "Box", "Float32", "Float64",
]  # fmt: skip
