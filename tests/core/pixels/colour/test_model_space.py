"""Model space: one encoding for training and serving, independent of exposure, invertible to 65504 and below
zero."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from harmovid.pixels.colour import model_space
from harmovid.pixels.colour.model_space import MID_GREY, exposure_anchor, from_model, to_model
from hypothesis import given, settings
from hypothesis import strategies as st

BELOW = -np.geomspace(65504, 1e-6, 300)
ABOVE = np.geomspace(1e-6, 65504, 4000)


def plate(seed: int = 0, height: int = 30, width: int = 40) -> np.ndarray:
    """A plausible linear picture: log-normal around mid grey."""
    rng = np.random.default_rng(seed)
    return (MID_GREY * np.exp(rng.normal(0, 1, (height, width, 3)))).astype(np.float32)


@pytest.mark.parametrize("anchor", [0.001, 0.02, 0.18, 1.0, 10.0])
def test_the_inverse_is_within_the_named_tolerances(anchor: float) -> None:
    """Linear values up to 65504 and down to -65504 come back within the module's two tolerances."""
    values = np.concatenate([BELOW, [0.0], ABOVE]).astype(np.float32)
    rgb = np.stack([values] * 3, axis=-1)

    back = from_model(to_model(rgb, anchor), anchor)

    np.testing.assert_allclose(
        back, rgb, rtol=model_space.ROUND_TRIP_RELATIVE, atol=model_space.ROUND_TRIP_ABSOLUTE * anchor
    )
    assert back.dtype == np.float32


def test_the_encoding_is_the_documented_one() -> None:
    """What sits at the anchor has ACEScct's code of 0.18, a stop is 1/17.52, black and 65504 are where they
    should be."""
    rgb = np.array([[0.05, 0.1, 0.0]], np.float32)

    codes = to_model(rgb, 0.05)

    assert codes[0, 0] == pytest.approx(0.4135884, abs=1e-6)
    assert codes[0, 1] - codes[0, 0] == pytest.approx(1 / 17.52, abs=1e-6)
    assert codes[0, 2] == pytest.approx(0.0729055, abs=1e-6)
    assert to_model(np.full(3, 65504, np.float32), 0.18)[0] == pytest.approx(1.467996, abs=1e-6)
    assert codes.dtype == np.float32


@given(stops=st.floats(-6, 6), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_exposure_does_not_change_the_codes(stops: float, seed: int) -> None:
    """A shot exposed any stops up or down has an anchor as many stops away, and the same codes."""
    dark = plate(seed)
    bright = (dark * np.float32(2.0**stops)).astype(np.float32)

    anchors = exposure_anchor([dark]), exposure_anchor([bright])

    assert np.log2(anchors[1] / anchors[0]) == pytest.approx(stops, abs=1e-3)
    np.testing.assert_allclose(to_model(bright, anchors[1]), to_model(dark, anchors[0]), atol=1e-5)


def test_the_anchor_is_the_middle_of_the_shot() -> None:
    """A flat grey is its own anchor; a log-normal picture's is the level of its luma."""
    assert exposure_anchor([np.full((4, 5, 3), 0.37, np.float32)]) == pytest.approx(0.37, rel=1e-6)
    luma = plate() @ np.array(model_space.LUMA)
    assert exposure_anchor([plate()]) == pytest.approx(np.exp(np.log(luma).mean()), rel=0.02)


def test_lamps_borders_and_holes_do_not_move_the_anchor() -> None:
    """A few per cent of lamps at 65504, a black letterbox, NaN outside the matte and negatives leave it
    where it was."""
    picture = plate(1, 100, 100)
    expected = exposure_anchor([picture])
    picture[:4, :, :] = 65504
    boxed = np.concatenate([np.zeros((40, 100, 3), np.float32), picture])
    boxed[:10] = np.nan
    boxed[10:20] = -0.5

    assert exposure_anchor([boxed]) == pytest.approx(expected, rel=0.15)


def test_one_flash_does_not_decide() -> None:
    """A frame ten times as bright among the first eight does not move the anchor: it is a median."""
    frames = [plate(seed) for seed in range(8)]
    flashed = [frame * np.float32(10.0 if i == 3 else 1.0) for i, frame in enumerate(frames)]

    assert exposure_anchor(flashed) == pytest.approx(exposure_anchor(frames), rel=0.05)


def test_only_the_first_frames_are_taken() -> None:
    """An endless shot is not read to its end: eight frames are enough."""
    taken = itertools.count()
    frames = (plate() for _ in taken)

    exposure_anchor(frames)

    assert next(taken) == model_space.ANCHOR_FRAMES


@pytest.mark.parametrize(
    "frames", [[], [np.zeros((2, 2, 3), np.float32)], [np.full((2, 2, 3), np.nan, np.float32)]]
)
def test_nothing_to_measure_is_mid_grey(frames: list) -> None:
    """No frame, black frames and frames without a finite pixel have the anchor of mid grey."""
    assert exposure_anchor(frames) == MID_GREY


@pytest.mark.parametrize("level", [1e-38, 1e38])
def test_anchors_are_bounded(level: float) -> None:
    """Absurd levels give an anchor at the bounds, and one pixel is enough for an anchor."""
    anchor = exposure_anchor([np.full((1, 1, 3), level, np.float32)])

    assert model_space.ANCHOR_MIN <= anchor <= model_space.ANCHOR_MAX
