"""The demo's measures against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from harmovid_demo.metrics import BLOCKS, FLOOR, NOWHERE, Flicker, block_levels, distance, roughness, stops
from harmovid_demo.view import SHOULDER, to_bytes, view

GREY = np.full((12, 16, 3), 0.18, np.float32)


def test_stops_are_log2_above_a_floor():
    """One is 0 stops, an eighth is -3, and black is the floor."""
    assert stops(np.array([1.0, 0.125, 0.0, -4.0], np.float32)).tolist() == [0, -3, -9, -9]
    assert FLOOR == 2.0**-9


def test_block_levels_see_where_light_is():
    """A frame that is one stop brighter on its right half says so in the right blocks only."""
    picture = GREY.copy()
    picture[:, 8:] *= 2
    levels = block_levels(picture)
    assert levels.shape == BLOCKS
    np.testing.assert_allclose(levels[:, :4], math.log2(0.18), atol=1e-5)
    np.testing.assert_allclose(levels[:, 4:], math.log2(0.36), atol=1e-5)


def test_roughness_of_an_alternating_clip():
    """Levels +s, -s, +s... have second differences of 4 s: roughness 4 s / sqrt(6)."""
    assert roughness(np.array([0.1, -0.1] * 5)) == pytest.approx(0.4 / math.sqrt(6))


def test_roughness_of_white_noise_is_its_deviation():
    """Independent noise of 0.2 stops measures 0.2."""
    levels = np.random.default_rng(1).normal(0, 0.2, 20000)
    assert roughness(levels) == pytest.approx(0.2, rel=0.02)


def test_a_fade_is_not_flicker():
    """A steady fade of half a stop a frame has no roughness, and two frames have none either."""
    assert roughness(np.arange(10) * 0.5) == pytest.approx(0.0, abs=1e-12)
    assert roughness(np.array([0.0, 5.0])) == 0.0


def test_local_flicker_is_seen_where_the_whole_frame_is_steady():
    """Two halves that flicker against each other leave the frame's mean alone, but not the blocks."""
    flicker = Flicker()
    for sign in (1, -1, 1, -1):
        picture = GREY.copy()
        picture[:, :8] *= 2.0**sign
        picture[:, 8:] *= 2.0**-sign
        flicker.add(block_levels(picture))
    assert flicker.whole == pytest.approx(0.0, abs=1e-5)
    assert flicker.local == pytest.approx(4.0 / math.sqrt(6), rel=1e-4)


def test_distance_of_one_stop():
    """A clip one stop too bright is one stop away, and no distance at all after one steady gain."""
    one = distance(GREY * 2, GREY)
    assert one.rmse_stops == pytest.approx(1.0, abs=1e-6)
    assert one.steady_stops == pytest.approx(0.0, abs=1e-3)


def test_distance_adds_over_frames():
    """One stop up in one frame and one down in the next: 1 stop, which no steady gain can undo."""
    both = distance(GREY * 2, GREY) + distance(GREY / 2, GREY)
    assert both.rmse_stops == pytest.approx(1.0, abs=1e-6)
    assert both.steady_stops == pytest.approx(1.0, abs=1e-6)


def test_distance_counts_where_the_weight_is():
    """A weight of a quarter on the wrong half and three quarters on the right half gives sqrt(1/4) of its error."""
    picture = GREY.copy()
    picture[:, :8] *= 4
    weight = np.full(GREY.shape[:2], 0.75, np.float32)
    weight[:, :8] = 0.25
    assert distance(picture, GREY, weight).rmse_stops == pytest.approx(2 * math.sqrt(0.25), abs=1e-6)


def test_psnr_in_view_space():
    """Two pictures whose views differ by a tenth everywhere are 20 dB apart; equal ones infinitely."""
    low, high = 0.5, 0.6  # display values below the shoulder's, through the sRGB curve
    dark, light = (np.full((4, 4, 3), ((v + 0.055) / 1.055) ** 2.4, np.float32) for v in (low, high))
    assert light.max() < SHOULDER
    assert distance(dark, light).psnr_db == pytest.approx(20.0, abs=1e-3)
    assert math.isinf(distance(dark, dark).psnr_db)


def test_nothing_measured_is_no_error():
    """A comparison without any frame has distance 0 and does not divide by it."""
    assert NOWHERE.rmse_stops == 0.0
    assert NOWHERE.steady_stops == 0.0
    assert math.isinf(NOWHERE.psnr_db)


def test_view_keeps_middle_greys_and_rolls_off_highlights():
    """Grey 0.18 shows as sRGB's 0.4614, light rises without a break and never reaches past 1, NaN shows black."""
    assert float(view(np.float32([0.18]))[0]) == pytest.approx(0.4614, abs=1e-4)
    ramp = view(np.linspace(0, 50, 20001, dtype=np.float32))
    assert np.all(np.diff(ramp) >= 0)
    assert np.max(np.diff(ramp[40:])) < 0.01
    assert ramp.max() <= 1.0
    assert to_bytes(np.float32([np.nan, -1.0, 1e9])).tolist() == [0, 0, 255]
