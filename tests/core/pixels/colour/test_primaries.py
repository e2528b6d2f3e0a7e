"""Primaries: computed matrices against the digits that standards print, adaptation, and files'
chromaticities."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid.errors import ColourError
from harmovid.pixels.colour.primaries import (
    AP0,
    AP1,
    CIE_XYZ,
    GAMUTS,
    P3_D65,
    REC709,
    REC2020,
    adaptation,
    convert_primaries,
    file_primaries,
    rgb_to_rgb,
    rgb_to_xyz,
    same_gamut,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

PAIRS = [(a, b) for a in GAMUTS.values() for b in GAMUTS.values()]

PUBLISHED_XYZ = {
    # IEC 61966-2-1:1999, section 5.2, equation 7: four digits.
    "sRGB": (REC709, 5e-5, [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]),
    # SMPTE ST 2065-1:2012: ten digits.
    "AP0": (
        AP0,
        5e-11,
        [
            [0.9525523959, 0.0000000000, 0.0000936786],
            [0.3439664498, 0.7281660966, -0.0721325464],
            [0.0000000000, 0.0000000000, 1.0088251844],
        ],
    ),
    # SMPTE RP 177 for P3 with D65: K. E. Evensen, "How to calculate RP-177 3x3 matrices" (2017).
    "P3-D65": (
        P3_D65,
        1e-8,
        [
            [0.48657095, 0.26566769, 0.19821729],
            [0.22897457, 0.69173852, 0.07928691],
            [0.0, 0.04511338, 1.04394437],
        ],
    ),
    # AMPAS S-2014-004 (2016): ten digits.
    "AP1": (
        AP1,
        5e-11,
        [
            [0.6624541811, 0.1340042065, 0.1561876870],
            [0.2722287168, 0.6740817658, 0.0536895174],
            [-0.0055746495, 0.0040607335, 1.0103391003],
        ],
    ),
}


@pytest.mark.parametrize("name", sorted(PUBLISHED_XYZ))
def test_matrices_to_xyz_are_the_published_ones(name: str) -> None:
    """The computed matrix rounds to every digit that the standard prints."""
    primaries, half_digit, expected = PUBLISHED_XYZ[name]

    np.testing.assert_allclose(rgb_to_xyz(primaries), expected, rtol=0, atol=half_digit)


def test_the_srgb_inverse_is_the_published_one() -> None:
    """XYZ to linear sRGB as IEC 61966-2-1:1999, equation 5, prints it (it rounds an inverse of rounded
    digits)."""
    expected = [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]

    np.testing.assert_allclose(np.linalg.inv(rgb_to_xyz(REC709)), expected, rtol=0, atol=5e-4)


def test_ap1_to_ap0_is_the_published_one() -> None:
    """ACEScg to ACES2065-1 and back as AMPAS S-2014-004 (2016) prints them: ten digits."""
    to_ap0 = [
        [0.6954522414, 0.1406786965, 0.1638690622],
        [0.0447945634, 0.8596711185, 0.0955343182],
        [-0.0055258826, 0.0040252103, 1.0015006723],
    ]
    to_ap1 = [
        [1.4514393161, -0.2365107469, -0.2149285693],
        [-0.0765537734, 1.1762296998, -0.0996759264],
        [0.0083161484, -0.0060324498, 0.9977163014],
    ]

    np.testing.assert_allclose(rgb_to_rgb(AP1, AP0), to_ap0, rtol=0, atol=5e-11)
    np.testing.assert_allclose(rgb_to_rgb(AP0, AP1), to_ap1, rtol=0, atol=5e-11)


@pytest.mark.parametrize(
    ("primaries", "expected", "half_digit"),
    [
        (REC709, (0.2126, 0.7152, 0.0722), 5e-5),  # Rec. ITU-R BT.709-6, item 3.2
        (REC2020, (0.2627, 0.6780, 0.0593), 5e-5),  # Rec. ITU-R BT.2020-2, table 4
    ],
)
def test_luma_weights_are_the_published_ones(primaries, expected, half_digit: float) -> None:
    """The middle row of the matrix is the luminance that the recommendation prints."""
    np.testing.assert_allclose(rgb_to_xyz(primaries)[1], expected, rtol=0, atol=half_digit)


def test_bradford_from_d65_to_d50_is_the_published_one() -> None:
    """The adaptation matrix of Lindbloom's "Chromatic Adaptation" (2017) for D65 to D50 by Bradford, seven
    digits."""
    d65 = np.array([0.95047, 1.0, 1.08883])
    d50 = np.array([0.96422, 1.0, 0.82521])
    expected = [
        [1.0478112, 0.0228866, -0.0501270],
        [0.0295424, 0.9904844, -0.0170491],
        [-0.0092345, 0.0150436, 0.7521316],
    ]

    np.testing.assert_allclose(adaptation(d65, d50), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_there_and_back_is_the_identity(source, target) -> None:
    """Every pair of matrices is each other's inverse, and white stays white but for CIE XYZ."""
    there, back = rgb_to_rgb(source, target), rgb_to_rgb(target, source)

    np.testing.assert_allclose(there @ back, np.eye(3), rtol=0, atol=1e-12)
    if CIE_XYZ not in (source, target):
        np.testing.assert_allclose(there @ np.ones(3), np.ones(3), rtol=0, atol=1e-12)


colours = hnp.arrays(np.float32, (3, 2, 3), elements=st.floats(-65504, 65504, width=32))


@given(rgb=colours, pair=st.sampled_from(PAIRS))
@settings(max_examples=100, deadline=None)
def test_unbounded_colours_come_back(rgb: np.ndarray, pair) -> None:
    """Negative values and values up to 65504 survive conversion and return within float32."""
    there = convert_primaries(rgb, *pair)
    back = convert_primaries(there, pair[1], pair[0])

    scale = max(1.0, float(np.abs(rgb).max()))
    np.testing.assert_allclose(back, rgb, rtol=0, atol=4e-6 * scale)
    assert there.dtype == np.float32


def test_the_same_primaries_change_nothing() -> None:
    """Converting to the same gamut returns the very array, NaN and infinity in it untouched."""
    rgb = np.array([[np.nan, np.inf, 1.0]], np.float32)

    assert convert_primaries(rgb, REC709, file_primaries(None)) is rgb


def test_files_primaries() -> None:
    """No chromaticities are Rec.709; numbers rounded to 32 bits are the gamut they mean; others stay what
    they are."""
    stored = tuple(float(np.float32(value)) for value in AP1)
    camera = (0.684, 0.313, 0.221, 0.848, 0.0861, -0.102, 0.3127, 0.329)

    assert file_primaries(None) == REC709
    assert file_primaries(stored) == AP1
    assert file_primaries(camera) == camera
    assert not same_gamut(REC709, REC2020)


@pytest.mark.parametrize(
    "broken",
    [(0.0,) * 8, (0.64, 0.33) * 4, (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3, 0.0), (np.nan,) * 8, (0.3, 0.3)],
)
def test_chromaticities_that_span_nothing_are_refused(broken) -> None:
    """Numbers that are no gamut (zeros, points on a line, no white, NaN, too few) are a colour error."""
    with pytest.raises(ColourError):
        file_primaries(broken)
