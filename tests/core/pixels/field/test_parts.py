"""The lighting field's own rules: what may be built, how fields compose and fade."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid.errors import InputError
from harmovid.pixels.field import CURVE_TERMS, NULL, Curve, Faded, GainMap, Grid, LightingField


def test_null_has_no_parts_and_stays_null():
    """The null field is null, and so is anything faded to nothing."""
    assert NULL.is_null
    assert NULL.scaled(0.5).is_null
    assert LightingField((Curve.gain(1, 1, 1),)).scaled(0).is_null
    assert NULL.then(NULL).is_null


def test_gain_is_the_constant_term():
    """A gain in stops sets the constant coefficient of its channel and nothing else."""
    coeffs = Curve.gain(1.0, 2.0, -3.0).coeffs
    assert CURVE_TERMS[0] == "1"
    assert coeffs[:, 0].tolist() == [1.0, 2.0, -3.0]
    assert not coeffs[:, 1:].any()


def test_scaling_one_part_scales_its_numbers():
    """A field of one part is faded without wrapping it."""
    parts = (Curve.gain(1, 2, 3), Grid(np.ones((1, 2, 3, 3)), (0, 0, 4, 4), -4, 4))
    for part in (*parts, GainMap(np.ones((2, 2, 3)), (0, 0, 1, 1))):
        (half,) = LightingField((part,)).scaled(0.5).parts
        assert type(half) is type(part)
    assert LightingField(parts[:1]).scaled(0.5).parts[0].coeffs[2, 0] == 1.5


def test_scaling_several_parts_keeps_them_together_and_multiplies():
    """A field of several parts becomes one faded group; fading again multiplies, 1 changes nothing."""
    field = LightingField((Curve.gain(1, 1, 1), Curve.gain(2, 2, 2)))
    (group,) = field.scaled(0.5).scaled(0.5).parts
    assert isinstance(group, Faded)
    assert group.strength == 0.25
    assert group.parts == field.parts
    assert field.scaled(1) is field


def test_then_concatenates():
    """Composition keeps the order of the parts."""
    a, b = Curve.gain(1, 0, 0), Curve.gain(0, 1, 0)
    assert LightingField((a,)).then(LightingField((b,))).parts == (a, b)


def test_arrays_are_copies_and_read_only():
    """A field cannot change after it was made, by its maker's array or its own."""
    coeffs = np.zeros((3, 10))
    curve = Curve(coeffs)
    coeffs[0, 0] = 5.0
    assert curve.coeffs[0, 0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        curve.coeffs[0, 0] = 1.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Curve(np.zeros((3, 9))),
        lambda: Curve(np.full((3, 10), np.nan)),
        lambda: Curve(np.zeros((3, 10)), anchor=0.0),
        lambda: Curve(np.zeros((3, 10)), anchor=float("nan")),
        lambda: Curve(np.zeros((3, 10)), low=2.0, high=2.0),
        lambda: Curve(np.zeros((3, 10)), low=float("nan")),
        lambda: Grid(np.zeros((2, 2, 3)), (0, 0, 1, 1), -1, 1),
        lambda: Grid(np.zeros((0, 2, 2, 3)), (0, 0, 1, 1), -1, 1),
        lambda: Grid(np.zeros((1, 1, 1, 3)), (0, 0, 1, 1), -1e9, 1),
        lambda: GainMap(np.zeros((2, 2, 4)), (0, 0, 1, 1)),
        lambda: GainMap(np.zeros((2, 2, 3)), (0, 0, 0, 1)),
        lambda: GainMap(np.zeros((2, 2, 3)), (0, 0, float("inf"), 1)),
        lambda: GainMap(np.full((1, 1, 3), np.inf), (0, 0, 1, 1)),
        lambda: Faded((), float("nan")),
        lambda: Faded((), 1000.0),
    ],
)
def test_unsound_parts_are_refused(make):
    """Wrong shapes, empty boxes, falling ranges and non-finite numbers raise InputError when built."""
    with pytest.raises(InputError):
        make()
