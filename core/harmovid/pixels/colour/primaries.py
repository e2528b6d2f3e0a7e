"""Linear RGB and its primaries: named gamuts, matrices to CIE XYZ, and conversion between gamuts.

A gamut is given by eight chromaticities, as in EXR files: (red x, y, green x, y, blue x, y, white x, y).
Matrices are computed from these in double precision and not copied from standards; tests compare them with the printed
digits. Different white points are adapted with the Bradford transform.

Sources of the chromaticities:
- REC709: Rec. ITU-R BT.709-6 (2015), items 1.3 and 1.4; also IEC 61966-2-1:1999 (sRGB).
- REC2020: Rec. ITU-R BT.2020-2 (2015), table 3.
- P3_D65: SMPTE EG 432-1:2010, with D65 (0.3127, 0.3290) in place of the projector's white.
- AP0: SMPTE ST 2065-1:2012, table 1; AP1: AMPAS S-2014-004 (2016).
"""

from __future__ import annotations

from typing import Dict, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from harmovid.errors import ColourError

Primaries = Tuple[float, float, float, float, float, float, float, float]
Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

_D65 = (0.3127, 0.3290)
_ACES_WHITE = (0.32168, 0.33767)
REC709: Primaries = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65)
REC2020: Primaries = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65)
P3_D65: Primaries = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65)
AP0: Primaries = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.0770, *_ACES_WHITE)
AP1: Primaries = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, *_ACES_WHITE)
CIE_XYZ: Primaries = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3)
"""CIE XYZ itself, as stated by EXR files with XYZ. Its values are absolute: the equal-energy white point only makes the
matrix the identity, so nothing is adapted to or from it (checked with the OpenEXR project's pair Rec709.exr and
XYZ.exr)."""

GAMUTS: Dict[str, Primaries] = {
    "Rec.709": REC709,
    "Rec.2020": REC2020,
    "P3-D65": P3_D65,
    "ACES2065-1": AP0,
    "ACEScg": AP1,
    "CIE XYZ": CIE_XYZ,
}
"""The gamuts by their usual names."""

BRADFORD: Float64 = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
"""XYZ to cone response: K. M. Lam, "Metamerism and Colour Constancy" (1985), as printed in ICC.1:2022,
annex E."""

SAME_GAMUT_TOLERANCE = 1e-5
"""Chromaticities closer than this are the same gamut: EXR has 32-bit floats, and some writers round
further."""


def file_primaries(chromaticities: Optional[Sequence[float]]) -> Primaries:
    """Return a file's primaries; the default is Rec.709, as in OpenEXR (ImfChromaticities.h).

    Args:
        chromaticities: the EXR attribute's eight numbers, or None.

    Raises:
        ColourError: they do not define a gamut.
    """
    if chromaticities is None:
        return REC709
    numbers = tuple(float(value) for value in chromaticities)
    if len(numbers) != 8:
        raise ColourError(f"{len(numbers)} chromaticities are not a gamut.", fix="Eight numbers are.")
    found: Primaries = numbers
    for known in GAMUTS.values():
        if same_gamut(found, known):
            return known
    rgb_to_xyz(found)
    return found


def same_gamut(one: Primaries, other: Primaries) -> bool:
    """Return whether two gamuts are the same within `SAME_GAMUT_TOLERANCE`."""
    return bool(np.allclose(one, other, rtol=0.0, atol=SAME_GAMUT_TOLERANCE))


def rgb_to_xyz(primaries: Primaries) -> Float64:
    """Return the `(3, 3)` matrix M with XYZ = M @ RGB and Y = 1 for RGB = (1, 1, 1) (SMPTE RP 177-1993,
    section 3.3).

    Raises:
        ColourError: the primaries lie on a line, or the white has y = 0.
    """
    xy = np.array(primaries, np.float64).reshape(4, 2)
    x, y = xy[:, 0], xy[:, 1]
    # Columns are the primaries' (x, y, z), scaled so that their sum is the white point; only the white's y is divided
    # by. So CIE XYZ itself, given as primaries with y = 0, is a valid gamut.
    directions = np.stack([x, y, 1.0 - x - y])
    if not np.isfinite(directions).all() or y[3] == 0 or abs(np.linalg.det(directions[:, :3])) < 1e-9:
        raise ColourError(f"The chromaticities {primaries} do not span a gamut.")
    amounts = np.linalg.solve(directions[:, :3], directions[:, 3] / y[3])
    return np.asarray(directions[:, :3] * amounts)


def adaptation(source_xyz: Float64, target_xyz: Float64) -> Float64:
    """Return the `(3, 3)` Bradford matrix from XYZ under one white `(3,)` to XYZ under another."""
    ratio = (BRADFORD @ target_xyz) / (BRADFORD @ source_xyz)
    return np.asarray(np.linalg.solve(BRADFORD, ratio[:, None] * BRADFORD))


def rgb_to_rgb(source: Primaries, target: Primaries) -> Float64:
    """Return the `(3, 3)` matrix from one linear RGB to another.

    Whites are adapted, so that white (1, 1, 1) stays white, unless one of the two is `CIE_XYZ`.

    Raises:
        ColourError: one of them does not define a gamut.
    """
    if same_gamut(source, target):
        return np.eye(3)
    into, out_of = rgb_to_xyz(target), rgb_to_xyz(source)
    if CIE_XYZ in (source, target):
        return np.asarray(np.linalg.solve(into, out_of))
    adapted = adaptation(out_of.sum(axis=1), into.sum(axis=1))
    return np.asarray(np.linalg.solve(into, adapted @ out_of))


def convert_primaries(rgb: Float32, source: Primaries, target: Primaries) -> Float32:
    """Return linear `(..., 3)` float32 in other primaries; `rgb` itself if both are the same.

    Unbounded: negative values and values above 1 are kept. A pixel with NaN or infinity in one
    channel may have it in all three afterwards.
    """
    if same_gamut(source, target):
        return rgb
    matrix = rgb_to_rgb(source, target).astype(np.float32)
    with np.errstate(invalid="ignore"):
        return np.asarray(rgb @ matrix.T)
