"""The lighting field and what is done with it. The parts a field is made of are imported from here.

    from harmovid.pixels.field import NULL, Curve, LightingField

`parts` defines them, `encoding` is their form as bytes, `exr_channels` their form in an EXR, `fit` and `fit_local`
make a field from a pair of pictures, `grade`, `cdl` and `nuke_grade` export a field's global part.
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
