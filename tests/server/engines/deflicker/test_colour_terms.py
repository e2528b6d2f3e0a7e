"""The colour basis: its terms, the same polynomial over the field's own terms, and bases that do not mix."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid.pixels.apply.tiles import apply_field
from harmovid.pixels.field import MID_GREY, Curve, LightingField
from harmovid_server.engines.deflicker.colour_terms import (
    CENTRE_STOPS,
    CHANNELS,
    OUTPUTS,
    TERMS,
    orthonormal,
    terms,
    to_curve_terms,
    visibility,
)


def test_each_term_says_one_thing() -> None:
    """On grey at the centre only the first term is not 0; a stop brighter adds 1 to the second, and no colour."""
    centre = terms(np.full(3, CENTRE_STOPS))
    np.testing.assert_array_equal(centre, np.eye(TERMS)[0])
    brighter = terms(np.full(3, CENTRE_STOPS + 1))
    np.testing.assert_array_equal(brighter, [1, 1, 0, 0, 1, 0, 0, 0, 0, 0])


def test_a_curve_of_the_field_is_the_same_polynomial() -> None:
    """Coefficients taken over to the lighting field give the same stops at every colour."""
    rng = np.random.default_rng(0)
    coeffs, logs = 0.1 * rng.normal(0, 1, (TERMS, 3)), rng.uniform(-4, 3, (40, 50, 3))
    picture = (MID_GREY * np.exp2(logs)).astype(np.float32)

    result, _ = apply_field(
        picture, LightingField((Curve((to_curve_terms @ coeffs).T, MID_GREY, -8.0, 8.0),)), origin=(0, 0)
    )
    np.testing.assert_allclose(np.log2(result / picture), terms(logs) @ coeffs, atol=1e-4)


def test_outputs_and_channels_are_inverse() -> None:
    """Brightness and two colour differences are another writing of r, g, b."""
    np.testing.assert_allclose(CHANNELS @ OUTPUTS, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("spread", [1.0, 0.0])
def test_a_basis_is_orthonormal_on_any_picture(spread: float) -> None:
    """On natural colours its products average to the identity; on one flat colour it still exists."""
    rng = np.random.default_rng(1)
    design = terms(-1.5 + spread * rng.normal(0, 1, (5000, 3)))
    basis = orthonormal(design.T @ design / len(design))

    assert np.isfinite(basis).all()
    if spread:
        products = (design @ basis).T @ (design @ basis) / len(design)
        np.testing.assert_allclose(products, np.eye(TERMS), atol=0.02)
    np.testing.assert_allclose(np.tril(basis, -1), 0, atol=1e-12)


def test_errors_are_seen_more_in_the_light() -> None:
    """A stop of error in a bright place counts more than in a dark one, up to where the view rolls off."""
    seen = visibility(np.array([-6.0, -3.0, 0.0, 1.4, 5.0]))
    assert (np.diff(seen[:4]) > 0).all()
    assert seen[3] == seen[4]
