"""Roughness and row profiles of signals whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid_training.metrics import traces


def still(count: int = 12) -> np.ndarray:
    """Return a still clip of textured light, `(count, 48, 64, 3)`."""
    frame = np.random.default_rng(3).lognormal(-1.7, 0.5, (1, 48, 64, 3)).astype(np.float32)
    return np.repeat(frame, count, axis=0)


def gained(clip: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Return the clip with stops that broadcast to `(T, H, W)`."""
    return (clip * np.exp2(stops)[..., None]).astype(np.float32)


def test_roughness_of_white_flicker_is_its_deviation() -> None:
    """White flicker of 0.2 stops over many frames reads as 0.2, as a whole and in places."""
    stops = np.random.default_rng(0).normal(0, 0.2, (400, 1, 1))
    clip = gained(np.full((400, 12, 16, 3), 0.18, np.float32), stops)
    assert traces.roughness_stops(clip) == pytest.approx(0.2, rel=0.1)
    assert traces.local_roughness_stops(clip) == pytest.approx(traces.roughness_stops(clip), rel=1e-4)


def test_roughness_is_the_second_difference_by_hand() -> None:
    """A single flash of one stop: second differences 1, -2, 1 of six; their RMS over sqrt 6."""
    stops = np.zeros((8, 1, 1))
    stops[4] = 1
    assert traces.roughness_stops(gained(still(8), stops)) == pytest.approx(
        np.sqrt((1 + 4 + 1) / 6 / 6), rel=1e-3
    )


def test_a_fade_is_not_rough_and_two_frames_have_no_roughness() -> None:
    """A linear fade of two stops has roughness 0, and so has a clip of fewer than three frames."""
    fade = gained(still(), np.linspace(0, -2, 12)[:, None, None])
    assert traces.roughness_stops(fade) < 1e-3
    assert traces.roughness_stops(fade[:2]) == 0.0


def test_flicker_of_one_half_is_local() -> None:
    """Flicker that the halves of the frame have with opposite sign is unseen as a whole and seen in places."""
    stops = np.random.default_rng(1).normal(0, 0.2, (60, 1, 1)) * np.where(np.arange(64) < 32, 1, -1)
    flat = gained(np.full((60, 48, 64, 3), 0.18, np.float32), np.broadcast_to(stops, (60, 48, 64)))
    assert traces.roughness_stops(flat) < 1e-3
    assert traces.local_roughness_stops(flat) == pytest.approx(0.2, rel=0.2)


def test_levels_are_means_inside_the_mask() -> None:
    """A tile's level is the mask's weighted mean; tiles without mask have none."""
    clip = np.full((3, 8, 8, 3), 0.18, np.float32)
    clip[:, :, 4:] = 0.72
    mask = np.zeros((3, 8, 8), np.float32)
    mask[:, :, 4:] = 0.5
    found = traces.levels(clip, mask, (1, 2))
    assert np.isnan(found[:, 0, 0]).all()
    assert found[:, 0, 1] == pytest.approx(2.0, abs=1e-5)


def test_row_profile_of_a_sine_is_its_rms_and_ignores_the_frame_level() -> None:
    """Bands of 0.3 stops amplitude leave 0.3 / sqrt 2; a gain of the whole frame leaves nothing."""
    truth = np.full((4, 64, 16, 3), 0.18, np.float32)
    rows = 0.3 * np.sin(2 * np.pi * np.arange(64) / 16)
    banded = gained(truth, np.broadcast_to(rows[None, :, None], (4, 64, 1)))
    assert traces.row_profile_stops(banded, truth) == pytest.approx(0.3 / np.sqrt(2), rel=1e-3)
    assert traces.row_profile_stops(truth * np.float32(1.7), truth) < 1e-6


def test_the_level_of_a_tiny_foreground_is_seen() -> None:
    """A foreground of a thousandth of the frame flickers as it does; an empty mask has no level, and no roughness."""
    clip = np.full((9, 64, 64, 3), 0.18, np.float32)
    mask = np.zeros((9, 64, 64), np.float32)
    mask[:, 5:7, 5:7] = 1
    clip[1::2] *= np.where(mask[1::2, ..., None] > 0, np.float32(2), np.float32(1))
    course = traces.foreground_level(clip, mask)
    np.testing.assert_allclose(course, np.arange(9) % 2, atol=1e-6)
    assert traces.roughness(course) == pytest.approx(2 / np.sqrt(6))
    assert np.isnan(traces.foreground_level(clip, mask * 0)).all()
    assert traces.roughness(traces.foreground_level(clip, mask * 0)) == 0
