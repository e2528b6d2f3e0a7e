"""Pseudo alpha: symmetric about the border, smooth, and as wide as asked."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid.errors import InputError
from harmovid_training.masks.alpha import pseudo_alpha, signed_distance
from hypothesis import given, settings
from hypothesis import strategies as st


def half() -> np.ndarray:
    """Return a mask `(1, 16, 24)` whose left 12 columns are foreground."""
    mask = np.zeros((1, 16, 24), np.float32)
    mask[:, :, :12] = 1
    return mask


def test_falls_from_one_to_zero_across_the_border():
    """Over 6 pixels, half of them inside: one at 3 pixels in, zero at 3 pixels out, a half between, falling
    all the way."""
    row = pseudo_alpha(half(), 6.0)[0, 8]
    assert (row[:9] == 1).all()
    assert (row[15:] == 0).all()
    assert np.all(np.diff(row[8:16]) < 0)
    assert row[11] + row[12] == pytest.approx(1, abs=1e-6)


def test_distance_is_zero_on_the_border():
    """The pixels on both sides of the border are half a pixel away from it."""
    distance = signed_distance(half()[0] > 0.5)[8]
    assert distance[10:14].tolist() == [1.5, 0.5, -0.5, -1.5]


@given(st.integers(0, 10_000), st.floats(0.5, 20))
@settings(max_examples=25, deadline=None)
def test_stays_within_reach_of_the_border(seed, width):
    """Deep inside it is one, far outside zero, everywhere within 0..1, and the mask's side of one half is kept."""
    rng = np.random.default_rng(seed)
    mask = (rng.random((1, 12, 12)) > 0.6).astype(np.float32)
    mask[0, 0, 0], mask[0, -1, -1] = 1, 0
    alpha, distance = pseudo_alpha(mask, width)[0], signed_distance(mask[0] > 0.5)
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    assert (alpha[distance > width / 2 + 1e-3] == 1).all()
    assert (alpha[distance < -width / 2 - 1e-3] == 0).all()
    assert ((alpha > 0.5) == (mask[0] > 0.5)).all()


def test_empty_and_full_masks_stay_so():
    """A mask without a border is unchanged; the default width follows the height; invalid widths and masks are
    refused."""
    for level in (0.0, 1.0):
        mask = np.full((2, 16, 16), level, np.float32)
        assert np.array_equal(pseudo_alpha(mask), mask)
    with pytest.raises(InputError, match="width above 0"):
        pseudo_alpha(half(), 0)
    with pytest.raises(InputError, match="no clip"):
        pseudo_alpha(half()[0])
