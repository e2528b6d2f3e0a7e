"""The curves of sRGB and ACEScct: published digits, round trips to 65504, negatives, NaN and infinity."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid.pixels.colour.acescct import (
    ACESCCT_CODE_BREAK,
    ACESCCT_LINEAR_BREAK,
    acescct_decode,
    acescct_encode,
)
from harmovid.pixels.colour.srgb import SRGB_CODE_BREAK, SRGB_LINEAR_BREAK, srgb_decode, srgb_encode

LINEAR = np.concatenate([-np.geomspace(65504, 1e-7, 500), [0.0], np.geomspace(1e-7, 65504, 4000)])


@pytest.mark.parametrize(
    ("linear", "code"),
    [
        # AMPAS S-2016-001 (2016): the breaks; 1.0 at "about 222"; the rest by its equation in 40 digits.
        (0.0, 0.0729055341958355),
        (0.0078125, 0.155251141552511),
        (0.18, 0.413588402492442),
        (1.0, 9.72 / 17.52),
        (222.86094420380761, 1.0),
        (65504.0, 1.467996312044712),
        (-0.0069168775, 0.0),
    ],
)
def test_acescct_is_the_published_curve(linear: float, code: float) -> None:
    """Encoding gives the standard's values, decoding returns."""
    assert acescct_encode(np.array(linear)) == pytest.approx(code, abs=1e-8)
    assert acescct_decode(np.array(code)) == pytest.approx(linear, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(
    ("linear", "code"),
    [
        # IEC 61966-2-1:1999, section 5.2; mid grey and half code as every table of it has them.
        (0.0, 0.0),
        (0.0031308, 0.04045),
        (0.18, 0.461356129500442),
        (0.21404114048223255, 0.5),
        (1.0, 1.0),
    ],
)
def test_srgb_is_the_published_curve(linear: float, code: float) -> None:
    """Encoding gives the standard's values, decoding returns, and negative values are mirrored."""
    assert srgb_encode(np.array(linear)) == pytest.approx(code, abs=1e-6)
    assert srgb_decode(np.array(code)) == pytest.approx(linear, abs=1e-6)
    assert srgb_encode(np.array(-linear)) == pytest.approx(-code, abs=1e-6)


@pytest.mark.parametrize(
    ("encode", "decode"),
    [(acescct_encode, acescct_decode), (srgb_encode, srgb_decode)],
    ids=["acescct", "srgb"],
)
@pytest.mark.parametrize(("dtype", "relative"), [(np.float64, 1e-7), (np.float32, 5e-6)])
def test_round_trip_over_the_half_range(encode, decode, dtype, relative: float) -> None:
    """From -65504 to 65504 decoding undoes encoding, in the type that was given."""
    linear = LINEAR.astype(dtype)

    back = decode(encode(linear))

    assert back.dtype == dtype
    np.testing.assert_allclose(back, linear, rtol=relative, atol=1e-8)


@pytest.mark.parametrize("encode", [acescct_encode, srgb_encode])
def test_curves_rise(encode) -> None:
    """Brighter light always has a higher code, across the break and below zero."""
    assert (np.diff(encode(LINEAR)) > 0).all()


def test_breaks_are_continuous() -> None:
    """The two pieces of each curve meet at the break within the standard's own rounding."""
    for encode, at, code, step in (
        (acescct_encode, ACESCCT_LINEAR_BREAK, ACESCCT_CODE_BREAK, 1e-12),
        (srgb_encode, SRGB_LINEAR_BREAK, SRGB_CODE_BREAK, 3e-8),
    ):
        below, above = encode(np.array([at, np.nextafter(at, 1)]))
        assert above == pytest.approx(below, abs=step)
        assert below == pytest.approx(code, abs=1e-7)


@pytest.mark.parametrize("curve", [acescct_encode, acescct_decode, srgb_encode, srgb_decode])
def test_nan_stays_nan_and_infinity_stays_infinite(curve) -> None:
    """Values that are not finite are carried through, without warnings, and do not touch their neighbours."""
    found = curve(np.array([np.nan, np.inf, -np.inf, 0.18], np.float32))

    assert np.isnan(found[0])
    assert found[1] == np.inf
    assert found[2] == -np.inf
    assert np.isfinite(found[3])
